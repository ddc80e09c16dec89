//! Checkpoint batch → what the store knows of its projection afterwards.
//!
//! The rules that do not depend on where rows lie stand here once, and every store follows them: in which order batches
//! may come, how far the lists of changed keys reach, and up to which version tombstones may go. No I/O.

use crate::event::Version;
use crate::state::{CheckpointBatch, ProjectionState, StoreError};

/// The longest key text a store takes, in bytes. Whoever makes keys turns longer ones into faults.
pub const KEY_BYTES_MAX: usize = 32 * 1024;

/// How many keys the lists of a projection may hold whatever the number of its rows.
pub(super) const LISTED_KEYS_MIN: u64 = 1_000_000;

/// How many lists a projection may have: some hours of checkpoints while a sink is away.
const LISTS_MAX: usize = 100_000;

/// Generations stay below it: room for all that a store will ever see, in three bytes.
const GENERATIONS_END: u32 = (1 << 24) - 1;

/// A projection as a store keeps it: what snapshots show, and what only the store needs.
#[derive(Debug, Clone)]
pub(super) struct ProjectionRecord {
    pub state: ProjectionState,
    /// The lists name every change after this version; changes up to it are found by a scan of the rows.
    pub listed_after: Version,
    /// Tombstones up to this version may lie in the rows without a list that names them.
    pub unlisted_tombstones: Option<Version>,
    /// The number of the last dead letter.
    pub dead_letters: u64,
}

impl ProjectionRecord {
    /// What is known after `batch`. An error means a broken order: the caller sent what it must not.
    pub fn after(previous: Option<&ProjectionRecord>, batch: &CheckpointBatch) -> Result<ProjectionRecord, StoreError> {
        let mut record = match (previous, &batch.plan) {
            (Some(previous), _) => previous.clone(),
            (None, Some(plan)) => ProjectionRecord {
                state: ProjectionState {
                    generation: batch.generation,
                    version: Version(0),
                    plan: plan.clone(),
                    next_offsets: Vec::new(),
                    sinks: Vec::new(),
                    counters: batch.counters,
                },
                listed_after: Version(0),
                unlisted_tombstones: None,
                dead_letters: 0,
            },
            (None, None) => return Err(out_of_order(batch, "its first checkpoint has no plan".into())),
        };
        let state = &mut record.state;
        if state.generation != batch.generation {
            let what = format!("generation {} follows {}", batch.generation.0, state.generation.0);
            return Err(out_of_order(batch, what));
        }
        if batch.generation.0 >= GENERATIONS_END {
            return Err(out_of_order(batch, format!("there is no generation {}", batch.generation.0)));
        }
        if previous.is_some() && batch.version <= state.version {
            return Err(out_of_order(batch, format!("version {} follows {}", batch.version, state.version)));
        }
        if let Some(change) = batch.rows.iter().find(|change| change.key.len() > KEY_BYTES_MAX) {
            return Err(out_of_order(batch, format!("a key of {} bytes", change.key.len())));
        }
        state.version = batch.version;
        state.counters = batch.counters;
        if let Some(plan) = &batch.plan {
            state.plan = plan.clone();
        }
        put_all(&mut state.next_offsets, &batch.next_offsets);
        state.sinks.retain(|(sink, _)| !batch.gone_sinks.contains(sink));
        put_all(&mut state.sinks, &batch.sinks);
        record.dead_letters += batch.dead_letters.len() as u64;
        Ok(record)
    }

    /// Forgets every list: changes up to now are found by a scan, tombstones by a sweep.
    pub fn drop_lists(&mut self) {
        self.listed_after = self.state.version;
        self.unlisted_tombstones = Some(self.state.version);
    }
}

/// Whether the lists have outgrown the rows, so that a scan is the cheaper way to what is owed.
pub(super) fn lists_outgrew(lists: usize, listed_keys: u64, rows: u64, listed_keys_min: u64) -> bool {
    lists > LISTS_MAX || listed_keys > rows.max(listed_keys_min)
}

/// Up to where lists and tombstones are needed by nobody once `batch` is in.
pub(super) fn settled_by_all(batch: &CheckpointBatch) -> Version {
    // Without a sink that is owed anything durably, nobody reads lists, those of earlier runs included.
    if batch.keep_changes { batch.settled_by_all.min(batch.version) } else { batch.version }
}

/// Sets what `changes` names, keeps the rest; in key order, so that equal knowledge is equal bytes.
fn put_all<K: Ord + Clone, V: Clone>(known: &mut Vec<(K, V)>, changes: &[(K, V)]) {
    for (key, value) in changes {
        match known.binary_search_by(|(k, _)| k.cmp(key)) {
            Ok(at) => known[at].1 = value.clone(),
            Err(at) => known.insert(at, (key.clone(), value.clone())),
        }
    }
}

fn out_of_order(batch: &CheckpointBatch, what: String) -> StoreError {
    StoreError::OutOfOrder { projection: batch.projection.clone(), what }
}
