//! Who may write a target: a record that lies in the target itself and is moved only by compare-and-set.
//!
//! One process at a time keeps the documents of a projection in a target. It says so in the target's claim, and moves the
//! claim every few seconds as a sign of life. Whoever finds that somebody else moved it stops sending: what it would write
//! is guarded by versions of an older epoch, so that it can change no document that the new owner has written.

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::{SinkError, SinkFuture};
use crate::state::{Place, StoreId};

/// Names a process among all that ever ran: random, new at each start of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProcessId(pub u128);

impl ProcessId {
    /// Stands in a claim that its process gave up when it ended.
    pub const NOBODY: ProcessId = ProcessId(0);
}

/// The record that says who may write a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The store whose rows the documents are copies of.
    pub store: StoreId,
    /// Tells that store from a copy of its directory.
    pub place: Place,
    pub process: ProcessId,
    /// The epoch its holder writes in.
    pub epoch: Epoch,
    /// No document that its holder wrote has a higher version, as far as the claim has heard.
    pub published: Version,
    /// Rises with every move.
    pub beat: u64,
    /// Of what the target holds.
    pub target: TargetId,
}

impl Claim {
    /// Whether nobody moved the claim between the two. Writes may raise `published` without moving it.
    pub fn is_same_move(&self, other: &Claim) -> bool {
        (self.process, self.beat, self.target) == (other.process, other.beat, other.target)
    }
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimMove {
    Moved,
    /// Something else was there than was expected: this.
    Found(Option<Claim>),
}

/// A target that keeps a claim, durably and with its documents: who wipes or restores them wipes or restores it too.
pub trait ClaimedTarget: Send + Sync {
    /// Whether others may reach the target: then its claim is moved again and again as a sign of life.
    fn is_shared(&self) -> bool;

    /// The claim as it is now; `None` when none was ever made.
    fn read_claim(&self) -> SinkFuture<'_, Result<Option<Claim>, SinkError>>;

    /// Puts `to` in the place of `from` if that is what is there by [`Claim::is_same_move`] (`None`: if there is none).
    /// After an error it may or may not have been done.
    fn move_claim(&self, from: Option<Claim>, to: Claim) -> SinkFuture<'_, Result<ClaimMove, SinkError>>;
}
