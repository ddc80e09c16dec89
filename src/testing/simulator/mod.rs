//! Every schedule that a seed can draw → exact documents, or a broken law and the shortest way to it.
//!
//! The whole engine runs here without threads or clock: the real core, fold, reader, publisher and store contract, in a
//! world whose scheduler decides what comes next and what goes wrong. A seed draws a schedule; the world runs it, then
//! everything that can fail stops failing, and the laws must hold. A schedule that breaks one is made smaller by leaving
//! operations out, and printed as a trace.
//!
//! `cargo test --lib simulator` runs 50,000 schedules. `PROJECTOR_SCHEDULES` and `PROJECTOR_SEED` choose how many and from
//! which seed; a single one prints its trace.

mod faults;
mod laws;
mod network;
mod process;
mod random;
mod remade;
mod report;
mod run;
mod schedule;
mod shrink;
mod subject;
mod target;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use laws::Broken;
use report::Counts;
use run::run;
use schedule::Schedule;

const SCHEDULES: u64 = 50_000;
/// How many lines of a trace are printed.
const TRACE_LINES_MAX: usize = 240;
/// How often a long run says how far it is.
const PROGRESS_PAUSE: Duration = Duration::from_secs(5);

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What came of many schedules.
#[derive(Default)]
struct Explored {
    counts: Counts,
    /// The lowest seed that broke a law, and which.
    broken: Option<(u64, Broken)>,
}

/// Runs the schedules of these seeds on every core, until one breaks a law. Each thread is made ready first.
fn explore(first: u64, count: u64, ready: impl Fn() + Sync) -> Explored {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, explored) = (AtomicU64::new(0), Mutex::new(Explored::default()));
    let began = Instant::now();
    let said = Mutex::new(began);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                ready();
                let mut counts = Counts::default();
                loop {
                    let done = next.fetch_add(1, Ordering::Relaxed);
                    if done >= count {
                        break;
                    }
                    let outcome = run(&Schedule::draw(first + done), false);
                    counts.add_all(&outcome.counts);
                    if let Some(broken) = outcome.broken {
                        next.store(count, Ordering::Relaxed);
                        let mut explored = explored.lock().unwrap_or_else(PoisonError::into_inner);
                        if explored.broken.as_ref().is_none_or(|(seed, _)| first + done < *seed) {
                            explored.broken = Some((first + done, broken));
                        }
                    }
                    say_progress(&said, began, done, count);
                }
                explored.lock().unwrap_or_else(PoisonError::into_inner).counts.add_all(&counts);
            });
        }
    });
    explored.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn say_progress(said: &Mutex<Instant>, began: Instant, done: u64, count: u64) {
    let Ok(mut said) = said.try_lock() else { return };
    if said.elapsed() >= PROGRESS_PAUSE {
        *said = Instant::now();
        let rate = done as f64 / began.elapsed().as_secs_f64();
        println!("  {done} of {count} schedules, {rate:.0} a second");
    }
}

/// A trace with repeated lines once, and without its middle when it is very long.
fn shortened(trace: &[String]) -> Vec<String> {
    let mut lines: Vec<(String, u32)> = Vec::new();
    for line in trace {
        match lines.last_mut() {
            Some((last, times)) if last == line => *times += 1,
            _ => lines.push((line.clone(), 1)),
        }
    }
    let mut lines: Vec<_> = lines
        .into_iter()
        .map(|(line, times)| if times > 1 { format!("{line} ({times} times)") } else { line })
        .collect();
    if lines.len() > TRACE_LINES_MAX {
        let end = lines.split_off(lines.len() - TRACE_LINES_MAX / 4);
        lines.truncate(TRACE_LINES_MAX / 4 * 3);
        lines.push("…".into());
        lines.extend(end);
    }
    lines
}

/// The smallest schedule found that breaks the same law, and what happens in it.
fn explain(seed: u64) -> String {
    let schedule = Schedule::draw(seed);
    let Some(broken) = run(&schedule, false).broken else { return format!("seed {seed} does not repeat") };
    let smaller = shrink::shrink(&schedule, &broken);
    let outcome = run(&smaller, true);
    let broken = outcome.broken.unwrap_or(broken);
    format!(
        "seed {seed} breaks the law {:?}: {}\n{:#?}\n{} of {} operations are enough:\n  {}\nPROJECTOR_SEED={seed} repeats it",
        broken.law,
        broken.what,
        smaller.setup,
        smaller.ops.len(),
        schedule.ops.len(),
        shortened(&outcome.trace).join("\n  "),
    )
}

/// Each mistake is found within a minute.
#[cfg(feature = "mutants")]
#[test]
fn mutants_are_found() {
    use crate::mutants::{MUTANTS, turn_on};
    const SEARCH_MAX: u64 = 60_000;
    let chosen = std::env::var("PROJECTOR_MUTANT").ok();
    let began = Instant::now();
    let mut missed = Vec::new();
    for (mutant, words) in MUTANTS {
        let name = format!("{mutant:?}");
        if chosen.as_ref().is_some_and(|chosen| *chosen != name) {
            continue;
        }
        let since = Instant::now();
        let explored = explore(1, SEARCH_MAX, || turn_on(Some(*mutant)));
        let seconds = since.elapsed().as_secs_f64();
        match explored.broken {
            Some((seed, broken)) => {
                println!("{name:<22} {seed:>6} {seconds:>6.1} s  {:<22} {words}", format!("{:?}", broken.law))
            }
            None => {
                println!("{name:<22}      - {seconds:>6.1} s  {:<22} {words}", "not found");
                missed.push(name);
            }
        }
    }
    println!("{} mistakes, {:.0} s", MUTANTS.len(), began.elapsed().as_secs_f64());
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn no_schedule_breaks_a_law() {
    let seed = number("PROJECTOR_SEED");
    let first = seed.unwrap_or(1);
    let count = number("PROJECTOR_SCHEDULES").unwrap_or(if seed.is_some() { 1 } else { SCHEDULES });
    let began = Instant::now();
    let explored = explore(first, count, || ());
    if let Some((seed, _)) = explored.broken {
        panic!("{}", explain(seed));
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "seeds {first} to {}: {count} schedules in {seconds:.1} s, {:.0} a second",
        first + count - 1,
        count as f64 / seconds
    );
    println!("{}", explored.counts);
    if count >= SCHEDULES {
        assert!(explored.counts.missing().is_empty(), "never happened: {:?}", explored.counts.missing());
    }
}
