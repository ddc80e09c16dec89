//! What happened → what to do next, for one projection: a state machine that owns every number and does nothing itself.
//!
//! The core is told what was read, folded, frozen, synced and answered, and says what to fold, freeze, write, publish and
//! tell. It sees offsets, versions, keys and counts; never a row, a document, a file or a clock (`now` is an argument). The
//! driver of production and the harness of tests both do what it says, so both keep its order.
//!
//! # The order
//!
//! ORDER: this stands here and nowhere else. What a crash at each gap gives:
//!
//! 1. **fold**: a batch changes rows in memory. *Crash:* nothing happened; the records are read again.
//! 2. **freeze dirty**: between two batches the changed rows are encoded, with the offsets folded so far: a cut. The fold
//!    goes on. *Crash:* as before.
//! 3. **commit and sync** the cut as one atomic batch with version n. *Crash before the sync:* as before. *After it:* the
//!    cut stands, and the store's list of changed keys says what the sinks are owed.
//! 4. **publish** the documents of the changed keys, read from the synced snapshot, with version n. *Crash:* they are owed
//!    still and are sent again, under a higher version and with the same content.
//! 5. **answers** close a key if it has not changed since the version they are for. *Crash:* sent again, a duplicate.
//! 6. **settled** rises when all keys up to a version are closed, and is part of the next checkpoint. *Crash before it:*
//!    some answered keys are sent again.
//! 7. **tell the group** its offsets, for lag tools. *Crash:* the tool is late; nothing starts from there.
//!
//! A start reads the claims of its targets and finds its partitions, and decides. Then it writes a checkpoint with the next
//! epoch's version and nothing else, moves the claims to that epoch once it is synced, and publishes nothing before.
//!
//! # Stopping on a fault, exactly
//!
//! When a record must stop its partition, other threads have already folded later records of that partition. Nothing is
//! undone row by row. The core **rewinds**: it forgets all that was folded since the last checkpoint (waiting for one in
//! flight), reads from there again, and lets nothing of that partition pass from the fault on. The common path keeps no
//! copies for this; a stop costs folding at most one pause again, and happens once per partition.

mod changes;
mod checkpoint;
mod delivery;
mod hold;
mod open;
mod owed;
mod pace;
mod partition;
mod start;
mod step;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Epoch, EventTime, Generation, Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::language::typed::FaultClass;
use crate::runtime::decide::{LogFacts, Us};
use crate::runtime::progress::{PartitionStatus, SinkStatus};
use crate::sinks::claim::{Claim, ClaimMove};
use crate::sources::OffsetRange;
use crate::state::{CheckpointBatch, Counters, DeadLetter, NextOffset, PlanRecord, SinkRecord};

#[cfg(test)]
pub(crate) use hold::BEAT;
pub(crate) use hold::ClaimRequest;
pub(crate) use owed::{Answer, Cut, OPEN_KEYS_MAX, SinkFacts, TargetTraits, WALK_ROWS_MAX, Work};
pub(crate) use pace::Jitter;
pub(crate) use step::add;

use changes::Changes;
use hold::Hold;
use owed::{Owed, Unwritable};
use pace::Pace;
use partition::{Partition, Reading};

/// What a core starts from: the store's facts and the plan's.
#[derive(Debug)]
pub(crate) struct CoreFacts {
    pub projection: ProjectionName,
    pub generation: Generation,
    /// Of the last synced checkpoint; 0 before the first.
    pub version: Version,
    pub counters: Counters,
    /// The program, when it is not the one already stored.
    pub plan: Option<PlanRecord>,
    pub sinks: Vec<SinkFacts>,
    /// Sinks that the store knows and the program does not.
    pub gone_sinks: Vec<Arc<str>>,
    pub us: Us,
    /// The store has a checkpoint of this projection.
    pub state_known: bool,
    /// Goes on where records are missing.
    pub accept_loss: bool,
    pub checkpoint_interval: Duration,
    pub until_caught_up: bool,
    pub start_timeout: Duration,
    pub shutdown_timeout: Duration,
    /// With more bytes of changed rows than this, a checkpoint does not wait for its time.
    pub dirty_bytes_max: u64,
    /// Spreads retries.
    pub seed: u64,
}

