//! The books of `faults.c` → the disk as a power cut could have left it.
//!
//! Of every file, any of the sectors that were written since its last sync may be lost, each by itself, and the size it has
//! grown to; of every directory, the last of what was made, renamed and removed in it since its last sync. A write that was
//! synced is never taken back. Which it is, a seed decides.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::recovery::random::Random;

const SECTOR: u64 = 512;

/// What the power cut found unsynced, and what of it is lost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lost {
    pub sectors_unsynced: usize,
    pub sectors: usize,
    pub names_unsynced: usize,
    pub names: usize,
}

/// A record of the books, as `faults.c` writes it.
struct Record {
    /// Where in the books it stands.
    place: u64,
    kind: u32,
    inode: u64,
    offset: u64,
    size: u64,
    bytes: Vec<u8>,
}

const WRITE: u32 = 1;
const SYNC: u32 = 2;
const CREATE: u32 = 3;
const RENAME: u32 = 4;
const UNLINK: u32 = 5;
const LOST: u32 = 6;

/// Takes back some of what the books in `log` call unsynced below `dir`.
pub fn cut(dir: &Path, log: &Path, random: &mut Random) -> Lost {
    let records = read(&fs::read(log.join("undo")).unwrap_or_default());
    let syncs = Syncs::new(&records);
    let mut lost = Lost::default();
    take_back_names(log, &records, &syncs, random, &mut lost);
    let paths = paths(dir);
    let inodes: BTreeSet<u64> =
        records.iter().filter(|record| record.kind == WRITE).map(|record| record.inode).collect();
    for inode in inodes {
        let writes = records.iter().filter(|record| record.kind == WRITE && record.inode == inode);
        // A file that is gone was removed for good.
        if let Some(path) = paths.get(&inode) {
            take_back_writes(path, writes, &syncs, random, &mut lost);
        }
    }
    lost
}

fn read(books: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    let mut bytes = books;
    while let Some((head, rest)) = bytes.split_first_chunk::<32>() {
        let place = (books.len() - bytes.len()) as u64;
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let (kind, length) = (number(0) as u32, (number(0) >> 32) as usize);
        let (inode, offset, size) = (number(8), number(16), number(24));
        // The process may have been killed in the middle of its books: what they do not say was not done.
        let Some((own, rest)) = rest.split_at_checked(length) else { break };
        records.push(Record { place, kind, inode, offset, size, bytes: own.to_vec() });
        bytes = rest;
    }
    records
}

/// Inode → the ends of the parts of the books that its syncs concern, and whether each sync succeeded.
struct Syncs(BTreeMap<u64, Vec<(u64, bool)>>);

impl Syncs {
    fn new(records: &[Record]) -> Syncs {
        let mut syncs: BTreeMap<u64, Vec<(u64, bool)>> = BTreeMap::new();
        for record in records.iter().filter(|record| matches!(record.kind, SYNC | LOST)) {
            syncs.entry(record.inode).or_default().push((record.offset, record.kind == SYNC));
        }
        Syncs(syncs)
    }

    /// Whether the first sync after it made it durable: no later one makes up for a sync that failed.
    fn cover(&self, record: &Record) -> bool {
        let syncs = self.0.get(&record.inode).map(Vec::as_slice).unwrap_or_default();
        syncs.iter().find(|(end, _)| *end > record.place).is_some_and(|(_, succeeded)| *succeeded)
    }
}

fn take_back_names(log: &Path, records: &[Record], syncs: &Syncs, random: &mut Random, lost: &mut Lost) {
    let named = records.iter().filter(|record| matches!(record.kind, CREATE | RENAME | UNLINK));
    let unsynced: Vec<&Record> = named.filter(|record| !syncs.cover(record)).collect();
    let mut kept: BTreeMap<u64, usize> = BTreeMap::new();
    for record in &unsynced {
        *kept.entry(record.inode).or_default() += 1;
    }
    lost.names_unsynced += unsynced.len();
    // Of each directory the first few stay.
    for count in kept.values_mut() {
        *count = random.below(*count + 1);
    }
    let taken = unsynced.into_iter().filter(|record| {
        let stays = kept.get_mut(&record.inode).expect("counted above");
        let is_taken = *stays == 0;
        *stays = stays.saturating_sub(1);
        is_taken
    });
    for record in taken.collect::<Vec<_>>().into_iter().rev() {
        lost.names += 1;
        take_back_name(log, record);
    }
}

