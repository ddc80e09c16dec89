//! The sink: a batch of writes → guarded requests, side by side → an outcome for each.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use azure_data_cosmos::clients::ContainerClient;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::event::Version;
use crate::language::typed::{Into, OptionValue, Projection, SinkKind, SinkOptions};
use crate::plan::Plan;
use crate::sinks::claim::ClaimedTarget;
use crate::sinks::conflict::{Conflict, classify};
use crate::sinks::cosmos::claim::LastMove;
use crate::sinks::cosmos::config::Account;
use crate::sinks::cosmos::container::Wanted;
use crate::sinks::cosmos::encode::{Encoder, Mark, Place};
use crate::sinks::cosmos::etags::{Etags, Seen};
use crate::sinks::cosmos::partition;
use crate::sinks::cosmos::request::{Found, Requests};
use crate::sinks::cosmos::retry::Refusal;
use crate::sinks::meter::Meter;
use crate::sinks::pace::Limits;
use crate::sinks::{
    DocumentBody, DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument, Sweeper,
};
use crate::value::Value;

/// How many requests of one batch are under way at once: so many are refused at most when a container is out of units.
const SIDE_BY_SIDE: usize = 16;
/// How often a document is tried within one write while others change it.
const ROUNDS_MAX: usize = 4;
/// A read that nobody waits for longer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a request can still be done after we gave it up. Its bytes may lie in a socket that we have closed: the system
/// goes on sending them for some 100 seconds (nine tries, each twice as late). The service takes a few seconds more.
const LATE_FOR: Duration = Duration::from_secs(120);

/// The documents of one sink of one projection in a container.
pub struct CosmosSink {
    pub(super) projection: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) encoder: Encoder,
    pub(super) etags: Etags,
    pub(super) last_move: LastMove,
    pub(super) meter: Meter,
    adopt: bool,
    account: Account,
    wanted: Wanted,
    container: RwLock<Option<Arc<ContainerClient>>>,
    /// Held while connecting; whether a container was looked for, or made, before.
    opened: Mutex<bool>,
}

/// What is known of a write that goes out.
pub(super) struct Item {
    /// Its place in the batch.
    pub index: usize,
    pub key: Arc<str>,
    pub place: Place,
    pub version: Version,
    /// `None`: delete.
    pub body: Option<Box<RawValue>>,
}

/// A batch on its way.
pub(super) struct Writing<'s> {
    pub sink: &'s CosmosSink,
    pub requests: Requests<'s>,
    /// Set by the first item that the container was too busy for: no more are sent.
    busy: OnceLock<(String, Option<Duration>)>,
}

impl CosmosSink {
    /// Sink number `sink` of a plan, in a container of this account. Fails when the plan cannot be put there.
    pub fn new(plan: Arc<Plan>, sink: usize, account: Account) -> Result<CosmosSink, String> {
        let into = &plan.projection.sinks[sink];
        let (options, name) = (into.options.clone(), into.name.clone());
        let projection = plan.projection.name.clone();
        let database = database(into, &account)?;
        let container = options.place.as_deref().unwrap_or_default().to_owned();
        let encoder = Encoder::new(plan, sink)?;
        let wanted = Wanted {
            database,
            container,
            levels: encoder.levels.clone(),
            has_ttl: encoder.has_ttl(),
            throughput: throughput(&options),
        };
        Ok(CosmosSink {
            projection,
            name,
            encoder,
            etags: Etags::default(),
            last_move: LastMove::default(),
            meter: Meter::default(),
            adopt: options.adopt,
            account,
            wanted,
            container: RwLock::default(),
            opened: Mutex::default(),
        })
    }

    /// The container; `None` when there is none. One that is not there is made the first time, and whenever `make` says so.
    pub(super) async fn container(&self, make: bool) -> Result<Option<Arc<ContainerClient>>, String> {
        let open = || self.container.read().expect("nobody panics while holding it").clone();
        if let Some(container) = open() {
            return Ok(Some(container));
        }
        let mut opened = self.opened.lock().await;
        if let Some(container) = open() {
            return Ok(Some(container));
        }
        let found = self.wanted.open(&self.account, make || !*opened).await?.map(Arc::new);
        *opened = true;
        *self.container.write().expect("nobody panics while holding it") = found.clone();
        Ok(found)
    }

