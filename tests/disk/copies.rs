//! Directories on their own: what a run writes, copied while it runs or when it has stopped, with files older and newer than
//! one another. A copy is refused, or opens as a whole checkpoint and ends with exactly the right documents.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::failing::{Scene, site};
use crate::recovery::fold::fold;
use crate::recovery::ledger;
use crate::recovery::random::Random;
use crate::site::{Site, assert_same};

const RECORDS: usize = 2000;
const COPIES: usize = 12;

#[test]
fn a_directory_copied_while_the_engine_runs_opens_whole_or_not_at_all() {
    let mut scene = Scene::new("a_directory_copied_while_the_engine_runs_opens_whole_or_not_at_all", RECORDS);
    let mut running = scene.site.run();
    let mut copies = Vec::new();
    for number in 0..COPIES {
        scene.tell_on(RECORDS / 8);
        // The copy goes on while the engine does; how far it is then is chance.
        let copy = scene.site.dir().join(format!("copy-{number}"));
        copy_in_some_order(scene.disk.state(), &copy.join("state"), &mut scene.random);
        copies.push(copy);
    }
    assert!(running.ended().is_none(), "{}", scene.site.stderr());
    drop(running);
    let expected = fold(&scene.story);
    let mut opened = 0;
    for copy in copies {
        let site = site(&copy, &scene.events());
        let (status, said) = site.try_to_catch_up();
        if status.success() {
            opened += 1;
            assert_same(&expected, &site.documents(ledger::SINKS), &format!("on {}", copy.display()));
        } else {
            assert!(said.contains("is damaged") && said.contains(copy.to_str().expect("plain text")), "{said}");
        }
    }
    println!("{opened} of {COPIES} copies opened");
    scene.end_well("the original, after it was copied");
}

#[test]
fn clones_that_write_to_one_place_take_turns_and_end_well() {
    let mut scene = Scene::new("clones_that_write_to_one_place_take_turns_and_end_well", RECORDS);
    let documents = scene.site.dir().join("documents");
    share(&scene.site, &documents);
    scene.site.catch_up();
    let clone = site(&scene.site.dir().join("clone"), &scene.events());
    share(&clone, &documents);
    copy_in_some_order(scene.disk.state(), &clone.dir().join("state"), &mut scene.random);

    let mut running = scene.site.run();
    scene.site.wait_until("ready", &mut running, || scene.site.get("/readyz").is_some());
    let (status, said) = clone.try_to_catch_up();
    assert!(!status.success(), "two processes wrote to one place");
    assert!(said.contains("another process") && said.contains(documents.to_str().expect("plain text")), "{said}");
    drop(running);

    for round in 0..4 {
        scene.tell_on(RECORDS / 8);
        for (who, site) in [("the clone", &clone), ("the original", &scene.site)] {
            // Sometimes it stays behind, and what it has is older than what the other has written.
            if scene.random.one_in(3) {
                continue;
            }
            site.catch_up();
            assert_same(&fold(&scene.story), &site.documents(ledger::SINKS), &format!("{who} in round {round}"));
        }
    }
    clone.catch_up();
    assert_same(&fold(&scene.story), &clone.documents(ledger::SINKS), "the clone at the end");
}

/// Lets the documents of a site lie in a directory of their own.
fn share(site: &Site, documents: &Path) {
    let path = site.dir().join("projector.toml");
    let config = fs::read_to_string(&path).expect("a configuration");
    let shared = config.replace("kind = \"embedded\"", &format!("kind = \"embedded\"\npath = {documents:?}"));
    fs::write(&path, shared).expect("a configuration");
}

/// Copies a directory as `cp -r` does, file after file, but in an order of its own.
pub fn copy_in_some_order(from: &Path, to: &Path, random: &mut Random) {
    fs::create_dir_all(to).expect("a folder for a copy");
    let Ok(entries) = fs::read_dir(from) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    while !paths.is_empty() {
        let path = paths.swap_remove(random.below(paths.len()));
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_in_some_order(&path, &target, random);
        } else if let Ok(bytes) = fs::read(&path) {
            write_sparse(&target, &bytes);
        }
    }
}

/// Writes a file of the same size and content, with a hole in place of the zeros at its end.
fn write_sparse(path: &Path, bytes: &[u8]) {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let file = fs::File::create(path).expect("a file of a copy");
    file.write_all_at(&bytes[..used], 0).expect("room for a copy");
    file.set_len(bytes.len() as u64).expect("a size");
}

/// Runs a site whose state is a copy of `state`, with one bit of one of its files turned.
pub fn turn_a_bit(state: &Path, site: &Site, file: &Path, bit: usize, random: &mut Random) {
    let copy = site.dir().join("state");
    let _ = fs::remove_dir_all(&copy);
    copy_in_some_order(state, &copy, random);
    let path = copy.join(file);
    let mut bytes = fs::read(&path).expect("a file of a copy");
    bytes[bit / 8] ^= 1 << (bit % 8);
    write_sparse(&path, &bytes);
}
