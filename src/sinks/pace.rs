//! How fast a target is written: how many requests at once, how many documents a second, and when to wait.
//!
//! Nobody tells us what a target can take, and it changes. So a sink begins narrow, widens while answers stay about as quick
//! as the quickest, and narrows when the target says it is busy (429, 503). From then on it also keeps a rate: a little below
//! what the target took in the last second, and carefully more from there. A budget that the file sets is never passed. Pure:
//! time comes in, and what to do comes out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What one request takes at most, and how many may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub items_max: usize,
    /// A single larger document goes alone.
    pub bytes_max: usize,
    pub requests_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { items_max: 256, bytes_max: 1 << 20, requests_max: 1 }
    }
}

/// What may never be passed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Budget {
    pub documents_per_s: Option<f64>,
    /// In the target's own unit, as its [`Meter`](super::meter::Meter) counts it.
    pub charge_per_s: Option<f64>,
}

/// Whether another request may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Now,
    At(Instant),
    /// As soon as one that is under way has ended.
    Answered,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub began: Instant,
    pub done: usize,
    /// Items the target was too busy for.
    pub busy: usize,
    /// How long it asks to wait.
    pub after: Option<Duration>,
}

/// Requests are measured over this time.
const WINDOW: Duration = Duration::from_secs(1);
/// Answers this many times slower than the quickest stop the widening; twice as many narrow it.
const SLOW: u32 = 2;
/// A busy target is given this much less than it took, and then this much more each second; far more once it was not busy for
/// [`WELL`], since what it took in its worst second says little then.
const LESS: f64 = 0.8;
const MORE: f64 = 1.08;
const FAR_MORE: f64 = 1.5;
const WELL: Duration = Duration::from_secs(5);
/// A budget may be used ahead by this much, so that batches are not cut to crumbs.
const AHEAD: Duration = Duration::from_millis(250);

/// The pace of one sink.
#[derive(Debug)]
pub struct Pace {
    limits: Limits,
    budget: Budget,
    under_way: usize,
    width: usize,
    /// Requests answered well since the width changed last.
    well: usize,
    quickest: Option<Duration>,
    /// Documents done lately, by when.
    done: VecDeque<(Instant, usize)>,
    /// Documents a second, once the target was busy.
    rate: Option<f64>,
    rate_changed: Option<Instant>,
    busy_at: Option<Instant>,
    hold_until: Option<Instant>,
    documents: Allowance,
    charge: Allowance,
    charged_milli: u64,
}

/// What was used of an allowance that grows with time: may be in debt by one request.
#[derive(Debug, Default)]
struct Allowance {
    at: Option<Instant>,
    /// Used more than allowed, in units.
    debt: f64,
}

impl Allowance {
    fn spend(&mut self, now: Instant, units: f64, per_s: f64) {
        self.pass(now, per_s);
        self.debt += units;
    }

    fn pass(&mut self, now: Instant, per_s: f64) {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.at = Some(now);
        self.debt = (self.debt - passed * per_s).max(-per_s * AHEAD.as_secs_f64());
    }

    fn free_at(&mut self, now: Instant, per_s: f64) -> Option<Instant> {
        self.pass(now, per_s);
        (self.debt > 0.0).then(|| now + Duration::from_secs_f64((self.debt / per_s).min(60.0)))
    }
}

impl Pace {
    pub fn new(limits: Limits, budget: Budget) -> Pace {
        Pace {
            limits,
            budget,
            under_way: 0,
            width: limits.requests_max.clamp(1, 2),
            well: 0,
            quickest: None,
            done: VecDeque::new(),
            rate: None,
            rate_changed: None,
            busy_at: None,
            hold_until: None,
            documents: Allowance::default(),
            charge: Allowance::default(),
            charged_milli: 0,
        }
    }

    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many documents a request takes now: never more than the rate gives in a quarter of a second.
    pub fn items_max(&self) -> usize {
        let rates = [self.rate, self.budget.documents_per_s];
        let least = rates.into_iter().flatten().fold(f64::INFINITY, f64::min);
        self.limits.items_max.min((least * AHEAD.as_secs_f64()) as usize).max(1)
    }

