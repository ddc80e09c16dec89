//! Targets that are away, busy, or wanted to be written otherwise.

use super::*;

fn shown(played: &Played) -> crate::runtime::progress::SinkStatus {
    played.core.status(None, None).sinks.remove(0)
}

#[test]
fn a_target_that_is_down_for_an_hour_holds_nothing_back_and_drains_by_itself() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    let down_since = played.now;
    let (mut requests, mut offset) = (0, 0);
    while played.now < down_since + Duration::from_secs(3600) {
        offset += 1;
        played.fold(offset, 1);
        played.later(Duration::from_secs(1));
        let key = format!("{:03}", offset % 500);
        played.checkpoint(&[&key]);
        if let Some((sink, version, work)) = played.published() {
            requests += 1;
            let Work::Keys(keys) = work else { panic!("few keys are owed one by one: {work:?}") };
            let outcomes: Vec<_> =
                keys.iter().map(|key| (&**key, Outcome::Retry { reason: "connection refused".into() })).collect();
            played.answer(sink, version, &outcomes);
        }
    }
    assert_eq!(played.core.partitions[0].synced.offset, Offset(offset), "the fold has gone on");
    let shown_down = shown(&played);
    assert_eq!((shown_down.owed, shown_down.trouble.as_deref()), (500, Some("connection refused")));
    let since = shown_down.owed_since.expect("it is owed something");
    assert!(since <= down_since + Duration::from_secs(1) && since >= down_since - Duration::from_secs(1));
    assert!(requests <= 3600 / 5 + 20, "{requests} requests to a target that is away");

    // It comes back: a few requests, and all is settled.
    for _ in 0..20 {
        played.later(Duration::from_secs(10));
        while let Some((sink, version, Work::Keys(keys))) = played.published() {
            let outcomes: Vec<_> = keys.iter().map(|key| (&**key, Outcome::Ok)).collect();
            played.answer(sink, version, &outcomes);
        }
    }
    let shown_up = shown(&played);
    assert_eq!((shown_up.owed, shown_up.trouble, shown_up.owed_since), (0, None, None));
    assert_eq!(shown_up.settled, played.core.synced);
}

#[test]
fn changes_are_gathered_for_as_long_as_the_file_says() {
    const WAIT: Duration = Duration::from_secs(3);
    let mut played =
        Played::start(facts(vec![SinkFacts { wait_max: WAIT, gathered_max: 3, ..sink("cosmos", false, 0) }]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE);
    let first = played.checkpoint(&["a"]).version;
    let gathered_since = played.now;
    assert_eq!(played.published(), None);
    played.fold(2, 1);
    played.later(WAIT - Duration::from_millis(1));
    let second = played.checkpoint(&["b"]).version;
    assert_eq!(played.published(), None, "more may come");
    assert_eq!(played.core.wake_at(played.now), Some(gathered_since + WAIT));
    played.later(Duration::from_millis(1));
    assert_eq!(played.published(), Some((0, second, keys(&["a", "b"]))));
    assert!(first < second);
    played.answer(0, second, &[("a", Outcome::Ok), ("b", Outcome::Ok)]);

    // As many as a batch takes are enough.
    played.fold(3, 3);
    played.later(PAUSE);
    let third = played.checkpoint(&["a", "b", "c"]).version;
    assert_eq!(played.published(), Some((0, third, keys(&["a", "b", "c"]))));
    played.answer(0, third, &[("a", Outcome::Ok), ("b", Outcome::Ok), ("c", Outcome::Ok)]);

    // Who leaves does not wait.
    played.fold(4, 1);
    played.later(PAUSE);
    let last = played.checkpoint(&["a"]).version;
    assert_eq!(played.published(), None);
    played.step(Input::Stop);
    assert_eq!(played.published(), Some((0, last, keys(&["a"]))));
}

#[test]
fn a_busy_target_that_takes_some_is_no_trouble() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE);
    let version = played.checkpoint(&["a", "b"]).version;
    played.published().expect("both are owed");
    let busy = || Outcome::Busy { reason: "429".into(), after: None };
    played.answer(0, version, &[("a", Outcome::Ok), ("b", busy())]);
    assert_eq!(shown(&played).trouble, None);
    played.later(Duration::from_secs(1));
    assert_eq!(played.published(), Some((0, version, keys(&["b"]))));
    played.answer(0, version, &[("b", busy())]);
    assert_eq!(shown(&played).trouble.as_deref(), Some("429"));
}

#[test]
fn documents_are_written_again_when_a_person_wants_it() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("it is owed");
    played.answer(0, version, &[("a", Outcome::Ok)]);
    assert_eq!(shown(&played).owed, 0);
    played.step(Input::Redrive { sink: 0, keys: vec!["a".into()] });
    assert_eq!(played.published(), Some((0, version, keys(&["a"]))));
    played.answer(0, version, &[("a", Outcome::Duplicate)]);
    assert_eq!(shown(&played).owed, 0);
}
