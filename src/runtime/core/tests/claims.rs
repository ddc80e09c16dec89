//! Claims, step by step, with the target played by hand.

use super::*;
use crate::runtime::core::hold::BEAT;

/// A target that keeps a claim and is reached by others too; some requests to it arrive a minute late.
const LATE: Duration = Duration::from_secs(60);

fn claimed(settled: u64, target: Option<u128>) -> SinkFacts {
    let mut sink = sink("cosmos", false, settled);
    sink.target.claimed = Some(true);
    sink.record.target = target.map(TargetId);
    sink
}

fn known(version: u64, sinks: Vec<SinkFacts>) -> CoreFacts {
    CoreFacts { version: Version(version), state_known: true, ..facts(sinks) }
}

/// As an earlier process of our directory left it, having published up to `published`.
fn left(published: u64, target: u128) -> Claim {
    let published = Version(published);
    let target = TargetId(target);
    Claim {
        store: US.store,
        place: US.place,
        process: ProcessId(9),
        epoch: published.epoch(),
        published,
        beat: 7,
        target,
    }
}

impl Played {
    fn asked(&mut self) -> Option<ClaimRequest> {
        self.take(|action| match action {
            Action::Claim { request, .. } => Some(*request),
            _ => None,
        })
    }

    fn read_claim(&mut self, claim: Option<Claim>) {
        assert_eq!(self.asked(), Some(ClaimRequest::Read));
        self.step(Input::ClaimRead { sink: 0, result: Ok(claim) });
    }

    /// The move that is wanted; it is done.
    fn move_claim(&mut self) -> Claim {
        let Some(ClaimRequest::Move { to, .. }) = self.asked() else { panic!("a move is wanted") };
        self.step(Input::ClaimMoved { sink: 0, result: Ok(ClaimMove::Moved) });
        to
    }

    fn find_instead(&mut self, found: Option<Claim>) {
        assert!(matches!(self.asked(), Some(ClaimRequest::Move { .. })));
        self.step(Input::ClaimMoved { sink: 0, result: Ok(ClaimMove::Found(found)) });
    }

    fn ended(&mut self) -> Option<Ended> {
        self.take(|action| match action {
            Action::Exit(ended) => Some(ended.clone()),
            _ => None,
        })
    }

    fn trouble(&self) -> Option<String> {
        self.core.status(None, None).sinks[0].trouble.clone()
    }

    /// Answers the walk or sweep that is wanted, as done to its end.
    fn walk(&mut self) -> Work {
        let (sink, version, work) = self.published().expect("something whole is owed");
        assert!(!matches!(work, Work::Keys(_)), "{work:?}");
        self.answer(sink, version, &[]);
        work
    }
}

#[test]
fn the_epoch_is_synced_then_the_claim_moved_then_something_sent() {
    let mut played = Played::start(facts(vec![claimed(0, None)]), 1);
    assert!(played.freeze(&[]).is_none(), "nothing is written before the claim was read");
    played.read_claim(None);
    assert_eq!(played.asked(), None, "nothing is claimed in an epoch that is not synced");
    let first = played.checkpoint(&[]);
    assert_eq!(first.version, Version(EPOCH_1));
    assert_eq!(played.published(), None, "the target is not ours yet");
    let claim = played.move_claim();
    assert_eq!((claim.epoch, claim.process, claim.beat), (Epoch(1), US.process, 1));
    assert_eq!(first.sinks[0].1.target, Some(claim.target), "the target is known by its id");
    assert!(matches!(played.walk(), Work::Rows { .. }));
    assert!(played.core.status(None, None).sinks[0].filled);
}

#[test]
fn a_claim_that_moves_refuses_the_start_and_one_that_stands_still_does_not() {
    let other = Claim { store: StoreId(2), ..left(EPOCH_1 * 4 + 9, 5) };
    for moves in [true, false] {
        let mut played = Played::start(facts(vec![claimed(0, None)]), 1);
        played.read_claim(Some(other));
        for _ in 0..3 {
            assert!(played.freeze(&[]).is_none() && played.trouble().is_some());
            played.later(BEAT - Duration::from_millis(1));
            assert_eq!(played.asked(), None);
            played.later(Duration::from_millis(1));
            let beat = if moves { 8 } else { 7 };
            played.read_claim(Some(Claim { beat, ..other }));
            if moves {
                assert!(matches!(played.ended(), Some(Ended::Claimed(why)) if why.contains("another process")));
                return;
            }
        }
        assert_eq!(played.checkpoint(&[]).version.epoch(), Epoch(5), "above every epoch of the other one");
        assert_eq!(played.move_claim().epoch, Epoch(5));
    }
}

