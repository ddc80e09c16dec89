//! What one sink is owed: single open keys, a walk over all rows, a sweep over the target, and up to where everything has
//! been answered.
//!
//! Durable is one number, `settled`. Which keys are open lives here, in memory, and is rebuilt from the store's lists of
//! changed keys at start. When that would be too many keys, or every row is owed, the debt is a walk over the rows instead:
//! a cursor, not a set. A target of which nobody knows what it holds is filled anew: quietly until the fold is far enough,
//! by a walk, and by a sweep of what is older than the walk. One request is in flight at a time, so that no key is ever in
//! two of them.
//!
//! A delete leaves no version behind in some targets. So it is settled only when no request from before it can still arrive,
//! or arrive a second time, and put the document back: until then the key stays open, and the delete is sent once more.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{TargetId, Version};
use crate::language::typed::{FaultAction, SinkFaultAction};
use crate::runtime::core::hold::Said;
use crate::runtime::core::open::OpenKeys;
use crate::runtime::core::pace::{Jitter, backoff};
use crate::sinks::{DocumentSink, Outcome};
use crate::state::SinkRecord;

/// How many keys one request takes.
const REQUEST_KEYS_MAX: usize = 4096;
/// How long a key waits whose target is busy and does not say how long.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// How many rows one step of a walk looks at, and how many documents one of a sweep; few in tests, so that small worlds are
/// walked in steps.
pub(crate) const WALK_ROWS_MAX: usize = if cfg!(test) { 3 } else { 4096 };
/// With more open keys than this, the rows are walked instead.
pub(crate) const OPEN_KEYS_MAX: usize = 1_000_000;

/// What a target is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TargetTraits {
    /// It loses all with the process: nothing durable is owed, and all rows are at each start.
    pub volatile: bool,
    /// It makes its documents from rows itself: it is shown each change at once, and owed only the walk that fills it.
    pub view: bool,
    /// It keeps a claim; `true` in it: others may reach it too.
    pub claimed: Option<bool>,
    /// How long after it was given up on, or even answered, a request may still be done.
    pub late_for: Duration,
    /// A deleted document leaves its version behind for that long.
    pub remembers: bool,
}

impl TargetTraits {
    pub fn of(sink: &dyn DocumentSink) -> TargetTraits {
        TargetTraits {
            volatile: sink.is_volatile(),
            view: sink.row_view().is_some(),
            claimed: sink.claimed().map(|claimed| claimed.is_shared()),
            late_for: sink.late_for(),
            remembers: sink.remembers_deletes(),
        }
    }
}

/// A sink as the core sees it.
#[derive(Debug, Clone)]
pub(crate) struct SinkFacts {
    pub name: Arc<str>,
    pub target: TargetTraits,
    /// As the store has it.
    pub record: SinkRecord,
    /// Every row is owed, whatever the record says: documents look different now.
    pub emit_again: bool,
    /// Keys changed after what is settled, when it is not 0; `None` when they are too many to hold.
    pub open: Option<Vec<Arc<str>>>,
    /// Takes over documents that somebody else wrote.
    pub adopt: bool,
    /// Changes are gathered for so long before they are sent, or until there are so many.
    pub wait_max: Duration,
    pub gathered_max: usize,
    /// Its place in the `.proj` file.
    pub at: Option<String>,
    pub on_fault: SinkFaultAction,
}

/// What a request is to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// These keys, as they are in the snapshot.
    Keys(Vec<Arc<str>>),
    /// The next [`WALK_ROWS_MAX`] rows after this key, those changed after `floor`.
    Rows { after: Option<Arc<str>>, floor: Version },
    /// Of the next [`WALK_ROWS_MAX`] documents of the target after this key, those with a version below `floor`.
    Sweep { after: Option<Arc<str>>, floor: Version },
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Index of the sink in the plan.
    pub sink: usize,
    /// The version its documents were sent with.
    pub version: Version,
    /// One for each key that was written or deleted.
    pub outcomes: Vec<(Arc<str>, Outcome)>,
    /// Those of them that were deletes.
    pub deleted: Vec<Arc<str>>,
    /// For [`Work::Rows`] and [`Work::Sweep`]: the last row or document looked at, or `None` at the end.
    pub walked_to: Option<Arc<str>>,
    /// The documents among them that can never be written.
    pub unwritable: Vec<(Arc<str>, Arc<[u8]>)>,
    /// The request was not tried to its end.
    pub cut: Option<Cut>,
    /// The rows, or what the target holds, could not be read; nothing was written.
    pub unreadable: Option<String>,
}

