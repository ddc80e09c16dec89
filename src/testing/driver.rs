//! The engine without threads: the same core, fold and publisher, driven step by step in memory.
//!
//! A [`Harness`] folds a log in memory into a store in memory and writes documents to targets in memory. Time moves only
//! when nothing else can happen. With [`Chaos`] it crashes, fails commits, answers late or twice and reads in random
//! pieces, all drawn from one seed, so that a run can be repeated. What is true of it is true of the engine as far as
//! threads do not matter: the order of steps is the core's, and the core is the same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{EventTime, Generation, Offset, RecordBatch, TopicPartition, Version};
use crate::language::typed::{FaultClass, GivenEvent, SinkKind};
use crate::plan::Plan;
use crate::runtime::Ended;
use crate::runtime::core::{Action, Answer, Core, Input, Jitter, Report, TargetTraits};
use crate::runtime::fold::{FoldPool, FoldProgram, Folder};
use crate::runtime::progress::ProjectionStatus;
use crate::runtime::publish::{PublishRequest, prepare};
use crate::runtime::start::{StartOptions, core_facts, missing_partition, partition_facts};
use crate::sinks::claim::ProcessId;
use crate::sinks::{DocumentBody, DocumentWrite, Outcome};
use crate::sources::memory::{Interleaving, MemoryLog, MemoryRecord, MemorySource};
use crate::sources::{PollBudget, Source};
use crate::state::{CheckpointBatch, DeadLetter, FailedRound, MemoryStore, RowChange, Snapshot, Store};

/// How a harness runs.
#[derive(Debug, Clone, Copy)]
pub struct HarnessOptions {
    /// Of everything that is drawn.
    pub seed: u64,
    /// How many shards the rows lie in.
    pub shards: usize,
    /// How many records a batch takes at most.
    pub batch_records_max: usize,
    pub interleaving: Interleaving,
    /// How many bytes of rows stay in memory.
    pub hot_bytes_max: u64,
    pub chaos: Chaos,
}

impl Default for HarnessOptions {
    fn default() -> Self {
        HarnessOptions {
            seed: 1,
            shards: 1,
            batch_records_max: 1024,
            interleaving: Interleaving::Appended,
            hot_bytes_max: 64 << 20,
            chaos: Chaos::default(),
        }
    }
}

/// How often something goes wrong, from 0 (never) to below 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chaos {
    /// Memory is lost at a step.
    pub crash: f64,
    /// A commit fails; after it the process starts again.
    pub commit_fails: f64,
    /// A write is not done, or done and not answered.
    pub sink_retries: f64,
    /// Something that could be done now is done later.
    pub delay: f64,
}

/// A document as a target of the harness holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDocument {
    pub version: Version,
    /// `None`: it was deleted.
    pub body: Option<Arc<[u8]>>,
}

/// A fault that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenFault {
    pub class: FaultClass,
    pub message: String,
}

/// A projection in memory. See the module.
pub struct Harness {
    plan: Arc<Plan>,
    options: HarnessOptions,
    log: MemoryLog,
    store: MemoryStore,
    targets: Vec<Target>,
    faults: Vec<SeenFault>,
    appended: Vec<(TopicPartition, Offset)>,
    random: Jitter,
    now: Instant,
    run: Option<Run>,
    crashes: u32,
    /// What the engine must never do, and did.
    broken: Vec<String>,
}

/// What a crash takes.
struct Run {
    core: Core,
    folder: Folder,
    source: MemorySource,
    generation: Generation,
    snapshot: Arc<dyn Snapshot>,
    rewinds: u32,
    batches: VecDeque<(u32, RecordBatch)>,
    current: Option<RecordBatch>,
    frozen: Vec<RowChange>,
    to_commit: Option<Box<CheckpointBatch>>,
    to_publish: VecDeque<PublishRequest>,
    ended: Option<Ended>,
}

/// A target that keeps versions, as real ones do.
#[derive(Debug, Default)]
struct Target {
    volatile: bool,
    documents: BTreeMap<Arc<str>, HeldDocument>,
}

impl Target {
    fn apply(&mut self, write: &DocumentWrite, broken: &mut Vec<String>) -> Outcome {
        let body = match &write.body {
            DocumentBody::Document(body) => Some(body.clone()),
            DocumentBody::Delete => None,
        };
        if let Some(held) = self.documents.get(&write.key) {
            if held.version == write.version {
                if held.body != body {
                    broken.push(format!("version {} of `{}` names two documents", write.version, write.key));
                }
                return Outcome::Duplicate;
            }
            if held.version > write.version {
                broken.push(format!("`{}` falls from version {} to {}", write.key, held.version, write.version));
                return Outcome::Foreign { reason: "a higher version is there".into(), stored: Some(held.version) };
            }
        }
        self.documents.insert(write.key.clone(), HeldDocument { version: write.version, body });
        Outcome::Ok
    }
}