#[test]
fn our_own_directory_goes_on_at_once() {
    let mut facts = known(EPOCH_1 + 6, vec![claimed(EPOCH_1 + 4, Some(5))]);
    facts.sinks[0].open = Some(vec!["a".into()]);
    let mut played = Played::start(facts, 1);
    played.read_claim(Some(left(EPOCH_1 + 5, 5)));
    let version = played.checkpoint(&[]).version;
    assert_eq!(played.move_claim().target, TargetId(5));
    assert_eq!(played.published(), Some((0, version, keys(&["a"]))));
}

#[test]
fn a_target_that_is_ahead_is_filled_quietly_and_swept_before_it_counts_as_filled() {
    let range = Some(OffsetRange { beginning: Offset(0), end: Offset(8) });
    let log = LogFacts { range, ..LogFacts::default() };
    let mut facts = facts(vec![claimed(0, None)]);
    facts.sinks[0].target.late_for = LATE;
    let mut played = Played::start_in(facts, vec![(0, log)]);
    played.read_claim(Some(Claim { process: ProcessId::NOBODY, ..left(EPOCH_1 * 3 + 70, 5) }));
    let first = played.checkpoint(&[]);
    assert_eq!((first.version.epoch(), first.sinks[0].1), (Epoch(4), SinkRecord::default()));
    assert_ne!(played.move_claim().target, TargetId(5), "until it is filled nobody knows it");
    for (to, published) in [(5, false), (8, true)] {
        played.fold(to, 1);
        played.later(PAUSE * 2);
        assert_eq!(played.published(), None, "what was published before is not passed");
        let cut = played.checkpoint(&["a"]);
        assert_eq!(cut.sinks, [], "nothing is settled");
        assert_eq!(played.wanted.iter().any(|action| matches!(action, Action::Publish { .. })), published);
    }
    assert!(matches!(played.walk(), Work::Rows { after: None, floor: Version(0) }));
    assert_eq!(played.published(), None, "requests of the one before may still arrive");
    for _ in 0..12 {
        played.later(BEAT);
        played.asked().expect("a sign of life");
        played.step(Input::ClaimMoved { sink: 0, result: Ok(ClaimMove::Moved) });
    }
    let sweep = played.walk();
    assert!(matches!(sweep, Work::Sweep { after: None, floor } if floor == first.version), "{sweep:?}");
    played.later(BEAT);
    played.move_claim();
    let filled = played.checkpoint(&[]).sinks[0].1;
    assert!(filled.target.is_some(), "now it is known again");
    played.later(BEAT);
    let settled = played.checkpoint(&[]).sinks[0].1;
    assert!(settled.settled > first.version && settled.beat > filled.beat && settled.target == filled.target);
}

#[test]
fn rows_that_are_lost_are_not_folded_anew_from_a_log_that_was_cut() {
    let range = Some(OffsetRange { beginning: Offset(3), end: Offset(8) });
    let log = LogFacts { range, ..LogFacts::default() };
    for (claim, accept_loss, refused) in
        [(Some(left(7, 5)), false, true), (Some(left(7, 5)), true, false), (None, false, false)]
    {
        let facts = CoreFacts { accept_loss, ..facts(vec![claimed(0, None)]) };
        let mut played = Played::start_in(facts, vec![(0, log)]);
        played.read_claim(claim);
        let ended = played.ended();
        assert_eq!(matches!(&ended, Some(Ended::Refused(why)) if why.contains("offsets 0 to 2")), refused, "{ended:?}");
        assert_eq!(played.freeze(&[]).is_none(), refused);
    }
}

/// Past a start, with nothing owed.
fn settled_in() -> Played {
    let mut facts = facts(vec![claimed(0, None)]);
    facts.sinks[0].target.late_for = LATE;
    let mut played = Played::start(facts, 1);
    played.read_claim(None);
    played.checkpoint(&[]);
    played.move_claim();
    played.walk();
    played
}

