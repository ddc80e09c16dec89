//! The engine's threads: for each projection one that reads and one that folds, for all of them the fold pool and the one
//! store writer; publishers run on tokio.
//!
//! Starting reads the facts (what the store knows, what the plan says), decides, and starts what may start. A thread that
//! panics is reported and ends the engine; it never leaves others waiting.

mod projection;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::event::{Offset, TopicPartition, Version};
use crate::language::typed::SinkOptions;
use crate::plan::Plan;
use crate::runtime::core::{Core, Ended, Input, TargetTraits};
use crate::runtime::fold::{FoldPool, FoldProgram, Folder, message};
use crate::runtime::progress::{ProjectionStatus, RunState};
use crate::runtime::reader::ReaderSpec;
use crate::runtime::start::{StartOptions, core_facts};
use crate::runtime::{EngineOptions, ProjectionSpec};
use crate::sinks::DocumentSink;
use crate::sinks::claim::ProcessId;
use crate::sinks::pace::{Budget, Limits, Pace};
use crate::state::directory::random_id;
use crate::state::{Counters, Snapshot, Store, StoreError};

use projection::{Message, ProjectionDriver};
use writer::WriteRequest;

/// Of the memory for rows and queues, this part is for hot rows: a half. The rest is for reading ahead, for rows on their
/// way to the store, and for the store.
const HOT_ROWS_SHARE: u64 = 2;
/// A batch takes no more than this part of a projection's memory, and no more than 4 MiB.
const BATCH_SHARE: u64 = 32;
const BATCH_BYTES_MAX: u64 = 4 << 20;
const BATCH_BYTES_MIN: u64 = 64 << 10;

/// Projections that run.
pub struct Engine {
    store: Arc<dyn Store>,
    projections: Vec<Running>,
    threads: Vec<JoinHandle<()>>,
}

struct Running {
    name: Arc<str>,
    messages: Sender<Message>,
    status: watch::Receiver<Arc<ProjectionStatus>>,
    ended: watch::Receiver<Option<Ended>>,
}

/// How each projection ended, in the order they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineExit {
    pub projections: Vec<(Arc<str>, Ended)>,
}

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a thread could not be started")]
    Thread(#[from] io::Error),
}

impl Engine {
    /// Starts the projections. One that may not start is shown as stopped with the reason, and the others run.
    pub fn start(options: EngineOptions, specs: Vec<ProjectionSpec>, tokio: Handle) -> Result<Engine, EngineError> {
        let pool = Arc::new(FoldPool::start(options.fold_threads)?);
        let mut engine = Engine { store: options.store.clone(), projections: Vec::new(), threads: Vec::new() };
        let (writer, requests) = channel();
        let mut inboxes = Vec::new();
        for spec in &specs {
            let (messages, inbox) = channel();
            let (status, shown) = watch::channel(Arc::new(not_started(&spec.plan)));
            let (ended_sender, ended) = watch::channel(None);
            engine.projections.push(Running {
                name: spec.plan.projection.name.clone(),
                messages,
                status: shown,
                ended,
            });
            inboxes.push((inbox, status, ended_sender));
        }
        let everyone: Vec<_> = engine.projections.iter().map(|running| running.messages.clone()).collect();
        let process = ProcessId(random_id());
        let share = options.memory_max_bytes / specs.len().max(1) as u64;
        for (spec, (inbox, status, ended)) in specs.into_iter().zip(inboxes) {
            let parts = Parts { options: &options, process, share, pool: &pool, writer: &writer, tokio: &tokio };
            engine.start_projection(spec, parts, inbox, status, ended, &everyone)?;
        }
        drop(writer);
        let (store, everyone_to_tell) = (options.store, everyone);
        engine.spawn("store", move || writer::write_rounds(&store, &requests, &everyone_to_tell))?;
        Ok(engine)
    }

