//! Targets that hold copies of documents, and the publisher in front of them.
//!
//! A sink never decides what to write: the core says which keys it is owed, the publisher reads their rows through a synced
//! snapshot and renders them, and the sink answers for each.

pub mod cache;
pub mod claim;
pub mod conflict;
pub mod cosmos;
pub mod elasticsearch;
pub mod embedded;
pub mod meter;
pub mod pace;
pub mod postgres;
pub mod redis;
pub(crate) mod tls;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{EventTime, Version};
use crate::sinks::claim::ClaimedTarget;
use crate::sinks::meter::Meter;
use crate::sinks::pace::Limits;
use crate::state::{Snapshot, StoredRow};

/// A future that a sink returns; sinks are called through `dyn`.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A document to write or to delete.
#[derive(Debug, Clone)]
pub struct DocumentWrite {
    /// The key text.
    pub key: Arc<str>,
    /// INVARIANT: one version of one key names one sequence of bytes.
    pub version: Version,
    pub body: DocumentBody,
    /// The time of the event that changed the row last: what `ttl` counts from.
    pub time: Option<EventTime>,
}

#[derive(Debug, Clone)]
pub enum DocumentBody {
    /// JSON, `_proj` included.
    Document(Arc<[u8]>),
    Delete,
}

/// What became of one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// The same version was there already.
    Duplicate,
    /// The target was not reached, or refused it for a moment, and has surely not done it: this item may be sent again.
    Retry {
        reason: String,
    },
    /// The target is there and asks to be asked less (429, 503): this item was not done, and may be sent again.
    Busy {
        reason: String,
        /// How long the target asks to wait.
        after: Option<Duration>,
    },
    /// Nobody knows whether it was done, or will be, up to [`DocumentSink::late_for`] from now: it may be sent again.
    Unanswered {
        reason: String,
    },
    /// This document can never be written.
    Poison {
        reason: String,
    },
    /// The target holds a version of somebody else: the sink stops.
    Foreign {
        reason: String,
        /// The version that is there, if it has one.
        stored: Option<Version>,
    },
}

/// A document as a sink holds it.
#[derive(Debug, Clone)]
pub struct StoredDocument {
    pub version: Version,
    pub body: Arc<[u8]>,
}

#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SinkError {
    pub reason: String,
}

/// A page of a listing: documents in key order, and the key to go on after when there are more.
#[derive(Debug, Default)]
pub struct DocumentPage {
    pub documents: Vec<(Arc<str>, StoredDocument)>,
    pub next: Option<Arc<str>>,
}

/// A target that holds whole documents by key, each with a version that never falls.
pub trait DocumentSink: Send + Sync {
    /// Writes a batch, at most one write per key. One outcome per write, in order. Settles by `deadline`.
    fn write(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> SinkFuture<'_, Vec<Outcome>>;

    /// The document it holds.
    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>>;

    /// A page of what it holds, in key order; targets that cannot list by key say so.
    fn list<'a>(
        &'a self,
        _prefix: &'a str,
        _after: Option<&'a str>,
        _limit: usize,
    ) -> SinkFuture<'a, Result<DocumentPage, SinkError>> {
        Box::pin(std::future::ready(Err(SinkError {
            reason: "this kind of target cannot list documents by key; ask the target itself".into(),
        })))
    }

    /// What a target that cannot list by key does instead when what it held before is swept away.
    fn sweeper(&self) -> Option<&dyn Sweeper> {
        None
    }

    /// Whether it loses all with the process: then it owes nothing durable and is filled from the rows at each start.
    fn is_volatile(&self) -> bool;

    /// The claim of the target; `None` for a volatile sink, which has no owner but its process.
    fn claimed(&self) -> Option<&dyn ClaimedTarget> {
        None
    }

    /// What one request takes at most, and how many may be under way at once.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// Counts what it does; `None` where nothing is worth counting.
    fn meter(&self) -> Option<&Meter> {
        None
    }

    /// Whether a deleted document leaves its version behind, for [`DocumentSink::late_for`] at least.
    fn remembers_deletes(&self) -> bool {
        self.late_for().is_zero()
    }

    /// How long after a request was given up on, or answered, or its sender died, it may still be done (once more).
    fn late_for(&self) -> Duration {
        Duration::ZERO
    }

    /// The feed of its changes, where one is kept.
    fn changes(&self) -> Option<Arc<cache::Changes>> {
        None
    }

    /// A sink that makes its documents from rows itself is told of changes here, and nothing is rendered or written for it.
    fn row_view(&self) -> Option<&dyn RowView> {
        None
    }
}

/// A target that finds and deletes old documents by itself.
pub trait Sweeper: Send + Sync {
    /// Deletes up to `limit` documents of this projection with a version below `floor`, each only if its version still is;
    /// says whether there may be more. Where deletes leave versions behind, it is `version`. Settles by `deadline`.
    fn sweep(
        &self,
        floor: Version,
        version: Version,
        limit: usize,
        deadline: Instant,
    ) -> SinkFuture<'_, Result<bool, SinkError>>;
}

/// A volatile sink that serves synced rows: rendering is left to its readers, so a change costs it next to nothing.
///
/// These are called in place of [`DocumentSink::write`]; when they return, the keys are settled.
pub trait RowView: Send + Sync {
    /// These rows changed. `snapshot` shows them; `version` is its checkpoint's. Each call takes a newer snapshot
    /// than the last. Called by the thread that folds: it must not block.
    fn changed(&self, keys: &[Arc<str>], version: Version, snapshot: Arc<dyn Snapshot>);

    /// The next rows of the walk over all rows that fills the sink at start, in key order; called at least once, also when
    /// there are none. May block.
    fn fill(&self, rows: &[(Arc<str>, StoredRow)], version: Version, snapshot: Arc<dyn Snapshot>);
}
