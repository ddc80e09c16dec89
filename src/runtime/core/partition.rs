//! How far one partition has been folded, cut and synced, and why it stopped.

use crate::event::{Offset, TopicPartition};
use crate::state::NextOffset;

/// One input partition of a projection.
#[derive(Debug)]
pub(super) struct Partition {
    pub partition: TopicPartition,
    /// Folded into rows in memory.
    pub folded: NextOffset,
    /// Covered by the checkpoint in flight, or by the last one.
    pub cut: NextOffset,
    /// What a crash does not take back.
    pub synced: NextOffset,
    pub reading: Reading,
    /// It begins where no checkpoint says that it does.
    pub unsaved: bool,
    /// The first offset of the log as last seen.
    pub beginning: Option<Offset>,
    /// The end of the log as last seen.
    pub end: Option<Offset>,
    /// The end that a run until caught up reads to.
    pub goal: Option<Offset>,
    /// The source said that nothing came after `folded`.
    pub at_end: bool,
    /// A target that is filled anew is not written to before a checkpoint has passed it.
    pub quiet_until: Option<Offset>,
}

/// Whether a partition is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Added while others were read: it waits until those have passed the ends they had then.
    Held {
        until: Vec<(usize, Offset)>,
    },
    Open,
    /// A fault is known at `at`: it is read up to there and not a record further.
    UpTo {
        at: Offset,
        why: String,
    },
    Stopped {
        why: String,
        /// At the event that comes next, and not because something is missing.
        at_event: bool,
    },
}

impl Partition {
    pub fn new(partition: TopicPartition, start: NextOffset, reading: Reading) -> Partition {
        Partition {
            partition,
            folded: start,
            cut: start,
            synced: start,
            reading,
            unsaved: false,
            beginning: None,
            end: None,
            goal: None,
            at_end: false,
            quiet_until: None,
        }
    }

    /// Where a record must lie to be folded: from here on, and below the end if there is one. `None`: nowhere.
    pub fn admits(&self) -> Option<(Offset, Offset)> {
        match &self.reading {
            Reading::Open if mutant!(RedeliveredFolded) => Some((Offset(0), Offset(i64::MAX))),
            Reading::Open => Some((self.folded.offset, Offset(i64::MAX))),
            Reading::UpTo { at, .. } => Some((self.folded.offset, *at)),
            Reading::Held { .. } | Reading::Stopped { .. } => None,
        }
    }

    /// Moves on after a folded batch. Returns the reason when it stops here.
    pub fn passed(&mut self, position: Offset) -> Option<String> {
        let position = match &self.reading {
            Reading::UpTo { at, .. } => position.min(*at),
            Reading::Open => position,
            Reading::Held { .. } | Reading::Stopped { .. } => return None,
        };
        if position > self.folded.offset {
            self.folded.offset = position;
            self.at_end = false;
        }
        self.stop_when_reached()
    }

    /// Stops for good when it has reached the fault that is known.
    pub fn stop_when_reached(&mut self) -> Option<String> {
        let Reading::UpTo { at, why } = &self.reading else { return None };
        if self.folded.offset < *at {
            return None;
        }
        let why = why.clone();
        self.reading = Reading::Stopped { why: why.clone(), at_event: true };
        Some(why)
    }

    /// Forgets what no checkpoint covers. One that stopped at an event further on is read up to there again; one that was lost
    /// is not: what lies there now may be another log.
    pub fn rewind(&mut self) {
        if let Reading::Stopped { why, at_event: true } = &self.reading
            && self.folded.offset > self.synced.offset
        {
            self.reading = Reading::UpTo { at: self.folded.offset, why: why.clone() };
        }
        self.folded = self.synced;
        self.cut = self.synced;
        self.at_end = false;
    }

    pub fn stopped(&self) -> Option<&str> {
        match &self.reading {
            Reading::Stopped { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Everything that is there has been folded.
    pub fn is_caught_up(&self) -> bool {
        matches!(self.reading, Reading::Open) && (self.at_end || self.end.is_some_and(|end| self.folded.offset >= end))
    }

    /// Whether what was folded is synced up to where nothing may be published before.
    pub fn is_past_quiet(&self) -> bool {
        let all_synced = self.synced.offset == self.folded.offset;
        let passed = self.quiet_until.is_none_or(|until| self.synced.offset >= until);
        match self.reading {
            Reading::Held { .. } => false,
            // A stopped partition holds nobody.
            Reading::Stopped { .. } => all_synced,
            Reading::Open | Reading::UpTo { .. } => passed || (self.at_end && all_synced),
        }
    }

    /// Whether a run until caught up has nothing more to read here.
    pub fn is_done(&self) -> bool {
        match self.reading {
            Reading::Stopped { .. } => true,
            Reading::Open => self.at_end || self.goal.is_some_and(|goal| self.folded.offset >= goal),
            Reading::Held { .. } | Reading::UpTo { .. } => false,
        }
    }
}
