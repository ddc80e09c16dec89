//! A seed → a schedule: how the world is made, and what happens in it, step by step.
//!
//! An operation carries one small number that is read as far as it makes sense when its turn comes; one that makes none
//! does nothing. So any part of a schedule is a schedule again, and a failing one can be made smaller by leaving
//! operations out. Each schedule draws which faults it knows and how often they come: some see one kind of fault in
//! peace, some see everything at once.

use std::ops::Not;
use std::time::Duration;

use super::random::Random;

/// How the world of a schedule is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub seed: u64,
    pub partitions: i32,
    pub accounts: u32,
    pub decode: Policy,
    pub eval: Policy,
    pub sink: Policy,
    pub shards: usize,
    pub hot_bytes_max: u64,
    pub batch_bytes_max: usize,
    pub checkpoint_interval: Duration,
    /// Lists of changed keys are dropped as soon as they outgrow the rows.
    pub short_lists: bool,
    /// How many documents go into one request.
    pub request_items: usize,
    /// Whether several processes can reach the targets; else a lock lets one in, and writing raises what the claim says.
    pub shared: bool,
    /// Whether targets remember what they deleted, and how long a request may come too late.
    pub remembers: bool,
    pub late_for: Duration,
    /// The last process is told to end once it has caught up.
    pub ends: bool,
}

/// What `on_error` says of a class of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Fail,
    Skip,
    DeadLetter,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Op {
    pub kind: Kind,
    pub arg: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One of the things that may happen now does.
    Step,
    /// An event is appended.
    Append,
    /// Time passes.
    Wait,
    /// A process dies.
    Crash,
    /// A process is told to stop.
    Stop,
    /// A process is started on a disk that has none.
    Start,
    /// The next commit of a process fails; the disk has it, or not.
    CommitFails,
    /// A request goes wrong on its way.
    Request,
    /// The log delivers a range again.
    Redeliver,
    /// A record without meaning is compacted away.
    Compact,
    /// The log goes away, or comes back.
    Away,
    /// A target is down, or up again.
    Down,
    /// A process stands still, or goes on and does not know.
    Freeze,
    /// The answer of a claim call is lost.
    ClaimLost,
    /// A disk is copied while it is in use: another place, the same store.
    CopyDisk,
    /// What a disk holds is kept aside; or put back, on a disk that nobody uses.
    SaveDisk,
    PutDiskBack,
    /// A disk that nobody uses becomes an empty one.
    LoseDisk,
    /// A target forgets everything.
    Wipe,
    /// What a target holds is kept aside; or put back.
    SaveTarget,
    PutTargetBack,
    /// A person skips the event a partition stopped at, or tries again what stopped.
    Skip,
    Retry,
    /// The log forgets its oldest events.
    Truncate,
    /// The topic gains a partition.
    AddPartition,
    /// The topic is deleted and made again.
    Remake,
}

/// Every kind but a step, with its greatest weight and whether it may be missing.
const KINDS: &[(Kind, usize, bool)] = &[
    (Kind::Append, 40, false),
    (Kind::Wait, 20, false),
    (Kind::Start, 12, false),
    (Kind::Crash, 6, true),
    (Kind::Stop, 3, true),
    (Kind::CommitFails, 4, true),
    (Kind::Request, 20, true),
    (Kind::Redeliver, 5, true),
    (Kind::Compact, 5, true),
    (Kind::Away, 4, true),
    (Kind::Down, 4, true),
    (Kind::Freeze, 8, true),
    (Kind::ClaimLost, 6, true),
    (Kind::CopyDisk, 2, true),
    (Kind::SaveDisk, 3, true),
    (Kind::PutDiskBack, 3, true),
    (Kind::LoseDisk, 4, true),
    (Kind::Wipe, 4, true),
    (Kind::SaveTarget, 8, true),
    (Kind::PutTargetBack, 4, true),
    (Kind::Skip, 6, true),
    (Kind::Retry, 4, true),
    (Kind::Truncate, 2, true),
    (Kind::AddPartition, 2, true),
];

/// A world and what happens in it.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub setup: Setup,
    pub ops: Vec<Op>,
}

impl Schedule {
    pub fn draw(seed: u64) -> Schedule {
        let mut random = Random::new(seed);
        let setup = draw_setup(seed, &mut random);
        let mut weights = vec![(Kind::Step, 60 + random.below(200))];
        for (kind, most, optional) in KINDS {
            if !optional || random.once_in(3) {
                weights.push((*kind, 1 + random.below(*most)));
            }
        }
        let sum: usize = weights.iter().map(|(_, weight)| weight).sum();
        let len = 40 + random.below(260);
        let op = |_| {
            let mut at = random.below(sum);
            let kind = weights.iter().find(|(_, weight)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            Op { kind: kind.expect("the weights are the sum").0, arg: random.next() as u32 }
        };
        let mut ops: Vec<Op> = (0..len).map(op).collect();
        let mut random = Random::new(seed ^ 0xa9a1);
        if random.below(8) == 0 {
            ops.insert(random.below(len), Op { kind: Kind::Remake, arg: 0 });
        }
        Schedule { setup, ops }
    }
}

fn draw_setup(seed: u64, random: &mut Random) -> Setup {
    let policies = [Policy::DeadLetter, Policy::DeadLetter, Policy::Skip, Policy::Fail];
    let late = [Duration::ZERO, Duration::from_secs(3), Duration::from_secs(40)];
    let late_for = random.of(&late);
    let shared = random.once_in(4).not();
    Setup {
        seed,
        shared,
        partitions: 1 + random.below(3) as i32,
        accounts: 1 + random.below(7) as u32,
        decode: random.of(&policies),
        eval: random.of(&policies),
        sink: random.of(&[Policy::Fail, Policy::Skip, Policy::DeadLetter]),
        shards: 1 + random.below(3),
        hot_bytes_max: random.of(&[600, 3_000, 1 << 20]),
        batch_bytes_max: random.of(&[1, 120, 400, 4_000]),
        checkpoint_interval: random.of(&[Duration::ZERO, Duration::from_millis(200)]),
        short_lists: random.once_in(3),
        request_items: 1 + random.below(4),
        remembers: !shared || random.once_in(2),
        late_for: if shared { late_for } else { Duration::ZERO },
        ends: random.once_in(3),
    }
}