    fn start_projection(
        &mut self,
        spec: ProjectionSpec,
        parts: Parts<'_>,
        inbox: Receiver<Message>,
        status: watch::Sender<Arc<ProjectionStatus>>,
        ended: watch::Sender<Option<Ended>>,
        everyone: &[Sender<Message>],
    ) -> Result<(), EngineError> {
        let name = spec.plan.projection.name.clone();
        let replies =
            self.projections.iter().find(|running| running.name == name).expect("just added").messages.clone();
        let snapshot = self.store.snapshot();
        let hot = parts.share / HOT_ROWS_SHARE;
        let targets: Vec<_> = spec.sinks.iter().map(|sink| TargetTraits::of(&**sink)).collect();
        let options = StartOptions {
            process: parts.process,
            accept_loss: parts.options.accept_loss,
            start_timeout: parts.options.start_timeout,
            checkpoint_interval: parts.options.checkpoint_interval,
            until_caught_up: parts.options.until_caught_up,
            shutdown_timeout: parts.options.shutdown_timeout,
            dirty_bytes_max: hot,
            seed: u64::from(std::process::id()),
        };
        let mut facts = match core_facts(&*self.store, &*snapshot, &spec.plan, &targets, options)? {
            Ok(facts) => facts,
            Err(refused) => {
                let run_state = RunState::Stopped(refused.to_string());
                status.send_replace(Arc::new(ProjectionStatus { run_state, ..not_started(&spec.plan) }));
                ended.send_replace(Some(refused));
                return Ok(());
            }
        };
        let stored = facts.stored.map(|state| state.next_offsets).unwrap_or_default();
        let generation = facts.core.generation;
        for (sink, into) in facts.core.sinks.iter_mut().zip(&spec.plan.projection.sinks) {
            sink.at = (spec.locate)(into.span);
        }
        let program = FoldProgram::new(spec.plan.clone(), generation, spec.locate);
        let shards = parts.pool.width();
        let folder = Folder::new(program, parts.pool.clone(), snapshot.clone(), hot, shards);
        let (reader, commands) = channel();
        let paces = spec.sinks.iter().zip(&spec.plan.projection.sinks).map(|(sink, into)| pace(&**sink, &into.options));
        let driver = ProjectionDriver {
            core: Core::new(facts.core),
            folder,
            plan: spec.plan.clone(),
            generation,
            paces: paces.collect(),
            sinks: spec.sinks,
            snapshot,
            messages: inbox,
            replies: replies.clone(),
            reader,
            writer: parts.writer.clone(),
            tokio: parts.tokio.clone(),
            status,
        };
        let batch_bytes_max = (parts.share / BATCH_SHARE).clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX) as usize;
        let reads = ReaderSpec {
            source: spec.source,
            projection: name.clone(),
            stored,
            batch_bytes_max,
            start_timeout: parts.options.start_timeout,
            poll_wait: reader::POLL_WAIT,
        };
        self.spawn(&format!("read-{name}"), move || {
            let lost = replies.clone();
            if let Err(panic) = guarded(move || reader::read(reads, &commands, &replies)) {
                let _ = lost.send(Message::Heard(Input::Failed(panic)));
            }
        })?;
        let everyone = everyone.to_vec();
        self.spawn(&format!("fold-{name}"), move || {
            let end = guarded(move || driver.run()).unwrap_or_else(|panic| panic);
            if let Ended::Panicked(why) = &end {
                tracing::error!(projection = %name, why, "the engine stops on a defect");
                everyone.iter().for_each(|other| drop(other.send(Message::Heard(Input::Failed(end.clone())))));
            }
            ended.send_replace(Some(end));
        })?;
        Ok(())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }

    /// How a projection stands, now and whenever that changes.
    pub fn status(&self, name: &str) -> Option<watch::Receiver<Arc<ProjectionStatus>>> {
        let running = self.projections.iter().find(|running| *running.name == *name)?;
        Some(running.status.clone())
    }

    /// Asks every projection to save what it has folded, to write what its sinks are owed within the time for that, and to
    /// end. [`Engine::wait`] tells when they have.
    pub fn stop(&self) {
        for running in &self.projections {
            let _ = running.messages.send(Message::Heard(Input::Stop)); // one that has ended needs no telling
        }
    }

    /// Tries again what has stopped of a projection. Says whether there is such a projection that has not ended.
    pub fn retry(&self, name: &str) -> bool {
        let sent = |running: &Running| {
            running.ended.borrow().is_none() && running.messages.send(Message::Heard(Input::Retry)).is_ok()
        };
        self.projections.iter().find(|running| *running.name == *name).is_some_and(sent)
    }

    /// Writes these documents of a sink again, as they are now. Says whether there is such a projection that has not ended.
    pub fn redrive(&self, name: &str, sink: usize, keys: Vec<Arc<str>>) -> bool {
        let again = Message::Heard(Input::Redrive { sink, keys });
        let running = self.projections.iter().find(|running| *running.name == *name);
        running.is_some_and(|running| running.ended.borrow().is_none() && running.messages.send(again).is_ok())
    }

    /// Gives up the event that a partition has stopped at: it counts as skipped in the next checkpoint. An error says why it
    /// may not be: the partition has not stopped there.
    pub async fn skip(&self, name: &str, partition: TopicPartition, offset: Offset) -> Result<(), String> {
        let gone = || format!("`{name}` has ended");
        let running = self.projections.iter().find(|running| *running.name == *name).ok_or_else(gone)?;
        let (answer, answered) = oneshot::channel();
        running.messages.send(Message::Skip { partition, offset, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Waits until nothing runs any more.
    pub async fn wait(&self) -> EngineExit {
        let mut projections = Vec::with_capacity(self.projections.len());
        for running in &self.projections {
            let mut ended = running.ended.clone();
            let end = match ended.wait_for(Option::is_some).await {
                Ok(end) => end.clone(),
                Err(_) => None,
            };
            let gone = || Ended::Panicked("the thread of the projection is gone".into());
            projections.push((running.name.clone(), end.unwrap_or_else(gone)));
        }
        EngineExit { projections }
    }

    /// What is synced now.
    pub fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.store.snapshot()
    }
}

/// Stops what still runs and waits for it, so that the store is free afterwards.
impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
        self.projections.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // its panic was reported
        }
    }
}

