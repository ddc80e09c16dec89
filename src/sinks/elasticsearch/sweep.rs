//! What a filling has left behind, found by a search and deleted under the version of the sweep.
//!
//! The search sees all that was written, since the index is refreshed first. Whatever is written to a document after it was
//! found has a version of its own, which a late delete does not pass.

use std::time::Instant;

use serde_json::{Value as Json, json};

use crate::event::Version;
use crate::sinks::elasticsearch::encode::{Address, Bulk};
use crate::sinks::elasticsearch::request::Body;
use crate::sinks::elasticsearch::retry::BulkReply;
use crate::sinks::elasticsearch::sink::{ElasticsearchSink, Make};
use crate::sinks::{SinkError, SinkFuture, Sweeper};

impl Sweeper for ElasticsearchSink {
    fn sweep(
        &self,
        floor: Version,
        version: Version,
        limit: usize,
        deadline: Instant,
    ) -> SinkFuture<'_, Result<bool, SinkError>> {
        Box::pin(async move {
            let Some(index) = self.index(Make::Not, deadline).await? else {
                return Err(SinkError { reason: "the index is gone".into() });
            };
            let older = json!({"bool": {"filter": [
                {"term": {"_proj.p": &*self.plan().projection.name}},
                {"range": {"_proj.v": {"lt": floor.0}}},
            ]}});
            let asked = json!({"size": limit, "_source": false, "track_total_hits": false, "query": older});
            let found = self.search(&index, asked, deadline).await?;
            let hits = found["hits"]["hits"].as_array().map_or(&[][..], Vec::as_slice);
            if hits.is_empty() {
                return Ok(false);
            }
            let mut bulk = Bulk::default();
            for address in hits.iter().filter_map(address) {
                bulk.delete(&address, version);
            }
            let lines = bulk.lines(0..bulk.len()).to_vec();
            let reply = self.bulk(&index, Body::Lines(lines), deadline).await;
            let reply = reply.map_err(|failure| failure.into_error())?;
            let client = self.client()?;
            if reply.status != 200 {
                return Err(SinkError { reason: client.refusal(&reply) });
            }
            let items = client.read::<BulkReply>(&reply.body)?.items(bulk.len()).unwrap_or_default();
            // What was written since, by whoever, is not old any more.
            match items.iter().find(|item| !item.is_done() && item.status != 409) {
                Some(left) => Err(SinkError { reason: left.text() }),
                None => Ok(hits.len() == limit),
            }
        })
    }
}

fn address(hit: &Json) -> Option<Address> {
    let text = |field: &str| hit[field].as_str().map(str::to_owned);
    Some(Address { id: text("_id")?, routing: text("_routing") })
}
