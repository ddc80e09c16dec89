//! What was seen to happen, counted: a fault that never happens proves nothing.

macro_rules! seen {
    ($($name:ident $words:literal,)*) => {
        /// Something that happened in a schedule.
        #[derive(Debug, Clone, Copy)]
        pub(super) enum Seen { $($name,)* }
        const WORDS: &[&str] = &[$($words,)*];
    };
}

seen! {
    Start "starts",
    Commit "commits",
    Delivered "requests done",
    Crash "crashes",
    Stop "stops",
    CommitFails "failed commits",
    AnswerLost "lost answers",
    Refused "refused requests or items",
    Poisoned "documents refused for good",
    Unanswered "requests given up on",
    Doubled "doubled requests",
    Late "requests done late",
    Foreign "higher versions met",
    Down "targets down or up",
    Redelivered "redeliveries",
    Compacted "compacted records",
    Away "logs away or back",
    Freeze "processes frozen or thawed",
    ClaimMove "moves of claims",
    ClaimLost "lost claim calls or answers",
    CopyDisk "copied disks",
    PutDiskBack "disks put back",
    LoseDisk "lost disks",
    Wipe "emptied targets",
    PutTargetBack "targets put back",
    Skip "skipped events",
    Retry "retries",
    Truncated "truncated partitions",
    AddedPartition "added partitions",
    Remade "topics made again",
}

/// How often each thing was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts([u64; WORDS.len()]);

impl Counts {
    pub fn add(&mut self, seen: Seen) {
        self.0[seen as usize] += 1;
    }

    pub fn add_all(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }

    /// What was never seen.
    pub fn missing(&self) -> Vec<&'static str> {
        WORDS.iter().zip(self.0).filter(|(_, count)| *count == 0).map(|(words, _)| *words).collect()
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        WORDS.iter().zip(self.0).try_for_each(|(words, count)| writeln!(f, "  {count:>10} {words}"))
    }
}