/// What the projections of an engine share.
struct Parts<'a> {
    options: &'a EngineOptions,
    process: ProcessId,
    share: u64,
    pool: &'a Arc<FoldPool>,
    writer: &'a Sender<WriteRequest>,
    tokio: &'a Handle,
}

fn not_started(plan: &Plan) -> ProjectionStatus {
    ProjectionStatus {
        name: plan.projection.name.clone(),
        run_state: RunState::Starting,
        version: Version(0),
        partitions: Vec::new(),
        sinks: Vec::new(),
        counters: Counters::default(),
        checkpoint_at: None,
    }
}

fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, Ended> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Ended::Panicked(message(panic.as_ref())))
}

/// The pace of a sink: what the target takes, and less where the file says so.
fn pace(sink: &dyn DocumentSink, options: &SinkOptions) -> Arc<Mutex<Pace>> {
    let SinkOptions { batch, budget, .. } = options;
    let Limits { items_max, bytes_max, requests_max } = sink.limits();
    let limits = Limits {
        items_max: batch.items_max.map_or(items_max, |max| items_max.min(max as usize)),
        bytes_max: batch.bytes_max.map_or(bytes_max, |max| bytes_max.min(max as usize)),
        requests_max,
    };
    let per_s = |budget: Option<u64>| budget.map(|per_s| per_s as f64);
    let budget = Budget { documents_per_s: per_s(budget.documents_per_s), charge_per_s: per_s(budget.charge_per_s) };
    Arc::new(Mutex::new(Pace::new(limits, budget)))
}
