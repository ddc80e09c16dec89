//! Who may write a container: a document in it with an id of ours, moved by create and by replace with `If-Match`.
//!
//! It carries no `_proj`, so that `IS_DEFINED(c._proj)` leaves it out of queries, and `ttl: -1`, so that it never expires.
//! Numbers that a double cannot hold are text.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use azure_core::http::Etag;
use azure_data_cosmos::PartitionKey;
use azure_data_cosmos::models::PartitionKeyValue;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget, ProcessId};
use crate::sinks::cosmos::encode::{Place, escaped};
use crate::sinks::cosmos::request::Requests;
use crate::sinks::cosmos::retry::Refusal;
use crate::sinks::cosmos::sink::{CosmosSink, reason};
use crate::sinks::{SinkError, SinkFuture};
use crate::state::{Place as StatePlace, StoreId};

/// What claims have as partition key, where it is not the id.
const PARTITION: &str = "_projector";
/// The engine waits no longer either.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The claim as we moved it last, and its ETag: saves a read before each move.
#[derive(Debug, Default)]
pub struct LastMove(Mutex<Option<(Claim, Etag)>>);

impl LastMove {
    fn etag_of(&self, from: &Claim) -> Option<Etag> {
        let last = self.0.lock().expect("nobody panics while holding it");
        last.as_ref().filter(|(claim, _)| claim.is_same_move(from)).map(|(_, etag)| etag.clone())
    }

    fn set(&self, moved: Option<(Claim, Etag)>) {
        *self.0.lock().expect("nobody panics while holding it") = moved;
    }
}

/// A claim as JSON.
#[derive(Serialize, Deserialize)]
struct Record {
    store: String,
    place: String,
    process: String,
    epoch: u32,
    published: u64,
    beat: String,
    target: String,
}

impl Record {
    fn of(claim: &Claim) -> Record {
        Record {
            store: format!("{:032x}", claim.store.0),
            place: format!("{:016x}", claim.place.0),
            process: format!("{:032x}", claim.process.0),
            epoch: claim.epoch.0,
            published: claim.published.0,
            beat: claim.beat.to_string(),
            target: format!("{:032x}", claim.target.0),
        }
    }

    fn claim(&self) -> Option<Claim> {
        let wide = |text: &str| u128::from_str_radix(text, 16).ok();
        Some(Claim {
            store: StoreId(wide(&self.store)?),
            place: StatePlace(u64::from_str_radix(&self.place, 16).ok()?),
            process: ProcessId(wide(&self.process)?),
            epoch: Epoch(self.epoch),
            published: Version(self.published),
            beat: self.beat.parse().ok()?,
            target: TargetId(wide(&self.target)?),
        })
    }
}

impl CosmosSink {
    fn claim_place(&self) -> Place {
        let id = escaped(&format!("_projector.claim|{}|{}", self.projection, self.name));
        let value = |is_id: bool| PartitionKeyValue::from(if is_id { id.clone() } else { PARTITION.to_owned() });
        let values: Vec<_> = self.encoder.levels.iter().map(|level| value(level.is_id())).collect();
        let partition = PartitionKey::try_from(values).expect("the options have at most three levels");
        Place { id, partition }
    }

    fn claim_body(&self, place: &Place, claim: &Claim) -> Box<RawValue> {
        let mut document = serde_json::Map::new();
        document.insert("id".into(), place.id.as_str().into());
        for level in self.encoder.levels.iter().filter(|level| !level.is_id()) {
            document.insert((*level.field).into(), PARTITION.into());
        }
        document.insert("claim".into(), serde_json::to_value(Record::of(claim)).expect("texts and numbers are JSON"));
        document.insert("ttl".into(), (-1).into());
        to_raw_value(&document).expect("texts and numbers are JSON")
    }

    async fn find_claim(&self, requests: &Requests<'_>) -> Result<Option<(Claim, Etag)>, SinkError> {
        let place = self.claim_place();
        let found = requests.read(&place).await.map_err(failed)?;
        let Some(found) = found else { return Ok(None) };
        #[derive(Deserialize)]
        struct Document {
            claim: Record,
        }
        let claim = serde_json::from_slice::<Document>(&found.body).ok().and_then(|document| document.claim.claim());
        let no_claim =
            || SinkError { reason: format!("the document `{}` is no claim that this release knows", place.id) };
        Ok(Some((claim.ok_or_else(no_claim)?, found.etag)))
    }

    async fn claim_now(&self) -> Result<Option<Claim>, SinkError> {
        let deadline = Instant::now() + TIMEOUT;
        let Some(container) = self.container(false).await.map_err(|reason| SinkError { reason })? else {
            return Ok(None);
        };
        let requests = Requests { container: &container, meter: &self.meter, deadline };
        let found = self.find_claim(&requests).await?;
        if found.is_none() {
            // Wiped, or never written: what we remember of its documents is worth nothing.
            self.etags.clear();
        }
        Ok(found.map(|(claim, _)| claim))
    }

    async fn put_claim(&self, from: Option<Claim>, to: Claim) -> Result<ClaimMove, SinkError> {
        let deadline = Instant::now() + TIMEOUT;
        let container = self.container(from.is_none()).await.map_err(|reason| SinkError { reason })?;
        let Some(container) = container else { return Ok(ClaimMove::Found(None)) };
        let requests = Requests { container: &container, meter: &self.meter, deadline };
        let guard = match from.as_ref().map(|from| (from, self.last_move.etag_of(from))) {
            None => None,
            Some((_, Some(etag))) => Some(etag),
            Some((from, None)) => match self.find_claim(&requests).await? {
                Some((found, etag)) if found.is_same_move(from) => Some(etag),
                found => return Ok(ClaimMove::Found(found.map(|(found, _)| found))),
            },
        };
        let place = self.claim_place();
        let body = self.claim_body(&place, &to);
        let moved = match &guard {
            None => requests.create(&place, &body).await,
            Some(etag) => requests.replace(&place, &body, etag).await,
        };
        self.last_move.set(None);
        match moved {
            Ok(etag) => {
                self.last_move.set(Some((to, etag)));
                Ok(ClaimMove::Moved)
            }
            Err(Refusal::Exists | Refusal::Changed) => {
                Ok(ClaimMove::Found(self.find_claim(&requests).await?.map(|(found, _)| found)))
            }
            Err(Refusal::Absent) => {
                self.lost();
                match from {
                    Some(_) => Ok(ClaimMove::Found(None)),
                    None => Err(SinkError { reason: self.gone() }),
                }
            }
            Err(refusal) => Err(failed(refusal)),
        }
    }
}

impl ClaimedTarget for CosmosSink {
    fn is_shared(&self) -> bool {
        true
    }

    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>> {
        Box::pin(self.claim_now())
    }

    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>> {
        Box::pin(self.put_claim(from, to))
    }
}

fn failed(refusal: Refusal) -> SinkError {
    SinkError { reason: reason(refusal) }
}
