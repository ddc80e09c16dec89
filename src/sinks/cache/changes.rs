//! The feed of a cache: keys whose rows changed, in the order of the checkpoints, the last of them kept.
//!
//! A change is a key and a place; the document is read when the change is told to somebody, as it is then. So nobody pays for
//! a feed that nobody follows. Places are versions, and go on rising over restarts: who comes back with the place of an
//! earlier process, or has fallen behind by more than is kept, is told that something is missing.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::event::Version;

/// How many changes are kept.
const KEPT: usize = 10_000;

/// Where a change is among all: the version of its checkpoint, and which of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangePlace {
    pub version: Version,
    pub index: u32,
}

impl fmt::Display for ChangePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.version, self.index)
    }
}

impl ChangePlace {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<ChangePlace> {
        let (version, index) = text.split_once('-')?;
        Some(ChangePlace { version: Version(version.parse().ok()?), index: index.parse().ok()? })
    }
}

/// Changes that follow a place.
#[derive(Debug, PartialEq, Eq)]
pub struct Following {
    pub changes: Vec<(ChangePlace, Arc<str>)>,
    /// Changes between the place and these are not kept any more, or never were.
    pub gap: bool,
}

/// The changes of one cache.
#[derive(Debug)]
pub struct Changes {
    kept: Mutex<Kept>,
    newest: watch::Sender<Option<ChangePlace>>,
    kept_max: usize,
}

#[derive(Debug, Default)]
struct Kept {
    changes: VecDeque<(ChangePlace, Arc<str>)>,
    /// The last that was let go of.
    dropped: Option<ChangePlace>,
}

impl Changes {
    pub(super) fn new() -> Changes {
        Changes::keeping(KEPT)
    }

    fn keeping(kept_max: usize) -> Changes {
        Changes { kept: Mutex::default(), newest: watch::Sender::new(None), kept_max }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no thread panics while it holds the changes")
    }

    /// Adds the changes of a checkpoint.
    pub(super) fn push(&self, version: Version, keys: &[Arc<str>]) {
        let last = u32::try_from(keys.len()).unwrap_or(u32::MAX).saturating_sub(1);
        if keys.is_empty() {
            return;
        }
        let mut kept = self.kept();
        for (index, key) in (0..=last).zip(keys) {
            if kept.changes.len() == self.kept_max {
                kept.dropped = kept.changes.pop_front().map(|(place, _)| place);
            }
            kept.changes.push_back((ChangePlace { version, index }, key.clone()));
        }
        drop(kept);
        self.newest.send_replace(Some(ChangePlace { version, index: last }));
    }

    /// The place of the newest change; it can be waited for.
    pub fn newest(&self) -> watch::Receiver<Option<ChangePlace>> {
        self.newest.subscribe()
    }

    /// Up to `limit` changes after a place; without one, from the first that this process saw.
    pub fn after(&self, place: Option<ChangePlace>, limit: usize) -> Following {
        let kept = self.kept();
        let first = place.map_or(0, |place| kept.changes.partition_point(|(other, _)| *other <= place));
        let gap = match place {
            // Either the change itself is kept, or it is the last that is not.
            Some(place) => {
                let is_kept = first.checked_sub(1).is_some_and(|before| kept.changes[before].0 == place);
                !is_kept && kept.dropped != Some(place)
            }
            None => kept.dropped.is_some(),
        };
        Following { changes: kept.changes.range(first..).take(limit).cloned().collect(), gap }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(version: u64, index: u32) -> Option<ChangePlace> {
        Some(ChangePlace { version: Version(version), index })
    }

    fn pushed(changes: &Changes, version: u64, keys: &[&str]) {
        let keys: Vec<Arc<str>> = keys.iter().map(|key| Arc::from(*key)).collect();
        changes.push(Version(version), &keys);
    }

    fn after(changes: &Changes, place: Option<ChangePlace>) -> (Vec<String>, bool) {
        let Following { changes, gap } = changes.after(place, 100);
        (changes.into_iter().map(|(place, key)| format!("{key}@{place}")).collect(), gap)
    }

    #[test]
    fn changes_are_followed_from_any_place_that_is_kept() {
        let changes = Changes::keeping(4);
        assert_eq!(after(&changes, None), (vec![], false));
        pushed(&changes, 7, &["a", "b"]);
        pushed(&changes, 9, &["a"]);
        pushed(&changes, 11, &[]);
        let all = ["a@7-0", "b@7-1", "a@9-0"].map(str::to_owned);
        assert_eq!(after(&changes, None), (all.to_vec(), false));
        assert_eq!(after(&changes, place(7, 0)), (all[1..].to_vec(), false));
        assert_eq!(after(&changes, place(9, 0)), (vec![], false));
        assert_eq!(changes.after(None, 2).changes.len(), 2);
        assert_eq!(*changes.newest().borrow(), place(9, 0));
    }

    #[test]
    fn who_missed_something_is_told() {
        let changes = Changes::keeping(3);
        pushed(&changes, 7, &["a", "b"]);
        pushed(&changes, 9, &["c", "d"]);
        let kept = ["b@7-1", "c@9-0", "d@9-1"].map(str::to_owned);
        assert_eq!(after(&changes, place(7, 0)), (kept.to_vec(), false), "only that one is gone");
        pushed(&changes, 10, &["e"]);
        assert!(after(&changes, place(7, 0)).1);
        assert!(after(&changes, None).1);
        // Places of an earlier process, and of one that is ahead of what we have.
        assert!(after(&changes, place(3, 0)).1);
        assert_eq!(after(&changes, place(99, 0)), (vec![], true));
    }

    #[test]
    fn places_read_back() {
        let place = ChangePlace { version: Version(1 << 52), index: 17 };
        assert_eq!(ChangePlace::parse(&place.to_string()), Some(place));
        for wrong in ["", "1", "1-", "-1", "a-1", "1-2-3"] {
            assert_eq!(ChangePlace::parse(wrong), None, "{wrong}");
        }
    }
}
