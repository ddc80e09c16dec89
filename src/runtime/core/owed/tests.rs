use super::*;

fn owed(settled: u64, then: FaultAction, retry: Option<(u32, Duration)>) -> Owed {
    Owed::new(facts(settled, then, retry))
}

fn facts(settled: u64, then: FaultAction, retry: Option<(u32, Duration)>) -> SinkFacts {
    let on_fault = SinkFaultAction { retry, then };
    SinkFacts {
        name: "s".into(),
        target: TargetTraits::default(),
        record: SinkRecord { settled: Version(settled), ..SinkRecord::default() },
        emit_again: false,
        open: Some(vec![]),
        adopt: false,
        wait_max: Duration::ZERO,
        gathered_max: 0,
        at: None,
        on_fault,
    }
}

fn keys(range: std::ops::Range<usize>) -> Vec<Arc<str>> {
    range.map(|n| format!("{n:06}").into()).collect()
}

fn answer(version: u64, keys: &[Arc<str>], outcome: Outcome, walked_to: Option<Arc<str>>) -> Answer {
    let outcomes = keys.iter().map(|key| (key.clone(), outcome.clone())).collect();
    Answer { sink: 0, version: Version(version), outcomes, walked_to, ..Answer::default() }
}

#[test]
fn keys_are_walked_in_order_and_none_starves() {
    let (now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(1, FaultAction::Fail, None);
    owed.owe(&keys(0..REQUEST_KEYS_MAX * 2), Version(2));
    let mut seen = 0;
    while let Some(Work::Keys(sent)) = owed.next_work(now) {
        // The first keys change again and again: the walk goes past them all the same.
        seen += sent.iter().filter(|key| ***key >= *keys(REQUEST_KEYS_MAX..REQUEST_KEYS_MAX + 1)[0]).count();
        owed.owe(&keys(0..REQUEST_KEYS_MAX), Version(3 + seen as u64));
        owed.answer(now, answer(3, &sent, Outcome::Ok, None), &mut jitter);
        if seen == REQUEST_KEYS_MAX {
            break;
        }
    }
    assert_eq!(seen, REQUEST_KEYS_MAX);
    assert_eq!(owed.keys(), REQUEST_KEYS_MAX as u64);
}

#[test]
fn a_walk_keeps_what_is_settled_until_it_is_over() {
    let (now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(0, FaultAction::Fail, None);
    let row = |n: usize| keys(n..n + 1).remove(0);
    assert_eq!(owed.next_work(now), Some(Work::Rows { after: None, floor: Version(0) }));
    owed.owe(&[row(9)], Version(5)); // under way: it may or may not be covered
    let busy = vec![(row(1), Outcome::Ok), (row(2), Outcome::Retry { reason: "busy".into() }), (row(3), Outcome::Ok)];
    let part = Answer { sink: 0, version: Version(4), outcomes: busy, walked_to: Some(row(3)), ..Answer::default() };
    owed.answer(now, part, &mut jitter);
    assert_eq!(owed.settled(Version(6)), Version(0));
    owed.owe(&[row(1), row(8)], Version(6)); // 1 is behind the walk, 8 ahead of it
    assert_eq!(owed.next_work(now), Some(Work::Keys(vec![row(1), row(9)])));
    owed.answer(now, answer(6, &[row(1), row(9)], Outcome::Ok, None), &mut jitter);
    assert_eq!(owed.next_work(now), Some(Work::Rows { after: Some(row(3)), floor: Version(0) }));
    owed.answer(now, answer(6, &[row(8)], Outcome::Ok, None), &mut jitter);
    assert!(!owed.walks());
    assert_eq!(owed.settled(Version(6)), Version(0), "row 2 is still open");
    let later = now + Duration::from_secs(60);
    assert_eq!(owed.next_work(later), Some(Work::Keys(vec![row(2)])));
    owed.answer(later, answer(6, &[row(2)], Outcome::Ok, None), &mut jitter);
    assert_eq!(owed.settled(Version(6)), Version(6));
    assert!(owed.is_clear());
}

#[test]
fn a_walk_does_not_go_on_while_the_target_is_away() {
    let (now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(0, FaultAction::Fail, None);
    let first = owed.next_work(now);
    let away = Outcome::Retry { reason: "away".into() };
    owed.answer(now, answer(4, &keys(0..5), away, keys(4..5).pop()), &mut jitter);
    assert_eq!(owed.keys(), 0);
    assert_eq!(owed.next_work(now + Duration::from_secs(60)), first);
}

#[test]
fn too_many_open_keys_become_a_walk() {
    let mut owed = owed(7, FaultAction::Fail, None);
    owed.open_keys_max = 10;
    owed.owe(&keys(0..8), Version(9));
    owed.owe(&keys(8..16), Version(10));
    assert_eq!(owed.keys(), 0);
    assert_eq!(owed.next_work(Instant::now()), Some(Work::Rows { after: None, floor: Version(8) }));
    assert_eq!(owed.settled(Version(10)), Version(7));
}

#[test]
fn keys_that_are_too_many_to_hold_at_the_start_are_walked_for() {
    let (now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = Owed::new(SinkFacts { open: None, ..facts(7, FaultAction::Fail, None) });
    assert_eq!(owed.next_work(now), Some(Work::Rows { after: None, floor: Version(7) }));
    assert_eq!(owed.settled(Version(9)), Version(7));
    owed.answer(now, answer(9, &keys(0..3), Outcome::Ok, None), &mut jitter);
    assert!(owed.is_clear() && owed.settled(Version(9)) == Version(9));
}

#[test]
fn a_request_that_is_cut_goes_on_where_it_was() {
    let (now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(0, FaultAction::Fail, None);
    let wait_until = now + Duration::from_secs(2);
    let cut = |after: Option<usize>| Some(Cut { after: after.map(|n| keys(n..n + 1).remove(0)), wait_until });
    owed.next_work(now).expect("all rows are owed");
    owed.answer(now, Answer { cut: cut(Some(4)), ..answer(3, &keys(0..5), Outcome::Ok, None) }, &mut jitter);
    assert_eq!(owed.next_work(now), None, "the target asked for a pause");
    let rest = Work::Rows { after: keys(4..5).pop(), floor: Version(0) };
    assert_eq!(owed.next_work(wait_until), Some(rest.clone()));
    owed.answer(now, Answer { cut: cut(None), ..answer(3, &[], Outcome::Ok, None) }, &mut jitter);
    assert_eq!(owed.next_work(wait_until), Some(rest));
    owed.answer(now, answer(3, &keys(5..9), Outcome::Ok, None), &mut jitter);
    assert!(!owed.walks());

    owed.owe(&keys(0..6), Version(4));
    assert_eq!(owed.next_work(now), Some(Work::Keys(keys(0..6))));
    owed.answer(now, Answer { cut: cut(Some(1)), ..answer(4, &keys(0..2), Outcome::Ok, None) }, &mut jitter);
    assert_eq!(owed.next_work(wait_until), Some(Work::Keys(keys(2..6))));
}

#[test]
fn what_nobody_answered_costs_no_attempts() {
    let (mut now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(1, FaultAction::DeadLetter("dead".into()), Some((2, Duration::from_millis(10))));
    owed.owe(&keys(0..2), Version(2));
    for _ in 0..20 {
        owed.owe(&keys(1..2), Version(2));
        assert!(owed.next_work(now).is_some());
        let lost = Outcome::Unanswered { reason: "cut".into() };
        let outcomes = vec![(keys(0..1).remove(0), lost), (keys(1..2).remove(0), Outcome::Ok)];
        let answer = Answer { sink: 0, version: Version(2), outcomes, ..Answer::default() };
        assert_eq!(owed.answer(now, answer, &mut jitter), []);
        now += Duration::from_secs(20);
    }
    assert_eq!(owed.keys(), 1);
}

#[test]
fn a_busy_target_costs_no_attempts() {
    let (mut now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(1, FaultAction::DeadLetter("dead".into()), Some((2, Duration::from_millis(10))));
    owed.owe(&keys(0..1), Version(2));
    for _ in 0..20 {
        let after = Some(Duration::from_secs(3));
        assert!(owed.next_work(now).is_some());
        let busy = Outcome::Busy { reason: "429".into(), after };
        assert_eq!(owed.answer(now, answer(2, &keys(0..1), busy, None), &mut jitter), []);
        assert_eq!(owed.next_work(now + Duration::from_secs(2)), None);
        now += Duration::from_secs(3);
    }
    assert_eq!(owed.keys(), 1);
}

#[test]
fn attempts_about_an_item_are_bounded_when_the_file_says_so() {
    let (mut now, mut jitter) = (Instant::now(), Jitter::new(1));
    let mut owed = owed(1, FaultAction::DeadLetter("dead".into()), Some((2, Duration::from_millis(10))));
    owed.owe(&keys(0..2), Version(2));
    let busy = Outcome::Retry { reason: "busy".into() };
    let mut given_up = Vec::new();
    for attempt in 0..3 {
        let Some(Work::Keys(sent)) = owed.next_work(now) else { panic!("attempt {attempt} is due") };
        assert!(sent.contains(&keys(0..1)[0]));
        let outcomes = vec![(keys(0..1).remove(0), busy.clone()), (keys(1..2).remove(0), Outcome::Ok)];
        let answer = Answer { sink: 0, version: Version(2), outcomes, ..Answer::default() };
        given_up = owed.answer(now, answer, &mut jitter);
        now += Duration::from_secs(20);
    }
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].to.as_deref(), Some("dead"));
    assert!(owed.is_clear() && !owed.stopped);
}
