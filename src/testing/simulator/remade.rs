//! A topic that was deleted and made again, with other records at the same offsets: it is never folded over.

use std::collections::BTreeMap;

use crate::event::batch::NewRecord;
use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::runtime::fixture::Given;
use crate::runtime::fold::record_hash;
use crate::sources::memory::MemoryRecord;
use crate::state::{ProjectionState, Snapshot};

use super::laws::{self, Broken, Law};
use super::process::Process;
use super::report::Seen;
use super::subject::{CACHE, Expected, SINKS, TOPIC};
use super::world::World;

/// What a topic held before it was made again, and how its records are known.
#[derive(Debug, Default)]
pub(super) struct Former {
    given: BTreeMap<TopicPartition, Vec<Option<Given>>>,
    hashes: BTreeMap<TopicPartition, Vec<[u8; 16]>>,
}

impl World {
    /// Deletes the topic and makes it again, once, and not where records are missing for other reasons. Nor where some were
    /// skipped: a first record that was skipped leaves nothing by which its log is known.
    pub fn remake_topic(&mut self) {
        if self.former.is_some() || self.compacted || !self.beginnings.is_empty() || !self.skips.is_empty() {
            return;
        }
        let given = self.given.iter_mut().map(|(partition, events)| (partition.clone(), std::mem::take(events)));
        let given = given.collect();
        self.former = Some(Former { given, hashes: std::mem::take(&mut self.hashes) });
        self.log.recreate(TOPIC);
        self.log_changes += 1;
        self.saw(Seen::Remade);
        self.say(|_| "the topic is deleted and made again".into());
    }
}

/// The hash by which the engine knows a record again.
pub(super) fn hash_of(record: &MemoryRecord) -> [u8; 16] {
    let mut batch = RecordBatch::of(vec![TopicPartition { topic: TOPIC.into(), partition: 0 }]);
    let new = NewRecord { key: record.key.as_deref(), value: record.value.as_deref(), ..NewRecord::default() };
    let headers = record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    batch.push(0, Offset(0), new, headers);
    record_hash(&batch.record(0))
}

/// The rows come from one log for each partition: what was folded of the former one stays and its partition stops, or
/// nothing was and the new one is folded to its end.
pub(super) fn folded_from_one_log(
    world: &World,
    process: &Process,
    snapshot: &dyn Snapshot,
    state: &ProjectionState,
    former: &Former,
) -> Result<(), Broken> {
    let status = process.core.status(None, process.ended.as_ref());
    let mut expected = Expected::default();
    for (partition, events) in &world.given {
        let next = state.next_offsets.iter().find(|(known, _)| known == partition).map(|(_, next)| *next);
        let is_former = |(offset, hash): (Offset, [u8; 16])| {
            let hashes = former.hashes.get(partition);
            hashes.and_then(|hashes| hashes.get(offset.0 as usize)) == Some(&hash)
        };
        let was_read = next.and_then(|next| next.last).is_some_and(is_former);
        let shown = status.partitions.iter().find(|shown| shown.partition == *partition);
        let stopped = shown.is_some_and(|shown| shown.stopped.is_some());
        let events = if was_read { &former.given[partition] } else { events };
        let passed = next.map_or(0, |next| next.offset.0) as usize;
        for (offset, event) in events.iter().enumerate().take(passed) {
            let event = event.as_ref().expect("nothing is compacted here");
            expected.pass(&world.setup, partition, Offset(offset as i64), event, true);
        }
        laws::hold(Law::Stopped, stopped || (!was_read && passed == events.len()), || {
            format!("{partition} is at {passed} of {}, and the former log was read: {was_read}", events.len())
        })?;
    }
    laws::rows_are_folded(world, snapshot, &expected)?;
    laws::nothing_is_owed(world, process, snapshot)?;
    laws::claims_are_held(world, process, state)?;
    let documents = SINKS.into_iter().filter(|sink| *sink != CACHE && !laws::may_lie_behind(world, process, *sink));
    documents.into_iter().try_for_each(|sink| laws::target_holds_documents(world, sink, &expected))
}
