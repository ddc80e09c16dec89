//! `?wait=topic/partition@offset`: reading what one has written.
//!
//! A document is fresh enough once the offset is covered by a synced checkpoint and the sink has answered for everything up
//! to that checkpoint. Both are in the status, so waiting is watching it.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::event::Version;
use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::serve::answer::Refusal;

type Status = watch::Receiver<std::sync::Arc<ProjectionStatus>>;

/// A place in the log that a reader wants to be past.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Place {
    /// Reads `topic/partition@offset`.
    pub fn parse(text: &str) -> Option<Place> {
        let (partition, offset) = text.rsplit_once('@')?;
        let (topic, partition) = partition.rsplit_once('/')?;
        Some(Place { topic: topic.to_owned(), partition: partition.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// Waits until sink number `sink` shows what the log held at `place`, at most `limit`.
pub(super) async fn until_shown(mut status: Status, sink: usize, place: Place, limit: Duration) -> Result<(), Refusal> {
    match timeout(limit, shown(&mut status, sink, &place)).await {
        Ok(answer) => answer,
        Err(_) => {
            let Place { topic, partition, offset } = place;
            let limit = limit.as_millis();
            Err(too_late(format!("{topic}/{partition}@{offset} was not shown within {limit} ms")))
        }
    }
}

async fn shown(status: &mut Status, sink: usize, place: &Place) -> Result<(), Refusal> {
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
fn covering_checkpoint(status: &ProjectionStatus, place: &Place) -> Result<Option<Version>, Refusal> {
    let mut partitions = status.partitions.iter();
    let Place { topic, partition, offset } = place;
    let here = partitions.find(|p| *p.partition.topic == **topic && p.partition.partition == *partition);
    match here {
        Some(here) => Ok((here.next_offset.0 > *offset).then_some(status.version)),
        // Its partitions are not known yet.
        None if status.run_state == RunState::Starting => Ok(None),
        // Just made, perhaps: it is found at the next look.
        None if *partition >= 0 && status.partitions.iter().any(|p| *p.partition.topic == **topic) => Ok(None),
        None => Err(Refusal::bad_request(format!("`{}` reads no partition {topic}/{partition}", status.name))),
    }
}

fn too_late(why: String) -> Refusal {
    Refusal::new(StatusCode::GATEWAY_TIMEOUT, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_from_its_end() {
        let place = Place::parse("shop/orders.v1@eu/3@17").unwrap();
        assert_eq!(place, Place { topic: "shop/orders.v1@eu".into(), partition: 3, offset: 17 });
        for wrong in ["orders", "orders/1", "orders@5", "orders/x@5", "orders/1@", ""] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
