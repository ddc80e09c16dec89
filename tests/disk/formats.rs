//! Directories that earlier releases wrote: each opens, holds what is written beside it as text, and goes on.
//!
//! `tests/fixtures/format-N` was written by the first release of that format and is kept as it is. In it lie a program, a log
//! in two parts, the state of a run over the first part that was stopped and of one that was killed, and what the documents
//! are after each part. `PROJECTOR_FIXTURES=format-N cargo test formats` writes a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::copies::copy_in_some_order;
use crate::recovery::fold::fold;
use crate::recovery::kill::Feed;
use crate::recovery::ledger;
use crate::recovery::log::LogWriter;
use crate::recovery::random::Random;
use crate::recovery::story::{ACCOUNTS, Told, VISITS, tell};
use crate::site::{Site, World};

const RECORDS: usize = 300;
const LATER: usize = 60;

#[test]
fn directories_of_released_formats_open_and_go_on() {
    if let Ok(name) = std::env::var("PROJECTOR_FIXTURES") {
        make(&fixtures().join(name));
    }
    let mut formats = 0;
    for entry in fs::read_dir(fixtures()).expect("fixtures") {
        let fixture = entry.expect("readable").path();
        if fixture.join("ledger.proj").exists() {
            formats += 1;
            for ending in ["stopped", "killed"] {
                open_and_go_on(&fixture, ending);
            }
        }
    }
    assert!(formats >= 1, "no fixture of the first format");
}

fn open_and_go_on(fixture: &Path, ending: &str) {
    let what = format!("{} of {}", ending, fixture.display());
    let dir = tempfile::tempdir().expect("a folder");
    let mut random = Random::new(1);
    copy_in_some_order(&fixture.join(ending), &dir.path().join("state"), &mut random);
    copy_in_some_order(&fixture.join("events"), &dir.path().join("events"), &mut random);
    let site = site(dir.path(), &fixture.join("ledger.proj"));
    assert_eq!(progress(&site), read(&fixture.join("progress.txt")), "what {what} has passed");
    site.catch_up();
    assert_eq!(text(&site.documents(ledger::SINKS)), read(&fixture.join("documents.txt")), "{what}");
    copy_in_some_order(&fixture.join("events-later"), &dir.path().join("events"), &mut random);
    site.catch_up();
    assert_eq!(text(&site.documents(ledger::SINKS)), read(&fixture.join("documents-later.txt")), "{what}, later");
}

fn make(fixture: &Path) {
    for part in ["stopped", "killed", "events", "events-later"] {
        let _ = fs::remove_dir_all(fixture.join(part));
    }
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(fixture).expect("a folder");
    fs::copy(ledger::file(), fixture.join("ledger.proj")).expect("a copy");
    let (story, mut random) = (tell(1, RECORDS + LATER), Random::new(1));
    let (first, later) = story.split_at(RECORDS);
    let mut log = LogWriter::new(&dir.path().join("events"), 2, &[ACCOUNTS, VISITS]);
    let site = site(dir.path(), &fixture.join("ledger.proj"));
    // In pieces, so that there are several checkpoints and starts.
    for piece in first.chunks(RECORDS / 3) {
        tell_all(&mut log, piece, &mut random);
        site.catch_up();
    }
    let keep = |name: &str, random: &mut Random| {
        copy_in_some_order(&dir.path().join("state"), &fixture.join(name), random);
        shorten_journals(&fixture.join(name));
    };
    keep("stopped", &mut random);
    let mut running = site.run();
    let is_done = |name| site.progress(name).is_some_and(|progress| progress.is_done());
    site.wait_until("done", &mut running, || ["balances", "activity", "pages"].into_iter().all(is_done));
    running.kill();
    keep("killed", &mut random);
    copy_in_some_order(&dir.path().join("events"), &fixture.join("events"), &mut random);
    fs::write(fixture.join("progress.txt"), progress(&site)).expect("a text");
    fs::write(fixture.join("documents.txt"), text(&fold(first))).expect("a text");
    tell_all(&mut log, later, &mut random);
    copy_in_some_order(&dir.path().join("events"), &fixture.join("events-later"), &mut random);
    fs::write(fixture.join("documents-later.txt"), text(&fold(&story))).expect("a text");
}

fn tell_all(log: &mut LogWriter, story: &[Told], random: &mut Random) {
    log.append(story, random);
    log.finish();
}

fn site(dir: &Path, program: &Path) -> Site {
    let events = dir.join("events");
    Site::new(dir, program, &format!("kind = \"log\"\npath = {events:?}\n"))
}

/// How many records each projection has passed, as its state at rest says.
fn progress(site: &Site) -> String {
    let at_rest = site.at_rest();
    at_rest.iter().map(|(name, progress)| format!("{name} {} {:?}\n", progress.passed(), progress.events)).collect()
}

/// Documents, one a line, as a fixture keeps them.
fn text(world: &World) -> String {
    let mut lines = BTreeMap::new();
    for ((projection, sink), documents) in world {
        for (key, document) in documents {
            lines.insert((projection, sink, key), document);
        }
    }
    lines
        .iter()
        .map(|((projection, sink, key), document)| format!("{projection}/{sink} {key:?} {document}\n"))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A journal is made with 64 MiB of zeros; the database reads it without them just as well.
fn shorten_journals(dir: &Path) {
    for entry in fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            shorten_journals(&entry);
        } else if entry.extension().is_some_and(|extension| extension == "jnl") {
            let bytes = fs::read(&entry).expect("readable");
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            fs::write(&entry, &bytes[..used]).expect("a shorter journal");
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
