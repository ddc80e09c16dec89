//! Whatever a store holds comes back; whatever is done to a file is found; what is cut short leaves nothing.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::{EventTime, Generation, Offset, ProjectionName, TargetId, TopicPartition, Version};
use crate::plan::{Fingerprint, Hashes};
use crate::state::backup::{self, BackupCounts, BackupError, BackupFile, BackupRequest};
use crate::state::{
    CheckpointBatch, Counters, DeadLetter, DiskStore, DiskStoreOptions, MemoryStore, NextOffset, PlanRecord, RowChange,
    SinkRecord, Snapshot, Store, StoredRow,
};

const NOW: EventTime = EventTime(1_700_000_000_000_000);

fn name() -> ProjectionName {
    ProjectionName("orders".into())
}

fn open(path: &Path) -> DiskStore {
    DiskStore::open(path, DiskStoreOptions { cache_bytes: 4 << 20 }).unwrap()
}

fn unwatched() -> impl FnMut(BackupCounts) -> ControlFlow<()> {
    |_| ControlFlow::Continue(())
}

fn request<'a>(
    store: &dyn Store,
    snapshot: &'a dyn Snapshot,
    name: &'a ProjectionName,
    to: &'a Path,
) -> BackupRequest<'a> {
    BackupRequest { projection: name, snapshot, store: store.identity(), now: NOW, directory: to }
}

fn back_up(store: &dyn Store, to: &Path) -> Result<BackupFile, BackupError> {
    let snapshot = store.snapshot();
    backup::write(request(store, &*snapshot, &name(), to), &mut unwatched())
}

fn restore(store: &DiskStore, path: &Path) -> Result<BackupFile, BackupError> {
    let file = backup::check(path, &name(), &mut unwatched())?;
    store.restore(&file, &mut unwatched())?;
    Ok(file)
}

/// A few random numbers; the same again from the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn bytes(&mut self, len_max: u64) -> Vec<u8> {
        (0..self.roll(len_max + 1)).map(|_| self.roll(256) as u8).collect()
    }

    fn seed() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("SEED={seed}");
        seed
    }
}

fn random_letter(dice: &mut Dice) -> DeadLetter {
    DeadLetter {
        partition: TopicPartition { topic: "shop.orders".into(), partition: dice.roll(4) as i32 - 1 },
        offset: Offset(dice.roll(1 << 40) as i64),
        time: (dice.roll(2) == 0).then(|| EventTime(dice.roll(1 << 40) as i64 - (1 << 39))),
        key: (dice.roll(2) == 0).then(|| dice.bytes(10)),
        value: (dice.roll(2) == 0).then(|| dice.bytes(1000)),
        headers: (0..dice.roll(3)).map(|_| (dice.bytes(5), dice.bytes(5))).collect(),
        to: "dead".into(),
        class: "eval".into(),
        code: "R0101".into(),
        message: "it does not fit".into(),
        at: (dice.roll(2) == 0).then(|| "orders.proj:3:1".to_owned()),
    }
}

/// The checkpoint after `version` that changes some of a few hundred rows.
fn random_batch(dice: &mut Dice, generation: Generation, version: Version) -> CheckpointBatch {
    let row_bytes = if dice.roll(20) == 0 { 400_000 } else { 60 };
    let mut rows: Vec<_> = (0..dice.roll(60))
        .map(|_| RowChange {
            key: format!("k{}", dice.roll(300)).into(),
            row: (dice.roll(4) > 0).then(|| dice.bytes(row_bytes).into()),
        })
        .collect();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.dedup_by(|a, b| a.key == b.key);
    let partition = |n| TopicPartition { topic: "shop.orders".into(), partition: n };
    let next = NextOffset {
        offset: Offset(version.0 as i64),
        time: (dice.roll(2) == 0).then_some(EventTime(-7)),
        last: (dice.roll(2) == 0).then_some((Offset(version.0 as i64 - 1), [9; 16])),
    };
    let hash = |n| Fingerprint([n; 32]);
    let hashes = Hashes { source: hash(1), layout: hash(2), fold: hash(3), emit: hash(4), options: hash(5) };
    let settled = Version(version.0.saturating_sub(dice.roll(6)));
    let target = (dice.roll(2) == 0).then_some(TargetId(7));
    CheckpointBatch {
        projection: name(),
        generation,
        version,
        rows,
        next_offsets: vec![(partition(dice.roll(3) as i32), next)],
        sinks: vec![("cosmos".into(), SinkRecord { settled, target, beat: dice.roll(9) })],
        gone_sinks: Vec::new(),
        keep_changes: true,
        settled_by_all: settled,
        dead_letters: (0..dice.roll(3)).map(|_| random_letter(dice)).collect(),
        plan: Some(PlanRecord { hashes, semantics: 3, text: "projection orders {\n}\n".into() }),
        counters: Counters { folded: version.0 * 3, filtered: 1, dropped: 2, skipped: 3, dead_letters: 4 },
    }
}

