//! When a cut is made, what goes into its checkpoint, and what is true once it is synced.

use std::time::Instant;

use super::*;

impl Core {
    /// Makes a cut when one is due. A start's first checkpoint claims the next epoch and waits for nothing.
    pub(super) fn consider_checkpoint(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.phase == Phase::Ended || self.checkpoint_due(now).is_none_or(|due| due > now) {
            return;
        }
        let version = if self.claimed { Some(self.synced.next_checkpoint()) } else { self.synced.next_epoch() };
        let Some(version) = version else {
            return self.end_out_of_epochs(actions);
        };
        self.begin_checkpoint(now, version);
        actions.push(Action::Freeze);
    }

    fn end_out_of_epochs(&mut self, actions: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        actions.push(Action::Exit(Ended::Faulted(crate::state::StoreError::EpochsUsedUp.to_string())));
    }

    /// When the next checkpoint is due; `None` when there is nothing to write, or one is in flight.
    pub(super) fn checkpoint_due(&self, now: Instant) -> Option<Instant> {
        if self.checkpoint.is_some() || self.rewind_wanted {
            return None;
        }
        if !self.claimed {
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
        !self.claimed || self.has_unsaved_rows() || self.has_unsaved_settled() || self.has_unsaved_offsets()
    }

    fn has_unsaved_rows(&self) -> bool {
        self.dirty_rows > 0 || !self.fold_letters.is_empty() || !self.sink_letters.is_empty()
    }

    fn has_unsaved_offsets(&self) -> bool {
        self.partitions.iter().any(|p| p.folded.offset != p.synced.offset)
    }

    /// A sink has answered more than a restart would know. Once it is past the last change, it stays so by itself.
    fn has_unsaved_settled(&self) -> bool {
        let behind = |owed: &Owed| {
            !owed.volatile && owed.persisted < self.last_change && owed.settled(self.synced) > owed.persisted
        };
        self.owed.iter().any(behind)
    }

    fn begin_checkpoint(&mut self, now: Instant, version: Version) {
        let mut settled = Vec::new();
        for (sink, owed) in self.owed.iter().enumerate().filter(|(_, owed)| !owed.volatile) {
            let now_settled = owed.settled(self.synced);
            // The claim says what a changed program owes again: everything, from 0.
            if now_settled > owed.persisted || (!self.claimed && owed.persisted == Version(0)) {
                settled.push((sink, if self.claimed { now_settled } else { owed.persisted }));
            }
        }
        let moved = self.partitions.iter_mut().filter(|p| p.folded != p.synced);
        let next_offsets = moved.map(|p| (p.partition.clone(), p.folded)).collect();
        self.partitions.iter_mut().for_each(|p| p.cut = p.folded);
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
            sinks: settled.iter().map(|(sink, version)| self.sink_record(*sink, *version)).collect(),
            gone_sinks: Vec::new(),
            keep_changes: self.owed.iter().any(|owed| !owed.volatile),
            settled_by_all: self.settled_by_all(&settled),
            dead_letters,
            plan: self.facts.plan.clone(),
            counters,
        };
        self.checkpoint = Some(Checkpoint {
            version,
            began: now,
            batch: Some(Box::new(batch)),
            keys: Vec::new(),
            settled,
            sink_letters: self.sink_letters.len(),
            fold_counters: self.fold_counters,
        });
    }

    fn sink_record(&self, sink: usize, settled: Version) -> (Arc<str>, SinkRecord) {
        (self.owed[sink].name.clone(), SinkRecord { settled, target: None })
    }

    fn settled_by_all(&self, settled: &[(usize, Version)]) -> Version {
        let durable = self.owed.iter().enumerate().filter(|(_, owed)| !owed.volatile);
        let settled_of = |(index, owed): (usize, &Owed)| {
            settled.iter().find(|(sink, _)| *sink == index).map_or(owed.persisted, |(_, version)| *version)
        };
        durable.map(settled_of).min().unwrap_or(self.synced)
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
        self.claimed = true;
        self.synced = version;
        self.facts.plan = None;
        self.pace.synced(checkpoint.began, now);
        self.fold_counters_synced = checkpoint.fold_counters;
        self.sink_letters.drain(..checkpoint.sink_letters);
        for (sink, settled) in checkpoint.settled {
            self.owed[sink].persisted = settled;
        }
        if !checkpoint.keys.is_empty() {
            self.last_change = version;
            let owed = self.owed.iter_mut().filter(|owed| !owed.view);
            owed.for_each(|owed| owed.owe(&checkpoint.keys, version));
            if self.owed.iter().any(|owed| owed.view) {
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
        self.remember_to_tell(offsets);
        actions.push(Action::Release);
    }
}
