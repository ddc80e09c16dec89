//! State that no engine holds: the store and the embedded documents, opened to look at them or to drop them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::SystemTime;

use crate::control::access::engine::EngineClient;
use crate::control::access::skip::skip;
use crate::control::access::{AccessError, DocumentQuery, unknown};
use crate::control::config::{Config, Connection};
use crate::event::{ProjectionName, RecordPlace};
use crate::serve::backup::{self, BackupProgress, BackupReport};
use crate::serve::dead_letters::{DeadLetterPage, DeadLetterReport};
use crate::serve::report::ProjectionReport;
use crate::sinks::embedded::EmbeddedStore;
use crate::sinks::{DocumentSink, SinkError};
use crate::state::backup::{BackupCounts, BackupFile};
use crate::state::{DiskStore, DiskStoreOptions, Store, StoreError};

/// Enough for looking around.
const CACHE_BYTES: u64 = 16 << 20;

/// The directories of a configuration, locked against engines.
pub(super) struct StateAtRest {
    store: DiskStore,
    documents: Vec<EmbeddedStore>,
}

impl StateAtRest {
    /// Opens what is there; `engine` is whom the user meant if somebody else holds it.
    pub fn open(config: &Config, engine: &EngineClient) -> Result<StateAtRest, AccessError> {
        let options = DiskStoreOptions { cache_bytes: CACHE_BYTES };
        let store = DiskStore::open(&config.state.dir, options).map_err(|error| match error {
            StoreError::Locked { .. } => {
                let address = engine.address();
                AccessError::Refused(format!(
                    "{error}, and nothing answers at {address}: does [http] name its address?"
                ))
            }
            other => other.into(),
        })?;
        let embedded = |connection: &Connection| match connection {
            Connection::Embedded { path } => Some(config.documents_dir(path.as_deref())),
            _ => None,
        };
        let directories: BTreeSet<_> = config.connections.values().filter_map(embedded).collect();
        let there = directories.iter().filter(|directory| directory.exists());
        let documents = there.map(|directory| EmbeddedStore::open(directory)).collect::<Result<_, _>>()?;
        Ok(StateAtRest { store, documents })
    }

    pub fn projections(&self) -> Result<Vec<ProjectionReport>, AccessError> {
        let snapshot = self.store.snapshot();
        let mut reports = Vec::new();
        for name in snapshot.projections()? {
            let Some(state) = snapshot.projection(&name)? else { continue };
            let report = ProjectionReport::at_rest(&name.0, &state);
            reports.push(report.with_backup(snapshot.last_backup(&name)?, SystemTime::now()));
        }
        Ok(reports)
    }

    pub fn document(&self, name: &str, key: &str, query: DocumentQuery<'_>) -> Result<String, AccessError> {
        if query.wait.is_some() {
            return Err(AccessError::Refused("no engine runs: there is nothing to wait for".into()));
        }
        let projection = self.known(name)?;
        let (store, sink) = self.sink(&projection, query.sink)?;
        let sink = store.sink(&projection, &sink)?;
        // The store answers from threads of its own; this one only waits.
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| SinkError { reason: error.to_string() })?;
        let document = runtime.block_on(sink.read(key))?;
        let document = document.ok_or_else(|| AccessError::NotFound(format!("`{name}` has no document `{key}`")))?;
        Ok(String::from_utf8_lossy(&document.body).into_owned())
    }

    /// The embedded sink of that name; the first of the file without one.
    fn sink(
        &self,
        projection: &ProjectionName,
        wanted: Option<&str>,
    ) -> Result<(&EmbeddedStore, std::sync::Arc<str>), AccessError> {
        for store in &self.documents {
            let sinks = store.sinks(projection)?;
            if let Some(sink) = sinks.into_iter().find(|sink| wanted.is_none_or(|wanted| **sink == *wanted)) {
                return Ok((store, sink));
            }
        }
        let wanted =
            wanted.map_or("no embedded documents".into(), |wanted| format!("no embedded documents of `{wanted}`"));
        Err(AccessError::NotFound(format!("`{projection}` has {wanted}: others are served while an engine runs")))
    }

    pub fn dead_letters(&self, name: &str, after: u64, limit: usize) -> Result<DeadLetterPage, AccessError> {
        let projection = self.known(name)?;
        let letters = self.store.snapshot().dead_letters(&projection, after, limit)?;
        let next = letters.last().filter(|_| letters.len() == limit).map(|(number, _)| *number);
        let dead_letters = letters.into_iter().map(|(number, letter)| DeadLetterReport::new(number, letter)).collect();
        Ok(DeadLetterPage { dead_letters, next })
    }

    pub fn back_up(
        &self,
        name: &str,
        directory: &Path,
        watch: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport, AccessError> {
        let mut tell = told(watch);
        let made = backup::write(&self.store, &ProjectionName(name.into()), directory.to_owned(), &mut tell)?;
        Ok(made.into())
    }

    /// Puts back a backup that was found whole.
    pub fn restore(&self, file: &BackupFile, watch: &mut dyn FnMut(BackupProgress)) -> Result<(), AccessError> {
        Ok(self.store.restore(file, &mut told(watch))?)
    }

    pub fn skip(&self, name: &str, event: &RecordPlace) -> Result<(), AccessError> {
        skip(&self.store, &ProjectionName(name.into()), event)
    }

    pub fn knows(&self, projection: &ProjectionName) -> Result<bool, AccessError> {
        Ok(self.store.snapshot().projection(projection)?.is_some())
    }

    /// ORDER: the state goes first. Documents without state stop the next run loudly, since they are newer than it, and a
    /// second drop takes them away; state without documents would go on as if they were there.
    pub fn drop_projection(&self, name: &str) -> Result<(), AccessError> {
        let projection = ProjectionName(name.into());
        let mut found = self.store.snapshot().projection(&projection)?.is_some();
        self.store.drop_projection(&projection)?;
        for store in &self.documents {
            for sink in store.sinks(&projection)? {
                store.drop_sink(&projection, &sink)?;
                found = true;
            }
        }
        if found { Ok(()) } else { Err(unknown(name)) }
    }

    pub fn known(&self, name: &str) -> Result<ProjectionName, AccessError> {
        let projection = ProjectionName(name.into());
        match self.store.snapshot().projection(&projection)? {
            Some(_) => Ok(projection),
            None => Err(unknown(name)),
        }
    }
}

/// Passes on what a backup says of its progress; nobody breaks it off.
pub(super) fn told(watch: &mut dyn FnMut(BackupProgress)) -> impl FnMut(BackupCounts) -> ControlFlow<()> {
    |counts| {
        watch(BackupProgress { running: true, rows: counts.rows, bytes: counts.bytes });
        ControlFlow::Continue(())
    }
}
