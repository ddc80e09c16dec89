//! What one sink is owed: single open keys, a walk over all rows, and up to where everything has been answered.
//!
//! Durable is one number, `settled`. Which keys are open lives here, in memory, and is rebuilt from the store's lists of
//! changed keys at start. When that would be too many keys, or every row is owed, the debt is a walk over the rows instead:
//! a cursor, not a set. Keys are walked in key order, so that none starves, and one request is in flight at a time, so that
//! no key is ever in two of them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Version;
use crate::language::typed::{FaultAction, SinkFaultAction};
use crate::runtime::core::pace::{Jitter, backoff};
use crate::sinks::Outcome;

/// How many keys one request takes.
const REQUEST_KEYS_MAX: usize = 512;
/// How many rows one step of a walk looks at.
pub(crate) const WALK_ROWS_MAX: usize = 1024;
/// With more open keys than this, the rows are walked instead.
const OPEN_KEYS_MAX: usize = 1_000_000;

/// A sink as the core sees it.
#[derive(Debug, Clone)]
pub(crate) struct SinkFacts {
    pub name: Arc<str>,
    /// It loses all with the process: nothing durable is owed, and all rows are at each start.
    pub volatile: bool,
    /// It makes its documents from rows itself: it is shown each change at once, and owed only the walk that fills it.
    pub view: bool,
    /// Everything up to it has been answered, as the store has it; 0 owes every row.
    pub settled: Version,
    /// Keys changed after `settled`, when it is not 0.
    pub open: Vec<Arc<str>>,
    pub on_fault: SinkFaultAction,
}

/// What a request is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// These keys, as they are in the snapshot.
    Keys(Vec<Arc<str>>),
    /// The next [`WALK_ROWS_MAX`] rows after this key, those changed after `floor`.
    Rows { after: Option<Arc<str>>, floor: Version },
}

/// What became of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Index of the sink in the plan.
    pub sink: usize,
    /// The version its documents were sent with.
    pub version: Version,
    /// One for each key that was written or deleted.
    pub outcomes: Vec<(Arc<str>, Outcome)>,
    /// For [`Work::Rows`]: the last row looked at, or `None` when the walk has reached the end.
    pub walked_to: Option<Arc<str>>,
    /// The rows could not be read; nothing was written.
    pub unreadable: Option<String>,
}

/// A document that can never be written, to be set aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwritable {
    pub key: Arc<str>,
    pub reason: String,
    pub version: Version,
    /// `None`: counted and logged.
    pub to: Option<Arc<str>>,
}

#[derive(Debug)]
struct Open {
    changed: Version,
    attempts: u32,
    not_before: Option<Instant>,
}

impl Open {
    fn new(changed: Version) -> Open {
        Open { changed, attempts: 0, not_before: None }
    }
}

#[derive(Debug)]
struct Walk {
    after: Option<Arc<str>>,
    /// Rows changed after it are owed.
    floor: Version,
}

/// What one sink is owed.
#[derive(Debug)]
pub(super) struct Owed {
    pub name: Arc<str>,
    pub volatile: bool,
    pub view: bool,
    pub persisted: Version,
    pub trouble: Option<String>,
    pub stopped: bool,
    pub in_flight: bool,
    on_fault: SinkFaultAction,
    open: BTreeMap<Arc<str>, Open>,
    /// How many open keys were changed by each version: the first says what is settled.
    open_at: BTreeMap<Version, usize>,
    open_keys_max: usize,
    cursor: Option<Arc<str>>,
    walk: Option<Walk>,
    /// Walk and open keys take turns.
    walked_last: bool,
    pause_until: Option<Instant>,
    failures: u32,
}

