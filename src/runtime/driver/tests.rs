//! The engine with its threads, over a log, a store and targets in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::event::{Offset, RecordBatch, TopicPartition, Version};
use crate::language::typed::{FaultAction, Projection};
use crate::plan::lower;
use crate::runtime::fixture::{Given, TOPIC, expected, projection, without_mark};
use crate::sinks::{
    DocumentBody, DocumentPage, DocumentSink, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument,
};
use crate::sources::memory::{Interleaving, MemoryLog};
use crate::sources::{OffsetRange, PollBudget, Source, SourceError};
use crate::state::MemoryStore;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A target in memory that may be busy.
#[derive(Default)]
struct Shelf {
    volatile: bool,
    busy: bool,
    documents: Mutex<BTreeMap<String, (Version, Option<String>)>>,
}

impl Shelf {
    fn documents(&self) -> BTreeMap<String, String> {
        let documents = self.documents.lock().expect("no panic");
        documents.iter().filter_map(|(key, (_, body))| Some((key.clone(), body.clone()?))).collect()
    }

    fn versions(&self) -> Vec<Version> {
        self.documents.lock().expect("no panic").values().map(|(version, _)| *version).collect()
    }
}

impl DocumentSink for Shelf {
    fn write(&self, batch: Vec<DocumentWrite>, _deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        if self.busy {
            let retry = Outcome::Retry { reason: "the shelf is busy".into() };
            return Box::pin(std::future::ready(vec![retry; batch.len()]));
        }
        let mut documents = self.documents.lock().expect("no panic");
        for write in &batch {
            let body = match &write.body {
                DocumentBody::Document(body) => Some(without_mark(body)),
                DocumentBody::Delete => None,
            };
            let before = documents.insert(write.key.to_string(), (write.version, body));
            assert!(before.is_none_or(|(version, _)| version < write.version), "versions only rise");
        }
        Box::pin(std::future::ready(vec![Outcome::Ok; batch.len()]))
    }

    fn read<'a>(&'a self, _key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        unreachable!("the engine does not read documents")
    }

    fn list<'a>(
        &'a self,
        _prefix: &'a str,
        _after: Option<&'a str>,
        _limit: usize,
    ) -> SinkFuture<'a, Result<DocumentPage, SinkError>> {
        unreachable!("the engine does not list documents")
    }

    fn is_volatile(&self) -> bool {
        self.volatile
    }
}

/// One machine: what outlives an engine.
struct Machine {
    runtime: Runtime,
    store: MemoryStore,
    log: MemoryLog,
    cosmos: Arc<Shelf>,
}

impl Machine {
    fn new(partitions: i32) -> Machine {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().expect("a runtime");
        let log = MemoryLog::new();
        log.create_topic(TOPIC, partitions);
        Machine { runtime, store: MemoryStore::new(), log, cosmos: Arc::default() }
    }

    fn give(&self, events: &[Given]) {
        for (index, event) in events.iter().enumerate() {
            let partition = match event {
                Given::Deposited { account, .. } | Given::Closed { account } => *account as i32 % 3,
                _ => 0,
            };
            self.log.append(TOPIC, partition, event.record(index as i64));
        }
    }

    fn spec(&self, projection: Projection) -> ProjectionSpec {
        let source = Box::new(self.log.source(&[TOPIC.into()], Interleaving::Seeded(3)));
        let cache = Arc::new(Shelf { volatile: true, ..Shelf::default() });
        let sinks: Vec<Arc<dyn DocumentSink>> = vec![self.cosmos.clone(), cache];
        ProjectionSpec { plan: Arc::new(lower(projection)), source, sinks, locate: Arc::new(|_| None) }
    }

    fn options(&self, fold_threads: usize, until_caught_up: bool) -> EngineOptions {
        EngineOptions {
            store: Arc::new(self.store.crash()),
            checkpoint_interval: Duration::from_millis(5),
            memory_max_bytes: 64 << 20,
            fold_threads,
            until_caught_up,
            accept_loss: false,
            shutdown_timeout: MINUTE,
            start_timeout: MINUTE,
        }
    }

    fn start(&self, options: EngineOptions, specs: Vec<ProjectionSpec>) -> Engine {
        Engine::start(options, specs, self.runtime.handle().clone()).expect("it starts")
    }

