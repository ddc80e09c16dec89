//! A directory → an open store: made when it is new, recovered when it is not.
//!
//! The database replays its journal up to the last whole batch. What it cannot know is mended here: which lists of changes
//! there are is counted anew, and a generation whose removal was cut short is removed to the end. A new database is built
//! beside its place and renamed into it, so that a crash while it is made leaves nothing that could not be opened.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use fjall::compaction::Leveled;
use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, KeyspaceCreateOptions};

use crate::event::{Generation, ProjectionName};
use crate::state::database::{self, MARKER};
use crate::state::directory::{Contents, Directory, make_folder};
use crate::state::disk::entry::{self, ChunkKey, ListKind};
use crate::state::disk::reader::DiskSnapshot;
use crate::state::disk::witness;
use crate::state::disk::writer::{Known, List, Writer};
use crate::state::disk::{DiskStore, DiskStoreOptions, Tables};
use crate::state::{Snapshot, StoreError, StoreIdentity};

const CONTENTS: Contents = Contents { kind: "projector state", format: 1, folder: DATABASE };
const DATABASE: &str = "rows";

/// Rows in memory before they are sorted into a file.
const ROWS_MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// The other keyspaces are small; large enough not to flush at every checkpoint.
const SMALL_MEMTABLE_BYTES: u64 = 8 * 1024 * 1024;
/// Small tables make short compactions, so that rounds do not pile up in memory behind a long one: 100 MiB less at the peak
/// of 2 million rows than with the usual 64 MiB, for the same CPU.
const TABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Bounds what a start replays.
const JOURNAL_BYTES_MAX: u64 = 192 * 1024 * 1024;
/// One: a second one turns in circles whenever the first is busy (2.6 in place of 1.7 µs of CPU a row).
const WORKER_THREADS: usize = 1;

pub fn open(path: &Path, options: DiskStoreOptions, listed_keys_min: u64) -> Result<DiskStore, StoreError> {
    let directory = Arc::new(Directory::open(path, CONTENTS)?);
    let tables = open_tables(path, &directory, options)?;
    let snapshot = DiskSnapshot::new(&tables);
    let damaged = |error| tables.damaged("the last generation", error);
    let last_generation = tables.records.get(entry::LAST_GENERATION).map_err(|error| tables.read_failed(error))?;
    let last_generation = last_generation.map(|value| entry::read_generation(&value)).transpose().map_err(damaged)?;
    let starts = tables.records.get(entry::STARTS).map_err(|error| tables.read_failed(error))?;
    let damaged = |error| tables.damaged("the count of starts", error);
    let starts = starts.map(|value| entry::read_starts(&value)).transpose().map_err(damaged)?.unwrap_or(0);
    witness::compare(path, starts)?;
    let mut known = BTreeMap::new();
    for name in snapshot.projections()? {
        known.insert(name.clone(), read_known(&tables, &snapshot, &name)?);
    }
    for generation in dropped(&tables)? {
        tables.remove_generation(generation)?;
    }
    for (generation, projection) in tables.unfinished_restores()? {
        tables.remove_restored(generation, &projection)?;
    }
    let snapshot = DiskSnapshot::new(&tables);
    let identity = StoreIdentity { id: directory.id, place: directory.place };
    let writer = Writer::new(tables, last_generation.unwrap_or(Generation(0)), known, listed_keys_min, starts);
    Ok(DiskStore { writer: Mutex::new(writer), synced: RwLock::new(Arc::new(snapshot)), identity })
}

fn open_tables(path: &Path, directory: &Arc<Directory>, options: DiskStoreOptions) -> Result<Tables, StoreError> {
    let make = |new: &Path| mark(&open_database(new, directory, options)?);
    let database = make_folder(path, DATABASE, make)?;
    let tables = open_database(&database, directory, options)?;
    look_for_marks(&tables)?;
    Ok(tables)
}

/// Puts a marker into each keyspace of a new database.
fn mark(tables: &Tables) -> Result<(), StoreError> {
    let mut batch = tables.batch(4);
    for keyspace in tables.keyspaces() {
        batch.insert(keyspace, MARKER, b"");
    }
    batch.commit().map_err(|error| tables.write_failed(error))
}

/// A keyspace whose files were lost opens empty, without its marker.
fn look_for_marks(tables: &Tables) -> Result<(), StoreError> {
    for keyspace in tables.keyspaces() {
        if !keyspace.contains_key(MARKER).map_err(|error| tables.read_failed(error))? {
            let what = format!("the keyspace `{}` of its database was lost", keyspace.name());
            return Err(StoreError::Damaged { path: tables.directory().to_owned(), what });
        }
    }
    Ok(())
}

fn open_database(path: &Path, directory: &Arc<Directory>, options: DiskStoreOptions) -> Result<Tables, StoreError> {
    let open = || -> fjall::Result<Tables> {
        let db = Database::builder(path)
            .cache_size(options.cache_bytes)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKER_THREADS)
            .manual_journal_persist(true)
            .open()?;
        Ok(Tables {
            path: Arc::new(path.to_owned()),
            rows: db.keyspace("rows", || keyspace(ROWS_MEMTABLE_BYTES))?,
            changes: db.keyspace("changes", || keyspace(SMALL_MEMTABLE_BYTES))?,
            records: db.keyspace("records", || keyspace(SMALL_MEMTABLE_BYTES))?,
            letters: db.keyspace("letters", || keyspace(SMALL_MEMTABLE_BYTES))?,
            db,
            _directory: directory.clone(),
        })
    };
    database::open(path, open)
}

fn keyspace(memtable_bytes: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes)
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(TABLE_BYTES)))
}

fn read_known(tables: &Tables, snapshot: &DiskSnapshot, name: &ProjectionName) -> Result<Known, StoreError> {
    let record = snapshot.record(name)?.expect("the snapshot just named it");
    let mut lists: VecDeque<List> = VecDeque::new();
    for guard in tables.changes.prefix(record.state.generation.0.to_be_bytes()) {
        let (key, value) = guard.into_inner().map_err(|error| tables.read_failed(error))?;
        let damaged = |error| tables.damaged("a list of changes", error);
        let ChunkKey { version, kind, .. } = ChunkKey::decode(&key).map_err(damaged)?;
        if lists.back().is_none_or(|list| list.version != version) {
            lists.push_back(List { version, ..List::default() });
        }
        let list = lists.back_mut().expect("just pushed");
        list.keys += entry::chunk_len(&value).map_err(damaged)?;
        match kind {
            ListKind::Written => list.written_chunks += 1,
            ListKind::Deleted => list.deleted_chunks += 1,
        }
    }
    let listed_keys = lists.iter().map(|list| list.keys).sum();
    Ok(Known { record, lists, listed_keys, swept_to: Vec::new() })
}

/// Generations whose removal was begun.
fn dropped(tables: &Tables) -> Result<Vec<Generation>, StoreError> {
    let marks = tables.records.prefix(entry::DROPPED).map(|guard| {
        let key = guard.key().map_err(|error| tables.read_failed(error))?;
        entry::read_generation(&key[1..]).map_err(|error| tables.damaged("a dropped generation", error))
    });
    marks.collect()
}
