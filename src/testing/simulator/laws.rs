//! What must hold: after every step where a thing is seen to happen, and at rest for everything that is left.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{ProjectionName, TopicPartition, Version};
use crate::runtime::Ended;
use crate::runtime::fixture::{Account, without_mark};
use crate::sinks::claim::{Claim, ProcessId};
use crate::state::{ProjectionState, Snapshot, Store, rows};
use crate::value::Value;

use super::process::{Process, process_id};
use super::remade;
use super::subject::{self, CACHE, Expected, SINKS};
use super::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Law {
    /// One version of one key names one sequence of bytes.
    OneVersionOneDocument,
    /// A document never shows an older event than before.
    NoStepBack,
    /// Nothing is written before its checkpoint is synced.
    SyncedFirst,
    /// A target never holds a higher version than the one who may write it.
    NoForeign,
    /// A claim is taken only in a higher epoch.
    EpochRises,
    /// Nothing is sent in an epoch in which the claim was never taken.
    ClaimedFirst,
    /// Nothing is sent on a claim that was not moved for two beats.
    FreshClaim,
    /// A claim is taken only from who stood still for three beats, gave it up, or ran where the taker runs.
    TakenFromTheDead,
    /// At rest the claim is held by who runs.
    Claimed,
    /// Memory and queues stay within their bounds.
    Bounds,
    /// Rows are what an independent fold gives.
    Rows,
    /// A target holds the documents of the rows, and no others.
    Documents,
    /// Every offset is passed once: folded, filtered, dropped, skipped or set aside.
    Passed,
    /// What must stop has stopped, and nothing else.
    Stopped,
    /// Nothing is owed at rest, and the store knows.
    Settled,
    /// Who can go on does.
    Progress,
    /// Nothing panics.
    NoPanic,
}

/// A law that does not hold.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    pub law: Law,
    pub what: String,
}

impl Broken {
    pub fn new(law: Law, what: String) -> Broken {
        Broken { law, what }
    }
}

pub(super) fn hold(law: Law, holds: bool, what: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken::new(law, what())) }
}

/// What must be true of a process between two steps.
pub(super) fn within_bounds(world: &World, process: &Process) -> Result<(), Broken> {
    let setup = &world.setup;
    let batches = process.batches_held();
    hold(Law::Bounds, batches <= crate::runtime::reader::BUFFERS, || format!("{batches} batches are held"))?;
    let (hot, dirty) = (process.folder.hot_bytes(), process.holds_unsynced());
    hold(Law::Bounds, dirty || hot <= setup.hot_bytes_max, || format!("{hot} bytes are hot, and none is dirty"))
}

/// What must be true when nothing more happens.
pub(super) fn at_rest(world: &World, process: &Process) -> Result<(), Broken> {
    let snapshot = process.store.snapshot();
    let state = state_of(world, &*snapshot);
    if let Some(Ended::Refused(why)) = &process.ended {
        let known = |partition: &TopicPartition| {
            let next_offsets = state.as_ref().map(|state| &state.next_offsets);
            next_offsets.and_then(|all| all.iter().find(|(known, _)| known == partition)).map_or(0, |(_, n)| n.offset.0)
        };
        let lacks = world.former.is_some() || subject::expected(world, known).lacks;
        let right = world.disks[process.disk].anew || lacks;
        return hold(Law::Progress, right, || format!("it is refused: {why}"));
    }
    let Some(state) = state else { return Err(Broken::new(Law::Progress, "there is no checkpoint".into())) };
    if world.disks[process.disk].anew {
        // It may have begun where the log did.
        return Ok(());
    }
    if let Some(former) = &world.former {
        return remade::folded_from_one_log(world, process, &*snapshot, &state, former);
    }
    let passed = |partition: &TopicPartition| {
        state.next_offsets.iter().find(|(known, _)| known == partition).map_or(0, |(_, next)| next.offset.0)
    };
    let expected = subject::expected(world, passed);
    rows_are_folded(world, &*snapshot, &expected)?;
    everything_is_passed(world, process, &*snapshot, &expected)?;
    for sink in SINKS {
        if sink == CACHE {
            view_shows_rows(world, process, &*snapshot)?;
        } else if !(expected.is_behind() && may_lie_behind(world, process, sink)) {
            target_holds_documents(world, sink, &expected)?;
        }
    }
    nothing_is_owed(world, process, &*snapshot)?;
    claims_are_held(world, process, &state)?;
    if world.setup.ends {
        let ended = match &process.ended {
            Some(Ended::CaughtUp) => expected.stopped.is_empty(),
            Some(Ended::Faulted(_)) => !expected.stopped.is_empty(),
            _ => false,
        };
        hold(Law::Progress, ended, || format!("it ended as {:?}", process.ended))?;
    }
    Ok(())
}

