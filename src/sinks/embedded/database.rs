//! Where the documents lie: a database in a directory that is ours.
//!
//! Three keyspaces. `documents`: sink, key text → version, bytes. `deleted`: sink, key text → the version that deleted it.
//! `sinks`: projection, sink name → the number that stands for both in the other two; that number → the claim of the sink,
//! once one was made; and marks of sinks being dropped.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};

use crate::event::{ProjectionName, Version};
use crate::sinks::claim::Claim;
use crate::sinks::embedded::record;
use crate::sinks::{DocumentPage, StoredDocument};
use crate::state::StoreError;
use crate::state::database;
use crate::state::directory::{Contents, Directory, make_folder};

const CONTENTS: Contents = Contents { kind: "projector documents", format: 1, folder: DATABASE };
const DATABASE: &str = "documents";

const CACHE_BYTES: u64 = 16 * 1024 * 1024;
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
const WORKER_THREADS: usize = 1;
/// How many documents one step of a removal takes.
const DROP_STEP: usize = 10_000;

/// Key prefixes of `sinks`.
const NAMED: u8 = b's';
const LAST: &[u8] = b"n";
const DROPPED: u8 = b'x';
const CLAIM: u8 = b'c';

/// Stands for a sink of a projection. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SinkId(u32);

/// The database and its parts.
pub struct Documents {
    path: PathBuf,
    db: Database,
    documents: Keyspace,
    deleted: Keyspace,
    sinks: Keyspace,
    /// Held while a sink gets its number.
    naming: Mutex<()>,
    /// Why a write failed; after it the database takes no other.
    failed: OnceLock<String>,
    // ORDER: the last field: the directory is unlocked after the database is closed.
    _directory: Directory,
}

impl Documents {
    pub fn open(path: &Path) -> Result<Documents, StoreError> {
        let directory = Directory::open(path, CONTENTS)?;
        let database = make_folder(path, DATABASE, |new| open_database(new).map(drop))?;
        let (db, [documents, deleted, sinks]) = open_database(&database)?;
        let naming = Mutex::new(());
        let opened = Documents {
            path: path.to_owned(),
            db,
            documents,
            deleted,
            sinks,
            naming,
            failed: OnceLock::new(),
            _directory: directory,
        };
        // Nothing of an earlier process is on its way any more, and this one has sent nothing: no late write can come.
        // Entry by entry: there are few, and clearing the keyspace at once can keep the database from trimming its journal.
        opened.remove_all(&opened.deleted, Vec::new(), &[0xff; 5])?;
        opened.finish_drops()?;
        Ok(opened)
    }

    /// A batch that is synced when its commit returns.
    pub fn batch(&self, entries: usize) -> OwnedWriteBatch {
        database::batch(&self.db, &self.sinks, entries)
    }

    pub fn put(&self, out: &mut OwnedWriteBatch, key: &[u8], version: Version, body: &[u8]) {
        out.insert(&self.documents, key, [&version.0.to_be_bytes(), body].concat());
        out.remove(&self.deleted, key);
    }

    pub fn delete(&self, out: &mut OwnedWriteBatch, key: &[u8], version: Version) {
        out.remove(&self.documents, key);
        out.insert(&self.deleted, key, version.0.to_be_bytes());
    }

    /// Forgets that a document was deleted.
    pub fn forget(&self, out: &mut OwnedWriteBatch, key: &[u8]) {
        out.remove(&self.deleted, key);
    }

    /// The version of a document, or the one that deleted it.
    pub fn version(&self, key: &[u8]) -> Result<Option<Version>, StoreError> {
        let found = match self.documents.get(key).map_err(|error| self.read_failed(error))? {
            Some(value) => Some(value),
            None => self.deleted.get(key).map_err(|error| self.read_failed(error))?,
        };
        found.map(|value| self.split(&value).map(|(version, _)| version)).transpose()
    }

    pub fn read(&self, sink: SinkId, key: &str) -> Result<Option<StoredDocument>, StoreError> {
        let value = self.documents.get(document_key(sink, key)).map_err(|error| self.read_failed(error))?;
        value.map(|value| self.document(&value)).transpose()
    }

