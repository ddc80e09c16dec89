//! `?wait=topic/partition@offset`: reading what one has written.
//!
//! A document is fresh enough once the offset is covered by a synced checkpoint and the sink has answered for everything up
//! to that checkpoint. Both are in the status, so waiting is watching it.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::event::{RecordPlace, Version};
use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::serve::answer::Refusal;

type Status = watch::Receiver<std::sync::Arc<ProjectionStatus>>;

/// Waits until sink number `sink` shows what the log held at `place`, at most `limit`.
pub(super) async fn until_shown(
    mut status: Status,
    sink: usize,
    place: RecordPlace,
    limit: Duration,
) -> Result<(), Refusal> {
    match timeout(limit, shown(&mut status, sink, &place)).await {
        Ok(answer) => answer,
        Err(_) => {
            let limit = limit.as_millis();
            Err(too_late(format!("{place} was not shown within {limit} ms")))
        }
    }
}

async fn shown(status: &mut Status, sink: usize, place: &RecordPlace) -> Result<(), Refusal> {
    let mut covered = None;
    loop {
        {
            let now = status.borrow_and_update();
            if let RunState::Stopped(reason) = &now.run_state {
                return Err(too_late(format!("the projection is stopped: {reason}")));
            }
            covered = covered.or(covering_checkpoint(&now, place)?);
            let settled = now.sinks.get(sink).map(|sink| sink.settled);
            if covered.is_some() && settled >= covered {
                return Ok(());
            }
        }
        if status.changed().await.is_err() {
            return Err(too_late("the engine is stopping".into()));
        }
    }
}

/// The first checkpoint seen to be past the place.
fn covering_checkpoint(status: &ProjectionStatus, place: &RecordPlace) -> Result<Option<Version>, Refusal> {
    let RecordPlace { partition, offset } = place;
    match status.partitions.iter().find(|here| here.partition == *partition) {
        Some(here) => Ok((here.next_offset > *offset).then_some(status.version)),
        // Its partitions are not known yet.
        None if status.run_state == RunState::Starting => Ok(None),
        // Just made, perhaps: it is found at the next look.
        None if partition.partition >= 0 && reads_topic(status, &partition.topic) => Ok(None),
        None => Err(Refusal::bad_request(format!("`{}` reads no partition {partition}", status.name))),
    }
}

fn reads_topic(status: &ProjectionStatus, topic: &str) -> bool {
    status.partitions.iter().any(|known| *known.partition.topic == *topic)
}

fn too_late(why: String) -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, why)
}
