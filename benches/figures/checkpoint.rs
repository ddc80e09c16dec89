//! What a synced checkpoint costs, beside the least it could cost: the same rows appended to a file, and one sync.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use projector::event::{Generation, ProjectionName, Version};
use projector::plan::{Fingerprint, Hashes};
use projector::state::{CheckpointBatch, Counters, DiskStore, DiskStoreOptions, PlanRecord, RowChange, Store};

use crate::clock::measure;

const ROUNDS: usize = 40;
const ROWS: usize = 25_000;
const ROW_BYTES: usize = 96;
const KEYS: usize = 1_000_000;
const OPTIONS: DiskStoreOptions = DiskStoreOptions { cache_bytes: 64 << 20 };

pub fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let rounds: Vec<Vec<RowChange>> = (0..ROUNDS).map(round).collect();
    let written = ROUNDS * ROWS;

    let (_, plain) = measure(|| append(&dir.path().join("plain"), &rounds));
    plain.print("rows appended to a file, one sync a round", written, None);

    let store = DiskStore::open(&dir.path().join("state"), OPTIONS).expect("a new store");
    let name = ProjectionName("bench".into());
    let generation = store.new_generation(&name).expect("a generation");
    for (kept, label) in [(false, "checkpoints, nothing owed"), (true, "checkpoints with the list of changed keys")] {
        let batches: Vec<CheckpointBatch> = rounds
            .iter()
            .enumerate()
            .map(|(n, rows)| batch(&name, generation, n + usize::from(kept) * ROUNDS, rows.clone(), kept))
            .collect();
        let (_, spent) = measure(|| {
            for batch in &batches {
                store.commit(std::slice::from_ref(batch)).expect("a checkpoint");
            }
        });
        spent.print(label, written, Some(&plain));
    }
    drop(store);
    let (_, reopened) = measure(|| DiskStore::open(&dir.path().join("state"), OPTIONS));
    println!("{:<44} {:?}", format!("opened again, {} rows written", 2 * written), reopened.wall);
}

fn round(number: usize) -> Vec<RowChange> {
    let mut keys: Vec<usize> = (0..ROWS).map(|row| (number * ROWS + row) * 7919 % KEYS).collect();
    keys.sort_unstable();
    keys.dedup();
    let row: Arc<[u8]> = vec![number as u8; ROW_BYTES].into();
    keys.iter().map(|key| RowChange { key: format!("acc-{key:07}").into(), row: Some(Arc::clone(&row)) }).collect()
}

fn append(path: &std::path::Path, rounds: &[Vec<RowChange>]) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    for round in rounds {
        for change in round {
            file.write_all(change.key.as_bytes()).expect("the disk has room");
            file.write_all(change.row.as_deref().unwrap_or_default()).expect("the disk has room");
        }
        file.flush().expect("the disk has room");
        file.get_ref().sync_data().expect("a sync");
    }
}

fn batch(
    name: &ProjectionName,
    generation: Generation,
    number: usize,
    rows: Vec<RowChange>,
    keep_changes: bool,
) -> CheckpointBatch {
    let version = Version((1 << Version::CHECKPOINT_BITS) + number as u64 + 1);
    let hash = Fingerprint([7; 32]);
    let hashes = Hashes { source: hash, layout: hash, fold: hash, emit: hash, options: hash };
    CheckpointBatch {
        projection: name.clone(),
        generation,
        version,
        rows,
        next_offsets: Vec::new(),
        settled: Vec::new(),
        keep_changes,
        settled_by_all: if keep_changes { Version(version.0.saturating_sub(3)) } else { version },
        dead_letters: Vec::new(),
        plan: (number == 0).then(|| PlanRecord { hashes, semantics: 1, text: "bench".into() }),
        counters: Counters::default(),
    }
}
