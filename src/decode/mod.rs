//! Records → events: finds the type, drops what no handler wants, fills the used fields into typed slots.
//!
//! One [`Chunk`] is decoded by one thread from a range of a batch. Nothing is allocated per event.

use std::ops::Range;

use crate::plan::Fault;
use crate::value::{Slot, SlotBuffer};

pub use json::SlotDecoder;

mod convert;
mod json;
mod names;
pub(crate) mod scan;
mod unlisted;

/// The outcome of decoding a range of a [`crate::event::RecordBatch`].
#[derive(Debug, Default)]
pub struct Chunk {
    /// Text and nested values of all slots here.
    pub buffer: SlotBuffer,
    /// The slots of all events, one run after another.
    pub slots: Vec<Slot>,
    /// Wanted events, in record order.
    pub events: Vec<DecodedEvent>,
    /// Records that could not be decoded, in record order: (index in the batch, why).
    pub faults: Vec<(u32, Box<Fault>)>,
    pub counts: DecodeCounts,
}

impl Chunk {
    /// Empties the chunk and keeps its memory.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.slots.clear();
        self.events.clear();
        self.faults.clear();
        self.counts = DecodeCounts::default();
    }
}

/// An event some handler wants.
#[derive(Debug, Clone)]
pub struct DecodedEvent {
    /// Index of its record in the batch.
    pub record: u32,
    /// Index into [`crate::language::typed::Projection::programs`].
    pub program: u32,
    /// Its run in [`Chunk::slots`].
    pub slots: Range<u32>,
}

/// What happened to the records of a chunk.
#[derive(Debug, Default, Clone, Copy)]
pub struct DecodeCounts {
    pub records: u64,
    /// Events of a declared or unlisted type that no clause wants, and tombstones nobody handles.
    pub dropped: u64,
    pub tombstones_dropped: u64,
    /// Of a type the topic does not list.
    pub unlisted: u64,
}

#[cfg(test)]
mod tests;
