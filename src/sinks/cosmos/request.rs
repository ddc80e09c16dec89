//! One request to a container: a write that is guarded, or a read. Each has its deadline and is charged to the meter.

use std::future::Future;
use std::time::Instant;

use azure_core::http::Etag;
use azure_data_cosmos::clients::ContainerClient;
use azure_data_cosmos::models::ItemResponse;
use azure_data_cosmos::options::{ItemWriteOptions, Precondition};
use serde_json::value::RawValue;

use crate::sinks::Outcome;
use crate::sinks::cosmos::encode::Place;
use crate::sinks::cosmos::retry::{Answer, Refusal, judge};
use crate::sinks::meter::Meter;

/// An ETag that no document has: it guards a delete of what is not to be there.
const NOTHING: &str = "\"00000000-0000-0000-0000-000000000000\"";

/// Sends requests to one container until a deadline.
#[derive(Clone, Copy)]
pub struct Requests<'s> {
    pub container: &'s ContainerClient,
    pub meter: &'s Meter,
    pub deadline: Instant,
}

/// A stored document with its ETag.
pub struct Found {
    pub body: Vec<u8>,
    pub etag: Etag,
}

impl Requests<'_> {
    pub async fn create(&self, place: &Place, body: &RawValue) -> Result<Etag, Refusal> {
        let Place { id, partition } = place;
        etag(self.answer(self.container.create_item(partition.clone(), id, body, None)).await?)
    }

    pub async fn replace(&self, place: &Place, body: &RawValue, etag_now: &Etag) -> Result<Etag, Refusal> {
        let Place { id, partition } = place;
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(etag_now.clone()));
        etag(self.answer(self.container.replace_item(partition.clone(), id, body, Some(options))).await?)
    }

    /// Without an ETag it deletes nothing, but learns from the replica that writes whether there is something.
    pub async fn delete(&self, place: &Place, etag_now: Option<&Etag>) -> Result<(), Refusal> {
        let Place { id, partition } = place;
        let guard = etag_now.cloned().unwrap_or_else(|| Etag::from(NOTHING));
        let options = ItemWriteOptions::default().with_precondition(Precondition::if_match(guard));
        self.answer(self.container.delete_item(partition.clone(), id, Some(options))).await?;
        Ok(())
    }

    pub async fn read(&self, place: &Place) -> Result<Option<Found>, Refusal> {
        let Place { id, partition } = place;
        let response = match self.answer(self.container.read_item(partition.clone(), id, None)).await {
            Ok(response) => response,
            Err(Refusal::Absent) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let etag = etag_of(&response)?;
        let body = response.into_body().single().map_err(|error| unanswered(error.to_string()))?;
        Ok(Some(Found { body: body.to_vec(), etag }))
    }

    /// The answer in time, its cost counted.
    async fn answer(
        &self,
        request: impl Future<Output = azure_data_cosmos::Result<ItemResponse>>,
    ) -> Result<ItemResponse, Refusal> {
        match self.in_time(request).await? {
            Ok(response) => {
                self.meter.charge(response.diagnostics().total_request_charge().value());
                Ok(response)
            }
            Err(error) => Err(self.refusal(&error)),
        }
    }

    pub fn refusal(&self, error: &azure_data_cosmos::CosmosError) -> Refusal {
        if let Some(diagnostics) = error.diagnostics() {
            self.meter.charge(diagnostics.total_request_charge().value());
        }
        judge(Answer::of(error))
    }

    pub async fn in_time<T>(&self, request: impl Future<Output = T>) -> Result<T, Refusal> {
        let answer = tokio::time::timeout_at(self.deadline.into(), request).await;
        answer.map_err(|_| unanswered("Cosmos DB did not answer in time".into()))
    }
}

fn etag(response: ItemResponse) -> Result<Etag, Refusal> {
    etag_of(&response)
}

fn etag_of(response: &ItemResponse) -> Result<Etag, Refusal> {
    response.headers().etag().cloned().ok_or_else(|| unanswered("Cosmos DB answers without an ETag".into()))
}

fn unanswered(reason: String) -> Refusal {
    Refusal::Settled(Outcome::Unanswered { reason })
}
