//! The claim of a sink: one document beside those it is about, moved by compare-and-set.
//!
//! Its server gives every change of a document a number; a move is done only if that number is still the one that was read.
//! Reads go to the newest state (`realtime`), not to what searches see.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget, ProcessId};
use crate::sinks::elasticsearch::encode::{self, Address};
use crate::sinks::elasticsearch::index::Index;
use crate::sinks::elasticsearch::mapping::CLAIM_FIELD;
use crate::sinks::elasticsearch::request::Body;
use crate::sinks::elasticsearch::retry::{BulkReply, ItemReply, Judged};
use crate::sinks::elasticsearch::sink::{ElasticsearchSink, Make};
use crate::sinks::{SinkError, SinkFuture};
use crate::state::{Place, StoreId};

/// No key text begins so: in one, `%` is followed by two digits.
pub(super) const CLAIM_PREFIX: &str = "%claim|";

/// How long a server may take for one request about a claim; whoever asks gives up sooner.
const WAIT: Duration = Duration::from_secs(30);

/// A claim as it was read, and the number of its last change.
struct Seen {
    claim: Claim,
    seq_no: i64,
    primary_term: i64,
}

impl ClaimedTarget for ElasticsearchSink {
    /// Whoever reaches the server.
    fn is_shared(&self) -> bool {
        true
    }

    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>> {
        Box::pin(async move {
            let Some(index) = self.index(Make::ForClaim, Instant::now() + WAIT).await? else { return Ok(None) };
            let seen = self.seen(&index).await?;
            if seen.is_none() {
                self.refuse_foreign_documents(&index).await?;
            }
            Ok(seen.map(|seen| seen.claim))
        })
    }

    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>> {
        Box::pin(async move {
            // A claim that is moved was in an index: another one would hide that it is gone.
            let make = if from.is_none() { Make::ForClaim } else { Make::Not };
            let Some(index) = self.index(make, Instant::now() + WAIT).await? else { return Ok(ClaimMove::Found(None)) };
            let Some(from) = from else {
                return self.put(&index, json!({"create": {"_id": self.claim_id()}}), to).await;
            };
            match self.seen(&index).await? {
                Some(Seen { claim, seq_no, primary_term }) if claim.is_same_move(&from) => {
                    // What was written stays written, whoever moves the claim.
                    let to = Claim { published: to.published.max(claim.published), ..to };
                    let unchanged =
                        json!({"_id": self.claim_id(), "if_seq_no": seq_no, "if_primary_term": primary_term});
                    self.put(&index, json!({"index": unchanged}), to).await
                }
                found => Ok(ClaimMove::Found(found.map(|seen| seen.claim))),
            }
        })
    }
}

impl ElasticsearchSink {
    fn claim_id(&self) -> String {
        let projection = &self.plan().projection;
        format!("{CLAIM_PREFIX}{}|{}", projection.name, projection.sinks[self.place()].name)
    }

    async fn seen(&self, index: &Index) -> Result<Option<Seen>, SinkError> {
        let address = Address { id: self.claim_id(), routing: None };
        let found: Json = match self.get(index, encode::get([&address]), Instant::now() + WAIT).await? {
            Some(body) => self.client()?.read(&body)?,
            None => return Ok(None),
        };
        let document = &found["docs"][0];
        if document["found"] != true {
            return Ok(None);
        }
        let seen = || {
            Some(Seen {
                claim: decode(&document["_source"][CLAIM_FIELD])?,
                seq_no: document["_seq_no"].as_i64()?,
                primary_term: document["_primary_term"].as_i64()?,
            })
        };
        let damaged = || SinkError {
            reason: format!(
                "`{}` in `{}` is no claim of this release; delete it to have the index filled anew",
                address.id, index.physical
            ),
        };
        seen().map(Some).ok_or_else(damaged)
    }

