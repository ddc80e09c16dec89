//! A store in memory: the same contract as the store on disk, for tests and simulators.
//!
//! It knows what a crash would leave: [`MemoryStore::crash`] gives the store that a restart would find, and
//! [`MemoryStore::fail_commit`] makes a commit fail the way a failed sync does, with the round lost or, unseen until the
//! restart, written. Nothing here is fast: a snapshot holds whole maps, and a commit copies those it changes.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex};

use crate::event::{Generation, ProjectionName, Version};
use crate::state::backup::BackupMark;
use crate::state::record::{self, LISTED_KEYS_MIN, ProjectionRecord};
use crate::state::{
    CheckpointBatch, DeadLetter, Place, ProjectionState, Snapshot, Store, StoreError, StoreId, StoreIdentity, StoredRow,
};

/// A [`Store`] without a disk.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    identity: StoreIdentity,
    listed_keys_min: u64,
}

/// What is left of a round whose commit failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedRound {
    /// A restart does not find it.
    Lost,
    /// A restart finds it: the disk had it before the error.
    Written,
}

#[derive(Debug, Default)]
struct Inner {
    synced: Arc<Content>,
    /// What a restart finds; differs from `synced` only after a commit that failed and was written all the same.
    on_disk: Arc<Content>,
    commits: u64,
    fail: Option<(u64, FailedRound)>,
    poisoned: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Content {
    last_generation: u32,
    projections: BTreeMap<ProjectionName, ProjectionRecord>,
    generations: BTreeMap<Generation, Arc<Rows>>,
    dead_letters: BTreeMap<ProjectionName, Arc<Vec<DeadLetter>>>,
    backups: BTreeMap<ProjectionName, BackupMark>,
}

#[derive(Debug, Clone, Default)]
struct Rows {
    rows: BTreeMap<Arc<str>, StoredRow>,
    lists: BTreeMap<Version, Vec<Arc<str>>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl MemoryStore {
    pub fn new() -> MemoryStore {
        MemoryStore { inner: Mutex::default(), identity: new_identity(1), listed_keys_min: LISTED_KEYS_MIN }
    }

    /// A store whose lists are dropped as soon as they hold more keys than there are rows.
    pub fn with_short_lists() -> MemoryStore {
        MemoryStore { listed_keys_min: 0, ..MemoryStore::new() }
    }

    /// Makes the `nth` commit from now fail (1: the next one).
    pub fn fail_commit(&self, nth: u64, round: FailedRound) {
        let mut inner = self.lock();
        inner.fail = Some((inner.commits + nth, round));
    }

    /// The store that a restart would find. This one goes on, as a process that does not know yet.
    pub fn crash(&self) -> MemoryStore {
        let on_disk = self.lock().on_disk.clone();
        let inner = Inner { synced: on_disk.clone(), on_disk, ..Inner::default() };
        MemoryStore { inner: Mutex::new(inner), ..*self }
    }

    /// The same content as a store that was made as the `number`th.
    pub fn named(self, number: u64) -> MemoryStore {
        MemoryStore { identity: new_identity(number), ..self }
    }

    /// What a restart would find in a copy that lies elsewhere: the same store by its id, and another by its place.
    pub fn copied(&self, place: u64) -> MemoryStore {
        let copy = self.crash();
        MemoryStore { identity: StoreIdentity { place: Place(place), ..self.identity }, ..copy }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code panics while it holds the lock")
    }
}

impl Inner {
    fn refuse_when_poisoned(&self) -> Result<(), StoreError> {
        match &self.poisoned {
            Some(reason) => Err(StoreError::Poisoned { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// The one way content becomes durable, and the one place where a commit is made to fail.
    fn sync(&mut self, content: Content) -> Result<Arc<Content>, StoreError> {
        self.commits += 1;
        let content = Arc::new(content);
        if let Some((_, round)) = self.fail.take_if(|(nth, _)| *nth == self.commits) {
            if round == FailedRound::Written {
                self.on_disk = content;
            }
            let reason = "the sync failed".to_owned();
            self.poisoned = Some(reason.clone());
            return Err(StoreError::Poisoned { reason });
        }
        self.synced = content.clone();
        self.on_disk = content.clone();
        Ok(content)
    }
}

fn new_identity(number: u64) -> StoreIdentity {
    StoreIdentity { id: StoreId(number.into()), place: Place(number) }
}

impl Store for MemoryStore {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        Arc::new(MemorySnapshot { content: self.lock().synced.clone() })
    }

    fn new_generation(&self, _projection: &ProjectionName) -> Result<Generation, StoreError> {
        let mut inner = self.lock();
        inner.refuse_when_poisoned()?;
        let mut content = Content::clone(&inner.synced);
        content.last_generation += 1;
        let content = inner.sync(content)?;
        Ok(Generation(content.last_generation))
    }

    fn commit(&self, round: &[CheckpointBatch]) -> Result<Arc<dyn Snapshot>, StoreError> {
        let mut inner = self.lock();
        inner.refuse_when_poisoned()?;
        let mut content = Content::clone(&inner.synced);
        for batch in round {
            if let Err(error) = content.apply(batch, self.listed_keys_min) {
                inner.poisoned = Some(error.to_string());
                return Err(error);
            }
        }
        let content = inner.sync(content)?;
        Ok(Arc::new(MemorySnapshot { content }))
    }

    fn drop_projection(&self, projection: &ProjectionName) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.refuse_when_poisoned()?;
        let mut content = Content::clone(&inner.synced);
        if let Some(record) = content.projections.remove(projection) {
            content.generations.remove(&record.state.generation);
        }
        content.dead_letters.remove(projection);
        content.backups.remove(projection);
        inner.sync(content)?;
        Ok(())
    }

    fn note_backup(&self, projection: &ProjectionName, mark: BackupMark) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.refuse_when_poisoned()?;
        let mut content = Content::clone(&inner.synced);
        if content.projections.contains_key(projection) {
            content.backups.insert(projection.clone(), mark);
        }
        inner.sync(content)?;
        Ok(())
    }
}

impl Content {
    fn apply(&mut self, batch: &CheckpointBatch, listed_keys_min: u64) -> Result<(), StoreError> {
        let mut record = ProjectionRecord::after(self.projections.get(&batch.projection), batch)?;
        let rows = Arc::make_mut(self.generations.entry(batch.generation).or_default());
        rows.settle(record::settled_by_all(batch), &mut record);
        rows.put(batch);
        if !batch.rows.is_empty() {
            if mutant!(ListsNotKept) {
                rows.lists.insert(batch.version, Vec::new());
            } else if batch.keep_changes {
                rows.lists.insert(batch.version, batch.rows.iter().map(|change| change.key.clone()).collect());
            } else {
                record.listed_after = batch.version;
            }
        }
        let listed: u64 = rows.lists.values().map(|keys| keys.len() as u64).sum();
        if record::lists_outgrew(rows.lists.len(), listed, rows.rows.len() as u64, listed_keys_min) {
            rows.lists.clear();
            record.drop_lists();
        }
        if !batch.dead_letters.is_empty() {
            let letters = self.dead_letters.entry(batch.projection.clone()).or_default();
            Arc::make_mut(letters).extend(batch.dead_letters.iter().cloned());
        }
        self.projections.insert(batch.projection.clone(), record);
        Ok(())
    }
}

impl Rows {
    fn put(&mut self, batch: &CheckpointBatch) {
        for change in &batch.rows {
            if change.row.is_none() && (!batch.keep_changes || mutant!(TombstoneDropped)) {
                self.rows.remove(&change.key);
                continue;
            }
            let row = StoredRow { changed: batch.version, row: change.row.clone() };
            self.rows.insert(change.key.clone(), row);
        }
    }

