//! The journal of a database → whether every batch in it is what was written, in the order in which it was written.
//!
//! The database ends its reading of a journal at the first thing it cannot make sense of, as if nothing came after; and it
//! believes the sequence number of a batch, which no checksum covers. So the journal is walked first. Batches must be whole,
//! in rising order, and at the place that the number within them says. What follows the last whole batch must be one that a
//! crash cut short, or of which a power cut left a part: some sectors and not those before them. Such a batch was never
//! synced, so nothing that was promised is lost by dropping it. Anything else is damage.

use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::state::StoreError;
use crate::state::database::{MARKER, damaged, unread};

/// What a disk writes as one.
const SECTOR_BYTES: u64 = 512;
/// Ends every batch, after its checksum.
const TRAILER: &[u8; 4] = b"FJL\x03";
/// How many bits of it may have flipped for it to be known still.
const FLIPPED_BITS_MAX: u32 = 2;
/// More than all that the database can number between two batches of ours.
const NUMBERS_BETWEEN_MAX: u64 = 1 << 40;

/// Looks through all journals of a database, and drops a batch at the end that was never synced.
pub fn check(database: &Path) -> Result<(), StoreError> {
    let unread = |cause| unread(database, cause);
    let journals = journals(database).map_err(unread)?;
    let mut last = None;
    for (index, path) in journals.iter().enumerate() {
        let is_newest = index + 1 == journals.len();
        check_one(path, is_newest, &mut last).map_err(unread)?.map_err(|trouble| {
            let Trouble { at, what } = trouble;
            damaged(database, &format!("in {}, the batch at byte {at} {what}", path.display()))
        })?;
    }
    Ok(())
}

struct Trouble {
    at: u64,
    what: &'static str,
}

/// A whole batch.
struct Batch {
    bytes: Range<u64>,
    /// What the database has numbered it with.
    sequence: u64,
    /// What that number had reached when the batch was begun, if it says so.
    begun: Option<u64>,
}

fn check_one(path: &Path, is_newest: bool, last: &mut Option<u64>) -> io::Result<Result<(), Trouble>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut walk = Walk::new(&file)?;
    let mut last_batch = 0..0;
    while let Some(batch) = walk.next_batch()? {
        if !is_in_order(&batch, *last) {
            return Ok(Err(Trouble { at: batch.bytes.start, what: "is not at its place" }));
        }
        *last = Some(batch.sequence);
        last_batch = batch.bytes;
    }
    let end = last_batch.end;
    match read_tail(&file, end)? {
        Tail::Empty => {}
        Tail::NeverSynced { has_hole } if is_newest => {
            if has_hole {
                tracing::warn!(path = %path.display(), "a batch that was never synced has been dropped");
            }
            file.set_len(end)?;
        }
        _ => return Ok(Err(Trouble { at: end, what: "is not what was written" })),
    }
    if is_newest {
        write_again(&mut file, last_batch)?;
    }
    Ok(Ok(()))
}

fn is_in_order(batch: &Batch, last: Option<u64>) -> bool {
    let follows = last.is_none_or(|last| last < batch.begun.unwrap_or(batch.sequence) && last < batch.sequence);
    let is_near = |begun| begun <= batch.sequence && batch.sequence - begun < NUMBERS_BETWEEN_MAX;
    follows && batch.begun.is_none_or(is_near)
}

/// After a failed sync a batch may be in the memory of the operating system and not on the disk, and no further sync takes
/// it there. The one who reads it now will believe it.
fn write_again(file: &mut File, batch: Range<u64>) -> io::Result<()> {
    let mut bytes = vec![0; (batch.end - batch.start) as usize];
    file.seek(SeekFrom::Start(batch.start))?;
    file.read_exact(&mut bytes)?;
    file.seek(SeekFrom::Start(batch.start))?;
    file.write_all(&bytes)?;
    file.sync_all()
}

/// The journals, oldest first.
fn journals(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "jnl")) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals.into_iter().map(|(_, path)| path).collect())
}

/// Reads whole batches from the beginning of a journal.
struct Walk<'f> {
    reader: BufReader<&'f File>,
    at: u64,
}

