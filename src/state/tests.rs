//! What every store must do, run over both; and what only a disk can suffer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::event::{EventTime, Generation, Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::plan::{Fingerprint, Hashes};
use crate::state::{
    CheckpointBatch, Counters, DeadLetter, DiskStore, DiskStoreOptions, FailedRound, MemoryStore, NextOffset,
    PlanRecord, RowChange, SinkRecord, Snapshot, Store, StoreError, StoredRow,
};

const OPTIONS: DiskStoreOptions = DiskStoreOptions { cache_bytes: 4 << 20 };

/// A store that can be closed and opened again.
trait Tested {
    fn store(&self) -> &dyn Store;
    fn reopen(&mut self);
}

struct InMemory(MemoryStore);

impl Tested for InMemory {
    fn store(&self) -> &dyn Store {
        &self.0
    }
    fn reopen(&mut self) {
        self.0 = self.0.crash();
    }
}

struct OnDisk {
    dir: tempfile::TempDir,
    open: fn(&Path, DiskStoreOptions) -> Result<DiskStore, StoreError>,
    store: Option<DiskStore>,
}

impl OnDisk {
    fn new(open: fn(&Path, DiskStoreOptions) -> Result<DiskStore, StoreError>) -> OnDisk {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(open(dir.path(), OPTIONS).unwrap());
        OnDisk { dir, open, store }
    }
}

impl Tested for OnDisk {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }
    /// A database is closed when nothing reads from it any more: tests drop their snapshots first.
    fn reopen(&mut self) {
        self.store = None;
        self.store = Some((self.open)(self.dir.path(), OPTIONS).unwrap());
    }
}

