//! The whole engine in memory against a second implementation: whatever goes wrong, the documents are those of an
//! undisturbed run.
//!
//! Every case is drawn from a seed that a failure prints. `PROJECTOR_SEED=n` runs that one alone.

use std::collections::BTreeMap;

use crate::language::typed::FaultAction;
use crate::runtime::Ended;
use crate::runtime::core::Jitter;
use crate::runtime::fixture::{Account, Given, TOPIC, expected, fold, plan, without_mark};
use crate::sources::memory::Interleaving;
use crate::testing::driver::{Chaos, Harness, HarnessOptions};

const COSMOS: usize = 0;
const CACHE: usize = 1;

/// A choice from 0 to below `n`.
fn below(random: &mut Jitter, n: usize) -> usize {
    (random.next() * n as f64) as usize
}

fn seeds(n: u64) -> Vec<u64> {
    match std::env::var("PROJECTOR_SEED") {
        Ok(seed) => vec![seed.parse().expect("PROJECTOR_SEED is a number")],
        Err(_) => (1..=n).collect(),
    }
}

/// Random events of accounts; an account's events lie in one partition.
fn draw(random: &mut Jitter, events: usize, accounts: usize, partitions: usize) -> Vec<(i32, Given)> {
    let event = |random: &mut Jitter| {
        let account = below(random, accounts) as u32;
        let partition = (account as usize % partitions) as i32;
        let amount = below(random, 41) as i64 - 15;
        let note = (below(random, 3) == 0).then(|| "x".repeat(below(random, 30)));
        let given = match below(random, 100) {
            0..=3 => Given::Closed { account },
            4..=5 => Given::Malformed,
            6..=7 => Given::Unwanted,
            8 => Given::Deposited { account, amount: i64::MAX, note: None },
            _ => Given::Deposited { account, amount, note },
        };
        (partition, given)
    };
    (0..events).map(|_| event(random)).collect()
}

fn append(harness: &mut Harness, events: &[(i32, Given)]) {
    for (time, (partition, given)) in events.iter().enumerate() {
        harness.append(0, *partition, given.record(time as i64));
    }
}

fn documents(harness: &Harness, sink: usize) -> BTreeMap<String, String> {
    let held = harness.documents(sink).iter();
    let bodies = held.filter_map(|(key, held)| Some((key.to_string(), without_mark(held.body.as_ref()?))));
    bodies.collect()
}

fn cosmos(accounts: &BTreeMap<String, Account>) -> BTreeMap<String, String> {
    let document = |(key, account): (&String, &Account)| Some((key.clone(), account.document(key)?));
    accounts.iter().filter_map(document).collect()
}

fn assert_documents(harness: &Harness, accounts: &BTreeMap<String, Account>, seed: u64) {
    assert!(harness.broken_laws().is_empty(), "seed {seed}: {:?}", harness.broken_laws());
    assert_eq!(documents(harness, COSMOS), cosmos(accounts), "seed {seed}");
    let totals: BTreeMap<_, _> =
        accounts.iter().map(|(k, a)| (k.clone(), format!("{{\"total\":\"{}\",", a.total))).collect();
    assert_eq!(documents(harness, CACHE), totals, "seed {seed}");
}

fn dead_letters() -> FaultAction {
    FaultAction::DeadLetter("dead".into())
}