    /// The container is gone: the next request looks for it again.
    pub(super) fn lost(&self) {
        *self.container.write().expect("nobody panics while holding it") = None;
        self.etags.clear();
    }

    pub(super) fn gone(&self) -> String {
        format!("{} is not there any more", self.wanted)
    }

    /// The container, for a write: one that is not there is no place to write to.
    async fn container_until(&self, deadline: Instant) -> Result<Arc<ContainerClient>, String> {
        match tokio::time::timeout_at(deadline.into(), self.container(false)).await {
            Ok(found) => found?.ok_or_else(|| self.gone()),
            Err(_) => Err("Cosmos DB did not answer in time".into()),
        }
    }

    async fn write_batch(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> Vec<Outcome> {
        if batch.is_empty() {
            return Vec::new();
        }
        let container = match self.container_until(deadline).await {
            Ok(container) => container,
            Err(reason) => return vec![Outcome::Retry { reason }; batch.len()],
        };
        let requests = Requests { container: &container, meter: &self.meter, deadline };
        let writing = Writing { sink: self, requests, busy: OnceLock::new() };
        let now = now_micros();
        let mut outcomes = vec![Outcome::Unanswered { reason: "it was not tried".into() }; batch.len()];
        let mut items = Vec::with_capacity(batch.len());
        for (index, write) in batch.into_iter().enumerate() {
            match self.item(index, write, now) {
                Ok(item) => items.push(item),
                Err(reason) => outcomes[index] = Outcome::Poison { reason },
            }
        }
        for (index, outcome) in writing.all(items).await {
            outcomes[index] = outcome;
        }
        outcomes
    }

    fn item(&self, index: usize, write: DocumentWrite, now: i64) -> Result<Item, String> {
        let DocumentWrite { key, version, body, time } = write;
        let body = match &body {
            DocumentBody::Document(body) => Some(self.encoder.body(body, time, now)?),
            DocumentBody::Delete => None,
        };
        Ok(Item { index, place: self.encoder.place(&key)?, key, version, body })
    }

    async fn read_document(&self, key: &str) -> Result<Option<StoredDocument>, SinkError> {
        let failed = |reason| SinkError { reason };
        let place = self.encoder.place(key).map_err(failed)?;
        let Some(container) = self.container(false).await.map_err(failed)? else { return Ok(None) };
        let requests = Requests { container: &container, meter: &self.meter, deadline: Instant::now() + READ_TIMEOUT };
        let Some(found) = requests.read(&place).await.map_err(|refusal| failed(reason(refusal)))? else {
            return Ok(None);
        };
        let Mark { version, .. } = Mark::of(&found.body);
        let version = version.ok_or_else(|| failed(format!("`{}` has no `_proj.v`: it is not ours", place.id)))?;
        Ok(Some(StoredDocument { version, body: self.encoder.stored(&found.body).map_err(failed)? }))
    }
}

impl Writing<'_> {
    /// Writes items: together where they may be, else side by side.
    async fn all(&self, items: Vec<Item>) -> Vec<(usize, Outcome)> {
        if self.sink.encoder.is_by_id() {
            return self.singly(items).await;
        }
        self.together(items).await
    }

    /// Writes items side by side, each by itself.
    pub async fn singly(&self, items: Vec<Item>) -> Vec<(usize, Outcome)> {
        let settled = stream::iter(items).map(|item| async move { (item.index, self.one(&item).await) });
        settled.buffer_unordered(SIDE_BY_SIDE).collect().await
    }