#[test]
fn the_claim_of_a_target_that_is_locked_is_taken_without_watching() {
    let mut sink = claimed(0, None);
    sink.target.claimed = Some(false);
    let mut played = Played::start(facts(vec![sink]), 1);
    played.read_claim(Some(Claim { store: StoreId(2), ..left(EPOCH_1 * 4 + 9, 5) }));
    assert_eq!(played.checkpoint(&[]).version, Version(EPOCH_1 * 5), "above the epoch that was found");
    assert_eq!((played.move_claim().epoch, played.trouble()), (Epoch(5), None));
}

#[test]
fn nothing_is_sent_on_a_claim_that_was_not_confirmed_lately() {
    let mut played = settled_in();
    played.later(BEAT);
    played.asked().expect("a sign of life");
    played.later(BEAT * 2);
    played.fold(1, 1);
    let version = played.checkpoint(&["a"]).version;
    assert_eq!(played.published(), None, "somebody may have watched us stand still");
    played.step(Input::ClaimMoved { sink: 0, result: Ok(ClaimMove::Moved) });
    assert_eq!(played.published(), None, "that was sent long ago");
    played.move_claim();
    assert_eq!(played.published(), Some((0, version, keys(&["a"]))));
}

#[test]
fn who_loses_the_claim_sends_nothing_more() {
    let mut played = settled_in();
    played.later(BEAT);
    let taken = Claim { store: StoreId(3), ..left(EPOCH_1 * 2, 5) };
    played.find_instead(Some(taken));
    assert!(played.trouble().is_some_and(|why| why.contains("another process")));
    played.fold(1, 1);
    played.later(BEAT);
    played.checkpoint(&["a"]);
    played.later(BEAT * 100);
    assert_eq!((played.published(), played.asked()), (None, None));
}

/// Its answer to the last move is lost with it, and it comes back with the move and under another id.
#[test]
fn a_target_that_restarts_in_the_middle_of_a_move_is_filled_anew() {
    let mut played = settled_in();
    played.later(BEAT);
    let Some(ClaimRequest::Move { to, .. }) = played.asked() else { panic!("a sign of life") };
    played.step(Input::ClaimMoved { sink: 0, result: Err("the connection was lost".into()) });
    played.later(BEAT);
    played.find_instead(Some(Claim { target: TargetId(to.target.0 ^ 1), ..to }));
    assert!(!played.core.status(None, None).sinks[0].filled);
    assert_ne!(played.move_claim().target, to.target);
    assert!(matches!(played.walk(), Work::Rows { floor: Version(0), .. }));
}

#[test]
fn a_target_that_forgot_is_filled_anew() {
    let mut played = settled_in();
    played.later(BEAT);
    let before = played.move_claim();
    for forgot in [None, Some(Claim { beat: before.beat - 1, ..before })] {
        played.later(BEAT);
        played.find_instead(forgot);
        assert!(!played.core.status(None, None).sinks[0].filled);
        let claim = played.move_claim();
        assert_ne!(claim.target, before.target);
        let walk = played.walk();
        assert!(matches!(walk, Work::Rows { floor: Version(0), .. }), "{walk:?}");
    }
}

#[test]
fn what_is_settled_is_saved_only_after_the_claim_says_that_it_was_published() {
    let mut played = settled_in();
    played.fold(1, 1);
    played.later(PAUSE * 2);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("a is owed");
    played.answer(0, version, &[("a", Outcome::Ok)]);
    played.later(PAUSE * 10);
    assert!(played.freeze(&[]).is_none(), "a target that is put back now would not be noticed");
    played.later(BEAT);
    assert_eq!(played.move_claim().published, version);
    assert_eq!(played.checkpoint(&[]).sinks[0].1.settled, version);
}

