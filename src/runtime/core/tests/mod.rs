//! The order, step by step, with the driver played by hand.

mod claims;
mod stopped;
mod targets;

use std::collections::VecDeque;

use crate::language::typed::{FaultAction, SinkFaultAction};
use crate::sinks::Outcome;
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};
use crate::sources::OffsetRange;
use crate::state::{Place, StoreId};

use super::*;

const PAUSE: Duration = Duration::from_millis(200);

/// A driver that does nothing until it is told what became of it.
struct Played {
    core: Core,
    now: Instant,
    /// What the core wants and nobody has answered yet.
    wanted: VecDeque<Action>,
    inputs: Arc<Vec<TopicPartition>>,
}

const US: Us = Us { store: StoreId(1), place: Place(1), process: ProcessId(1 << 64) };

fn tp(partition: i32) -> TopicPartition {
    TopicPartition { topic: "orders".into(), partition }
}

/// Of a partition without records.
fn empty() -> LogFacts {
    LogFacts { range: Some(OffsetRange { beginning: Offset(0), end: Offset(0) }), ..LogFacts::default() }
}

fn sink(name: &str, volatile: bool, settled: u64) -> SinkFacts {
    let on_fault = SinkFaultAction { retry: None, then: FaultAction::Fail };
    let target = TargetTraits { volatile, ..TargetTraits::default() };
    let record = SinkRecord { settled: Version(settled), ..SinkRecord::default() };
    let name = name.into();
    SinkFacts {
        name,
        target,
        record,
        emit_again: false,
        open: Some(Vec::new()),
        adopt: false,
        wait_max: Duration::ZERO,
        gathered_max: 0,
        at: None,
        on_fault,
    }
}

fn facts(sinks: Vec<SinkFacts>) -> CoreFacts {
    CoreFacts {
        projection: ProjectionName("orders".into()),
        generation: Generation(1),
        version: Version(0),
        counters: Counters::default(),
        plan: None,
        sinks,
        gone_sinks: Vec::new(),
        us: US,
        state_known: false,
        accept_loss: false,
        start_timeout: Duration::from_secs(30),
        checkpoint_interval: PAUSE,
        until_caught_up: false,
        shutdown_timeout: Duration::from_secs(10),
        dirty_bytes_max: 1 << 20,
        seed: 1,
    }
}

impl Played {
    fn start(facts: CoreFacts, partitions: i32) -> Played {
        Played::start_in(facts, (0..partitions).map(|partition| (partition, empty())).collect())
    }

    /// Over partitions as they are found.
    fn start_in(facts: CoreFacts, logs: Vec<(i32, LogFacts)>) -> Played {
        let inputs = Arc::new(logs.iter().map(|(partition, _)| tp(*partition)).collect());
        let mut played = Played { core: Core::new(facts), now: Instant::now(), wanted: VecDeque::new(), inputs };
        played.step(Input::Start);
        let found = |(partition, log)| PartitionFacts { partition: tp(partition), log };
        played.step(Input::Opened(logs.into_iter().map(found).collect()));
        played
    }

    fn step(&mut self, input: Input) {
        let actions = self.core.step(self.now, input);
        self.wanted.extend(actions);
    }

    fn later(&mut self, by: Duration) {
        self.now += by;
        self.step(Input::Tick);
    }

    /// Takes the next wanted action of a kind, dropping nothing else.
    fn take<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Option<T> {
        let at = self.wanted.iter().position(|action| pick(action).is_some())?;
        pick(&self.wanted.remove(at).expect("it is there"))
    }

    fn read(&mut self) -> Option<Vec<Option<(Offset, Offset)>>> {
        self.read_after(self.core.rewinds)
    }

    fn read_after(&mut self, rewinds: u32) -> Option<Vec<Option<(Offset, Offset)>>> {
        let inputs = self.inputs.clone();
        self.step(Input::Read { rewinds, inputs });
        self.take(|action| match action {
            Action::Fold { admission, .. } => Some(Some(admission.clone())),
            Action::Discard => Some(None),
            _ => None,
        })?
    }

    /// Folds a batch that moved partition 0 to `to`.
    fn fold(&mut self, to: i64, rows: u64) {
        self.read().expect("the batch is wanted");
        let counts = Counters { folded: rows, ..Counters::default() };
        let positions = vec![(0, Offset(to))];
        self.step(Input::Folded(Folded { positions, counts, dirty_rows: rows, ..Folded::default() }));
    }

