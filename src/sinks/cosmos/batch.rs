//! Documents that share a partition key → transactional batches: one request for up to a hundred of them.
//!
//! A batch is done as a whole or not at all, so one document in the way spoils it for the others: then each of its documents is
//! written by itself, as if there had been no batch. What is surely in the way (a delete whose ETag is not known) never joins one.

use std::collections::HashMap;
use std::time::Duration;

use azure_core::http::Etag;
use azure_data_cosmos::PartitionKey;
use azure_data_cosmos::models::{BatchResponse, TransactionalBatch, TransactionalBatchOperationResult};
use azure_data_cosmos::options::{BatchDeleteOptions, BatchReplaceOptions, Precondition};
use futures_util::{StreamExt, stream};

use crate::sinks::Outcome;
use crate::sinks::cosmos::etags::Seen;
use crate::sinks::cosmos::retry::Refusal;
use crate::sinks::cosmos::sink::{Item, Writing};

/// What a transactional batch takes: of operations, and of bytes, with room for what each operation adds.
const OPERATIONS_MAX: usize = 100;
const BYTES_MAX: u64 = 1_500_000;
/// How many batches are under way at once.
const SIDE_BY_SIDE: usize = 8;

/// How a batch ended that was not done.
enum Spoilt {
    /// Nothing of it was done: its documents go one by one.
    Undone,
    /// It is settled for all of them.
    Settled(Outcome),
}

type Settled = Vec<(usize, Outcome)>;

impl Writing<'_> {
    /// Writes items in batches by partition key.
    pub async fn together(&self, items: Vec<Item>) -> Settled {
        let (batches, alone) = cut(items, |item| item.body.is_some() || self.known(item).is_some());
        let batches = stream::iter(batches).map(|items| self.batch(items)).buffer_unordered(SIDE_BY_SIDE).concat();
        let (mut settled, alone) = tokio::join!(batches, self.singly(alone));
        settled.extend(alone);
        settled
    }

    async fn batch(&self, items: Vec<Item>) -> Settled {
        if let Some(busy) = self.is_busy() {
            return items.iter().map(|item| (item.index, busy.clone())).collect();
        }
        let size = items.iter().map(Item::size).sum();
        match self.transaction(&items).await {
            Ok(etags) => {
                self.requests.meter.request(items.len() as u64, size, 0);
                items.iter().zip(etags).for_each(|(item, etag)| self.remember(item, etag));
                items.iter().map(|item| (item.index, Outcome::Ok)).collect()
            }
            Err(Spoilt::Undone) => {
                self.requests.meter.request(0, size, 0);
                self.singly(items).await
            }
            Err(Spoilt::Settled(outcome)) => {
                let throttled = if let Outcome::Busy { reason, after } = &outcome {
                    self.set_busy(reason, *after);
                    items.len() as u64
                } else {
                    0
                };
                self.requests.meter.request(0, size, throttled);
                items.iter().map(|item| (item.index, outcome.clone())).collect()
            }
        }
    }

    /// One ETag for each item that was written.
    async fn transaction(&self, items: &[Item]) -> Result<Vec<Option<Etag>>, Spoilt> {
        let batch = self.operations(items).map_err(|_| Spoilt::Undone)?;
        let request = self.requests.container.execute_transactional_batch(batch, None);
        let response = self.requests.in_time(request).await.map_err(spoilt)?;
        let response = response.map_err(|error| spoilt(self.requests.refusal(&error)))?;
        self.requests.meter.charge(response.diagnostics().total_request_charge().value());
        results(response, items.len())
    }

    fn operations(&self, items: &[Item]) -> azure_data_cosmos::Result<TransactionalBatch> {
        let mut batch = TransactionalBatch::new(items[0].place.partition.clone());
        for item in items {
            let (id, guard) = (item.place.id.clone(), self.known(item).map(|seen| Precondition::if_match(seen.etag)));
            batch = match (&item.body, guard) {
                (Some(body), None) => batch.create_item(body)?,
                (Some(body), Some(guard)) => {
                    batch.replace_item(id, body, Some(BatchReplaceOptions::default().with_precondition(guard)))?
                }
                (None, Some(guard)) => {
                    batch.delete_item(id, Some(BatchDeleteOptions::default().with_precondition(guard)))
                }
                (None, None) => unreachable!("a delete without an ETag is sent by itself"),
            };
        }
        Ok(batch)
    }

    fn remember(&self, item: &Item, etag: Option<Etag>) {
        match etag.filter(|_| item.body.is_some()) {
            Some(etag) => self.sink.etags.put(&item.key, Seen { etag, version: item.version }),
            None => self.sink.etags.forget(&item.key),
        }
    }
}

/// Items by partition key, in runs that fit into batches; and those that go by themselves.
fn cut(items: Vec<Item>, may_join: impl Fn(&Item) -> bool) -> (Vec<Vec<Item>>, Vec<Item>) {
    let mut runs: HashMap<PartitionKey, Vec<Vec<Item>>> = HashMap::new();
    let mut alone = Vec::new();
    for item in items {
        if !may_join(&item) {
            alone.push(item);
            continue;
        }
        let runs = runs.entry(item.place.partition.clone()).or_default();
        let fits = |run: &Vec<Item>| {
            run.len() < OPERATIONS_MAX && run.iter().map(Item::size).sum::<u64>() + item.size() <= BYTES_MAX
        };
        match runs.last_mut().filter(|run| fits(run)) {
            Some(run) => run.push(item),
            None => runs.push(vec![item]),
        }
    }
    let (batches, single): (Vec<_>, Vec<_>) = runs.into_values().flatten().partition(|run| run.len() > 1);
    alone.extend(single.into_iter().flatten());
    (batches, alone)
}

/// A refusal of a batch as a whole.
fn spoilt(refusal: Refusal) -> Spoilt {
    match refusal {
        // One document may be the cause: it is found by itself.
        Refusal::Settled(Outcome::Poison { .. }) | Refusal::Absent | Refusal::Exists | Refusal::Changed => {
            Spoilt::Undone
        }
        Refusal::Settled(outcome) => Spoilt::Settled(outcome),
    }
}

/// Reads what became of each operation: a batch that failed is answered like one that was done.
fn results(response: BatchResponse, count: usize) -> Result<Vec<Option<Etag>>, Spoilt> {
    let unread = |reason: String| Spoilt::Settled(Outcome::Unanswered { reason });
    let response = response.into_model().map_err(|error| unread(error.to_string()))?;
    let results = response.results();
    if let Some(throttled) = results.iter().find(|result| result.status_code() == 429) {
        return Err(Spoilt::Settled(busy(throttled.retry_after())));
    }
    if results.iter().any(|result| !result.is_success()) {
        return Err(Spoilt::Undone);
    }
    if results.len() != count {
        return Err(unread(format!("{} of {count} operations were answered", results.len())));
    }
    Ok(results.iter().map(TransactionalBatchOperationResult::etag).map(|etag| etag.map(Etag::from)).collect())
}

fn busy(after: Option<Duration>) -> Outcome {
    Outcome::Busy { reason: "Cosmos DB answers 429 within a batch".into(), after }
}