impl Harness {
    pub fn new(plan: Arc<Plan>, options: HarnessOptions) -> Harness {
        let log = MemoryLog::new();
        plan.projection.topics.iter().for_each(|topic| log.create_topic(&topic.log_name, 1));
        let volatile = plan.projection.sinks.iter().map(|sink| sink.kind == SinkKind::Cache);
        let targets = volatile.map(|volatile| Target { volatile, ..Target::default() }).collect();
        let mut harness = Harness {
            log,
            store: MemoryStore::new(),
            targets,
            faults: Vec::new(),
            appended: Vec::new(),
            random: Jitter::new(options.seed),
            now: Instant::now(),
            run: None,
            crashes: 0,
            broken: Vec::new(),
            plan,
            options,
        };
        harness.start();
        harness
    }

    /// The log it folds: for topics with more partitions, and for what logs do to readers.
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// Puts another log with the same topics in the place of this one, as a cluster made anew would be.
    pub fn replace_log(&mut self) {
        self.log = MemoryLog::new();
        self.plan.projection.topics.iter().for_each(|topic| self.log.create_topic(&topic.log_name, 1));
    }

    /// Appends a record of a topic (an index into the projection's topics).
    pub fn append(&mut self, topic: usize, partition: i32, record: MemoryRecord) {
        let topic = self.plan.projection.topics[topic].log_name.clone();
        let offset = self.log.append(&topic, partition, record);
        self.appended.push((TopicPartition { topic, partition }, offset));
    }

