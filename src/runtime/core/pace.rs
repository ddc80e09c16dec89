//! When the next checkpoint is due, and how long to wait before something is tried again.

use std::time::{Duration, Instant};

/// A pause between checkpoints grows no further than this under load.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How many times the cost of the last write a pause is worth.
const COST_FACTOR: u32 = 4;
/// Positions alone (filtered events, control records) are written no more often than this.
const OFFSETS_ONLY_PAUSE: Duration = Duration::from_secs(5);

/// The pause between checkpoints: it follows what they cost.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    last_cost: Duration,
    synced_at: Option<Instant>,
}

impl Pace {
    pub fn new(interval: Duration) -> Pace {
        Pace { interval, last_cost: Duration::ZERO, synced_at: None }
    }

    /// A checkpoint begun at `began` is synced.
    pub fn synced(&mut self, began: Instant, now: Instant) {
        self.last_cost = now.saturating_duration_since(began);
        self.synced_at = Some(now);
    }

    /// When rows may be written again.
    pub fn rows_due(&self, now: Instant) -> Instant {
        let pause = self.interval.max((self.last_cost * COST_FACTOR).min(PAUSE_MAX));
        self.synced_at.map_or(now, |at| at + pause)
    }

    /// When positions alone may be written again.
    pub fn offsets_due(&self, now: Instant) -> Instant {
        self.synced_at.map_or(now, |at| at + self.interval.max(OFFSETS_ONLY_PAUSE))
    }
}

const BACKOFF_BASE: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The wait before attempt `attempts + 1`: doubled each time, bounded, and spread by `jitter` so that keys do not come back
/// all at once.
pub(super) fn backoff(base: Option<Duration>, attempts: u32, jitter: &mut Jitter) -> Duration {
    let base = base.unwrap_or(BACKOFF_BASE);
    let full = base.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(BACKOFF_MAX.max(base));
    full / 2 + full.mul_f64(jitter.next() / 2.0)
}

/// Numbers that only have to differ; from a seed, so that a simulation can repeat them (xorshift64*).
#[derive(Debug)]
pub(crate) struct Jitter(u64);

impl Jitter {
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed | 1)
    }

    /// From 0 to below 1.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(200);

    #[test]
    fn the_pause_follows_the_cost_and_is_bounded() {
        let start = Instant::now();
        let mut pace = Pace::new(INTERVAL);
        assert_eq!(pace.rows_due(start), start, "nothing was written yet");
        for (cost_ms, pause_ms) in [(10, 200), (100, 400), (450, 1800), (3000, 2000)] {
            let end = start + Duration::from_millis(cost_ms);
            pace.synced(start, end);
            assert_eq!(pace.rows_due(end), end + Duration::from_millis(pause_ms), "cost {cost_ms} ms");
            assert_eq!(pace.offsets_due(end), end + OFFSETS_ONLY_PAUSE);
        }
    }

    #[test]
    fn backoff_grows_and_is_bounded() {
        let mut jitter = Jitter::new(7);
        for attempts in 1..200 {
            let full = BACKOFF_BASE.saturating_mul(1 << (attempts - 1).min(16)).min(BACKOFF_MAX);
            let wait = backoff(None, attempts, &mut jitter);
            assert!(wait >= full / 2 && wait <= full, "{attempts}: {wait:?}");
        }
        assert!(backoff(Some(Duration::from_secs(60)), 1, &mut jitter) >= Duration::from_secs(30));
    }
}
