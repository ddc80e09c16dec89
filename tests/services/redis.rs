//! Redis, as one server and as a cluster.

use std::sync::OnceLock;

use super::{Kind, Server, own, shared};

const SINGLE: Kind = Kind { name: "a Redis server", script: "redis/run.sh", scheme: "redis://", ports: 1 };
const TLS: Kind = Kind { name: "a Redis server", script: "redis/run.sh", scheme: "rediss://", ports: 1 };
const CLUSTER: Kind = Kind { name: "a Redis Cluster", script: "redis/cluster.sh", scheme: "redis://", ports: 6 };

/// The server of this test run, which keeps nothing on disk.
pub fn redis() -> Option<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&SINGLE, &SHARED, |server| server)
}

/// A server of the caller's own with words for its command line, such as `--maxmemory 2mb`, each its own item.
///
/// A crash empties it, unless it is told `--appendonly yes`.
pub fn redis_with(settings: &[&str]) -> Option<Server> {
    own(&SINGLE, settings)
}

/// A server of the caller's own that speaks TLS only; `Server::authority` is whom its clients have to trust.
pub fn redis_tls() -> Option<Server> {
    own(&TLS, &["tls"])
}

/// The cluster of this test run: three masters without replicas; the URL is that of the first.
pub fn redis_cluster() -> Option<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&CLUSTER, &SHARED, |server| server)
}