    /// Freezes if that is wanted, and returns the batch to write.
    fn freeze(&mut self, keys: &[&str]) -> Option<CheckpointBatch> {
        self.take(|action| matches!(action, Action::Freeze).then_some(()))?;
        self.step(Input::Frozen(keys.iter().map(|key| (*key).into()).collect()));
        self.take(|action| match action {
            Action::Checkpoint(batch) => Some((**batch).clone()),
            _ => None,
        })
    }

    fn checkpoint(&mut self, keys: &[&str]) -> CheckpointBatch {
        let batch = self.freeze(keys).expect("a checkpoint is due");
        self.step(Input::Synced(batch.version));
        batch
    }

    fn published(&mut self) -> Option<(usize, Version, Work)> {
        self.take(|action| match action {
            Action::Publish { sink, version, work, .. } => Some((*sink, *version, work.clone())),
            _ => None,
        })
    }

    fn told(&mut self) -> Option<Vec<(TopicPartition, Offset)>> {
        self.take(|action| match action {
            Action::Tell(offsets) => Some(offsets.clone()),
            _ => None,
        })
    }

    fn answer(&mut self, sink: usize, version: Version, outcomes: &[(&str, Outcome)]) {
        let outcomes = outcomes.iter().map(|(key, outcome)| ((*key).into(), outcome.clone())).collect();
        self.step(Input::Answer(Answer { sink, version, outcomes, ..Answer::default() }));
    }

    /// Does all that is asked for, as a store and targets without trouble would.
    fn attend(&mut self, claims: &mut [Option<Claim>; 2]) {
        while let Some(action) = self.wanted.pop_front() {
            match action {
                Action::Freeze => {
                    let changed = if self.core.dirty_rows > 0 { vec!["a".into()] } else { Vec::new() };
                    self.step(Input::Frozen(changed));
                }
                Action::Checkpoint(batch) => self.step(Input::Synced(batch.version)),
                Action::Claim { sink, request: ClaimRequest::Read } => {
                    self.step(Input::ClaimRead { sink, result: Ok(claims[sink]) });
                }
                Action::Claim { sink, request: ClaimRequest::Move { to, .. } } => {
                    claims[sink] = Some(to);
                    self.step(Input::ClaimMoved { sink, result: Ok(ClaimMove::Moved) });
                }
                Action::Publish { sink, version, work: Work::Keys(keys), .. } => {
                    let outcomes = keys.into_iter().map(|key| (key, Outcome::Ok)).collect();
                    self.step(Input::Answer(Answer { sink, version, outcomes, ..Answer::default() }));
                }
                Action::Publish { sink, version, .. } => {
                    self.step(Input::Answer(Answer { sink, version, ..Answer::default() }));
                }
                _ => {}
            }
        }
    }

    /// Lets time pass, waking the core when it wants to be woken; says how often.
    fn pass(&mut self, by: Duration, claims: &mut [Option<Claim>; 2]) -> usize {
        let (end, mut woken) = (self.now + by, 0);
        while let Some(at) = self.core.wake_at(self.now).filter(|at| *at < end) {
            self.now = at.max(self.now);
            self.step(Input::Tick);
            self.attend(claims);
            woken += 1;
        }
        self.now = end;
        woken
    }

    /// Past the claim and the first walk over no rows.
    fn settle_in(&mut self) {
        self.checkpoint(&[]);
        while let Some((sink, version, work)) = self.published() {
            assert!(matches!(work, Work::Rows { .. }), "nothing but the walk at start: {work:?}");
            self.answer(sink, version, &[]);
        }
    }
}

fn keys(keys: &[&str]) -> Work {
    Work::Keys(keys.iter().map(|key| (*key).into()).collect())
}

const EPOCH_1: u64 = 1 << Version::CHECKPOINT_BITS;

#[test]
fn a_start_claims_its_epoch_before_it_publishes() {
    let mut facts = facts(vec![sink("cosmos", false, 5)]);
    facts.version = Version(7);
    facts.sinks[0].open = Some(vec!["a".into()]);
    let mut played = Played::start(facts, 1);
    let claim = played.freeze(&[]).expect("the claim");
    assert_eq!(claim.version, Version(EPOCH_1));
    assert!(claim.rows.is_empty());
    let start = NextOffset { offset: Offset(0), time: None, last: None };
    assert_eq!(claim.next_offsets, [(tp(0), start)], "a partition is known from now on");
    assert_eq!(played.published(), None, "the claim is not synced");
    played.step(Input::Synced(claim.version));
    assert_eq!(played.published(), Some((0, Version(EPOCH_1), keys(&["a"]))));
}

