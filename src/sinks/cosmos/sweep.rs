//! Documents of this projection that are older than a filling: found by a query over all partitions, deleted one by one, each only
//! if it is still what the query saw.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Instant;

use azure_core::http::Etag;
use azure_data_cosmos::models::PartitionKeyValue;
use azure_data_cosmos::options::{MaxItemCountHint, QueryOptions};
use azure_data_cosmos::{FeedScope, PartitionKey, Query};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::Value;

use crate::event::Version;
use crate::sinks::cosmos::encode::{Place, partition_part};
use crate::sinks::cosmos::request::Requests;
use crate::sinks::cosmos::retry::Refusal;
use crate::sinks::cosmos::sink::{CosmosSink, reason};
use crate::sinks::{SinkError, SinkFuture, Sweeper};

/// How many are deleted at once.
const SIDE_BY_SIDE: usize = 16;

/// What the query tells of a document.
#[derive(Debug, Deserialize)]
struct Old {
    id: String,
    etag: String,
    /// The parts of its partition key, `p0` and so on.
    #[serde(flatten)]
    parts: HashMap<String, Value>,
}

impl CosmosSink {
    async fn sweep_some(&self, floor: Version, limit: usize, deadline: Instant) -> Result<bool, SinkError> {
        let Some(container) = self.container(false).await.map_err(|reason| SinkError { reason })? else {
            return Ok(false);
        };
        let requests = Requests { container: &container, meter: &self.meter, deadline };
        let old = self.find_old(&requests, floor, limit).await.map_err(failed)?;
        let more = old.len() >= limit;
        stream::iter(old).map(Ok).try_for_each_concurrent(SIDE_BY_SIDE, |old| self.delete_old(&requests, old)).await?;
        Ok(more)
    }

    /// At most `limit` of them.
    async fn find_old(&self, requests: &Requests<'_>, floor: Version, limit: usize) -> Result<Vec<Old>, Refusal> {
        let refused = |error| requests.refusal(&error);
        let parts = self.encoder.levels.iter().enumerate();
        let parts: String = parts.map(|(index, level)| format!(", c{} AS p{index}", property(&level.field))).collect();
        let text = format!("SELECT c.id, c._etag AS etag{parts} FROM c WHERE c._proj.p = @p AND c._proj.v < @v");
        let query = Query::from(text).with_parameter("@p", &*self.projection).map_err(refused)?;
        let query = query.with_parameter("@v", floor.0).map_err(refused)?;
        let mut options = QueryOptions::default();
        if let Some(limit) = u32::try_from(limit).ok().and_then(NonZeroU32::new) {
            options = options.with_max_item_count(MaxItemCountHint::Limit(limit));
        }
        let found = requests.container.query_items::<Old>(query, FeedScope::full_container(), Some(options));
        let mut pages = Box::pin(requests.in_time(found).await?.map_err(refused)?.into_pages());
        let mut old = Vec::new();
        while old.len() < limit {
            let Some(page) = requests.in_time(pages.next()).await? else { break };
            let page = page.map_err(refused)?;
            requests.meter.charge(page.headers().request_charge().map_or(0.0, |charge| charge.value()));
            old.extend(page.into_items());
        }
        old.truncate(limit);
        Ok(old)
    }

    async fn delete_old(&self, requests: &Requests<'_>, old: Old) -> Result<(), SinkError> {
        let part = |index: usize| match old.parts.get(&format!("p{index}")) {
            Some(part) => partition_part(part),
            None => Err(format!("`{}` does not hold the partition key", old.id)),
        };
        let parts: Result<Vec<PartitionKeyValue>, String> = (0..self.encoder.levels.len()).map(part).collect();
        let partition = parts.and_then(|parts| PartitionKey::try_from(parts).map_err(|error| error.to_string()));
        let place = Place { id: old.id, partition: partition.map_err(|reason| SinkError { reason })? };
        let deleted = requests.delete(&place, Some(&Etag::from(old.etag))).await;
        requests.meter.request(u64::from(deleted.is_ok()), 0, 0);
        match deleted {
            // Gone, or written anew since.
            Ok(()) | Err(Refusal::Absent | Refusal::Changed) => Ok(()),
            Err(refusal) => Err(failed(refusal)),
        }
    }
}

impl Sweeper for CosmosSink {
    fn sweep(
        &self,
        floor: Version,
        _version: Version,
        limit: usize,
        deadline: Instant,
    ) -> SinkFuture<'_, Result<bool, SinkError>> {
        Box::pin(self.sweep_some(floor, limit, deadline))
    }
}

/// A property of a document in a query.
fn property(name: &str) -> String {
    match name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        true => format!(".{name}"),
        false => format!("[{}]", Value::from(name)),
    }
}

fn failed(refusal: Refusal) -> SinkError {
    SinkError { reason: reason(refusal) }
}
