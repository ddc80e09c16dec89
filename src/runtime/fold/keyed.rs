//! Phase one: a range of a batch → events with their keys, by the shard that owns each key.

use std::hash::BuildHasher;
use std::ops::Range;

use crate::decode::Chunk;
use crate::event::RecordBatch;
use crate::language::codes;
use crate::language::typed::FaultClass;
use crate::plan::Fault;
use crate::plan::eval::{self, EventView, Scratch};
use crate::runtime::fold::FoldProgram;
use crate::state::KEY_BYTES_MAX;

/// The events of a range, decoded, filtered and keyed. Kept and filled again.
#[derive(Debug, Default)]
pub(super) struct KeyedChunk {
    pub chunk: Chunk,
    /// The key texts, one after another.
    keys: String,
    /// By shard, in record order.
    pub owned: Vec<Vec<KeyedEvent>>,
    /// (index of the record, why), beside those of the chunk.
    pub faults: Vec<(u32, Box<Fault>)>,
    pub filtered: u64,
    scratch: Scratch,
}

/// An event that goes to one row.
#[derive(Debug, Clone)]
pub(super) struct KeyedEvent {
    /// Index into the chunk's events.
    pub event: u32,
    key: Range<u32>,
    pub hash: u64,
}

impl KeyedChunk {
    pub fn key(&self, event: &KeyedEvent) -> &str {
        &self.keys[event.key.start as usize..event.key.end as usize]
    }

    /// Decodes, filters and keys the records of a range.
    pub fn fill(&mut self, program: &FoldProgram, batch: &RecordBatch, range: Range<usize>, shards: usize) {
        program.decoder.decode(batch, range, &mut self.chunk);
        self.keys.clear();
        self.faults.clear();
        self.filtered = 0;
        self.owned.resize_with(shards, Vec::new);
        self.owned.iter_mut().for_each(Vec::clear);
        for index in 0..self.chunk.events.len() {
            match self.keyed(program, batch, index) {
                Ok(Some(event)) => self.owned[owner(event.hash, shards)].push(event),
                Ok(None) => self.filtered += 1,
                Err(fault) => self.faults.push((self.chunk.events[index].record, fault)),
            }
        }
    }

    fn keyed(
        &mut self,
        program: &FoldProgram,
        batch: &RecordBatch,
        index: usize,
    ) -> Result<Option<KeyedEvent>, Box<Fault>> {
        let projection = &program.plan.projection;
        let (event_program, view) = program.view(batch, &self.chunk, index);
        if !eval::filter(projection, event_program, view, &mut self.scratch)? {
            return Ok(None);
        }
        let start = self.keys.len();
        eval::key(projection, event_program, view, &mut self.scratch, &mut self.keys)?;
        let key = &self.keys[start..];
        if key.len() > KEY_BYTES_MAX {
            let fault = key_too_long(view, key.len());
            self.keys.truncate(start);
            return Err(fault);
        }
        let hash = program.hasher.hash_one(key);
        Ok(Some(KeyedEvent { event: index as u32, key: start as u32..self.keys.len() as u32, hash }))
    }
}

/// The shard that owns a key. The high bits: the low ones find the row within the shard.
fn owner(hash: u64, shards: usize) -> usize {
    ((u128::from(hash) * shards as u128) >> 64) as usize
}

#[cold]
fn key_too_long(view: EventView<'_>, len: usize) -> Box<Fault> {
    let message = format!("the key of this {} is {len} bytes long, more than {KEY_BYTES_MAX}", view.event_type);
    Box::new(Fault { code: codes::KEY_SIZE, class: FaultClass::Key, message, span: None })
}

impl FoldProgram {
    /// An event of a chunk, with its program.
    pub(super) fn view<'a>(
        &'a self,
        batch: &'a RecordBatch,
        chunk: &'a Chunk,
        index: usize,
    ) -> (&'a crate::language::typed::EventProgram, EventView<'a>) {
        let event = &chunk.events[index];
        let program = event.program as usize;
        let view = EventView {
            record: batch.record(event.record as usize),
            event_type: &self.wire_names[program],
            slots: &chunk.slots[event.slots.start as usize..event.slots.end as usize],
            buffer: &chunk.buffer,
        };
        (&self.plan.projection.programs[program], view)
    }
}
