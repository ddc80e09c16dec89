//! The journal of a database whose last batch has a hole → the journal without that batch.
//!
//! A power cut may leave some sectors of the batch that was being written and not those before them. The database knows a
//! batch that ends early, and drops it; one that is whole but for a hole it takes for damage, and refuses to open. Such a
//! batch was never synced, so nothing that was promised is lost by dropping it. What is dropped is kept beside the journal.
//! Only the last batch, and only one with a hole, is dropped: anything else stays damage.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a disk writes as one.
const SECTOR_BYTES: usize = 512;

/// Drops a batch with a hole from the end of the newest journal in `database`; says whether there was one.
pub fn drop_torn_batch(database: &Path) -> io::Result<bool> {
    let Some(path) = newest_journal(database)? else { return Ok(false) };
    let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
    let Some(batch) = last_batch(&file)? else { return Ok(false) };
    let mut bytes = vec![0; (batch.end - batch.start) as usize];
    file.seek(SeekFrom::Start(batch.start))?;
    file.read_exact(&mut bytes)?;
    if !has_hole(&bytes, batch.start) {
        return Ok(false);
    }
    fs::write(path.with_extension("torn"), &bytes)?;
    file.set_len(batch.start)?;
    file.sync_all()?;
    Ok(true)
}

/// Whether a whole sector is zero: then it was never written.
fn has_hole(bytes: &[u8], start: u64) -> bool {
    let first = (start as usize).next_multiple_of(SECTOR_BYTES) - start as usize;
    let sectors = bytes.get(first..).unwrap_or_default().chunks_exact(SECTOR_BYTES);
    sectors.into_iter().any(|sector| sector.iter().all(|byte| *byte == 0))
}

fn newest_journal(database: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "jnl")) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// Where the last batch lies that has a beginning and an end.
fn last_batch(file: &File) -> io::Result<Option<Range<u64>>> {
    let mut reader = BufReader::new(file);
    let (mut start, mut last) = (None, None);
    loop {
        let at = reader.stream_position()?;
        match skip_entry(&mut reader) {
            Ok(Entry::Start) => start = Some(at),
            Ok(Entry::Item) => {}
            Ok(Entry::End) => last = start.take().map(|start| start..reader.stream_position().unwrap_or(at)),
            // Here the journal ends: zeros, a half-written entry, or the end of the file.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                return Ok(last);
            }
            Err(error) => return Err(error),
        }
    }
}

enum Entry {
    Start,
    Item,
    End,
}

/// Reads over one entry, as version 3 of the database lays them out: a tag, then numbers in little endian.
fn skip_entry(reader: &mut BufReader<&File>) -> io::Result<Entry> {
    match array::<1>(reader)? {
        // Number of items, sequence number.
        [1] => array::<12>(reader).map(|_| Entry::Start),
        [2] => {
            // Kind of value, compression, keyspace; then the lengths of key, value, and value as it lies here.
            array::<10>(reader)?;
            let key = u16::from_le_bytes(array(reader)?);
            array::<4>(reader)?;
            let value = u32::from_le_bytes(array(reader)?);
            reader.seek_relative(i64::from(key) + i64::from(value))?;
            Ok(Entry::Item)
        }
        // Checksum, then the mark of a finished batch.
        [3] => match array::<12>(reader)? {
            [.., b'F', b'J', b'L', 3] => Ok(Entry::End),
            _ => Err(io::ErrorKind::InvalidData.into()),
        },
        // A keyspace that is cleared.
        [4] => array::<8>(reader).map(|_| Entry::Item),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
