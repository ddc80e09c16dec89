//! What the simulator runs: the accounts of the runtime's fixture with a second durable sink, and what must come of them
//! by a fold of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::event::{Offset, TopicPartition};
use crate::language::typed::{FaultAction, SinkFaultAction};
use crate::plan::{Plan, lower};
use crate::runtime::fixture::{self, Account, Given};
use crate::state::Counters;

use super::random::Random;
use super::schedule::{Policy, Setup};
use super::world::World;

pub(super) use crate::runtime::fixture::TOPIC;

/// The sinks of the plan, in its order.
pub(super) const COSMOS: usize = 0;
pub(super) const CACHE: usize = 1;
pub(super) const SEARCH: usize = 2;
pub(super) const SINKS: [usize; 3] = [COSMOS, CACHE, SEARCH];

fn action(policy: Policy) -> FaultAction {
    match policy {
        Policy::Fail => FaultAction::Fail,
        Policy::Skip => FaultAction::Skip,
        Policy::DeadLetter => FaultAction::DeadLetter("dead".into()),
    }
}

/// The plan of a setup; each is made once by a thread.
pub(super) fn plan(setup: &Setup) -> Arc<Plan> {
    thread_local! {
        static PLANS: RefCell<HashMap<[u8; 3], Arc<Plan>>> = RefCell::default();
    }
    let make = || {
        let mut projection = fixture::with_search(fixture::projection(action(setup.decode), action(setup.eval)));
        projection.on_error.sink = SinkFaultAction { retry: None, then: action(setup.sink) };
        Arc::new(lower(projection))
    };
    let policies = [setup.decode as u8, setup.eval as u8, setup.sink as u8];
    PLANS.with_borrow_mut(|plans| plans.entry(policies).or_insert_with(make).clone())
}

/// An event of account n lies in partition n % the first partitions; each partition that is added has an account of its own.
/// The note is the event's number, which rises.
pub(super) fn event(setup: &Setup, partitions: i32, random: &mut Random, number: u64) -> (i32, Given) {
    let added = partitions - setup.partitions;
    let account = random.below(setup.accounts as usize + added as usize) as u32;
    let partition = match account.checked_sub(setup.accounts) {
        Some(added) => setup.partitions + added as i32,
        None => (account % setup.partitions as u32) as i32,
    };
    let note = Some(format!("n{number}"));
    let given = match random.below(100) {
        0..=17 => Given::Closed { account },
        18..=19 => Given::Malformed,
        20..=26 => Given::Unwanted,
        27..=28 => Given::Deposited { account, amount: i64::MAX, note },
        29..=31 => Given::Deposited { account, amount: 0, note },
        32..=34 => Given::Deposited { account, amount: 13, note },
        _ => Given::Deposited { account, amount: random.below(41) as i64 - 15, note },
    };
    (partition, given)
}

/// The number of the newest event that a document shows.
pub(super) fn newest_event(body: &[u8]) -> Option<u64> {
    const MARK: &[u8] = b"\"note\":\"n";
    let at = body.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = body[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

/// Whether an event leaves no trace but in the counters.
pub(super) fn means_nothing(given: &Given) -> bool {
    matches!(given, Given::Unwanted | Given::Deposited { amount: 0 | 13, .. })
}

/// What folding a log must come to.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub accounts: BTreeMap<String, Account>,
    /// By partition: where it goes on.
    pub next: BTreeMap<TopicPartition, Offset>,
    /// Partitions that stop there.
    pub stopped: BTreeMap<TopicPartition, Offset>,
    /// Some partition stops because the log has lost what comes next.
    pub lacks: bool,
    /// Some partition stops at what a person skipped in a later state.
    pub meets_again: bool,
    pub counters: Counters,
    pub letters: Vec<(TopicPartition, Offset)>,
}

/// Folds the events of each partition; `None` stands where a record was compacted away. `passed` says where a partition
/// stands: what a person skipped, or retention took, counts only if it did before.
pub(super) fn expected(world: &World, passed: impl Fn(&TopicPartition) -> i64) -> Expected {
    let mut expected = Expected::default();
    for (partition, events) in &world.given {
        let passed = passed(partition);
        let missing = world.beginnings.get(partition).is_some_and(|beginning| passed < *beginning);
        let mut next = 0;
        for (offset, event) in (0..).zip(events) {
            let offset = Offset(offset);
            let skipped = offset.0 < passed && world.skips.contains(&(partition.clone(), offset));
            let stops = match event {
                _ if missing && offset.0 >= passed => true,
                Some(event) => !expected.pass(&world.setup, partition, offset, event, skipped),
                None => false,
            };
            if stops {
                expected.lacks |= missing && offset.0 >= passed;
                expected.meets_again |= world.skips.contains(&(partition.clone(), offset));
                expected.stopped.insert(partition.clone(), offset);
                break;
            }
            next = offset.0 + 1;
        }
        expected.next.insert(partition.clone(), Offset(next));
    }
    expected
}

impl Expected {
    /// Whether a state cannot get as far as a later one that was lost.
    pub fn is_behind(&self) -> bool {
        self.lacks || self.meets_again
    }

    /// Folds one event; false when its partition stops there.
    pub fn pass(
        &mut self,
        setup: &Setup,
        partition: &TopicPartition,
        offset: Offset,
        event: &Given,
        skipped: bool,
    ) -> bool {
        let policy = if matches!(event, Given::Malformed) { setup.decode } else { setup.eval };
        match fixture::fold(&mut self.accounts, event) {
            Ok(()) => match event {
                Given::Unwanted => self.counters.dropped += 1,
                Given::Deposited { amount: 0 | 13, .. } => self.counters.filtered += 1,
                _ => self.counters.folded += 1,
            },
            Err(_) if policy == Policy::Skip || (policy == Policy::Fail && skipped) => self.counters.skipped += 1,
            Err(_) if policy == Policy::Fail => return false,
            Err(_) => {
                self.counters.dead_letters += 1;
                self.letters.push((partition.clone(), offset));
            }
        }
        true
    }

    /// The document of an account in a sink, without `_proj`.
    pub fn document(&self, sink: usize, key: &str) -> Option<String> {
        let account = self.accounts.get(key)?;
        match sink {
            COSMOS => account.document(key),
            SEARCH => account.searched(),
            _ => Some(format!("{{\"total\":\"{}\",", account.total)),
        }
    }
}
