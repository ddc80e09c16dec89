//! What checkpoints cost the fold: the same events with a checkpoint each 200 ms and with one at the end, in turns.
//!
//! The events change about 100,000 different rows in each second that the machine gives to the fold: each account is told of
//! as often as that needs. Seconds are those of the CPU over the threads that fold, which on a machine of our own are those of
//! the clock. Runs of both kinds alternate in one process, so that a slow minute of a shared machine meets both.

use std::time::Duration;

use super::clock::Spent;
use super::load::Ring;
use super::{NEVER, run};

const EVENTS: usize = 4_000_000;
const PAIRS: usize = 5;
const ROWS_A_SECOND: f64 = 100_000.0;
const INTERVAL: Duration = Duration::from_millis(200);

/// Prints the rate with checkpoints as a part of the rate without, pair by pair, and its median.
pub fn compare(ring: &Ring) {
    let (first, _) = run(ring.source_of(EVENTS, 10), NEVER);
    let repeats = (EVENTS as f64 / seconds(&first) / ROWS_A_SECOND).round().max(1.0) as usize;
    let pairs: Vec<(f64, f64)> = (0..PAIRS).map(|pair| one(ring, repeats, pair % 2 == 0)).collect();
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = pairs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[PAIRS / 2]
    };
    let (rate, cpu) = (median(|pair| pair.0), median(|pair| pair.1));
    println!(
        "checkpoints each 200 ms: {rate:.2} of the rate without them, {cpu:.2} of the CPU (median of {PAIRS} pairs)"
    );
}

/// One run of each kind: the rate and the CPU time with checkpoints, as parts of those without.
fn one(ring: &Ring, repeats: usize, without_first: bool) -> (f64, f64) {
    let without = || run(ring.source_of(EVENTS, repeats), NEVER).0;
    let with = || run(ring.source_of(EVENTS, repeats), INTERVAL);
    let (without, (with, checkpoints)) = match without_first {
        true => {
            let without = without();
            (without, with())
        }
        false => {
            let with = with();
            (without(), with)
        }
    };
    let ratios = (rate(&with) / rate(&without), with.cpu.as_secs_f64() / without.cpu.as_secs_f64());
    let changed = EVENTS as f64 / repeats as f64 / seconds(&without);
    println!(
        "  {:.2} of the rate, {:.2} of the CPU: {checkpoints} checkpoints, {changed:.0} rows changed a second, {:.2} M events/s",
        ratios.0,
        ratios.1,
        rate(&with) / 1e6,
    );
    ratios
}

/// How long it would have taken with all threads of the fold at work.
fn seconds(spent: &Spent) -> f64 {
    spent.cpu.as_secs_f64() / std::thread::available_parallelism().map_or(1, usize::from) as f64
}

fn rate(spent: &Spent) -> f64 {
    EVENTS as f64 / spent.wall.as_secs_f64()
}
