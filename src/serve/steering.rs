//! `POST /v1/projections/{name}/retry` and `/skip`: what an operator asks of a projection that has stopped somewhere.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::event::{Offset, RecordPlace, TopicPartition};
use crate::runtime::Engine;
use crate::runtime::progress::RunState;
use crate::serve::Served;
use crate::serve::answer::Refusal;

/// The event to give up.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkipOrder {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl From<&RecordPlace> for SkipOrder {
    fn from(place: &RecordPlace) -> SkipOrder {
        let RecordPlace { partition, offset } = place;
        SkipOrder { topic: partition.topic.to_string(), partition: partition.partition, offset: offset.0 }
    }
}

/// Tries again what has stopped. Whether it goes on now shows in the status.
pub(super) async fn retry(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(name) = name?;
    running(&served, &name, "the next start tries everything again")?;
    if engine(&served)?.retry(&name) {
        Ok(Json(json!({ "retried": name })))
    } else {
        Err(Refusal::new(StatusCode::CONFLICT, format!("`{name}` is just ending")))
    }
}

/// Gives up the event that a partition has stopped at, and no other.
pub(super) async fn skip(
    State(served): State<Arc<Served>>,
    name: Result<Path<String>, PathRejection>,
    order: Result<Json<SkipOrder>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    let (Path(name), Json(SkipOrder { topic, partition, offset })) = (name?, order?);
    running(&served, &name, "stop the engine, and the event can be skipped in what it leaves")?;
    let partition = TopicPartition { topic: topic.into(), partition };
    let place = RecordPlace { partition, offset: Offset(offset) };
    let skipped = engine(&served)?.skip(&name, place.partition.clone(), place.offset).await;
    skipped.map_err(|why| Refusal::new(StatusCode::CONFLICT, why))?;
    Ok(Json(json!({ "skipped": place.to_string() })))
}

pub(super) fn engine(served: &Served) -> Result<Arc<Engine>, Refusal> {
    let stopping = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the engine is stopping");
    served.engine.upgrade().ok_or_else(stopping)
}

/// Refuses what only a projection that runs can do, with what can be done instead.
pub(super) fn running(served: &Served, name: &str, instead: &str) -> Result<(), Refusal> {
    match &served.projection(name)?.status.borrow().run_state {
        RunState::Starting | RunState::Running => Ok(()),
        RunState::Stopped(_) | RunState::Finished => {
            let why = format!("`{name}` has ended in this engine: {instead}");
            Err(Refusal::new(StatusCode::CONFLICT, why))
        }
    }
}
