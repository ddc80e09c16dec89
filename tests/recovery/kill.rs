//! SIGKILL at random moments, over a log that grows, changes no document; nor does a power cut that takes back what was not
//! synced.
//!
//! For long: `PROJECTOR_KILLS=1000 cargo test --release --test main recovery::kill -- --nocapture`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::fold::fold;
use super::kafka::KafkaWriter;
use super::ledger;
use super::log::LogWriter;
use super::random::{Random, seed};
use super::story::{ACCOUNTS, Told, VISITS, tell};
use crate::disk::Disk;
use crate::services;
use crate::site::{Progress, Running, Site, assert_same};

/// How many kills an ordinary test makes; `PROJECTOR_KILLS` asks for another number.
const KILLS: usize = 32;
/// How many records are told between two kills: many where kills are few.
const RECORDS: usize = 6000;
const RECORDS_A_KILL_MIN: usize = 24;
/// After so many kills the documents are compared, and at the end.
const COMPARED_EVERY: usize = 100;
const PARTITIONS: u32 = 3;

/// A log that a story is told to.
pub trait Feed {
    /// Appends records, perhaps not the whole of the last one.
    fn append(&mut self, story: &[Told], random: &mut Random);

    /// Returns when everything appended so far can be read.
    fn finish(&mut self);
}

/// Where the binary reads, and what.
struct Scene<'a> {
    dir: &'a Path,
    file: &'a Path,
    /// The lines of its source connection.
    source: &'a str,
    /// Whether the disk forgets what was not synced.
    cuts_power: bool,
}

#[test]
fn sigkill_at_random_moments_changes_no_document() {
    let seed = seed("sigkill_at_random_moments_changes_no_document");
    kill_over_a_log(seed, false);
}

#[test]
fn power_cuts_at_random_moments_change_no_document() {
    let seed = seed("power_cuts_at_random_moments_change_no_document");
    kill_over_a_log(seed, true);
}

#[test]
fn sigkill_while_reading_kafka_changes_no_document() {
    let Some(broker) = services::kafka() else { return };
    let seed = seed("sigkill_while_reading_kafka_changes_no_document");
    let dir = tempfile::tempdir().expect("a folder");
    let mut writer = KafkaWriter::new(broker, PARTITIONS, &[ACCOUNTS, VISITS]);
    let file = dir.path().join("ledger.proj");
    fs::write(&file, writer.rename(&fs::read_to_string(ledger::file()).expect("a text"))).expect("a file");
    let source = format!("kind = \"kafka\"\nbrokers = \"{}\"\ngroup = \"kills-{seed}\"\n", broker.bootstrap);
    kill_and_compare(seed, Scene { dir: dir.path(), file: &file, source: &source, cuts_power: false }, &mut writer);
}

fn kill_over_a_log(seed: u64, cuts_power: bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let events = dir.path().join("events");
    let source = format!("kind = \"log\"\npath = {events:?}\n");
    let scene = Scene { dir: dir.path(), file: &ledger::file(), source: &source, cuts_power };
    kill_and_compare(seed, scene, &mut LogWriter::new(&events, PARTITIONS, &[ACCOUNTS, VISITS]));
}

fn kill_and_compare(seed: u64, scene: Scene<'_>, feed: &mut dyn Feed) {
    let began = Instant::now();
    let kills =
        std::env::var("PROJECTOR_KILLS").map_or(KILLS, |kills| kills.parse().expect("PROJECTOR_KILLS is a number"));
    let records_a_kill = RECORDS.div_ceil(kills).max(RECORDS_A_KILL_MIN);
    let story = tell(seed, records_a_kill * kills);
    let mut killer = Killer::new(seed, &scene);
    for (number, part) in (1..).zip(story.chunks(records_a_kill)) {
        killer.run_and_kill(part, feed);
        if number % COMPARED_EVERY == 0 && number < kills {
            feed.finish();
            killer.site.catch_up();
            let expected = fold(&story[..number * records_a_kill]);
            assert_same(&expected, &killer.site.documents(ledger::SINKS), &format!("after {number} kills"));
        }
    }
    println!("{}, {:.1} kills a second", killer.summary(), kills as f64 / began.elapsed().as_secs_f64());
    assert!(
        killer.in_the_middle >= kills / 4,
        "too few kills interrupted anything: the pauses do not fit this machine"
    );
    feed.finish();
    killer.site.catch_up();
    compare_at_the_end(&scene, &killer.site, &story);
}

