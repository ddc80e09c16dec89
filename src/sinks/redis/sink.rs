//! Batches → calls of the script → outcomes; and documents read back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::time::timeout_at;

use crate::language::typed::RedisKind;
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget};
use crate::sinks::meter::Meter;
use crate::sinks::pace::Limits;
use crate::sinks::redis::encode::{self, Expiry, Item, Put};
use crate::sinks::redis::request::{Argument, Call, Open};
use crate::sinks::redis::retry::{Failed, of_word};
use crate::sinks::redis::{CLOCK_SLACK, KEPT, LATE_FOR, REQUEST_TIME_MAX, RedisSink, claim, claim_code, write_code};
use crate::sinks::{
    DocumentBody, DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument, Sweeper,
};

/// A call writes so many documents at most, or so many bytes of them: Redis does nothing else meanwhile.
const CALL_ITEMS_MAX: usize = 64;
const CALL_BYTES_MAX: usize = 256 << 10;
/// How long a read or a look at the claim may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes that go in one call: of one epoch, and on a cluster of one slot.
struct Group {
    part: u16,
    epoch: u32,
    /// Their places in the batch.
    places: Vec<usize>,
    items: Vec<Item>,
    bytes: usize,
}

impl RedisSink {
    /// Groups what can be written by what one call may take; the others are answered.
    fn groups(&self, batch: &[DocumentWrite], outcomes: &mut [Option<Outcome>]) -> Vec<Group> {
        let (plan, sink, slotted) = (&self.plan, self.sink(), self.names.parts() > 1);
        let mut full = Vec::new();
        let mut open: BTreeMap<(u16, u32), Group> = BTreeMap::new();
        for (place, write) in batch.iter().enumerate() {
            let item = match encode::item(plan, sink, &self.names.prefix, slotted, write) {
                Ok(item) => item,
                Err(reason) => {
                    outcomes[place] = Some(Outcome::Poison { reason });
                    continue;
                }
            };
            let part = item.key.as_deref().map_or(0, |key| self.names.part(key));
            let epoch = write.version.epoch().0;
            let new = || Group { part, epoch, places: Vec::new(), items: Vec::new(), bytes: 0 };
            let group = open.entry((part, epoch)).or_insert_with(new);
            group.bytes += size(write);
            group.places.push(place);
            group.items.push(item);
            if group.items.len() >= CALL_ITEMS_MAX || group.bytes >= CALL_BYTES_MAX {
                full.extend(open.remove(&(part, epoch)));
            }
        }
        full.extend(open.into_values());
        full
    }