/// A partition as it was found: at start, or when it was added later.
#[derive(Debug, Clone)]
pub(crate) struct PartitionFacts {
    pub partition: TopicPartition,
    pub log: LogFacts,
}

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Input {
    Start,
    /// Partitions were found.
    Opened(Vec<PartitionFacts>),
    /// A batch was read since the rewind of this number.
    Read {
        rewinds: u32,
        inputs: Arc<Vec<TopicPartition>>,
    },
    /// The batch of the last [`Action::Fold`] is folded.
    Folded(Folded),
    /// The changed rows are encoded; these are their keys.
    Frozen(Vec<Arc<str>>),
    /// A checkpoint is durable.
    Synced(Version),
    /// The store refused a checkpoint.
    CommitFailed(String),
    Answer(Answer),
    /// What the claim of a sink's target is.
    ClaimRead {
        sink: usize,
        result: Result<Option<Claim>, String>,
    },
    ClaimMoved {
        sink: usize,
        result: Result<ClaimMove, String>,
    },
    /// A person wants what has stopped to be tried again.
    Retry,
    /// A person wants these documents of a sink to be written again.
    Redrive {
        sink: usize,
        keys: Vec<Arc<str>>,
    },
    /// A person gives up the event that a partition has stopped at; see [`Core::may_skip`].
    Skip {
        partition: TopicPartition,
        offset: Offset,
    },
    /// What partitions hold, as the log says now.
    Ends(Vec<(TopicPartition, OffsetRange)>),
    /// A partition can no longer be read: what is missing there.
    Lost {
        partition: TopicPartition,
        why: String,
    },
    /// The source, or something else this projection needs, has failed for good.
    Failed(Ended),
    /// Time has passed.
    Tick,
    /// The process is to leave.
    Stop,
}

/// Something to do, in the order given.
#[derive(Debug)]
pub(crate) enum Action {
    /// Read these partitions from these offsets, beside those that are read.
    Open(Vec<(TopicPartition, Offset)>),
    /// Read no more of a partition.
    Close(TopicPartition),
    /// Look how the log stands against what was folded of these partitions: [`Input::Opened`] tells.
    Look(Vec<(TopicPartition, NextOffset)>),
    /// Fold the batch that was read; per input of the batch, the offsets to fold: `from..to`, or none.
    Fold { admission: Vec<Option<(Offset, Offset)>>, careful: bool },
    /// Drop the batch that was read: it is from before a rewind.
    Discard,
    /// Forget what was folded since the last checkpoint and read again from here; batches read before are stale.
    Rewind { rewinds: u32, starts: Vec<(TopicPartition, Offset)> },
    /// Read again from here, where everything is folded; batches read before are stale.
    Reread { rewinds: u32, starts: Vec<(TopicPartition, Offset)> },
    /// Encode the changed rows.
    Freeze,
    /// Write this with the rows that were encoded.
    Checkpoint(Box<CheckpointBatch>),
    /// Rows up to the last checkpoint are durable and may leave memory.
    Release,
    /// These keys changed: show it to the sinks that are views of the rows. It is done when this returns.
    Show { version: Version, keys: Vec<Arc<str>> },
    /// Write documents to a sink with this version, read from the last synced snapshot.
    /// Nothing is sent, nor waited for, from `until` on: then the claim of the target may be somebody else's.
    Publish { sink: usize, version: Version, work: Work, until: Option<Instant> },
    /// Read or move the claim of a sink's target.
    Claim { sink: usize, request: ClaimRequest },
    /// Tell the consumer group.
    Tell(Vec<(TopicPartition, Offset)>),
    /// Show people what happened.
    Report(Report),
    /// Nothing more will come of this projection.
    Exit(Ended),
}

/// Something people should see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    PartitionStopped {
        partition: TopicPartition,
        offset: Offset,
        why: String,
    },
    /// Records are missing, and that is accepted.
    LossAccepted {
        partition: TopicPartition,
        what: String,
    },
    SinkStopped {
        sink: Arc<str>,
        why: String,
    },
    Unwritable {
        sink: Arc<str>,
        key: Arc<str>,
        reason: String,
    },
    CaughtUp,
}