    /// Whether another request may begin, given what the target has charged in all.
    pub fn room(&mut self, now: Instant, charged_milli: u64) -> Room {
        if self.under_way >= self.width {
            return Room::Answered;
        }
        let charged = charged_milli.saturating_sub(self.charged_milli) as f64 / 1000.0;
        self.charged_milli = charged_milli;
        let mut free_at = self.hold_until.filter(|until| *until > now);
        if let Some(per_s) = self.budget.charge_per_s {
            self.charge.spend(now, charged, per_s);
            free_at = free_at.max(self.charge.free_at(now, per_s));
        }
        if let Some(per_s) = self.documents_per_s() {
            free_at = free_at.max(self.documents.free_at(now, per_s));
        }
        free_at.map_or(Room::Now, Room::At)
    }

    fn documents_per_s(&self) -> Option<f64> {
        let budget = self.budget.documents_per_s;
        self.rate.map(|rate| budget.map_or(rate, |budget| rate.min(budget))).or(budget)
    }

    pub fn began(&mut self, now: Instant, items: usize) {
        self.under_way += 1;
        if let Some(per_s) = self.documents_per_s() {
            self.documents.spend(now, items as f64, per_s);
        }
    }

    pub fn ended(&mut self, now: Instant, ended: Ended) {
        self.under_way -= 1;
        self.done.push_back((now, ended.done));
        while self.done.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
            self.done.pop_front();
        }
        if ended.busy > 0 {
            self.slow_down(now, ended.after);
        } else if ended.done > 0 {
            self.speed_up(now, now.saturating_duration_since(ended.began));
        }
    }

    /// The target is busy. Requests that were under way together say it together: they count once.
    fn slow_down(&mut self, now: Instant, after: Option<Duration>) {
        self.busy_at = Some(now);
        self.hold_until = self.hold_until.max(after.map(|after| now + after));
        self.well = 0;
        if self.rate_changed.is_some_and(|at| now.saturating_duration_since(at) < WINDOW / 4) {
            return;
        }
        let taken = self.done.iter().map(|(_, done)| done).sum::<usize>() as f64 / WINDOW.as_secs_f64();
        let rate = self.rate.map_or(taken, |rate| rate.min(taken.max(rate * LESS)));
        self.rate = Some((rate * LESS).max(1.0));
        self.rate_changed = Some(now);
        self.width = (self.width / 2).max(1);
    }

    fn speed_up(&mut self, now: Instant, took: Duration) {
        // The quickest answer is forgotten slowly, since a target may become slower for good.
        let quickest = self.quickest.map_or(took, |quickest| (quickest + quickest / 256).min(took));
        self.quickest = Some(quickest);
        self.well += 1;
        if self.well >= self.width {
            self.well = 0;
            let quick = took <= quickest * SLOW;
            if took > quickest * SLOW * 2 {
                self.width = (self.width - 1).max(1);
            } else if quick && self.width < self.limits.requests_max {
                self.width += 1;
            }
        }
        if let (Some(rate), Some(changed)) = (self.rate, self.rate_changed)
            && now.saturating_duration_since(changed) >= WINDOW
        {
            let seconds = now.saturating_duration_since(changed).as_secs_f64().min(2.0);
            let well = self.busy_at.is_none_or(|at| now.saturating_duration_since(at) >= WELL);
            self.rate = Some(rate * if well { FAR_MORE } else { MORE }.powf(seconds));
            self.rate_changed = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Limits = Limits { items_max: 100, bytes_max: 1 << 20, requests_max: 8 };

    /// A target with a capacity, written for some seconds by a pace: how many documents were taken, and how often it was busy.
    fn run(pace: &mut Pace, capacity_per_s: usize, start: Instant, seconds: u64) -> (usize, usize) {
        let (mut now, mut taken, mut busy, mut second) = (start, 0, 0, (0, 0));
        while now < start + Duration::from_secs(seconds) {
            match pace.room(now, 0) {
                Room::Now => {
                    let items = pace.items_max();
                    pace.began(now, items);
                    let this = now.saturating_duration_since(start).as_secs();
                    if second.0 != this {
                        second = (this, 0);
                    }
                    let fits = items.min(capacity_per_s - second.1);
                    second.1 += fits;
                    let began = now;
                    now += Duration::from_millis(2);
                    pace.ended(now, Ended { began, done: fits, busy: items - fits, after: None });
                    taken += fits;
                    busy += items - fits;
                }
                Room::At(at) => now = at.max(now + Duration::from_millis(1)),
                Room::Answered => unreachable!("each request ends at once"),
            }
        }
        (taken, busy)
    }

    #[test]
    fn a_target_that_is_quick_is_written_wider_up_to_its_limit() {
        let mut pace = Pace::new(WIDE, Budget::default());
        let start = Instant::now();
        for request in 0..100 {
            let now = start + Duration::from_millis(10 * request);
            pace.began(now, 1);
            pace.ended(now + Duration::from_millis(5), Ended { began: now, done: 1, busy: 0, after: None });
        }
        for _ in 0..WIDE.requests_max {
            assert_eq!(pace.room(start, 0), Room::Now);
            pace.began(start, 1);
        }
        assert_eq!(pace.room(start, 0), Room::Answered);
    }

    #[test]
    fn a_busy_target_is_given_about_what_it_takes() {
        let mut pace = Pace::new(WIDE, Budget::default());
        let (taken, busy) = run(&mut pace, 50, Instant::now(), 60);
        assert!(taken > 50 * 60 * 6 / 10, "{taken} of {} were written", 50 * 60);
        assert!(busy * 10 < taken * 2, "{busy} were refused, {taken} written");
    }

    #[test]
    fn a_target_that_recovers_is_written_faster_again() {
        let mut pace = Pace::new(WIDE, Budget::default());
        let start = Instant::now();
        run(&mut pace, 50, start, 20);
        let before = pace.rate.expect("it was busy");
        run(&mut pace, 1_000_000, start + Duration::from_secs(20), 60);
        assert!(pace.rate.expect("it keeps one") > before * 10.0);
    }

    #[test]
    fn it_waits_as_long_as_it_is_asked_to() {
        let mut pace = Pace::new(WIDE, Budget::default());
        let now = Instant::now();
        pace.began(now, 10);
        let after = Some(Duration::from_secs(3));
        pace.ended(now, Ended { began: now, done: 5, busy: 5, after });
        assert_eq!(pace.room(now, 0), Room::At(now + Duration::from_secs(3)));
        assert_eq!(pace.room(now + Duration::from_secs(3), 0), Room::Now);
    }

    #[test]
    fn a_budget_is_never_passed() {
        let budget = Budget { documents_per_s: Some(20.0), charge_per_s: None };
        let (taken, busy) = run(&mut Pace::new(WIDE, budget), 1_000_000, Instant::now(), 30);
        assert!(busy == 0 && (500..=20 * 30 + 10).contains(&taken), "{taken}");

        let mut pace = Pace::new(WIDE, Budget { charge_per_s: Some(400.0), documents_per_s: None });
        let start = Instant::now();
        let (mut now, mut charged_milli) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match pace.room(now, charged_milli) {
                Room::At(at) => now = at,
                _ => {
                    pace.began(now, 1);
                    pace.ended(now, Ended { began: now, done: 1, busy: 0, after: None });
                    charged_milli += 6_290;
                }
            }
        }
        assert!((3_800_000..=4_120_000).contains(&charged_milli), "{charged_milli}");
    }
}
