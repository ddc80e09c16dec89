//! Mistakes in the protocol, one line each, that the simulator must find.
//!
//! `mutant!(Name)` stands where a mistake would be made. It is `false` always but in a test build with the feature `mutants`,
//! where a thread can turn one mistake on at a time.

/// Whether a mistake is made here.
#[cfg(not(all(test, feature = "mutants")))]
macro_rules! mutant {
    ($name:ident) => {
        false
    };
}
#[cfg(all(test, feature = "mutants"))]
macro_rules! mutant {
    ($name:ident) => {
        $crate::mutants::is_on($crate::mutants::Mutant::$name)
    };
}

#[cfg(all(test, feature = "mutants"))]
pub(crate) use list::{MUTANTS, Mutant, is_on, turn_on};

#[cfg(all(test, feature = "mutants"))]
mod list {
    use std::cell::Cell;

    macro_rules! mutants {
        ($($name:ident $words:literal,)*) => {
            /// A mistake.
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub(crate) enum Mutant { $($name,)* }
            /// Every mistake, in words.
            pub(crate) const MUTANTS: &[(Mutant, &str)] = &[$((Mutant::$name, $words),)*];
        };
    }

    mutants! {
        PublishBeforeSync "documents are sent with the version of a checkpoint that is not synced",
        PublishBeforeClaim "documents are sent before the claim is held",
        StaleClaim "documents are sent on a claim that was not confirmed lately",
        StaleSender "a sender does not look at the claim between two batches",
        VersionOfLastChange "a document's version is that of the last change, not of the last checkpoint",
        SettleNewer "what is settled is one version too high",
        RetryCloses "a refused item closes its key",
        OlderAnswerCloses "an answer closes a key that has changed since",
        StepCovers "a step of a walk covers what changes while it is under way",
        WalkSkipsRow "a walk leaves out the row after its cursor",
        WalkEndsEarly "a walk ends after its first step",
        SettledNotSaved "what is settled is not saved",
        DeleteNotSent "a row that is gone sends no delete",
        MembershipIgnored "a document that is no member any more stays",
        ViewNotShown "the view is not shown what changed",
        CutWithoutAShard "a checkpoint leaves the rows of one shard out",
        OffsetTooHigh "a checkpoint's offsets are one too high",
        OffsetTooLow "a checkpoint's offsets are one too low",
        FilteredNotPassed "a batch of which nothing was folded does not move its partition",
        RedeliveredFolded "a record that is delivered again is folded again",
        StaleBatchFolded "a batch from before a rewind is folded",
        RewindForgetsNothing "a rewind leaves partitions where they were",
        CountersNotRewound "a rewind keeps what was counted",
        LettersNotRewound "a rewind keeps dead letters",
        StopsOneLater "a partition stops one event too late",
        SkipReadsOn "a skipped event is followed by what was read before it",
        WrittenRowEvicted "a row leaves memory before its checkpoint is synced",
        ListsNotKept "no list of changed keys is kept",
        TombstoneDropped "a tombstone goes before it is settled",
        FailedCommitIgnored "a failed commit is taken for a synced one",
        EpochNotRaised "a start keeps the epoch",
        ClaimsEpochIgnored "the epoch of a claim does not raise ours",
        ClaimNotWatched "a claim is taken without watching it",
        ClaimNotCompared "a claim that somebody else moved is taken for ours",
        SameBeat "each attempt to move a claim has the same beat",
        ForgottenTarget "a target that forgot is gone on with",
        TargetIdIgnored "the target's id is not compared at a start",
        QuietSpeaks "a target that is filled anew is written to while the log is folded",
        NoSweep "what a target had before is not swept away",
        SweepEndsEarly "a sweep ends after its first page",
        LateDeleteSettled "a delete is settled while an older document can still arrive",
        EndsTooEarly "a run ends before its sinks have everything",
    }

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Whether this thread makes a mistake.
    pub(crate) fn is_on(mutant: Mutant) -> bool {
        ON.get() == Some(mutant)
    }

    /// Lets this thread make a mistake from now on.
    pub(crate) fn turn_on(mutant: Option<Mutant>) {
        ON.set(mutant);
    }
}