    /// Runs one projection until it has ended, and keeps its state.
    fn run(&mut self, projection: Projection, until: impl Fn(&Machine, &Engine)) -> Ended {
        let store = Arc::new(self.store.crash());
        let options = EngineOptions { store: store.clone(), ..self.options(2, true) };
        let engine = self.start(options, vec![self.spec(projection)]);
        until(self, &engine);
        let exit = self.wait(&engine);
        self.store = store.crash();
        exit.projections[0].1.clone()
    }

    fn wait(&self, engine: &Engine) -> EngineExit {
        let ended = async { tokio::time::timeout(MINUTE, engine.wait()).await };
        let _guard = self.runtime.enter();
        self.runtime.block_on(ended).expect("it ends")
    }

    fn wait_for(&self, engine: &Engine, what: impl Fn(&ProjectionStatus) -> bool) {
        let mut status = engine.status("accounts").expect("it is known");
        let seen = async { tokio::time::timeout(MINUTE, status.wait_for(|status| what(status))).await.map(|_| ()) };
        self.runtime.block_on(async { seen.await.expect("it comes to that") });
    }
}

fn accounts() -> Projection {
    projection(FaultAction::Skip, FaultAction::Skip)
}

fn deposits(n: usize) -> Vec<Given> {
    let deposit = |index: usize| Given::Deposited {
        account: (index * 7919 % 500) as u32,
        amount: index as i64 % 50 + 1,
        note: (index.is_multiple_of(5)).then(|| format!("n{index}")),
    };
    (0..n).map(deposit).collect()
}

fn documents(events: &[Given]) -> BTreeMap<String, String> {
    expected(events).iter().filter_map(|(key, account)| Some((key.clone(), account.document(key)?))).collect()
}

#[test]
fn every_number_of_threads_gives_the_same_documents() {
    let events = deposits(20_000);
    for threads in [1, 2, 3] {
        let machine = Machine::new(3);
        machine.give(&events);
        let engine = machine.start(machine.options(threads, true), vec![machine.spec(accounts())]);
        assert_eq!(machine.wait(&engine).projections, [("accounts".into(), Ended::CaughtUp)]);
        assert_eq!(machine.cosmos.documents(), documents(&events), "{threads} threads");
        let state = engine.snapshot().projection(&crate::event::ProjectionName("accounts".into()));
        let state = state.expect("memory can be read").expect("it is stored");
        assert_eq!(state.counters.folded + state.counters.filtered, 20_000);
    }
}

#[test]
fn a_stop_saves_and_the_next_start_goes_on_from_there() {
    let mut machine = Machine::new(3);
    let events = deposits(3_000);
    let (first, second) = events.split_at(2_000);
    machine.give(first);
    let store = Arc::new(machine.store.crash());
    let options = EngineOptions { store: store.clone(), ..machine.options(2, false) };
    let engine = machine.start(options, vec![machine.spec(accounts())]);
    machine.wait_for(&engine, |status| status.counters.folded > 0);
    machine.give(second);
    machine.wait_for(&engine, |status| status.counters.folded + status.counters.filtered == 3_000);
    engine.stop();
    assert_eq!(machine.wait(&engine).projections[0].1, Ended::Stopped);
    drop(engine);
    machine.store = store.crash();
    assert_eq!(machine.cosmos.documents(), documents(&events));
    let versions = machine.cosmos.versions();
    assert_eq!(machine.run(accounts(), |_, _| ()), Ended::CaughtUp);
    assert_eq!(machine.cosmos.versions(), versions, "a restart owes nothing");
}

#[test]
fn changed_meaning_is_refused_and_changed_documents_are_written_again() {
    let mut machine = Machine::new(3);
    machine.give(&deposits(100));
    assert_eq!(machine.run(accounts(), |_, _| ()), Ended::CaughtUp);
    let mut fold = accounts();
    fold.programs[0].body.pop();
    let refused = machine.run(fold, |_, _| ());
    assert!(matches!(&refused, Ended::Refused(why) if why.contains("P0801") && why.contains("fold")), "{refused:?}");
    let before = machine.cosmos.versions();
    let mut emit = accounts();
    emit.sinks[0].document.pop();
    assert_eq!(machine.run(emit, |_, _| ()), Ended::CaughtUp);
    let after = machine.cosmos.versions();
    assert!(before.iter().zip(&after).all(|(before, after)| before < after), "every document is written again");
    assert!(machine.cosmos.documents().values().all(|document| !document.contains("note")));
}

