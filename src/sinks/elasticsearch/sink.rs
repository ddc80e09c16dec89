//! The sink: batches of writes → bulk requests → an outcome for each write.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::Value as Json;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::event::Version;
use crate::plan::Plan;
use crate::plan::eval::Scratch;
use crate::sinks::claim::ClaimedTarget;
use crate::sinks::elasticsearch::config::{ElasticsearchOptions, IndexOptions};
use crate::sinks::elasticsearch::encode::{self, Address, Addresses, Bulk};
use crate::sinks::elasticsearch::index::{Finder, Index};
use crate::sinks::elasticsearch::request::{Body, Client, Failure, Reply, segment};
use crate::sinks::elasticsearch::retry::{BulkReply, ItemReply, Judged, Refused, met, refused};
use crate::sinks::meter::Meter;
use crate::sinks::pace::Limits;
use crate::sinks::{DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument, Sweeper};

/// How long a request may still be done after it was given up on.
///
/// A node goes on with what it was sent when the client has gone: it waits up to [`SHARD_WAIT`] for a shard, and then the
/// request stands in a queue. One that hangs for longer is put out of its cluster after 30 s (three checks of 10 s), and what it
/// does then is refused by the shards that have moved on.
pub(super) const LATE: Duration = Duration::from_secs(30);
/// How long the server waits for a shard that is away; shorter than `LATE`.
const SHARD_WAIT: &str = "10s";
/// Well below what servers take for one request (100 MB; hosted ones 10 MB).
const REQUEST_BYTES_MAX: usize = 5 << 20;
const REQUEST_ITEMS_MAX: usize = 2000;
const REQUESTS_MAX: usize = 4;

/// The documents of one sink in an index of Elasticsearch or OpenSearch.
pub struct ElasticsearchSink {
    plan: Arc<Plan>,
    /// Of the sink in the plan.
    place: usize,
    connection: ElasticsearchOptions,
    /// What the file and the configuration say, once it was asked for; or what is wrong with them.
    setup: OnceLock<Result<Setup, String>>,
    index: Mutex<Standing>,
    meter: Meter,
}

/// What is made of the options.
struct Setup {
    client: Client,
    options: IndexOptions,
    addresses: Addresses,
}

/// What is known of the index.
#[derive(Debug)]
enum Standing {
    Unknown,
    There(Index),
    /// It was there, and somebody has deleted it: with its claim, so that only a claim makes it again.
    Gone,
}

/// Whether an index that is not there is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    Not,
    /// For a first document, unless it was there before.
    ForDocuments,
    ForClaim,
}

/// What was sent as one, and how it ended.
struct Sent {
    items: Range<usize>,
    ended: Ended,
}

enum Ended {
    Items(Vec<Judged>),
    All(Outcome),
    /// It is to be cut, for this reason.
    Cut(String),
}

