//! The engine inside the test's process, over a log in memory: what cannot be ordered from a real log can be ordered here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use projector::event::{ProjectionName, TopicPartition};
use projector::language::span::Span;
use projector::plan::Plan;
use projector::runtime::{Ended, Engine, EngineOptions, ProjectionSpec};
use projector::sinks::DocumentSink;
use projector::sinks::cache::Cache;
use projector::sinks::embedded::EmbeddedStore;
use projector::sources::memory::{Interleaving, MemoryLog, MemoryRecord};
use projector::state::Store;
use tokio::runtime::Runtime;

use super::ledger;
use super::log::partition_of;
use super::story::{Told, ToldValue};
use crate::site::{Documents, PATIENCE, World, without_proj};

/// What may differ between runs and may not show in documents.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub fold_threads: usize,
    pub interleaving: Interleaving,
    pub memory_max_bytes: u64,
    pub checkpoint_interval: Duration,
}

/// The ledger's projections over one log, with all that outlives a run.
pub struct Ledger {
    plans: Vec<Arc<Plan>>,
    log: MemoryLog,
    partitions: u32,
    store: Arc<dyn Store>,
    documents: EmbeddedStore,
    tokio: Runtime,
}

pub struct Running {
    engine: Engine,
    sinks: BTreeMap<(&'static str, &'static str), Arc<dyn DocumentSink>>,
}

impl Ledger {
    /// Documents of lasting sinks go below `dir`.
    pub fn new(dir: &Path, store: Arc<dyn Store>, partitions: u32) -> Ledger {
        let log = MemoryLog::new();
        for topic in [super::story::ACCOUNTS, super::story::VISITS] {
            log.create_topic(topic, partitions as i32);
        }
        let documents = EmbeddedStore::open(&dir.join("documents")).expect("a folder for documents");
        let tokio = Runtime::new().expect("threads for sinks");
        Ledger { plans: ledger::plans(), log, partitions, store, documents, tokio }
    }

    pub fn append(&self, story: &[Told]) {
        for told in story {
            let partition = partition_of(&told.key, self.partitions) as i32;
            self.log.append(told.topic, partition, record(told));
        }
    }

    /// Lets the source deliver a range of a partition once more, as far as it has been delivered.
    pub fn redeliver(&self, topic: &str, partition: i32, from: i64, to: i64) {
        let partition = TopicPartition { topic: topic.into(), partition };
        self.log.redeliver(&partition, projector::event::Offset(from)..projector::event::Offset(to));
    }

    pub fn start(&self, shape: Shape, until_caught_up: bool) -> Running {
        let mut sinks = BTreeMap::new();
        let specs = self.plans.iter().map(|plan| self.spec(plan, shape, &mut sinks)).collect();
        let options = EngineOptions {
            store: Arc::clone(&self.store),
            checkpoint_interval: shape.checkpoint_interval,
            memory_max_bytes: shape.memory_max_bytes,
            fold_threads: shape.fold_threads,
            until_caught_up,
            accept_loss: false,
            shutdown_timeout: PATIENCE,
            start_timeout: PATIENCE,
        };
        let engine = Engine::start(options, specs, self.tokio.handle().clone()).expect("an engine");
        Running { engine, sinks }
    }

    /// Runs to the end of the log and reads all documents.
    pub fn catch_up(&self, shape: Shape) -> World {
        let running = self.start(shape, true);
        let exit = self.tokio.block_on(running.engine.wait());
        assert!(exit.projections.iter().all(|(_, ended)| *ended == Ended::CaughtUp), "{exit:?}");
        running.sinks.iter().map(|(name, sink)| (*name, self.listing(&**sink))).collect()
    }

    /// Asks a run to end, and waits until it has.
    pub fn stop(&self, running: Running) {
        running.engine.stop();
        let exit = self.tokio.block_on(running.engine.wait());
        assert!(exit.projections.iter().all(|(_, ended)| *ended == Ended::Stopped), "{exit:?}");
    }

    /// Waits until a run has synced everything that was appended.
    pub fn wait_for_the_end(&self, running: &Running) {
        for plan in &self.plans {
            let mut status = running.engine.status(&plan.projection.name).expect("it runs");
            let caught_up = status.wait_for(|status| {
                !status.partitions.is_empty() && status.partitions.iter().all(|partition| partition.caught_up)
            });
            let waited = self.tokio.block_on(async { tokio::time::timeout(PATIENCE, caught_up).await.map(|_| ()) });
            assert!(waited.is_ok(), "`{}` did not reach the end of the log", plan.projection.name);
        }
    }

    /// Every row of every projection, as its bytes.
    pub fn rows(&self) -> BTreeMap<(String, String), Vec<u8>> {
        let snapshot = self.store.snapshot();
        let mut rows = BTreeMap::new();
        for plan in &self.plans {
            let name = ProjectionName(Arc::clone(&plan.projection.name));
            let state = snapshot.projection(&name).expect("readable").expect("it has run");
            let mut each = |key: &str, row: projector::state::StoredRow| {
                if let Some(bytes) = row.row {
                    rows.insert((name.to_string(), key.to_string()), bytes.to_vec());
                }
                std::ops::ControlFlow::Continue(())
            };
            snapshot.rows(state.generation, "", None, &mut each).expect("readable");
        }
        rows
    }

    fn spec(
        &self,
        plan: &Arc<Plan>,
        shape: Shape,
        opened: &mut BTreeMap<(&'static str, &'static str), Arc<dyn DocumentSink>>,
    ) -> ProjectionSpec {
        let projection = ProjectionName(Arc::clone(&plan.projection.name));
        let topics: Vec<Arc<str>> = plan.projection.topics.iter().map(|topic| Arc::clone(&topic.log_name)).collect();
        let mut sinks: Vec<Arc<dyn DocumentSink>> = Vec::new();
        for (index, into) in plan.projection.sinks.iter().enumerate() {
            let sink: Arc<dyn DocumentSink> = match &*into.connection {
                "cache" => Arc::new(Cache::new(Arc::clone(plan), index)),
                _ => Arc::new(self.documents.sink(&projection, &into.name).expect("a sink")),
            };
            let name = ledger::SINKS.into_iter().find(|(p, s)| **p == *projection.0 && **s == *into.name);
            opened.insert(name.expect("a sink of the ledger"), Arc::clone(&sink));
            sinks.push(sink);
        }
        ProjectionSpec {
            plan: Arc::clone(plan),
            source: Box::new(self.log.source(&topics, shape.interleaving)),
            sinks,
            locate: Arc::new(|_: Span| None),
        }
    }

    fn listing(&self, sink: &dyn DocumentSink) -> Documents {
        let page = self.tokio.block_on(async { sink.list("", None, usize::MAX).await }).expect("a listing");
        let text = |body: &[u8]| without_proj(std::str::from_utf8(body).expect("documents are UTF-8"));
        page.documents.iter().map(|(key, document)| (key.to_string(), text(&document.body))).collect()
    }
}

fn record(told: &Told) -> MemoryRecord {
    let value = match &told.value {
        ToldValue::Json(text) | ToldValue::Garbage(text) => Some(text.clone().into_bytes()),
        ToldValue::Tombstone => None,
    };
    let headers = told.event_type.iter().map(|name| (b"type".to_vec(), name.as_bytes().to_vec())).collect();
    MemoryRecord { key: Some(told.key.clone().into_bytes()), value, headers, ..MemoryRecord::default() }
}
