//! Counts of events whose type their topic does not list, by type: they are dropped, and never silently.
//!
//! The first of each type is logged. Counts are since the start and for people to look at; nothing is decided by them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::language::codes;

/// How many types of one topic are told apart; what comes later is counted under [`OTHERS`].
const TYPES_MAX: usize = 100;
const OTHERS: &str = "(others)";

/// The unlisted types of one topic.
#[derive(Debug)]
pub(super) struct Unlisted {
    projection: Arc<str>,
    topic: Arc<str>,
    types: RwLock<Vec<(Box<[u8]>, AtomicU64)>>,
}

impl Unlisted {
    pub fn new(projection: Arc<str>, topic: Arc<str>) -> Unlisted {
        Unlisted { projection, topic, types: RwLock::default() }
    }

    /// Counts an event.
    pub fn count(&self, name: &[u8]) {
        let known = self.types.read().unwrap_or_else(PoisonError::into_inner);
        if !counted(&known, name) {
            drop(known);
            self.first(name);
        }
    }

    #[cold]
    fn first(&self, name: &[u8]) {
        let mut known = self.types.write().unwrap_or_else(PoisonError::into_inner);
        let name = if known.len() < TYPES_MAX { name } else { OTHERS.as_bytes() };
        if counted(&known, name) {
            return;
        }
        known.push((name.into(), AtomicU64::new(1)));
        let (projection, topic, event_type) = (&*self.projection, &*self.topic, String::from_utf8_lossy(name));
        tracing::warn!(
            code = codes::UNLISTED_TYPE,
            projection,
            topic,
            %event_type,
            "events of a type that the topic does not list are dropped; `unknown: fail` would stop at them"
        );
    }

    /// How many there were of each type.
    pub fn counts(&self) -> Vec<(String, u64)> {
        let known = self.types.read().unwrap_or_else(PoisonError::into_inner);
        let count = |(name, count): &(Box<[u8]>, AtomicU64)| {
            (String::from_utf8_lossy(name).into_owned(), count.load(Ordering::Relaxed))
        };
        known.iter().map(count).collect()
    }
}

fn counted(known: &[(Box<[u8]>, AtomicU64)], name: &[u8]) -> bool {
    let found = known.iter().find(|(known, _)| **known == *name);
    found.map(|(_, count)| count.fetch_add(1, Ordering::Relaxed)).is_some()
}