/// Commits checkpoints after the store's last one.
fn grow(store: &dyn Store, dice: &mut Dice, checkpoints: u64) {
    for _ in 0..checkpoints {
        let state = store.snapshot().projection(&name()).unwrap();
        let (generation, version) = match state {
            Some(state) => (state.generation, Version(state.version.0 + 1 + dice.roll(3))),
            None => (store.new_generation(&name()).unwrap(), Version(1 << Version::CHECKPOINT_BITS)),
        };
        store.commit(&[random_batch(dice, generation, version)]).unwrap();
    }
}

/// All that a store knows of the projection, but for the number of its generation.
fn everything(store: &dyn Store) -> Vec<String> {
    let snapshot = store.snapshot();
    let Some(state) = snapshot.projection(&name()).unwrap() else { return Vec::new() };
    let mut all = rows(&*snapshot, state.generation);
    let letters = snapshot.dead_letters(&name(), 0, usize::MAX).unwrap();
    all.extend(letters.iter().map(|letter| format!("{letter:?}")));
    for back in 0..12 {
        let since = Version(state.version.0 - back);
        all.push(format!(
            "{since}: {:?}",
            snapshot.changed_since(state.generation, since, usize::MAX).unwrap().unwrap()
        ));
    }
    let state = crate::state::ProjectionState { generation: Generation(0), ..state };
    all.push(format!("{state:?}"));
    all
}

fn rows(snapshot: &dyn Snapshot, generation: Generation) -> Vec<String> {
    let mut all = Vec::new();
    let mut each = |key: &str, row: StoredRow| {
        let hash = row.row.map(|row| blake3::hash(&row));
        all.push(format!("{key} {} {hash:?}", row.changed));
        ControlFlow::Continue(())
    };
    snapshot.rows(generation, "", None, &mut each).unwrap();
    all
}

#[test]
fn what_a_store_holds_comes_back_in_another() {
    let mut dice = Dice(Dice::seed());
    for round in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let original: Box<dyn Store> = match round % 2 {
            0 => Box::new(MemoryStore::new()),
            _ => Box::new(open(&dir.path().join("original"))),
        };
        let checkpoints = 1 + dice.roll(30);
        grow(&*original, &mut dice, checkpoints);
        let made = back_up(&*original, &dir.path().join("backups")).unwrap();
        assert_eq!(fs::metadata(&made.path).unwrap().len(), made.counts.bytes);

        let mut copy = open(&dir.path().join("copy"));
        // The generation of a store is not that of another.
        copy.new_generation(&ProjectionName("other".into())).unwrap();
        assert_eq!(restore(&copy, &made.path).unwrap(), made);
        assert_eq!(everything(&copy), everything(&*original));
        assert_eq!(copy.snapshot().last_backup(&name()).unwrap(), Some(made.head.mark));

        // It goes on as the original does, after a restart too: both know the same tombstones and changes.
        drop(copy);
        copy = open(&dir.path().join("copy"));
        let mut same = Dice(dice.0);
        grow(&*original, &mut dice, 5);
        grow(&copy, &mut same, 5);
        assert_eq!(everything(&copy), everything(&*original));
    }
}

#[test]
fn checkpoints_go_on_while_a_backup_is_written() {
    let mut dice = Dice(Dice::seed());
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("state"));
    grow(&store, &mut dice, 30);
    let before = everything(&store);
    let snapshot = store.snapshot();
    let mut on = |_| {
        grow(&store, &mut dice, 2);
        ControlFlow::Continue(())
    };
    let made = backup::write(request(&store, &*snapshot, &name(), dir.path()), &mut on).unwrap();
    let copy = open(&dir.path().join("copy"));
    restore(&copy, &made.path).unwrap();
    assert!(everything(&copy) == before && everything(&store) != before);
}

/// A small backup, and where it lies.
fn small(dir: &Path) -> BackupFile {
    let store = MemoryStore::new();
    let mut dice = Dice(11);
    grow(&store, &mut dice, 3);
    let made = back_up(&store, dir).unwrap();
    assert!(made.counts.rows > 0 && made.counts.tombstones > 0 && made.counts.dead_letters > 0, "{made:?}");
    made
}