    /// Writes the claim by an action that says on what condition.
    async fn put(&self, index: &Index, action: Json, to: Claim) -> Result<ClaimMove, SinkError> {
        let projection = &self.plan().projection;
        let source = json!({CLAIM_FIELD: encode(&to), "_proj": {"p": &*projection.name}});
        let lines = format!("{action}\n{source}\n").into_bytes();
        let client = self.client()?;
        let reply = self.bulk(index, Body::Lines(lines), Instant::now() + WAIT).await;
        let reply = reply.map_err(|failure| failure.into_error())?;
        if reply.status != 200 {
            return self.moved_nothing(index, reply.status, client.refusal(&reply)).await;
        }
        let item: Option<ItemReply> = client.read::<BulkReply>(&reply.body)?.items(1).and_then(|mut items| items.pop());
        let Some(item) = item else { return Err(SinkError { reason: "the answer to a claim has no item".into() }) };
        match item.judge(Version(0), &index.physical) {
            _ if item.status < 300 => Ok(ClaimMove::Moved),
            _ if item.status == 409 => Ok(ClaimMove::Found(self.seen(index).await?.map(|seen| seen.claim))),
            Judged::Gone => self.moved_nothing(index, 404, item.text()).await,
            _ => Err(SinkError { reason: item.text() }),
        }
    }

    async fn moved_nothing(&self, index: &Index, status: u16, reason: String) -> Result<ClaimMove, SinkError> {
        if status == 404 {
            self.is_gone(index).await;
            return Ok(ClaimMove::Found(None));
        }
        Err(SinkError { reason })
    }

    /// An index without a claim is nobody's; what is in it should be, too.
    async fn refuse_foreign_documents(&self, index: &Index) -> Result<(), SinkError> {
        if self.options()?.adopt {
            return Ok(());
        }
        let foreign = json!({"bool": {"must_not": {"exists": {"field": "_proj.p"}}}});
        let found =
            self.search(index, json!({"size": 1, "_source": false, "query": foreign}), Instant::now() + WAIT).await?;
        match found["hits"]["hits"][0]["_id"].as_str() {
            None => Ok(()),
            Some(id) => Err(SinkError {
                reason: format!(
                    "the index `{}` holds documents that no projection has written, such as `{id}`; name another index, \
                     or take them over with `adopt: true`",
                    index.physical
                ),
            }),
        }
    }
}

/// Numbers of more than 53 bits are text, whoever reads them.
fn encode(claim: &Claim) -> Json {
    let Claim { store, place, process, epoch, published, beat, target } = claim;
    json!({
        "store": format!("{:032x}", store.0),
        "place": format!("{:016x}", place.0),
        "process": format!("{:032x}", process.0),
        "epoch": epoch.0,
        "published": published.0,
        "beat": beat,
        "target": format!("{:032x}", target.0),
    })
}

fn decode(claim: &Json) -> Option<Claim> {
    let wide = |field: &str| u128::from_str_radix(claim[field].as_str()?, 16).ok();
    Some(Claim {
        store: StoreId(wide("store")?),
        place: Place(wide("place")?.try_into().ok()?),
        process: ProcessId(wide("process")?),
        epoch: Epoch(claim["epoch"].as_u64()?.try_into().ok()?),
        published: Version(claim["published"].as_u64()?),
        beat: claim["beat"].as_u64()?,
        target: TargetId(wide("target")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_reads_as_it_was_written() {
        let claim = Claim {
            store: StoreId(u128::MAX),
            place: Place(u64::MAX - 1),
            process: ProcessId(3 << 100),
            epoch: Epoch((1 << 24) - 1),
            published: Version((1 << 53) - 1),
            beat: 7,
            target: TargetId(5),
        };
        let written: Json = serde_json::from_str(&encode(&claim).to_string()).unwrap();
        assert_eq!(decode(&written), Some(claim));
        assert_eq!(decode(&json!({"store": "1"})), None);
    }
}
