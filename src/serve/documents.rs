//! `GET /v1/projections/{name}/documents…`: documents as a sink holds them.
//!
//! A key in the path is the URL-encoded key text, and the framework has decoded it once when it comes here: the `%` of a key
//! text (`a%7Cb` for a part that holds a `|`) is `%25` in the URL and is not touched again.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::control::config::duration;
use crate::event::RecordPlace;
use crate::serve::answer::Refusal;
use crate::serve::wait::until_shown;
use crate::serve::{Served, ServedProjection};
use crate::sinks::{DocumentPage, StoredDocument};

const WAIT_DEFAULT: Duration = Duration::from_secs(2);
const WAIT_MAX: Duration = Duration::from_secs(60);
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OneQuery {
    sink: Option<String>,
    wait: Option<String>,
    timeout: Option<String>,
}

/// One document; its version is its ETag.
pub(super) async fn one(
    State(served): State<Arc<Served>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<OneQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (Path((name, key)), Query(query)) = (path?, query?);
    let projection = served.projection(&name)?;
    let sink = sink_index(projection, query.sink.as_deref())?;
    if let Some(wait) = &query.wait {
        let place = RecordPlace::parse(wait)
            .ok_or_else(|| Refusal::bad_request(format!("`wait` is topic/partition@offset, and `{wait}` is not")))?;
        let limit = wait_limit(query.timeout.as_deref())?;
        until_shown(projection.status.clone(), sink, place, limit).await?;
    }
    match projection.sinks[sink].read(&key).await? {
        Some(document) => Ok(answer(document, &headers)),
        None => Err(Refusal::not_found(format!("`{name}` has no document `{key}`"))),
    }
}

fn answer(document: StoredDocument, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", document.version);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|value| value.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    if known.any(|tag| tag == etag || tag == "*") {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let head = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, etag)];
    (head, document.body.to_vec()).into_response()
}

fn wait_limit(text: Option<&str>) -> Result<Duration, Refusal> {
    let Some(text) = text else { return Ok(WAIT_DEFAULT) };
    let limit = duration(text)
        .ok_or_else(|| Refusal::bad_request(format!("`timeout` is a duration such as `2s`, and `{text}` is not")))?;
    Ok(limit.min(WAIT_MAX))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    sink: Option<String>,
    #[serde(default)]
    prefix: String,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Listing {
    documents: Vec<Listed>,
    /// The key to go on after, when there are more.
    next: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    key: String,
    document: Box<RawValue>,
}

/// A page of documents, in key order.
pub(super) async fn list(
    State(served): State<Arc<Served>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Listing>, Refusal> {
    let (Path(name), Query(query)) = (path?, query?);
    let projection = served.projection(&name)?;
    let sink = sink_index(projection, query.sink.as_deref())?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let page = projection.sinks[sink].list(&query.prefix, query.after.as_deref(), limit).await?;
    Ok(Json(listing(page)?))
}

fn listing(page: DocumentPage) -> Result<Listing, Refusal> {
    let listed = |(key, document): (Arc<str>, StoredDocument)| {
        let text = String::from_utf8(document.body.to_vec()).ok();
        match text.and_then(|text| RawValue::from_string(text).ok()) {
            Some(document) => Ok(Listed { key: key.to_string(), document }),
            None => Err(Refusal::new(
                StatusCode::BAD_GATEWAY,
                format!("the sink holds something else than JSON at `{key}`"),
            )),
        }
    };
    let documents = page.documents.into_iter().map(listed).collect::<Result<_, _>>()?;
    Ok(Listing { documents, next: page.next.map(|key| key.to_string()) })
}

/// The sink of that name; the file's first without one.
pub(super) fn sink_index(projection: &ServedProjection, name: Option<&str>) -> Result<usize, Refusal> {
    let sinks = &projection.plan.projection.sinks;
    let found = match name {
        Some(name) => sinks.iter().position(|sink| &*sink.name == name),
        None => (!sinks.is_empty()).then_some(0),
    };
    found.ok_or_else(|| {
        let known = sinks.iter().map(|sink| format!("`{}`", sink.name)).collect::<Vec<_>>().join(", ");
        let wanted = name.map_or("sink".to_owned(), |name| format!("sink `{name}`"));
        let known = if known.is_empty() { known } else { format!("; it has {known}") };
        Refusal::not_found(format!("`{}` has no {wanted}{known}", projection.name()))
    })
}