#[test]
fn a_byte_changed_lost_or_added_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let made = small(dir.path());
    let whole = fs::read(&made.path).unwrap();
    let broken = dir.path().join("broken");
    let refused = |bytes: &[u8], what: &str| {
        fs::write(&broken, bytes).unwrap();
        let error = backup::check(&broken, &name(), &mut unwatched()).map(|_| ()).unwrap_err();
        let expected = matches!(error, BackupError::Damaged { .. } | BackupError::NewerFormat { .. });
        assert!(expected, "{what}: {error}");
    };
    // Every byte up to the rows, and steps of seven after.
    let places = (0..whole.len()).filter(|at| *at < 600 || at % 7 == 0 || whole.len() - at < 100);
    for at in places {
        refused(&whole[..at], &format!("cut at {at}"));
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        refused(&flipped, &format!("flipped at {at}"));
    }
    refused(&[&whole[..], b"\0"].concat(), "longer by one");
    backup::check(&made.path, &name(), &mut unwatched()).unwrap();
}

/// Where each frame of a backup begins and ends.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut frames) = (20, Vec::new());
    while at < bytes.len() {
        let len = u32::from_le_bytes(bytes[at + 1..at + 5].try_into().unwrap()) as usize;
        frames.push(at..at + 5 + len + 16);
        at += 5 + len + 16;
    }
    frames
}

#[test]
fn frames_lost_exchanged_or_taken_from_another_backup_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |salt: u8| -> Vec<RowChange> {
        (0..6).map(|n| RowChange { key: format!("k{n}").into(), row: Some(vec![salt; 600_000].into()) }).collect()
    };
    let file = |salt: u8| {
        let store = MemoryStore::new();
        let generation = store.new_generation(&name()).unwrap();
        let batch = random_batch(&mut Dice(1), generation, Version(1 << 29));
        store.commit(&[CheckpointBatch { rows: rows(salt), ..batch }]).unwrap();
        fs::read(back_up(&store, &dir.path().join(salt.to_string())).unwrap().path).unwrap()
    };
    let (one, other) = (file(1), file(2));
    let cuts = frames(&one);
    assert!(cuts.len() > 6 && cuts == frames(&other), "{cuts:?}");
    let put_together = |order: &[(&[u8], usize)]| {
        let mut bytes = one[..20].to_vec();
        order.iter().for_each(|(from, frame)| bytes.extend_from_slice(&from[cuts[*frame].clone()]));
        let path = dir.path().join("together");
        fs::write(&path, bytes).unwrap();
        backup::check(&path, &name(), &mut unwatched())
    };
    let all: Vec<(&[u8], usize)> = (0..cuts.len()).map(|frame| (&one[..], frame)).collect();
    put_together(&all).unwrap();
    for at in 0..cuts.len() {
        let (mut lost, mut twice, mut foreign) = (all.clone(), all.clone(), all.clone());
        lost.remove(at);
        twice.insert(at, all[at]);
        foreign[at].0 = &other;
        for (what, order) in [("lost", lost), ("twice", twice)] {
            put_together(&order).map(|_| ()).expect_err(&format!("frame {at} {what}"));
        }
        if one[cuts[at].clone()] != other[cuts[at].clone()] {
            put_together(&foreign).map(|_| ()).expect_err(&format!("frame {at} of another"));
        }
        if at + 1 < cuts.len() {
            let mut exchanged = all.clone();
            exchanged.swap(at, at + 1);
            put_together(&exchanged).map(|_| ()).expect_err(&format!("frames {at} and {} exchanged", at + 1));
        }
    }
}

/// Copies a directory as a crash would leave it: what was written is there.
fn crash_copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash_copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// A backup of several frames with rows and letters.
fn large(dir: &Path) -> BackupFile {
    let store = MemoryStore::new();
    let generation = store.new_generation(&name()).unwrap();
    let mut dice = Dice(3);
    let batch = random_batch(&mut dice, generation, Version(1 << 29));
    let rows = (0..8).map(|n| RowChange { key: format!("k{n}").into(), row: Some(vec![n; 500_000].into()) }).collect();
    let dead_letters = (0..40).map(|_| random_letter(&mut dice)).collect();
    store.commit(&[CheckpointBatch { rows, dead_letters, ..batch }]).unwrap();
    back_up(&store, dir).unwrap()
}

