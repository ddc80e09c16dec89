//! The ETags of what we wrote last, by key: what saves a read before a write. Bounded: the oldest half is forgotten.
//!
//! It is a memory of answers, not of the target: an ETag that is stale is refused there, and one read mends it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use azure_core::http::Etag;

use crate::event::Version;

/// How many are kept at most; with keys of 40 bytes, some 20 MiB.
const KEPT_MAX: usize = 128 * 1024;

/// A document as it was when we last heard of it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub etag: Etag,
    pub version: Version,
}

#[derive(Debug, Default)]
pub struct Etags(Mutex<Halves>);

/// What was seen since the younger half was begun, and what before.
#[derive(Debug, Default)]
struct Halves {
    younger: HashMap<Arc<str>, Seen>,
    older: HashMap<Arc<str>, Seen>,
}

impl Etags {
    pub fn get(&self, key: &str) -> Option<Seen> {
        self.with(|halves| halves.younger.get(key).or_else(|| halves.older.get(key)).cloned())
    }

    pub fn put(&self, key: &Arc<str>, seen: Seen) {
        self.with(|halves| {
            if halves.younger.len() >= KEPT_MAX / 2 {
                halves.older = std::mem::take(&mut halves.younger);
            }
            halves.younger.insert(key.clone(), seen);
        });
    }

    pub fn forget(&self, key: &str) {
        self.with(|halves| {
            halves.younger.remove(key);
            halves.older.remove(key);
        });
    }

    pub fn clear(&self) {
        self.with(|halves| *halves = Halves::default());
    }

    fn with<T>(&self, work: impl FnOnce(&mut Halves) -> T) -> T {
        work(&mut self.0.lock().expect("no thread panics while it holds the ETags"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: usize) -> Seen {
        Seen { etag: Etag::from(number.to_string()), version: Version(number as u64) }
    }

    #[test]
    fn the_newest_are_kept_and_no_more_than_the_bound() {
        let etags = Etags::default();
        for number in 0..KEPT_MAX * 2 {
            etags.put(&format!("{number}").into(), seen(number));
        }
        let kept = etags.with(|halves| halves.younger.len() + halves.older.len());
        assert!((KEPT_MAX / 2..=KEPT_MAX).contains(&kept), "{kept}");
        let last = KEPT_MAX * 2 - 1;
        assert_eq!(etags.get(&last.to_string()).map(|seen| seen.version), Some(Version(last as u64)));
        assert!(etags.get("0").is_none());
    }

    #[test]
    fn the_last_word_counts_also_over_an_older_half() {
        let etags = Etags::default();
        etags.put(&"a".into(), seen(1));
        (0..KEPT_MAX / 2).for_each(|number| etags.put(&format!("x{number}").into(), seen(0)));
        assert_eq!(etags.get("a").map(|seen| seen.version), Some(Version(1)), "it is in the older half");
        etags.put(&"a".into(), seen(2));
        assert_eq!(etags.get("a").map(|seen| seen.version), Some(Version(2)));
        etags.forget("a");
        assert!(etags.get("a").is_none());
        etags.clear();
        assert!(etags.get("x1").is_none());
    }
}
