//! A round of checkpoint batches → one batch of the database.
//!
//! The writer knows the record of every projection and which lists of changes there are, so that a checkpoint reads nothing
//! but the lists of deleted keys it may forget. What it knows moves only after the sync: a failed round leaves no trace.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use fjall::{Keyspace, OwnedWriteBatch};

use crate::event::{Generation, ProjectionName, Version};
use crate::state::backup::BackupMark;
use crate::state::bytes::{put_bytes, put_count};
use crate::state::disk::Tables;
use crate::state::disk::entry::{self, ChunkKey, ListKind};
use crate::state::disk::witness;
use crate::state::record::{self, ProjectionRecord};
use crate::state::{CheckpointBatch, RowChange, StoreError};

/// How large the value of a list's chunk grows.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// How many rows one step looks at that removes a dropped generation or unlisted tombstones.
pub const SWEEP_ROWS_MAX: usize = 10_000;

/// How many rounds may wait in memory to be sorted into files.
const SEALED_MAX: usize = 2;
const FLUSH_POLL: Duration = Duration::from_millis(2);
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(30);

/// The one who writes.
pub struct Writer {
    pub(super) tables: Tables,
    pub(super) last_generation: Generation,
    pub(super) known: BTreeMap<ProjectionName, Known>,
    /// See [`record::lists_outgrew`].
    listed_keys_min: u64,
    /// How many checkpoints began an epoch.
    starts: u64,
    poisoned: Option<String>,
}

/// What the writer knows of a projection.
#[derive(Debug)]
pub struct Known {
    pub record: ProjectionRecord,
    /// The lists that are in the database, oldest first.
    pub lists: VecDeque<List>,
    /// How many keys they hold.
    pub listed_keys: u64,
    /// Up to which row (its whole key) unlisted tombstones have been removed. Not durable: a restart begins anew.
    pub swept_to: Vec<u8>,
}

/// What a checkpoint makes of what is known, once it is synced.
struct Step {
    record: ProjectionRecord,
    /// How many of the oldest lists go.
    forgotten: usize,
    listed: Option<List>,
    swept_to: Vec<u8>,
}

/// The list of one checkpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct List {
    pub version: Version,
    pub keys: u64,
    pub written_chunks: u32,
    pub deleted_chunks: u32,
}

impl Known {
    pub fn without_lists(record: ProjectionRecord) -> Known {
        Known { record, lists: VecDeque::new(), listed_keys: 0, swept_to: Vec::new() }
    }
}