    /// Writes one document, with what others did to it in between looked at.
    async fn one(&self, item: &Item) -> Outcome {
        let mut known = self.known(item);
        for _ in 0..ROUNDS_MAX {
            if let Some(busy) = self.is_busy() {
                return busy;
            }
            let refusal = match self.send(item, known.as_ref()).await {
                Ok(()) => return self.done(item, Outcome::Ok),
                Err(refusal) => refusal,
            };
            match (refusal, &item.body) {
                (Refusal::Settled(outcome), _) => return self.settled(item, outcome),
                (Refusal::Absent, None) => {
                    self.sink.etags.forget(&item.key);
                    return self.done(item, Outcome::Ok);
                }
                // It was there when its ETag was seen.
                (Refusal::Absent, Some(_)) if known.is_some() => {
                    self.sink.etags.forget(&item.key);
                    self.count(item, 0, 0);
                    known = None;
                }
                (Refusal::Absent, Some(_)) => {
                    self.sink.lost();
                    return self.settled(item, Outcome::Retry { reason: self.sink.gone() });
                }
                (Refusal::Exists | Refusal::Changed, _) => match self.look(item).await {
                    Err(outcome @ Outcome::Duplicate) => return self.done(item, outcome),
                    Err(outcome) => return self.settled(item, outcome),
                    Ok(found) => {
                        self.count(item, 0, 0);
                        known = found;
                    }
                },
            }
        }
        Outcome::Retry { reason: "the document changed again and again while it was written".into() }
    }

    /// What a write can be guarded with before anything is read: only what is surely older than it.
    pub fn known(&self, item: &Item) -> Option<Seen> {
        self.sink.etags.get(&item.key).filter(|seen| seen.version < item.version)
    }

    async fn send(&self, item: &Item, known: Option<&Seen>) -> Result<(), Refusal> {
        let etag = match (&item.body, known) {
            (Some(body), Some(seen)) => self.requests.replace(&item.place, body, &seen.etag).await?,
            (Some(body), None) => self.requests.create(&item.place, body).await?,
            (None, known) => {
                self.requests.delete(&item.place, known.map(|seen| &seen.etag)).await?;
                self.sink.etags.forget(&item.key);
                return Ok(());
            }
        };
        self.sink.etags.put(&item.key, Seen { etag, version: item.version });
        Ok(())
    }

    /// What is there in the way of a write: an ETag to guard the next try with, or the outcome.
    async fn look(&self, item: &Item) -> Result<Option<Seen>, Outcome> {
        let found = self.requests.read(&item.place).await.map_err(|refusal| match refusal {
            Refusal::Settled(outcome) => outcome,
            other => Outcome::Retry { reason: reason(other) },
        })?;
        let Some(Found { body, etag }) = found else {
            self.sink.etags.forget(&item.key);
            return Ok(None);
        };
        let Mark { projection, version } = Mark::of(&body);
        let is_ours = projection.as_deref() == Some(&*self.sink.projection);
        let judged = if is_ours || self.sink.adopt { classify(version, item.version) } else { Conflict::Foreign };
        let adopted = self.sink.adopt && version.is_none();
        match judged {
            Conflict::Duplicate => {
                self.sink.etags.put(&item.key, Seen { etag, version: item.version });
                Err(Outcome::Duplicate)
            }
            Conflict::Retry => Ok(Some(Seen { etag, version: version.unwrap_or_default() })),
            Conflict::Foreign if adopted => Ok(Some(Seen { etag, version: Version(0) })),
            Conflict::Foreign => Err(self.foreign(item, projection, version)),
        }
    }

    fn foreign(&self, item: &Item, projection: Option<String>, version: Option<Version>) -> Outcome {
        let id = &item.place.id;
        let reason = match (projection, version) {
            (Some(other), _) if *other != *self.sink.projection => format!("`{id}` is a document of `{other}`"),
            (_, Some(version)) => {
                format!("`{id}` has version {version}, above {}, which somebody else wrote", item.version)
            }
            (_, None) => format!("`{id}` has no `_proj.v`: somebody else wrote it"),
        };
        Outcome::Foreign { reason, stored: version }
    }

