//! A target's claim, as it is read and moved → whether this process may write the target.
//!
//! Before a process writes, it reads the claim, waits where another process may be alive, and moves the claim to itself;
//! then it moves it again every few seconds, and stops as soon as it finds that somebody else did. Nothing is sent on a claim
//! that was not confirmed lately, so whoever watched it stand still for three beats writes alone. A claim that is found as
//! it was earlier, or not at all, says that the target forgot: then everything is owed to it.

use std::time::{Duration, Instant};

use crate::event::{TargetId, Version};
use crate::runtime::decide::{Us, may_be_alive};
use crate::sinks::claim::{Claim, ClaimMove, ProcessId};

/// How often a claim is moved.
pub(crate) const BEAT: Duration = Duration::from_secs(5);
/// A claim that stands still for so many beats belongs to nobody who is alive.
const STILL_BEATS: u32 = 3;
/// Nothing is sent when the last confirmed move is older than so many beats: less than [`STILL_BEATS`].
const FRESH_BEATS: u32 = 2;
/// How long to wait before a claim that could not be read or moved is asked for again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What a move is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimRequest {
    Read,
    Move { from: Option<Claim>, to: Claim },
}

/// What changed for the one who holds, or wants to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Nothing,
    /// It is ours from now on.
    Taken,
    /// What the target held is gone, or as it was earlier.
    Forgot,
    /// Another process has it.
    Lost(String),
}

/// What the last confirmed move of a claim stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// This was settled when the move was sent.
    pub settled: Version,
    pub beat: u64,
}

/// What was done to a target up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Done {
    /// Nothing was sent with a higher version.
    pub published: Version,
    /// Everything up to it has been answered.
    pub settled: Version,
}

/// A move under way.
#[derive(Debug, Clone, Copy)]
struct Moving {
    to: Claim,
    sent: Instant,
    settled: Version,
}

#[derive(Debug, Clone)]
enum State {
    /// To be read at `at`; `watched` is what was seen first, and when, while its process may be alive.
    Look {
        at: Option<Instant>,
        watched: Option<(Claim, Instant)>,
    },
    /// Read, and nobody who is alive stands in the way. It may be taken in an epoch above it, once it was decided how.
    Seen {
        claim: Option<Claim>,
        decided: Option<Taking>,
    },
    Taking {
        to: Claim,
        sent: Instant,
    },
    /// `confirmed`: when the last move that succeeded was sent.
    Held {
        claim: Claim,
        confirmed: Instant,
        said: Said,
        moving: Option<Moving>,
        again: Option<Instant>,
    },
    /// Given up at a clean end, as this.
    Released(Claim, Said),
    Lost,
}

/// How a claim is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// What the target holds is what it is thought to hold.
    AsItIs,
    /// It is filled anew: until that is done it is known by an id that no store remembers.
    Renamed(TargetId),
}

/// The claim of one target.
#[derive(Debug)]
pub(super) struct Hold {
    us: Us,
    /// Others may reach the target: then signs of life are needed, and looked for.
    shared: bool,
    state: State,
    in_flight: bool,
    /// The highest beat that was tried: each attempt has its own, so that one that is done late confirms no later one.
    tried: u64,
    /// Why it could not be read or moved.
    pub away: Option<String>,
}

impl Hold {
    pub fn new(us: Us, shared: bool) -> Hold {
        Hold { us, shared, state: State::Look { at: None, watched: None }, in_flight: false, tried: 0, away: None }
    }

    /// The claim that waits for a decision: `Some(None)` when there is none.
    pub fn undecided(&self) -> Option<Option<Claim>> {
        match &self.state {
            State::Seen { claim, decided: None } => Some(*claim),
            _ => None,
        }
    }

    pub fn decide(&mut self, taking: Taking) {
        if let State::Seen { decided, .. } = &mut self.state {
            *decided = Some(taking);
        }
    }

    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// Looks anew at a claim that was lost.
    pub fn look_again(&mut self) {
        if self.is_lost() {
            self.state = State::Look { at: None, watched: None };
        }
    }

    /// The target that is held.
    pub fn target(&self) -> Option<TargetId> {
        match &self.state {
            State::Held { claim, .. } | State::Released(claim, _) => Some(claim.target),
            _ => None,
        }
    }

    /// What the claim was moved for last.
    pub fn said(&self) -> Said {
        match &self.state {
            State::Held { said, .. } | State::Released(_, said) => *said,
            _ => Said { settled: Version(0), beat: 0 },
        }
    }

    /// Whether something may be sent in the epoch of `synced`.
    pub fn may_send(&self, now: Instant, synced: Version) -> bool {
        match &self.state {
            State::Held { claim, .. } => {
                claim.epoch == synced.epoch() && self.fresh_until().is_none_or(|until| now < until)
            }
            _ => false,
        }
    }

    /// Until when something may be sent on the last confirmed move; `None` where nobody else can be.
    pub fn fresh_until(&self) -> Option<Instant> {
        match &self.state {
            State::Held { confirmed, .. } if self.shared && !mutant!(StaleClaim) => {
                Some(*confirmed + BEAT * FRESH_BEATS)
            }
            _ => None,
        }
    }

