//! What flows: the places records come from and the numbers that order them.
//!
//! These are plain names and newtypes with no dependency on any other room of the crate, so that every room can speak of them.

pub mod batch;

use std::fmt;
use std::sync::Arc;

pub use batch::{Headers, Record, RecordBatch};

/// A partition of a topic, as the log names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name in the log, not its name in a `.proj` file.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record of the log, written `topic/partition@offset`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPlace {
    pub partition: TopicPartition,
    pub offset: Offset,
}

impl RecordPlace {
    /// Reads it from its end: a topic may hold `/` and `@`.
    pub fn parse(text: &str) -> Option<RecordPlace> {
        let (partition, offset) = text.rsplit_once('@')?;
        let (topic, partition) = partition.rsplit_once('/')?;
        let partition = TopicPartition { topic: topic.into(), partition: partition.parse().ok()? };
        Some(RecordPlace { partition, offset: Offset(offset.parse().ok()?) })
    }
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// The place of a record in its partition.
///
/// `next_offset` names the first record not yet read; `last_offset` the last one that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Offset(pub i64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record's own time: microseconds since 1970, UTC, from the log (never from our clock).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventTime(pub i64);

/// Counts the starts of a projection: it grows by one each time a process begins to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The version of the checkpoint that begins it.
    pub fn first_version(self) -> Version {
        Version(u64::from(self.0) << Version::CHECKPOINT_BITS)
    }
}

/// The version of a document: the epoch (24 bits) over the number of the checkpoint it was read from (29 bits).
///
/// 53 bits in all, so that JSON, Lua and Cosmos DB carry it exactly. INVARIANT: it only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Version(pub u64);

impl Version {
    /// How many low bits count checkpoints.
    pub const CHECKPOINT_BITS: u32 = 29;
    /// How many high bits count epochs.
    pub const EPOCH_BITS: u32 = 24;

    /// The epoch this version belongs to.
    pub fn epoch(self) -> Epoch {
        Epoch((self.0 >> Self::CHECKPOINT_BITS) as u32)
    }

    /// The first version of the next epoch: what a start takes before it publishes anything.
    /// `None` when the 24 bits are used up.
    pub fn next_epoch(self) -> Option<Version> {
        let epoch = (self.0 >> Self::CHECKPOINT_BITS) + 1;
        (epoch < 1 << Self::EPOCH_BITS).then_some(Version(epoch << Self::CHECKPOINT_BITS))
    }

    /// Whether it is the first of its epoch: the checkpoint that a start writes before anything is published.
    pub fn begins_epoch(self) -> bool {
        self.0.trailing_zeros() >= Self::CHECKPOINT_BITS
    }

    /// The version of the next checkpoint. A carry out of the low bits is a new epoch.
    pub fn next_checkpoint(self) -> Version {
        Version(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a projection, as its file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProjectionName(pub Arc<str>);

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names what a target holds among all that it ever held: given when its first claim is made, so that a target that was
/// wiped or restored is known by another one, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TargetId(pub u128);

/// Where a projection's rows lie in the store: every rebuild has a generation of its own. Unique in a store, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_its_end() {
        let place = RecordPlace::parse("shop/orders.v1@eu/3@17").unwrap();
        let partition = TopicPartition { topic: "shop/orders.v1@eu".into(), partition: 3 };
        assert_eq!(place, RecordPlace { partition, offset: Offset(17) });
        assert_eq!(place.to_string(), "shop/orders.v1@eu/3@17");
        for wrong in ["orders", "orders/1", "orders@5", "orders/x@5", "orders/1@", ""] {
            assert_eq!(RecordPlace::parse(wrong), None, "{wrong}");
        }
    }
}
