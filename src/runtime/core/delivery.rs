//! What sinks are owed → requests; their answers → what is settled; what is settled → offsets told, and status shown.

use std::time::{Instant, SystemTime};

use super::*;
use crate::runtime::progress::{ProjectionStatus, RunState};

impl Core {
    /// Sends each sink its next request. Nothing is published before this start's epoch is synced.
    pub(super) fn publish(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Ended | Phase::Leaving { .. }) {
            return;
        }
        for sink in 0..self.owed.len() {
            if !self.may_send(sink, now) || self.gathers_until(sink, now) > now {
                continue;
            }
            let until = self.holds[sink].as_ref().and_then(Hold::fresh_until);
            let owed = &mut self.owed[sink];
            owed.foreign.take_if(|foreign| *foreign < self.synced);
            if let Some(work) = owed.next_work(now) {
                let version = match &self.checkpoint {
                    Some(checkpoint) if mutant!(PublishBeforeSync) => checkpoint.version,
                    _ if mutant!(VersionOfLastChange) => self.last_change,
                    _ => self.synced,
                };
                owed.sent_version = version;
                actions.push(Action::Publish { sink, version, work, until });
            }
        }
    }

    /// Until when a sink gathers changes before they are sent, as its `batch` option says; now when it does not.
    pub(super) fn gathers_until(&self, sink: usize, now: Instant) -> Instant {
        let owed = &self.owed[sink];
        let gathers = self.phase == Phase::Running && owed.gathers();
        let since = gathers.then(|| self.changes.since(owed.settled(self.synced))).flatten();
        since.map_or(now, |since| (since + owed.wait_max).max(now))
    }

    /// Nothing is sent before this start's epoch is synced and the target's claim is ours in it.
    pub(super) fn may_send(&self, sink: usize, now: Instant) -> bool {
        let held = |hold: &Hold| mutant!(PublishBeforeClaim) || hold.may_send(now, self.synced);
        self.begun && self.holds[sink].as_ref().is_none_or(held)
    }

    pub(super) fn answered(&mut self, now: Instant, answer: Answer, actions: &mut Vec<Action>) {
        let sink_index = answer.sink;
        let owed = &mut self.owed[sink_index];
        let was_stopped = owed.stopped;
        let given_up = owed.answer(now, answer, &mut self.jitter);
        // What a sweep found and could not do yet is still of the filling.
        if !owed.is_refilled() && owed.settled(self.synced) > Version(0) {
            let held = self.holds[sink_index].as_ref().and_then(Hold::target);
            owed.target = held.or(owed.target);
        }
        self.epoch_floor = self.epoch_floor.max(owed.foreign.map_or(Epoch(0), Version::epoch));
        let sink = owed.name.clone();
        if owed.stopped && !was_stopped {
            let why = owed.trouble.clone().unwrap_or_default();
            actions.push(Action::Report(Report::SinkStopped { sink: sink.clone(), why }));
        }
        for unwritable in given_up {
            let Unwritable { key, reason, .. } = &unwritable;
            let report = Report::Unwritable { sink: sink.clone(), key: key.clone(), reason: reason.clone() };
            actions.push(Action::Report(report));
            self.set_aside(sink_index, unwritable);
        }
    }

    fn set_aside(&mut self, sink_index: usize, unwritable: Unwritable) {
        let sink = &self.owed[sink_index].name;
        let Some(to) = unwritable.to else {
            self.sink_counters.skipped += 1;
            return;
        };
        self.sink_counters.dead_letters += 1;
        self.sink_letters.push(DeadLetter {
            // A document has no place in the log: it is named by its sink and its version.
            partition: TopicPartition { topic: sink.clone(), partition: -1 },
            offset: Offset(unwritable.version.0 as i64),
            time: None,
            key: Some(unwritable.key.as_bytes().to_vec()),
            value: unwritable.document.map(|document| document.to_vec()),
            headers: Vec::new(),
            to,
            class: "sink".into(),
            code: "".into(),
            message: unwritable.reason,
            at: self.facts.sinks[sink_index].at.clone(),
        });
    }

    /// Keeps the offsets of a synced checkpoint until what it changed is settled: the oldest and the newest are enough.
    pub(super) fn remember_to_tell(&mut self, offsets: Vec<(TopicPartition, Offset)>) {
        if offsets.is_empty() {
            return;
        }
        if self.telling.len() < 2 {
            return self.telling.push(Telling { change: self.last_change, offsets });
        }
        let newest = &mut self.telling[1];
        newest.change = self.last_change;
        for (partition, offset) in offsets {
            match newest.offsets.iter_mut().find(|(known, _)| *known == partition) {
                Some(known) => known.1 = offset,
                None => newest.offsets.push((partition, offset)),
            }
        }
    }

    pub(super) fn tell(&mut self, actions: &mut Vec<Action>) {
        let durable = self.owed.iter().filter(|owed| !owed.traits.volatile && !owed.stopped);
        let settled = durable.map(|owed| owed.persisted.settled).min().unwrap_or(self.synced);
        while self.telling.first().is_some_and(|telling| telling.change <= settled) {
            actions.push(Action::Tell(self.telling.remove(0).offsets));
        }
    }

    /// How this projection stands.
    pub fn status(&self, checkpoint_at: Option<SystemTime>, ended: Option<&Ended>) -> ProjectionStatus {
        let mut counters = self.fold_counters_synced;
        add(&mut counters, self.sink_counters);
        ProjectionStatus {
            name: self.facts.projection.0.clone(),
            run_state: self.run_state(ended),
            version: self.synced,
            partitions: self.partitions.iter().map(shown_partition).collect(),
            sinks: (0..self.owed.len()).map(|sink| self.shown_sink(sink)).collect(),
            counters,
            checkpoint_at,
        }
    }

    fn shown_sink(&self, sink: usize) -> SinkStatus {
        let (owed, hold) = (&self.owed[sink], &self.holds[sink]);
        let waits = || hold.as_ref()?.waits_for();
        let quiet = || owed.is_quiet().then(|| "it is filled anew once the log is folded to its end".to_owned());
        let fills = owed.is_refilled() || (owed.traits.volatile && owed.walks());
        let settled = owed.settled(self.synced);
        SinkStatus {
            name: owed.name.clone(),
            settled,
            owed: owed.keys(),
            owed_since: self.changes.since(settled).filter(|_| !owed.is_clear()),
            walks: owed.walks(),
            filled: !fills,
            trouble: owed.trouble.clone().or_else(waits).or_else(quiet),
            stopped: owed.stopped,
            metered: None,
        }
    }

    fn run_state(&self, ended: Option<&Ended>) -> RunState {
        match ended {
            Some(Ended::CaughtUp | Ended::Stopped) => return RunState::Finished,
            Some(ended) => return RunState::Stopped(ended.to_string()),
            None => {}
        }
        if !self.begun || !self.opened {
            return RunState::Starting;
        }
        match self.partitions.iter().find_map(Partition::stopped) {
            Some(why) if self.partitions.iter().all(|p| p.stopped().is_some()) => RunState::Stopped(why.to_owned()),
            _ => RunState::Running,
        }
    }
}

fn shown_partition(partition: &Partition) -> PartitionStatus {
    PartitionStatus {
        partition: partition.partition.clone(),
        next_offset: partition.synced.offset,
        beginning: partition.beginning,
        end: partition.end,
        caught_up: partition.is_caught_up() && partition.synced.offset == partition.folded.offset,
        stopped: partition.stopped().map(str::to_owned),
    }
}