#[test]
fn a_delete_is_settled_when_nothing_older_can_arrive() {
    let mut played = settled_in();
    let delete = |played: &mut Played, version| {
        let outcomes = vec![("a".into(), Outcome::Ok)];
        played.step(Input::Answer(Answer { version, outcomes, deleted: vec!["a".into()], ..Answer::default() }));
    };
    played.fold(1, 1);
    played.later(PAUSE * 2);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("a is owed");
    delete(&mut played, version);
    assert_eq!(played.core.status(None, None).sinks[0].owed, 1, "a request from before may still arrive");
    let deleted_at = played.now;
    while played.published().is_none() {
        played.later(BEAT);
        played.asked().expect("a sign of life");
        played.step(Input::ClaimMoved { sink: 0, result: Ok(ClaimMove::Moved) });
    }
    assert!(played.now >= deleted_at + LATE);
    delete(&mut played, version);
    assert_eq!(played.core.status(None, None).sinks[0].owed, 0);
}

#[test]
fn a_clean_end_gives_the_claim_up_and_then_saves_what_is_settled() {
    let mut played = settled_in();
    played.fold(1, 1);
    played.later(PAUSE * 2);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("a is owed");
    played.answer(0, version, &[("a", Outcome::Ok)]);
    played.step(Input::Stop);
    let released = played.move_claim();
    assert_eq!((released.process, released.published), (ProcessId::NOBODY, version));
    assert_eq!(played.ended(), None, "what is settled is not saved yet");
    assert_eq!(played.checkpoint(&[]).sinks[0].1.settled, version);
    assert_eq!(played.ended(), Some(Ended::Stopped));
}

#[test]
fn documents_of_somebody_else_are_taken_over_in_an_epoch_above_theirs() {
    let mut sink = sink("cosmos", false, 0);
    sink.adopt = true;
    let mut played = Played::start(facts(vec![sink]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE * 2);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("a is owed");
    let theirs = Version(EPOCH_1 * 6 + 3);
    let foreign = Outcome::Foreign { reason: "it is theirs".into(), stored: Some(theirs) };
    played.answer(0, version, &[("a", foreign)]);
    assert_eq!(played.published(), None);
    let above = played.checkpoint(&[]).version;
    assert!(above > theirs);
    assert_eq!(played.published(), Some((0, above, keys(&["a"]))));
}

#[test]
fn a_state_that_fell_behind_its_documents_does_not_overwrite_them_from_a_log_that_was_cut() {
    let stored = Some(NextOffset { offset: Offset(3), time: None, last: None });
    let range = Some(OffsetRange { beginning: Offset(7), end: Offset(9) });
    let log = LogFacts { stored, range, found: None };
    for (ahead, accept_loss, refused) in [(true, false, true), (true, true, false), (false, false, false)] {
        let facts = CoreFacts { accept_loss, ..known(EPOCH_1 + 6, vec![claimed(EPOCH_1 + 4, Some(5))]) };
        let mut played = Played::start_in(facts, vec![(0, log)]);
        played.read_claim(Some(left(if ahead { EPOCH_1 + 9 } else { EPOCH_1 + 5 }, 5)));
        let ended = played.ended();
        assert_eq!(matches!(&ended, Some(Ended::Refused(why)) if why.contains("offsets 3 to 6")), refused, "{ended:?}");
        assert_eq!(played.freeze(&[]).is_none(), refused, "nothing is claimed when it is refused");
    }
}

#[test]
fn a_filling_is_over_when_what_the_sweep_found_is_done() {
    let mut played = Played::start(facts(vec![claimed(0, None)]), 1);
    played.read_claim(Some(Claim { process: ProcessId::NOBODY, ..left(EPOCH_1 * 3 + 70, 5) }));
    played.checkpoint(&[]);
    played.move_claim();
    assert!(matches!(played.walk(), Work::Rows { .. }));
    let (_, version, work) = played.published().expect("the sweep");
    assert!(matches!(work, Work::Sweep { .. }), "{work:?}");
    let busy = Outcome::Retry { reason: "busy".into() };
    played.answer(0, version, &[("done", Outcome::Ok), ("ghost", busy)]);
    played.later(PAUSE);
    assert!(played.freeze(&[]).is_none(), "a crash now must begin the filling again");
    played.later(Duration::from_secs(1));
    assert_eq!(played.published(), Some((0, version, keys(&["ghost"]))));
    played.answer(0, version, &[("ghost", Outcome::Ok)]);
    assert!(played.checkpoint(&[]).sinks[0].1.target.is_some());
}