    fn done(&self, item: &Item, outcome: Outcome) -> Outcome {
        self.count(item, 1, 0);
        outcome
    }

    /// An outcome that is not success, counted; a busy container is asked nothing more.
    fn settled(&self, item: &Item, outcome: Outcome) -> Outcome {
        let throttled = matches!(outcome, Outcome::Busy { .. });
        if let Outcome::Busy { reason, after } = &outcome {
            self.set_busy(reason, *after);
        }
        self.count(item, 0, u64::from(throttled));
        outcome
    }

    pub fn set_busy(&self, reason: &str, after: Option<Duration>) {
        // Whoever was first has said it.
        let _ = self.busy.set((reason.to_owned(), after));
    }

    /// What becomes of an item that is not sent any more.
    pub fn is_busy(&self) -> Option<Outcome> {
        self.busy.get().map(|(reason, after)| Outcome::Busy { reason: reason.clone(), after: *after })
    }

    fn count(&self, item: &Item, documents: u64, throttled: u64) {
        self.sink.meter.request(documents, item.size(), throttled);
    }
}

impl Item {
    pub fn size(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.get().len() as u64)
    }
}

impl DocumentSink for CosmosSink {
    fn write(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        Box::pin(self.write_batch(batch, deadline))
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        Box::pin(self.read_document(key))
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
        // A batch by id is a few rounds of what goes side by side; one by partition key has to hold whole transactions.
        let items_max = if self.encoder.is_by_id() { SIDE_BY_SIDE * 4 } else { 256 };
        Limits { items_max, bytes_max: 4 << 20, requests_max: 16 }
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }

    /// A deleted document leaves nothing behind, so a create from before that arrives late would bring it back.
    fn remembers_deletes(&self) -> bool {
        false
    }

    fn late_for(&self) -> Duration {
        LATE_FOR
    }
}

/// A refusal in words.
pub(super) fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Absent => "it is not there".into(),
        Refusal::Exists => "it is there already".into(),
        Refusal::Changed => "somebody else has changed it".into(),
        Refusal::Settled(
            Outcome::Retry { reason }
            | Outcome::Busy { reason, .. }
            | Outcome::Unanswered { reason }
            | Outcome::Poison { reason }
            | Outcome::Foreign { reason, .. },
        ) => reason,
        Refusal::Settled(Outcome::Ok | Outcome::Duplicate) => "it is done".into(),
    }
}

fn now_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// Whether a sink's options make sense for an account.
pub fn check(projection: &Projection, sink: &Into, account: &Account) -> Result<(), String> {
    database(sink, account)?;
    partition::levels(projection, sink)?;
    let place =
        |sink: &Into| (sink.connection.clone(), constant(&sink.options, "database"), sink.options.place.clone());
    let same = |other: &&Into| other.kind == SinkKind::Cosmos && other.name != sink.name && place(other) == place(sink);
    if let Some(other) = projection.sinks.iter().find(same) {
        return Err(format!("`{}` of this projection has the same container: name another one", other.name));
    }
    if sink.options.ttl.is_some() && sink.document.iter().any(|(name, _)| **name == *"ttl") {
        return Err("the option `ttl` puts a field `ttl` into each document, and `as` has one already".into());
    }
    Ok(())
}

fn database(sink: &Into, account: &Account) -> Result<String, String> {
    let named = constant(&sink.options, "database").or_else(|| account.database.clone());
    named.ok_or_else(|| "no database is named: add `database` to its options or to the connection".into())
}

fn constant(options: &SinkOptions, name: &str) -> Option<String> {
    options.all.iter().find(|option| &*option.name == name).and_then(|option| match &option.value {
        OptionValue::Constant(Value::Text(text)) => Some(text.as_str().to_owned()),
        _ => None,
    })
}

fn throughput(options: &SinkOptions) -> Option<u64> {
    options.all.iter().find(|option| &*option.name == "throughput").and_then(|option| match &option.value {
        OptionValue::Constant(Value::Int(units)) => u64::try_from(*units).ok(),
        _ => None,
    })
}