#[test]
fn a_restore_cut_short_leaves_nothing_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path());
    let state = dir.path().join("state");
    let store = open(&state);
    let mut copies = Vec::new();
    let mut crash = |_| {
        let copy = dir.path().join(format!("copy{}", copies.len()));
        crash_copy(&state, &copy);
        copies.push(copy);
        ControlFlow::Continue(())
    };
    store.restore(&file, &mut crash).unwrap();
    let whole = everything(&store);
    assert!(copies.len() > 4);
    for copy in copies {
        let crashed = open(&copy);
        assert!(crashed.snapshot().projections().unwrap().is_empty());
        for generation in 1..4 {
            assert_eq!(rows(&*crashed.snapshot(), Generation(generation)), [""; 0]);
        }
        assert!(crashed.snapshot().dead_letters(&name(), 0, 9).unwrap().is_empty());
        assert_eq!(crashed.snapshot().last_backup(&name()).unwrap(), None);
        restore(&crashed, &file.path).unwrap();
        assert_eq!(everything(&crashed), whole);
    }
}

#[test]
fn a_restore_that_fails_leaves_nothing_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let file = large(dir.path());
    let good = fs::read(&file.path).unwrap();
    let store = open(&dir.path().join("state"));
    // Damaged only after it was checked, at its end and in the middle; and exchanged for a whole one.
    for at in [good.len() - 1, good.len() / 2] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file.path, bad).unwrap();
        let error = store.restore(&file, &mut unwatched()).unwrap_err();
        assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    }
    let other = small(&dir.path().join("other"));
    fs::copy(&other.path, &file.path).unwrap();
    let error = store.restore(&file, &mut unwatched()).unwrap_err();
    assert!(matches!(error, BackupError::Changed { .. }), "{error}");
    let error = store.restore(&other, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(error, BackupError::GivenUp), "{error}");

    assert_eq!(everything(&store), [""; 0]);
    for generation in 1..9 {
        assert_eq!(rows(&*store.snapshot(), Generation(generation)), [""; 0]);
    }
    fs::write(&file.path, good).unwrap();
    restore(&store, &file.path).unwrap();
    let error = restore(&store, &file.path).unwrap_err();
    assert!(error.to_string().contains("`projector drop orders`"), "{error}");
    store.drop_projection(&name()).unwrap();
    assert_eq!(store.snapshot().last_backup(&name()).unwrap(), None);
    restore(&store, &file.path).unwrap();
    assert_eq!(everything(&store).len() as u64, file.counts.rows + file.counts.dead_letters + 13);
}

fn listed(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_backup_that_is_given_up_or_fails_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = MemoryStore::new();
    let to = dir.path().join("a/b");
    let error = back_up(&store, &to).unwrap_err();
    assert_eq!(error.to_string(), "no projection `orders` has state here");
    assert!(!to.exists());
    grow(&store, &mut Dice(5), 2);
    let snapshot = store.snapshot();
    let given_up = backup::write(request(&store, &*snapshot, &name(), &to), &mut |_| ControlFlow::Break(()));
    assert!(matches!(given_up, Err(BackupError::GivenUp)));
    assert_eq!(listed(&to), [""; 0]);
    let version = snapshot.projection(&name()).unwrap().unwrap().version;
    back_up(&store, &to).unwrap();
    assert_eq!(listed(&to), [format!("orders-{version}.backup")]);
}

#[test]
fn only_a_copy_of_the_same_is_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let (store, other) = (MemoryStore::new(), open(&dir.path().join("state")));
    grow(&store, &mut Dice(5), 1);
    grow(&other, &mut Dice(6), 1);
    let to = dir.path().join("backups");
    let made = back_up(&store, &to).unwrap();
    back_up(&store, &to).unwrap();
    let error = back_up(&other, &to).unwrap_err();
    assert!(matches!(error, BackupError::Occupied { .. }), "{error}");
    assert_eq!(fs::read(&made.path).unwrap().len() as u64, made.counts.bytes);
    for occupied in [&b""[..], b"mine"] {
        fs::write(&made.path, occupied).unwrap();
        assert!(matches!(back_up(&store, &to), Err(BackupError::Occupied { .. })));
        assert_eq!(fs::read(&made.path).unwrap(), occupied);
    }
    fs::remove_file(&made.path).unwrap();
    fs::create_dir(&made.path).unwrap();
    assert!(matches!(back_up(&store, &to), Err(BackupError::Occupied { .. })));
}