    /// What is to be asked of the target now. A move says what was published and stands for what is settled; `taking` says
    /// that the epoch of `synced` may be claimed.
    pub fn next(&mut self, now: Instant, synced: Version, done: Done, taking: bool) -> Option<ClaimRequest> {
        if self.in_flight {
            return None;
        }
        let request = match self.state.clone() {
            State::Look { at, .. } if at.is_none_or(|at| at <= now) => ClaimRequest::Read,
            State::Seen { claim: from, decided: Some(how) } if taking && self.may_take(from, synced) => {
                let to = self.taken(from, how, synced);
                self.state = State::Taking { to, sent: now };
                ClaimRequest::Move { from, to }
            }
            State::Held { claim, confirmed, said, moving: None, again } if self.is_due(now, synced, done.settled) => {
                let published = done.published.max(claim.published);
                let to = Claim { epoch: synced.epoch(), published, beat: self.next_beat(claim.beat), ..claim };
                let moving = Some(Moving { to, sent: now, settled: done.settled });
                self.state = State::Held { claim, confirmed, said, moving, again };
                ClaimRequest::Move { from: Some(claim), to }
            }
            _ => return None,
        };
        self.in_flight = true;
        Some(request)
    }

    /// Gives the claim up; nothing is sent after it.
    pub fn release(&mut self, now: Instant, done: Done) -> Option<ClaimRequest> {
        let State::Held { claim, said, moving: None, again, .. } = self.state else { return None };
        if self.in_flight || again.is_some_and(|again| again > now) {
            return None;
        }
        let published = done.published.max(claim.published);
        let to = Claim { process: ProcessId::NOBODY, published, beat: self.next_beat(claim.beat), ..claim };
        let moving = Some(Moving { to, sent: now, settled: done.settled });
        self.state = State::Held { claim, confirmed: now, said, moving, again: None };
        self.in_flight = true;
        Some(ClaimRequest::Move { from: Some(claim), to })
    }

    /// When [`Hold::release`] may have something to ask.
    pub fn release_at(&self, now: Instant) -> Option<Instant> {
        match &self.state {
            State::Held { moving: None, again, .. } if !self.in_flight => Some(again.unwrap_or(now)),
            _ => None,
        }
    }

    /// Whether nothing of ours is under way and the claim is not ours any more.
    pub fn is_over(&self) -> bool {
        !self.in_flight && !matches!(self.state, State::Held { .. })
    }

    fn is_released_by_us(&self, found: &Claim, held: &Claim) -> bool {
        let ours =
            (found.store, found.place, found.epoch, found.target) == (held.store, held.place, held.epoch, held.target);
        found.process == ProcessId::NOBODY && ours && found.beat > held.beat
    }

    /// What is waited for before anything is sent, when that takes long.
    pub fn waits_for(&self) -> Option<String> {
        match &self.state {
            State::Look { watched: Some((claim, _)), .. } => Some(format!(
                "the store {} claims these documents in epoch {}; it is watched for {} s, whether it is alive",
                claim.store,
                claim.epoch.0,
                (BEAT * STILL_BEATS).as_secs()
            )),
            _ => self.away.as_ref().map(|why| format!("the claim of its target could not be reached: {why}")),
        }
    }

    /// A claim is taken in an epoch above its own.
    fn may_take(&self, from: Option<Claim>, synced: Version) -> bool {
        let above = |from: Claim| from.epoch < synced.epoch();
        let ours = |from: Claim| from.process == self.us.process && from.epoch == synced.epoch();
        from.is_none_or(|from| above(from) || ours(from))
    }

    fn taken(&mut self, from: Option<Claim>, how: Taking, synced: Version) -> Claim {
        let Us { store, place, process } = self.us;
        let beat = self.next_beat(from.map_or(0, |from| from.beat));
        let target = match (how, from) {
            (Taking::Renamed(target), _) => target,
            (Taking::AsItIs, from) => from.expect("what is taken as it is was there").target,
        };
        Claim { store, place, process, epoch: synced.epoch(), published: synced, beat, target }
    }

    fn next_beat(&mut self, from: u64) -> u64 {
        self.tried = if mutant!(SameBeat) { from } else { self.tried.max(from) } + 1;
        self.tried
    }

    fn is_due(&self, now: Instant, synced: Version, settled: Version) -> bool {
        let State::Held { claim, confirmed, said, again, .. } = &self.state else { return false };
        if again.is_some_and(|again| again > now) {
            return false;
        }
        let beats = self.shared || settled > said.settled;
        claim.epoch != synced.epoch() || (beats && now >= *confirmed + BEAT)
    }

    /// When [`Hold::next`] may have something to ask.
    pub fn wake_at(&self, settled: Version) -> Option<Instant> {
        match &self.state {
            _ if self.in_flight => None,
            State::Look { at, .. } => *at,
            State::Held { said, confirmed, again, .. } if self.shared || settled > said.settled => {
                Some((*confirmed + BEAT).max(again.unwrap_or(*confirmed)))
            }
            _ => None,
        }
    }

