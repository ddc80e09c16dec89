//! Where records come from: a log of partitions, read in offset order.
//!
//! One trait, three sources: the event log directory, Kafka, and memory. A source is driven by one thread of its own and
//! blocks there; nothing of Kafka is known past this room.

use std::time::Duration;

use crate::event::{Offset, RecordBatch, TopicPartition};

pub use error::SourceError;

mod error;
mod inputs;
pub mod kafka;
pub mod log;
pub mod memory;
mod partitioner;

/// A log that can be read by partition and offset.
pub trait Source: Send {
    /// The partitions of its topics as they are now. May be called again: partitions may have been added.
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError>;

    /// The readable range of a partition: first offset there, and one past the last (read-committed).
    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError>;

    /// Starts to read these partitions at these offsets, beside those already open. Never resets an offset: one outside
    /// the log is an error from here or from `poll`.
    fn open(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError>;

    /// Stops delivering a partition (it stopped on a fault).
    fn close(&mut self, partition: &TopicPartition);

    /// Fills `batch` (cleared first) with what is there, waiting at most `budget.wait` for the first record. Records of one
    /// partition come in offset order and never again, unless it is opened again. What was taken before an error is
    /// delivered before it, so that an error loses nothing.
    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError>;

    /// The record at exactly this offset, as a batch of one; an empty batch when there is none (compacted away).
    fn record_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<RecordBatch, SourceError>;

    /// Whether it always says so ([`SourceError::Doubtful`]) before it delivers records of a topic that was made again. If not,
    /// what was read is to be compared from time to time.
    fn tells_remade(&self) -> bool {
        true
    }

    /// Tells the log's own bookkeeping (a consumer group) what a synced checkpoint covers, for lag tools. Best effort.
    fn told(&mut self, next_offsets: &[(TopicPartition, Offset)]);
}

/// The offsets a partition holds: `beginning..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    pub beginning: Offset,
    pub end: Offset,
}

/// How much one poll may take.
#[derive(Debug, Clone, Copy)]
pub struct PollBudget {
    pub records_max: usize,
    pub bytes_max: usize,
    pub wait: Duration,
}
