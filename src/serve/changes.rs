//! `GET /v1/projections/{name}/changes`: the documents of a cache as they change, as server-sent events.
//!
//! Each event has an id to go on after (`Last-Event-ID`), as far back as the cache keeps its changes, and the document as it
//! is when the event is sent: `event: changed` with `{"key": …, "document": …}`, or `event: deleted` when there is none. An
//! `event: gap` says that changes in between are not kept any more: who holds copies reads them anew. Without an id it begins
//! with what changes from now on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::watch;

use crate::serve::answer::Refusal;
use crate::serve::documents::sink_index;
use crate::serve::{Served, ServedProjection};
use crate::sinks::DocumentSink;
use crate::sinks::cache::{ChangePlace, Changes};

/// So many changes are looked up at once.
const TAKEN: usize = 64;

/// Turns true when the server ends: a feed would never end by itself.
#[derive(Clone)]
pub(super) struct Ending(pub watch::Receiver<bool>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangesQuery {
    sink: Option<String>,
}

pub(super) async fn follow(
    State(served): State<Arc<Served>>,
    Extension(Ending(ending)): Extension<Ending>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ChangesQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (Path(name), Query(query)) = (path?, query?);
    let projection = served.projection(&name)?;
    let (sink, changes) = cache_of(projection, query.sink.as_deref())?;
    let newest = changes.newest();
    let after = match headers.get("last-event-id").map(|id| id.to_str().ok().and_then(ChangePlace::parse)) {
        Some(None) => return Err(Refusal::bad_request("`Last-Event-ID` is no id that this feed gave")),
        Some(after) => after,
        None => *newest.borrow(),
    };
    let feed = Feed { sink, changes, newest, ending, after, ready: VecDeque::new() };
    let events = stream::unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// The cache of that name, the file's first without one.
fn cache_of(
    projection: &ServedProjection,
    name: Option<&str>,
) -> Result<(Arc<dyn DocumentSink>, Arc<Changes>), Refusal> {
    let index = match name {
        Some(_) => Some(sink_index(projection, name)?),
        None => projection.sinks.iter().position(|sink| sink.changes().is_some()),
    };
    let sink = index.map(|index| &projection.sinks[index]);
    match sink.and_then(|sink| Some((sink.clone(), sink.changes()?))) {
        Some(found) => Ok(found),
        None => Err(Refusal::not_found(format!(
            "`{}` has no such feed: changes are told of what is kept in a cache; add `into cache` to it",
            projection.name()
        ))),
    }
}

/// What one reader follows.
struct Feed {
    sink: Arc<dyn DocumentSink>,
    changes: Arc<Changes>,
    newest: watch::Receiver<Option<ChangePlace>>,
    ending: watch::Receiver<bool>,
    after: Option<ChangePlace>,
    ready: VecDeque<Event>,
}

impl Feed {
    /// The next event; none when the server ends, or the document cannot be read.
    async fn next(&mut self) -> Option<Result<Event, Infallible>> {
        loop {
            if *self.ending.borrow() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            self.newest.mark_unchanged();
            self.look().await?;
            if self.ready.is_empty() {
                tokio::select! {
                    changed = self.newest.changed() => changed.ok()?,
                    _ = self.ending.wait_for(|ending| *ending) => return None,
                }
            }
        }
    }

    /// Makes events of the changes that there are.
    async fn look(&mut self) -> Option<()> {
        let following = self.changes.after(self.after, TAKEN);
        if following.gap {
            self.ready.push_back(Event::default().event("gap").data("{}"));
            // Told once, whatever follows.
            self.after = following.changes.first().map(|(place, _)| *place).or(*self.newest.borrow());
        }
        for (place, key) in following.changes {
            let document = self.sink.read(&key).await.ok()?;
            let (name, body) = match &document {
                Some(document) => ("changed", std::str::from_utf8(&document.body).ok()?),
                None => ("deleted", "null"),
            };
            let key = serde_json::to_string(&*key).expect("text is always JSON");
            let data = format!("{{\"key\":{key},\"document\":{body}}}");
            self.ready.push_back(Event::default().id(place.to_string()).event(name).data(data));
            self.after = Some(place);
        }
        Some(())
    }
}
