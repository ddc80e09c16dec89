//! SIGKILL at random moments, over a log that grows, changes no document.

use std::time::Duration;

use super::fold::fold;
use super::log::LogWriter;
use super::random::{Random, seed};
use super::story::{ACCOUNTS, VISITS, tell};
use crate::site::{Site, assert_same};

const LEDGER: &str = "tests/recovery/ledger.proj";
const KILLS: usize = 32;
const RECORDS: usize = 6000;

#[test]
fn sigkill_at_random_moments_changes_no_document() {
    let seed = seed("sigkill_at_random_moments_changes_no_document");
    let mut random = Random::new(seed);
    let story = tell(seed, RECORDS);
    let dir = tempfile::tempdir().expect("a folder");
    let mut log = LogWriter::new(&dir.path().join("events"), 3, &[ACCOUNTS, VISITS]);
    let source = format!("kind = \"log\"\npath = {:?}\n", log.dir());

    let disturbed = Site::new(&dir.path().join("disturbed"), LEDGER, &source);
    for part in story.chunks(RECORDS.div_ceil(KILLS)) {
        let (before, during) = part.split_at(random.below(part.len()));
        log.append(before, &mut random);
        let mut running = disturbed.run();
        if random.one_in(2) {
            disturbed.wait_until("answering", &mut running, || disturbed.get("/healthz").is_some());
        }
        for piece in during.chunks(20) {
            log.append(piece, &mut random);
            // The moment of the kill is what is random here: this waits for nothing.
            std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        }
        running.kill();
    }
    log.finish();
    disturbed.catch_up();

    let undisturbed = Site::new(&dir.path().join("undisturbed"), LEDGER, &source);
    undisturbed.catch_up();

    let expected = fold(&story);
    assert!(expected.values().all(|documents| documents.len() >= 10), "the story is too short to show anything");
    let sinks = || expected.keys().copied();
    assert_same(&expected, &undisturbed.documents(sinks()), "undisturbed");
    assert_same(&expected, &disturbed.documents(sinks()), "after the kills");
}