#[test]
fn a_folder_means_its_newest_backup_of_the_projection() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("backups");
    let made = |seed: u64, projection: &str, time: i64, checkpoints: u64| -> PathBuf {
        let store = MemoryStore::new();
        grow(&store, &mut Dice(seed), checkpoints);
        let snapshot = store.snapshot();
        let state = snapshot.projection(&name()).unwrap().unwrap();
        // Under another name, in a store of its own.
        let named = MemoryStore::new();
        let generation = named.new_generation(&name()).unwrap();
        let batch = random_batch(&mut Dice(seed), generation, state.version);
        let projection = ProjectionName(projection.into());
        named.commit(&[CheckpointBatch { projection: projection.clone(), ..batch }]).unwrap();
        let snapshot = named.snapshot();
        let request = BackupRequest { now: EventTime(time), ..request(&named, &*snapshot, &projection, &to) };
        backup::write(request, &mut unwatched()).unwrap().path
    };
    fs::create_dir(&to).unwrap();
    let error = backup::find(&to, &name()).unwrap_err();
    assert!(matches!(error, BackupError::NoBackup { .. }), "{error}");
    let old = made(1, "orders", 10, 9);
    // After a drop versions begin anew: the time decides.
    let new = made(2, "orders", 20, 1);
    made(3, "orders_x", 30, 12);
    fs::write(to.join("orders-1.backup.new"), "half").unwrap();
    assert_eq!(backup::find(&to, &name()).unwrap(), new);
    assert_eq!(backup::find(&old, &name()).unwrap(), old);
    let error = backup::check(&new, &ProjectionName("orders_x".into()), &mut unwatched()).unwrap_err();
    assert!(matches!(error, BackupError::OtherProjection { .. }), "{error}");

    fs::write(to.join("orders-77.backup"), "").unwrap();
    let error = backup::find(&to, &name()).unwrap_err();
    assert!(error.to_string().contains("orders-77.backup is damaged"), "{error}");
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders-1.backup");
    fs::write(&path, b"projector backup\x02\0\0\0whatever comes").unwrap();
    let error = backup::check(&path, &name(), &mut unwatched()).unwrap_err();
    assert!(matches!(error, BackupError::NewerFormat { found: 2, known: 1, .. }), "{error}");
}

#[test]
fn a_mark_is_kept_until_the_projection_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let disk: Arc<dyn Store> = Arc::new(open(&dir.path().join("state")));
    for store in [memory, disk] {
        let mark = backup::BackupMark { made_at: EventTime(-3), version: Version(4) };
        store.note_backup(&name(), mark).unwrap();
        assert_eq!(store.snapshot().last_backup(&name()).unwrap(), None, "it is not known");
        grow(&*store, &mut Dice(5), 1);
        store.note_backup(&name(), mark).unwrap();
        assert_eq!(store.snapshot().last_backup(&name()).unwrap(), Some(mark));
        assert_eq!(store.snapshot().projections().unwrap(), [name()]);
        store.drop_projection(&name()).unwrap();
        assert_eq!(store.snapshot().last_backup(&name()).unwrap(), None);
    }
}

/// What a store holds of the projection, in words that do not change with the code.
fn written_out(store: &dyn Store) -> String {
    let snapshot = store.snapshot();
    let state = snapshot.projection(&name()).unwrap().unwrap();
    let counters = state.counters;
    let mut text = format!("version {} semantics {} {:?}\n", state.version, state.plan.semantics, state.plan.text);
    text += &format!("fold {} emit {}\n", state.plan.hashes.fold.0[0], state.plan.hashes.emit.0[0]);
    text += &format!("folded {} skipped {} set aside {}\n", counters.folded, counters.skipped, counters.dead_letters);
    for (partition, next) in &state.next_offsets {
        let last = next.last.map(|(offset, hash)| (offset.0, hash[0]));
        text += &format!("{partition} next {} time {:?} last {last:?}\n", next.offset, next.time.map(|time| time.0));
    }
    for (sink, record) in &state.sinks {
        text += &format!("{sink} settled {} target {:?}\n", record.settled, record.target.map(|target| target.0));
    }
    let mut each = |key: &str, row: StoredRow| {
        let hash = row.row.map(|row| blake3::hash(&row).to_hex());
        text += &format!("{key} {} {}\n", row.changed, hash.as_deref().unwrap_or("deleted"));
        ControlFlow::Continue(())
    };
    snapshot.rows(state.generation, "", None, &mut each).unwrap();
    for (number, letter) in snapshot.dead_letters(&name(), 0, usize::MAX).unwrap() {
        let (time, bytes) = (letter.time.map(|time| time.0), (letter.key, letter.value, letter.headers));
        text += &format!("{number} {}@{} {time:?} {bytes:?}", letter.partition, letter.offset);
        text += &format!(" {} {} {} {} {:?}\n", letter.to, letter.class, letter.code, letter.message, letter.at);
    }
    text
}

#[test]
fn the_first_format_is_read_for_ever() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/backup-1");
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let file = restore(&store, &fixtures.join("orders.backup")).unwrap();
    assert_eq!(written_out(&store), fs::read_to_string(fixtures.join("orders.txt")).unwrap());
    assert_eq!(file.head.mark.made_at, NOW);
}
