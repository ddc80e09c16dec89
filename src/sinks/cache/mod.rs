//! `into cache`: synced rows → documents, held ready in memory for HTTP.
//!
//! The cache is a view of the rows, not a copy that is kept up: a change only drops what was held of its key, and the next
//! reader renders the row from the newest synced snapshot and leaves the document here for those after it. So a key that
//! changes a thousand times between two readers costs one rendering, a miss is never a wrong answer, and `max_items` bounds
//! memory without losing documents. A listing walks the rows themselves, in key order. At start the cache is filled from the
//! rows as far as there is room.
//!
//! `ttl` counts from the time of the row's last event. A row whose events carry no time counts from when its document was
//! first made here, which is after its last change and after each restart. An expired document is as if it were not there.
//!
//! The keys that changed are kept for a while, in order: a feed that HTTP serves ([`Changes`]).
//!
//! It needs no address, no credential and no choice: that is why `into cache` needs no `[connections.cache]`.

mod changes;
mod entries;
mod render;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::{EventTime, Generation, ProjectionName, Version};
use crate::language::typed::SinkOptions;
use crate::plan::Plan;
use crate::sinks::{
    DocumentPage, DocumentSink, DocumentWrite, Outcome, RowView, SinkError, SinkFuture, StoredDocument,
};
use crate::state::{Snapshot, StoredRow};

pub use changes::{ChangePlace, Changes, Following};
use entries::{Entries, Entry};

/// How many documents are held ready when `max_items` is not given. The rest are rendered when they are read.
const ITEMS_MAX_DEFAULT: u64 = 1_000_000;
/// How many rows a page of a listing looks at, at most, when few of them have a document.
const LISTED_ROWS_MAX: usize = 50_000;

/// Makes the document of a key from its row, with this version; none when the row has none in this sink.
type Render = Box<dyn Fn(&str, &StoredRow, Version) -> Result<Option<Rendered>, SinkError> + Send + Sync>;

struct Rendered {
    body: Arc<[u8]>,
    /// Of the row's last event.
    time: Option<EventTime>,
}

/// What time it is, in microseconds since 1970.
type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// The in-process cache of one sink of one projection.
pub struct Cache {
    inner: Arc<Inner>,
}

struct Inner {
    projection: ProjectionName,
    render: Render,
    entries: Entries,
    ttl: Option<Duration>,
    clock: Clock,
    newest: RwLock<Option<Newest>>,
    changes: Arc<Changes>,
}

/// The newest snapshot that the publisher has shown us.
#[derive(Clone)]
struct Newest {
    snapshot: Arc<dyn Snapshot>,
    generation: Generation,
    version: Version,
    /// The first version of this process. No document is shown with a lower one: a changed `as` renders the same row to
    /// other bytes, and it can only change with a restart.
    first: Version,
}

impl Cache {
    /// The cache of sink number `sink` of a plan.
    pub fn new(plan: Arc<Plan>, sink: usize) -> Cache {
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
        let (name, options) = (plan.projection.name.clone(), plan.projection.sinks[sink].options.clone());
        Cache::with(ProjectionName(name), &options, render::renderer(plan, sink), Box::new(clock))
    }

    fn with(projection: ProjectionName, options: &SinkOptions, render: Render, clock: Clock) -> Cache {
        let items_max = usize::try_from(options.max_items.unwrap_or(ITEMS_MAX_DEFAULT)).unwrap_or(usize::MAX / 4);
        let (ttl, entries) = (options.ttl, Entries::new(items_max.max(1)));
        let changes = Arc::new(Changes::new());
        let inner = Inner { projection, render, entries, ttl, clock, newest: RwLock::default(), changes };
        Cache { inner: Arc::new(inner) }
    }
}

impl Inner {
    /// Serves from this snapshot from now on, unless a newer one came first.
    fn advance(&self, version: Version, snapshot: Arc<dyn Snapshot>) {
        let mut newest = self.newest.write().expect("no thread panics while it holds the snapshot");
        match newest.as_mut() {
            Some(newest) if newest.version >= version => {}
            Some(newest) => (newest.snapshot, newest.version) = (snapshot, version),
            None => {
                // A projection that is not in its own snapshot has no rows; the next one will have it.
                let state = snapshot.projection(&self.projection).ok().flatten();
                if let Some(state) = state {
                    *newest = Some(Newest { generation: state.generation, snapshot, version, first: version });
                }
            }
        }
    }

    fn newest(&self) -> Result<Newest, SinkError> {
        let newest = self.newest.read().expect("no thread panics while it holds the snapshot").clone();
        newest.ok_or_else(|| SinkError { reason: "the cache has not been filled from the rows yet".into() })
    }

    fn read(&self, key: &str) -> Result<Option<StoredDocument>, SinkError> {
        let newest = self.newest()?;
        if let Some(entry) = self.entries.get(key) {
            return Ok(self.shown(entry));
        }
        let row = newest.snapshot.row(newest.generation, key).map_err(unreadable)?;
        let Some(row) = row else { return Ok(None) };
        self.make(&newest, key.into(), &row, true)
    }

