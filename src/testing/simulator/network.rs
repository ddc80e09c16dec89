//! What is on its way between processes and targets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::Version;
use crate::runtime::core::ClaimRequest;
use crate::sinks::{DocumentWrite, Outcome};

use super::process::Message;

/// How long who calls a claim waits for an answer.
pub(super) const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// A request that has not reached its target.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub process: u32,
    pub sink: usize,
    pub what: What,
    /// When its sender gives up on it.
    pub timeout: Instant,
    /// Nobody waits for it any more; it may still arrive up to then.
    pub late_until: Option<Instant>,
    /// What goes wrong with it at the target.
    pub trouble: Trouble,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Write { version: Version, writes: Vec<DocumentWrite> },
    Claim(ClaimRequest),
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
pub(super) struct Reply {
    pub process: u32,
    pub what: Answered,
}

pub(super) enum Answered {
    Writes { sink: usize, outcomes: Vec<(Arc<str>, Outcome)> },
    Claim(Message),
}

#[derive(Default)]
pub(super) struct Network {
    pub requests: Vec<Request>,
    pub replies: Vec<Reply>,
}

impl Request {
    /// What its sender is told when nothing came back.
    pub fn unanswered(&self) -> Reply {
        self.failed(Outcome::Unanswered { reason: "no answer".into() })
    }

    /// What its sender is told when nothing of it was done.
    pub fn refused(&self) -> Reply {
        self.failed(Outcome::Retry { reason: "busy".into() })
    }

    fn failed(&self, outcome: Outcome) -> Reply {
        let sink = self.sink;
        let what = match &self.what {
            What::Write { writes, .. } => {
                let outcomes = writes.iter().map(|write| (write.key.clone(), outcome.clone())).collect();
                Answered::Writes { sink, outcomes }
            }
            What::Claim(ClaimRequest::Read) => {
                Answered::Claim(Message::ClaimRead { sink, result: Err("no answer".into()) })
            }
            What::Claim(ClaimRequest::Move { .. }) => {
                Answered::Claim(Message::ClaimMoved { sink, result: Err("no answer".into()) })
            }
        };
        Reply { process: self.process, what }
    }

    pub fn is_write(&self) -> bool {
        matches!(self.what, What::Write { .. })
    }

    /// Whether a request that nobody waits for arrives at all: every other one does.
    pub fn arrives_late(&self) -> bool {
        match &self.what {
            What::Write { version, .. } => version.0.is_multiple_of(2),
            What::Claim(ClaimRequest::Move { to, .. }) => to.beat.is_multiple_of(2),
            What::Claim(ClaimRequest::Read) => false,
        }
    }
}