impl Owed {
    pub fn new(facts: SinkFacts) -> Owed {
        let all = facts.volatile || facts.settled == Version(0);
        let mut owed = Owed {
            name: facts.name,
            volatile: facts.volatile,
            view: facts.view,
            persisted: if facts.volatile { Version(0) } else { facts.settled },
            trouble: None,
            stopped: false,
            in_flight: false,
            on_fault: facts.on_fault,
            open: BTreeMap::new(),
            open_at: BTreeMap::new(),
            open_keys_max: OPEN_KEYS_MAX,
            cursor: None,
            walk: all.then_some(Walk { after: None, floor: Version(0) }),
            walked_last: false,
            pause_until: None,
            failures: 0,
        };
        if !all {
            owed.owe(&facts.open, Version(facts.settled.0 + 1));
        }
        owed
    }

    /// Owes these keys: a synced checkpoint changed them.
    pub fn owe(&mut self, keys: &[Arc<str>], changed: Version) {
        if self.open.len() + keys.len() > self.open_keys_max && !self.in_flight {
            self.walk_instead(changed);
        }
        match &self.walk {
            // What lies ahead of a walk is found by it; of a step under way nobody knows yet how far it goes.
            Some(walk) if !(self.in_flight && self.walked_last) => {
                let after = walk.after.clone();
                let passed = |key: &&Arc<str>| after.as_ref().is_some_and(|after| *key <= after);
                keys.iter().filter(passed).for_each(|key| self.open_key(key, changed));
            }
            None if self.open.is_empty() && !keys.is_empty() => {
                self.open = keys.iter().map(|key| (key.clone(), Open::new(changed))).collect();
                self.open_at.insert(changed, self.open.len());
            }
            _ => keys.iter().for_each(|key| self.open_key(key, changed)),
        }
    }

    /// Too many keys are open: finds them again in the rows, from the beginning. What is settled stays until that is done.
    fn walk_instead(&mut self, changed: Version) {
        let oldest = self.open_at.first_key_value().map_or(changed, |(first, _)| *first);
        let floor = self.walk.as_ref().map_or(Version(oldest.0 - 1), |walk| walk.floor);
        self.walk = Some(Walk { after: None, floor });
        self.open.clear();
        self.open_at.clear();
    }

    fn open_key(&mut self, key: &Arc<str>, changed: Version) {
        if let Some(before) = self.open.insert(key.clone(), Open::new(changed)) {
            self.count_down(before.changed);
        }
        *self.open_at.entry(changed).or_default() += 1;
    }

    fn close(&mut self, key: &Arc<str>, answered: Version) {
        if let Some(open) = self.open.get(key)
            && open.changed <= answered
        {
            let changed = open.changed;
            self.open.remove(key);
            self.count_down(changed);
        }
    }

    fn count_down(&mut self, changed: Version) {
        if let Some(count) = self.open_at.get_mut(&changed) {
            *count -= 1;
            if *count == 0 {
                self.open_at.remove(&changed);
            }
        }
    }

    /// Everything up to it has been answered, given that `synced` is the last checkpoint.
    pub fn settled(&self, synced: Version) -> Version {
        if self.walk.is_some() { self.persisted } else { self.settled_or(synced) }
    }

    fn settled_or(&self, synced: Version) -> Version {
        self.open_at.first_key_value().map_or(synced, |(first, _)| Version(first.0 - 1))
    }

    pub fn keys(&self) -> u64 {
        self.open.len() as u64
    }

    pub fn walks(&self) -> bool {
        self.walk.is_some()
    }

    /// Nothing is owed and nothing is under way.
    pub fn is_clear(&self) -> bool {
        self.open.is_empty() && self.walk.is_none() && !self.in_flight
    }

    /// The next request, if one may be sent now.
    pub fn next_work(&mut self, now: Instant) -> Option<Work> {
        if self.stopped || self.in_flight || self.pause_until.is_some_and(|until| until > now) {
            return None;
        }
        let walk = |walk: &Walk| Work::Rows { after: walk.after.clone(), floor: walk.floor };
        let walk = self.walk.as_ref().map(walk);
        let work = match walk {
            Some(walk) if !self.walked_last => Some(walk),
            walk => self.next_keys(now).map(Work::Keys).or(walk),
        };
        self.walked_last = matches!(work, Some(Work::Rows { .. }));
        self.in_flight = work.is_some();
        work
    }