    /// Renders a row, and holds the document if there is room for it or `pushing` makes some.
    fn make(
        &self,
        newest: &Newest,
        key: Arc<str>,
        row: &StoredRow,
        pushing: bool,
    ) -> Result<Option<StoredDocument>, SinkError> {
        let version = row.changed.max(newest.first);
        let Some(rendered) = (self.render)(&key, row, version)? else { return Ok(None) };
        let since = || rendered.time.map_or_else(|| (self.clock)(), |time| time.0);
        let expires = self.ttl.map(|ttl| since().saturating_add(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)));
        let entry = Entry { document: StoredDocument { version, body: rendered.body }, expires };
        if pushing || self.entries.has_room() {
            // ORDER: a change moves the snapshot first and drops the key then. Either we see the new snapshot here, under
            // the key's lock, or the drop comes after us; a document of an old snapshot never stays.
            self.entries.insert(&key, entry.clone(), || self.is_newest(newest.version));
        }
        Ok(self.shown(entry))
    }

    fn is_newest(&self, version: Version) -> bool {
        let newest = self.newest.read().expect("no thread panics while it holds the snapshot");
        newest.as_ref().is_some_and(|newest| newest.version == version)
    }

    fn shown(&self, entry: Entry) -> Option<StoredDocument> {
        let expired = entry.expires.is_some_and(|at| at <= (self.clock)());
        (!expired).then_some(entry.document)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<DocumentPage, SinkError> {
        let newest = self.newest()?;
        let mut page = DocumentPage::default();
        let (mut walked, mut failed) = (0, None);
        let mut last: Option<Arc<str>> = None;
        let walk = newest.snapshot.rows(newest.generation, prefix, after, &mut |key, row| {
            if page.documents.len() == limit || walked == LISTED_ROWS_MAX {
                // There is at least this row to go on with.
                page.next = last.take();
                return ControlFlow::Break(());
            }
            walked += 1;
            let key: Arc<str> = key.into();
            last = Some(key.clone());
            let held = self.entries.get(&key).map(|entry| Ok(self.shown(entry)));
            match held.unwrap_or_else(|| self.make(&newest, key.clone(), &row, false)) {
                Ok(document) => page.documents.extend(document.map(|document| (key, document))),
                Err(error) => failed = Some(error),
            }
            if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        walk.map_err(unreadable)?;
        failed.map_or(Ok(page), Err)
    }
}

impl RowView for Cache {
    fn changed(&self, keys: &[Arc<str>], version: Version, snapshot: Arc<dyn Snapshot>) {
        self.inner.advance(version, snapshot);
        // Without entries there is nothing to drop: what is made meanwhile from older rows is not held.
        if self.inner.entries.len() > 0 {
            keys.iter().for_each(|key| self.inner.entries.remove(key));
        }
        // ORDER: who hears of a change reads the new row.
        self.inner.changes.push(version, keys);
    }

    fn fill(&self, rows: &[(Arc<str>, StoredRow)], version: Version, snapshot: Arc<dyn Snapshot>) {
        self.inner.advance(version, snapshot);
        let Ok(newest) = self.inner.newest() else { return };
        if newest.version != version {
            // Rows of an older snapshot: their readers will render the newer ones.
            return;
        }
        for (key, row) in rows {
            if !self.inner.entries.has_room() {
                return;
            }
            // A row that cannot be rendered says so to its reader.
            let _ = self.inner.make(&newest, key.clone(), row, false);
        }
    }
}

impl DocumentSink for Cache {
    /// Never asked for: the publisher finds a row view here.
    fn write(&self, batch: Vec<DocumentWrite>, _deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        for write in &batch {
            self.inner.entries.remove(&write.key);
        }
        Box::pin(std::future::ready(vec![Outcome::Ok; batch.len()]))
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        Box::pin(async move { self.inner.read(key) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> SinkFuture<'a, Result<DocumentPage, SinkError>> {
        let (inner, prefix, after) = (self.inner.clone(), prefix.to_owned(), after.map(str::to_owned));
        // A walk over many rows may wait for the disk; other requests should not.
        let walk = tokio::task::spawn_blocking(move || inner.list(&prefix, after.as_deref(), limit));
        Box::pin(
            async move { walk.await.unwrap_or_else(|_| Err(SinkError { reason: "the listing was given up".into() })) },
        )
    }

    fn is_volatile(&self) -> bool {
        true
    }

    fn changes(&self) -> Option<Arc<Changes>> {
        Some(self.inner.changes.clone())
    }

    fn row_view(&self) -> Option<&dyn RowView> {
        Some(self)
    }
}

fn unreadable(error: impl std::fmt::Display) -> SinkError {
    SinkError { reason: error.to_string() }
}