impl Writer {
    pub fn new(
        tables: Tables,
        last_generation: Generation,
        known: BTreeMap<ProjectionName, Known>,
        listed_keys_min: u64,
        starts: u64,
    ) -> Writer {
        Writer { tables, last_generation, known, listed_keys_min, starts, poisoned: None }
    }

    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    pub fn refuse_when_poisoned(&self) -> Result<(), StoreError> {
        match &self.poisoned {
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub fn poison(&mut self, error: &StoreError) {
        self.poison_with(error.to_string());
    }

    pub fn poison_with(&mut self, reason: String) {
        self.poisoned.get_or_insert(reason);
    }

    pub fn new_generation(&mut self) -> Result<Generation, StoreError> {
        let generation = Generation(self.last_generation.0 + 1);
        let mut batch = self.tables.batch(1);
        batch.insert(&self.tables.records, entry::LAST_GENERATION, generation.0.to_be_bytes());
        self.sync(batch)?;
        self.last_generation = generation;
        Ok(generation)
    }

    pub fn commit(&mut self, round: &[CheckpointBatch]) -> Result<(), StoreError> {
        self.await_flushes();
        let entries = round.iter().map(|batch| batch.rows.len() + 16).sum();
        let mut synced_batch = self.tables.batch(entries);
        let steps: Result<Vec<_>, _> = round.iter().map(|batch| self.put(&mut synced_batch, batch)).collect();
        let steps = steps?;
        let starts = self.starts + round.iter().filter(|batch| batch.version.begins_epoch()).count() as u64;
        if starts > self.starts {
            synced_batch.insert(&self.tables.records, entry::STARTS, starts.to_be_bytes());
        }
        self.sync(synced_batch)?;
        if starts > self.starts {
            // ORDER: after the sync, so that the directory never knows of more than the database does.
            witness::write(self.tables.directory(), starts)?;
            self.starts = starts;
        }
        for (batch, step) in round.iter().zip(steps) {
            self.apply(&batch.projection, step);
        }
        Ok(())
    }

    /// Waits until the database has room for a round: it takes whole rounds into memory and sorts them into files behind.
    pub(super) fn await_flushes(&self) {
        let began = Instant::now();
        // A bound, since a database that has failed flushes no more: its next commit says so.
        while self.tables.rows.sealed_memtable_count() >= SEALED_MAX && began.elapsed() < FLUSH_WAIT_MAX {
            thread::sleep(FLUSH_POLL);
        }
    }

    fn apply(&mut self, projection: &ProjectionName, step: Step) {
        let known = self.known.entry(projection.clone()).or_insert_with(|| Known::without_lists(step.record.clone()));
        known.listed_keys -= known.lists.drain(..step.forgotten).map(|list| list.keys).sum::<u64>();
        known.listed_keys += step.listed.map_or(0, |list| list.keys);
        known.lists.extend(step.listed);
        known.record = step.record;
        known.swept_to = step.swept_to;
    }

    /// The record goes first, in one batch; the rows follow in many, and a crash between is finished at the next start.
    pub fn drop_projection(&mut self, projection: &ProjectionName) -> Result<(), StoreError> {
        let Some(known) = self.known.get(projection) else { return Ok(()) };
        let generation = known.record.state.generation;
        let mut batch = self.tables.batch(4);
        batch.remove(&self.tables.records, entry::record_key(projection));
        batch.remove(&self.tables.records, entry::plan_key(projection));
        batch.remove(&self.tables.records, entry::backup_key(projection));
        batch.insert(&self.tables.records, entry::dropped_key(generation), projection.0.as_bytes());
        // Letters belong to the name, which may come back at once: they go with it, not later.
        for number in 1..=known.record.dead_letters {
            batch.remove(&self.tables.letters, entry::letter_key(projection, number));
        }
        self.sync(batch)?;
        self.known.remove(projection);
        self.tables.remove_generation(generation)
    }

    /// Remembers a backup that was made.
    pub fn note_backup(&mut self, projection: &ProjectionName, mark: BackupMark) -> Result<(), StoreError> {
        if !self.known.contains_key(projection) {
            return Ok(());
        }
        let mut batch = self.tables.batch(1);
        batch.insert(&self.tables.records, entry::backup_key(projection), entry::put_backup(mark));
        self.sync(batch)
    }

    pub(super) fn sync(&self, batch: OwnedWriteBatch) -> Result<(), StoreError> {
        batch.commit().map_err(|error| self.tables.write_failed(error))
    }

    fn put(&self, out: &mut OwnedWriteBatch, batch: &CheckpointBatch) -> Result<Step, StoreError> {
        let known = self.known.get(&batch.projection);
        let record = ProjectionRecord::after(known.map(|known| &known.record), batch)?;
        let swept_to = known.map(|known| known.swept_to.clone()).unwrap_or_default();
        let mut step = Step { record, forgotten: 0, listed: None, swept_to };

        // ORDER: removals stand before writes, since of two entries of one batch for one key the last one counts.
        let settled = record::settled_by_all(batch);
        self.settle(out, known, &mut step, settled)?;
        self.sweep(out, &mut step, settled)?;
        self.put_rows(out, batch);
        self.put_list(out, batch, known, &mut step);
        self.put_letters(out, batch, &step.record);
        if batch.plan.is_some() {
            let plan = entry::put_plan(&step.record.state.plan);
            out.insert(&self.tables.records, entry::plan_key(&batch.projection), plan);
        }
        out.insert(&self.tables.records, entry::record_key(&batch.projection), entry::put_record(&step.record));
        Ok(step)
    }

    fn put_rows(&self, out: &mut OwnedWriteBatch, batch: &CheckpointBatch) {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for change in in_key_order(&batch.rows) {
            entry::put_row_key(&mut key, batch.generation, &change.key);
            if change.row.is_none() && !batch.keep_changes {
                out.remove(&self.tables.rows, &key[..]);
            } else {
                entry::put_row_value(&mut value, batch.version, change.row.as_deref());
                out.insert(&self.tables.rows, &key[..], &value[..]);
            }
        }
    }

    /// Writes the list of the checkpoint, or notes that there is none.
    fn put_list(&self, out: &mut OwnedWriteBatch, batch: &CheckpointBatch, known: Option<&Known>, step: &mut Step) {
        if batch.rows.is_empty() {
            return;
        }
        if !batch.keep_changes {
            step.record.listed_after = batch.version;
            return;
        }
        let (lists, listed_keys) = known.map_or((0, 0), |known| (known.lists.len(), known.listed_keys));
        let rows = self.tables.rows.approximate_len() as u64;
        let listed_keys = listed_keys + batch.rows.len() as u64;
        if record::lists_outgrew(lists, listed_keys, rows, self.listed_keys_min) {
            for list in known.iter().flat_map(|known| known.lists.iter().skip(step.forgotten)) {
                self.remove_list(out, batch.generation, *list);
            }
            step.forgotten = lists;
            step.record.drop_lists();
            step.swept_to.clear();
            return;
        }
        let written = batch.rows.iter().filter(|change| change.row.is_some());
        let deleted = batch.rows.iter().filter(|change| change.row.is_none());
        step.listed = Some(List {
            version: batch.version,
            keys: batch.rows.len() as u64,
            written_chunks: self.put_chunks(out, batch, ListKind::Written, written),
            deleted_chunks: self.put_chunks(out, batch, ListKind::Deleted, deleted),
        });
    }

    fn put_chunks<'a>(
        &self,
        out: &mut OwnedWriteBatch,
        batch: &CheckpointBatch,
        kind: ListKind,
        changes: impl Iterator<Item = &'a RowChange>,
    ) -> u32 {
        let (generation, version) = (batch.generation, batch.version);
        let mut changes = changes.peekable();
        let mut chunk = 0;
        let mut keys = Vec::with_capacity(CHUNK_BYTES_MAX);
        while changes.peek().is_some() {
            keys.clear();
            let mut len = 0;
            while let Some(change) = changes.next_if(|_| keys.len() < CHUNK_BYTES_MAX) {
                put_bytes(&mut keys, change.key.as_bytes());
                len += 1;
            }
            let mut value = Vec::with_capacity(keys.len() + 4);
            put_count(&mut value, len);
            value.extend_from_slice(&keys);
            out.insert(&self.tables.changes, ChunkKey { generation, version, kind, chunk }.encode(), value);
            chunk += 1;
        }
        chunk
    }

    /// Forgets the lists that every sink is past, and with them the tombstones they name.
    fn settle(
        &self,
        out: &mut OwnedWriteBatch,
        known: Option<&Known>,
        step: &mut Step,
        settled: Version,
    ) -> Result<(), StoreError> {
        let generation = step.record.state.generation;
        for list in known.iter().flat_map(|known| &known.lists).take_while(|list| list.version <= settled) {
            for chunk in 0..list.deleted_chunks {
                let key = ChunkKey { generation, version: list.version, kind: ListKind::Deleted, chunk };
                self.remove_tombstones(out, key, settled)?;
            }
            self.remove_list(out, generation, *list);
            step.forgotten += 1;
            step.record.listed_after = step.record.listed_after.max(settled);
        }
        Ok(())
    }

    /// Removes the rows a list of deletions names, if nothing has changed them since.
    fn remove_tombstones(&self, out: &mut OwnedWriteBatch, key: ChunkKey, settled: Version) -> Result<(), StoreError> {
        let tables = &self.tables;
        let damaged = |error| tables.damaged("a list of changes", error);
        let chunk = tables.changes.get(key.encode()).map_err(|error| tables.read_failed(error))?.unwrap_or_default();
        for text in entry::read_chunk(&chunk).map_err(damaged)? {
            let row_key = entry::row_key(key.generation, text.map_err(damaged)?);
            let Some(row) = tables.rows.get(&row_key).map_err(|error| tables.read_failed(error))? else { continue };
            let (changed, is_tombstone) = entry::read_row_head(&row).map_err(|error| tables.damaged("a row", error))?;
            if is_tombstone && changed <= settled {
                out.remove(&tables.rows, row_key);
            }
        }
        Ok(())
    }

    fn remove_list(&self, out: &mut OwnedWriteBatch, generation: Generation, list: List) {
        for (kind, chunks) in [(ListKind::Written, list.written_chunks), (ListKind::Deleted, list.deleted_chunks)] {
            for chunk in 0..chunks {
                let key = ChunkKey { generation, version: list.version, kind, chunk };
                out.remove(&self.tables.changes, key.encode());
            }
        }
    }

    /// Goes a step through the rows to remove tombstones that no list names any more.
    fn sweep(&self, out: &mut OwnedWriteBatch, step: &mut Step, settled: Version) -> Result<(), StoreError> {
        if step.record.unlisted_tombstones.is_none_or(|unlisted| unlisted > settled) {
            return Ok(());
        }
        let generation = step.record.state.generation;
        let Range { mut start, end } = entry::row_range(generation);
        if !step.swept_to.is_empty() {
            start = step.swept_to.clone();
        }
        let mut seen = 0;
        for guard in self.tables.rows.range(start..end).take(SWEEP_ROWS_MAX) {
            let (key, value) = guard.into_inner().map_err(|error| self.tables.read_failed(error))?;
            let (changed, is_tombstone) =
                entry::read_row_head(&value).map_err(|error| self.tables.damaged("a row", error))?;
            step.swept_to = [&key[..], &[0]].concat();
            if is_tombstone && changed <= settled {
                out.remove(&self.tables.rows, key);
            }
            seen += 1;
        }
        if seen < SWEEP_ROWS_MAX {
            step.record.unlisted_tombstones = None;
            step.swept_to.clear();
        }
        Ok(())
    }

    fn put_letters(&self, out: &mut OwnedWriteBatch, batch: &CheckpointBatch, record: &ProjectionRecord) {
        let first = record.dead_letters - batch.dead_letters.len() as u64 + 1;
        for (number, letter) in (first..).zip(&batch.dead_letters) {
            out.insert(&self.tables.letters, entry::letter_key(&batch.projection, number), entry::put_letter(letter));
        }
    }
}

/// Sorts changes by key. The first bytes in which keys differ are compared as one number that lies in the list itself:
/// following each key to its text was most of the cost.
fn in_key_order(rows: &[RowChange]) -> impl Iterator<Item = &RowChange> {
    let first = rows.first().map_or(&[][..], |change| change.key.as_bytes());
    let common = |change: &RowChange| first.iter().zip(change.key.as_bytes()).take_while(|(a, b)| a == b).count();
    let shared = rows.iter().map(common).min().unwrap_or(0);
    let head = |change: &RowChange| {
        let mut head = [0; 8];
        head.iter_mut().zip(&change.key.as_bytes()[shared..]).for_each(|(to, from)| *to = *from);
        u64::from_be_bytes(head)
    };
    let mut ordered: Vec<(u64, &RowChange)> = rows.iter().map(|change| (head(change), change)).collect();
    ordered.sort_unstable_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.key.cmp(&y.key)));
    ordered.into_iter().map(|(_, change)| change)
}