    /// Drops the lists that every sink is past, and with them the tombstones.
    fn settle(&mut self, settled: Version, record: &mut ProjectionRecord) {
        let Some(&oldest) = self.lists.keys().next() else {
            return self.sweep(settled, record);
        };
        if oldest <= settled {
            self.lists = self.lists.split_off(&Version(settled.0 + 1));
            record.listed_after = record.listed_after.max(settled);
            self.rows.retain(|_, row| row.row.is_some() || row.changed > settled);
        }
        self.sweep(settled, record);
    }

    fn sweep(&mut self, settled: Version, record: &mut ProjectionRecord) {
        if record.unlisted_tombstones.is_some_and(|unlisted| unlisted <= settled) {
            self.rows.retain(|_, row| row.row.is_some() || row.changed > settled);
            record.unlisted_tombstones = None;
        }
    }
}

struct MemorySnapshot {
    content: Arc<Content>,
}

impl MemorySnapshot {
    fn generation(&self, generation: Generation) -> Option<&Rows> {
        self.content.generations.get(&generation).map(|rows| &**rows)
    }
}

impl Snapshot for MemorySnapshot {
    fn projections(&self) -> Result<Vec<ProjectionName>, StoreError> {
        Ok(self.content.projections.keys().cloned().collect())
    }

    fn projection(&self, name: &ProjectionName) -> Result<Option<ProjectionState>, StoreError> {
        Ok(self.content.projections.get(name).map(|record| record.state.clone()))
    }

    fn last_backup(&self, name: &ProjectionName) -> Result<Option<BackupMark>, StoreError> {
        Ok(self.content.backups.get(name).copied())
    }

    fn row(&self, generation: Generation, key: &str) -> Result<Option<StoredRow>, StoreError> {
        Ok(self.generation(generation).and_then(|rows| rows.rows.get(key)).cloned())
    }

    fn rows(
        &self,
        generation: Generation,
        prefix: &str,
        after: Option<&str>,
        each: &mut dyn FnMut(&str, StoredRow) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.generation(generation) else { return Ok(()) };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        for (key, row) in rows.rows.range::<str, _>((from, Bound::Unbounded)) {
            if !key.starts_with(prefix) || each(key, row.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn changed_since(
        &self,
        generation: Generation,
        settled: Version,
        keys_max: usize,
    ) -> Result<Option<Vec<Arc<str>>>, StoreError> {
        let Some(rows) = self.generation(generation) else { return Ok(Some(Vec::new())) };
        let record = self.content.projections.values().find(|record| record.state.generation == generation);
        if record.is_some_and(|record| settled >= record.listed_after) {
            let later = rows.lists.range((Bound::Excluded(settled), Bound::Unbounded));
            let mut keys: Vec<_> = later.flat_map(|(_, keys)| keys.iter().cloned()).collect();
            keys.sort_unstable();
            keys.dedup();
            return Ok((keys.len() <= keys_max).then_some(keys));
        }
        let changed = rows.rows.iter().filter(|(_, row)| row.changed > settled);
        let keys: Vec<_> = changed.map(|(key, _)| key.clone()).collect();
        Ok((keys.len() <= keys_max).then_some(keys))
    }

    fn dead_letters(
        &self,
        projection: &ProjectionName,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let Some(letters) = self.content.dead_letters.get(projection) else { return Ok(Vec::new()) };
        let numbered = (1..).zip(letters.iter().cloned());
        Ok(numbered.skip_while(|(number, _)| *number <= after).take(limit).collect())
    }
}
