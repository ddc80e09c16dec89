//! When rows changed: enough to say since when a sink is owed something.
//!
//! Versions are kept in stretches of bounded number, each with the moment it began, so that an answer may be a little too
//! early and is never too late.

use std::collections::VecDeque;
use std::time::Instant;

use crate::event::Version;

const STRETCHES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Changes {
    /// (the last version of a stretch, when its first one was synced), both rising.
    stretches: VecDeque<(Version, Instant)>,
}

impl Changes {
    /// Rows were changed by a checkpoint that is synced now.
    pub fn changed(&mut self, version: Version, now: Instant) {
        self.stretches.push_back((version, now));
        if self.stretches.len() > STRETCHES_MAX {
            self.join();
        }
    }

    /// Joins every two stretches.
    fn join(&mut self) {
        let all = std::mem::take(&mut self.stretches);
        let pairs = all.iter().zip(all.iter().skip(1)).step_by(2);
        self.stretches = pairs.map(|((_, began), (last, _))| (*last, *began)).collect();
        if all.len() % 2 == 1 {
            self.stretches.extend(all.back());
        }
    }

    /// Every sink has settled this version: what it changed is no longer asked for.
    pub fn settled_by_all(&mut self, version: Version) {
        while self.stretches.front().is_some_and(|(last, _)| *last <= version) {
            self.stretches.pop_front();
        }
    }

    /// When the first change after this version was synced; `None` when there was none.
    pub fn since(&self, settled: Version) -> Option<Instant> {
        self.stretches.iter().find(|(last, _)| *last > settled).map(|(_, began)| *began)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_owed_is_never_said_to_be_younger_than_it_is() {
        let (start, mut changes) = (Instant::now(), Changes::default());
        let at = |version: u64| start + Duration::from_secs(version);
        for version in 1..=10_000 {
            changes.changed(Version(version), at(version));
            assert!(changes.stretches.len() <= STRETCHES_MAX);
        }
        assert_eq!(changes.since(Version(0)), Some(at(1)));
        for settled in [1, 17, 5_000, 9_998, 9_999] {
            let since = changes.since(Version(settled)).expect("more has changed");
            assert!(since <= at(settled + 1), "{settled}");
        }
        assert!(changes.since(Version(9_990)).expect("more has changed") > at(9_000));
        assert_eq!(changes.since(Version(10_000)), None);
        changes.settled_by_all(Version(10_000));
        assert!(changes.stretches.is_empty());
    }
}
