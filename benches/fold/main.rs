//! From memory to state: what an event costs from its bytes to its row, with checkpoints and without, beside a program that
//! parses everything and keeps nothing.
//!
//! `cargo bench --bench fold`. Ratios travel between machines, microseconds do not.

mod clock;
mod load;
mod pairs;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use projector::event::{ProjectionName, Version};
use projector::runtime::{Ended, Engine, EngineOptions, ProjectionSpec};
use projector::state::{DiskStore, DiskStoreOptions, Store};
use serde_json::Value;

use clock::{Spent, measure};
use load::{Ring, RingSource, plan};

const EVENTS: usize = 4_000_000;
const KEYS: u64 = 200_000;
const NEVER: Duration = Duration::from_secs(3600);

fn main() {
    let ring = Ring::new(KEYS, "Deposited");
    let (_, naive) = measure(|| naive(&ring));
    naive.print("baseline: serde_json::Value, HashMap, f64", EVENTS, None);
    engine(&ring, NEVER).print("bytes to rows, one checkpoint at the end", EVENTS, Some(&naive));
    engine(&ring, Duration::from_millis(200)).print("bytes to state, a checkpoint each 200 ms", EVENTS, Some(&naive));
    pairs::compare(&ring);
}

/// The whole engine, to the end of the source.
fn engine(ring: &Ring, checkpoint_interval: Duration) -> Spent {
    run(ring.source(EVENTS), checkpoint_interval).0
}

/// The same of any source; also says how many checkpoints there were.
fn run(source: RingSource, checkpoint_interval: Duration) -> (Spent, u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let options = DiskStoreOptions { cache_bytes: 64 << 20 };
    let store: Arc<dyn Store> = Arc::new(DiskStore::open(dir.path(), options).expect("a new store"));
    let tokio = tokio::runtime::Runtime::new().expect("threads");
    let spec = ProjectionSpec { plan: plan(), source: Box::new(source), sinks: Vec::new(), locate: Arc::new(|_| None) };
    let options = EngineOptions {
        store: Arc::clone(&store),
        checkpoint_interval,
        memory_max_bytes: 1 << 30,
        fold_threads: std::thread::available_parallelism().map_or(1, usize::from),
        until_caught_up: true,
        accept_loss: false,
        shutdown_timeout: Duration::from_secs(10),
        start_timeout: Duration::from_secs(10),
    };
    let (exit, spent) = measure(|| {
        let engine = Engine::start(options, vec![spec], tokio.handle().clone()).expect("an engine");
        tokio.block_on(engine.wait())
    });
    assert!(exit.projections.iter().all(|(_, ended)| *ended == Ended::CaughtUp), "{exit:?}");
    let name = ProjectionName(Arc::clone(&exit.projections[0].0));
    let state = store.snapshot().projection(&name).expect("it reads").expect("it was written");
    (spent, state.version.0 & ((1 << Version::CHECKPOINT_BITS) - 1))
}

/// What one would write in an afternoon: parse all, look five fields up, fold into a map. Floats, nothing durable.
fn naive(ring: &Ring) -> usize {
    #[derive(Default)]
    struct Totals {
        total: f64,
        count: u64,
        biggest: f64,
        last_at: String,
    }
    let mut rows: HashMap<String, Totals> = HashMap::new();
    for value in ring.values.iter().cycle().take(EVENTS) {
        let event: Value = serde_json::from_slice(value).expect("JSON");
        if event["currency"] != "NOK" || event["channel"] == "cash" {
            continue;
        }
        let amount = event["amount"].as_f64().expect("a number");
        let row = rows.entry(event["account_id"].as_str().expect("a key").to_string()).or_default();
        row.total += amount;
        row.count += 1;
        row.biggest = row.biggest.max(amount);
        row.last_at = event["at"].as_str().expect("a time").to_string();
    }
    assert!(rows.values().all(|row| row.count > 0 && row.total >= row.biggest && !row.last_at.is_empty()));
    rows.len()
}