    pub fn list(
        &self,
        sink: SinkId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, StoreError> {
        // No key text lies between a text and itself with a NUL behind it.
        let from = match after {
            Some(after) if after >= prefix => document_key(sink, &format!("{after}\0")),
            _ => document_key(sink, prefix),
        };
        let mut page = DocumentPage::default();
        if limit == 0 {
            return Ok(page);
        }
        for guard in self.documents.range(&from[..]..&document_key(SinkId(sink.0 + 1), "")[..]) {
            let (key, value) = guard.into_inner().map_err(|error| self.read_failed(error))?;
            let text = std::str::from_utf8(&key[4..]).map_err(|_| self.damaged("a key that is not text"))?;
            if !text.starts_with(prefix) {
                break;
            }
            if page.documents.len() == limit {
                page.next = page.documents.last().map(|(key, _)| key.clone());
                break;
            }
            page.documents.push((text.into(), self.document(&value)?));
        }
        Ok(page)
    }

    pub fn claim(&self, sink: SinkId) -> Result<Option<Claim>, StoreError> {
        let found = self.sinks.get(claim_key(sink)).map_err(|error| self.read_failed(error))?;
        let decode = |value: fjall::Slice| record::decode(&value).ok_or_else(|| self.damaged("a claim that is none"));
        found.map(decode).transpose()
    }

    pub fn put_claim(&self, out: &mut OwnedWriteBatch, sink: SinkId, claim: &Claim) {
        out.insert(&self.sinks, claim_key(sink), record::encode(claim));
    }

    pub fn sink_id(&self, projection: &ProjectionName, sink: &str) -> Result<SinkId, StoreError> {
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        let name = sink_key(projection, sink);
        if let Some(id) = self.sinks.get(&name).map_err(|error| self.read_failed(error))? {
            return self.sink_number(&id);
        }
        let last = self.sinks.get(LAST).map_err(|error| self.read_failed(error))?;
        let id = SinkId(last.map_or(Ok(SinkId(0)), |last| self.sink_number(&last))?.0 + 1);
        let mut batch = self.batch(2);
        batch.insert(&self.sinks, LAST, id.0.to_be_bytes());
        batch.insert(&self.sinks, name, id.0.to_be_bytes());
        batch.commit().map_err(|error| self.write_failed(error))?;
        Ok(id)
    }

    pub fn sinks(&self, projection: &ProjectionName) -> Result<Vec<Arc<str>>, StoreError> {
        let prefix = sink_key(projection, "");
        let named = self.sinks.prefix(&prefix).map(|guard| {
            let (key, id) = guard.into_inner().map_err(|error| self.read_failed(error))?;
            let name =
                std::str::from_utf8(&key[prefix.len()..]).map_err(|_| self.damaged("a name that is not text"))?;
            Ok((self.sink_number(&id)?.0, name.into()))
        });
        let mut named: Vec<(_, Arc<str>)> = named.collect::<Result<_, StoreError>>()?;
        named.sort_unstable();
        Ok(named.into_iter().map(|(_, name)| name).collect())
    }

    /// The name and the claim go first; the documents follow in steps, and a crash between is finished at the next start.
    pub fn drop_sink(&self, projection: &ProjectionName, sink: &str) -> Result<(), StoreError> {
        let name = sink_key(projection, sink);
        let Some(id) = self.sinks.get(&name).map_err(|error| self.read_failed(error))? else { return Ok(()) };
        let mut batch = self.batch(3);
        batch.remove(&self.sinks, name);
        batch.remove(&self.sinks, claim_key(self.sink_number(&id)?));
        batch.insert(&self.sinks, [&[DROPPED], &id[..]].concat(), []);
        batch.commit().map_err(|error| self.write_failed(error))?;
        self.finish_drops()
    }

    fn finish_drops(&self) -> Result<(), StoreError> {
        for guard in self.sinks.prefix([DROPPED]) {
            let mark = guard.key().map_err(|error| self.read_failed(error))?;
            let sink = self.sink_number(&mark[1..])?;
            for keyspace in [&self.documents, &self.deleted] {
                self.remove_all(keyspace, document_key(sink, ""), &document_key(SinkId(sink.0 + 1), ""))?;
            }
            let mut batch = self.batch(1);
            batch.remove(&self.sinks, mark);
            batch.commit().map_err(|error| self.write_failed(error))?;
        }
        Ok(())
    }

    fn remove_all(&self, keyspace: &Keyspace, mut from: Vec<u8>, to: &[u8]) -> Result<(), StoreError> {
        loop {
            let mut batch = self.batch(0);
            let mut removed = 0;
            for guard in keyspace.range(&from[..]..to).take(DROP_STEP) {
                let key = guard.key().map_err(|error| self.read_failed(error))?;
                from = [&key[..], &[0]].concat();
                batch.remove(keyspace, key);
                removed += 1;
            }
            if removed > 0 {
                batch.commit().map_err(|error| self.write_failed(error))?;
            }
            if removed < DROP_STEP {
                return Ok(());
            }
        }
    }

    fn document(&self, value: &[u8]) -> Result<StoredDocument, StoreError> {
        let (version, body) = self.split(value)?;
        Ok(StoredDocument { version, body: body.into() })
    }

    fn split<'v>(&self, value: &'v [u8]) -> Result<(Version, &'v [u8]), StoreError> {
        let (version, body) = value.split_first_chunk().ok_or_else(|| self.damaged("a document without a version"))?;
        Ok((Version(u64::from_be_bytes(*version)), body))
    }

    fn sink_number(&self, value: &[u8]) -> Result<SinkId, StoreError> {
        let number = value.try_into().map_err(|_| self.damaged("a sink without a number"))?;
        Ok(SinkId(u32::from_be_bytes(number)))
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: format!("it holds {what}") }
    }

    fn read_failed(&self, error: fjall::Error) -> StoreError {
        StoreError::database(&self.path, "read", error)
    }

    pub fn write_failed(&self, error: fjall::Error) -> StoreError {
        let error = StoreError::database(&self.path, "written", error);
        match self.failed.get() {
            Some(reason) => StoreError::Poisoned { reason: reason.clone() },
            None => {
                let _ = self.failed.set(error.to_string());
                error
            }
        }
    }
}

pub fn document_key(sink: SinkId, key: &str) -> Vec<u8> {
    [&sink.0.to_be_bytes(), key.as_bytes()].concat()
}

fn claim_key(sink: SinkId) -> [u8; 5] {
    let [a, b, c, d] = sink.0.to_be_bytes();
    [CLAIM, a, b, c, d]
}

/// The length of the projection's name stands in front, so that no name runs into another.
fn sink_key(projection: &ProjectionName, sink: &str) -> Vec<u8> {
    let name = projection.0.as_bytes();
    [&[NAMED], &(name.len() as u32).to_be_bytes()[..], name, sink.as_bytes()].concat()
}

fn open_database(path: &Path) -> Result<(Database, [Keyspace; 3]), StoreError> {
    let keyspace = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
    let open = || {
        let db = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .worker_threads(WORKER_THREADS)
            .open()?;
        let keyspaces =
            [db.keyspace("documents", keyspace)?, db.keyspace("deleted", keyspace)?, db.keyspace("sinks", keyspace)?];
        Ok((db, keyspaces))
    };
    database::open(path, open)
}