    /// Appends an event of a `test` block, to partition 0.
    pub fn give(&mut self, event: &GivenEvent) {
        let headers = event.headers.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes()));
        let record = MemoryRecord {
            key: event.key.clone().map(String::into_bytes),
            value: event.value.clone(),
            headers: headers.collect(),
            time: event.timestamp.map(EventTime),
            malformed: None,
        };
        self.append(event.topic, 0, record);
    }

    /// Lets the source deliver the last `n` records again.
    pub fn redeliver(&mut self, n: usize) {
        let mut ranges: BTreeMap<&TopicPartition, (Offset, Offset)> = BTreeMap::new();
        for (partition, offset) in &self.appended[self.appended.len().saturating_sub(n)..] {
            let range = ranges.entry(partition).or_insert((*offset, *offset));
            range.1 = Offset(offset.0 + 1);
        }
        for (partition, (from, to)) in ranges {
            self.log.redeliver(partition, from..to);
        }
    }

    /// Drops memory and starts again from the last checkpoint.
    pub fn restart(&mut self) {
        self.crashes += 1;
        self.run = None;
        self.store = self.store.crash();
        self.targets.iter_mut().filter(|target| target.volatile).for_each(|target| target.documents.clear());
        self.start();
    }

    /// What a target holds, deletes included, by key.
    pub fn documents(&self, sink: usize) -> &BTreeMap<Arc<str>, HeldDocument> {
        &self.targets[sink].documents
    }

    /// The document a target holds for a key.
    pub fn document(&self, sink: usize, key: &str) -> Option<&[u8]> {
        self.targets[sink].documents.get(key)?.body.as_deref()
    }

    /// Every fault that was met so far, again after each restart that met it again.
    pub fn faults(&self) -> &[SeenFault] {
        &self.faults
    }

    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let name = crate::event::ProjectionName(self.plan.projection.name.clone());
        let letters = self.store.snapshot().dead_letters(&name, 0, usize::MAX).unwrap_or_default();
        letters.into_iter().map(|(_, letter)| letter).collect()
    }

    pub fn status(&self) -> Option<ProjectionStatus> {
        let run = self.run.as_ref()?;
        Some(run.core.status(None, run.ended.as_ref()))
    }

    /// How the projection ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        self.run.as_ref()?.ended.as_ref()
    }

    /// What a target saw and no engine may do. Empty, or the engine is wrong.
    pub fn broken_laws(&self) -> &[String] {
        &self.broken
    }

    /// About how much memory the hot rows take.
    pub fn hot_bytes(&self) -> u64 {
        self.run.as_ref().map_or(0, |run| run.folder.hot_bytes())
    }

    /// How often it has started again.
    pub fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Lets things happen until nothing more does.
    pub fn run_to_rest(&mut self) {
        while self.advance() {}
    }

    /// Lets one thing happen. Says whether there was any.
    pub fn advance(&mut self) -> bool {
        let chaos = self.options.chaos;
        if self.happens(chaos.crash) {
            self.restart();
        }
        if self.run.as_ref().is_none_or(|run| run.ended.is_some()) {
            return false;
        }
        let commits = !self.happens(chaos.delay) && self.commit();
        let publishes = !self.happens(chaos.delay) && self.publish();
        let folds = !self.happens(chaos.delay) && self.fold();
        let reads = !self.happens(chaos.delay) && self.read();
        commits || publishes || folds || reads || self.wait()
    }

    fn happens(&mut self, chance: f64) -> bool {
        chance > 0.0 && self.random.next() < chance
    }

    fn start(&mut self) {
        let snapshot = self.store.snapshot();
        let traits = |target: &Target| TargetTraits { volatile: target.volatile, ..TargetTraits::default() };
        let targets: Vec<_> = self.targets.iter().map(traits).collect();
        let options = StartOptions {
            process: ProcessId(1),
            accept_loss: false,
            start_timeout: Duration::from_secs(30),
            checkpoint_interval: Duration::from_millis(200),
            until_caught_up: false,
            shutdown_timeout: Duration::from_secs(10),
            dirty_bytes_max: self.options.hot_bytes_max,
            seed: self.options.seed,
        };
        let facts = core_facts(&self.store, &*snapshot, &self.plan, &targets, options).expect("memory can be read");
        let facts = facts.expect("the plan does not change in a harness");
        let generation = facts.core.generation;
        let stored = facts.stored.map(|state| state.next_offsets).unwrap_or_default();
        let program = FoldProgram::new(self.plan.clone(), generation, Arc::new(|_| None));
        let pool = Arc::new(FoldPool::start(1).expect("no thread is started"));
        let topics: Vec<_> = self.plan.projection.topics.iter().map(|topic| topic.log_name.clone()).collect();
        let interleaving = match self.options.interleaving {
            Interleaving::Seeded(seed) => Interleaving::Seeded(seed.wrapping_add(u64::from(self.crashes))),
            Interleaving::Appended => Interleaving::Appended,
        };
        let run = Run {
            core: Core::new(facts.core),
            folder: Folder::new(program, pool, snapshot.clone(), self.options.hot_bytes_max, self.options.shards),
            source: self.log.source(&topics, interleaving),
            generation,
            snapshot,
            rewinds: 0,
            batches: VecDeque::new(),
            current: None,
            frozen: Vec::new(),
            to_commit: None,
            to_publish: VecDeque::new(),
            ended: None,
        };
        let source = &mut self.run.insert(run).source;
        let partitions = source.partitions().expect("topics were made");
        let stored_of = |partition| stored.iter().find(|(known, _)| known == partition).map(|(_, next)| *next);
        let facts_of = |partition| partition_facts(source, partition, stored_of(partition)).expect("it is there");
        let mut found: Vec<_> = partitions.iter().map(facts_of).collect();
        let gone = stored.iter().filter(|(partition, _)| !partitions.contains(partition));
        found.extend(gone.map(|(partition, next)| missing_partition(partition, *next)));
        self.feed(Input::Start);
        self.feed(Input::Opened(found));
    }

    fn read(&mut self) -> bool {
        let Some(run) = &mut self.run else { return false };
        if run.batches.len() > 1 {
            return false;
        }
        let budget =
            PollBudget { records_max: self.options.batch_records_max, bytes_max: usize::MAX, wait: Duration::ZERO };
        let mut batch = RecordBatch::default();
        if let Err(error) = run.source.poll(budget, &mut batch) {
            self.broken.push(format!("the source: {error}"));
            return false;
        }
        let some = !batch.is_empty() || !batch.positions.is_empty() || !batch.ends.is_empty();
        if some {
            run.batches.push_back((run.rewinds, batch));
        }
        some
    }

    fn fold(&mut self) -> bool {
        let Some(run) = &mut self.run else { return false };
        if !run.core.may_fold() {
            return false;
        }
        let Some((rewinds, batch)) = run.batches.pop_front() else { return false };
        let inputs = batch.inputs.clone();
        run.current = Some(batch);
        self.feed(Input::Read { rewinds, inputs });
        true
    }

    fn commit(&mut self) -> bool {
        let Some(batch) = self.run.as_mut().and_then(|run| run.to_commit.take()) else { return false };
        let version = batch.version;
        if self.happens(self.options.chaos.commit_fails) {
            let round = if self.happens(0.5) { FailedRound::Lost } else { FailedRound::Written };
            self.store.fail_commit(1, round);
        }
        let run = self.run.as_mut().expect("it runs");
        match self.store.commit(&[*batch]) {
            Ok(snapshot) => {
                run.snapshot = snapshot;
                self.feed(Input::Synced(version));
            }
            Err(error) => {
                self.feed(Input::CommitFailed(error.to_string()));
                self.restart();
            }
        }
        true
    }

    fn publish(&mut self) -> bool {
        let Some(request) = self.run.as_mut().and_then(|run| run.to_publish.pop_front()) else { return false };
        let (sink, version) = (request.sink, request.version);
        let prepared = prepare(&request).expect("memory can be read");
        let mut outcomes = prepared.known;
        for write in prepared.writes {
            let retry = Outcome::Retry { reason: "busy".into() };
            let lost = self.happens(self.options.chaos.sink_retries);
            let outcome = match lost && self.happens(0.5) {
                true => retry.clone(),
                false => self.targets[sink].apply(&write, &mut self.broken),
            };
            outcomes.push((write.key, if lost { retry } else { outcome }));
        }
        let (deleted, walked_to) = (prepared.deleted, prepared.walked_to);
        let answer = Answer { sink, version, outcomes, deleted, walked_to, ..Answer::default() };
        self.feed(Input::Answer(answer));
        true
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> bool {
        let Some(run) = &self.run else { return false };
        let busy = run.to_commit.is_some() || !run.to_publish.is_empty() || !run.batches.is_empty();
        match run.core.wake_at(self.now) {
            Some(at) => {
                self.now = at.max(self.now);
                self.feed(Input::Tick);
                true
            }
            None => busy || self.options.chaos.delay > 0.0 && self.read(),
        }
    }

    fn feed(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(run) = &mut self.run else { return };
            for action in run.core.step(self.now, input) {
                inputs.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Input> {
        let run = self.run.as_mut().expect("it runs");
        match action {
            Action::Open(starts) => run.source.open(&starts).expect("the log holds it"),
            Action::Close(partition) => run.source.close(&partition),
            Action::Look(partitions) => {
                let facts = |(partition, next)| partition_facts(&mut run.source, &partition, Some(next));
                let found: Result<_, _> = partitions.into_iter().map(facts).collect();
                return Some(Input::Opened(found.expect("memory can be read")));
            }
            Action::Claim { .. } => unreachable!("the targets here keep no claims"),
            Action::Fold { admission, careful } => {
                let batch = run.current.take().expect("the core was told of it");
                let (folded, _) = run.folder.fold(batch, &admission, careful).expect("nothing panics");
                let seen = folded.faults.iter().map(|(class, message)| (*class, message.clone()));
                self.faults.extend(seen.map(|(class, message)| SeenFault { class, message }));
                return Some(Input::Folded(folded));
            }
            Action::Discard => run.current = None,
            Action::Reread { rewinds, starts } => {
                run.rewinds = rewinds;
                run.source.open(&starts).expect("the log holds it");
            }
            Action::Rewind { rewinds, starts } => {
                run.folder.forget();
                run.rewinds = rewinds;
                run.source.open(&starts).expect("the log holds it");
            }
            Action::Freeze => {
                let (keys, rows) = run.folder.freeze().expect("nothing panics");
                run.frozen = rows;
                return Some(Input::Frozen(keys));
            }
            Action::Checkpoint(mut batch) => {
                batch.rows = std::mem::take(&mut run.frozen);
                run.to_commit = Some(batch);
            }
            Action::Release => run.folder.release(run.snapshot.clone()),
            Action::Show { .. } => unreachable!("the targets here are written to"),
            Action::Publish { sink, version, work, until } => run.to_publish.push_back(PublishRequest {
                plan: self.plan.clone(),
                generation: run.generation,
                sink,
                version,
                work,
                until,
                snapshot: run.snapshot.clone(),
            }),
            Action::Tell(offsets) => run.source.told(&offsets),
            Action::Report(Report::SinkStopped { why: message, .. } | Report::Unwritable { reason: message, .. }) => {
                self.faults.push(SeenFault { class: FaultClass::Sink, message });
            }
            Action::Report(_) => {}
            Action::Exit(ended) => run.ended = Some(ended),
        }
        None
    }
}