#[test]
fn the_order_holds() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(3, 2);
    assert!(played.freeze(&[]).is_none(), "the pause is not over");
    played.later(PAUSE);
    let cut = played.freeze(&["a", "b"]).expect("a cut is due");
    assert_eq!(cut.version, Version(EPOCH_1 + 1));
    assert_eq!(cut.next_offsets, [(tp(0), NextOffset { offset: Offset(3), time: None, last: None })]);
    assert_eq!(cut.counters.folded, 2);
    played.later(PAUSE);
    assert_eq!(played.published(), None, "the cut is not synced");
    played.step(Input::Synced(cut.version));
    assert_eq!(played.published(), Some((0, cut.version, keys(&["a", "b"]))));
    played.answer(0, cut.version, &[("a", Outcome::Ok), ("b", Outcome::Duplicate)]);
    assert_eq!(played.told(), None, "what is settled is not durable");
    played.later(PAUSE * 4); // the write took one pause
    let settling = played.checkpoint(&[]);
    let settled: Vec<_> = settling.sinks.iter().map(|(sink, record)| (&**sink, record.settled)).collect();
    assert_eq!(settled, [("cosmos", cut.version)]);
    assert_eq!(settling.settled_by_all, cut.version);
    assert_eq!(played.told(), Some(vec![(tp(0), Offset(3))]));
    played.later(Duration::from_secs(60));
    assert!(played.freeze(&[]).is_none(), "nothing is written when idle");
    assert_eq!(played.core.wake_at(played.now), None);
}

#[test]
fn an_answer_closes_a_key_only_if_it_has_not_changed_since() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE);
    let first = played.checkpoint(&["a"]).version;
    assert!(played.published().is_some());
    played.fold(2, 1);
    played.later(PAUSE);
    let second = played.checkpoint(&["a"]).version;
    assert_eq!(played.published(), None, "one request at a time");
    played.answer(0, first, &[("a", Outcome::Ok)]);
    assert_eq!(played.published(), Some((0, second, keys(&["a"]))));
    played.answer(0, second, &[("a", Outcome::Ok)]);
    assert_eq!(played.published(), None);
    assert_eq!(played.core.owed[0].settled(second), second);
}

/// An hour in which nothing happens: claims are kept alive in the targets, and the store is left alone.
#[test]
fn an_idle_engine_writes_nothing() {
    let mut facts = facts(vec![sink("shared", false, 0), sink("own", false, 0), sink("volatile", true, 0)]);
    facts.sinks[0].target.claimed = Some(true);
    facts.sinks[1].target.claimed = Some(false);
    let mut played = Played::start(facts, 2);
    let mut claims = [None, None];
    played.attend(&mut claims);
    for offset in 1..4 {
        played.fold(offset, 1);
        played.pass(PAUSE * 8, &mut claims);
    }
    played.pass(Duration::from_secs(60), &mut claims);
    let settled = played.core.synced;
    assert!(settled.0 & (EPOCH_1 - 1) > 3, "each change was written, and that it was published");
    let woken = played.pass(Duration::from_secs(3600), &mut claims);
    assert_eq!(played.core.synced, settled);
    assert!((600..=800).contains(&woken), "woken {woken} times for the beats of one claim");
}

#[test]
fn positions_alone_wait_longer() {
    let mut played = Played::start(facts(Vec::new()), 1);
    played.settle_in();
    played.fold(9, 0);
    played.later(PAUSE * 2);
    assert!(played.freeze(&[]).is_none());
    played.later(Duration::from_secs(5));
    assert_eq!(played.checkpoint(&[]).next_offsets[0].1.offset, Offset(9));
    assert_eq!(played.told(), Some(vec![(tp(0), Offset(9))]));
}

