//! `GET /v1/projections/{name}/dead-letters…`: events set aside, with their reasons.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use crate::event::ProjectionName;
use crate::serve::Served;
use crate::serve::answer::Refusal;
use crate::serve::report::rfc3339;
use crate::state::DeadLetter;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// A dead letter as people read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetterReport {
    pub number: u64,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub time: Option<String>,
    pub class: String,
    pub code: String,
    pub message: String,
    /// The place in the `.proj` file.
    pub at: Option<String>,
    /// The dead-letter topic it was meant for.
    pub to: String,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Bytes)>,
}

/// Bytes as they came: text where they are UTF-8, else hexadecimal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bytes {
    Text(String),
    Hex { hex: String },
}

impl Bytes {
    fn new(bytes: Vec<u8>) -> Bytes {
        String::from_utf8(bytes).map(Bytes::Text).unwrap_or_else(|error| {
            let hex = error.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            Bytes::Hex { hex }
        })
    }
}

impl DeadLetterReport {
    pub fn new(number: u64, letter: DeadLetter) -> DeadLetterReport {
        DeadLetterReport {
            number,
            topic: letter.partition.topic.to_string(),
            partition: letter.partition.partition,
            offset: letter.offset.0,
            time: letter.time.map(|time| rfc3339(time.0)),
            class: letter.class.to_string(),
            code: letter.code.to_string(),
            message: letter.message,
            at: letter.at,
            to: letter.to.to_string(),
            key: letter.key.map(Bytes::new),
            value: letter.value.map(Bytes::new),
            headers: letter.headers.into_iter().map(|(name, value)| (Bytes::new(name), Bytes::new(value))).collect(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// A page of dead letters, oldest first.
#[derive(Debug, Serialize, Deserialize)]
pub struct DeadLetterPage {
    pub dead_letters: Vec<DeadLetterReport>,
    /// The number to go on after, when there may be more.
    pub next: Option<u64>,
}

pub(super) async fn list(
    State(served): State<Arc<Served>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<DeadLetterPage>, Refusal> {
    let (Path(name), Query(query)) = (path?, query?);
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX);
    let name = ProjectionName(served.projection(&name)?.name().clone());
    let letters = served.store.snapshot().dead_letters(&name, query.after, limit)?;
    let next = letters.last().filter(|_| letters.len() == limit).map(|(number, _)| *number);
    let dead_letters = letters.into_iter().map(|(number, letter)| DeadLetterReport::new(number, letter)).collect();
    Ok(Json(DeadLetterPage { dead_letters, next }))
}

pub(super) async fn one(
    State(served): State<Arc<Served>>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Json<DeadLetterReport>, Refusal> {
    let Path((name, number)) = path?;
    let name = ProjectionName(served.projection(&name)?.name().clone());
    let letters = served.store.snapshot().dead_letters(&name, number.saturating_sub(1), 1)?;
    let letter = letters.into_iter().find(|(found, _)| *found == number);
    let (number, letter) = letter.ok_or_else(|| Refusal::not_found(format!("`{name}` has no dead letter {number}")))?;
    Ok(Json(DeadLetterReport::new(number, letter)))
}
