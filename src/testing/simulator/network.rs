//! What is on its way between processes and targets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Version;
use crate::sinks::{DocumentWrite, Outcome};

/// How long a sender waits for an answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A request that has not reached its target.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub process: u32,
    pub sink: usize,
    pub version: Version,
    pub writes: Vec<DocumentWrite>,
    /// When its sender gives up on it.
    pub timeout: Instant,
    /// Nobody waits for it any more; it may still arrive up to then.
    pub late_until: Option<Instant>,
    /// What goes wrong with it at the target.
    pub trouble: Trouble,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// It is done, and its answer is lost.
    AnswerLost,
    /// Nothing of it is done.
    Refused,
    /// One item is not done.
    ItemRefused(u32),
    /// One item can never be done.
    ItemPoisoned(u32),
}

/// An answer on its way back.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub process: u32,
    pub sink: usize,
    pub outcomes: Vec<(Arc<str>, Outcome)>,
}

#[derive(Debug, Default)]
pub(super) struct Network {
    pub requests: Vec<Request>,
    pub replies: Vec<Reply>,
}

impl Request {
    /// What its sender is told when it gives up.
    pub fn unanswered(&self) -> Reply {
        let outcome = Outcome::Unanswered { reason: "no answer".into() };
        self.reply(|_| outcome.clone())
    }

    pub fn reply(&self, mut outcome: impl FnMut(&DocumentWrite) -> Outcome) -> Reply {
        let outcomes = self.writes.iter().map(|write| (write.key.clone(), outcome(write))).collect();
        Reply { process: self.process, sink: self.sink, outcomes }
    }
}
