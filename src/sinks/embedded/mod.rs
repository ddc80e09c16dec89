//! The embedded document store: documents in a directory, served by the process that writes them.
//!
//! One database holds the documents of all embedded sinks of a process, each with its version. A write answers once it is
//! synced; writes that come together share a sync. A deleted document leaves its version behind for a while, so that a late
//! older write cannot bring it back. Each sink has a claim, which lies in the same database: it goes where the documents go,
//! and the batch that writes a document raises what the claim says of the newest. It never looks into a document.

mod database;
mod record;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use crate::event::ProjectionName;
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget};
use crate::sinks::{DocumentPage, DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument};
use crate::state::StoreError;
use database::{Documents, SinkId};
use writer::WriterThread;

/// The documents of all embedded sinks of a process.
#[derive(Clone)]
pub struct EmbeddedStore {
    documents: Arc<Documents>,
    writer: Arc<WriterThread>,
}

/// The documents of one sink of one projection.
pub struct EmbeddedSink {
    id: SinkId,
    documents: Arc<Documents>,
    writer: Arc<WriterThread>,
}

impl EmbeddedStore {
    /// Opens the store in `path`, or makes one there.
    pub fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
        let documents = Arc::new(Documents::open(path)?);
        let writer = Arc::new(WriterThread::spawn(documents.clone())?);
        Ok(EmbeddedStore { documents, writer })
    }

    /// The sink of that name; new ones are empty.
    pub fn sink(&self, projection: &ProjectionName, sink: &str) -> Result<EmbeddedSink, StoreError> {
        let id = self.documents.sink_id(projection, sink)?;
        Ok(EmbeddedSink { id, documents: self.documents.clone(), writer: self.writer.clone() })
    }

    /// The sinks of a projection that hold, or held, documents here, in the order they were made.
    pub fn sinks(&self, projection: &ProjectionName) -> Result<Vec<Arc<str>>, StoreError> {
        self.documents.sinks(projection)
    }

    /// Removes a sink with all its documents. Nobody may be writing to it.
    pub fn drop_sink(&self, projection: &ProjectionName, sink: &str) -> Result<(), StoreError> {
        self.documents.drop_sink(projection, sink)
    }
}

impl EmbeddedSink {
    /// Reads away from the async threads: a document that is not cached is a read of the disk.
    fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Documents, SinkId) -> Result<T, StoreError> + Send + 'static,
    ) -> SinkFuture<'_, Result<T, SinkError>> {
        let (documents, id) = (self.documents.clone(), self.id);
        Box::pin(async move {
            let done = spawn_blocking(move || read(&documents, id)).await;
            done.map_err(|error| SinkError { reason: error.to_string() })?
                .map_err(|error| SinkError { reason: writer::reason(&error) })
        })
    }
}

impl DocumentSink for EmbeddedSink {
    fn write(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        Box::pin(self.writer.write(self.id, batch, deadline))
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        let key = key.to_owned();
        self.read_blocking(move |documents, sink| documents.read(sink, &key))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> SinkFuture<'a, Result<DocumentPage, SinkError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read_blocking(move |documents, sink| documents.list(sink, &prefix, after.as_deref(), limit))
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn claimed(&self) -> Option<&dyn ClaimedTarget> {
        Some(self)
    }
}

impl ClaimedTarget for EmbeddedSink {
    /// Its directory is locked by this process.
    fn is_shared(&self) -> bool {
        false
    }

    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>> {
        self.read_blocking(|documents, sink| documents.claim(sink))
    }

    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>> {
        Box::pin(self.writer.move_claim(self.id, from, to))
    }
}

#[cfg(test)]
mod tests;
