//! Rows and checkpoints: the one durable truth of the engine.
//!
//! All projections of a process share one [`Store`]: one database, one writer, one sync per round. A [`CheckpointBatch`]
//! goes in whole or not at all, and what a [`Snapshot`] shows is synced: no crash takes it back.

pub mod backup;
mod bytes;
pub(crate) mod database;
pub(crate) mod directory;
mod disk;
mod error;
mod memory;
mod record;
pub mod rows;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::event::{EventTime, Generation, Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::plan::Hashes;
use crate::state::backup::BackupMark;

pub use directory::{Place, StoreId};
pub use disk::{DiskStore, DiskStoreOptions};
pub use error::StoreError;
pub use memory::{FailedRound, MemoryStore};
pub use record::KEY_BYTES_MAX;

/// What one checkpoint of one projection makes durable, together or not at all.
#[derive(Debug, Clone)]
pub struct CheckpointBatch {
    pub projection: ProjectionName,
    pub generation: Generation,
    /// Rises with every checkpoint. A start writes one with a new epoch and nothing else before it publishes anything.
    pub version: Version,
    /// Rows that changed since the last checkpoint; `None` deletes the row (a tombstone stays until every sink is past it).
    pub rows: Vec<RowChange>,
    /// Every input partition whose position moved.
    pub next_offsets: Vec<(TopicPartition, NextOffset)>,
    /// Only those that moved.
    pub sinks: Vec<(Arc<str>, SinkRecord)>,
    /// Sinks that the program no longer has: what was known of them goes, so that one that comes back is filled anew.
    pub gone_sinks: Vec<Arc<str>>,
    /// Whether some sink must be told of changes durably: then the keys of `rows` are kept as the list of this version.
    pub keep_changes: bool,
    /// The least `settled` of all sinks: lists and tombstones up to it go.
    pub settled_by_all: Version,
    pub dead_letters: Vec<DeadLetter>,
    /// The program, when it is not the one already stored.
    pub plan: Option<PlanRecord>,
    /// Lifetime counters of the projection after this checkpoint.
    pub counters: Counters,
}

#[derive(Debug, Clone)]
pub struct RowChange {
    /// The key text.
    pub key: Arc<str>,
    /// The encoded row; `None` when the row was deleted.
    pub row: Option<Arc<[u8]>>,
}

/// How far a partition has been folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextOffset {
    /// The first record not folded yet.
    pub offset: Offset,
    /// The time of the last record passed.
    pub time: Option<EventTime>,
    /// Offset and hash (key, value, headers) of the last record passed, to know the log again at the next start.
    pub last: Option<(Offset, [u8; 16])>,
}

/// Events over the life of a projection's state. Durable with the checkpoint, so that a restart counts none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub folded: u64,
    /// `where` or a handler's condition said no.
    pub filtered: u64,
    /// Of a type no clause wants, or unhandled tombstones.
    pub dropped: u64,
    pub skipped: u64,
    pub dead_letters: u64,
}

/// The program a checkpoint was made by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRecord {
    pub hashes: Hashes,
    pub semantics: u32,
    pub text: Arc<str>,
}

/// An event set aside with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub partition: TopicPartition,
    pub offset: Offset,
    pub time: Option<EventTime>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The topic named by `dead_letter(t)`.
    pub to: Arc<str>,
    /// `decode`, `eval`, `key` or `sink`.
    pub class: Arc<str>,
    pub code: Arc<str>,
    pub message: String,
    /// `file:line:column` in the `.proj` file.
    pub at: Option<String>,
}

/// What the store knows of a projection.
#[derive(Debug, Clone)]
pub struct ProjectionState {
    pub generation: Generation,
    /// Of its last checkpoint.
    pub version: Version,
    pub plan: PlanRecord,
    pub next_offsets: Vec<(TopicPartition, NextOffset)>,
    pub sinks: Vec<(Arc<str>, SinkRecord)>,
    pub counters: Counters,
}

/// What the store knows of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkRecord {
    /// Everything up to it has been answered; 0 owes every row.
    pub settled: Version,
    /// The target that this is true of; `None` until it has been filled.
    pub target: Option<TargetId>,
    /// How often its claim had been moved when `settled` was true: a claim that counts less lies in a target that was put
    /// back to how it was earlier.
    pub beat: u64,
}

/// A row as it lies in the store.
#[derive(Debug, Clone)]
pub struct StoredRow {
    /// The checkpoint that last changed it.
    pub changed: Version,
    /// `None`: deleted, and some sink is not past it yet.
    pub row: Option<Arc<[u8]>>,
}

/// Names a store among all stores and their copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreIdentity {
    pub id: StoreId,
    pub place: Place,
}

/// The one database of a process.
pub trait Store: Send + Sync {
    /// Which store this is, and where.
    fn identity(&self) -> StoreIdentity;

    /// What was synced last.
    fn snapshot(&self) -> Arc<dyn Snapshot>;

    /// Takes a generation number for a projection that has none; synced before it returns.
    fn new_generation(&self, projection: &ProjectionName) -> Result<Generation, StoreError>;

    /// Writes a round (at most one batch per projection) as one atomic, synced batch; returns what is then visible.
    /// After an error nothing of the round is visible, and the store is poisoned: it refuses every further commit.
    fn commit(&self, round: &[CheckpointBatch]) -> Result<Arc<dyn Snapshot>, StoreError>;

    /// Removes all that is known of a projection.
    fn drop_projection(&self, projection: &ProjectionName) -> Result<(), StoreError>;

    /// Remembers a backup that was made of a projection it knows; synced before it returns.
    fn note_backup(&self, projection: &ProjectionName, mark: BackupMark) -> Result<(), StoreError>;
}

/// A synced, unchanging view of the store.
pub trait Snapshot: Send + Sync {
    /// Every projection the store knows.
    fn projections(&self) -> Result<Vec<ProjectionName>, StoreError>;

    fn projection(&self, name: &ProjectionName) -> Result<Option<ProjectionState>, StoreError>;

    /// The last backup that was made of a projection, or that it was restored from.
    fn last_backup(&self, name: &ProjectionName) -> Result<Option<BackupMark>, StoreError>;

    fn row(&self, generation: Generation, key: &str) -> Result<Option<StoredRow>, StoreError>;

    /// Walks the rows in key order (UTF-8 order of the key text), tombstones included, from the first key after `after`
    /// (or from the beginning), only those that begin with `prefix`.
    fn rows(
        &self,
        generation: Generation,
        prefix: &str,
        after: Option<&str>,
        each: &mut dyn FnMut(&str, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// The keys changed by checkpoints after `settled`, in order and without repeats; falls back to a scan of the rows
    /// when lists were dropped. `None` when they are, or may be, more than `keys_max`: nobody wants to hold them all.
    fn changed_since(
        &self,
        generation: Generation,
        settled: Version,
        keys_max: usize,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError>;

    /// Dead letters of a projection, oldest first, after the given number: (number, letter). Numbers start at 1.
    fn dead_letters(
        &self,
        projection: &ProjectionName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError>;
}
