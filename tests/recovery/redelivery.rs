//! What a source delivers again, and how a run is cut and cooked, changes no document and no row.

use std::sync::Arc;
use std::time::Duration;

use projector::sources::memory::Interleaving;
use projector::state::MemoryStore;

use super::engine::{Ledger, Shape};
use super::fold::fold;
use super::random::{Random, seed};
use super::story::{ACCOUNTS, VISITS, tell};
use crate::site::assert_same;

const RECORDS: usize = 4000;
const PARTS: usize = 25;

fn shape(random: &mut Random) -> Shape {
    Shape {
        fold_threads: 1 + random.below(4),
        interleaving: Interleaving::Seeded(random.next()),
        memory_max_bytes: *random.pick(&[2 << 20, 16 << 20, 256 << 20]),
        checkpoint_interval: Duration::from_millis(*random.pick(&[1, 5, 20])),
    }
}

#[test]
fn ranges_delivered_again_and_restarts_change_no_document() {
    let seed = seed("ranges_delivered_again_and_restarts_change_no_document");
    let mut random = Random::new(seed);
    let story = tell(seed, RECORDS);
    let dir = tempfile::tempdir().expect("a folder");
    let partitions = 3;
    let ledger = Ledger::new(dir.path(), Arc::new(MemoryStore::new()), partitions);

    for part in story.chunks(RECORDS / PARTS) {
        let running = ledger.start(shape(&mut random), false);
        for piece in part.chunks(30) {
            ledger.append(piece);
            let (topic, partition) = (*random.pick(&[ACCOUNTS, VISITS]), random.below(partitions as usize) as i32);
            let from = random.below(RECORDS / 6) as i64;
            ledger.redeliver(topic, partition, from, from + 1 + random.below(200) as i64);
        }
        if random.one_in(2) {
            ledger.wait_for_the_end(&running);
            ledger.redeliver(ACCOUNTS, 0, 0, RECORDS as i64);
        }
        ledger.stop(running);
    }
    let found = ledger.catch_up(shape(&mut random));
    assert_same(&fold(&story), &found, "after redeliveries");
}

#[test]
fn threads_batches_and_partitions_leave_no_trace() {
    let seed = seed("threads_batches_and_partitions_leave_no_trace");
    let mut random = Random::new(seed);
    let story = tell(seed, RECORDS);
    let expected = fold(&story);
    let mut first_rows = None;
    for partitions in [1, 2, 5, 7] {
        let dir = tempfile::tempdir().expect("a folder");
        let ledger = Ledger::new(dir.path(), Arc::new(MemoryStore::new()), partitions);
        ledger.append(&story);
        let shape = shape(&mut random);
        let what = format!("{partitions} partitions, {shape:?}");
        assert_same(&expected, &ledger.catch_up(shape), &what);
        let rows = ledger.rows();
        assert!(rows.len() > 100, "{what}: {} rows", rows.len());
        assert_eq!(first_rows.get_or_insert_with(|| rows.clone()), &rows, "{what}");
    }
}
