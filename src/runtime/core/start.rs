//! Claims and partitions, once both are known → how the projection starts; and how a target is gone on with, then and later.
//!
//! ORDER: nothing is opened, written or claimed before the decision. After it the epoch's checkpoint is synced, then claims
//! are moved to that epoch, then documents are sent.

use std::time::Instant;

use super::*;
use crate::runtime::core::hold::{Done, Taking, Turn};
use crate::runtime::decide::{Missing, Target, decide_offset, decide_target};

impl Core {
    /// Starts once every claim was read and the partitions were found, or says why not.
    pub(super) fn consider_start(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.started || self.phase == Phase::Ended {
            return;
        }
        if matches!(self.phase, Phase::Stopping { .. }) {
            return self.end(Ended::Stopped, actions);
        }
        if let Some(why) = self.unreachable(now) {
            return self.end(Ended::Unreachable(why), actions);
        }
        let all_seen = self.holds.iter().flatten().all(|hold| hold.undecided().is_some());
        let Some(found) = self.found.take_if(|_| all_seen) else { return };
        let claimed = self.holds.iter().flatten().any(|hold| hold.undecided().flatten().is_some());
        self.rebuilt = claimed && !self.facts.state_known;
        if (self.rebuilt || self.is_old_copy())
            && !self.facts.accept_loss
            && let Some(why) = found.iter().find_map(|facts| cannot_rebuild(facts, self.rebuilt))
        {
            return self.end(Ended::Refused(why), actions);
        }
        self.started = true;
        self.open(found, actions);
        (0..self.owed.len()).for_each(|sink| self.decide_target(sink));
    }

    /// Whether some target may hold documents of a later state than ours.
    fn is_old_copy(&self) -> bool {
        let refills = |(hold, owed): (&Option<Hold>, &Owed)| {
            let claim = hold.as_ref()?.undecided()??;
            let how = decide_target(owed.persisted, self.synced, Some(&claim), &self.facts.us);
            (how == Target::Refill).then_some(())
        };
        self.holds.iter().zip(&self.owed).any(|sink| refills(sink).is_some())
    }

    /// Why the time for a start is over.
    fn unreachable(&self, now: Instant) -> Option<String> {
        self.start_until.filter(|until| *until <= now)?;
        let away = |(hold, owed): (&Option<Hold>, &Owed)| {
            let why = hold.as_ref()?.away.as_ref()?;
            Some(format!("the claim of `{}` could not be read: {why}", owed.name))
        };
        self.holds.iter().zip(&self.owed).find_map(away)
    }

    /// Decides how a target is gone on with whose claim was read.
    fn decide_target(&mut self, sink: usize) {
        let Some(claim) = self.holds[sink].as_ref().and_then(Hold::undecided) else { return };
        let owed = &mut self.owed[sink];
        let stored = SinkRecord { target: owed.target, ..owed.persisted };
        let how = match decide_target(stored, self.synced, claim.as_ref(), &self.facts.us) {
            Target::GoOn => Taking::AsItIs,
            Target::First if !owed.is_refilled() => {
                let target = self.new_target();
                self.owed[sink].target = Some(target);
                Taking::Renamed(target)
            }
            Target::First | Target::Refill => self.refill(sink),
        };
        if let Some(claim) =
            claim.filter(|claim| claim.process != self.facts.us.process && !mutant!(ClaimsEpochIgnored))
        {
            self.epoch_floor = self.epoch_floor.max(claim.epoch);
        }
        self.holds[sink].as_mut().expect("it was just seen").decide(how);
    }

    /// Fills a target anew, under a new id.
    fn refill(&mut self, sink: usize) -> Taking {
        self.owed[sink].refill();
        self.partitions.iter_mut().for_each(|partition| partition.quiet_until = partition.end);
        Taking::Renamed(self.new_target())
    }

    fn new_target(&mut self) -> TargetId {
        self.targets_made += 1;
        TargetId(self.facts.us.process.0.wrapping_add(self.targets_made))
    }

    /// Lets the sinks speak that are filled anew, once a checkpoint has passed what may have been published before.
    pub(super) fn end_quiet(&mut self) {
        if self.partitions.iter().all(Partition::is_past_quiet) {
            self.owed.iter_mut().for_each(Owed::speak);
        }
    }

    /// Reads and moves claims.
    pub(super) fn claim(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Ended | Phase::Leaving { .. }) {
            return;
        }
        for sink in 0..self.holds.len() {
            if self.started {
                self.decide_target(sink);
            }
            let done = self.done(sink);
            let Some(hold) = &mut self.holds[sink] else { continue };
            if let Some(request) = hold.next(now, self.synced, done, self.begun) {
                actions.push(Action::Claim { sink, request });
            }
        }
    }

    /// What the claim is to stand for.
    pub(super) fn done(&self, sink: usize) -> Done {
        let owed = &self.owed[sink];
        // Past the last change a sink stays settled by itself.
        Done { published: owed.sent_version, settled: owed.settled(self.synced).min(self.last_change) }
    }

    /// A claim was read or moved.
    pub(super) fn claim_turned(&mut self, now: Instant, sink: usize, turn: Turn, actions: &mut Vec<Action>) {
        match turn {
            Turn::Nothing => {}
            Turn::Taken => self.owed[sink].taken(now, self.synced),
            Turn::Forgot => {
                let target = self.owed[sink].target.filter(|_| mutant!(ForgottenTarget));
                let how = target.map_or_else(|| self.refill(sink), Taking::Renamed);
                self.holds[sink].as_mut().expect("its claim was moved").decide(how);
            }
            Turn::Lost(why) if self.started => {
                let sink = &mut self.owed[sink];
                sink.stop(why.clone());
                actions.push(Action::Report(Report::SinkStopped { sink: sink.name.clone(), why }));
            }
            Turn::Lost(why) => {
                let why = format!("`{}`: {why}", self.owed[sink].name);
                self.end(Ended::Claimed(why), actions);
            }
        }
    }

    /// Gives all claims up.
    pub(super) fn release(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for sink in 0..self.holds.len() {
            let done = self.done(sink);
            let Some(hold) = &mut self.holds[sink] else { continue };
            if let Some(request) = hold.release(now, done) {
                actions.push(Action::Claim { sink, request });
            }
        }
    }
}

/// Why rows that are lost, or fell behind their documents, cannot be folded up to them, if so.
fn cannot_rebuild(facts: &PartitionFacts, rebuilt: bool) -> Option<String> {
    let Missing { what, .. } = decide_offset(facts.log, rebuilt).err()?;
    let state = if rebuilt { "is lost" } else { "is not the one that its documents were made from" };
    Some(format!(
        "P0802: the state of this projection {state}, and the log is not enough to fold it anew: {}: {what}; `projector \
         restore` brings a backup back, `projector run --accept-loss` writes the documents anew from what is left",
        facts.partition
    ))
}