fn compare_at_the_end(scene: &Scene<'_>, disturbed: &Site, story: &[Told]) {
    let undisturbed = Site::new(&scene.dir.join("undisturbed"), scene.file, scene.source);
    undisturbed.catch_up();

    let counts = |site: &Site| site.at_rest().into_iter().map(|(name, at_rest)| (name, at_rest.events)).collect();
    let (found, straight): (BTreeMap<_, _>, BTreeMap<_, _>) = (counts(disturbed), counts(&undisturbed));
    assert_eq!(straight, found, "every event is counted once");

    let expected = fold(story);
    assert!(expected.values().all(|documents| documents.len() >= 10), "the story is too short to show anything");
    assert_same(&expected, &undisturbed.documents(ledger::SINKS), "undisturbed");
    assert_same(&expected, &disturbed.documents(ledger::SINKS), "after the kills");
}

/// A site whose runs are killed, and what is known of it.
struct Killer {
    random: Random,
    site: Site,
    /// The disk that loses power with each kill.
    disk: Option<Disk>,
    /// How many records of the accounts were told, and how many of them it has passed for good.
    told: u64,
    passed: u64,
    kills: usize,
    /// Kills after a checkpoint and before the end of the log.
    in_the_middle: usize,
    /// Kills after which the disk had lost something.
    with_loss: usize,
}

impl Killer {
    fn new(seed: u64, scene: &Scene<'_>) -> Killer {
        let mut site = Site::new(&scene.dir.join("disturbed"), scene.file, scene.source);
        let disk = scene.cuts_power.then(|| Disk::of(&site));
        if let Some(disk) = &disk {
            disk.watch(&mut site);
        }
        let random = Random::new(seed);
        Killer { random, site, disk, told: 0, passed: 0, kills: 0, in_the_middle: 0, with_loss: 0 }
    }

    /// Tells a part of the story, some of it before a run and some while it runs, and kills the run.
    fn run_and_kill(&mut self, part: &[Told], feed: &mut dyn Feed) {
        let (before, during) = part.split_at(self.random.below(part.len()));
        feed.append(before, &mut self.random);
        let mut running = self.site.run();
        let mut seen = 0;
        if !self.random.one_in(4) && before.iter().any(|told| told.topic == ACCOUNTS) {
            feed.finish();
            seen = self.wait_for_a_checkpoint(&mut running);
        }
        for piece in during.chunks(20) {
            // The moment of the kill is what is random here: this waits for nothing.
            std::thread::sleep(Duration::from_micros(self.random.below(20_000) as u64));
            feed.append(piece, &mut self.random);
        }
        running.kill();
        if let Some(disk) = &self.disk {
            let lost = disk.cut_power(&mut self.random);
            self.with_loss += usize::from(lost.sectors + lost.names > 0);
        }
        self.told += part.iter().filter(|told| told.topic == ACCOUNTS).count() as u64;
        let passed = self.site.at_rest().get("balances").map_or(0, Progress::passed);
        assert!(passed >= seen, "{seen} records were said to be passed, and after the kill {passed} are");
        self.in_the_middle += usize::from((self.passed + 1..self.told).contains(&passed));
        self.passed = passed;
        self.kills += 1;
    }

    /// Waits until a run has passed more than the one before; returns how much.
    fn wait_for_a_checkpoint(&self, running: &mut Running) -> u64 {
        let passed = || self.site.progress("balances").map_or(0, |now| now.passed());
        self.site.wait_until("past a checkpoint", running, || passed() > self.passed);
        passed()
    }

    fn summary(&self) -> String {
        let losses = self.disk.as_ref().map(|_| format!(", after {} the disk had lost something", self.with_loss));
        let (kills, in_the_middle) = (self.kills, self.in_the_middle);
        let losses = losses.unwrap_or_default();
        format!("{in_the_middle} of {kills} kills came after a checkpoint and before the end of the log{losses}")
    }
}
