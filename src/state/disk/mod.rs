//! The store on disk: checkpoints as atomic, synced batches of one embedded database.
//!
//! A round is one batch of the database's journal, synced before the call returns; only then do readers get the view that
//! shows it. What a crash leaves is a whole prefix of the rounds. `entry` is the layout, `writer` turns a round into a batch,
//! `reader` answers from a snapshot, `recovery` opens a directory and finishes what a crash left unfinished.
//! It keeps no rows in memory: hot rows are the business of the fold.

pub(in crate::state) mod entry;
mod reader;
mod recovery;
mod restore;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use fjall::{Database, Keyspace};

use crate::event::{Generation, ProjectionName};
use crate::state::backup::BackupMark;
use crate::state::bytes::BytesError;
use crate::state::database;
use crate::state::directory::Directory;
use crate::state::record::LISTED_KEYS_MIN;
use crate::state::{CheckpointBatch, Snapshot, Store, StoreError, StoreIdentity};
use reader::DiskSnapshot;
use writer::Writer;

/// A [`Store`] in a directory of its own. It is closed, and the directory free, once its last snapshot is dropped too.
pub struct DiskStore {
    writer: Mutex<Writer>,
    /// What was synced last: replaced after each sync, so that readers never wait for a writer.
    synced: RwLock<Arc<DiskSnapshot>>,
    identity: StoreIdentity,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct DiskStoreOptions {
    /// For the database's block cache.
    pub cache_bytes: u64,
}

/// The database and its parts.
#[derive(Clone)]
struct Tables {
    /// For messages.
    path: Arc<PathBuf>,
    db: Database,
    rows: Keyspace,
    changes: Keyspace,
    records: Keyspace,
    letters: Keyspace,
    /// Locked for as long as anybody reads.
    _directory: Arc<Directory>,
}

impl DiskStore {
    /// Opens the store in `path`, or makes one there.
    pub fn open(path: &Path, options: DiskStoreOptions) -> Result<DiskStore, StoreError> {
        recovery::open(path, options, LISTED_KEYS_MIN)
    }

    /// A store whose lists are dropped as soon as they hold more keys than there are rows.
    #[cfg(test)]
    pub(super) fn open_with_short_lists(path: &Path, options: DiskStoreOptions) -> Result<DiskStore, StoreError> {
        recovery::open(path, options, 0)
    }

    /// Sorts what is in memory into tables now.
    #[cfg(test)]
    pub(super) fn write_tables(&self) {
        for keyspace in self.lock().tables().keyspaces() {
            keyspace.rotate_memtable_and_wait().expect("tables can be written");
        }
    }

    /// Does one durable thing, and shows it to readers once it is synced. After an error nothing more is done.
    fn write<T>(
        &self,
        act: impl FnOnce(&mut Writer) -> Result<T, StoreError>,
    ) -> Result<(T, Arc<DiskSnapshot>), StoreError> {
        let mut writer = self.lock();
        writer.refuse_when_poisoned()?;
        let done = act(&mut writer).inspect_err(|error| writer.poison(error))?;
        let snapshot = Arc::new(DiskSnapshot::new(writer.tables()));
        *self.synced.write().unwrap_or_else(PoisonError::into_inner) = snapshot.clone();
        Ok((done, snapshot))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A thread that panicked in the middle of a round has left the writer between two rounds: it may not go on.
        self.writer.lock().unwrap_or_else(|held| {
            let mut writer = held.into_inner();
            writer.poison_with("a writer panicked".into());
            writer
        })
    }
}

impl Store for DiskStore {
    fn identity(&self) -> StoreIdentity {
        self.identity
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.synced.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn new_generation(&self, _projection: &ProjectionName) -> Result<Generation, StoreError> {
        Ok(self.write(Writer::new_generation)?.0)
    }

    fn commit(&self, round: &[CheckpointBatch]) -> Result<Arc<dyn Snapshot>, StoreError> {
        Ok(self.write(|writer| writer.commit(round))?.1)
    }

    fn drop_projection(&self, projection: &ProjectionName) -> Result<(), StoreError> {
        self.write(|writer| writer.drop_projection(projection)).map(|_| ())
    }

    fn note_backup(&self, projection: &ProjectionName, mark: BackupMark) -> Result<(), StoreError> {
        self.write(|writer| writer.note_backup(projection, mark)).map(|_| ())
    }
}

impl Tables {
    /// The state directory that the database lies in.
    fn directory(&self) -> &Path {
        self.path.parent().expect("the database has a folder of its own")
    }

    fn keyspaces(&self) -> [&Keyspace; 4] {
        [&self.rows, &self.changes, &self.records, &self.letters]
    }

    /// A batch that is synced when its commit returns.
    fn batch(&self, entries: usize) -> fjall::OwnedWriteBatch {
        database::batch(&self.db, &self.records, entries)
    }

    fn read_failed(&self, error: fjall::Error) -> StoreError {
        StoreError::database(self.directory(), "read", error)
    }

    fn write_failed(&self, error: fjall::Error) -> StoreError {
        StoreError::database(self.directory(), "written", error)
    }

    fn damaged(&self, entry: &str, error: BytesError) -> StoreError {
        StoreError::Damaged { path: self.directory().to_owned(), what: format!("of {entry}, {error}") }
    }
}