#[test]
fn whatever_goes_wrong_the_documents_are_those_of_an_undisturbed_run() {
    for seed in seeds(150) {
        let mut random = Jitter::new(seed);
        let partitions = 1 + below(&mut random, 4);
        let accounts = 1 + below(&mut random, 40);
        let options = HarnessOptions {
            seed,
            shards: 1 + below(&mut random, 4),
            batch_records_max: 1 + below(&mut random, 60),
            interleaving: Interleaving::Seeded(seed),
            hot_bytes_max: [2_000, 20_000, 1 << 20][below(&mut random, 3)],
            chaos: Chaos { crash: 0.02, commit_fails: 0.02, sink_retries: 0.1, delay: 0.2 },
        };
        let mut harness = Harness::new(plan(dead_letters(), FaultAction::Skip), options);
        harness.log().create_topic(TOPIC, partitions as i32);
        harness.restart();
        let mut all = Vec::new();
        for _ in 0..1 + below(&mut random, 3) {
            let count = below(&mut random, 300);
            let events = draw(&mut random, count, accounts, partitions);
            append(&mut harness, &events);
            for _ in 0..below(&mut random, 40) {
                harness.advance();
            }
            harness.redeliver(below(&mut random, 30));
            all.extend(events);
        }
        harness.run_to_rest();
        let accounts = expected(all.iter().map(|(_, given)| given));
        assert_documents(&harness, &accounts, seed);
        let malformed = all.iter().filter(|(_, given)| matches!(given, Given::Malformed)).count();
        assert_eq!(harness.dead_letters().len(), malformed, "seed {seed}: each dead letter once");
        let counters = harness.status().expect("it runs").counters;
        let counted = counters.folded + counters.filtered + counters.dropped + counters.skipped + counters.dead_letters;
        assert_eq!(counted, all.len() as u64, "seed {seed}: {counters:?}");
        assert!(harness.status().expect("it runs").sinks.iter().all(|sink| sink.owed == 0), "seed {seed}");
    }
}

#[test]
fn a_fault_stops_one_partition_exactly_there() {
    for seed in seeds(60) {
        let mut random = Jitter::new(seed);
        let partitions = 2 + below(&mut random, 3);
        let shards = 1 + below(&mut random, 4);
        let chaos = Chaos { crash: 0.01, delay: 0.2, sink_retries: 0.05, commit_fails: 0.01 };
        let batch_records_max = 1 + below(&mut random, 60);
        let interleaving = Interleaving::Seeded(seed);
        let options =
            HarnessOptions { seed, shards, batch_records_max, interleaving, chaos, ..HarnessOptions::default() };
        let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), options);
        harness.log().create_topic(TOPIC, partitions as i32);
        harness.restart();
        let events: Vec<_> = draw(&mut random, 200, 30, partitions)
            .into_iter()
            .filter(|(partition, given)| *partition == 0 || !is_bad(given))
            .collect();
        append(&mut harness, &events);
        harness.run_to_rest();
        let (mut accounts, mut stopped_at, mut offset) = (BTreeMap::new(), None, 0);
        for (partition, given) in &events {
            if *partition != 0 {
                fold(&mut accounts, given).expect("bad events are only in partition 0");
            } else if stopped_at.is_none() {
                let folded = fold(&mut accounts, given);
                stopped_at = folded.is_err().then_some(offset);
                offset += 1;
            }
        }
        assert_documents(&harness, &accounts, seed);
        let status = harness.status().expect("it is there");
        for partition in &status.partitions {
            let stops = partition.partition.partition == 0 && stopped_at.is_some();
            assert_eq!(partition.stopped.is_some(), stops, "seed {seed}: {partition:?}");
        }
        if let Some(at) = stopped_at {
            assert_eq!(status.partitions[0].next_offset.0, at, "seed {seed}");
        }
    }
}

/// Whether an event may fault.
fn is_bad(given: &Given) -> bool {
    matches!(given, Given::Malformed | Given::Deposited { amount: i64::MAX, .. })
}

#[test]
fn when_every_partition_has_stopped_the_projection_ends() {
    let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), HarnessOptions::default());
    append(
        &mut harness,
        &[
            (0, Given::Deposited { account: 1, amount: 5, note: None }),
            (0, Given::Malformed),
            (0, Given::Deposited { account: 1, amount: 7, note: None }),
        ],
    );
    harness.run_to_rest();
    let Some(Ended::Faulted(why)) = harness.ended() else { panic!("it goes on: {:?}", harness.ended()) };
    assert!(why.contains("R0109") && why.contains("bank.log/0 offset 1"), "{why}");
    assert!(harness.document(COSMOS, "a1").is_some_and(|document| without_mark(document).contains("\"total\":\"5\",")));
    harness.restart();
    harness.run_to_rest();
    assert!(matches!(harness.ended(), Some(Ended::Faulted(_))), "it stops at the same place again");
}

