//! What lies in the database: keys that sort as they are read, values with a version of their own.
//!
//! Four keyspaces. `rows`: generation, key text → the version that changed it, and the row. `changes`: generation, version,
//! kind, chunk → keys that the checkpoint changed. `records`: one entry per projection, one for its plan, one per dropped
//! or unfinished generation, one per projection that was backed up, the last generation given, and how many starts there were. `letters`: projection, number → dead letter. Each
//! keyspace holds a marker from its making on. Rows carry no version byte: their
//! layout hash stands in the plan, the layout of the rest of the entry in `FORMAT`.

use std::ops::Range;

use crate::event::{EventTime, Generation, Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::plan::{Fingerprint, Hashes};
use crate::state::backup::BackupMark;
use crate::state::bytes::{BytesError, Reader, put_bytes, put_count, put_option};
use crate::state::record::ProjectionRecord;
use crate::state::{Counters, DeadLetter, NextOffset, PlanRecord, ProjectionState, SinkRecord, StoredRow};

/// The layout of every entry that begins with a version byte.
const ENTRY_VERSION: u8 = 1;
/// The layout of a projection's record. In version 1 a sink had no beat.
const RECORD_VERSION: u8 = 2;
/// Set beside the version of a deleted row: a version needs only 53 bits.
const TOMBSTONE: u64 = 1 << 63;
/// The first byte of generations that take four.
const LONG_GENERATION: u8 = 0x80;
/// The bytes before the row.
pub const ROW_HEAD: usize = 8;

pub const LAST_GENERATION: &[u8] = b"g";
/// How many checkpoints began an epoch; see `witness`.
pub const STARTS: &[u8] = b"s";
pub const RECORD: &[u8] = b"p";
const PLAN: &[u8] = b"q";
pub const DROPPED: &[u8] = b"x";
/// Of a generation that is being restored.
pub const RESTORED: &[u8] = b"r";
const BACKUP: &[u8] = b"b";

pub fn row_key(generation: Generation, key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_row_key(&mut out, generation, key);
    out
}

/// Replaces what `out` holds.
pub fn put_row_key(out: &mut Vec<u8>, generation: Generation, key: &str) {
    out.clear();
    put_generation(out, generation);
    out.extend_from_slice(key.as_bytes());
}

/// Low numbers in one byte, others in four, in the order of the numbers: the database compares the first four bytes of keys
/// without a look at the rest, and up to 20 without following a pointer.
fn put_generation(out: &mut Vec<u8>, generation: Generation) {
    match u8::try_from(generation.0) {
        Ok(low) if low < LONG_GENERATION => out.push(low),
        _ => {
            let [_, b, c, d] = generation.0.to_be_bytes();
            // INVARIANT: below 2²⁴; a checkpoint of a later generation is refused.
            out.extend_from_slice(&[LONG_GENERATION, b, c, d]);
        }
    }
}

/// Where the rows of a generation begin and end.
pub fn row_range(generation: Generation) -> Range<Vec<u8>> {
    row_key(generation, "")..row_key(Generation(generation.0 + 1), "")
}

/// The key text of a row's key.
pub fn row_text(key: &[u8]) -> Result<&str, BytesError> {
    let len = if key.first().is_some_and(|first| *first < LONG_GENERATION) { 1 } else { 4 };
    let (_, text) = key.split_at_checked(len).ok_or(BytesError::Short)?;
    std::str::from_utf8(text).map_err(|_| BytesError::Text)
}

/// Replaces what `out` holds.
pub fn put_row_value(out: &mut Vec<u8>, changed: Version, row: Option<&[u8]>) {
    out.clear();
    let head = changed.0 | if row.is_some() { 0 } else { TOMBSTONE };
    out.extend_from_slice(&head.to_be_bytes());
    out.extend_from_slice(row.unwrap_or_default());
}

pub fn read_row(value: &[u8]) -> Result<StoredRow, BytesError> {
    let (changed, is_tombstone) = read_row_head(value)?;
    let row = (!is_tombstone).then(|| value[ROW_HEAD..].into());
    Ok(StoredRow { changed, row })
}

/// When a row was changed, and whether that deleted it.
pub fn read_row_head(value: &[u8]) -> Result<(Version, bool), BytesError> {
    let head = u64::from_be_bytes(Reader::new(value).array()?);
    Ok((Version(head & !TOMBSTONE), head & TOMBSTONE != 0))
}

/// What a list of a checkpoint names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListKind {
    /// Rows that were written.
    Written = 0,
    /// Rows that were deleted: tombstones to be removed with the list.
    Deleted = 1,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkKey {
    pub generation: Generation,
    pub version: Version,
    pub kind: ListKind,
    pub chunk: u32,
}

impl ChunkKey {
    pub fn encode(self) -> [u8; 17] {
        let mut key = [0; 17];
        key[..4].copy_from_slice(&self.generation.0.to_be_bytes());
        key[4..12].copy_from_slice(&self.version.0.to_be_bytes());
        key[12] = self.kind as u8;
        key[13..].copy_from_slice(&self.chunk.to_be_bytes());
        key
    }

    pub fn decode(key: &[u8]) -> Result<ChunkKey, BytesError> {
        let mut reader = Reader::new(key);
        let generation = Generation(u32::from_be_bytes(reader.array()?));
        let version = Version(u64::from_be_bytes(reader.array()?));
        let kind = match reader.byte()? {
            0 => ListKind::Written,
            1 => ListKind::Deleted,
            _ => return Err(BytesError::Value("list")),
        };
        let chunk = u32::from_be_bytes(reader.array()?);
        reader.end()?;
        Ok(ChunkKey { generation, version, kind, chunk })
    }
}

/// Where the lists of a generation begin and end.
pub fn chunk_range(generation: Generation) -> Range<Vec<u8>> {
    generation.0.to_be_bytes().to_vec()..(generation.0 + 1).to_be_bytes().to_vec()
}

/// The keys of a chunk, in order; its first number says how many.
pub fn read_chunk(value: &[u8]) -> Result<impl Iterator<Item = Result<&str, BytesError>>, BytesError> {
    let mut reader = Reader::new(value);
    let keys = reader.elements()?;
    Ok((0..keys).map(move |_| reader.str()))
}

/// How many keys a chunk holds.
pub fn chunk_len(value: &[u8]) -> Result<u64, BytesError> {
    Reader::new(value).count()
}

pub fn record_key(name: &ProjectionName) -> Vec<u8> {
    [RECORD, name.0.as_bytes()].concat()
}

pub fn plan_key(name: &ProjectionName) -> Vec<u8> {
    [PLAN, name.0.as_bytes()].concat()
}

pub fn dropped_key(generation: Generation) -> Vec<u8> {
    [DROPPED, &generation.0.to_be_bytes()].concat()
}

pub fn restored_key(generation: Generation) -> Vec<u8> {
    [RESTORED, &generation.0.to_be_bytes()].concat()
}

pub fn backup_key(name: &ProjectionName) -> Vec<u8> {
    [BACKUP, name.0.as_bytes()].concat()
}

pub fn put_backup(mark: BackupMark) -> Vec<u8> {
    let mut out = vec![ENTRY_VERSION];
    put_signed(&mut out, mark.made_at.0);
    put_count(&mut out, mark.version.0);
    out
}

pub fn read_backup(value: &[u8]) -> Result<BackupMark, BytesError> {
    let mut reader = versioned(value)?;
    let made_at = EventTime(read_signed(&mut reader)?);
    let version = Version(reader.count()?);
    reader.end()?;
    Ok(BackupMark { made_at, version })
}

pub fn read_generation(value: &[u8]) -> Result<Generation, BytesError> {
    let mut reader = Reader::new(value);
    let generation = Generation(u32::from_be_bytes(reader.array()?));
    reader.end()?;
    Ok(generation)
}

pub fn read_starts(value: &[u8]) -> Result<u64, BytesError> {
    let mut reader = Reader::new(value);
    let starts = u64::from_be_bytes(reader.array()?);
    reader.end()?;
    Ok(starts)
}

/// The name after the first byte of a [`record_key`].
pub fn read_name(key: &[u8]) -> Result<ProjectionName, BytesError> {
    read_name_text(key.get(1..).ok_or(BytesError::Short)?)
}

pub fn read_name_text(text: &[u8]) -> Result<ProjectionName, BytesError> {
    let text = std::str::from_utf8(text).map_err(|_| BytesError::Text)?;
    Ok(ProjectionName(text.into()))
}

/// All letters of a projection begin with it, and no letter of another: the length stands in front.
pub fn letters_prefix(name: &ProjectionName) -> Vec<u8> {
    let mut key = Vec::new();
    put_bytes(&mut key, name.0.as_bytes());
    key
}

pub fn letter_key(name: &ProjectionName, number: u64) -> Vec<u8> {
    let mut key = letters_prefix(name);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Where the letters of a projection begin and end.
pub fn letter_range(name: &ProjectionName) -> Range<Vec<u8>> {
    letter_key(name, 0)..letter_key(name, u64::MAX)
}

pub fn read_letter_number(key: &[u8]) -> Result<u64, BytesError> {
    key.last_chunk().map(|number| u64::from_be_bytes(*number)).ok_or(BytesError::Short)
}

/// A record without its plan, which is written only when it changes.
pub fn put_record(record: &ProjectionRecord) -> Vec<u8> {
    let state = &record.state;
    let mut out = vec![RECORD_VERSION];
    put_count(&mut out, state.generation.0.into());
    put_count(&mut out, state.version.0);
    put_count(&mut out, record.listed_after.0);
    put_option(&mut out, record.unlisted_tombstones, |out, version| put_count(out, version.0));
    put_count(&mut out, record.dead_letters);
    let Counters { folded, filtered, dropped, skipped, dead_letters } = state.counters;
    for count in [folded, filtered, dropped, skipped, dead_letters] {
        put_count(&mut out, count);
    }
    put_count(&mut out, state.sinks.len() as u64);
    for (sink, record) in &state.sinks {
        put_bytes(&mut out, sink.as_bytes());
        put_count(&mut out, record.settled.0);
        put_option(&mut out, record.target, |out, target| out.extend_from_slice(&target.0.to_be_bytes()));
        put_count(&mut out, record.beat);
    }
    put_count(&mut out, state.next_offsets.len() as u64);
    for (partition, next) in &state.next_offsets {
        put_partition(&mut out, partition);
        put_next_offset(&mut out, next);
    }
    out
}

pub fn read_record(value: &[u8], plan: PlanRecord) -> Result<ProjectionRecord, BytesError> {
    let mut reader = Reader::new(value);
    let record_version = reader.byte()?;
    if !(1..=RECORD_VERSION).contains(&record_version) {
        return Err(BytesError::Value("entry version"));
    }
    let generation = Generation(reader.count()?.try_into().map_err(|_| BytesError::Value("generation"))?);
    let version = Version(reader.count()?);
    let listed_after = Version(reader.count()?);
    let unlisted_tombstones = reader.option(|reader| reader.count().map(Version))?;
    let dead_letters = reader.count()?;
    let counters = Counters {
        folded: reader.count()?,
        filtered: reader.count()?,
        dropped: reader.count()?,
        skipped: reader.count()?,
        dead_letters: reader.count()?,
    };
    let sinks: Result<Vec<_>, BytesError> =
        (0..reader.elements()?).map(|_| Ok((reader.str()?.into(), read_sink(&mut reader, record_version)?))).collect();
    let sinks = sinks?;
    let next_offsets: Result<Vec<_>, BytesError> =
        (0..reader.elements()?).map(|_| Ok((read_partition(&mut reader)?, read_next_offset(&mut reader)?))).collect();
    let next_offsets = next_offsets?;
    reader.end()?;
    let state = ProjectionState { generation, version, plan, next_offsets, sinks, counters };
    Ok(ProjectionRecord { state, listed_after, unlisted_tombstones, dead_letters })
}

fn read_sink(reader: &mut Reader<'_>, record_version: u8) -> Result<SinkRecord, BytesError> {
    let settled = Version(reader.count()?);
    let target = reader.option(|reader| reader.array().map(|id| TargetId(u128::from_be_bytes(id))))?;
    let beat = if record_version == 1 { 0 } else { reader.count()? };
    Ok(SinkRecord { settled, target, beat })
}

pub fn put_plan(plan: &PlanRecord) -> Vec<u8> {
    let mut out = vec![ENTRY_VERSION];
    let Hashes { source, layout, fold, emit, options } = plan.hashes;
    for hash in [source, layout, fold, emit, options] {
        out.extend_from_slice(&hash.0);
    }
    put_count(&mut out, plan.semantics.into());
    put_bytes(&mut out, plan.text.as_bytes());
    out
}

pub fn read_plan(value: &[u8]) -> Result<PlanRecord, BytesError> {
    let mut reader = versioned(value)?;
    let mut hash = || reader.array().map(Fingerprint);
    let hashes = Hashes { source: hash()?, layout: hash()?, fold: hash()?, emit: hash()?, options: hash()? };
    let semantics = reader.count()?.try_into().map_err(|_| BytesError::Value("semantics"))?;
    let text = reader.str()?.into();
    reader.end()?;
    Ok(PlanRecord { hashes, semantics, text })
}

pub fn put_letter(letter: &DeadLetter) -> Vec<u8> {
    let mut out = vec![ENTRY_VERSION];
    put_partition(&mut out, &letter.partition);
    put_signed(&mut out, letter.offset.0);
    put_option(&mut out, letter.time, |out, time| put_signed(out, time.0));
    put_option(&mut out, letter.key.as_deref(), put_bytes);
    put_option(&mut out, letter.value.as_deref(), put_bytes);
    put_count(&mut out, letter.headers.len() as u64);
    for (name, value) in &letter.headers {
        put_bytes(&mut out, name);
        put_bytes(&mut out, value);
    }
    for text in [&*letter.to, &*letter.class, &*letter.code, &*letter.message] {
        put_bytes(&mut out, text.as_bytes());
    }
    put_option(&mut out, letter.at.as_deref(), |out, at| put_bytes(out, at.as_bytes()));
    out
}

pub fn read_letter(value: &[u8]) -> Result<DeadLetter, BytesError> {
    let mut reader = versioned(value)?;
    let reader = &mut reader;
    let letter = DeadLetter {
        partition: read_partition(reader)?,
        offset: Offset(read_signed(reader)?),
        time: reader.option(read_signed)?.map(EventTime),
        key: reader.option(Reader::bytes)?.map(<[u8]>::to_vec),
        value: reader.option(Reader::bytes)?.map(<[u8]>::to_vec),
        headers: (0..reader.elements()?)
            .map(|_| Ok((reader.bytes()?.to_vec(), reader.bytes()?.to_vec())))
            .collect::<Result<_, BytesError>>()?,
        to: reader.str()?.into(),
        class: reader.str()?.into(),
        code: reader.str()?.into(),
        message: reader.str()?.into(),
        at: reader.option(Reader::str)?.map(str::to_owned),
    };
    reader.end()?;
    Ok(letter)
}

fn versioned(value: &[u8]) -> Result<Reader<'_>, BytesError> {
    let mut reader = Reader::new(value);
    if reader.byte()? == ENTRY_VERSION { Ok(reader) } else { Err(BytesError::Value("entry version")) }
}

fn put_signed(out: &mut Vec<u8>, n: i64) {
    out.extend_from_slice(&n.to_le_bytes());
}

fn read_signed(reader: &mut Reader<'_>) -> Result<i64, BytesError> {
    reader.array().map(i64::from_le_bytes)
}

fn put_partition(out: &mut Vec<u8>, partition: &TopicPartition) {
    put_bytes(out, partition.topic.as_bytes());
    out.extend_from_slice(&partition.partition.to_le_bytes());
}

fn read_partition(reader: &mut Reader<'_>) -> Result<TopicPartition, BytesError> {
    Ok(TopicPartition { topic: reader.str()?.into(), partition: i32::from_le_bytes(reader.array()?) })
}

fn put_next_offset(out: &mut Vec<u8>, next: &NextOffset) {
    put_signed(out, next.offset.0);
    put_option(out, next.time, |out, time| put_signed(out, time.0));
    put_option(out, next.last, |out, (offset, hash)| {
        put_signed(out, offset.0);
        out.extend_from_slice(&hash);
    });
}

fn read_next_offset(reader: &mut Reader<'_>) -> Result<NextOffset, BytesError> {
    Ok(NextOffset {
        offset: Offset(read_signed(reader)?),
        time: reader.option(read_signed)?.map(EventTime),
        last: reader.option(|reader| Ok((Offset(read_signed(reader)?), reader.array()?)))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_one_generation_lie_together_in_key_order() {
        let generations = [1, 2, 126, 127, 128, 129, 255, 256, 65_536, (1 << 24) - 2].map(Generation);
        let texts = ["", "\0", "a", "a\0", "b", "\u{10ffff}"];
        let keys: Vec<_> = generations.iter().flat_map(|g| texts.iter().map(|text| row_key(*g, text))).collect();
        assert!(keys.is_sorted());
        for (generation, keys) in generations.iter().zip(keys.chunks(texts.len())) {
            let range = row_range(*generation);
            assert!(keys.iter().all(|key| range.contains(key)));
            assert!(keys.iter().map(|key| row_text(key).unwrap()).eq(texts));
            assert_eq!(generations.iter().filter(|other| range.contains(&row_key(**other, ""))).count(), 1);
        }
    }
}