    /// Keys in key order from the cursor on, around the end.
    fn next_keys(&mut self, now: Instant) -> Option<Vec<Arc<str>>> {
        let ready = |(_, open): &(&Arc<str>, &Open)| open.not_before.is_none_or(|at| at <= now);
        let cursor = self.cursor.take();
        let (above, below) = match &cursor {
            Some(cursor) => ((Bound::Excluded(cursor), Bound::Unbounded), Some(..=cursor)),
            None => ((Bound::Unbounded, Bound::Unbounded), None),
        };
        let above = self.open.range::<Arc<str>, _>(above).filter(ready);
        let below = below.into_iter().flat_map(|below| self.open.range::<Arc<str>, _>(below)).filter(ready);
        let keys: Vec<_> = above.chain(below).take(REQUEST_KEYS_MAX).map(|(key, _)| key.clone()).collect();
        self.cursor = keys.last().cloned();
        (!keys.is_empty()).then_some(keys)
    }

    /// When [`Owed::next_work`] may have something that it has not now.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.stopped || self.in_flight || (self.open.is_empty() && self.walk.is_none()) {
            return None;
        }
        if let Some(until) = self.pause_until.filter(|until| *until > now) {
            return Some(until);
        }
        if self.walk.is_some() {
            return Some(now);
        }
        self.open.values().map(|open| open.not_before.unwrap_or(now)).min()
    }

    /// Takes an answer in. Returns the documents that are given up on.
    pub fn answer(&mut self, now: Instant, answer: Answer, jitter: &mut Jitter) -> Vec<Unwritable> {
        self.in_flight = false;
        if let Some(reason) = away(&answer) {
            self.failures += 1;
            self.pause_until = Some(now + backoff(self.base_backoff(), self.failures, jitter));
            self.trouble = Some(reason);
            return Vec::new();
        }
        let walked = self.walked_last;
        self.failures = 0;
        self.pause_until = None;
        let mut given_up = Vec::new();
        let mut trouble = None;
        for (key, outcome) in answer.outcomes {
            match outcome {
                Outcome::Ok | Outcome::Duplicate => self.close(&key, answer.version),
                Outcome::Retry { reason } | Outcome::Unanswered { reason } => {
                    if walked {
                        self.reopen(&key);
                    }
                    match self.retry(now, &key, jitter) {
                        Ok(()) => trouble = Some(reason),
                        Err(max) => {
                            let reason = format!("given up after {max} attempts: {reason}");
                            self.give_up(key, answer.version, reason, &mut given_up);
                        }
                    }
                }
                Outcome::Poison { reason } => self.give_up(key, answer.version, reason, &mut given_up),
                Outcome::Foreign { reason } => self.stop(format!("the target belongs to someone else: {reason}")),
            }
        }
        if !self.stopped {
            self.trouble = trouble;
        }
        if walked && !self.stopped {
            self.walked(answer.walked_to);
        }
        given_up
    }

    /// The walk leaves a key behind that has to be tried again.
    fn reopen(&mut self, key: &Arc<str>) {
        if !self.open.contains_key(key) {
            let floor = self.walk.as_ref().map_or(self.persisted, |walk| walk.floor);
            self.open_key(key, Version(floor.0 + 1));
        }
    }

    fn walked(&mut self, to: Option<Arc<str>>) {
        match (to, &mut self.walk) {
            (Some(to), Some(walk)) => walk.after = Some(to),
            (_, walk) => *walk = None,
        }
    }

    /// Puts a key off; an error when it has had all its attempts.
    fn retry(&mut self, now: Instant, key: &str, jitter: &mut Jitter) -> Result<(), u32> {
        let base = self.base_backoff();
        let max = self.on_fault.retry.map_or(u32::MAX, |(max, _)| max);
        let Some(open) = self.open.get_mut(key) else { return Ok(()) };
        open.attempts = open.attempts.saturating_add(1);
        if open.attempts > max {
            return Err(max);
        }
        open.not_before = Some(now + backoff(base, open.attempts, jitter));
        Ok(())
    }

    fn base_backoff(&self) -> Option<Duration> {
        self.on_fault.retry.map(|(_, backoff)| backoff)
    }

    /// A document that can never be written: `on_error` says what becomes of it. The key's next change tries again.
    fn give_up(&mut self, key: Arc<str>, version: Version, reason: String, given_up: &mut Vec<Unwritable>) {
        let to = match &self.on_fault.then {
            FaultAction::Fail => return self.stop(format!("the document of `{key}` cannot be written: {reason}")),
            FaultAction::Skip => None,
            FaultAction::DeadLetter(topic) => Some(topic.clone()),
        };
        self.close(&key, version);
        given_up.push(Unwritable { key, reason, version, to });
    }

    fn stop(&mut self, why: String) {
        self.stopped = true;
        self.trouble = Some(why);
    }
}

