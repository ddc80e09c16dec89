//! A projection's status as JSON: what `/v1/projections` answers and `projector status` prints.
//!
//! The same shape stands for a projection that runs and for one that only lies in the store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::event::{EventTime, TopicPartition};
use crate::runtime::progress::{PartitionStatus, ProjectionStatus, RunState, SinkStatus};
use crate::state::{Counters, ProjectionState, SinkRecord};
use crate::value::timestamp;

/// A projection at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProjectionReport {
    pub name: String,
    /// `starting`, `running`, `stopped`, `finished`; `at_rest` when nothing runs it.
    pub state: String,
    /// Why it stopped.
    pub reason: Option<String>,
    pub generation: Option<u32>,
    /// Of the last synced checkpoint.
    pub version: u64,
    pub checkpoint_at: Option<String>,
    pub checkpoint_age_ms: Option<u64>,
    /// Events still to be folded, of all partitions whose end is known.
    pub lag_events: Option<u64>,
    pub events: EventCounts,
    pub partitions: Vec<PartitionReport>,
    pub sinks: Vec<SinkReport>,
}

/// What became of events, over the life of the state.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct EventCounts {
    pub folded: u64,
    pub filtered: u64,
    pub dropped: u64,
    pub skipped: u64,
    pub dead_letters: u64,
}

/// How far a partition has been folded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartitionReport {
    pub topic: String,
    pub partition: i32,
    pub next_offset: i64,
    pub end: Option<i64>,
    pub lag_events: Option<u64>,
    /// How old the last event passed is, while there are more; 0 at the end.
    pub lag_seconds: Option<u64>,
    pub caught_up: bool,
    /// The fault it stopped on.
    pub stopped: Option<String>,
}

/// What a sink has and lacks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SinkReport {
    pub name: String,
    /// Everything up to this version has been answered.
    pub settled: u64,
    /// How many keys it is owed; only an engine that runs has counted them.
    pub owed: Option<u64>,
    pub filled: bool,
    pub stopped: bool,
    pub trouble: Option<String>,
}

impl ProjectionReport {
    /// Of a projection that runs; `stored` is what the store knows of it, when it knows it already.
    pub fn running(status: &ProjectionStatus, stored: Option<&ProjectionState>, now: SystemTime) -> ProjectionReport {
        let (state, reason) = match &status.run_state {
            RunState::Starting => ("starting", None),
            RunState::Running => ("running", None),
            RunState::Stopped(reason) => ("stopped", Some(reason.clone())),
            RunState::Finished => ("finished", None),
        };
        let age = status.checkpoint_at.map(|at| now.duration_since(at).unwrap_or_default().as_millis() as u64);
        let time_of = |partition: &TopicPartition| last_time(stored?, partition);
        let partitions: Vec<_> =
            status.partitions.iter().map(|p| PartitionReport::of(p, time_of(&p.partition), now)).collect();
        ProjectionReport {
            name: status.name.to_string(),
            state: state.into(),
            reason,
            generation: stored.map(|stored| stored.generation.0),
            version: status.version.0,
            checkpoint_at: status.checkpoint_at.map(|at| rfc3339(micros(at))),
            checkpoint_age_ms: age,
            lag_events: partitions.iter().map(|p| p.lag_events).sum(),
            events: status.counters.into(),
            partitions,
            sinks: status.sinks.iter().map(SinkReport::from).collect(),
        }
    }

    /// Of a projection that nothing runs now.
    pub fn at_rest(name: &str, stored: &ProjectionState) -> ProjectionReport {
        let partition = |(partition, next): &(TopicPartition, crate::state::NextOffset)| PartitionReport {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            next_offset: next.offset.0,
            end: None,
            lag_events: None,
            lag_seconds: None,
            caught_up: false,
            stopped: None,
        };
        let sink = |(name, sink): &(Arc<str>, SinkRecord)| SinkReport {
            name: name.to_string(),
            settled: sink.settled.0,
            owed: None,
            filled: true,
            stopped: false,
            trouble: None,
        };
        ProjectionReport {
            name: name.to_owned(),
            state: "at_rest".into(),
            reason: None,
            generation: Some(stored.generation.0),
            version: stored.version.0,
            checkpoint_at: None,
            checkpoint_age_ms: None,
            lag_events: None,
            events: stored.counters.into(),
            partitions: stored.next_offsets.iter().map(partition).collect(),
            sinks: stored.sinks.iter().map(sink).collect(),
        }
    }
}

impl PartitionReport {
    fn of(status: &PartitionStatus, last: Option<EventTime>, now: SystemTime) -> PartitionReport {
        let lag_events = status.lag_events();
        let lag_seconds = match lag_events {
            Some(0) => Some(0),
            _ => last.map(|last| (micros(now) - last.0).max(0) as u64 / 1_000_000),
        };
        PartitionReport {
            topic: status.partition.topic.to_string(),
            partition: status.partition.partition,
            next_offset: status.next_offset.0,
            end: status.end.map(|end| end.0),
            lag_events,
            lag_seconds,
            caught_up: status.caught_up,
            stopped: status.stopped.clone(),
        }
    }
}

impl From<&SinkStatus> for SinkReport {
    fn from(sink: &SinkStatus) -> SinkReport {
        SinkReport {
            name: sink.name.to_string(),
            settled: sink.settled.0,
            owed: Some(sink.owed),
            filled: sink.filled,
            stopped: sink.stopped,
            trouble: sink.trouble.clone(),
        }
    }
}

impl From<Counters> for EventCounts {
    fn from(counters: Counters) -> EventCounts {
        let Counters { folded, filtered, dropped, skipped, dead_letters } = counters;
        EventCounts { folded, filtered, dropped, skipped, dead_letters }
    }
}

fn last_time(stored: &ProjectionState, partition: &TopicPartition) -> Option<EventTime> {
    stored.next_offsets.iter().find(|(at, _)| at == partition)?.1.time
}

fn micros(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Microseconds since 1970 as text; empty beyond the years that can be printed.
pub(crate) fn rfc3339(micros: i64) -> String {
    let mut text = String::new();
    if timestamp::in_range(micros).is_some() {
        timestamp::write(micros, &mut text).expect("a string takes all that is written");
    }
    text
}