/// Where a request was cut short, by the pace of the target.
#[derive(Debug)]
pub(crate) struct Cut {
    /// The last key that was tried.
    pub after: Option<Arc<str>>,
    /// Nothing may be sent before.
    pub wait_until: Instant,
}

/// A document that can never be written, to be set aside.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwritable {
    pub key: Arc<str>,
    pub document: Option<Arc<[u8]>>,
    pub reason: String,
    pub version: Version,
    /// `None`: counted and logged.
    pub to: Option<Arc<str>>,
}

#[derive(Debug)]
struct Walk {
    after: Option<Arc<str>>,
    /// Rows changed after it are owed.
    floor: Version,
}

/// How far a target that is filled anew is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fill {
    /// It is filled.
    Done,
    /// The fold has not passed yet what may have been published.
    Quiet,
    /// All rows are walked.
    Walking,
    /// What is older than the walk is looked for.
    Sweeping { after: Option<Arc<str>> },
}

/// Which kind of request is in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Keys,
    Rows,
    Sweep,
    /// From before the target was given up: its answer says nothing any more.
    Stale,
}

/// An answer that is taken in, item by item.
struct Taking<'t> {
    now: Instant,
    sent: Sent,
    version: Version,
    /// The target did something of it.
    some_done: bool,
    jitter: &'t mut Jitter,
    given_up: Vec<Unwritable>,
}

/// What one sink is owed.
#[derive(Debug)]
pub(super) struct Owed {
    pub name: Arc<str>,
    pub traits: TargetTraits,
    /// As the last synced checkpoint has it.
    pub persisted: SinkRecord,
    /// What is settled while a walk goes on, or nothing was answered yet; and the beat it was saved with.
    base: Version,
    base_beat: u64,
    /// The target that is filled.
    pub target: Option<TargetId>,
    pub trouble: Option<String>,
    pub stopped: bool,
    /// The highest version that was sent.
    pub sent_version: Version,
    /// A version of somebody else that ours must be above.
    pub foreign: Option<Version>,
    adopt: bool,
    pub wait_max: Duration,
    gathered_max: usize,
    sent: Sent,
    /// What was sent last: walk, sweep and open keys take turns.
    walked_last: bool,
    on_fault: SinkFaultAction,
    open: OpenKeys,
    open_keys_max: usize,
    walk: Option<Walk>,
    fill: Fill,
    /// Documents below it are from before the target was filled anew.
    sweep_floor: Version,
    /// Requests that nobody answered may still be done until then.
    late_until: Option<Instant>,
    pause_until: Option<Instant>,
    failures: u32,
}

impl Owed {
    pub fn new(facts: SinkFacts) -> Owed {
        let persisted = if facts.target.volatile { SinkRecord::default() } else { facts.record };
        let settled = if facts.emit_again { Version(0) } else { persisted.settled };
        let all = settled == Version(0);
        let mut owed = Owed {
            name: facts.name,
            traits: facts.target,
            persisted,
            base: settled,
            base_beat: persisted.beat,
            target: persisted.target,
            trouble: None,
            stopped: false,
            sent_version: Version(0),
            foreign: None,
            adopt: facts.adopt,
            wait_max: facts.wait_max,
            gathered_max: facts.gathered_max,
            sent: Sent::Nothing,
            walked_last: false,
            on_fault: facts.on_fault,
            open: OpenKeys::default(),
            open_keys_max: OPEN_KEYS_MAX,
            walk: (all || facts.open.is_none()).then_some(Walk { after: None, floor: settled }),
            fill: Fill::Done,
            sweep_floor: Version(0),
            late_until: None,
            pause_until: None,
            failures: 0,
        };
        if let Some(open) = facts.open.filter(|_| !all) {
            owed.owe(&open, Version(settled.0 + 1));
        }
        owed
    }

    /// Owes these keys: a synced checkpoint changed them.
    pub fn owe(&mut self, keys: &[Arc<str>], changed: Version) {
        if self.open.len() + keys.len() > self.open_keys_max && self.sent == Sent::Nothing {
            self.walk_instead(changed);
        }
        match &self.walk {
            // What lies ahead of a walk is found by it; of a step under way nobody knows yet how far it goes.
            Some(walk) if self.sent != Sent::Rows || mutant!(StepCovers) => {
                let after = walk.after.clone();
                let passed = |key: &&Arc<str>| after.as_ref().is_some_and(|after| *key <= after);
                keys.iter().filter(passed).for_each(|key| self.open.open(key, changed));
            }
            _ => self.open.open_all(keys, changed),
        }
    }