    /// The call that writes items of one part in one epoch.
    pub(super) fn call(&self, part: u16, epoch: u32, items: &[Item], latest: i64) -> Call<'static> {
        let guard = self.names.guard(part);
        let mut keys = vec![guard.versions, guard.gone, guard.fence];
        let adopt = if self.sink().options.adopt { "adopt" } else { "" };
        let fence = if self.names.parts() > 1 { "fence" } else { "" };
        let holder = self.holder.lock().expect("nothing panics while it holds the name").clone();
        let mut arguments = Vec::with_capacity(8 + 7 * items.len());
        let head = [
            epoch.to_string(),
            holder,
            latest.to_string(),
            KEPT.as_millis().to_string(),
            adopt.to_owned(),
            fence.to_owned(),
            self.names.prefix.clone(),
            items.len().to_string(),
        ];
        arguments.extend(head.map(Argument::Text));
        for item in items {
            let key = match &item.key {
                Some(key) => {
                    keys.push(key.clone());
                    keys.len()
                }
                None => 0,
            };
            append(item, key, &mut arguments);
        }
        Call { code: write_code(), keys, arguments }
    }

    /// The latest time, by the server's clock, at which a request with this deadline may be done.
    pub(super) fn latest(&self, open: &Open, deadline: Instant) -> i64 {
        open.server_time(deadline.min(Instant::now() + REQUEST_TIME_MAX) + CLOCK_SLACK)
    }

    pub(super) async fn opened(&self, deadline: Instant) -> Result<Open, String> {
        match timeout_at(deadline.into(), self.link.open()).await {
            Ok(open) => open.map_err(|error| error.reason),
            Err(_) => Err(format!("Redis at {}: no connection was made in time", self.link.options.address())),
        }
    }

    async fn write_batch(&self, batch: Vec<DocumentWrite>, deadline: Instant) -> Vec<Outcome> {
        if batch.is_empty() {
            return Vec::new();
        }
        let open = match self.opened(deadline).await {
            Ok(open) => open,
            Err(reason) => return vec![Outcome::Retry { reason }; batch.len()],
        };
        let mut outcomes = vec![None; batch.len()];
        let groups = self.groups(&batch, &mut outcomes);
        let latest = self.latest(&open, deadline);
        let calls: Vec<_> =
            groups.iter().map(|group| self.call(group.part, group.epoch, &group.items, latest)).collect();
        let sent = Instant::now();
        let answers = match timeout_at(deadline.into(), open.run(&calls)).await {
            Ok(answers) => answers,
            Err(_) => vec![Err(Failed::Unknown("Redis did not answer in time".into())); calls.len()],
        };
        if answers.iter().any(|answer| answer.as_ref().is_err_and(Failed::ends_connection)) {
            self.link.close(&open).await;
        }
        for (group, answer) in groups.iter().zip(answers) {
            let keys: Vec<&str> = group.items.iter().map(|item| &*item.key_text).collect();
            for (place, outcome) in group.places.iter().zip(answered(&open, sent, &keys, answer)) {
                outcomes[*place] = Some(outcome);
            }
        }
        let unanswered = || Outcome::Unanswered { reason: "Redis did not say what became of it".into() };
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unanswered)).collect();
        self.count(&batch, &outcomes);
        outcomes
    }

    fn count(&self, batch: &[DocumentWrite], outcomes: &[Outcome]) {
        let number = |which: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| which(outcome)).count() as u64;
        let done = number(|outcome| matches!(outcome, Outcome::Ok | Outcome::Duplicate));
        let busy = number(|outcome| matches!(outcome, Outcome::Busy { .. }));
        self.meter.request(done, batch.iter().map(|write| size(write) as u64).sum(), busy);
    }

    async fn read_document(&self, key_text: &str) -> Result<Option<StoredDocument>, SinkError> {
        let open = self.opened(Instant::now() + READ_TIMEOUT).await.map_err(|reason| SinkError { reason })?;
        let reading = async {
            match self.sink().options.redis_kind() {
                RedisKind::Json => self.read_text(&open, key_text).await,
                RedisKind::Hash => self.read_hash(&open, key_text).await,
                RedisKind::Set | RedisKind::SortedSet => self.read_member(&open, key_text).await,
            }
        };
        self.in_time(&open, reading).await
    }

    /// Waits for an answer; a connection that gives none, or breaks, is ended.
    pub(super) async fn in_time<T>(
        &self,
        open: &Open,
        answer: impl Future<Output = Result<T, SinkError>>,
    ) -> Result<T, SinkError> {
        let waited = tokio::time::timeout(READ_TIMEOUT, answer).await;
        if !matches!(waited, Ok(Ok(_))) {
            self.link.close(open).await;
        }
        waited.unwrap_or_else(|_| {
            Err(SinkError { reason: format!("Redis at {} did not answer in time", self.link.options.address()) })
        })
    }

    fn key_of(&self, key_text: &str) -> Result<String, SinkError> {
        encode::document_key(&self.plan, self.sink(), &self.names.prefix, key_text)
            .map_err(|reason| SinkError { reason })
    }

    /// A document of ours, as it lies at `key`.
    fn stored(&self, key: &str, body: Vec<u8>) -> Result<Option<StoredDocument>, SinkError> {
        match encode::version_of(&self.plan.projection.name, &body) {
            Some(version) => Ok(Some(StoredDocument { version, body: body.into() })),
            None => Err(SinkError { reason: format!("what lies at `{key}` is no document of this projection") }),
        }
    }

    async fn read_text(&self, open: &Open, key_text: &str) -> Result<Option<StoredDocument>, SinkError> {
        let key = self.key_of(key_text)?;
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let text: Option<Vec<u8>> = from(open.ask(command).await)?;
        text.map_or(Ok(None), |body| self.stored(&key, body))
    }

    async fn read_hash(&self, open: &Open, key_text: &str) -> Result<Option<StoredDocument>, SinkError> {
        let key = self.key_of(key_text)?;
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let fields: BTreeMap<String, String> = from(open.ask(command).await)?;
        if fields.is_empty() {
            return Ok(None);
        }
        self.stored(&key, encode::document_of_fields(self.sink(), &fields).unwrap_or_default())
    }

    /// A member is found through the record of versions.
    async fn read_member(&self, open: &Open, key_text: &str) -> Result<Option<StoredDocument>, SinkError> {
        let part = match self.names.parts() {
            1 => 0,
            _ => {
                let set = encode::set_key(&self.plan, self.sink(), key_text);
                self.names.part(&set.map_err(|reason| SinkError { reason })?)
            }
        };
        let mut command = redis::cmd("HGET");
        command.arg(self.names.guard(part).versions).arg(key_text);
        let Some(entry): Option<String> = from(open.ask(command).await)? else { return Ok(None) };
        let Some(entry) = encode::entry(&entry) else { return Ok(None) };
        let Some((key, member)) = entry.member else { return Ok(None) };
        let sorted = self.sink().options.redis_kind() == RedisKind::SortedSet;
        let mut command = redis::cmd(if sorted { "ZSCORE" } else { "SISMEMBER" });
        command.arg(key).arg(member);
        let score = match sorted {
            true => from::<Option<f64>>(open.ask(command).await)?.map(Some),
            false => from::<bool>(open.ask(command).await)?.then_some(None),
        };
        let Some(score) = score else { return Ok(None) };
        let body = encode::document_of_member(&self.plan.projection.name, entry.version, (key, member), score);
        Ok(Some(StoredDocument { version: entry.version, body: body.into() }))
    }
}

