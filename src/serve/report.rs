//! A projection's status as JSON: what `/v1/projections` answers and `projector status` prints.
//!
//! The same shape stands for a projection that runs and for one that only lies in the store.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::event::{EventTime, Offset, TopicPartition};
use crate::runtime::progress::{PartitionStatus, ProjectionStatus, RunState, SinkStatus};
use crate::sinks::meter::Metered;
use crate::state::backup::BackupMark;
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
    /// Whether the log lacks events that were folded: then lost state could not be folded again. Without a log, nobody knows.
    pub state_cannot_be_rebuilt: Option<bool>,
    /// When the last backup was made, or the one that the state was restored from.
    pub backup_at: Option<String>,
    pub backup_age_s: Option<u64>,
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
    /// The first offset that is still in the log.
    pub beginning: Option<i64>,
    /// How many events retention may still take before it takes one that was not folded.
    pub retention_headroom_events: Option<u64>,
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
    /// For how long it has been owed something, in this process.
    pub owed_for_ms: Option<u64>,
    /// All rows are walked for it: there were too many keys to remember, or it is filled.
    pub walks: bool,
    pub filled: bool,
    pub stopped: bool,
    pub trouble: Option<String>,
    /// What it did in this process, when it counts that.
    pub metered: Option<MeterReport>,
}

/// What a sink did in this process.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct MeterReport {
    /// Requests that write, tries that were refused included.
    pub requests: u64,
    /// Documents that were written or deleted.
    pub documents: u64,
    pub bytes: u64,
    /// Items that the target was too busy for.
    pub throttled: u64,
    /// What the target charged, in its own unit: request units of Cosmos DB.
    pub charge: f64,
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
            state_cannot_be_rebuilt: cannot_be_rebuilt(&status.partitions),
            backup_at: None,
            backup_age_s: None,
            partitions,
            sinks: status.sinks.iter().map(SinkReport::from).collect(),
        }
    }

    /// Adds the last backup.
    pub fn with_backup(self, backup: Option<BackupMark>, now: SystemTime) -> ProjectionReport {
        let Some(BackupMark { made_at, .. }) = backup else { return self };
        ProjectionReport { backup_at: Some(rfc3339(made_at.0)), backup_age_s: Some(age_s(made_at, now)), ..self }
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
            beginning: None,
            retention_headroom_events: None,
            caught_up: false,
            stopped: None,
        };
        let sink = |(name, sink): &(Arc<str>, SinkRecord)| SinkReport {
            name: name.to_string(),
            settled: sink.settled.0,
            owed: None,
            owed_for_ms: None,
            walks: false,
            filled: true,
            stopped: false,
            trouble: None,
            metered: None,
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
            state_cannot_be_rebuilt: None,
            backup_at: None,
            backup_age_s: None,
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
            _ => last.map(|last| age_s(last, now)),
        };
        PartitionReport {
            topic: status.partition.topic.to_string(),
            partition: status.partition.partition,
            next_offset: status.next_offset.0,
            end: status.end.map(|end| end.0),
            lag_events,
            lag_seconds,
            beginning: status.beginning.map(|beginning| beginning.0),
            retention_headroom_events: status.retention_headroom_events(),
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
            owed_for_ms: sink.owed_since.map(|since| since.elapsed().as_millis() as u64),
            walks: sink.walks,
            filled: sink.filled,
            stopped: sink.stopped,
            trouble: sink.trouble.clone(),
            metered: sink.metered.map(MeterReport::from),
        }
    }
}

impl From<Metered> for MeterReport {
    fn from(metered: Metered) -> MeterReport {
        let Metered { requests, documents, bytes, throttled, charge_milli } = metered;
        MeterReport { requests, documents, bytes, throttled, charge: charge_milli as f64 / 1000.0 }
    }
}

impl From<Counters> for EventCounts {
    fn from(counters: Counters) -> EventCounts {
        let Counters { folded, filtered, dropped, skipped, dead_letters } = counters;
        EventCounts { folded, filtered, dropped, skipped, dead_letters }
    }
}

/// A start without state refuses a log that begins above 0: what was there is not known.
fn cannot_be_rebuilt(partitions: &[PartitionStatus]) -> Option<bool> {
    let begins_late = |p: &PartitionStatus| Some(p.beginning? > Offset(0));
    let late: Vec<_> = partitions.iter().map(begins_late).collect();
    match late.contains(&Some(true)) {
        true => Some(true),
        false => (!late.is_empty() && !late.contains(&None)).then_some(false),
    }
}

fn last_time(stored: &ProjectionState, partition: &TopicPartition) -> Option<EventTime> {
    stored.next_offsets.iter().find(|(at, _)| at == partition)?.1.time
}

pub(super) fn age_s(since: EventTime, now: SystemTime) -> u64 {
    micros(now).saturating_sub(since.0).max(0) as u64 / 1_000_000
}

pub(super) fn micros(time: SystemTime) -> i64 {
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