impl Tables {
    /// Removes rows and lists of a generation that no record names any more.
    pub fn remove_generation(&self, generation: Generation) -> Result<(), StoreError> {
        self.remove_range(&self.rows, entry::row_range(generation))?;
        self.remove_range(&self.changes, entry::chunk_range(generation))?;
        let mut batch = self.batch(1);
        batch.remove(&self.records, entry::dropped_key(generation));
        batch.commit().map_err(|error| self.write_failed(error))
    }

    pub(super) fn remove_range(&self, keyspace: &Keyspace, range: Range<Vec<u8>>) -> Result<(), StoreError> {
        let Range { mut start, end } = range;
        loop {
            let mut batch = self.batch(0);
            let mut removed = 0;
            for guard in keyspace.range(&start[..]..&end[..]).take(SWEEP_ROWS_MAX) {
                let key = guard.key().map_err(|error| self.read_failed(error))?;
                start = [&key[..], &[0]].concat();
                batch.remove(keyspace, key);
                removed += 1;
            }
            if removed > 0 {
                batch.commit().map_err(|error| self.write_failed(error))?;
            }
            if removed < SWEEP_ROWS_MAX {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_in_key_order() {
        let keys = ["order-2", "order-10", "order-1", "order-1\0", "order-", "order-12345678b", "order-12345678a"];
        let sets: [&[&str]; 4] = [&keys, &keys[..1], &[], &["", "b", "\u{e5}", "a|b"]];
        for keys in sets {
            let rows: Vec<_> = keys.iter().map(|key| RowChange { key: (*key).into(), row: None }).collect();
            let mut expected = keys.to_vec();
            expected.sort_unstable();
            assert_eq!(in_key_order(&rows).map(|change| &*change.key).collect::<Vec<_>>(), expected);
        }
    }
}
