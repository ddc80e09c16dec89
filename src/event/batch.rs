//! Records as a source hands them over: many in one buffer, so that nothing is allocated per record.

use std::ops::Range;
use std::sync::Arc;

use crate::event::{EventTime, Offset, TopicPartition};

/// Records of one poll, in offset order within each input, their bytes in one buffer.
///
/// A batch is filled by a source, read by decode and fold, and given back to be filled again.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// The partitions that records point into. A source keeps an index for as long as it runs; it only appends.
    pub inputs: Arc<Vec<TopicPartition>>,
    bytes: Vec<u8>,
    records: Vec<Entry>,
    headers: Vec<(Range<u32>, Range<u32>)>,
    /// (input, next offset) of every input the poll moved, past its last record here, gaps and control records included.
    pub positions: Vec<(u32, Offset)>,
    /// (input, offset) of every input found to be at its end, with nothing after `offset` readable yet.
    pub ends: Vec<(u32, Offset)>,
}

#[derive(Debug)]
struct Entry {
    input: u32,
    offset: Offset,
    time: Option<EventTime>,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers: Range<u32>,
    /// Why the source could not read the record, when it could not (then `value` is what was there).
    malformed: Option<Box<str>>,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub source: &'a TopicPartition,
    /// Index of `source` in [`RecordBatch::inputs`].
    pub input: u32,
    pub offset: Offset,
    pub time: Option<EventTime>,
    pub key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    pub malformed: Option<&'a str>,
}

/// The headers of a record, in order.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    entries: &'a [(Range<u32>, Range<u32>)],
}

impl<'a> Headers<'a> {
    /// All headers: name and value.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.entries.iter().map(move |(name, value)| (slice(self.bytes, name), slice(self.bytes, value)))
    }

    /// The value of the last header of that name, as Kafka's own clients read it.
    pub fn last(self, name: &str) -> Option<&'a [u8]> {
        let (_, value) = self.entries.iter().rev().find(|(n, _)| slice(self.bytes, n) == name.as_bytes())?;
        Some(slice(self.bytes, value))
    }
}

/// What a source adds to a batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewRecord<'a> {
    pub time: Option<EventTime>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub malformed: Option<&'a str>,
}

impl RecordBatch {
    /// An empty batch of records of these partitions.
    pub fn of(inputs: Vec<TopicPartition>) -> RecordBatch {
        RecordBatch { inputs: Arc::new(inputs), ..RecordBatch::default() }
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.headers.clear();
        self.positions.clear();
        self.ends.clear();
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record of `inputs[input]`.
    pub fn push<'h>(
        &mut self,
        input: u32,
        offset: Offset,
        record: NewRecord<'_>,
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
    ) {
        let first = self.headers.len() as u32;
        for (name, value) in headers {
            let pair = (self.append(name), self.append(value));
            self.headers.push(pair);
        }
        let entry = Entry {
            input,
            offset,
            time: record.time,
            key: record.key.map(|key| self.append(key)),
            value: record.value.map(|value| self.append(value)),
            headers: first..self.headers.len() as u32,
            malformed: record.malformed.map(Into::into),
        };
        self.records.push(entry);
    }

    /// The record at `index`. Panics when there is none.
    pub fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.records[index];
        Record {
            source: &self.inputs[entry.input as usize],
            input: entry.input,
            offset: entry.offset,
            time: entry.time,
            key: entry.key.as_ref().map(|key| slice(&self.bytes, key)),
            value: entry.value.as_ref().map(|value| slice(&self.bytes, value)),
            headers: Headers {
                bytes: &self.bytes,
                entries: &self.headers[entry.headers.start as usize..entry.headers.end as usize],
            },
            malformed: entry.malformed.as_deref(),
        }
    }

    /// Where the record at `index` lies: its input and offset. Panics when there is none.
    pub fn place(&self, index: usize) -> (u32, Offset) {
        let entry = &self.records[index];
        (entry.input, entry.offset)
    }

    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    fn append(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len() as u32
    }
}

fn slice<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    &bytes[range.start as usize..range.end as usize]
}
