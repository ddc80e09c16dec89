//! `POST /v1/projections/{name}/redrive`: documents that were given up on are written again, as their rows are now.
//!
//! What was set aside stays among the dead letters: they say what happened. Writing a document once more that was written
//! meanwhile changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::event::ProjectionName;
use crate::serve::Served;
use crate::serve::answer::Refusal;
use crate::serve::steering::{engine, running};
use crate::state::{DeadLetter, StoreError};

/// Dead letters are looked through in pages of this many.
const PAGE: usize = 1000;

/// What is to be written again: everything that was given up on, or less.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedriveOrder {
    /// Only in this sink.
    pub sink: Option<String>,
    /// Only this dead letter.
    pub number: Option<u64>,
}

/// How many documents are written again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redriven {
    pub documents: u64,
    /// Dead letters that are events, which no sink can write again.
    pub events: u64,
}

pub(super) async fn redrive(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
    order: Result<Json<RedriveOrder>, JsonRejection>,
) -> Result<Json<Redriven>, Refusal> {
    let (Path(name), Json(order)) = (name?, order?);
    running(&served, &name, "the next run can write them again")?;
    let engine = engine(&served)?;
    let sinks: Vec<Arc<str>> = served.projection(&name)?.status.borrow().sinks.iter().map(|s| s.name.clone()).collect();
    if let Some(sink) = &order.sink
        && !sinks.iter().any(|known| **known == **sink)
    {
        return Err(Refusal::not_found(format!("`{name}` has no sink `{sink}`; it has {}", sinks.join(", "))));
    }
    let found = find(&served, &name, &order)?;
    let mut redriven = Redriven { documents: 0, events: found.events };
    for (index, sink) in sinks.iter().enumerate() {
        let keys: Vec<Arc<str>> = found.keys.iter().filter(|(of, _)| of == sink).map(|(_, key)| key.clone()).collect();
        redriven.documents += keys.len() as u64;
        if !keys.is_empty() && !engine.redrive(&name, index, keys) {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("`{name}` is just ending")));
        }
    }
    Ok(Json(redriven))
}

struct Found {
    /// (sink, key)
    keys: BTreeSet<(Arc<str>, Arc<str>)>,
    events: u64,
}

fn find(served: &Served, name: &str, order: &RedriveOrder) -> Result<Found, StoreError> {
    let (snapshot, name) = (served.store.snapshot(), ProjectionName(name.into()));
    let mut found = Found { keys: BTreeSet::new(), events: 0 };
    let mut after = order.number.map_or(0, |number| number.saturating_sub(1));
    loop {
        let page = snapshot.dead_letters(&name, after, if order.number.is_some() { 1 } else { PAGE })?;
        let Some((last, _)) = page.last() else { return Ok(found) };
        after = *last;
        for (number, letter) in page {
            if order.number.is_none_or(|wanted| wanted == number) {
                found.take(letter, order.sink.as_deref());
            }
        }
        if order.number.is_some() {
            return Ok(found);
        }
    }
}

impl Found {
    fn take(&mut self, letter: DeadLetter, sink: Option<&str>) {
        match letter.key.map(String::from_utf8) {
            Some(Ok(key)) if &*letter.class == "sink" => {
                if sink.is_none_or(|sink| *sink == *letter.partition.topic) {
                    self.keys.insert((letter.partition.topic, key.into()));
                }
            }
            _ => self.events += 1,
        }
    }
}