fn take_back_name(log: &Path, record: &Record) {
    let names: Vec<PathBuf> = record.bytes.split(|byte| *byte == 0).map(path).collect();
    let inode = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.ino());
    let come_back = |to: &Path| {
        if record.size > 0 {
            fs::hard_link(log.join(record.size.to_string()), to).expect("the place is free");
        }
    };
    match record.kind {
        // Under another name by now: the database renamed it without a word to the books.
        CREATE if inode(&names[0]) != Some(record.offset) => {}
        CREATE => {
            let removed = fs::remove_file(&names[0]).or_else(|_| fs::remove_dir_all(&names[0]));
            removed.expect("what was made can be removed");
        }
        RENAME if inode(&names[1]) != Some(record.offset) => {}
        RENAME => {
            fs::rename(&names[1], &names[0]).expect("the old name is free");
            come_back(&names[1]);
        }
        // The whole directory may be gone, or the name taken anew.
        UNLINK if names[0].exists() || !names[0].parent().is_some_and(Path::exists) => {}
        _ => come_back(&names[0]),
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    String::from_utf8(bytes.to_vec()).expect("a path of plain text").into()
}

fn take_back_writes<'r>(
    path: &Path,
    writes: impl Iterator<Item = &'r Record>,
    syncs: &Syncs,
    random: &mut Random,
    lost: &mut Lost,
) {
    // Sector → what it held before the first write since it was durable; how large the file was then.
    let mut before: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut old_size = None;
    for write in writes {
        let is_durable = syncs.cover(write);
        old_size = if is_durable { None } else { old_size.or(Some(write.size)) };
        for (sector, old) in (write.offset / SECTOR..).zip(sectors(&write.bytes)) {
            if is_durable {
                before.remove(&sector);
            } else {
                before.entry(sector).or_insert(old);
            }
        }
    }
    let Some(old_size) = old_size else { return };
    lost.sectors_unsynced += before.len();
    // Nothing, everything, or some of it.
    let one_in = *random.pick(&[usize::MAX, 1, 2, 2, 5]);
    let taken: Vec<(u64, Vec<u8>)> = before.into_iter().filter(|_| random.one_in(one_in)).collect();
    lost.sectors += taken.len();
    let file = OpenOptions::new().read(true).write(true).open(path).expect("a file that can be written");
    let new_size = file.metadata().expect("readable").len();
    let keeps_size = old_size == new_size || one_in == usize::MAX || (one_in > 1 && random.one_in(2));
    let size = if keeps_size { new_size } else { old_size };
    file.set_len(size).expect("a size");
    for (sector, old) in taken {
        let room = size.saturating_sub(sector * SECTOR).min(SECTOR) as usize;
        file.write_all_at(&old[..room], sector * SECTOR).expect("a sector");
    }
}

/// What a record says of the sectors it names: 8 bytes are their number, and they were zeros.
fn sectors(bytes: &[u8]) -> Vec<Vec<u8>> {
    match bytes.try_into() {
        Ok(count) => vec![vec![0; SECTOR as usize]; u64::from_le_bytes(count) as usize],
        Err(_) => bytes.chunks(SECTOR as usize).map(<[u8]>::to_vec).collect(),
    }
}

/// Inode → path of every file below a directory.
fn paths(dir: &Path) -> BTreeMap<u64, PathBuf> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => panic!("{}: {error}", dir.display()),
        };
        for entry in entries.map(|entry| entry.expect("readable")) {
            if entry.file_type().expect("a type").is_dir() {
                open.push(entry.path());
            } else {
                found.insert(
                    File::open(entry.path()).expect("readable").metadata().expect("readable").ino(),
                    entry.path(),
                );
            }
        }
    }
    found
}
