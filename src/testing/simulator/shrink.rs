//! A failing schedule → a smaller one that breaks the same law.

use super::laws::{Broken, Law};
use super::run::run;
use super::schedule::{Op, Schedule};

/// How many schedules are tried.
const TRIES_MAX: usize = 3_000;

/// Leaves out operations, many at a time and then fewer, as long as the same law breaks.
pub(super) fn shrink(schedule: &Schedule, broken: &Broken) -> Schedule {
    let mut best = schedule.clone();
    let mut tries = 0;
    let mut size = best.ops.len().div_ceil(2);
    while size > 0 && tries < TRIES_MAX {
        let before = best.ops.len();
        let mut at = 0;
        while at < best.ops.len() && tries < TRIES_MAX {
            tries += 1;
            let mut ops: Vec<Op> = best.ops[..at].to_vec();
            ops.extend(&best.ops[(at + size).min(best.ops.len())..]);
            let smaller = Schedule { ops, ..best.clone() };
            if breaks(&smaller, broken.law) {
                best = smaller;
            } else {
                at += size;
            }
        }
        if size > 1 || best.ops.len() == before {
            size /= 2;
        }
    }
    best
}

fn breaks(schedule: &Schedule, law: Law) -> bool {
    run(schedule, false).broken.is_some_and(|broken| broken.law == law)
}
