//! A schedule → whether every law held: its operations, then calm, then the laws at rest.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::time::Duration;

use super::laws::{self, Broken, Law};
use super::process::Process;
use super::random::Random;
use super::report::Counts;
use super::schedule::Schedule;
use super::world::World;

/// How much time, and how many steps, calm may take until everything rests.
const CALM_MAX: Duration = Duration::from_secs(400);
const CALM_STEPS_MAX: u32 = 20_000;
/// By when a process has noticed what was done to its targets.
const NOTICED: Duration = Duration::from_secs(15);
/// How much of calm a trace shows.
const TOLD: Duration = Duration::from_secs(60);
/// How long rest is watched.
const REST: Duration = Duration::from_secs(45);

/// How a schedule ended.
pub(super) struct Outcome {
    pub broken: Option<Broken>,
    pub counts: Counts,
    pub trace: Vec<String>,
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs a schedule. A panic is a broken law.
pub(super) fn run(schedule: &Schedule, traced: bool) -> Outcome {
    silence_panics();
    let mut world = None;
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::new(schedule.setup, traced));
        schedule.ops.iter().try_for_each(|op| world.happen(*op))?;
        calm(world)
    }));
    QUIET.set(false);
    let result =
        result.unwrap_or_else(|panic| Err(Broken::new(Law::NoPanic, crate::runtime::fold::message(panic.as_ref()))));
    let (trace, counts) = world.map(World::into_trace).unwrap_or_default();
    Outcome { broken: result.err(), counts, trace }
}

/// A panic in a schedule is reported with it, and not where it happens.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
}

/// Lets one process run undisturbed until the laws hold at rest, and goes on to hold.
fn calm(world: &mut World) -> Result<(), Broken> {
    world.say(|_| "calm".into());
    world.end_faults();
    let mut random = Random::new(world.setup.seed ^ 0xca1);
    world.late_comes_last = random.once_in(2);
    world.leave_one(&mut random);
    let until = world.now + CALM_MAX;
    let told_until = world.now + TOLD;
    let noticed = world.now + NOTICED;
    let mut rests_since = None;
    let mut last = None;
    for _ in 0..CALM_STEPS_MAX {
        if world.is_busy() {
            world.step(random.next() as u32)?;
            continue;
        }
        let rests = rest(world);
        match &rests {
            Ok(()) => {
                let since = *rests_since.get_or_insert(world.now);
                if world.now >= since + REST {
                    return Ok(());
                }
            }
            Err(broken) => {
                // A target that forgot is noticed at the next beat; what rested until then rests no more.
                if world.now < noticed {
                    rests_since = None;
                } else if rests_since.is_some() || world.now > until {
                    return Err(broken.clone());
                }
            }
        }
        world.is_told = rests.is_err() && world.now < told_until;
        last = rests.err();
        wait_or_restart(world)?;
    }
    Err(last.unwrap_or_else(|| Broken::new(Law::Progress, "it never rests".into())))
}

fn rest(world: &World) -> Result<(), Broken> {
    match world.processes.first() {
        Some(process) => laws::at_rest(world, process),
        None => Err(Broken::new(Law::Progress, "no process runs".into())),
    }
}

/// Starts a process where none can go on; else lets time pass.
fn wait_or_restart(world: &mut World) -> Result<(), Broken> {
    if needs_restart(world) {
        let disk = world.processes.first().map_or(0, |process| process.disk);
        world.restart(disk, world.setup.ends);
        return Ok(());
    }
    let at = world.wake_at(true).unwrap_or(world.now + Duration::from_secs(5));
    world.advance(at)
}

/// A process that has ended is started again, unless it had to; and so is one whose sink stopped.
fn needs_restart(world: &World) -> bool {
    let stopped = |process: &Process| process.core.status(None, None).sinks.iter().any(|sink| sink.stopped);
    let none = world.processes.iter().all(|process| !process.is_live() || stopped(process));
    none && rest(world).is_err()
}
