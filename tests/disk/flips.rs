//! One bit that flips, in any file of a directory that was closed or whose engine was killed: refused, with a message that
//! names the directory and what to do, or everything is exactly there. Never a wrong document.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::copies::{copy_in_some_order, turn_a_bit};
use super::failing::{Scene, site};
use crate::recovery::fold::fold;
use crate::recovery::ledger;
use crate::site::assert_same;

const RECORDS: usize = 1200;
/// Per directory; `PROJECTOR_FLIPS` asks for another number.
const FLIPS: usize = 48;
/// How often the advice to remove a directory is taken.
const ADVICE_TAKEN_ONE_IN: usize = 8;

#[test]
fn a_flipped_bit_never_makes_a_wrong_document() {
    let mut scene = Scene::new("a_flipped_bit_never_makes_a_wrong_document", RECORDS);
    let flips =
        std::env::var("PROJECTOR_FLIPS").map_or(FLIPS, |flips| flips.parse().expect("PROJECTOR_FLIPS is a number"));
    scene.site.catch_up();
    let (killed, closed) = (scene.site.dir().join("killed"), scene.site.dir().join("closed"));
    copy_in_some_order(scene.disk.state(), &closed, &mut scene.random);
    scene.tell_on(RECORDS / 2);
    let mut running = scene.site.run();
    scene.site.wait_until("past a checkpoint", &mut running, || {
        scene.site.progress("balances").is_some_and(|progress| progress.is_done())
    });
    running.kill();
    copy_in_some_order(scene.disk.state(), &killed, &mut scene.random);

    let expected = fold(&scene.story);
    let site = site(&scene.site.dir().join("flipped"), &scene.events());
    let (mut refused, mut exact): (BTreeMap<PathBuf, usize>, BTreeMap<PathBuf, usize>) = Default::default();
    for state in [&closed, &killed] {
        let files = files(state);
        for _ in 0..flips {
            // Half of them in journals: there is most of what was written.
            let is_journal = |file: &&PathBuf| file.extension().is_some_and(|extension| extension == "jnl");
            let journals: Vec<&PathBuf> = files.iter().filter(is_journal).collect();
            let file = if scene.random.one_in(2) {
                journals[scene.random.below(journals.len())]
            } else {
                scene.random.pick(&files)
            };
            let file = file.clone();
            let bytes = fs::read(state.join(&file)).expect("a file of the state");
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1).min(bytes.len());
            if used == 0 {
                continue;
            }
            let bit = scene.random.below(8 * used);
            turn_a_bit(state, &site, &file, bit, &mut scene.random);
            let (status, said) = site.try_to_catch_up();
            if status.success() {
                let what = format!("with bit {bit} of {} flipped", file.display());
                assert_same(&expected, &site.documents(ledger::SINKS), &what);
                *exact.entry(file).or_default() += 1;
            } else {
                let damaged = read_advice(&said, &site.dir().join("state"));
                *refused.entry(file).or_default() += 1;
                if let Some(damaged) = damaged.filter(|_| scene.random.one_in(ADVICE_TAKEN_ONE_IN)) {
                    fs::remove_dir_all(&damaged).expect("the directory that was named");
                    site.catch_up();
                    let what = format!("built anew after {} was damaged", damaged.display());
                    assert_same(&expected, &site.documents(ledger::SINKS), &what);
                }
            }
        }
    }
    println!("refused: {refused:#?}\nexact: {exact:#?}");
    assert!(refused.values().sum::<usize>() > flips / 4, "too few flips were noticed to show anything");
}

/// The directory that a message names and asks to remove, if it does.
fn read_advice(said: &str, state: &Path) -> Option<PathBuf> {
    let line = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error in:\n{said}"));
    assert!(line.contains(state.to_str().expect("plain text")), "{line}");
    if line.contains("use the release that wrote it") {
        return None;
    }
    assert!(line.contains("restore it from a backup, or remove it"), "{line}");
    let (_, named) = line.split_once("the directory ").expect("a directory");
    Some(named.split_once(" is damaged").expect("what is the matter").0.into())
}

/// Every file below a directory, from there.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("readable").map(|entry| entry.expect("readable").path()) {
            if entry.is_dir() {
                open.push(entry);
            } else {
                found.push(entry.strip_prefix(dir).expect("below it").to_owned());
            }
        }
    }
    found.sort();
    found
}
