//! The single keys a sink is owed: which, since when, and whose turn it is.
//!
//! Keys are walked in key order, around the end, so that none starves. No clock and no answers here: what becomes of a key
//! is decided by [`Owed`](super::owed::Owed).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use crate::event::Version;

/// A key that is owed.
#[derive(Debug)]
pub(super) struct Open {
    /// The checkpoint that last changed it.
    pub changed: Version,
    pub attempts: u32,
    pub not_before: Option<Instant>,
    /// Its document was deleted, and the delete is sent once more when nothing older can arrive any more.
    pub confirms: bool,
}

impl Open {
    fn new(changed: Version) -> Open {
        Open { changed, attempts: 0, not_before: None, confirms: false }
    }
}

#[derive(Debug, Default)]
pub(super) struct OpenKeys {
    keys: BTreeMap<Arc<str>, Open>,
    /// How many keys were changed by each version: the first says what is settled.
    changed_at: BTreeMap<Version, usize>,
    cursor: Option<Arc<str>>,
}

impl OpenKeys {
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn contains(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Open> {
        self.keys.get_mut(key)
    }

    /// The first version that some open key was changed by.
    pub fn oldest(&self) -> Option<Version> {
        self.changed_at.first_key_value().map(|(version, _)| *version)
    }

    pub fn open(&mut self, key: &Arc<str>, changed: Version) {
        if let Some(before) = self.keys.insert(key.clone(), Open::new(changed)) {
            self.count_down(before.changed);
        }
        *self.changed_at.entry(changed).or_default() += 1;
    }

    /// Opens keys of one checkpoint; at once, when none was open.
    pub fn open_all(&mut self, keys: &[Arc<str>], changed: Version) {
        if self.keys.is_empty() && !keys.is_empty() {
            self.keys = keys.iter().map(|key| (key.clone(), Open::new(changed))).collect();
            self.changed_at.insert(changed, self.keys.len());
        } else {
            keys.iter().for_each(|key| self.open(key, changed));
        }
    }

    /// Closes a key, if it has not changed since the version it was answered for.
    pub fn close(&mut self, key: &str, answered: Version) {
        if let Some(open) = self.keys.get(key)
            && (open.changed <= answered || mutant!(OlderAnswerCloses))
        {
            let changed = open.changed;
            self.keys.remove(key);
            self.count_down(changed);
        }
    }

    fn count_down(&mut self, changed: Version) {
        if let Some(count) = self.changed_at.get_mut(&changed) {
            *count -= 1;
            if *count == 0 {
                self.changed_at.remove(&changed);
            }
        }
    }

    pub fn clear(&mut self) {
        self.keys.clear();
        self.changed_at.clear();
    }

    /// Up to `max` keys that may be sent now, in key order from where the last turn ended.
    pub fn next(&mut self, now: Instant, max: usize) -> Option<Vec<Arc<str>>> {
        let ready = |(_, open): &(&Arc<str>, &Open)| open.not_before.is_none_or(|at| at <= now);
        let cursor = self.cursor.take();
        let (above, below) = match &cursor {
            Some(cursor) => ((Bound::Excluded(cursor), Bound::Unbounded), Some(..=cursor)),
            None => ((Bound::Unbounded, Bound::Unbounded), None),
        };
        let above = self.keys.range::<Arc<str>, _>(above).filter(ready);
        let below = below.into_iter().flat_map(|below| self.keys.range::<Arc<str>, _>(below)).filter(ready);
        let keys: Vec<_> = above.chain(below).take(max).map(|(key, _)| key.clone()).collect();
        self.cursor = keys.last().cloned();
        (!keys.is_empty()).then_some(keys)
    }

    /// The next turn begins after this key.
    pub fn go_on_after(&mut self, key: Arc<str>) {
        self.cursor = Some(key);
    }

    /// When the first of them may be sent.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.keys.values().map(|open| open.not_before.unwrap_or(now)).min()
    }
}
