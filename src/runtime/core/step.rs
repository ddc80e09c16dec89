//! What was read and folded → what to fold, how far partitions are, when to rewind, when the end has come.

use std::time::Instant;

use super::*;
use crate::language::codes;
use crate::runtime::core::hold::Turn;
use crate::runtime::decide::{Missing, decide_offset};

/// How long giving up claims may take.
const LEAVING_MAX: Duration = Duration::from_secs(5);

impl Core {
    pub fn new(facts: CoreFacts) -> Core {
        Core {
            phase: Phase::Running,
            partitions: Vec::new(),
            index: HashMap::new(),
            by_input: Vec::new(),
            found: None,
            start_until: None,
            started: false,
            rebuilt: false,
            opened: false,
            synced: facts.version,
            last_change: facts.version,
            begun: false,
            epoch_floor: Epoch(0),
            urgent: false,
            targets_made: 0,
            checkpoint: None,
            rewinds: 0,
            rewind_wanted: false,
            careful: false,
            fold_counters: facts.counters,
            fold_counters_synced: facts.counters,
            sink_counters: Counters::default(),
            fold_letters: Vec::new(),
            sink_letters: Vec::new(),
            dirty_rows: 0,
            dirty_bytes: 0,
            owed: facts.sinks.iter().cloned().map(Owed::new).collect(),
            holds: facts.sinks.iter().map(|sink| Some(Hold::new(facts.us, sink.target.claimed?))).collect(),
            pace: Pace::new(facts.checkpoint_interval),
            jitter: Jitter::new(facts.seed),
            changes: Changes::default(),
            telling: Vec::new(),
            caught_up: false,
            facts,
        }
    }

