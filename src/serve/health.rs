//! `/healthz` and `/readyz`: whether the process lives, and whether what it serves can be relied on.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::serve::Served;

pub(super) async fn alive() -> Json<Value> {
    Json(json!({ "alive": true }))
}

/// 503, with the reasons, while a projection or one of its partitions is stopped, a volatile sink is not filled, or a sink
/// makes no progress.
pub(super) async fn ready(State(served): State<Arc<Served>>) -> (StatusCode, Json<Value>) {
    let reasons: Vec<String> = served.projections.iter().flat_map(|p| not_ready(&p.status.borrow())).collect();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": reasons.is_empty(), "reasons": reasons })))
}

fn not_ready(status: &ProjectionStatus) -> Vec<String> {
    let name = &status.name;
    let mut reasons = Vec::new();
    match &status.run_state {
        RunState::Starting => reasons.push(format!("{name} is starting")),
        RunState::Stopped(reason) => reasons.push(format!("{name} is stopped: {reason}")),
        RunState::Running | RunState::Finished => {}
    }
    for partition in &status.partitions {
        if let Some(fault) = &partition.stopped {
            let first = fault.lines().next().unwrap_or_default();
            reasons.push(format!("{name}: partition {} is stopped: {first}", partition.partition));
        }
    }
    for sink in &status.sinks {
        if let Some(trouble) = &sink.trouble {
            let since =
                sink.owed_since.map_or(String::new(), |since| format!(", owed for {} s", since.elapsed().as_secs()));
            reasons.push(format!("{name}: sink {}: {trouble}{since}", sink.name));
        } else if sink.stopped {
            reasons.push(format!("{name}: sink {} is stopped", sink.name));
        } else if !sink.filled {
            reasons.push(format!("{name}: sink {} is being filled", sink.name));
        }
    }
    reasons
}
