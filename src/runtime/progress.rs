//! What a running projection shows of itself: computed from progress, never from a stored flag.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::event::{Offset, TopicPartition, Version};
use crate::sinks::meter::Metered;
use crate::state::Counters;

/// A projection at one moment. Replaced whole at each checkpoint and each answer, never per event.
#[derive(Debug, Clone)]
pub struct ProjectionStatus {
    pub name: Arc<str>,
    pub run_state: RunState,
    /// Of the last synced checkpoint.
    pub version: Version,
    pub partitions: Vec<PartitionStatus>,
    pub sinks: Vec<SinkStatus>,
    /// As of the last synced checkpoint.
    pub counters: Counters,
    /// When the last checkpoint was synced.
    pub checkpoint_at: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    Starting,
    Running,
    /// Every partition has stopped, or the projection could not start; with the reason.
    Stopped(String),
    /// It ended as asked.
    Finished,
}

#[derive(Debug, Clone)]
pub struct PartitionStatus {
    pub partition: TopicPartition,
    /// Synced: what a crash does not take back.
    pub next_offset: Offset,
    /// The first offset still in the log, as last seen.
    pub beginning: Option<Offset>,
    /// The end of the log as last seen.
    pub end: Option<Offset>,
    /// Read to the end.
    pub caught_up: bool,
    /// The fault it stopped on, as shown to people (several lines).
    pub stopped: Option<String>,
}

impl PartitionStatus {
    /// How many offsets are still to be folded.
    pub fn lag_events(&self) -> Option<u64> {
        Some(self.end?.0.saturating_sub(self.next_offset.0).max(0) as u64)
    }

    /// How many offsets retention may still take before it takes one that was not folded.
    pub fn retention_headroom_events(&self) -> Option<u64> {
        Some(self.next_offset.0.saturating_sub(self.beginning?.0).max(0) as u64)
    }
}

#[derive(Debug, Clone)]
pub struct SinkStatus {
    pub name: Arc<str>,
    /// Everything up to it has been answered.
    pub settled: Version,
    /// How many keys it is owed, beside those that a walk over all rows will find.
    pub owed: u64,
    /// When the oldest change it is owed was synced, in this process.
    pub owed_since: Option<Instant>,
    /// All rows are walked for it: there were too many keys to remember, or it is filled.
    pub walks: bool,
    /// A volatile sink has been filled from the rows; others are always.
    pub filled: bool,
    /// Why it stopped, or what it waits for.
    pub trouble: Option<String>,
    pub stopped: bool,
    /// What it did in this process, when it counts that.
    pub metered: Option<Metered>,
}