impl ElasticsearchSink {
    /// Connects, and looks at its index, when it is first used.
    pub fn new(plan: Arc<Plan>, place: usize, connection: ElasticsearchOptions) -> ElasticsearchSink {
        ElasticsearchSink {
            plan,
            place,
            connection,
            setup: OnceLock::new(),
            index: Mutex::new(Standing::Unknown),
            meter: Meter::default(),
        }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    fn setup(&self) -> Result<&Setup, SinkError> {
        let setup = self.setup.get_or_init(|| self.set_up().map_err(|error| error.reason));
        setup.as_ref().map_err(|reason| SinkError { reason: reason.clone() })
    }

    fn set_up(&self) -> Result<Setup, SinkError> {
        let projection = &self.plan.projection;
        let options = IndexOptions::of(projection, &projection.sinks[self.place])?;
        let addresses = Addresses { plan: self.plan.clone(), sink: self.place, routing: options.routing.clone() };
        Ok(Setup { client: Client::new(&self.connection)?, options, addresses })
    }

    pub(super) fn client(&self) -> Result<&Client, SinkError> {
        Ok(&self.setup()?.client)
    }

    pub(super) fn options(&self) -> Result<&IndexOptions, SinkError> {
        Ok(&self.setup()?.options)
    }

    /// The index, looked for when it is not known.
    pub(super) async fn index(&self, make: Make, deadline: Instant) -> Result<Option<Index>, SinkError> {
        let Setup { client, options, .. } = self.setup()?;
        let mut standing = self.index.lock().await;
        let make = match &*standing {
            Standing::There(index) => return Ok(Some(index.clone())),
            Standing::Unknown => make != Make::Not,
            Standing::Gone if make != Make::ForClaim => return Ok(None),
            Standing::Gone => true,
        };
        let finder = Finder { client, options, projection: &self.plan.projection, sink: self.place, deadline };
        let found = finder.find(make).await?;
        if let Some(index) = &found {
            *standing = Standing::There(index.clone());
        }
        Ok(found)
    }

    /// The index is not there any more.
    pub(super) async fn is_gone(&self, index: &Index) {
        let mut standing = self.index.lock().await;
        if matches!(&*standing, Standing::There(there) if there.uuid == index.uuid) {
            tracing::warn!(index = %index.physical, "the index is gone; it is made again and filled anew");
            *standing = Standing::Gone;
        }
    }

    pub(super) async fn bulk(&self, index: &Index, lines: Body, deadline: Instant) -> Result<Reply, Failure> {
        let client = self.client().map_err(|error| Failure::NotSent(error.reason))?;
        let path = format!("{}/_bulk", segment(&index.alias));
        let query = [
            ("require_alias", "true"),
            ("timeout", SHARD_WAIT),
            ("filter_path", "errors,items.*.status,items.*.error"),
        ];
        client.ask(Method::Post, &path, &query, lines, deadline).await
    }

    /// Documents as they are now; `None` when the index is gone. Nothing is filtered from the answer: that would write the
    /// numbers of the documents anew.
    pub(super) async fn get(&self, index: &Index, docs: Json, deadline: Instant) -> Result<Option<Vec<u8>>, SinkError> {
        let client = self.client()?;
        let path = format!("{}/_mget", segment(&index.alias));
        let query = [("realtime", "true")];
        let reply = client.ask(Method::Post, &path, &query, Body::Json(docs), deadline).await;
        let reply = reply.map_err(Failure::into_error)?;
        let answer = match reply.status {
            404 => None,
            200..300 => Some(client.read::<Documents<'_>>(&reply.body)?),
            _ => return Err(SinkError { reason: client.refusal(&reply) }),
        };
        let error = answer.as_ref().and_then(|answer| answer.docs.iter().find_map(|document| document.error.as_ref()));
        match error {
            _ if answer.is_none() => {}
            None => return Ok(Some(reply.body)),
            Some(error) if error["type"] == "index_not_found_exception" => {}
            Some(error) => {
                return Err(SinkError { reason: error["reason"].as_str().unwrap_or("no reason").to_owned() });
            }
        }
        self.is_gone(index).await;
        Ok(None)
    }

    /// Searches all that was written until now.
    pub(super) async fn search(&self, index: &Index, asked: Json, deadline: Instant) -> Result<Json, SinkError> {
        let client = self.client()?;
        let alias = segment(&index.alias);
        let path = format!("{alias}/_refresh");
        let refresh = client.json(Method::Post, &path, &[], Body::Nothing, deadline);
        let gone = || SinkError { reason: format!("the index `{}` is gone", index.physical) };
        let refreshed = refresh.await?.ok_or_else(gone)?;
        let query = [("allow_partial_search_results", "false")];
        let path = format!("{alias}/_search");
        let search = client.json(Method::Post, &path, &query, Body::Json(asked), deadline);
        let found = search.await?.ok_or_else(gone)?;
        let whole = |answer: &Json| answer["_shards"]["failed"] == 0;
        if !whole(&refreshed) || !whole(&found) || found["timed_out"] == true {
            return Err(SinkError { reason: format!("not all of the index `{}` can be searched", index.physical) });
        }
        Ok(found)
    }

    /// Writes what has an address.
    async fn write_batch(&self, batch: &[DocumentWrite], deadline: Instant) -> Vec<Outcome> {
        let retry_all = |error: SinkError| vec![Outcome::Retry { reason: error.reason }; batch.len()];
        let addresses = match self.setup() {
            Ok(setup) => &setup.addresses,
            Err(error) => return retry_all(error),
        };
        let index = match self.index(Make::ForDocuments, deadline).await {
            Ok(Some(index)) => index,
            Ok(None) => return retry_all(gone()),
            Err(error) => return retry_all(error),
        };
        let mut scratch = Scratch::default();
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(batch.len());
        let (mut bulk, mut items) = (Bulk::default(), Vec::with_capacity(batch.len()));
        for (place, write) in batch.iter().enumerate() {
            outcomes.push(match addresses.of(&write.key, &mut scratch) {
                Ok(address) => {
                    bulk.push(&address, write);
                    items.push(Item { place, version: write.version, address });
                    None
                }
                Err(reason) => Some(Outcome::Poison { reason }),
            });
        }
        for (item, outcome) in items.iter().zip(self.send(&index, &bulk, &items, deadline).await) {
            outcomes[item.place] = Some(outcome);
        }
        outcomes.into_iter().map(|outcome| outcome.expect("every item was sent or has no address")).collect()
    }

    /// Sends a bulk, in pieces where the server does not take it whole.
    async fn send(&self, index: &Index, bulk: &Bulk, items: &[Item], deadline: Instant) -> Vec<Outcome> {
        let mut judged: Vec<Option<Judged>> = items.iter().map(|_| None).collect();
        let mut open = Vec::new();
        if !items.is_empty() {
            open.push(0..items.len());
        }
        while let Some(piece) = open.pop() {
            let Sent { items: piece, ended } = if Instant::now() < deadline {
                self.send_piece(index, bulk, piece, items, deadline).await
            } else {
                let reason = "no time was left to send it in smaller pieces".into();
                Sent { items: piece, ended: Ended::All(Outcome::Retry { reason }) }
            };
            match ended {
                Ended::Items(of_piece) => {
                    piece.zip(of_piece).for_each(|(place, of_item)| judged[place] = Some(of_item));
                }
                Ended::All(outcome) => piece.for_each(|place| judged[place] = Some(Judged::Outcome(outcome.clone()))),
                Ended::Cut(reason) if piece.len() == 1 => {
                    let reason = format!("{reason}; the server does not take even this document alone");
                    judged[piece.start] = Some(Judged::Outcome(Outcome::Poison { reason }));
                }
                Ended::Cut(_) => {
                    let middle = piece.start + piece.len() / 2;
                    open.extend([middle..piece.end, piece.start..middle]);
                }
            }
        }
        self.settle(index, items, judged, deadline).await
    }

    async fn send_piece(
        &self,
        index: &Index,
        bulk: &Bulk,
        piece: Range<usize>,
        items: &[Item],
        deadline: Instant,
    ) -> Sent {
        let lines = bulk.lines(piece.clone()).to_vec();
        let bytes = lines.len() as u64;
        let ended = match self.bulk(index, Body::Lines(lines), deadline).await {
            Err(Failure::NotSent(reason)) => Ended::All(Outcome::Retry { reason }),
            Err(Failure::Unanswered(reason)) => Ended::All(Outcome::Unanswered { reason }),
            Ok(reply) if reply.status == 200 => self.read_items(index, &reply, &items[piece.clone()]),
            Ok(reply) => {
                let reason = self.client().map_or_else(|error| error.reason, |client| client.refusal(&reply));
                match refused(&reply, reason) {
                    Refused::Outcome(outcome) => Ended::All(outcome),
                    Refused::Whole(reason) => Ended::Cut(reason),
                    Refused::Gone => Ended::Items(piece.clone().map(|_| Judged::Gone).collect()),
                }
            }
        };
        self.count(&ended, piece.len(), bytes);
        Sent { items: piece, ended }
    }

    fn read_items(&self, index: &Index, reply: &Reply, items: &[Item]) -> Ended {
        let read = serde_json::from_slice::<BulkReply>(&reply.body).ok().and_then(|read| read.items(items.len()));
        match read {
            Some(read) => {
                let judge = |(reply, item): (&ItemReply, &Item)| reply.judge(item.version, &index.physical);
                Ended::Items(read.iter().zip(items).map(judge).collect())
            }
            None => Ended::All(Outcome::Unanswered { reason: "the answer to a bulk has other items than it".into() }),
        }
    }

    fn count(&self, ended: &Ended, items: usize, bytes: u64) {
        let is = |wanted: fn(&Outcome) -> bool| match ended {
            Ended::Items(judged) => {
                judged.iter().filter(|judged| matches!(judged, Judged::Outcome(outcome) if wanted(outcome))).count()
            }
            Ended::All(outcome) if wanted(outcome) => items,
            _ => 0,
        };
        let done = is(|outcome| matches!(outcome, Outcome::Ok | Outcome::Duplicate));
        let busy = is(|outcome| matches!(outcome, Outcome::Busy { .. }));
        self.meter.request(done as u64, bytes, busy as u64);
    }

    /// What is left to find out: the versions of conflicts that told none, and whether the index is gone.
    async fn settle(
        &self,
        index: &Index,
        items: &[Item],
        judged: Vec<Option<Judged>>,
        deadline: Instant,
    ) -> Vec<Outcome> {
        let conflict = |judged: &Option<Judged>| *judged == Some(Judged::Conflict);
        let unknown = items.iter().zip(&judged).filter(|(_, judged)| conflict(judged)).map(|(item, _)| &item.address);
        let unknown: Vec<&Address> = unknown.collect();
        let versions =
            if unknown.is_empty() { Ok(HashMap::new()) } else { self.versions(index, unknown, deadline).await };
        if judged.contains(&Some(Judged::Gone)) {
            self.is_gone(index).await;
        }
        let outcome = |(item, judged): (&Item, Option<Judged>)| match judged.expect("every piece was judged") {
            Judged::Outcome(outcome) => outcome,
            Judged::Gone => Outcome::Retry { reason: gone().reason },
            Judged::Conflict => match &versions {
                Ok(versions) => match versions.get(&item.address.id) {
                    Some(stored) => met(*stored, item.version),
                    None => Outcome::Retry { reason: "it met a version that is not there any more".into() },
                },
                Err(error) => Outcome::Retry { reason: error.reason.clone() },
            },
        };
        items.iter().zip(judged).map(outcome).collect()
    }

    async fn versions(
        &self,
        index: &Index,
        addresses: Vec<&Address>,
        deadline: Instant,
    ) -> Result<HashMap<String, Version>, SinkError> {
        let Some(body) = self.get(index, encode::get(addresses), deadline).await? else { return Ok(HashMap::new()) };
        let documents = self.client()?.read::<Documents<'_>>(&body)?.docs;
        Ok(documents.into_iter().filter_map(|document| Some((document.id, Version(document.version?)))).collect())
    }
}

/// A write that has an address.
struct Item {
    /// In the batch.
    place: usize,
    version: Version,
    address: Address,
}

/// What `_mget` answers.
#[derive(Deserialize)]
struct Documents<'b> {
    #[serde(borrow)]
    docs: Vec<Document<'b>>,
}

#[derive(Deserialize)]
struct Document<'b> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: Option<u64>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'b RawValue>,
    error: Option<Json>,
}

