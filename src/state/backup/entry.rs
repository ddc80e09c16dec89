//! What the frames of a backup hold.
//!
//! Plans, records and letters are laid out as in the store, which reads every layout that it ever wrote; the head, the rows
//! and the end have layouts of their own, which the number of the format stands for.

use std::sync::Arc;

use crate::event::{EventTime, ProjectionName, Version};
use crate::state::backup::{BackupCounts, BackupHead, BackupMark};
use crate::state::bytes::{BytesError, Reader, put_bytes, put_count, put_option};
use crate::state::record::KEY_BYTES_MAX;
use crate::state::{DeadLetter, StoreId, StoredRow};

pub use crate::state::disk::entry::{put_letter, put_plan, put_record, read_letter, read_plan, read_record};

pub fn put_head(head: &BackupHead) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, head.projection.0.as_bytes());
    out.extend_from_slice(&head.store.0.to_le_bytes());
    out.extend_from_slice(&head.mark.made_at.0.to_le_bytes());
    put_count(&mut out, head.mark.version.0);
    put_bytes(&mut out, head.release.as_bytes());
    out
}

pub fn read_head(payload: &[u8]) -> Result<BackupHead, BytesError> {
    let mut reader = Reader::new(payload);
    let projection = ProjectionName(reader.str()?.into());
    let store = StoreId(u128::from_le_bytes(reader.array()?));
    let made_at = EventTime(i64::from_le_bytes(reader.array()?));
    let version = Version(reader.count()?);
    let release = reader.str()?.to_owned();
    reader.end()?;
    Ok(BackupHead { projection, store, mark: BackupMark { made_at, version }, release })
}

/// Appends a row to a frame of rows.
pub fn put_row(out: &mut Vec<u8>, key: &str, row: &StoredRow) {
    put_bytes(out, key.as_bytes());
    put_count(out, row.changed.0);
    put_option(out, row.row.as_deref(), put_bytes);
}

pub fn read_rows(payload: &[u8]) -> Result<Vec<(Arc<str>, StoredRow)>, BytesError> {
    let mut reader = Reader::new(payload);
    let mut rows = Vec::new();
    while !reader.is_empty() {
        let key = reader.str()?;
        if key.len() > KEY_BYTES_MAX {
            return Err(BytesError::Value("key"));
        }
        let changed = Version(reader.count()?);
        let row = reader.option(Reader::bytes)?.map(Arc::from);
        rows.push((key.into(), StoredRow { changed, row }));
    }
    Ok(rows)
}

/// Appends a letter and its number to a frame of letters.
pub fn put_numbered_letter(out: &mut Vec<u8>, number: u64, letter: &DeadLetter) {
    put_count(out, number);
    put_bytes(out, &put_letter(letter));
}

pub fn read_letters(payload: &[u8]) -> Result<Vec<(u64, DeadLetter)>, BytesError> {
    let mut reader = Reader::new(payload);
    let mut letters = Vec::new();
    while !reader.is_empty() {
        let number = reader.count()?;
        letters.push((number, read_letter(reader.bytes()?)?));
    }
    Ok(letters)
}

/// The size of the file stands in no frame.
pub fn put_end(counts: BackupCounts) -> Vec<u8> {
    let mut out = Vec::new();
    for count in [counts.rows, counts.tombstones, counts.dead_letters] {
        put_count(&mut out, count);
    }
    out
}

/// Whether the end says what was counted.
pub fn read_end(payload: &[u8], counts: BackupCounts) -> Result<(), BytesError> {
    if payload == put_end(counts) { Ok(()) } else { Err(BytesError::Value("count")) }
}