#[test]
fn a_fault_stops_its_partition_at_its_offset_and_holds_nobody() {
    let mut played = Played::start(facts(Vec::new()), 2);
    played.settle_in();
    played.fold(5, 1);
    played.later(PAUSE);
    let cut = played.freeze(&["a"]).expect("a cut is due");
    // While it is written: partition 0 reaches 8, then the record at 9 must stop it, and partition 1 went on.
    played.fold(8, 1);
    played.read().expect("the batch is wanted");
    let stops = vec![(0, Offset(9), "overflow".to_owned())];
    let positions = vec![(0, Offset(12)), (1, Offset(4))];
    played.step(Input::Folded(Folded { stops, positions, ..Folded::default() }));
    let rewind = |action: &Action| match action {
        Action::Rewind { rewinds, starts } => Some((*rewinds, starts.clone())),
        _ => None,
    };
    assert_eq!(played.take(rewind), None, "the cut in flight is waited for");
    assert_eq!(played.read(), None, "what is read meanwhile is dropped");
    played.step(Input::Synced(cut.version));
    assert_eq!(played.take(rewind), Some((1, vec![(tp(0), Offset(5)), (tp(1), Offset(0))])));
    assert_eq!(played.read_after(0), None, "read before the rewind");
    let all = Offset(i64::MAX);
    assert_eq!(played.read(), Some(vec![Some((Offset(5), Offset(9))), Some((Offset(0), all))]));
    played.step(Input::Ends(vec![(tp(0), OffsetRange { beginning: Offset(0), end: Offset(12) })]));
    let positions = vec![(0, Offset(12)), (1, Offset(4))];
    played.step(Input::Folded(Folded { positions, ends: vec![0, 1], ..Folded::default() }));
    assert_eq!(played.read(), Some(vec![None, Some((Offset(4), all))]));
    let status = played.core.status(None, None);
    assert_eq!(status.partitions[0].stopped.as_deref(), Some("overflow"));
    assert_eq!(status.partitions[0].end, Some(Offset(12)), "what it does not read is still behind it");
    assert_eq!(status.partitions[1].end, Some(Offset(4)));
    assert_eq!(status.run_state, crate::runtime::progress::RunState::Running);
    played.later(Duration::from_secs(5));
    let next: Vec<_> = played.checkpoint(&[]).next_offsets.iter().map(|(_, next)| next.offset).collect();
    assert_eq!(next, [Offset(9), Offset(4)]);
}

#[test]
fn a_partition_that_cannot_be_read_stays_where_it_was_folded_to() {
    let mut played = Played::start(facts(Vec::new()), 1);
    played.settle_in();
    let stored = Some(NextOffset { offset: Offset(7), time: None, last: None });
    let log = LogFacts { stored, ..LogFacts::default() };
    played.step(Input::Opened(vec![PartitionFacts { partition: tp(1), log }]));
    let stopped = &played.core.status(None, None).partitions[1];
    let why = stopped.stopped.as_deref().expect("nothing is read of it");
    assert_eq!(stopped.next_offset, Offset(7));
    assert!(why.starts_with("orders/1: the partition is no longer there; put the log back"), "{why}");
    assert!(why.contains("--accept-loss") && why.contains("projector drop orders"), "{why}");
}

#[test]
fn a_loss_that_is_accepted_is_written_down_and_where_it_goes_on_is_kept() {
    let accepting = CoreFacts { accept_loss: true, ..facts(Vec::new()) };
    let mut played = Played::start(accepting, 1);
    played.settle_in();
    let stored = Some(NextOffset { offset: Offset(7), time: None, last: Some((Offset(6), [1; 16])) });
    let range = Some(OffsetRange { beginning: Offset(9), end: Offset(9) });
    let log = LogFacts { stored, range, found: None };
    played.step(Input::Opened(vec![PartitionFacts { partition: tp(1), log }]));
    played.later(PAUSE);
    let cut = played.freeze(&[]).expect("it is saved though nothing is read");
    assert_eq!(cut.next_offsets, [(tp(1), NextOffset { offset: Offset(9), time: None, last: None })]);
    let [letter] = &cut.dead_letters[..] else { panic!("{:?}", cut.dead_letters) };
    assert_eq!((&letter.partition, letter.offset, &*letter.class, &*letter.code), (&tp(1), Offset(7), "lost", "R0113"));
    assert!(letter.message.contains("offsets 7 to 8"), "{}", letter.message);
}

#[test]
fn an_oversized_row_is_found_by_folding_again_with_care() {
    let mut played = Played::start(facts(Vec::new()), 1);
    played.settle_in();
    played.fold(5, 1);
    played.later(PAUSE);
    played.checkpoint(&["a"]);
    played.read().expect("the batch is wanted");
    played.step(Input::Folded(Folded { oversized: true, positions: vec![(0, Offset(7))], ..Folded::default() }));
    let inputs = played.inputs.clone();
    played.step(Input::Read { rewinds: 1, inputs });
    let careful = |action: &Action| match action {
        Action::Fold { admission, careful } => Some((admission[0], *careful)),
        _ => None,
    };
    assert_eq!(played.take(careful), Some((Some((Offset(5), Offset(i64::MAX))), true)));
}

