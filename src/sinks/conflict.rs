//! What a version found in a target means to the one who wants to write another: the one rule, for every sink.

use crate::event::Version;

/// What to do about a document that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// It is what we were about to write. One version names one sequence of bytes, so this is success.
    Duplicate,
    /// It is older than ours: whatever refused the write, it may be tried again.
    Retry,
    /// We never wrote it: the target belongs to someone else.
    Foreign,
}

/// Judges the version a target holds, `None` when its document has none, by the one we want to write.
///
/// A higher one cannot be ours, whichever half is higher: a later epoch is another owner's, and a later checkpoint of our
/// own epoch is one we have not made, because at most one write per key is in flight.
pub fn classify(stored: Option<Version>, ours: Version) -> Conflict {
    match stored {
        None => Conflict::Foreign,
        Some(stored) if stored == ours => Conflict::Duplicate,
        Some(stored) if stored < ours => Conflict::Retry,
        Some(_) => Conflict::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_and_equal_versions_are_ours() {
        let version = |epoch: u64, checkpoint: u64| Version(epoch << Version::CHECKPOINT_BITS | checkpoint);
        let ours = version(3, 5);
        assert_eq!(classify(Some(version(3, 5)), ours), Conflict::Duplicate);
        assert_eq!(classify(Some(version(3, 4)), ours), Conflict::Retry);
        assert_eq!(classify(Some(version(2, 900)), ours), Conflict::Retry);
        assert_eq!(classify(Some(version(3, 6)), ours), Conflict::Foreign);
        assert_eq!(classify(Some(version(4, 1)), ours), Conflict::Foreign);
        assert_eq!(classify(None, ours), Conflict::Foreign);
    }
}