/// How a projection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Everything was read and written, as asked for.
    CaughtUp,
    /// It was told to stop.
    Stopped,
    /// It did not start: its rows were folded by another meaning.
    Refused(String),
    /// It did not start: another process keeps its documents.
    Claimed(String),
    /// It cannot go on, and a person must act.
    Faulted(String),
    /// A source could not be reached within the time for a start.
    Unreachable(String),
    /// A thread panicked: a defect of the engine.
    Panicked(String),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::CaughtUp => f.write_str("caught up"),
            Ended::Stopped => f.write_str("stopped"),
            Ended::Refused(why)
            | Ended::Claimed(why)
            | Ended::Faulted(why)
            | Ended::Unreachable(why)
            | Ended::Panicked(why) => f.write_str(why),
        }
    }
}

/// What folding a batch gave. By input of the batch.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// (input, next offset) of inputs that moved.
    pub positions: Vec<(u32, Offset)>,
    /// The last record passed of each input that had one.
    pub lasts: Vec<LastRecord>,
    /// Inputs that were found at their end.
    pub ends: Vec<u32>,
    pub counts: Counters,
    pub dead_letters: Vec<DeadLetter>,
    /// Every fault in it, in record order: for tests.
    pub faults: Vec<(FaultClass, String)>,
    /// The first record of each input that must stop it: what was folded of this batch does not count.
    pub stops: Vec<(u32, Offset, String)>,
    /// A row may have outgrown its limit: the batch must be folded with care. It does not count either.
    pub oversized: bool,
    /// Bytes of rows that no checkpoint has yet.
    pub dirty_bytes: u64,
    pub dirty_rows: u64,
}

/// The last record of an input in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastRecord {
    pub input: u32,
    pub offset: Offset,
    pub time: Option<EventTime>,
    pub hash: [u8; 16],
}

#[derive(Debug)]
struct Checkpoint {
    version: Version,
    began: Instant,
    batch: Option<Box<CheckpointBatch>>,
    keys: Vec<Arc<str>>,
    sinks: Vec<(usize, SinkRecord)>,
    /// How many of the sinks' dead letters are in it.
    sink_letters: usize,
    fold_counters: Counters,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    /// Leaving: sinks have until then.
    Stopping {
        until: Instant,
    },
    /// All is done, and claims are given up, until then at most.
    Leaving {
        until: Instant,
        ended: Ended,
    },
    Ended,
}

/// The state machine of one projection. See the module.
#[derive(Debug)]
pub(crate) struct Core {
    facts: CoreFacts,
    phase: Phase,
    partitions: Vec<Partition>,
    index: HashMap<TopicPartition, usize>,
    by_input: Vec<Option<usize>>,
    /// Partitions that were found before the start was decided.
    found: Option<Vec<PartitionFacts>>,
    start_until: Option<Instant>,
    started: bool,
    /// The rows were lost, and are folded anew.
    rebuilt: bool,
    opened: bool,
    synced: Version,
    /// The last checkpoint that changed a row.
    last_change: Version,
    /// The epoch of this start is synced.
    begun: bool,
    /// Ours must be above it.
    epoch_floor: Epoch,
    /// The next checkpoint does not wait.
    urgent: bool,
    targets_made: u128,
    checkpoint: Option<Checkpoint>,
    rewinds: u32,
    rewind_wanted: bool,
    careful: bool,
    /// Counted by the fold since the projection's beginning; and as of the last checkpoint.
    fold_counters: Counters,
    fold_counters_synced: Counters,
    sink_counters: Counters,
    fold_letters: Vec<DeadLetter>,
    sink_letters: Vec<DeadLetter>,
    dirty_rows: u64,
    dirty_bytes: u64,
    owed: Vec<Owed>,
    /// By sink; none for a target that keeps no claim.
    holds: Vec<Option<Hold>>,
    pace: Pace,
    jitter: Jitter,
    changes: Changes,
    telling: Vec<Telling>,
    caught_up: bool,
}

/// Offsets to tell once what they brought about is settled.
#[derive(Debug)]
struct Telling {
    change: Version,
    offsets: Vec<(TopicPartition, Offset)>,
}