/// A disk that was put back to a moment within the last beat goes on where it should refill, which is a known limit. What it
/// cannot fold again then stays in a target, until that is filled under a new id.
pub(super) fn may_lie_behind(world: &World, process: &Process, sink: usize) -> bool {
    let replaced = world.disks[process.disk].replaced.as_ref();
    let claim = world.targets[sink].claim.filter(|claim| is_of(claim, process));
    claim.is_some_and(|claim| replaced.is_some_and(|ids| ids[sink] == Some(claim.target)))
}

/// Whether a claim is held by a process, or was given up when it ended.
fn is_of(claim: &Claim, process: &Process) -> bool {
    let released = claim.process == ProcessId::NOBODY && process.ended.is_some();
    claim.process == process_id(process.number) || released
}

pub(super) fn claims_are_held(world: &World, process: &Process, state: &ProjectionState) -> Result<(), Broken> {
    for sink in [subject::COSMOS, subject::SEARCH] {
        let name = &world.plan.projection.sinks[sink].name;
        let claim = world.targets[sink].claim;
        let ours = claim.is_some_and(|claim| is_of(&claim, process));
        hold(Law::Claimed, ours, || format!("`{name}` is claimed as {claim:?}"))?;
        let stored = state.sinks.iter().find(|(known, _)| known == name).and_then(|(_, record)| record.target);
        hold(Law::Claimed, stored == claim.map(|claim| claim.target), || {
            format!("`{name}` is known as {stored:?} and is {claim:?}")
        })?;
    }
    Ok(())
}

pub(super) fn rows_are_folded(world: &World, snapshot: &dyn Snapshot, expected: &Expected) -> Result<(), Broken> {
    let found = stored_rows(world, snapshot);
    hold(Law::Rows, found == expected.accounts, || {
        format!("rows are {found:?}\n      and must be {:?}", expected.accounts)
    })
}

fn stored_rows(world: &World, snapshot: &dyn Snapshot) -> BTreeMap<String, Account> {
    let mut found = BTreeMap::new();
    let Some(state) = state_of(world, snapshot) else { return found };
    let fields = &world.plan.projection.state;
    let walked = snapshot.rows(state.generation, "", None, &mut |key, stored| {
        if let Some(bytes) = stored.row {
            let row = rows::decode(&bytes, fields).expect("a row of this plan");
            let field = |name: &str| {
                let index = fields.iter().position(|field| *field.name == *name);
                &row.fields[index.expect("the plan has it")]
            };
            let int = |name: &str| match field(name) {
                Value::Int(int) => *int,
                other => panic!("`{name}` of `{key}` is {other:?}"),
            };
            let note = match field("note") {
                Value::Text(text) => Some(text.as_str().to_owned()),
                _ => None,
            };
            found.insert(
                key.to_owned(),
                Account { total: int("total"), count: int("count"), mixed: int("mixed"), note },
            );
        }
        std::ops::ControlFlow::Continue(())
    });
    walked.expect("memory can be read");
    found
}

fn state_of(world: &World, snapshot: &dyn Snapshot) -> Option<crate::state::ProjectionState> {
    snapshot.projection(&ProjectionName(world.plan.projection.name.clone())).expect("memory can be read")
}

