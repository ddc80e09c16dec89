//! A disk that is full, read-only or slow, that fails a sync or is cut off in the middle of a write: the engine says where
//! and what to do, and once the disk is well again a run ends with exactly the right documents.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Disk;
use crate::recovery::fold::fold;
use crate::recovery::kill::Feed;
use crate::recovery::ledger;
use crate::recovery::log::LogWriter;
use crate::recovery::random::{Random, seed};
use crate::recovery::story::{ACCOUNTS, Told, VISITS, tell};
use crate::site::{PATIENCE, Progress, Site, assert_same};

const RECORDS: usize = 2000;
const PROJECTIONS: [&str; 3] = ["balances", "activity", "pages"];

/// A site over a log that a story is told to.
pub struct Scene {
    pub site: Site,
    pub disk: Disk,
    pub story: Vec<Told>,
    pub random: Random,
    log: LogWriter,
    dir: tempfile::TempDir,
}

impl Scene {
    /// Tells a story of `records`; nothing has run yet.
    pub fn new(test: &str, records: usize) -> Scene {
        let dir = tempfile::tempdir().expect("a folder");
        let seed = seed(test);
        let story = tell(seed, records);
        let site = site(&dir.path().join("site"), &dir.path().join("events"));
        let mut log = LogWriter::new(&dir.path().join("events"), 3, &[ACCOUNTS, VISITS]);
        let mut random = Random::new(seed);
        log.append(&story, &mut random);
        log.finish();
        Scene { disk: Disk::of(&site), site, story, random, log, dir }
    }

    /// Where the log lies.
    pub fn events(&self) -> PathBuf {
        self.dir.path().join("events")
    }

    /// Tells more of it.
    pub fn tell_on(&mut self, records: usize) {
        let more = tell(self.random.next(), records);
        self.log.append(&more, &mut self.random);
        self.log.finish();
        self.story.extend(more);
    }

    /// Runs until the engine is in trouble, or nothing is left to do; says what the trouble is.
    pub fn run_into_it(&self) -> Option<String> {
        let mut running = self.site.run();
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.ended() {
                assert!(!status.success(), "a run ended well without being asked");
                return Some(self.site.stderr());
            }
            let progress: Vec<_> = PROJECTIONS.iter().filter_map(|name| self.site.progress(name)).collect();
            if let Some(trouble) = progress.iter().find_map(Progress::trouble) {
                return Some(trouble.to_owned());
            }
            if progress.len() == PROJECTIONS.len() && progress.iter().all(Progress::is_done) {
                return None;
            }
            assert!(Instant::now() < give_up, "neither done nor in trouble: {progress:?}; {}", self.site.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs to the end of the log, over a disk without faults, and compares all documents.
    pub fn end_well(&mut self, what: &str) {
        self.disk.mend(&mut self.site);
        self.site.catch_up();
        assert_same(&fold(&self.story), &self.site.documents(ledger::SINKS), what);
    }
}

/// A site whose log lies in `events`.
pub fn site(dir: &Path, events: &Path) -> Site {
    Site::new(dir, &ledger::file(), &format!("kind = \"log\"\npath = {events:?}\n"))
}

#[test]
fn a_full_disk_is_named_and_leaves_no_wrong_document() {
    let mut scene = Scene::new("a_full_disk_is_named_and_leaves_no_wrong_document", RECORDS);
    let mut met = 0;
    // From the first byte of the directory to the last of the documents.
    for step in 0..16 {
        let bytes = if step < 4 { 1 << (4 * step) } else { scene.random.below(60_000) };
        scene.disk.fail(&mut scene.site, &format!("full={bytes}"));
        if let Some(said) = scene.run_into_it() {
            met += 1;
            assert_advice(&scene, &said, "No space left on device", "make room there");
        }
        if step % 4 == 3 {
            scene.end_well(&format!("after a disk that was full at {bytes} bytes"));
        }
        scene.tell_on(RECORDS / 4);
    }
    assert!(met >= 8, "the disk was full {met} times only");
}

#[test]
fn a_read_only_directory_is_named() {
    let mut scene = Scene::new("a_read_only_directory_is_named", RECORDS);
    for what in ["a first start", "a later start"] {
        scene.disk.fail(&mut scene.site, "read_only");
        let (status, said) = scene.site.try_to_catch_up();
        assert!(!status.success(), "{what}: {said}");
        assert_advice(&scene, &said, "Read-only file system", "make it writable");
        scene.end_well(what);
        scene.tell_on(RECORDS / 4);
    }
}

#[test]
fn a_slow_sync_slows_and_changes_nothing() {
    let mut scene = Scene::new("a_slow_sync_slows_and_changes_nothing", RECORDS);
    scene.site.catch_up();
    scene.tell_on(RECORDS / 2);
    scene.disk.fail(&mut scene.site, "slow_sync=40");
    scene.site.catch_up();
    scene.end_well("after slow syncs");
}

#[test]
fn a_failed_sync_stops_the_engine_and_is_not_believed_later() {
    let mut scene = Scene::new("a_failed_sync_stops_the_engine_and_is_not_believed_later", RECORDS);
    let mut met = 0;
    for round in 0..12 {
        // The first run makes the directories; later ones sync less.
        let number = if round == 0 { 1 + scene.random.below(150) } else { 1 + scene.random.below(12) };
        scene.disk.fail(&mut scene.site, &format!("fail_sync={number}"));
        scene.disk.watch(&mut scene.site);
        if let Some(said) = scene.run_into_it() {
            met += 1;
            assert_advice(&scene, &said, "Input/output error", "look after the disk");
        }
        // What the failed sync should have made durable is in memory still, and this run finds it there.
        scene.site.environment().remove("FAULTS");
        scene.site.catch_up();
        scene.disk.cut_power(&mut scene.random);
        let told = scene.story.iter().filter(|told| told.topic == ACCOUNTS).count() as u64;
        let passed = scene.site.at_rest().get("balances").map(Progress::passed);
        assert_eq!(passed, Some(told), "what was synced in round {round} is lost");
        scene.end_well(&format!("round {round}, after sync {number} had failed"));
        scene.tell_on(RECORDS / 20);
    }
    assert!(met >= 6, "a sync failed {met} times only");
}

#[test]
fn a_torn_last_write_is_dropped_or_was_never_promised() {
    let mut scene = Scene::new("a_torn_last_write_is_dropped_or_was_never_promised", RECORDS);
    for round in 0..24 {
        let bytes = if round % 2 == 0 { scene.random.below(4096) } else { scene.random.below(100_000) };
        scene.disk.fail(&mut scene.site, &format!("tear={bytes}"));
        scene.site.try_to_catch_up();
        if round % 4 == 3 {
            scene.end_well(&format!("after a write torn at byte {bytes}"));
        }
        scene.tell_on(RECORDS / 20);
    }
    scene.end_well("at the end");
}

/// A message names the directory, the reason, and what to do.
pub fn assert_advice(scene: &Scene, said: &str, reason: &str, advice: &str) {
    let said = said.lines().rev().find(|line| line.starts_with("error: ")).unwrap_or(said);
    for part in [scene.disk.state().to_str().expect("plain text"), reason, advice] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
}
