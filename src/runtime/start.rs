//! Facts → a core: reads what the store and the log know of a projection, decides how it starts, and where its partitions do.

use std::time::Duration;

use crate::event::{Offset, ProjectionName, TopicPartition, Version};
use crate::plan::{Plan, SEMANTICS};
use crate::runtime::core::{CoreFacts, Ended, PartitionFacts, SinkFacts};
use crate::runtime::decide::{Start, decide_offset, decide_start};
use crate::runtime::fold::record_hash;
use crate::sources::{Source, SourceError};
use crate::state::{Counters, NextOffset, PlanRecord, ProjectionState, Snapshot, Store, StoreError};

/// What a core is given beside facts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartOptions {
    pub checkpoint_interval: Duration,
    pub until_caught_up: bool,
    pub shutdown_timeout: Duration,
    /// With more bytes of changed rows than this, folding waits for a checkpoint.
    pub dirty_bytes_max: u64,
    /// Any number that differs between processes.
    pub seed: u64,
}

/// What a projection starts from.
pub(crate) struct StartFacts {
    pub core: CoreFacts,
    pub stored: Option<ProjectionState>,
}

/// Reads what the store knows of a projection and decides how it starts. `volatile` says of each sink of the plan whether it
/// loses all with the process. The inner error: the projection does not start.
pub(crate) fn core_facts(
    store: &dyn Store,
    snapshot: &dyn Snapshot,
    plan: &Plan,
    volatile: &[bool],
    options: StartOptions,
) -> Result<Result<StartFacts, Ended>, StoreError> {
    let projection = ProjectionName(plan.projection.name.clone());
    let stored = snapshot.projection(&projection)?;
    let start = decide_start(stored.as_ref().map(|state| &state.plan), plan);
    let store_plan = match &start {
        Start::Refuse(why) => return Ok(Err(Ended::Refused(why.clone()))),
        Start::First | Start::EmitAgain => true,
        Start::GoOn { store_plan } => *store_plan,
    };
    let generation = match &stored {
        Some(state) => state.generation,
        None => store.new_generation(&projection)?,
    };
    let mut sinks = Vec::new();
    for (into, volatile) in plan.projection.sinks.iter().zip(volatile.iter().copied()) {
        let settled = match &stored {
            Some(state) if start != Start::EmitAgain => settled_of(state, &into.name),
            _ => Version(0),
        };
        let owes_keys = !volatile && settled > Version(0);
        let open = if owes_keys { snapshot.changed_since(generation, settled)? } else { Vec::new() };
        let on_fault = plan.projection.on_error.sink.clone();
        sinks.push(SinkFacts { name: into.name.clone(), volatile, view: false, settled, open, on_fault });
    }
    let version = stored.as_ref().map_or(Version(0), |state| state.version);
    let core = CoreFacts {
        projection,
        generation,
        version,
        counters: stored.as_ref().map_or(Counters::default(), |state| state.counters),
        plan: store_plan.then(|| PlanRecord { hashes: plan.hashes, semantics: SEMANTICS, text: plan.text.clone() }),
        sinks,
        checkpoint_interval: options.checkpoint_interval,
        until_caught_up: options.until_caught_up,
        shutdown_timeout: options.shutdown_timeout,
        dirty_bytes_max: options.dirty_bytes_max,
        seed: options.seed ^ version.0 ^ u64::from(generation.0).rotate_left(40),
    };
    Ok(Ok(StartFacts { core, stored }))
}

fn settled_of(state: &ProjectionState, sink: &str) -> Version {
    state.sinks.iter().find(|(name, _)| **name == *sink).map_or(Version(0), |(_, record)| record.settled)
}

/// Where a partition of the log is to be read from. The record that was folded last is read again: another one in its place
/// means another log.
pub(crate) fn partition_facts(
    source: &mut dyn Source,
    partition: &TopicPartition,
    stored: Option<NextOffset>,
) -> Result<PartitionFacts, SourceError> {
    let range = source.range(partition)?;
    let holds = |offset: Offset| offset >= range.beginning && offset < range.end;
    let found = match stored.and_then(|stored| stored.last) {
        Some((offset, _)) if holds(offset) => {
            source.record_at(partition, offset)?.iter().next().map(|record| record_hash(&record))
        }
        _ => None,
    };
    let start = decide_offset(stored, Some(range), found).map_err(|why| format!("{partition}: {why}"));
    Ok(PartitionFacts { partition: partition.clone(), start, stored, end: Some(range.end) })
}

/// A partition that was read before and is no longer there.
pub(crate) fn missing_partition(partition: &TopicPartition, stored: NextOffset) -> PartitionFacts {
    let start = decide_offset(Some(stored), None, None).map_err(|why| format!("{partition}: {why}"));
    PartitionFacts { partition: partition.clone(), start, stored: Some(stored), end: None }
}