/// Appends an item as the script reads it.
fn append(item: &Item, key: usize, arguments: &mut Vec<Argument>) {
    let expiry = match item.expiry {
        Expiry::Never => String::new(),
        Expiry::At(at) => at.to_string(),
        Expiry::In(ms) => format!("+{ms}"),
    };
    let (what, own): (&str, Vec<Argument>) = match &item.put {
        Put::Text(body) => ("text", vec![Argument::Bytes(body.clone())]),
        Put::Fields(fields) => {
            let pairs = fields.iter().flat_map(|(name, value)| [name.clone(), value.clone()]);
            ("hash", pairs.map(Argument::Text).collect())
        }
        Put::Member(member) => ("set", vec![Argument::Text(member.clone())]),
        Put::Scored(member, score) => ("sorted", vec![Argument::Text(member.clone()), Argument::Text(score.clone())]),
        Put::Delete => ("delete", Vec::new()),
        Put::Sweep(floor) => ("sweep", vec![Argument::Text(floor.to_string())]),
    };
    let head = [
        what.to_owned(),
        item.key_text.to_string(),
        item.version.to_string(),
        key.to_string(),
        expiry,
        own.len().to_string(),
    ];
    arguments.extend(head.map(Argument::Text));
    arguments.extend(own);
}

fn size(write: &DocumentWrite) -> usize {
    match &write.body {
        DocumentBody::Document(body) => body.len(),
        DocumentBody::Delete => 0,
    }
}

fn from<T: redis::FromRedisValue>(answer: Result<Value, redis::RedisError>) -> Result<T, SinkError> {
    let value = answer.map_err(|error| SinkError { reason: error.to_string() })?;
    redis::from_redis_value(value).map_err(|error| SinkError { reason: error.to_string() })
}

/// What became of the items of one call.
pub(super) fn answered(open: &Open, sent: Instant, keys: &[&str], answer: Result<Value, Failed>) -> Vec<Outcome> {
    let all = |outcome: Outcome| vec![outcome; keys.len()];
    let words: Vec<String> = match answer {
        Err(failed) => return all(failed.outcome()),
        Ok(value) => match redis::from_redis_value(value) {
            Ok(words) => words,
            Err(error) => return all(Outcome::Unanswered { reason: error.to_string() }),
        },
    };
    let mut words = words.iter().map(String::as_str);
    if let Some(clock) = words.next().and_then(|clock| clock.parse().ok()) {
        open.said(sent, clock);
    }
    let words: Vec<&str> = words.collect();
    match words[..] {
        ["late"] => all(Outcome::Retry {
            reason: "it came to the server after its time, by the server's clock, and was refused".into(),
        }),
        // We hold it, in a later epoch: what is of an earlier one is written anew.
        ["passed", _] => {
            all(Outcome::Retry { reason: "it is of an epoch before the one that is claimed by now".into() })
        }
        ["taken", epoch] => all(Outcome::Foreign {
            reason: format!("another process has claimed these documents in epoch {epoch}, and nothing was changed"),
            stored: None,
        }),
        _ if words.len() == keys.len() => words.iter().zip(keys).map(|(word, key)| of_word(word, key)).collect(),
        _ => all(Outcome::Unanswered { reason: "the script answered something else".into() }),
    }
}

impl DocumentSink for RedisSink {
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

    /// One server does one thing at a time: two requests keep it busy while the next is made.
    fn limits(&self) -> Limits {
        Limits { items_max: 1024, bytes_max: 1 << 20, requests_max: 4 }
    }

    fn meter(&self) -> Option<&Meter> {
        Some(&self.meter)
    }

    /// The record keeps them for `KEPT`, which is far longer than `LATE_FOR`.
    fn remembers_deletes(&self) -> bool {
        true
    }

    /// However long a network or a stopped server holds a request back: the script refuses it when the server's clock says
    /// that it is late.
    fn late_for(&self) -> Duration {
        LATE_FOR
    }
}

impl ClaimedTarget for RedisSink {
    fn is_shared(&self) -> bool {
        true
    }

    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>> {
        Box::pin(async move {
            let open = self.opened(Instant::now() + READ_TIMEOUT).await.map_err(|reason| SinkError { reason })?;
            self.in_time(&open, claim::read(&open, &self.names.claim())).await
        })
    }

    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>> {
        Box::pin(async move {
            let open = self.opened(Instant::now() + READ_TIMEOUT).await.map_err(|reason| SinkError { reason })?;
            let key = self.names.claim();
            let moved = self.in_time(&open, claim::change(&open, claim_code(), &key, from, to)).await?;
            if moved == ClaimMove::Moved {
                *self.holder.lock().expect("nothing panics while it holds the name") = format!("{:x}", to.process.0);
            }
            Ok(moved)
        })
    }
}
