//! An OpenSearch node. What a test writes there it names `unique`ly; what is written is searchable after a refresh.

use std::sync::OnceLock;

use super::{Kind, Server, own, shared};

const NODE: Kind = Kind { name: "an OpenSearch node", script: "opensearch/run.sh", scheme: "http://", ports: 2 };

/// The node of this test run.
pub fn opensearch() -> Option<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&NODE, &SHARED, |server| server)
}

/// A node of the caller's own with settings `name=value`.
///
/// `thread_pool.write.size=1` with `thread_pool.write.queue_size=1` makes it refuse items of a bulk under load, and
/// `indexing_pressure.memory.limit=2kb` whole bulks, both with 429.
pub fn opensearch_with(settings: &[&str]) -> Option<Server> {
    own(&NODE, settings)
}