impl<'f> Walk<'f> {
    fn new(file: &'f File) -> io::Result<Walk<'f>> {
        let mut reader = BufReader::with_capacity(1 << 16, file);
        reader.seek(SeekFrom::Start(0))?;
        Ok(Walk { reader, at: 0 })
    }

    /// The next batch, while there is a whole one.
    fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let start = self.at;
        let Some(Entry::Start { items, sequence }) = self.next_entry()? else { return Ok(None) };
        let mut checksum = Xxh3Default::new();
        let mut begun = None;
        for _ in 0..items {
            match self.next_entry()? {
                Some(Entry::Item { bytes, key, value }) => {
                    checksum.update(&bytes);
                    if bytes[key] == *MARKER {
                        begun = bytes[value].try_into().ok().map(u64::from_be_bytes).or(begun);
                    }
                }
                Some(Entry::Clear { bytes }) => checksum.update(&bytes),
                _ => return Ok(None),
            }
        }
        match self.next_entry()? {
            Some(Entry::End { checksum: written }) if written == checksum.finish() => {
                Ok(Some(Batch { bytes: start..self.at, sequence, begun }))
            }
            _ => Ok(None),
        }
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        match read_entry(&mut self.reader) {
            Ok(entry) => {
                self.at = self.reader.stream_position()?;
                Ok(Some(entry))
            }
            Err(error) if is_no_entry(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

enum Entry {
    Start {
        items: u32,
        sequence: u64,
    },
    /// All its bytes, and where key and value lie in them.
    Item {
        bytes: Vec<u8>,
        key: Range<usize>,
        value: Range<usize>,
    },
    /// A keyspace that is cleared.
    Clear {
        bytes: [u8; 9],
    },
    End {
        checksum: u64,
    },
}

/// Before key and value: tag, kind of value, compression, keyspace, lengths of key, value, and value as it lies here.
const ITEM_HEAD_BYTES: usize = 21;

/// Reads one entry, as version 3 of the database lays them out: a tag, then numbers in little endian.
fn read_entry(reader: &mut impl Read) -> io::Result<Entry> {
    let [tag] = array(reader)?;
    match tag {
        1 => {
            Ok(Entry::Start { items: u32::from_le_bytes(array(reader)?), sequence: u64::from_le_bytes(array(reader)?) })
        }
        2 => {
            let head: [u8; ITEM_HEAD_BYTES - 1] = array(reader)?;
            let number = |at: usize, len: usize| (0..len).fold(0, |n, i| n | usize::from(head[at + i]) << (8 * i));
            let (key_len, value_len) = (number(10, 2), number(16, 4));
            let key = ITEM_HEAD_BYTES..ITEM_HEAD_BYTES + key_len;
            let value = key.end..key.end + value_len;
            let mut bytes = [&[tag], &head[..]].concat();
            // Not allocated ahead: a length may be anything.
            let read = reader.take((key_len + value_len) as u64).read_to_end(&mut bytes)?;
            if read < key_len + value_len {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(Entry::Item { bytes, key, value })
        }
        3 => {
            let checksum = u64::from_le_bytes(array(reader)?);
            let trailer: [u8; TRAILER.len()] = array(reader)?;
            let end = (trailer == *TRAILER).then_some(Entry::End { checksum });
            end.ok_or_else(|| io::ErrorKind::InvalidData.into())
        }
        4 => {
            let keyspace: [u8; 8] = array(reader)?;
            let mut bytes = [tag; 9];
            bytes[1..].copy_from_slice(&keyspace);
            Ok(Entry::Clear { bytes })
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn is_no_entry(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// What follows the last whole batch.
enum Tail {
    /// Nothing, or zeros.
    Empty,
    /// A batch that was being written.
    NeverSynced {
        has_hole: bool,
    },
    Damaged,
}

fn read_tail(file: &File, start: u64) -> io::Result<Tail> {
    let mut bytes = Vec::new();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    reader.seek(SeekFrom::Start(start))?;
    let mut chunk = [0; 1 << 16];
    let (mut at, mut used) = (0, 0);
    // A new journal is 64 MiB of zeros: only what comes before the last other byte is kept.
    loop {
        let len = reader.read(&mut chunk)?;
        if len == 0 {
            break;
        }
        if let Some(last) = chunk[..len].iter().rposition(|byte| *byte != 0) {
            bytes.resize(at, 0);
            bytes.extend_from_slice(&chunk[..=last]);
            used = bytes.len();
        }
        at += len;
    }
    bytes.truncate(used);
    Ok(judge_tail(&bytes, start))
}

/// A batch that was being written does not end as one does, or has a hole where a sector is missing. Anything else was
/// whole once, and so was what has another batch behind it: each is synced before the next is begun.
fn judge_tail(tail: &[u8], start: u64) -> Tail {
    let Some((rest, last)) = tail.split_last_chunk() else {
        return if tail.is_empty() { Tail::Empty } else { Tail::NeverSynced { has_hole: false } };
    };
    let bits_off = (u32::from_le_bytes(*last) ^ u32::from_le_bytes(*TRAILER)).count_ones();
    let (is_finished, has_hole) = (bits_off <= FLIPPED_BITS_MAX, has_hole(tail, start));
    let is_followed = rest.windows(TRAILER.len()).any(|bytes| bytes == TRAILER);
    if is_followed || (is_finished && !has_hole) { Tail::Damaged } else { Tail::NeverSynced { has_hole } }
}

/// Whether a sector that ends before the tail does is zero, or the part of one where the tail begins.
fn has_hole(tail: &[u8], start: u64) -> bool {
    let first = (start.next_multiple_of(SECTOR_BYTES) - start) as usize;
    let is_zero = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(|byte| *byte == 0);
    let (head, rest) = tail.split_at(first.min(tail.len()));
    is_zero(head) || rest.chunks_exact(SECTOR_BYTES as usize).any(is_zero)
}