#[test]
fn a_source_that_is_away_is_waited_for_and_not_for_ever() {
    let mut machine = Machine::new(3);
    machine.give(&deposits(100));
    machine.log.set_away(true);
    let back = |machine: &Machine, _: &Engine| machine.log.set_away(false);
    assert_eq!(machine.run(accounts(), back), Ended::CaughtUp);
    machine.log.set_away(true);
    let options = EngineOptions { start_timeout: Duration::ZERO, ..machine.options(1, true) };
    let engine = machine.start(options, vec![machine.spec(accounts())]);
    assert!(matches!(machine.wait(&engine).projections[0].1, Ended::Unreachable(_)));
}

#[test]
fn a_busy_sink_does_not_hold_back_the_fold_and_a_stop_waits_for_it_only_so_long() {
    let mut machine = Machine::new(3);
    machine.cosmos = Arc::new(Shelf { busy: true, ..Shelf::default() });
    machine.give(&deposits(1_000));
    let options = EngineOptions { shutdown_timeout: Duration::ZERO, ..machine.options(2, false) };
    let engine = machine.start(options, vec![machine.spec(accounts())]);
    machine.wait_for(&engine, |status| {
        let busy = status.sinks.first().is_some_and(|sink| sink.trouble.as_deref() == Some("the shelf is busy"));
        busy && status.counters.folded + status.counters.filtered == 1_000
    });
    engine.stop();
    assert_eq!(machine.wait(&engine).projections[0].1, Ended::Stopped);
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning() {
    let machine = Machine::new(1);
    let deposit = Given::Deposited { account: 1, amount: 2, note: None };
    machine.log.append(TOPIC, 0, deposit.record(0));
    let engine = machine.start(machine.options(1, false), vec![machine.spec(accounts())]);
    machine.wait_for(&engine, |status| status.counters.folded == 1);
    machine.log.append(TOPIC, 1, deposit.record(1));
    machine.wait_for(&engine, |status| status.counters.folded == 2 && status.partitions.len() == 2);
}

/// A source with a defect.
struct Broken;

impl Source for Broken {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        panic!("a defect")
    }

    fn range(&mut self, _: &TopicPartition) -> Result<OffsetRange, SourceError> {
        unreachable!()
    }

    fn open(&mut self, _: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        unreachable!()
    }

    fn close(&mut self, _: &TopicPartition) {}

    fn poll(&mut self, _: PollBudget, _: &mut RecordBatch) -> Result<(), SourceError> {
        unreachable!()
    }

    fn record_at(&mut self, _: &TopicPartition, _: Offset) -> Result<RecordBatch, SourceError> {
        unreachable!()
    }

    fn told(&mut self, _: &[(TopicPartition, Offset)]) {}
}

#[test]
fn a_panic_ends_every_projection_and_says_why() {
    let machine = Machine::new(3);
    let mut broken = machine.spec(Projection { name: "broken".into(), ..accounts() });
    broken.source = Box::new(Broken);
    let engine = machine.start(machine.options(2, false), vec![machine.spec(accounts()), broken]);
    for (_, ended) in machine.wait(&engine).projections {
        assert_eq!(ended, Ended::Panicked("a defect".into()));
    }
}

#[test]
fn a_store_that_fails_ends_every_projection() {
    let machine = Machine::new(3);
    machine.give(&deposits(100));
    let store = machine.store.crash();
    // Two generations are taken, then the first checkpoints fail.
    store.fail_commit(3, crate::state::FailedRound::Lost);
    let options = EngineOptions { store: Arc::new(store), ..machine.options(1, false) };
    let other = machine.spec(Projection { name: "other".into(), ..accounts() });
    let engine = machine.start(options, vec![machine.spec(accounts()), other]);
    for (_, ended) in machine.wait(&engine).projections {
        assert!(matches!(&ended, Ended::Faulted(why) if why.contains("nothing more is written")), "{ended:?}");
    }
}