/// Why nothing of a request was done, if so. An item's attempts are counted only when the target answered about others: a
/// target that is away, or busy as a whole, is tried for ever.
fn away(answer: &Answer) -> Option<String> {
    let reason = |outcome: &Outcome| match outcome {
        Outcome::Retry { reason } | Outcome::Unanswered { reason } => Some(reason.clone()),
        _ => None,
    };
    let reasons: Option<Vec<String>> = answer.outcomes.iter().map(|(_, outcome)| reason(outcome)).collect();
    answer.unreadable.clone().or_else(|| reasons?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owed(settled: u64, then: FaultAction, retry: Option<(u32, Duration)>) -> Owed {
        let on_fault = SinkFaultAction { retry, then };
        let facts = SinkFacts {
            name: "s".into(),
            volatile: false,
            view: false,
            settled: Version(settled),
            open: vec![],
            on_fault,
        };
        Owed::new(facts)
    }

    fn keys(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
        range.map(|n| format!("{n:06}").into()).collect()
    }

    fn answer(version: u64, keys: &[Arc<str>], outcome: Outcome, walked_to: Option<Arc<str>>) -> Answer {
        let outcomes = keys.iter().map(|key| (key.clone(), outcome.clone())).collect();
        Answer { sink: 0, version: Version(version), outcomes, walked_to, unreadable: None }
    }

    #[test]
    fn keys_are_walked_in_order_and_none_starves() {
        let (now, mut jitter) = (Instant::now(), Jitter::new(1));
        let mut owed = owed(1, FaultAction::Fail, None);
        owed.owe(&keys(0..REQUEST_KEYS_MAX * 2), Version(2));
        let mut seen = 0;
        while let Some(Work::Keys(sent)) = owed.next_work(now) {
            // The first keys change again and again: the walk goes past them all the same.
            seen += sent.iter().filter(|key| ***key >= *keys(512..513)[0]).count();
            owed.owe(&keys(0..REQUEST_KEYS_MAX), Version(3 + seen as u64));
            owed.answer(now, answer(3, &sent, Outcome::Ok, None), &mut jitter);
            if seen == REQUEST_KEYS_MAX {
                break;
            }
        }
        assert_eq!(seen, REQUEST_KEYS_MAX);
        assert_eq!(owed.keys(), REQUEST_KEYS_MAX as u64);
    }

    #[test]
    fn a_walk_keeps_what_is_settled_until_it_is_over() {
        let (now, mut jitter) = (Instant::now(), Jitter::new(1));
        let mut owed = owed(0, FaultAction::Fail, None);
        let row = |n: usize| keys(n..n + 1).remove(0);
        assert_eq!(owed.next_work(now), Some(Work::Rows { after: None, floor: Version(0) }));
        owed.owe(&[row(9)], Version(5)); // under way: it may or may not be covered
        let busy =
            vec![(row(1), Outcome::Ok), (row(2), Outcome::Retry { reason: "busy".into() }), (row(3), Outcome::Ok)];
        let part = Answer { sink: 0, version: Version(4), outcomes: busy, walked_to: Some(row(3)), unreadable: None };
        owed.answer(now, part, &mut jitter);
        assert_eq!(owed.settled(Version(6)), Version(0));
        owed.owe(&[row(1), row(8)], Version(6)); // 1 is behind the walk, 8 ahead of it
        assert_eq!(owed.next_work(now), Some(Work::Keys(vec![row(1), row(9)])));
        owed.answer(now, answer(6, &[row(1), row(9)], Outcome::Ok, None), &mut jitter);
        assert_eq!(owed.next_work(now), Some(Work::Rows { after: Some(row(3)), floor: Version(0) }));
        owed.answer(now, answer(6, &[row(8)], Outcome::Ok, None), &mut jitter);
        assert!(!owed.walks());
        assert_eq!(owed.settled(Version(6)), Version(0), "row 2 is still open");
        let later = now + Duration::from_secs(60);
        assert_eq!(owed.next_work(later), Some(Work::Keys(vec![row(2)])));
        owed.answer(later, answer(6, &[row(2)], Outcome::Ok, None), &mut jitter);
        assert_eq!(owed.settled(Version(6)), Version(6));
        assert!(owed.is_clear());
    }

    #[test]
    fn a_walk_does_not_go_on_while_the_target_is_away() {
        let (now, mut jitter) = (Instant::now(), Jitter::new(1));
        let mut owed = owed(0, FaultAction::Fail, None);
        let first = owed.next_work(now);
        let away = Outcome::Retry { reason: "away".into() };
        owed.answer(now, answer(4, &keys(0..5), away, keys(4..5).pop()), &mut jitter);
        assert_eq!(owed.keys(), 0);
        assert_eq!(owed.next_work(now + Duration::from_secs(60)), first);
    }

    #[test]
    fn too_many_open_keys_become_a_walk() {
        let mut owed = owed(7, FaultAction::Fail, None);
        owed.open_keys_max = 10;
        owed.owe(&keys(0..8), Version(9));
        owed.owe(&keys(8..16), Version(10));
        assert_eq!(owed.keys(), 0);
        assert_eq!(owed.next_work(Instant::now()), Some(Work::Rows { after: None, floor: Version(8) }));
        assert_eq!(owed.settled(Version(10)), Version(7));
    }

    #[test]
    fn attempts_about_an_item_are_bounded_when_the_file_says_so() {
        let (mut now, mut jitter) = (Instant::now(), Jitter::new(1));
        let mut owed = owed(1, FaultAction::DeadLetter("dead".into()), Some((2, Duration::from_millis(10))));
        owed.owe(&keys(0..2), Version(2));
        let busy = Outcome::Retry { reason: "busy".into() };
        let mut given_up = Vec::new();
        for attempt in 0..3 {
            let Some(Work::Keys(sent)) = owed.next_work(now) else { panic!("attempt {attempt} is due") };
            assert!(sent.contains(&keys(0..1)[0]));
            let outcomes = vec![(keys(0..1).remove(0), busy.clone()), (keys(1..2).remove(0), Outcome::Ok)];
            let answer = Answer { sink: 0, version: Version(2), outcomes, walked_to: None, unreadable: None };
            given_up = owed.answer(now, answer, &mut jitter);
            now += Duration::from_secs(20);
        }
        assert_eq!(given_up.len(), 1);
        assert_eq!(given_up[0].to.as_deref(), Some("dead"));
        assert!(owed.is_clear() && !owed.stopped);
    }
}