#[test]
fn until_caught_up_ends_when_all_is_read_written_and_settled() {
    let mut facts = facts(vec![sink("cosmos", false, 0)]);
    facts.until_caught_up = true;
    let mut played = Played::start(facts, 1);
    let exit = |action: &Action| matches!(action, Action::Exit(Ended::CaughtUp)).then_some(());
    played.step(Input::Ends(vec![(tp(0), OffsetRange { beginning: Offset(0), end: Offset(2) })]));
    played.core.partitions[0].goal = Some(Offset(2));
    played.settle_in();
    played.fold(2, 1);
    assert_eq!(played.take(exit), None);
    let cut = played.checkpoint(&["a"]);
    assert!(played.published().is_some());
    assert_eq!(played.take(exit), None);
    played.answer(0, cut.version, &[("a", Outcome::Ok)]);
    assert_eq!(played.take(exit), None, "a restart would owe it");
    played.checkpoint(&[]);
    assert_eq!(played.take(exit), Some(()));
}

#[test]
fn a_stop_saves_what_was_folded_and_waits_for_sinks_only_so_long() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(2, 1);
    played.step(Input::Stop);
    played.checkpoint(&["a"]);
    let exit = |action: &Action| matches!(action, Action::Exit(Ended::Stopped)).then_some(());
    assert_eq!(played.take(exit), None, "the sink has not answered");
    played.later(Duration::from_secs(11));
    assert_eq!(played.take(exit), Some(()));
}

#[test]
fn a_sink_that_is_away_is_tried_for_ever_and_a_poisoned_document_stops_it() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(2, 2);
    played.later(PAUSE);
    let version = played.checkpoint(&["a", "b"]).version;
    for _ in 0..50 {
        let (_, _, work) = played.published().expect("it is tried again");
        assert_eq!(work, keys(&["a", "b"]));
        let away = Outcome::Retry { reason: "connection refused".into() };
        played.answer(0, version, &[("a", away.clone()), ("b", away)]);
        assert_eq!(played.published(), None, "not at once");
        let wake = played.core.wake_at(played.now).expect("a time to try again");
        assert!(wake > played.now);
        played.later(wake - played.now);
    }
    assert!(played.published().is_some());
    played.answer(0, version, &[("a", Outcome::Ok), ("b", Outcome::Poison { reason: "too long".into() })]);
    assert!(played.core.owed[0].stopped);
    played.fold(3, 1);
    played.later(PAUSE);
    played.checkpoint(&["c"]);
    assert_eq!(played.published(), None, "the sink has stopped, the fold has not");
}

#[test]
fn a_failed_commit_ends_the_projection() {
    let mut played = Played::start(facts(Vec::new()), 1);
    played.settle_in();
    played.fold(2, 1);
    played.later(PAUSE);
    played.freeze(&["a"]).expect("a cut is due");
    played.step(Input::CommitFailed("no space".into()));
    assert!(played.take(|action| matches!(action, Action::Exit(Ended::Faulted(_))).then_some(())).is_some());
    assert_eq!(played.read(), None);
}

#[test]
fn a_view_is_shown_each_change_at_once_and_owes_nothing() {
    let mut view = sink("cache", true, 0);
    view.target.view = true;
    let mut played = Played::start(facts(vec![view, sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(1, 2);
    played.later(PAUSE);
    let batch = played.checkpoint(&["a", "b"]);
    let shown = played.take(|action| match action {
        Action::Show { version, keys } => Some((*version, keys.clone())),
        _ => None,
    });
    assert_eq!(shown, Some((batch.version, vec!["a".into(), "b".into()])));
    assert_eq!(played.published(), Some((1, batch.version, keys(&["a", "b"]))), "the other sink is written to");
    assert_eq!(played.published(), None);
    assert_eq!(played.core.owed[0].settled(batch.version), batch.version);
}

#[test]
fn a_partition_of_which_nothing_was_read_waits_for_what_the_others_hold() {
    let range = Some(OffsetRange { beginning: Offset(0), end: Offset(4) });
    let read = Some(NextOffset { offset: Offset(2), time: None, last: Some((Offset(1), [1; 16])) });
    let log = |stored| LogFacts { stored, range, found: None };
    let facts = CoreFacts { state_known: true, version: Version(EPOCH_1), ..facts(Vec::new()) };
    let mut played = Played::start_in(facts, vec![(0, log(read)), (1, log(None))]);
    let mut opened = || {
        played.take(|action| match action {
            Action::Open(starts) => Some(starts.clone()),
            _ => None,
        })
    };
    assert_eq!(opened(), Some(vec![(tp(0), Offset(2))]), "it may have been added before a crash");
    played.checkpoint(&[]);
    played.fold(4, 1);
    let opened = played.take(|action| match action {
        Action::Open(starts) => Some(starts.clone()),
        _ => None,
    });
    assert_eq!(opened, Some(vec![(tp(1), Offset(0))]));
}