    /// Takes in what was read.
    pub fn read(&mut self, now: Instant, result: Result<Option<Claim>, String>) -> Turn {
        self.in_flight = false;
        let State::Look { watched, .. } = self.state else { return Turn::Nothing };
        match result {
            Ok(found) => self.look(now, found, watched),
            Err(why) => {
                self.away = Some(why);
                self.state = State::Look { at: Some(now + RETRY_PAUSE), watched };
                Turn::Nothing
            }
        }
    }

    fn look(&mut self, now: Instant, found: Option<Claim>, watched: Option<(Claim, Instant)>) -> Turn {
        self.away = None;
        // A target that others cannot reach is locked by us, so that whoever held it has ended.
        let Some(claim) = found.filter(|claim| self.shared && may_be_alive(claim, &self.us)) else {
            self.state = State::Seen { claim: found, decided: None };
            return Turn::Nothing;
        };
        match watched {
            Some((before, _)) if !before.is_same_move(&claim) && !mutant!(ClaimNotCompared) => self.lose(&claim),
            Some((_, since)) if now >= since + BEAT * STILL_BEATS => {
                self.state = State::Seen { claim: found, decided: None };
                Turn::Nothing
            }
            _ => {
                let watched = watched.or(Some((claim, now)));
                self.state = State::Look { at: Some(now + BEAT), watched };
                Turn::Nothing
            }
        }
    }

    fn lose(&mut self, claim: &Claim) -> Turn {
        self.state = State::Lost;
        Turn::Lost(format!(
            "another process keeps these documents, from the store {} in epoch {}; only one may: stop it, or give this one \
             a target of its own",
            claim.store, claim.epoch.0
        ))
    }

    /// Takes in what became of a move.
    pub fn moved(&mut self, now: Instant, result: Result<ClaimMove, String>) -> Turn {
        self.in_flight = false;
        match self.state.clone() {
            State::Taking { to, sent } => self.took(now, to, sent, result),
            State::Held { claim, confirmed, said, moving: Some(moving), .. } => {
                self.state = State::Held { claim, confirmed, said, moving: None, again: None };
                self.beaten(now, claim, moving, result)
            }
            _ => Turn::Nothing,
        }
    }

    fn took(&mut self, now: Instant, to: Claim, sent: Instant, result: Result<ClaimMove, String>) -> Turn {
        match result {
            Ok(ClaimMove::Moved) => self.hold(to, sent),
            Ok(ClaimMove::Found(Some(found))) if found.is_same_move(&to) => self.hold(to, sent),
            Ok(ClaimMove::Found(found)) => self.look(now, found, None),
            Err(why) => {
                self.away = Some(why);
                self.state = State::Look { at: Some(now + RETRY_PAUSE), watched: None };
                Turn::Nothing
            }
        }
    }

    fn hold(&mut self, claim: Claim, confirmed: Instant) -> Turn {
        let said = Said { settled: Version(0), beat: claim.beat };
        self.state = State::Held { claim, confirmed, said, moving: None, again: None };
        Turn::Taken
    }

    fn beaten(
        &mut self,
        now: Instant,
        claim: Claim,
        Moving { to, sent, settled }: Moving,
        result: Result<ClaimMove, String>,
    ) -> Turn {
        let found = match result {
            Ok(ClaimMove::Moved) => Some(to),
            Ok(ClaimMove::Found(found)) => found,
            Err(why) => {
                self.away = Some(why);
                if let State::Held { again, .. } = &mut self.state {
                    *again = Some(now + RETRY_PAUSE);
                }
                return Turn::Nothing;
            }
        };
        self.away = None;
        let said = Said { settled, beat: to.beat };
        match found {
            Some(found) if found.is_same_move(&to) && to.process == ProcessId::NOBODY => {
                self.state = State::Released(to, said);
                Turn::Nothing
            }
            Some(found) if found.is_same_move(&to) => {
                self.state = State::Held { claim: to, confirmed: sent, said, moving: None, again: None };
                Turn::Nothing
            }
            // An earlier move of ours whose answer was lost: it is moved on from there, unless the target forgot since.
            Some(found)
                if found.process == self.us.process && found.beat > claim.beat && found.target == claim.target =>
            {
                let State::Held { claim, .. } = &mut self.state else { unreachable!("it was just set") };
                *claim = found;
                Turn::Nothing
            }
            // We gave it up before, and nobody told us.
            Some(found) if self.is_released_by_us(&found, &claim) => {
                self.state = State::Released(found, Said { beat: found.beat, ..self.said() });
                Turn::Nothing
            }
            // A later owner has a higher epoch; anything else is what lay here earlier.
            Some(found) if found.epoch > claim.epoch && found.process != self.us.process => self.lose(&found),
            found => {
                self.state = State::Seen { claim: found, decided: None };
                Turn::Forgot
            }
        }
    }
}