    /// Takes in what happened and says what to do.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Ended {
            if matches!(input, Input::Read { .. }) {
                actions.push(Action::Discard);
            }
            return actions;
        }
        match input {
            Input::Start => self.start_until = Some(now + self.facts.start_timeout),
            Input::Tick => {}
            Input::Opened(found) if self.started => self.open(found, &mut actions),
            Input::Opened(found) => self.found.get_or_insert_default().extend(found),
            Input::Read { rewinds, inputs } => return vec![self.admit(rewinds, &inputs)],
            Input::Folded(folded) => self.folded(folded, &mut actions),
            Input::Frozen(keys) => self.frozen(keys, &mut actions),
            Input::Synced(version) => self.synced(now, version, &mut actions),
            Input::CommitFailed(_) if mutant!(FailedCommitIgnored) => {
                let version = self.checkpoint.as_ref().map_or(self.synced, |checkpoint| checkpoint.version);
                self.synced(now, version, &mut actions);
            }
            Input::CommitFailed(why) => self.end(Ended::Faulted(why), &mut actions),
            Input::Answer(answer) => self.answered(now, answer, &mut actions),
            Input::ClaimRead { sink, result } => {
                let turn = self.holds[sink].as_mut().map(|hold| hold.read(now, result));
                self.claim_turned(now, sink, turn.unwrap_or(Turn::Nothing), &mut actions);
            }
            Input::ClaimMoved { sink, result } => {
                let turn = self.holds[sink].as_mut().map(|hold| hold.moved(now, result));
                self.claim_turned(now, sink, turn.unwrap_or(Turn::Nothing), &mut actions);
            }
            Input::Retry => self.retry(&mut actions),
            Input::Redrive { sink, keys } => self.owed[sink].owe(&keys, self.synced),
            Input::Skip { partition, offset } => self.skip(&partition, offset, &mut actions),
            Input::Ends(ends) => self.ends(ends),
            Input::Lost { partition, why } => self.lose(&partition, &why, &mut actions),
            Input::Failed(ended) => self.end(ended, &mut actions),
            Input::Stop => self.stop(now),
        }
        self.consider_start(now, &mut actions);
        self.consider_rewind(&mut actions);
        self.open_held(&mut actions);
        self.notice_caught_up(&mut actions);
        self.consider_checkpoint(now, &mut actions);
        self.end_quiet();
        self.claim(now, &mut actions);
        self.publish(now, &mut actions);
        self.tell(&mut actions);
        self.consider_end(now, &mut actions);
        actions
    }

    /// Whether a batch may be folded now. While too much is changed and unwritten, it waits for the checkpoint.
    pub fn may_fold(&self) -> bool {
        self.checkpoint.is_none() || self.dirty_bytes <= self.facts.dirty_bytes_max
    }

    pub(super) fn open(&mut self, found: Vec<PartitionFacts>, actions: &mut Vec<Action>) {
        let until: Vec<_> = self.partitions.iter().enumerate().filter_map(|(i, p)| Some((i, p.end?))).collect();
        let held = self.opened && !until.is_empty();
        for facts in found {
            if let Some(index) = self.index.get(&facts.partition) {
                self.reopen(*index, facts, actions);
                continue;
            }
            let reading = if held { Reading::Held { until: until.clone() } } else { Reading::Open };
            if let Some(partition) = self.found_partition(facts, reading, actions) {
                self.index.insert(partition.partition.clone(), self.partitions.len());
                self.partitions.push(partition);
            }
        }
        self.by_input.clear();
        if !self.opened {
            self.opened = true;
            self.hold_unread();
            let starts = self.starts();
            if !starts.is_empty() {
                actions.push(Action::Open(starts));
            }
        }
    }

    /// A partition of which nothing was ever read may have been added while the others were: it waits for what they hold now.
    fn hold_unread(&mut self) {
        let was_read = |partition: &Partition| partition.synced.last.is_some();
        let read = self.partitions.iter().enumerate().filter(|(_, partition)| was_read(partition));
        let until: Vec<_> = read.filter_map(|(index, partition)| Some((index, partition.end?))).collect();
        for partition in self.partitions.iter_mut().filter(|partition| !was_read(partition)) {
            if partition.reading == Reading::Open && !until.is_empty() {
                partition.reading = Reading::Held { until: until.clone() };
            }
        }
    }

    /// A partition as it is read from now on; none when it is gone and that is accepted.
    fn found_partition(
        &mut self,
        facts: PartitionFacts,
        reading: Reading,
        actions: &mut Vec<Action>,
    ) -> Option<Partition> {
        let PartitionFacts { partition, log } = facts;
        let (beginning, end) = (log.range.map(|range| range.beginning), log.range.map(|range| range.end));
        let found = match decide_offset(log, self.rebuilt && !self.opened) {
            // From now on it is known, so that what is missing from its beginning is noticed.
            Ok(start) => Partition { unsaved: log.stored.is_none(), ..Partition::new(partition, start, reading) },
            Err(Missing { what, beginning }) if self.facts.accept_loss => {
                self.note_loss(&partition, log.stored, &what);
                actions.push(Action::Report(Report::LossAccepted { partition: partition.clone(), what }));
                let start = NextOffset { offset: beginning?, time: None, last: None };
                Partition { unsaved: true, ..Partition::new(partition, start, reading) }
            }
            Err(Missing { what, .. }) => unreadable(partition, log.stored, self.advised(&what), actions),
        };
        Some(Partition { beginning, end, goal: end, ..found })
    }

    /// Writes a loss that was accepted down, beside the events that were set aside.
    fn note_loss(&mut self, partition: &TopicPartition, stored: Option<NextOffset>, what: &str) {
        // It is not of the fold: no rewind takes it back.
        self.sink_letters.push(DeadLetter {
            partition: partition.clone(),
            offset: stored.map_or(Offset(0), |stored| stored.offset),
            time: None,
            key: None,
            value: None,
            headers: Vec::new(),
            to: "".into(),
            class: "lost".into(),
            code: codes::LOST.into(),
            message: what.to_owned(),
            at: None,
        });
    }

    /// What is missing, and what can be done.
    fn advised(&self, what: &str) -> String {
        let name = &self.facts.projection;
        format!(
            "{what}; put the log back, or go on without what is missing with `projector run --accept-loss`, or start anew \
             with `projector drop {name}`"
        )
    }

    /// Reads a partition again that had stopped, if nothing is missing in it.
    fn reopen(&mut self, index: usize, facts: PartitionFacts, actions: &mut Vec<Action>) {
        if self.partitions[index].stopped().is_none() {
            return;
        }
        let Some(found) = self.found_partition(facts, Reading::Open, actions) else { return };
        let partition = &mut self.partitions[index];
        (partition.beginning, partition.end) = (found.beginning, found.end);
        partition.reading = found.reading;
        if partition.stopped().is_none() {
            partition.folded = found.folded;
            if found.unsaved {
                (partition.cut, partition.synced, partition.unsaved) = (found.cut, found.synced, true);
            }
            self.reread(actions);
        }
    }

    /// Reads a partition that had stopped again. Batches that were read before may lack what was refused meanwhile.
    fn reread(&mut self, actions: &mut Vec<Action>) {
        self.rewinds += u32::from(!mutant!(SkipReadsOn));
        actions.push(Action::Reread { rewinds: self.rewinds, starts: self.starts() });
    }

    /// Tries again what has stopped: partitions are looked at anew, sinks send what they stopped at.
    fn retry(&mut self, actions: &mut Vec<Action>) {
        let stopped = self.partitions.iter().filter(|partition| partition.stopped().is_some());
        let look: Vec<_> = stopped.map(|partition| (partition.partition.clone(), partition.folded)).collect();
        if !look.is_empty() {
            actions.push(Action::Look(look));
        }
        self.owed.iter_mut().filter(|owed| owed.stopped).for_each(Owed::resume);
        self.holds.iter_mut().flatten().for_each(Hold::look_again);
    }

    /// Whether a partition has stopped at the event at `offset`, so that it may be skipped; else how it stands.
    pub fn may_skip(&self, partition: &TopicPartition, offset: Offset) -> Result<(), String> {
        let Some(index) = self.index.get(partition) else {
            return Err(format!("{partition} is not one of its partitions"));
        };
        let found = &self.partitions[*index];
        if self.rewind_wanted {
            return Err(format!("{partition} is about to be read again from its last checkpoint: try again"));
        }
        match &found.reading {
            Reading::Stopped { at_event: true, .. } if found.folded.offset == offset => Ok(()),
            Reading::Stopped { at_event: true, .. } => {
                Err(format!("{partition} has stopped at offset {}, not at {offset}", found.folded.offset))
            }
            Reading::Stopped { why, .. } => Err(format!("{partition} has not stopped at an event: {why}")),
            _ => Err(format!("{partition} has not stopped: its next offset is {}", found.folded.offset)),
        }
    }

    fn skip(&mut self, partition: &TopicPartition, offset: Offset, actions: &mut Vec<Action>) {
        if self.may_skip(partition, offset).is_err() {
            return;
        }
        let partition = &mut self.partitions[self.index[partition]];
        partition.folded.offset = Offset(offset.0 + 1);
        partition.reading = Reading::Open;
        partition.at_end = false;
        self.fold_counters.skipped += 1;
        self.urgent = true;
        self.reread(actions);
    }

    /// Opens partitions that were added later, once the others have passed the ends they had then.
    fn open_held(&mut self, actions: &mut Vec<Action>) {
        let mut starts = Vec::new();
        for index in 0..self.partitions.len() {
            let Reading::Held { until } = &self.partitions[index].reading else { continue };
            let passed = |(other, end): &(usize, Offset)| {
                let other = &self.partitions[*other];
                // A log that was made again may end before.
                other.stopped().is_some() || other.folded.offset >= *end || other.is_caught_up()
            };
            if until.iter().all(passed) {
                let partition = &mut self.partitions[index];
                partition.reading = Reading::Open;
                starts.push((partition.partition.clone(), partition.folded.offset));
            }
        }
        if !starts.is_empty() {
            actions.push(Action::Open(starts));
        }
    }

    /// Where each partition that is read goes on.
    fn starts(&self) -> Vec<(TopicPartition, Offset)> {
        let read = self.partitions.iter().filter(|p| p.admits().is_some());
        read.map(|p| (p.partition.clone(), p.folded.offset)).collect()
    }

    fn admit(&mut self, rewinds: u32, inputs: &[TopicPartition]) -> Action {
        if (rewinds != self.rewinds && !mutant!(StaleBatchFolded)) || self.rewind_wanted || self.phase != Phase::Running
        {
            return Action::Discard;
        }
        for input in &inputs[self.by_input.len().min(inputs.len())..] {
            self.by_input.push(self.index.get(input).copied());
        }
        let admits = |index: &Option<usize>| index.and_then(|index| self.partitions[index].admits());
        Action::Fold { admission: self.by_input.iter().map(admits).collect(), careful: self.careful }
    }

    fn folded(&mut self, folded: Folded, actions: &mut Vec<Action>) {
        if folded.oversized || !folded.stops.is_empty() {
            self.careful |= folded.oversized;
            self.rewind_wanted = true;
            folded.stops.into_iter().for_each(|(input, at, why)| self.stop_at(input, at, why));
            return;
        }
        for last in &folded.lasts {
            if let Some(partition) = self.of_input(last.input) {
                partition.folded.time = last.time.or(partition.folded.time);
                partition.folded.last = Some((last.offset, last.hash));
            }
        }
        for (input, position) in folded.positions {
            let passes = folded.counts.folded > 0 || !mutant!(FilteredNotPassed);
            let Some(partition) = self.of_input(input).filter(|_| passes) else { continue };
            if let Some(why) = partition.passed(position) {
                report_stop(partition, why, actions);
            }
        }
        for input in folded.ends {
            // What is held back by a fault is not at the end, though its reader is.
            if let Some(partition) = self.of_input(input).filter(|p| p.reading == Reading::Open) {
                partition.at_end = true;
                partition.end = Some(partition.folded.offset);
            }
        }
        add(&mut self.fold_counters, folded.counts);
        self.fold_letters.extend(folded.dead_letters);
        self.dirty_rows = folded.dirty_rows;
        self.dirty_bytes = folded.dirty_bytes;
    }

    fn of_input(&mut self, input: u32) -> Option<&mut Partition> {
        let index = (*self.by_input.get(input as usize)?)?;
        Some(&mut self.partitions[index])
    }

    fn stop_at(&mut self, input: u32, at: Offset, why: String) {
        if let Some(partition) = self.of_input(input)
            && partition.admits().is_some_and(|(_, to)| at < to)
        {
            let at = Offset(at.0 + i64::from(mutant!(StopsOneLater)));
            partition.reading = Reading::UpTo { at, why };
        }
    }

    /// Goes back to the last checkpoint, once none is in flight.
    fn consider_rewind(&mut self, actions: &mut Vec<Action>) {
        if !self.rewind_wanted || self.checkpoint.is_some() {
            return;
        }
        self.rewind_wanted = false;
        self.rewinds += 1;
        if !mutant!(CountersNotRewound) {
            self.fold_counters = self.fold_counters_synced;
        }
        if !mutant!(LettersNotRewound) {
            self.fold_letters.clear();
        }
        self.dirty_rows = 0;
        self.dirty_bytes = 0;
        for partition in &mut self.partitions {
            if !mutant!(RewindForgetsNothing) {
                partition.rewind();
            }
            if let Some(why) = partition.stop_when_reached() {
                report_stop(partition, why, actions);
            }
        }
        actions.push(Action::Rewind { rewinds: self.rewinds, starts: self.starts() });
    }

    fn lose(&mut self, partition: &TopicPartition, what: &str, actions: &mut Vec<Action>) {
        let Some(index) = self.index.get(partition) else { return };
        let why = format!("{partition}: {}", self.advised(what));
        let partition = &mut self.partitions[*index];
        if partition.stopped().is_none() {
            partition.reading = Reading::Stopped { why: why.clone(), at_event: false };
            report_stop(partition, why, actions);
        }
    }

    fn ends(&mut self, ends: Vec<(TopicPartition, OffsetRange)>) {
        for (partition, OffsetRange { beginning, end }) in ends {
            if let Some(index) = self.index.get(&partition) {
                let partition = &mut self.partitions[*index];
                partition.at_end &= partition.end == Some(end);
                (partition.beginning, partition.end) = (Some(beginning), Some(end));
            }
        }
    }

    fn stop(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Stopping { until: now + self.facts.shutdown_timeout };
        }
    }

    fn notice_caught_up(&mut self, actions: &mut Vec<Action>) {
        let caught_up = |p: &Partition| p.is_caught_up() || p.stopped().is_some();
        if !self.caught_up && self.opened && self.partitions.iter().all(caught_up) {
            self.caught_up = true;
            actions.push(Action::Report(Report::CaughtUp));
        }
    }

    /// Nothing more will be read.
    pub(super) fn has_read_all(&self) -> bool {
        if matches!(self.phase, Phase::Stopping { .. } | Phase::Leaving { .. }) {
            return true;
        }
        let all_done = self.facts.until_caught_up && self.partitions.iter().all(Partition::is_done);
        self.opened && (all_done || self.all_stopped())
    }

    fn all_stopped(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.iter().all(|p| p.stopped().is_some())
    }

    fn consider_end(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let saved = self.checkpoint.is_none() && !self.rewind_wanted && !self.has_unsaved();
        if !self.started || !self.has_read_all() || !saved {
            return;
        }
        if matches!(self.phase, Phase::Leaving { .. }) {
            // A move may have been under way before.
            self.release(now, actions);
        }
        if let Phase::Leaving { until, ended } = &self.phase {
            if now >= *until || self.holds.iter().flatten().all(Hold::is_over) {
                let ended = ended.clone();
                self.end(ended, actions);
            }
            return;
        }
        // A target that is filled anew waits for the log, of which nothing more comes.
        let stopping = matches!(self.phase, Phase::Stopping { .. });
        let over = |owed: &Owed| owed.stopped || owed.is_clear() || (stopping && owed.is_quiet());
        let settled = self.owed.iter().all(|owed| over(owed) || mutant!(EndsTooEarly));
        let ended = match self.phase {
            Phase::Stopping { until } if settled || now >= until => Ended::Stopped,
            Phase::Running if settled => self.first_trouble().map_or(Ended::CaughtUp, Ended::Faulted),
            _ => return,
        };
        self.phase = Phase::Leaving { until: now + LEAVING_MAX, ended };
        self.release(now, actions);
        self.consider_end(now, actions);
    }

    fn first_trouble(&self) -> Option<String> {
        let partition = self.partitions.iter().find_map(|p| p.stopped().map(str::to_owned));
        let sink = || self.owed.iter().find(|owed| owed.stopped).and_then(|owed| owed.trouble.clone());
        partition.or_else(sink)
    }

    pub(super) fn end(&mut self, ended: Ended, actions: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        actions.push(Action::Exit(ended));
    }

    /// When a [`Input::Tick`] may change something, if nothing else happens.
    pub fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.phase == Phase::Ended {
            return None;
        }
        let until = match &self.phase {
            Phase::Leaving { until, .. } => {
                let claims = self.holds.iter().flatten().filter_map(|hold| hold.release_at(now));
                return claims.chain([*until]).min();
            }
            Phase::Stopping { until } => Some(*until),
            _ => self.start_until.filter(|_| !self.started),
        };
        let sinks = (0..self.owed.len()).filter(|sink| self.may_send(*sink, now));
        let sinks = sinks.filter_map(|sink| Some(self.owed[sink].wake_at(now)?.max(self.gathers_until(sink, now))));
        let claims = self.holds.iter().enumerate();
        let claims = claims.filter_map(|(sink, hold)| hold.as_ref()?.wake_at(self.done(sink).settled));
        let until = until.filter(|until| *until > now);
        sinks.chain(claims).chain(until).chain(self.checkpoint_due(now)).min()
    }
}

/// A partition that is stopped from the start, at the place it had been folded to.
fn unreadable(
    partition: TopicPartition,
    stored: Option<NextOffset>,
    why: String,
    actions: &mut Vec<Action>,
) -> Partition {
    let start = stored.unwrap_or(NextOffset { offset: Offset(0), time: None, last: None });
    let why = format!("{partition}: {why}");
    let report = Report::PartitionStopped { partition: partition.clone(), offset: start.offset, why: why.clone() };
    actions.push(Action::Report(report));
    Partition::new(partition, start, Reading::Stopped { why, at_event: false })
}

fn report_stop(partition: &Partition, why: String, actions: &mut Vec<Action>) {
    let name = partition.partition.clone();
    actions.push(Action::Close(name.clone()));
    let offset = partition.folded.offset;
    actions.push(Action::Report(Report::PartitionStopped { partition: name, offset, why }));
}

/// Adds counts up.
pub(crate) fn add(sum: &mut Counters, counts: Counters) {
    sum.folded += counts.folded;
    sum.filtered += counts.filtered;
    sum.dropped += counts.dropped;
    sum.skipped += counts.skipped;
    sum.dead_letters += counts.dead_letters;
}
