//! When a cut is made, what goes into its checkpoint, and what is true once it is synced.

use std::time::Instant;

use super::*;

impl Core {
    /// Makes a cut when one is due. A start's first checkpoint claims the next epoch and waits for nothing.
    pub(super) fn consider_checkpoint(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase == Phase::Ended || self.checkpoint_due(now).is_none_or(|due| due > now) {
            return;
        }
        let version = if self.wants_epoch() { self.next_epoch() } else { Some(self.synced.next_checkpoint()) };
        let Some(version) = version else {
            return self.end_out_of_epochs(actions);
        };
        self.begin_checkpoint(now, version);
        actions.push(Action::Freeze);
    }

    /// A start takes an epoch of its own, and one above those of all claims it takes.
    fn wants_epoch(&self) -> bool {
        !self.begun || self.epoch_floor >= self.synced.epoch()
    }

    fn next_epoch(&self) -> Option<Version> {
        if mutant!(EpochNotRaised) && self.synced > Version(0) {
            return Some(self.synced.next_checkpoint());
        }
        self.synced.max(self.epoch_floor.first_version()).next_epoch()
    }

    fn end_out_of_epochs(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        actions.push(Action::Exit(Ended::Faulted(crate::state::StoreError::EpochsUsedUp.to_string())));
    }

    /// When the next checkpoint is due; `None` when there is nothing to write, or one is in flight.
    pub(super) fn checkpoint_due(&self, now: Instant) -> Option<Instant> {
        if self.checkpoint.is_some() || self.rewind_wanted || !self.started {
            return None;
        }
        if self.wants_epoch() || self.urgent {
            return Some(now);
        }
        let rows = self.has_unsaved_rows() || self.has_unsaved_settled();
        if !rows && !self.has_unsaved_offsets() {
            return None;
        }
        if self.has_read_all() || self.dirty_bytes > self.facts.dirty_bytes_max / 2 {
            return Some(now);
        }
        Some(if rows { self.pace.rows_due(now) } else { self.pace.offsets_due(now) })
    }

    pub(super) fn has_unsaved(&self) -> bool {
        !self.begun || self.has_unsaved_rows() || self.has_unsaved_settled() || self.has_unsaved_offsets()
    }

    fn has_unsaved_rows(&self) -> bool {
        self.dirty_rows > 0 || !self.fold_letters.is_empty() || !self.sink_letters.is_empty()
    }

    fn has_unsaved_offsets(&self) -> bool {
        self.partitions.iter().any(|p| p.folded.offset != p.synced.offset || p.unsaved)
    }

    /// A sink has answered more than a restart would know. Once it is past the last change, it stays so by itself.
    fn has_unsaved_settled(&self) -> bool {
        let differs = |sink: usize| {
            let (saved, now) = (self.owed[sink].persisted, self.sink_record(sink));
            let settled = saved.settled < self.last_change && now.settled > saved.settled;
            settled || now.settled < saved.settled || now.target != saved.target
        };
        self.durable_sinks().any(differs)
    }

    fn durable_sinks(&self) -> impl Iterator<Item = usize> {
        (0..self.owed.len()).filter(|sink| !self.owed[*sink].traits.volatile)
    }

    /// What a checkpoint says of a sink now. Its claim must have been moved since so much was settled: so a target that was put
    /// back to how it was earlier is known by its claim.
    fn sink_record(&self, sink: usize) -> SinkRecord {
        self.owed[sink].record(self.synced, self.holds[sink].as_ref().map(Hold::said))
    }

    fn begin_checkpoint(&mut self, now: Instant, version: Version) {
        self.urgent = false;
        let sinks: Vec<_> = self.durable_sinks().map(|sink| (sink, self.sink_record(sink))).collect();
        let moved = |(sink, record): &&(usize, SinkRecord)| self.owed[*sink].persisted != *record || !self.begun;
        let sinks_moved = sinks.iter().filter(moved).map(|(sink, record)| (self.owed[*sink].name.clone(), *record));
        let moved = self.partitions.iter().filter(|p| p.folded != p.synced || p.unsaved);
        let wrong = i64::from(mutant!(OffsetTooHigh)) - i64::from(mutant!(OffsetTooLow));
        let next = |p: &Partition| NextOffset { offset: Offset(p.folded.offset.0 + wrong), ..p.folded };
        let next_offsets = moved.map(|p| (p.partition.clone(), next(p))).collect();
        self.partitions.iter_mut().for_each(|p| (p.cut, p.unsaved) = (p.folded, false));
        let mut dead_letters = std::mem::take(&mut self.fold_letters);
        dead_letters.extend(self.sink_letters.iter().cloned());
        let mut counters = self.fold_counters;
        add(&mut counters, self.sink_counters);
        let batch = CheckpointBatch {
            projection: self.facts.projection.clone(),
            generation: self.facts.generation,
            version,
            rows: Vec::new(),
            next_offsets,
            sinks: sinks_moved.filter(|_| !mutant!(SettledNotSaved)).collect(),
            gone_sinks: std::mem::take(&mut self.facts.gone_sinks),
            keep_changes: !sinks.is_empty(),
            settled_by_all: sinks.iter().map(|(_, record)| record.settled).min().unwrap_or(self.synced),
            dead_letters,
            plan: self.facts.plan.clone(),
            counters,
        };
        self.checkpoint = Some(Checkpoint {
            version,
            began: now,
            batch: Some(Box::new(batch)),
            keys: Vec::new(),
            sinks,
            sink_letters: self.sink_letters.len(),
            fold_counters: self.fold_counters,
        });
    }

    pub(super) fn frozen(&mut self, keys: Vec<Arc<str>>, actions: &mut Vec<Action>) {
        let checkpoint = self.checkpoint.as_mut().expect("frozen for a checkpoint");
        checkpoint.keys = keys;
        let batch = checkpoint.batch.take().expect("frozen once");
        self.dirty_rows = 0;
        self.dirty_bytes = 0;
        self.careful = false;
        actions.push(Action::Checkpoint(batch));
    }

    pub(super) fn synced(&mut self, now: Instant, version: Version, actions: &mut Vec<Action>) {
        let Some(checkpoint) = self.checkpoint.take_if(|checkpoint| checkpoint.version == version) else { return };
        if !self.begun {
            // What was owed before the start counts from it.
            self.changes.changed(version, now);
        }
        self.begun = true;
        self.synced = version;
        self.facts.plan = None;
        self.pace.synced(checkpoint.began, now);
        self.fold_counters_synced = checkpoint.fold_counters;
        self.sink_letters.drain(..checkpoint.sink_letters);
        for (sink, record) in checkpoint.sinks {
            self.owed[sink].persisted = record;
        }
        if !checkpoint.keys.is_empty() {
            self.last_change = version;
            self.changes.changed(version, now);
            let owed = self.owed.iter_mut().filter(|owed| !owed.traits.view);
            owed.for_each(|owed| owed.owe(&checkpoint.keys, version));
            if self.owed.iter().any(|owed| owed.traits.view) && !mutant!(ViewNotShown) {
                actions.push(Action::Show { version, keys: checkpoint.keys });
            }
        }
        let mut offsets = Vec::new();
        for partition in &mut self.partitions {
            if partition.synced.offset != partition.cut.offset {
                offsets.push((partition.partition.clone(), partition.cut.offset));
            }
            partition.synced = partition.cut;
        }
        self.changes.settled_by_all(self.owed.iter().map(|owed| owed.settled(version)).min().unwrap_or(version));
        self.remember_to_tell(offsets);
        actions.push(Action::Release);
    }
}