    /// Too many keys are open: finds them again in the rows, from the beginning. What is settled stays until that is done.
    fn walk_instead(&mut self, changed: Version) {
        let oldest = self.open.oldest().unwrap_or(changed);
        let floor = self.walk.as_ref().map_or(Version(oldest.0 - 1), |walk| walk.floor);
        if self.walk.is_none() {
            self.keep_persisted();
        }
        let filled = self.fill == Fill::Done && (self.persisted.target.is_some() || self.sweep_floor == Version(0));
        if !filled && self.fill != Fill::Quiet {
            // What a sweep found is among the keys that are forgotten here.
            self.fill = Fill::Walking;
        }
        self.walk = Some(Walk { after: None, floor });
        self.open.clear();
    }

    /// The target is filled anew: nothing is sent until [`Owed::speak`].
    pub fn refill(&mut self) {
        self.walk = Some(Walk { after: None, floor: Version(0) });
        (self.base, self.base_beat) = (Version(0), 0);
        self.open.clear();
        self.fill = if mutant!(QuietSpeaks) { Fill::Walking } else { Fill::Quiet };
        self.target = None;
        if self.sent != Sent::Nothing {
            self.sent = Sent::Stale;
        }
    }

    /// The fold has passed what may have been published.
    pub fn speak(&mut self) {
        if self.fill == Fill::Quiet {
            self.fill = Fill::Walking;
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.fill == Fill::Quiet
    }

    pub fn is_refilled(&self) -> bool {
        self.fill != Fill::Done
    }

    /// The target is ours from now on, and `synced` was the last checkpoint: documents of lower versions are not of this
    /// filling, and requests of whoever had it before may still arrive.
    pub fn taken(&mut self, now: Instant, synced: Version) {
        self.sweep_floor = synced;
        self.expect_late(now);
        if self.walk.is_none() && !self.is_refilled() {
            self.keep_persisted();
        }
    }

    /// What is saved stays settled, whatever is owed again.
    fn keep_persisted(&mut self) {
        (self.base, self.base_beat) = (self.persisted.settled, self.persisted.beat);
    }

    fn expect_late(&mut self, now: Instant) {
        if !self.traits.late_for.is_zero() {
            self.late_until = self.late_until.max(Some(now + self.traits.late_for));
        }
    }

    /// What the next checkpoint is to know, given that `synced` is the last one and what the claim was moved for last.
    pub fn record(&self, synced: Version, said: Option<Said>) -> SinkRecord {
        let settled = self.settled(synced);
        let Some(said) = said else { return SinkRecord { settled, target: self.target, beat: 0 } };
        match settled.min(said.settled) {
            settled if settled > self.base => SinkRecord { settled, target: self.target, beat: said.beat },
            _ => SinkRecord { settled: self.base, target: self.target, beat: self.base_beat },
        }
    }

    /// Everything up to it has been answered, given that `synced` is the last checkpoint.
    pub fn settled(&self, synced: Version) -> Version {
        match self.open.oldest() {
            _ if self.walk.is_some() || self.is_refilled() => self.base,
            Some(oldest) => Version(oldest.0 - u64::from(!mutant!(SettleNewer))),
            None => synced,
        }
    }

    pub fn keys(&self) -> u64 {
        self.open.len() as u64
    }

    /// Whether changes may wait for more.
    pub fn gathers(&self) -> bool {
        !self.wait_max.is_zero() && self.open.len() < self.gathered_max && self.walk.is_none() && !self.is_refilled()
    }

    pub fn walks(&self) -> bool {
        self.walk.is_some()
    }

    /// Nothing is owed and nothing is under way.
    pub fn is_clear(&self) -> bool {
        self.open.is_empty() && self.walk.is_none() && self.fill == Fill::Done && self.sent == Sent::Nothing
    }

    /// The next request, if one may be sent now.
    pub fn next_work(&mut self, now: Instant) -> Option<Work> {
        let waits = self.stopped || self.is_quiet() || self.foreign.is_some();
        if waits || self.sent != Sent::Nothing || self.pause_until.is_some_and(|until| until > now) {
            return None;
        }
        let whole = self.whole_work(now);
        let work = match whole {
            Some(whole) if !self.walked_last => Some(whole),
            whole => self.open.next(now, REQUEST_KEYS_MAX).map(Work::Keys).or(whole),
        };
        self.sent = match &work {
            None => Sent::Nothing,
            Some(Work::Keys(_)) => Sent::Keys,
            Some(Work::Rows { .. }) => Sent::Rows,
            Some(Work::Sweep { .. }) => Sent::Sweep,
        };
        self.walked_last = matches!(self.sent, Sent::Rows | Sent::Sweep);
        if matches!(work, Some(Work::Rows { after: None, .. })) {
            // What was written before the walk may arrive a second time.
            self.expect_late(now);
        }
        work
    }

    /// The next step of the walk, or of the sweep after it.
    fn whole_work(&self, now: Instant) -> Option<Work> {
        if let Some(walk) = &self.walk {
            return Some(Work::Rows { after: walk.after.clone(), floor: walk.floor });
        }
        match &self.fill {
            Fill::Sweeping { after } if self.sweep_at(now).is_some_and(|at| at <= now) => {
                Some(Work::Sweep { after: after.clone(), floor: self.sweep_floor })
            }
            _ => None,
        }
    }

    /// When the next step of the sweep is due: not while a key waits to be written anew, which would be taken for one that is
    /// gone.
    fn sweep_at(&self, now: Instant) -> Option<Instant> {
        let waits = self.open.oldest().is_some_and(|oldest| oldest <= self.sweep_floor);
        (matches!(self.fill, Fill::Sweeping { .. }) && !waits).then(|| self.late_until.unwrap_or(now))
    }

    /// When [`Owed::next_work`] may have something that it has not now.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.stopped || self.is_quiet() || self.sent != Sent::Nothing || self.foreign.is_some() {
            return None;
        }
        let whole = if self.walk.is_some() { Some(now) } else { self.sweep_at(now) };
        let due = self.open.ready_at(now).into_iter().chain(whole).min()?;
        Some(due.max(self.pause_until.unwrap_or(due)))
    }

    /// Takes an answer in. Returns the documents that are given up on.
    pub fn answer(&mut self, now: Instant, answer: Answer, jitter: &mut Jitter) -> Vec<Unwritable> {
        let sent = std::mem::replace(&mut self.sent, Sent::Nothing);
        if answer.outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unanswered { .. })) {
            self.expect_late(now);
        }
        if sent == Sent::Stale {
            return Vec::new();
        }
        if let Some(reason) = away(&answer) {
            self.failures += 1;
            self.pause_until = Some(now + backoff(self.base_backoff(), self.failures, jitter));
            self.trouble = Some(reason);
            return Vec::new();
        }
        self.failures = 0;
        self.pause_until = None;
        self.trouble = None;
        let Answer { version, outcomes, deleted, walked_to, unwritable, cut, .. } = answer;
        let deleted: HashSet<Arc<str>> = deleted.into_iter().collect();
        let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Ok | Outcome::Duplicate);
        let some_done = outcomes.iter().any(|(_, outcome)| is_done(outcome));
        let mut taking = Taking { now, sent, version, some_done, jitter, given_up: Vec::new() };
        for (key, outcome) in outcomes {
            if is_done(&outcome) && deleted.contains(&key) {
                self.deleted(now, sent, key, version);
            } else {
                self.answered(&mut taking, key, outcome);
            }
        }
        let mut given_up = taking.given_up;
        for given_up in &mut given_up {
            given_up.document = unwritable.iter().find(|(key, _)| *key == given_up.key).map(|(_, body)| body.clone());
        }
        match cut {
            Some(cut) => self.cut(sent, cut),
            None if !self.stopped => self.walked(sent, walked_to),
            None => {}
        }
        given_up
    }

    /// A document is gone: for good, once nothing older can arrive.
    fn deleted(&mut self, now: Instant, sent: Sent, key: Arc<str>, version: Version) {
        let until = match sent {
            _ if self.traits.remembers || mutant!(LateDeleteSettled) => None,
            // Any write of the key from before may arrive a second time.
            Sent::Keys => Some(now + self.traits.late_for),
            // What was sent before a walk or a sweep began is waited for as a whole: it may be very many keys.
            _ => self.late_until,
        };
        let Some(until) = until.filter(|until| *until > now) else { return self.open.close(&key, version) };
        self.reopen(sent, &key);
        match self.open.get_mut(&key) {
            // It was sent after its time: what is sent by a walk does not wait for that.
            Some(open) if open.changed <= version && open.confirms && sent == Sent::Keys => {
                self.open.close(&key, version);
            }
            Some(open) if open.changed <= version && open.confirms => {}
            // What changed since is not put off.
            Some(open) if open.changed <= version => (open.confirms, open.not_before) = (true, Some(until)),
            _ => {}
        }
    }

    /// A request was not tried to its end: what is left of it stays owed.
    fn cut(&mut self, sent: Sent, Cut { after, wait_until }: Cut) {
        self.pause_until = Some(wait_until);
        match (sent, after, &mut self.walk) {
            (Sent::Rows, Some(after), Some(walk)) if !self.stopped => walk.after = Some(after),
            (Sent::Keys, Some(after), _) => self.open.go_on_after(after),
            _ => {}
        }
    }

    /// One item of an answer.
    fn answered(&mut self, taking: &mut Taking<'_>, key: Arc<str>, outcome: Outcome) {
        let Taking { now, sent, version, .. } = *taking;
        match outcome {
            Outcome::Ok | Outcome::Duplicate => self.open.close(&key, version),
            Outcome::Retry { .. } if mutant!(RetryCloses) => self.open.close(&key, version),
            Outcome::Unanswered { reason } => {
                // It says nothing about the item: that is not counted.
                self.reopen(sent, &key);
                let pause = backoff(self.base_backoff(), 1, taking.jitter);
                if let Some(open) = self.open.get_mut(&key) {
                    open.not_before = Some(now + pause);
                }
                self.trouble = Some(reason);
            }
            Outcome::Retry { reason } => {
                self.reopen(sent, &key);
                match self.retry(now, &key, taking.jitter) {
                    Ok(()) => self.trouble = Some(reason),
                    Err(max) => {
                        let reason = format!("given up after {max} attempts: {reason}");
                        self.give_up(key, version, reason, &mut taking.given_up);
                    }
                }
            }
            Outcome::Busy { reason, after } => {
                self.reopen(sent, &key);
                if let Some(open) = self.open.get_mut(&key) {
                    open.not_before = Some(now + after.unwrap_or(BUSY_PAUSE));
                }
                // A target that takes some is only slow.
                if !taking.some_done {
                    self.trouble = Some(reason);
                }
            }
            Outcome::Poison { reason } => self.give_up(key, version, reason, &mut taking.given_up),
            Outcome::Foreign { stored: Some(stored), .. } if self.adopt => {
                self.reopen(sent, &key);
                self.foreign = self.foreign.max(Some(stored));
            }
            Outcome::Foreign { reason, .. } => {
                self.stop(format!(
                    "the target belongs to someone else: {reason}; `adopt: true` takes its documents over"
                ));
            }
        }
    }

    /// Walk and sweep leave a key behind that has to be sent again.
    fn reopen(&mut self, sent: Sent, key: &Arc<str>) {
        if sent != Sent::Keys && !self.open.contains(key) {
            let floor = self.walk.as_ref().map_or(self.base, |walk| walk.floor);
            self.open.open(key, Version(floor.0 + 1));
        }
    }

    fn walked(&mut self, sent: Sent, to: Option<Arc<str>>) {
        match (sent, to, &mut self.walk) {
            (Sent::Rows, Some(to), Some(walk)) if !mutant!(WalkEndsEarly) => walk.after = Some(to),
            (Sent::Rows, _, walk) => {
                *walk = None;
                if self.fill == Fill::Walking {
                    self.fill = if mutant!(NoSweep) { Fill::Done } else { Fill::Sweeping { after: None } };
                }
            }
            (Sent::Sweep, Some(to), _) if !mutant!(SweepEndsEarly) => self.fill = Fill::Sweeping { after: Some(to) },
            (Sent::Sweep, ..) => self.fill = Fill::Done,
            _ => {}
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
        self.open.close(&key, version);
        given_up.push(Unwritable { key, document: None, reason, version, to });
    }

    /// Nothing more is sent.
    pub fn stop(&mut self, why: String) {
        self.stopped = true;
        self.trouble = Some(why);
    }

    /// Sends again what it stopped at.
    pub fn resume(&mut self) {
        self.stopped = false;
        self.trouble = None;
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