/// Runs each of the functions over every store.
macro_rules! over_both_stores {
    ($($name:ident),* $(,)?) => {
        mod memory { $(#[test] fn $name() { super::$name(&mut super::InMemory(super::MemoryStore::new())); })* }
        mod disk { $(#[test] fn $name() { super::$name(&mut super::OnDisk::new(super::DiskStore::open)); })* }
    };
}

over_both_stores!(
    a_round_is_seen_whole_and_only_by_later_snapshots,
    what_was_synced_is_there_after_a_restart,
    rows_are_walked_in_key_order,
    tombstones_stay_until_every_sink_is_past_them,
    without_durable_sinks_deletes_are_deletes,
    changes_are_listed_by_version,
    dead_letters_are_numbered_for_ever,
    generations_are_never_reused,
    a_dropped_projection_leaves_nothing,
    what_is_out_of_order_poisons,
    a_plan_stays_until_another_comes,
);

mod short_lists {
    #[test]
    fn memory() {
        super::scans_find_what_lists_would(&mut super::InMemory(super::MemoryStore::with_short_lists()));
    }
    #[test]
    fn disk() {
        super::scans_find_what_lists_would(&mut super::OnDisk::new(super::DiskStore::open_with_short_lists));
    }
}

fn name(text: &str) -> ProjectionName {
    ProjectionName(text.into())
}

fn plan(n: u8) -> PlanRecord {
    let hash = |part| Fingerprint([n * 10 + part; 32]);
    let hashes = Hashes { source: hash(0), layout: hash(1), fold: hash(2), emit: hash(3), options: hash(4) };
    PlanRecord { hashes, semantics: 1, text: format!("plan {n}").into() }
}

fn batch(generation: Generation, version: u64) -> CheckpointBatch {
    CheckpointBatch {
        projection: name("orders"),
        generation,
        version: Version(version),
        rows: Vec::new(),
        next_offsets: Vec::new(),
        sinks: Vec::new(),
        gone_sinks: Vec::new(),
        keep_changes: true,
        settled_by_all: Version(0),
        dead_letters: Vec::new(),
        plan: Some(plan(1)),
        counters: Counters { folded: version, ..Counters::default() },
    }
}

/// `key=value` writes a row, `key` alone deletes it.
fn changes(texts: &[&str]) -> Vec<RowChange> {
    let change = |text: &&str| match text.split_once('=') {
        Some((key, value)) => RowChange { key: key.into(), row: Some(value.as_bytes().into()) },
        None => RowChange { key: (*text).into(), row: None },
    };
    texts.iter().map(change).collect()
}

fn with_rows(generation: Generation, version: u64, texts: &[&str]) -> CheckpointBatch {
    CheckpointBatch { rows: changes(texts), ..batch(generation, version) }
}

/// `key=value@version`, or `key@version` for a tombstone.
fn show(key: &str, row: &StoredRow) -> String {
    let value = row.row.as_ref().map(|row| format!("={}", String::from_utf8_lossy(row))).unwrap_or_default();
    format!("{key}{value}@{}", row.changed)
}

fn walk(snapshot: &dyn Snapshot, generation: Generation, prefix: &str, after: Option<&str>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut each = |key: &str, row: StoredRow| {
        seen.push(show(key, &row));
        ControlFlow::Continue(())
    };
    snapshot.rows(generation, prefix, after, &mut each).unwrap();
    seen
}

fn changed(snapshot: &dyn Snapshot, generation: Generation, settled: u64) -> Vec<Arc<str>> {
    let all = snapshot.changed_since(generation, Version(settled), usize::MAX).unwrap().unwrap();
    assert_eq!(snapshot.changed_since(generation, Version(settled), all.len()).unwrap().as_ref(), Some(&all));
    if let Some(less) = all.len().checked_sub(1) {
        assert_eq!(snapshot.changed_since(generation, Version(settled), less).unwrap(), None);
    }
    all
}

fn letter(offset: i64) -> DeadLetter {
    DeadLetter {
        partition: TopicPartition { topic: "orders".into(), partition: 3 },
        offset: Offset(offset),
        time: Some(EventTime(-5)),
        key: Some(b"k\0".to_vec()),
        value: None,
        headers: vec![(b"type".to_vec(), b"Created".to_vec()), (Vec::new(), vec![0xff])],
        to: "dead".into(),
        class: "decode".into(),
        code: "P0901".into(),
        message: "not a number: `x`".into(),
        at: Some("orders.proj:3:1".into()),
    }
}

fn a_round_is_seen_whole_and_only_by_later_snapshots(tested: &mut dyn Tested) {
    let store = tested.store();
    let before = store.snapshot();
    let (a, b) = (store.new_generation(&name("orders")).unwrap(), store.new_generation(&name("totals")).unwrap());
    assert_ne!(a, b);
    assert!(store.snapshot().projection(&name("orders")).unwrap().is_none());
    let totals = CheckpointBatch { projection: name("totals"), ..with_rows(b, 7, &["x=t", "y=t"]) };
    let first = store.commit(&[with_rows(a, 1, &["x=1", "y=1"]), totals]).unwrap();
    let second = store.commit(&[with_rows(a, 2, &["x=2", "z=2", "y"])]).unwrap();

    assert!(before.projections().unwrap().is_empty());
    assert!(before.row(a, "x").unwrap().is_none());
    assert_eq!(first.projections().unwrap(), [name("orders"), name("totals")]);
    assert_eq!(walk(&*first, a, "", None), ["x=1@1", "y=1@1"]);
    assert_eq!(walk(&*first, b, "", None), ["x=t@7", "y=t@7"]);
    assert_eq!(walk(&*second, a, "", None), ["x=2@2", "y@2", "z=2@2"]);
    assert_eq!(walk(&*store.snapshot(), a, "", None), walk(&*second, a, "", None));
    assert_eq!(first.projection(&name("orders")).unwrap().unwrap().version, Version(1));
    assert_eq!(second.projection(&name("orders")).unwrap().unwrap().version, Version(2));
}

fn what_was_synced_is_there_after_a_restart(tested: &mut dyn Tested) {
    let generation = tested.store().new_generation(&name("orders")).unwrap();
    let partition = |partition| TopicPartition { topic: "t".into(), partition };
    let at = |offset| NextOffset { offset: Offset(offset), time: None, last: None };
    let passed = NextOffset { time: Some(EventTime(9)), last: Some((Offset(4), [7; 16])), ..at(5) };
    let mut one = with_rows(generation, 1, &["a=1"]);
    one.next_offsets = vec![(partition(2), at(1)), (partition(0), passed)];
    let sink =
        |settled, target: u128| SinkRecord { settled: Version(settled), target: Some(TargetId(target)), beat: settled };
    one.sinks =
        vec![("search".into(), sink(0, 1)), ("gone".into(), sink(0, 5)), ("cosmos".into(), SinkRecord::default())];
    let mut two = with_rows(generation, 2, &["a=2", "b=2"]);
    two.next_offsets = vec![(partition(1), at(3)), (partition(2), at(8))];
    two.sinks = vec![("search".into(), sink(1, u128::MAX))];
    two.gone_sinks = vec!["gone".into()];
    two.counters = Counters { folded: 1, filtered: 2, dropped: 3, skipped: 4, dead_letters: 5 };
    tested.store().commit(&[one]).unwrap();
    tested.store().commit(&[two.clone()]).unwrap();
    tested.reopen();

    let snapshot = tested.store().snapshot();
    let state = snapshot.projection(&name("orders")).unwrap().unwrap();
    assert_eq!((state.generation, state.version, state.counters), (generation, Version(2), two.counters));
    assert_eq!(state.plan, plan(1));
    assert_eq!(state.next_offsets, [(partition(0), passed), (partition(1), at(3)), (partition(2), at(8))]);
    assert_eq!(state.sinks, [("cosmos".into(), SinkRecord::default()), ("search".into(), sink(1, u128::MAX))]);
    assert_eq!(walk(&*snapshot, generation, "", None), ["a=2@2", "b=2@2"]);
    assert_eq!(changed(&*snapshot, generation, 0), ["a", "b"].map(Arc::<str>::from));
    tested.store().commit(&[with_rows(generation, 3, &["c=3"])]).unwrap();
}

fn rows_are_walked_in_key_order(tested: &mut dyn Tested) {
    let store = tested.store();
    let generation = store.new_generation(&name("orders")).unwrap();
    let next = store.new_generation(&name("other")).unwrap();
    let other = CheckpointBatch { projection: name("other"), ..with_rows(next, 1, &["a=other"]) };
    let keys = ["b=", "a=", "a|2=", "a|10=", "é=", "a\u{0}=", "=", "ab="];
    let snapshot = store.commit(&[with_rows(generation, 1, &keys), other]).unwrap();
    let all = ["=@1", "a=@1", "a\u{0}=@1", "ab=@1", "a|10=@1", "a|2=@1", "b=@1", "é=@1"];
    assert_eq!(walk(&*snapshot, generation, "", None), all);
    assert_eq!(walk(&*snapshot, generation, "", Some("")), all[1..]);
    assert_eq!(walk(&*snapshot, generation, "a", None), all[1..6]);
    assert_eq!(walk(&*snapshot, generation, "a", Some("a")), all[2..6]);
    assert_eq!(walk(&*snapshot, generation, "a|", Some("a")), all[4..6]);
    assert_eq!(walk(&*snapshot, generation, "a|", Some("a|10")), all[5..6]);
    assert_eq!(walk(&*snapshot, generation, "a", Some("b")), [""; 0]);
    assert_eq!(walk(&*snapshot, generation, "", Some("aa")), all[3..]);
    let mut seen = 0;
    let mut stop_at_two = |_: &str, _: StoredRow| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    snapshot.rows(generation, "", None, &mut stop_at_two).unwrap();
    assert_eq!(seen, 2);
}

fn tombstones_stay_until_every_sink_is_past_them(tested: &mut dyn Tested) {
    let store = tested.store();
    let generation = store.new_generation(&name("orders")).unwrap();
    store.commit(&[with_rows(generation, 1, &["a=1", "b=1", "c=1", "d=1"])]).unwrap();
    store.commit(&[with_rows(generation, 2, &["a", "b", "c"])]).unwrap();
    store.commit(&[with_rows(generation, 3, &["b=3", "c", "d"])]).unwrap();
    let at = |version, settled| CheckpointBatch { settled_by_all: Version(settled), ..batch(generation, version) };
    store.commit(&[at(4, 1)]).unwrap();
    assert_eq!(walk(&*store.snapshot(), generation, "", None), ["a@2", "b=3@3", "c@3", "d@3"]);
    store.commit(&[at(5, 2)]).unwrap();
    assert_eq!(walk(&*store.snapshot(), generation, "", None), ["b=3@3", "c@3", "d@3"]);
    assert_eq!(changed(&*store.snapshot(), generation, 2), ["b", "c", "d"].map(Arc::<str>::from));
    // One round removes the tombstone and writes the key again.
    let again = CheckpointBatch { rows: changes(&["d=6"]), ..at(6, 3) };
    store.commit(&[again]).unwrap();
    assert_eq!(walk(&*store.snapshot(), generation, "", None), ["b=3@3", "d=6@6"]);
    tested.reopen();
    assert_eq!(walk(&*tested.store().snapshot(), generation, "", None), ["b=3@3", "d=6@6"]);
    assert_eq!(changed(&*tested.store().snapshot(), generation, 3), ["d"].map(Arc::<str>::from));
}

fn without_durable_sinks_deletes_are_deletes(tested: &mut dyn Tested) {
    let store = tested.store();
    let generation = store.new_generation(&name("orders")).unwrap();
    let at = |version, texts| CheckpointBatch { keep_changes: false, ..with_rows(generation, version, texts) };
    store.commit(&[with_rows(generation, 1, &["a=1", "b=1", "c=1"])]).unwrap();
    store.commit(&[with_rows(generation, 2, &["a"])]).unwrap();
    let snapshot = store.commit(&[at(3, &["b", "d=3", "never"])]).unwrap();
    // The tombstone of `a` had readers once; with the last of them gone it goes too.
    assert_eq!(walk(&*snapshot, generation, "", None), ["c=1@1", "d=3@3"]);
    assert_eq!(changed(&*snapshot, generation, 0), ["c", "d"].map(Arc::<str>::from));
    assert_eq!(changed(&*snapshot, generation, 1), ["d"].map(Arc::<str>::from));
    let snapshot = store.commit(&[with_rows(generation, 4, &["c=4", "d"])]).unwrap();
    assert_eq!(changed(&*snapshot, generation, 3), ["c", "d"].map(Arc::<str>::from));
    assert_eq!(changed(&*snapshot, generation, 2), ["c", "d"].map(Arc::<str>::from));
}

fn changes_are_listed_by_version(tested: &mut dyn Tested) {
    let store = tested.store();
    let generation = store.new_generation(&name("orders")).unwrap();
    let other = store.new_generation(&name("other")).unwrap();
    let noise = CheckpointBatch { projection: name("other"), ..with_rows(other, 9, &["n=9"]) };
    store.commit(&[with_rows(generation, 1, &["b=1", "a=1"]), noise]).unwrap();
    store.commit(&[batch(generation, 2)]).unwrap();
    let snapshot = store.commit(&[with_rows(generation, 3, &["c=3", "a"])]).unwrap();
    let listed = |settled| changed(&*snapshot, generation, settled);
    assert_eq!(listed(0), ["a", "b", "c"].map(Arc::<str>::from));
    assert_eq!(listed(1), ["a", "c"].map(Arc::<str>::from));
    assert_eq!(listed(2), ["a", "c"].map(Arc::<str>::from));
    assert!(listed(3).is_empty());
    drop(snapshot);
    let many: Vec<String> = (0..20_000).map(|n| format!("key-{n:05}=x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    store.commit(&[with_rows(generation, 4, &many)]).unwrap();
    let keys = changed(&*store.snapshot(), generation, 3);
    assert_eq!((keys.len(), &*keys[0], &*keys[19_999]), (20_000, "key-00000", "key-19999"));
    tested.reopen();
    assert_eq!(changed(&*tested.store().snapshot(), generation, 3), keys);
    let settled = CheckpointBatch { settled_by_all: Version(4), ..batch(generation, 5) };
    let snapshot = tested.store().commit(&[settled]).unwrap();
    assert!(changed(&*snapshot, generation, 4).is_empty());
}

/// Random checkpoints against a model; lists are dropped all the time.
fn scans_find_what_lists_would(tested: &mut dyn Tested) {
    let generation = tested.store().new_generation(&name("orders")).unwrap();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let (mut rows, mut last_changes) = (BTreeMap::new(), BTreeMap::new());
    let mut settled = 0;
    for version in 1..=300 {
        let texts: BTreeSet<u64> = (0..random(6)).map(|_| random(40)).collect();
        let texts: Vec<String> =
            texts.iter().map(|n| if random(3) == 0 { format!("{n}") } else { format!("{n}=x") }).collect();
        for text in &texts {
            let key = text.trim_end_matches("=x").to_owned();
            last_changes.insert(key.clone(), version);
            if text.ends_with('x') {
                rows.insert(key, version)
            } else {
                rows.remove(&key)
            };
        }
        if random(4) == 0 {
            settled += random(version - settled);
        }
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let round = CheckpointBatch { settled_by_all: Version(settled), ..with_rows(generation, version, &texts) };
        let snapshot = tested.store().commit(&[round]).unwrap();
        for from in settled..=version {
            let wanted: BTreeSet<&str> =
                last_changes.iter().filter(|(_, at)| **at > from).map(|(key, _)| key.as_str()).collect();
            let found = changed(&*snapshot, generation, from);
            assert_eq!(found.iter().map(|key| &**key).collect::<BTreeSet<_>>(), wanted, "{from} at {version}");
            assert!(found.is_sorted() && found.len() == wanted.len());
        }
        drop(snapshot);
        if random(25) == 0 {
            tested.reopen();
        }
    }
    tested.store().commit(&[batch(generation, 301)]).unwrap();
    let live = |line: &String| line.contains('=');
    let wanted: Vec<String> = rows.iter().map(|(key, version)| format!("{key}=x@{version}")).collect();
    assert_eq!(
        walk(&*tested.store().snapshot(), generation, "", None).into_iter().filter(live).collect::<Vec<_>>(),
        wanted
    );
    // Once all is settled no tombstone is left.
    for version in 302..305 {
        let settled_by_all = Version(version - 1);
        tested.store().commit(&[CheckpointBatch { settled_by_all, ..batch(generation, version) }]).unwrap();
    }
    assert_eq!(walk(&*tested.store().snapshot(), generation, "", None), wanted);
}

fn dead_letters_are_numbered_for_ever(tested: &mut dyn Tested) {
    let generation = tested.store().new_generation(&name("orders")).unwrap();
    let at = |version, offsets: &[i64]| CheckpointBatch {
        dead_letters: offsets.iter().map(|offset| letter(*offset)).collect(),
        ..batch(generation, version)
    };
    tested.store().commit(&[at(1, &[10, 20])]).unwrap();
    tested.reopen();
    tested.store().commit(&[at(2, &[])]).unwrap();
    let longer = CheckpointBatch { projection: name("orders2"), generation: Generation(99), ..at(1, &[5]) };
    let snapshot = tested.store().commit(&[at(3, &[30]), longer]).unwrap();
    let letters = |after, limit| snapshot.dead_letters(&name("orders"), after, limit).unwrap();
    assert_eq!(letters(0, 10), [(1, letter(10)), (2, letter(20)), (3, letter(30))]);
    assert_eq!(letters(1, 1), [(2, letter(20))]);
    assert!(letters(3, 10).is_empty());
    assert!(letters(u64::MAX, 10).is_empty());
    assert_eq!(snapshot.dead_letters(&name("orders2"), 0, 10).unwrap(), [(1, letter(5))]);
}

fn generations_are_never_reused(tested: &mut dyn Tested) {
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        assert!(seen.insert(tested.store().new_generation(&name("orders")).unwrap()));
        tested.reopen();
    }
}

fn a_dropped_projection_leaves_nothing(tested: &mut dyn Tested) {
    let (a, b) = {
        let store = tested.store();
        (store.new_generation(&name("orders")).unwrap(), store.new_generation(&name("other")).unwrap())
    };
    let dead_letters = vec![letter(1)];
    let orders = CheckpointBatch { dead_letters, ..with_rows(a, 1, &["a=1", "b=1"]) };
    let other = CheckpointBatch { projection: name("other"), ..with_rows(b, 1, &["a=2"]) };
    let before = tested.store().commit(&[orders, other]).unwrap();
    tested.store().drop_projection(&name("orders")).unwrap();
    assert_eq!(walk(&*before, a, "", None), ["a=1@1", "b=1@1"]);
    drop(before);
    tested.store().drop_projection(&name("nobody")).unwrap();
    for _ in 0..2 {
        let snapshot = tested.store().snapshot();
        assert_eq!(snapshot.projections().unwrap(), [name("other")]);
        assert!(walk(&*snapshot, a, "", None).is_empty());
        assert!(changed(&*snapshot, a, 0).is_empty());
        assert!(snapshot.dead_letters(&name("orders"), 0, 9).unwrap().is_empty());
        assert_eq!(walk(&*snapshot, b, "", None), ["a=2@1"]);
        drop(snapshot);
        tested.reopen();
    }
    let again = tested.store().new_generation(&name("orders")).unwrap();
    let dead_letters = vec![letter(2)];
    let batch = CheckpointBatch { dead_letters, ..with_rows(again, 1, &["c=1"]) };
    let snapshot = tested.store().commit(&[batch]).unwrap();
    assert_eq!(walk(&*snapshot, again, "", None), ["c=1@1"]);
    assert_eq!(snapshot.dead_letters(&name("orders"), 0, 9).unwrap(), [(1, letter(2))]);
}

fn what_is_out_of_order_poisons(tested: &mut dyn Tested) {
    let generation = tested.store().new_generation(&name("orders")).unwrap();
    let wrong = [
        CheckpointBatch { plan: None, projection: name("fresh"), ..batch(generation, 1) },
        with_rows(generation, 5, &["b=5"]),
        with_rows(Generation(generation.0 + 1), 6, &["b=6"]),
        CheckpointBatch { projection: name("fresh"), ..batch(Generation(1 << 24), 1) },
        with_rows(generation, 6, &[&format!("{}=6", "k".repeat(70_000))]),
    ];
    tested.store().commit(&[with_rows(generation, 5, &["a=5"])]).unwrap();
    for wrong in wrong {
        let good = CheckpointBatch { projection: name("good"), ..with_rows(Generation(77), 1, &["g=1"]) };
        let error = tested.store().commit(&[good, wrong]).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
        let refused = tested.store().commit(&[batch(generation, 9)]).map(drop).unwrap_err();
        assert!(matches!(refused, StoreError::Poisoned { .. }), "{refused}");
        assert!(tested.store().new_generation(&name("x")).is_err());
        assert!(tested.store().drop_projection(&name("orders")).is_err());
        for _ in 0..2 {
            let snapshot = tested.store().snapshot();
            assert_eq!(snapshot.projections().unwrap(), [name("orders")]);
            assert_eq!(walk(&*snapshot, generation, "", None), ["a=5@5"]);
            drop(snapshot);
            tested.reopen();
        }
    }
}

fn a_plan_stays_until_another_comes(tested: &mut dyn Tested) {
    let generation = tested.store().new_generation(&name("orders")).unwrap();
    let at = |version, plan| CheckpointBatch { plan, ..batch(generation, version) };
    let stored = |tested: &dyn Tested| tested.store().snapshot().projection(&name("orders")).unwrap().unwrap().plan;
    tested.store().commit(&[at(1, Some(plan(1)))]).unwrap();
    tested.store().commit(&[at(2, None)]).unwrap();
    assert_eq!(stored(tested), plan(1));
    tested.store().commit(&[at(3, Some(plan(2)))]).unwrap();
    tested.reopen();
    tested.store().commit(&[at(4, None)]).unwrap();
    assert_eq!(stored(tested), plan(2));
}

#[test]
fn a_failed_commit_is_lost_or_found_by_the_restart() {
    for (fate, found) in [(FailedRound::Lost, vec!["a=1@1"]), (FailedRound::Written, vec!["a=1@1", "b=2@2"])] {
        let store = MemoryStore::new();
        let generation = store.new_generation(&name("orders")).unwrap();
        store.fail_commit(2, fate);
        store.commit(&[with_rows(generation, 1, &["a=1"])]).unwrap();
        assert!(store.commit(&[with_rows(generation, 2, &["b=2"])]).is_err());
        assert!(store.commit(&[with_rows(generation, 3, &["b=3"])]).is_err());
        assert_eq!(walk(&*store.snapshot(), generation, "", None), ["a=1@1"]);
        let restarted = store.crash();
        assert_eq!(walk(&*restarted.snapshot(), generation, "", None), found);
        restarted.commit(&[with_rows(generation, 4, &["c=4"])]).unwrap();
    }
}

#[test]
fn a_second_process_is_refused() {
    let tested = OnDisk::new(DiskStore::open);
    let error = DiskStore::open(tested.dir.path(), OPTIONS).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
}

#[test]
fn a_copy_has_the_id_of_its_original() {
    let tested = OnDisk::new(DiskStore::open);
    let id = tested.store.as_ref().unwrap().identity().id;
    let copy = tempfile::tempdir().unwrap();
    copy_all(tested.dir.path(), copy.path());
    assert_eq!(DiskStore::open(copy.path(), OPTIONS).unwrap().identity().id, id);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(DiskStore::open(other.path(), OPTIONS).unwrap().identity().id, id);
}

#[test]
fn a_database_cut_short_while_it_was_made_is_made_anew() {
    let tested = OnDisk::new(DiskStore::open);
    let dir = tested.dir.path().to_owned();
    drop(tested.store);
    std::fs::rename(dir.join("rows"), dir.join("rows.new")).unwrap();
    std::fs::remove_file(dir.join("rows.new/version")).unwrap();
    let store = DiskStore::open(&dir, OPTIONS).unwrap();
    assert_eq!(store.new_generation(&name("orders")).unwrap(), Generation(1));
}

/// Checkpoint `n` writes `n` into the keys `0`, `n % 7` and `n % 11` of both projections, and deletes `n % 5 + 20`.
fn nth_round(n: u64) -> Vec<CheckpointBatch> {
    let rows =
        [format!("0={n}"), format!("{}={n}", n % 7 + 1), format!("{}={n}", n % 11 + 8), format!("{}", n % 5 + 20)];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let one = with_rows(Generation(1), n, &rows);
    let two = CheckpointBatch { projection: name("two"), generation: Generation(2), ..one.clone() };
    vec![one, two]
}

/// The store must hold exactly the first `n` rounds, for some `n`; returns it.
fn whole_prefix(store: &DiskStore) -> u64 {
    let snapshot = store.snapshot();
    let version = |name: &ProjectionName| snapshot.projection(name).unwrap().map_or(0, |state| state.version.0);
    let n = version(&name("orders"));
    assert_eq!(version(&name("two")), n);
    let model = MemoryStore::new();
    for n in 1..=n {
        model.commit(&nth_round(n)).unwrap();
    }
    for generation in [Generation(1), Generation(2)] {
        assert_eq!(walk(&*snapshot, generation, "", None), walk(&*model.snapshot(), generation, "", None));
        assert_eq!(changed(&*snapshot, generation, n / 2), changed(&*model.snapshot(), generation, n / 2));
    }
    n
}

const KILLED: &str = "PROJECTOR_TEST_KILLED_WRITER";

/// Only does anything as the child of the test below.
#[test]
fn killed_writer() {
    let Some(dir) = std::env::var_os(KILLED) else { return };
    let store = DiskStore::open(Path::new(&dir), OPTIONS).unwrap();
    let first = whole_prefix(&store) + 1;
    for n in first.. {
        store.commit(&nth_round(n)).unwrap();
        println!("synced {n}");
    }
}

#[test]
fn a_killed_writer_leaves_a_whole_prefix_with_all_it_reported() {
    let dir = tempfile::tempdir().unwrap();
    let mut reported = 0;
    for lines in [1, 7, 40] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "state::tests::killed_writer", "--nocapture"])
            .env(KILLED, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let synced = |line: String| line.rsplit_once("synced ").map(|(_, n)| n.parse::<u64>().unwrap());
        let mut numbers = output.by_ref().filter_map(synced);
        reported = numbers.nth(lines).expect("the child writes until it is killed");
        child.kill().unwrap();
        reported = numbers.last().unwrap_or(reported);
        child.wait().unwrap();
        let store = DiskStore::open(dir.path(), OPTIONS).unwrap();
        let found = whole_prefix(&store);
        assert!(found >= reported, "{found} of {reported}");
    }
    assert!(reported > 40);
}

#[test]
fn a_torn_journal_loses_whole_rounds_from_its_end() {
    let tested = OnDisk::new(DiskStore::open);
    for n in 1..=20 {
        tested.store().commit(&nth_round(n)).unwrap();
    }
    let dir = tested.dir.path().to_owned();
    drop(tested.store);
    let journal = newest_journal(&dir);
    let bytes = std::fs::read(dir.join(&journal)).unwrap();
    let len = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let mut lens = Vec::new();
    for cut in [0, 1, 5, 13, 60, 200, 333, 800, 2_000] {
        for tail in [&[][..], &[0; 4096], &[0xa5; 300]] {
            let copy = tempfile::tempdir().unwrap();
            copy_all(&dir, copy.path());
            std::fs::write(copy.path().join(&journal), [&bytes[..len - cut], tail].concat()).unwrap();
            let store = DiskStore::open(copy.path(), OPTIONS).unwrap();
            let n = whole_prefix(&store);
            lens.push(n);
            store.commit(&nth_round(n + 1)).unwrap();
            drop(store);
            assert_eq!(whole_prefix(&DiskStore::open(copy.path(), OPTIONS).unwrap()), n + 1);
        }
    }
    assert_eq!((lens[0], lens[3]), (20, 19));
    assert!(lens.is_sorted_by(|a, b| a >= b) && *lens.last().unwrap() < 18, "{lens:?}");
}

#[test]
fn a_hole_in_the_last_round_loses_that_round_and_one_before_it_is_damage() {
    let tested = OnDisk::new(DiskStore::open);
    for n in 1..=3 {
        tested.store().commit(&nth_round(n)).unwrap();
    }
    let dir = tested.dir.path().to_owned();
    let journal = newest_journal(&dir);
    let len = |journal: &Path| {
        let bytes = std::fs::read(dir.join(journal)).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
    };
    let before = len(&journal);
    let wide = vec![7u8; 30_000];
    let mut round = nth_round(4);
    round[0].rows.push(RowChange { key: "wide".into(), row: Some(wide.into()) });
    tested.store().commit(&round).unwrap();
    drop(tested.store);
    let after = len(&journal);
    // Inside the wide row, at every place of a sector's grid; then the same with another round behind it.
    for hole in (before + 2_000..after - 3_000).step_by(4_096).map(|at| at.next_multiple_of(512)) {
        let copy = tempfile::tempdir().unwrap();
        copy_all(&dir, copy.path());
        let mut bytes = std::fs::read(dir.join(&journal)).unwrap();
        bytes[hole..hole + 512].fill(0);
        std::fs::write(copy.path().join(&journal), &bytes).unwrap();
        let store = DiskStore::open(copy.path(), OPTIONS).unwrap();
        assert_eq!(whole_prefix(&store), 3);
        store.commit(&nth_round(4)).unwrap();
        drop(store);
        assert_eq!(whole_prefix(&DiskStore::open(copy.path(), OPTIONS).unwrap()), 4);
    }
    let store = DiskStore::open(&dir, OPTIONS).unwrap();
    store.commit(&nth_round(5)).unwrap();
    drop(store);
    let mut bytes = std::fs::read(dir.join(&journal)).unwrap();
    let hole = (before + 4_000).next_multiple_of(512);
    bytes[hole..hole + 512].fill(0);
    std::fs::write(dir.join(&journal), &bytes).unwrap();
    let error = DiskStore::open(&dir, OPTIONS).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(dir.join(&journal)).unwrap(), bytes);
}

fn newest_journal(dir: &Path) -> PathBuf {
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let entries = std::fs::read_dir(dir.join("rows")).unwrap().map(|entry| entry.unwrap().path());
    let journals = entries.filter(|path| path.extension().is_some_and(|ext| ext == "jnl"));
    let newest = journals.max_by_key(number).unwrap();
    newest.strip_prefix(dir).unwrap().to_owned()
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// Without the lock, which is written by whoever looks.
fn contents_below(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(path).into_iter().filter(|file| !file.ends_with("LOCK"));
    files.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

/// A store with a start, a row, a list and a dead letter, closed.
fn closed_store() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::open(dir.path(), OPTIONS).unwrap();
    let generation = store.new_generation(&name("orders")).unwrap();
    let start = Version(0).next_epoch().unwrap();
    store.commit(&[batch(generation, start.0)]).unwrap();
    let rows = with_rows(generation, start.0 + 1, &["a=1"]);
    store.commit(&[CheckpointBatch { dead_letters: vec![letter(7)], ..rows }]).unwrap();
    dir
}

#[test]
fn a_database_that_lost_a_file_or_its_content_is_refused() {
    let mut refused = 0;
    let names: Vec<_> = {
        let dir = closed_store();
        files_below(dir.path()).iter().map(|file| file.strip_prefix(dir.path()).unwrap().to_owned()).collect()
    };
    assert!(names.iter().any(|name| name.ends_with("0.jnl")), "{names:?}");
    for name in names.iter().filter(|name| !name.ends_with("LOCK")) {
        for truncate in [false, true] {
            let dir = closed_store();
            let file = dir.path().join(name);
            if truncate {
                std::fs::write(&file, []).unwrap()
            } else {
                std::fs::remove_file(&file).unwrap()
            }
            let left = contents_below(dir.path());
            match DiskStore::open(dir.path(), OPTIONS) {
                Err(_) => {
                    refused += 1;
                    let now = contents_below(dir.path());
                    left.iter().for_each(|(path, bytes)| assert!(now.get(path) == Some(bytes), "{name:?}: {path:?}"));
                }
                Ok(store) => {
                    let snapshot = store.snapshot();
                    let state = snapshot.projection(&self::name("orders")).unwrap();
                    let generation = state.unwrap_or_else(|| panic!("{name:?} lost the record")).generation;
                    assert_eq!(walk(&*snapshot, generation, "", None).len(), 1, "{name:?} lost the row");
                    let letters = snapshot.dead_letters(&self::name("orders"), 0, 9).unwrap();
                    assert_eq!(letters.len(), 1, "{name:?} lost the letter");
                }
            }
        }
    }
    assert!(refused > 0);
}

/// Cuts off most of the zeros that journals are made with, so that copies are small.
fn shorten_journals(dir: &Path) {
    for file in files_below(dir).iter().filter(|file| file.extension().is_some_and(|ext| ext == "jnl")) {
        let bytes = std::fs::read(file).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        std::fs::write(file, &bytes[..bytes.len().min(used + 600)]).unwrap();
    }
}

/// A store with tables, several batches in its journal, and all kinds of entries; open.
fn lived_in_store(dir: &Path) -> DiskStore {
    let store = DiskStore::open(dir, OPTIONS).unwrap();
    for n in 1..=12 {
        store.commit(&nth_round(n)).unwrap();
        if n % 5 == 0 {
            store.write_tables();
        }
    }
    store
}

/// What a store of `lived_in_store` must hold, read to the end; an error when it says that it cannot.
fn read_everything(store: &DiskStore) -> Result<u64, StoreError> {
    let snapshot = store.snapshot();
    for generation in [Generation(1), Generation(2)] {
        snapshot.rows(generation, "", None, &mut |_, _| std::ops::ControlFlow::Continue(()))?;
        snapshot.changed_since(generation, Version(1), usize::MAX)?;
    }
    snapshot.dead_letters(&name("orders"), 0, usize::MAX)?;
    Ok(whole_prefix(store))
}

#[test]
fn a_flipped_bit_is_refused_or_changes_nothing() {
    let seed = std::env::var("PROJECTOR_TEST_SEED").ok().map_or(0x5eed, |seed| seed.parse().unwrap());
    println!("PROJECTOR_TEST_SEED={seed}");
    let mut state: u64 = seed;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let (closed, live) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(lived_in_store(closed.path()));
    let running = tempfile::tempdir().unwrap();
    let store = lived_in_store(running.path());
    copy_all(running.path(), live.path());
    drop(store);
    [&closed, &live].iter().for_each(|dir| shorten_journals(dir.path()));
    let (mut refused, mut unchanged) = (0, 0);
    for dir in [closed.path(), live.path()] {
        for file in files_below(dir) {
            let whole = std::fs::read(&file).unwrap();
            let used = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            for _ in 0..if file.extension().is_some_and(|ext| ext == "jnl") { 24 } else { 3 } {
                let bit = random() % (8 * used.max(1));
                let copy = tempfile::tempdir().unwrap();
                copy_all(dir, copy.path());
                let name = file.strip_prefix(dir).unwrap();
                let mut bytes = whole.clone();
                let Some(byte) = bytes.get_mut(bit / 8) else { continue };
                *byte ^= 1 << (bit % 8);
                std::fs::write(copy.path().join(name), bytes).unwrap();
                let found = DiskStore::open(copy.path(), OPTIONS).and_then(|store| read_everything(&store));
                match found {
                    Ok(12) => unchanged += 1,
                    Ok(n) => panic!("with bit {bit} of {name:?} flipped only {n} of 12 rounds are there"),
                    Err(error) => {
                        assert!(error.to_string().contains(copy.path().to_str().unwrap()), "{name:?}: {error}");
                        refused += 1;
                    }
                }
            }
        }
    }
    println!("{refused} flips were refused, {unchanged} changed nothing");
    assert!(refused > 30, "{refused}");
}

/// Everything a store holds, one entry a line, as the fixture of a format keeps it.
fn as_text(store: &DiskStore) -> String {
    let snapshot = store.snapshot();
    let mut lines = Vec::new();
    for projection in snapshot.projections().unwrap() {
        let state = snapshot.projection(&projection).unwrap().unwrap();
        let passed = state.next_offsets.iter().map(|(partition, next)| {
            let TopicPartition { topic, partition } = partition;
            format!("{topic}/{partition} {} {:?}", next.offset.0, next.last)
        });
        let settled = state.sinks.iter().map(|(sink, record)| format!("{sink} {}", record.settled));
        let parts = [passed.collect::<Vec<_>>(), settled.collect()].concat().join(", ");
        lines.push(format!("{projection} {} {} {}: {parts}", state.generation.0, state.version, state.plan.text));
        let rows = walk(&*snapshot, state.generation, "", None);
        lines.extend(rows.into_iter().map(|row| format!("{projection} row {row}")));
        lines.push(format!("{projection} changed {:?}", changed(&*snapshot, state.generation, 6)));
        for (number, letter) in snapshot.dead_letters(&projection, 0, usize::MAX).unwrap() {
            let DeadLetter { offset, key, value, code, message, .. } = letter;
            lines.push(format!("{projection} letter {number} {} {key:?} {value:?} {code} {message}", offset.0));
        }
    }
    lines.join("\n") + "\n"
}

/// `tests/fixtures/format-N/store` was written by the first release of that format, with `store.txt` beside it. With
/// `PROJECTOR_FIXTURES=format-N` this test writes both anew.
#[test]
fn stores_of_released_formats_open_and_go_on() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    if let Ok(format) = std::env::var("PROJECTOR_FIXTURES") {
        let (dir, kept) = (tempfile::tempdir().unwrap(), fixtures.join(format));
        let store = lived_in_store(dir.path());
        store.commit(&[CheckpointBatch { dead_letters: vec![letter(7)], ..nth_round(13).remove(0) }]).unwrap();
        let _ = std::fs::remove_dir_all(kept.join("store"));
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("store.txt"), as_text(&store)).unwrap();
        drop(store);
        shorten_journals(dir.path());
        copy_all(dir.path(), &kept.join("store"));
    }
    let mut formats = 0;
    for kept in std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = std::fs::read_to_string(kept.join("store.txt")) else { continue };
        let dir = tempfile::tempdir().unwrap();
        copy_all(&kept.join("store"), dir.path());
        let store = DiskStore::open(dir.path(), OPTIONS).unwrap();
        assert_eq!(as_text(&store), text, "{}", kept.display());
        store.commit(&nth_round(14)).unwrap();
        formats += 1;
    }
    assert!(formats >= 1, "no fixture of the first format");
}
