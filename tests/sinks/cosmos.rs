//! `into cosmos` against the emulator of the SDK: conflicts, lost answers, 429s, batches, a container that is wiped or unfit.

use std::sync::Arc;

use projector::plan::Plan;
use projector::sinks::claim::ClaimedTarget;
use projector::sinks::cosmos::{Access, Account, CosmosSink};
use projector::testing::sinks::{Subject, conformance, plan};

use crate::services::{Server, cosmos};

const KEY: &str = "cHJvamVjdG9y";

fn account(url: &str) -> Account {
    Account { endpoint: url.into(), database: Some("views".into()), region: None, access: Access::Key(KEY.into()) }
}

fn sink(plan: &Arc<Plan>, url: &str) -> CosmosSink {
    CosmosSink::new(plan.clone(), 0, account(url)).expect("the plan fits")
}

/// A plan and a sink over a container of its own, which is made.
async fn fresh(server: &Server, options: &str) -> (Arc<Plan>, CosmosSink) {
    let container = server.unique("c");
    let plan = plan(&format!("cosmos {{ container: \"{container}\"{options} }}"));
    let sink = sink(&plan, &server.url);
    assert_eq!(sink.read_claim().await.expect("it is made"), None);
    (plan, sink)
}

#[tokio::test]
async fn it_keeps_the_suite_by_id() {
    let Some(server) = cosmos() else { return };
    let (plan, sink) = fresh(server, "").await;
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}

#[tokio::test]
async fn it_keeps_the_suite_by_partition_key() {
    let Some(server) = cosmos() else { return };
    let (plan, sink) = fresh(server, ", partition_key: k").await;
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}
