//! Facts → a core: reads what the store and the log know of a projection. Deciding is the business of `decide` and of the core.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Offset, ProjectionName, TopicPartition, Version};
use crate::language::typed::Into;
use crate::plan::{Plan, SEMANTICS};
use crate::runtime::core::{CoreFacts, Ended, OPEN_KEYS_MAX, PartitionFacts, SinkFacts, TargetTraits};
use crate::runtime::decide::{LogFacts, Start, Us, decide_start};
use crate::runtime::fold::record_hash;
use crate::sinks::claim::ProcessId;
use crate::sources::{OffsetRange, Source, SourceError};
use crate::state::{
    Counters, NextOffset, PlanRecord, ProjectionState, SinkRecord, Snapshot, Store, StoreError, StoreIdentity,
};

/// What a core is given beside facts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartOptions {
    pub process: ProcessId,
    pub checkpoint_interval: Duration,
    pub until_caught_up: bool,
    pub accept_loss: bool,
    pub start_timeout: Duration,
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

/// Reads what the store knows of a projection and decides how its program goes on. `targets` says of each sink of the plan
/// what its target is like. The inner error: the projection does not start.
pub(crate) fn core_facts(
    store: &dyn Store,
    snapshot: &dyn Snapshot,
    plan: &Plan,
    targets: &[TargetTraits],
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
    for (into, target) in plan.projection.sinks.iter().zip(targets.iter().copied()) {
        let record = stored.as_ref().map_or(SinkRecord::default(), |state| record_of(state, into));
        let emit_again = start == Start::EmitAgain;
        let owes_keys = !target.volatile && !emit_again && record.settled > Version(0);
        let open = match owes_keys {
            true => snapshot.changed_since(generation, record.settled, OPEN_KEYS_MAX)?,
            false => Some(Vec::new()),
        };
        let (name, adopt, batch) = (into.name.clone(), into.options.adopt, into.options.batch);
        let (wait_max, gathered_max) = (batch.wait_max.unwrap_or_default(), batch.items_max.unwrap_or(u64::MAX));
        let gathered_max = usize::try_from(gathered_max).unwrap_or(usize::MAX);
        let on_fault = plan.projection.on_error.sink.clone();
        sinks.push(SinkFacts {
            name,
            target,
            record,
            emit_again,
            open,
            adopt,
            wait_max,
            gathered_max,
            at: None,
            on_fault,
        });
    }
    let version = stored.as_ref().map_or(Version(0), |state| state.version);
    let StoreIdentity { id, place } = store.identity();
    let core = CoreFacts {
        projection,
        generation,
        version,
        counters: stored.as_ref().map_or(Counters::default(), |state| state.counters),
        plan: store_plan.then(|| PlanRecord { hashes: plan.hashes, semantics: SEMANTICS, text: plan.text.clone() }),
        sinks,
        gone_sinks: stored.as_ref().map_or(Vec::new(), |state| gone_sinks(state, plan)),
        us: Us { store: id, place, process: options.process },
        state_known: stored.is_some(),
        accept_loss: options.accept_loss,
        checkpoint_interval: options.checkpoint_interval,
        until_caught_up: options.until_caught_up,
        start_timeout: options.start_timeout,
        shutdown_timeout: options.shutdown_timeout,
        dirty_bytes_max: options.dirty_bytes_max,
        seed: options.seed ^ version.0 ^ u64::from(generation.0).rotate_left(40),
    };
    Ok(Ok(StartFacts { core, stored }))
}

fn record_of(state: &ProjectionState, into: &Into) -> SinkRecord {
    state.sinks.iter().find(|(name, _)| *name == into.name).map_or(SinkRecord::default(), |(_, record)| *record)
}

fn gone_sinks(state: &ProjectionState, plan: &Plan) -> Vec<Arc<str>> {
    let gone = |name: &&Arc<str>| plan.projection.sinks.iter().all(|into| into.name != **name);
    state.sinks.iter().map(|(name, _)| name).filter(gone).cloned().collect()
}

/// How a partition of the log stands against what was folded of it. The record that was folded last is read again: another
/// one in its place means another log.
pub(crate) fn partition_facts(
    source: &mut dyn Source,
    partition: &TopicPartition,
    stored: Option<NextOffset>,
) -> Result<PartitionFacts, SourceError> {
    let (range, found) = look_up(source, partition, stored.and_then(|stored| stored.last))?;
    Ok(PartitionFacts { partition: partition.clone(), log: LogFacts { stored, range: Some(range), found } })
}

/// A partition that was read before and is no longer there.
pub(crate) fn missing_partition(partition: &TopicPartition, stored: NextOffset) -> PartitionFacts {
    PartitionFacts { partition: partition.clone(), log: LogFacts { stored: Some(stored), ..LogFacts::default() } }
}

/// The range of a partition, and the hash of the record that now lies where `last` was, if one does.
pub(crate) fn look_up(
    source: &mut dyn Source,
    partition: &TopicPartition,
    last: Option<(Offset, [u8; 16])>,
) -> Result<(OffsetRange, Option<[u8; 16]>), SourceError> {
    let range = source.range(partition)?;
    let found = match last {
        Some((offset, _)) if offset >= range.beginning && offset < range.end => {
            source.record_at(partition, offset)?.iter().next().map(|record| record_hash(&record))
        }
        _ => None,
    };
    Ok((range, found))
}
