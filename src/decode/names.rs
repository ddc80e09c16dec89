//! A fixed set of names, looked up by bytes without hashing: the members of an event that are used, the types it may have.

use std::sync::Arc;

/// Names with what they stand for. Looked up by length first, which sorts out nearly every name that is not in the set.
#[derive(Debug, Clone, Default)]
pub(super) struct Names<T> {
    /// Sorted by length.
    entries: Vec<(Arc<str>, T)>,
    /// `starts[n]..starts[n + 1]` are the entries of length n.
    starts: Vec<u32>,
}

impl<T: Copy> Names<T> {
    /// Of equal names the first counts.
    pub fn new(names: impl IntoIterator<Item = (Arc<str>, T)>) -> Names<T> {
        let mut entries: Vec<(Arc<str>, T)> = names.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.len());
        let length_max = entries.last().map_or(0, |(name, _)| name.len());
        let starts = (0..=length_max + 1).map(|length| entries.partition_point(|(name, _)| name.len() < length) as u32);
        Names { starts: starts.collect(), entries }
    }

    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<T> {
        let [start, end] = *self.starts.get(name.len()..name.len() + 2)? else { return None };
        let same_length = &self.entries[start as usize..end as usize];
        same_length.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, value)| *value)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_bytes() {
        let names: Names<usize> =
            Names::new([("id".into(), 1), ("amount".into(), 2), ("ts".into(), 3), ("id".into(), 4)]);
        assert_eq!(names.get(b"id"), Some(1));
        assert_eq!(names.get(b"ts"), Some(3));
        assert_eq!(names.get(b"amount"), Some(2));
        assert_eq!(names.get(b"amounts"), None);
        assert_eq!(names.get(b""), None);
        assert_eq!(Names::<u8>::new([]).get(b""), None);
    }
}
