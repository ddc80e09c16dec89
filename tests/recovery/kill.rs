//! SIGKILL at random moments, over a log that grows, changes no document.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::fold::fold;
use super::kafka::KafkaWriter;
use super::ledger;
use super::log::LogWriter;
use super::random::{Random, seed};
use super::story::{ACCOUNTS, Told, VISITS, tell};
use crate::services;
use crate::site::{Progress, Site, assert_same};

const KILLS: usize = 32;
const RECORDS: usize = 6000;
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
}

#[test]
fn sigkill_at_random_moments_changes_no_document() {
    let seed = seed("sigkill_at_random_moments_changes_no_document");
    let dir = tempfile::tempdir().expect("a folder");
    let events = dir.path().join("events");
    let source = format!("kind = \"log\"\npath = {events:?}\n");
    let scene = Scene { dir: dir.path(), file: &ledger::file(), source: &source };
    kill_and_compare(seed, scene, &mut LogWriter::new(&events, PARTITIONS, &[ACCOUNTS, VISITS]));
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
    kill_and_compare(seed, Scene { dir: dir.path(), file: &file, source: &source }, &mut writer);
}

fn kill_and_compare(seed: u64, scene: Scene<'_>, feed: &mut dyn Feed) {
    let mut random = Random::new(seed);
    let story = tell(seed, RECORDS);
    let disturbed = Site::new(&scene.dir.join("disturbed"), scene.file, scene.source);
    let (mut told, mut in_the_middle) = (0, 0);
    for part in story.chunks(RECORDS.div_ceil(KILLS)) {
        let before_the_run = passed(&disturbed);
        let (before, during) = part.split_at(random.below(part.len()));
        feed.append(before, &mut random);
        let mut running = disturbed.run();
        if !random.one_in(4) && before.iter().any(|told| told.topic == ACCOUNTS) {
            feed.finish();
            let passes_more = || disturbed.progress("balances").is_some_and(|now| now.passed() > before_the_run);
            disturbed.wait_until("past a checkpoint", &mut running, passes_more);
        }
        for piece in during.chunks(20) {
            // The moment of the kill is what is random here: this waits for nothing.
            std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
            feed.append(piece, &mut random);
        }
        running.kill();
        told += part.iter().filter(|told| told.topic == ACCOUNTS).count() as u64;
        in_the_middle += usize::from((before_the_run + 1..told).contains(&passed(&disturbed)));
    }
    println!("{in_the_middle} of {KILLS} kills came after a checkpoint and before the end of the log");
    assert!(in_the_middle >= KILLS / 4, "too few kills interrupted anything: the pauses do not fit this machine");
    feed.finish();
    disturbed.catch_up();

    let undisturbed = Site::new(&scene.dir.join("undisturbed"), scene.file, scene.source);
    undisturbed.catch_up();

    let counts = |site: &Site| site.at_rest().into_iter().map(|(name, at_rest)| (name, at_rest.events)).collect();
    let (found, straight): (BTreeMap<_, _>, BTreeMap<_, _>) = (counts(&disturbed), counts(&undisturbed));
    assert_eq!(straight, found, "every event is counted once");

    let expected = fold(&story);
    assert!(expected.values().all(|documents| documents.len() >= 10), "the story is too short to show anything");
    assert_same(&expected, &undisturbed.documents(ledger::SINKS), "undisturbed");
    assert_same(&expected, &disturbed.documents(ledger::SINKS), "after the kills");
}

/// How many records of the accounts the projection of balances has passed for good.
fn passed(site: &Site) -> u64 {
    site.at_rest().get("balances").map_or(0, Progress::passed)
}
