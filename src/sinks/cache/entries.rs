//! The documents a cache holds ready: a bounded map from which the oldest goes first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;

use crate::sinks::StoredDocument;

/// A document held ready.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub document: StoredDocument,
    /// When it stops being shown, in microseconds since 1970.
    pub expires: Option<i64>,
}

/// A map of at most `items_max` entries.
#[derive(Debug)]
pub(super) struct Entries {
    by_key: DashMap<Arc<str>, (u64, Entry)>,
    /// Keys in the order they came, each with the ticket of its entry then. A key whose entry was replaced or removed stays
    /// here until its turn and is passed over by its old ticket.
    order: Mutex<VecDeque<(u64, Arc<str>)>>,
    tickets: AtomicU64,
    items_max: usize,
}

impl Entries {
    pub fn new(items_max: usize) -> Entries {
        Entries { by_key: DashMap::new(), order: Mutex::default(), tickets: AtomicU64::new(0), items_max }
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn has_room(&self) -> bool {
        self.len() < self.items_max
    }

    pub fn get(&self, key: &str) -> Option<Entry> {
        self.by_key.get(key).map(|entry| entry.1.clone())
    }

    pub fn remove(&self, key: &str) {
        self.by_key.remove(key);
    }

    /// Holds an entry unless `still` says, under the lock of its key, that it is out of date by now.
    pub fn insert(&self, key: &Arc<str>, entry: Entry, still: impl Fn() -> bool) {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        {
            let place = self.by_key.entry(key.clone());
            if !still() {
                return;
            }
            place.insert((ticket, entry));
        }
        self.evict((ticket, key.clone()));
    }

    fn evict(&self, newest: (u64, Arc<str>)) {
        let mut order = self.order.lock().expect("no thread panics while it holds the order");
        order.push_back(newest);
        while self.by_key.len() > self.items_max {
            let Some((ticket, key)) = order.pop_front() else { return };
            self.by_key.remove_if(&key, |_, (current, _)| *current == ticket);
        }
        // Keys that change often leave their old tickets behind.
        if order.len() > 2 * self.items_max + 16 {
            order.retain(|(ticket, key)| self.by_key.get(key).is_some_and(|entry| entry.0 == *ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Version;

    fn entry(version: u64) -> Entry {
        Entry { document: StoredDocument { version: Version(version), body: Arc::from(*b"{}") }, expires: None }
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let entries = Entries::new(2);
        let keys: Vec<Arc<str>> = ["a", "b", "c"].map(Arc::from).to_vec();
        entries.insert(&keys[0], entry(1), || true);
        entries.insert(&keys[1], entry(1), || true);
        // Replaced: now `b` is the oldest.
        entries.insert(&keys[0], entry(2), || true);
        entries.insert(&keys[2], entry(1), || true);
        assert_eq!(entries.len(), 2);
        assert!(entries.get("b").is_none());
        assert_eq!(entries.get("a").unwrap().document.version, Version(2));
    }

    #[test]
    fn a_stale_entry_is_not_held() {
        let entries = Entries::new(2);
        entries.insert(&"a".into(), entry(1), || false);
        assert_eq!(entries.len(), 0);
    }

    #[test]
    fn old_tickets_do_not_pile_up() {
        let entries = Entries::new(4);
        for version in 0..1000 {
            entries.insert(&"a".into(), entry(version), || true);
        }
        assert!(entries.order.lock().unwrap().len() <= 2 * 4 + 16);
        assert_eq!(entries.get("a").unwrap().document.version, Version(999));
    }
}