fn everything_is_passed(
    world: &World,
    process: &Process,
    snapshot: &dyn Snapshot,
    expected: &Expected,
) -> Result<(), Broken> {
    let stored = state_of(world, snapshot);
    let stored = stored.ok_or_else(|| Broken::new(Law::Progress, "there is no checkpoint".into()))?;
    let status = process.core.status(None, process.ended.as_ref());
    for (partition, next) in &expected.next {
        let found = stored.next_offsets.iter().find(|(known, _)| known == partition).map_or(0, |(_, n)| n.offset.0);
        hold(Law::Passed, found == next.0, || format!("{partition} goes on at {found}, not at {next}"))?;
        let shown = status.partitions.iter().find(|shown| shown.partition == *partition);
        let stopped = shown.is_some_and(|shown| shown.stopped.is_some());
        let must_stop = expected.stopped.contains_key(partition);
        hold(Law::Stopped, stopped == must_stop, || format!("{partition} must stop: {must_stop}; it has: {stopped}"))?;
    }
    if !world.compacted {
        let mut counters = stored.counters;
        counters.skipped = expected.counters.skipped.max(counters.skipped * u64::from(!world.gave_up));
        counters.dead_letters = if world.gave_up { expected.counters.dead_letters } else { counters.dead_letters };
        hold(Law::Passed, counters == expected.counters, || {
            format!("counted {:?}\n      and must be {:?}", stored.counters, expected.counters)
        })?;
    }
    let name = ProjectionName(world.plan.projection.name.clone());
    let letters = snapshot.dead_letters(&name, 0, usize::MAX).expect("memory can be read");
    let mut letters: Vec<_> = letters.into_iter().map(|(_, letter)| (letter.partition, letter.offset)).collect();
    letters.retain(|(partition, _)| partition.partition >= 0);
    letters.sort();
    hold(Law::Passed, letters == expected.letters, || {
        format!("dead letters are {letters:?}\n      and must be {:?}", expected.letters)
    })
}

pub(super) fn target_holds_documents(world: &World, sink: usize, expected: &Expected) -> Result<(), Broken> {
    let target = &world.targets[sink];
    let name = &world.plan.projection.sinks[sink].name;
    let mut must: BTreeMap<Arc<str>, String> = BTreeMap::new();
    for key in expected.accounts.keys() {
        must.extend(expected.document(sink, key).map(|document| (key.as_str().into(), document)));
    }
    for (key, version, body) in target.shown() {
        let must = must.remove(key);
        if target.refused.contains_key(key) {
            continue;
        }
        let found = without_mark(body);
        hold(Law::Documents, must.as_deref() == Some(&*found), || {
            format!("`{name}` holds {found} for `{key}`\n      and must hold {must:?}")
        })?;
        let marked = String::from_utf8_lossy(body).ends_with(&format!("\"v\":{version}}}}}"));
        hold(Law::Documents, marked, || format!("`{key}` in `{name}` is marked with another version than {version}"))?;
    }
    must.retain(|key, _| !target.refused.contains_key(key));
    hold(Law::Documents, must.is_empty(), || format!("`{name}` lacks {must:?}"))
}

fn view_shows_rows(world: &World, process: &Process, snapshot: &dyn Snapshot) -> Result<(), Broken> {
    let Some(state) = state_of(world, snapshot) else { return Ok(()) };
    let seen = process.view.seen();
    let mut last_change = Version(0);
    let walked = snapshot.rows(state.generation, "", None, &mut |_, stored| {
        last_change = last_change.max(stored.changed);
        std::ops::ControlFlow::Continue(())
    });
    walked.expect("memory can be read");
    hold(Law::Documents, seen.newest >= last_change, || {
        format!("the view was shown version {}, and rows changed at {last_change}", seen.newest)
    })?;
    for (key, held) in &seen.held {
        let row = snapshot.row(state.generation, key).expect("memory can be read").and_then(|stored| stored.row);
        hold(Law::Documents, row == *held, || format!("the view holds an old row of `{key}`"))?;
    }
    Ok(())
}

pub(super) fn nothing_is_owed(world: &World, process: &Process, snapshot: &dyn Snapshot) -> Result<(), Broken> {
    let Some(state) = state_of(world, snapshot) else { return Ok(()) };
    let status = process.core.status(None, process.ended.as_ref());
    let mut last_change = Version(0);
    let walked = snapshot.rows(state.generation, "", None, &mut |_, stored| {
        last_change = last_change.max(stored.changed);
        std::ops::ControlFlow::Continue(())
    });
    walked.expect("memory can be read");
    for (sink, shown) in status.sinks.iter().enumerate() {
        let owes = shown.owed > 0 || shown.settled < last_change || shown.stopped || !shown.filled;
        hold(Law::Settled, !owes || sink == CACHE && shown.filled && shown.owed == 0, || {
            format!("`{}` is owed {} at {}: {:?}", shown.name, shown.owed, shown.settled, shown.trouble)
        })?;
        let stored = state.sinks.iter().find(|(name, _)| *name == shown.name).map(|(_, record)| record.settled);
        hold(Law::Settled, sink == CACHE || stored.unwrap_or_default() >= last_change, || {
            format!("the store has `{}` settled at {stored:?}, the rows at {last_change}", shown.name)
        })?;
    }
    Ok(())
}
