//! What has stopped, and the person who says how it goes on.

use super::*;

/// Partition 0 of two has stopped at the event at offset 5.
fn stopped_at_5() -> Played {
    let mut played = Played::start(facts(Vec::new()), 2);
    played.settle_in();
    let stops = vec![(0, Offset(5), "a fault".to_owned())];
    played.read().expect("the batch is wanted");
    played.step(Input::Folded(Folded { stops, ..Folded::default() }));
    played.fold(9, 1);
    played.later(PAUSE);
    played.checkpoint(&["a"]);
    played
}

fn opened(played: &mut Played) -> Option<Vec<(TopicPartition, Offset)>> {
    played.take(|action| match action {
        Action::Open(starts) | Action::Reread { starts, .. } => Some(starts.clone()),
        _ => None,
    })
}

#[test]
fn an_event_is_skipped_only_where_a_partition_has_stopped() {
    let mut played = stopped_at_5();
    while opened(&mut played).is_some() {}
    for (partition, offset, why) in [
        (0, 4, "orders/0 has stopped at offset 5, not at 4"),
        (0, 6, "orders/0 has stopped at offset 5, not at 6"),
        (1, 5, "orders/1 has not stopped: its next offset is 0"),
        (7, 5, "orders/7 is not one of its partitions"),
    ] {
        assert_eq!(played.core.may_skip(&tp(partition), Offset(offset)), Err(why.to_owned()));
        played.step(Input::Skip { partition: tp(partition), offset: Offset(offset) });
        assert!(opened(&mut played).is_none() && played.freeze(&[]).is_none());
    }
    played.core.may_skip(&tp(0), Offset(5)).expect("it stopped there");
    played.step(Input::Skip { partition: tp(0), offset: Offset(5) });
    assert_eq!(opened(&mut played), Some(vec![(tp(0), Offset(6)), (tp(1), Offset(0))]));
    assert_eq!(played.read_after(0), None, "what was read before may lack what was refused");
    let skipped = played.checkpoint(&[]);
    assert_eq!(skipped.next_offsets[0].1.offset, Offset(6), "it is saved at once");
    assert_eq!(skipped.counters.skipped, 1);
    assert!(played.core.may_skip(&tp(0), Offset(6)).is_err());
}

#[test]
fn a_retry_reads_again_from_where_a_partition_stopped() {
    let mut played = stopped_at_5();
    while opened(&mut played).is_some() {}
    played.step(Input::Retry);
    let looked = played.take(|action| match action {
        Action::Look(partitions) => Some(partitions.clone()),
        _ => None,
    });
    let (partition, next) = looked.expect("the log is looked at").remove(0);
    assert_eq!((&partition, next.offset), (&tp(0), Offset(5)));
    let log = |beginning, end| {
        let range = OffsetRange { beginning: Offset(beginning), end: Offset(end) };
        LogFacts { stored: Some(next), range: Some(range), found: None }
    };
    played.step(Input::Opened(vec![PartitionFacts { partition: tp(0), log: log(8, 12) }]));
    assert_eq!(opened(&mut played), None, "records are missing now");
    played.step(Input::Opened(vec![PartitionFacts { partition: tp(0), log: log(0, 12) }]));
    assert_eq!(opened(&mut played), Some(vec![(tp(0), Offset(5)), (tp(1), Offset(0))]));
    assert_eq!(played.core.status(None, None).partitions[0].stopped, None);
}

#[test]
fn a_sink_that_stopped_sends_again_when_it_is_told_to() {
    let mut played = Played::start(facts(vec![sink("cosmos", false, 0)]), 1);
    played.settle_in();
    played.fold(1, 1);
    played.later(PAUSE);
    let version = played.checkpoint(&["a"]).version;
    played.published().expect("a is owed");
    played.answer(0, version, &[("a", Outcome::Poison { reason: "it is too large".into() })]);
    played.later(Duration::from_secs(60));
    assert_eq!(played.published(), None);
    played.step(Input::Retry);
    assert_eq!(played.published(), Some((0, version, keys(&["a"]))));
}

#[test]
fn records_that_are_missing_are_gone_without_only_when_that_is_accepted() {
    let stored = Some(NextOffset { offset: Offset(3), time: None, last: None });
    let range = Some(OffsetRange { beginning: Offset(7), end: Offset(9) });
    let cut = PartitionFacts { partition: tp(0), log: LogFacts { stored, range, found: None } };
    let gone = PartitionFacts { partition: tp(1), log: LogFacts { stored, ..LogFacts::default() } };
    for accept_loss in [false, true] {
        let mut played = Played::start(CoreFacts { accept_loss, state_known: true, ..facts(Vec::new()) }, 0);
        while played.wanted.pop_front().is_some() {}
        played.step(Input::Opened(vec![cut.clone(), gone.clone()]));
        let lost = std::iter::from_fn(|| {
            played.take(|action| match action {
                Action::Report(Report::LossAccepted { partition, what }) => Some((partition.clone(), what.clone())),
                _ => None,
            })
        });
        let lost: Vec<_> = lost.collect();
        let stopped: Vec<_> = played.core.status(None, None).partitions.iter().map(|p| p.stopped.clone()).collect();
        if accept_loss {
            assert_eq!(lost.len(), 2);
            assert!(lost[0].1.contains("offsets 3 to 6"), "{lost:?}");
            assert_eq!(stopped, [None], "the partition that is gone is forgotten");
        } else {
            assert!(lost.is_empty() && stopped.iter().all(Option::is_some), "{stopped:?}");
        }
    }
}

#[test]
fn a_partition_that_was_lost_is_not_read_again_by_a_rewind() {
    let mut played = Played::start(facts(Vec::new()), 2);
    played.settle_in();
    played.fold(5, 1);
    played.step(Input::Lost { partition: tp(0), why: "the topic was made again".into() });
    played.read().expect("the batch is wanted");
    played.step(Input::Folded(Folded { stops: vec![(1, Offset(0), "a fault".into())], ..Folded::default() }));
    let starts = played.take(|action| match action {
        Action::Rewind { starts, .. } => Some(starts.clone()),
        _ => None,
    });
    assert_eq!(starts, Some(Vec::new()), "what lies there now may be another log");
    let partition = &played.core.status(None, None).partitions[0];
    assert_eq!((partition.next_offset, partition.stopped.is_some()), (Offset(0), true));
}