#[test]
fn a_stopped_partition_is_read_again_when_another_one_stops() {
    let options = HarnessOptions { batch_records_max: 1, ..HarnessOptions::default() };
    let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), options);
    harness.log().create_topic(TOPIC, 2);
    harness.restart();
    let deposit = |account| Given::Deposited { account, amount: 5, note: None };
    append(&mut harness, &[(0, deposit(0)), (0, Given::Malformed), (1, deposit(1)), (1, Given::Malformed)]);
    harness.run_to_rest();
    for key in ["a0", "a1"] {
        assert!(harness.document(COSMOS, key).is_some(), "`{key}` was folded before its partition stopped");
    }
}

#[test]
fn a_row_that_outgrows_its_limit_is_a_fault_of_the_event_that_did_it() {
    let note = |len: usize| Some("n".repeat(len));
    let deposit = |amount, note| (0, Given::Deposited { account: 1, amount, note });
    let limit = crate::runtime::fold::ROW_BYTES_MAX;
    for shards in [1, 3] {
        let options = HarnessOptions { shards, ..HarnessOptions::default() };
        let mut harness = Harness::new(plan(FaultAction::Fail, dead_letters()), options);
        let events = [deposit(1, note(10)), deposit(2, note(limit)), deposit(4, note(limit - 10)), deposit(8, note(9))];
        append(&mut harness, &events);
        harness.run_to_rest();
        let document = without_mark(harness.document(COSMOS, "a1").expect("the others are folded"));
        assert!(
            document.contains("\"total\":\"9\",\"count\":\"2\"") && document.contains("\"note\":\"nnnnnnnnn\""),
            "{document}"
        );
        let letters = harness.dead_letters();
        assert_eq!(letters.iter().map(|letter| letter.offset.0).collect::<Vec<_>>(), [1, 2]);
        assert!(letters.iter().all(|letter| &*letter.code == "R0111" && &*letter.class == "eval"));
    }
}

#[test]
fn rows_beyond_the_memory_for_them_lie_in_the_store() {
    let hot_bytes_max = 40_000;
    for shards in [1, 3] {
        let options = HarnessOptions { shards, hot_bytes_max, batch_records_max: 50, ..HarnessOptions::default() };
        let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), options);
        let deposit = |index: u32| (0, Given::Deposited { account: index * 7 % 1_000, amount: 1, note: None });
        let events: Vec<_> = (0..3_000).map(deposit).collect();
        append(&mut harness, &events);
        harness.run_to_rest();
        assert_documents(&harness, &expected(events.iter().map(|(_, given)| given)), 0);
        let hot = harness.hot_bytes();
        assert!(hot > 0 && hot <= hot_bytes_max, "{hot} bytes are hot");
    }
}

#[test]
fn a_restart_owes_nothing_that_was_settled() {
    let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), HarnessOptions::default());
    append(&mut harness, &[(0, Given::Deposited { account: 1, amount: 5, note: None })]);
    harness.run_to_rest();
    let before = harness.documents(COSMOS).clone();
    harness.restart();
    harness.run_to_rest();
    assert_eq!(*harness.documents(COSMOS), before, "the durable target is left alone");
    assert!(harness.document(CACHE, "a1").is_some(), "the volatile one is filled again");
}

#[test]
fn another_record_in_the_place_of_the_last_one_stops_the_partition() {
    let deposit = |amount| (0, Given::Deposited { account: 1, amount, note: None });
    let mut harness = Harness::new(plan(FaultAction::Fail, FaultAction::Fail), HarnessOptions::default());
    append(&mut harness, &[deposit(5), deposit(6)]);
    harness.run_to_rest();
    harness.replace_log();
    append(&mut harness, &[deposit(5), deposit(7), deposit(8)]);
    harness.restart();
    harness.run_to_rest();
    let stopped = harness.status().expect("it is there").partitions[0].stopped.clone();
    assert!(stopped.is_some_and(|why| why.contains("another record lies at offset 1")));
    assert!(without_mark(harness.document(COSMOS, "a1").expect("it stays")).contains("\"total\":\"11\","));
}
