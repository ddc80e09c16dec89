//! Counts allocations: an event that changes no heap field must cause none.
//!
//! `cargo bench --bench alloc`. Two runs over the same keys differ only in how many events they fold; what the longer one
//! allocates more, divided by its additional events, is what an event costs.

#[path = "fold/load.rs"]
mod load;

use std::sync::Arc;
use std::time::Duration;

use projector::runtime::{Engine, EngineOptions, ProjectionSpec};
use projector::state::{DiskStore, DiskStoreOptions, Store};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const KEYS: u64 = 1000;
const SHORT: usize = 500_000;
const LONG: usize = 2_500_000;

fn main() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let ring = load::Ring::new(KEYS, "Deposited");
    blocks(&ring, SHORT); // whatever is made once is made now
    let (short, long) = (blocks(&ring, SHORT), blocks(&ring, LONG));
    let events = (LONG - SHORT) as f64;
    println!("{SHORT} events: {short} allocations, {LONG} events: {long} allocations");
    println!("{:.5} allocations for each event more", long.saturating_sub(short) as f64 / events);
}

/// Allocations of a whole run without checkpoints on the way.
fn blocks(ring: &load::Ring, events: usize) -> u64 {
    let dir = tempfile::tempdir().expect("a folder");
    let options = DiskStoreOptions { cache_bytes: 64 << 20 };
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(dir.path(), options).expect("a new store"));
    let tokio = tokio::runtime::Runtime::new().expect("threads");
    let spec = ProjectionSpec {
        plan: load::plan(),
        source: Box::new(ring.source(events)),
        sinks: Vec::new(),
        locate: Arc::new(|_| None),
    };
    let options = EngineOptions {
        store,
        checkpoint_interval: Duration::from_secs(3600),
        memory_max_bytes: 1 << 30,
        fold_threads: 2,
        until_caught_up: true,
        accept_loss: false,
        shutdown_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(10),
    };
    let before = dhat::HeapStats::get().total_blocks;
    let engine = Engine::start(options, vec![spec], tokio.handle().clone()).expect("an engine");
    let exit = tokio.block_on(engine.wait());
    assert_eq!(exit.projections.len(), 1, "{exit:?}");
    dhat::HeapStats::get().total_blocks - before
}