fn gone() -> SinkError {
    SinkError { reason: "the index was deleted; it is filled anew once it is claimed again".into() }
}

impl DocumentSink for ElasticsearchSink {
    fn write(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        Box::pin(async move { self.write_batch(&batch, deadline).await })
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        Box::pin(async move {
            let deadline = Instant::now() + LATE;
            let Ok(address) = self.setup()?.addresses.of(key, &mut Scratch::default()) else { return Ok(None) };
            let Some(index) = self.index(Make::Not, deadline).await? else { return Ok(None) };
            let Some(body) = self.get(&index, encode::get([&address]), deadline).await? else { return Ok(None) };
            let found = self.client()?.read::<Documents<'_>>(&body)?.docs.into_iter().next();
            let stored = found.and_then(|found| Some((Version(found.version?), found.source?)));
            Ok(stored.map(|(version, source)| StoredDocument { version, body: source.get().as_bytes().into() }))
        })
    }

    fn sweeper(&self) -> Option<&dyn Sweeper> {
        Some(self)
    }

    fn is_volatile(&self) -> bool {
        false
    }

    fn claimed(&self) -> Option<&dyn ClaimedTarget> {
        Some(self)
    }

    fn limits(&self) -> Limits {
        Limits { items_max: REQUEST_ITEMS_MAX, bytes_max: REQUEST_BYTES_MAX, requests_max: REQUESTS_MAX }
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }

    fn late_for(&self) -> Duration {
        LATE
    }

    /// A deleted document leaves its version behind for `gc_deletes`: 15 minutes where we make the index, and never less than
    /// `LATE`, which is checked. It is kept in memory by every copy of a shard and comes back with what the copy replays of
    /// its log. What may be lost is the memory of a shard with no replica, when its node starts again after a flush: a write that
    /// was given up on, and waits in another node for that very restart, would find nothing. `SHARD_WAIT` bounds that wait
    /// to seconds.
    fn remembers_deletes(&self) -> bool {
        true
    }
}
