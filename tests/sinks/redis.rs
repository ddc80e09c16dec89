//! Documents in a real Redis, and in a cluster of them.

use std::sync::Arc;

use projector::sinks::redis::{RedisOptions, RedisSink};
use projector::testing::sinks::{Subject, conformance, plan};

use crate::services;

/// A Redis sink over a server, as `into redis { … }` makes it, and its plan.
fn sink(url: &str, options: &str) -> (RedisSink, Arc<projector::plan::Plan>) {
    let plan = plan(&format!("redis {{ {options} }}"));
    let server = RedisOptions { url: url.to_owned(), ..RedisOptions::default() };
    (RedisSink::new(plan.clone(), 0, server), plan)
}

/// The suite, for a sink with a name of its own on a server that others share.
async fn keeps_the_law(options: &str) {
    let Some(redis) = services::redis() else { return };
    let (sink, plan) = sink(&redis.url, &format!("name: \"{}\" {options}", redis.unique("law")));
    conformance(&Subject { sink: &sink, plan, lists: false, raises: true }).await;
}

#[tokio::test]
async fn texts_keep_the_law_of_sinks() {
    keeps_the_law("").await;
}

#[tokio::test]
async fn hashes_keep_the_law_of_sinks() {
    keeps_the_law("kind: \"hash\"").await;
}

#[tokio::test]
async fn a_cluster_keeps_the_law_of_sinks() {
    let Some(cluster) = services::redis_cluster() else { return };
    for kind in ["json", "hash"] {
        let plan = plan(&format!("redis {{ name: \"{}\" kind: \"{kind}\" }}", cluster.unique("law")));
        let server = RedisOptions { url: cluster.url.clone(), cluster: true, ..RedisOptions::default() };
        let sink = RedisSink::new(plan.clone(), 0, server);
        conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
    }
}
