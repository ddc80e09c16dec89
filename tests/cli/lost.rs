//! State without its documents, documents without their state: deleted between two runs, and while one is away.
//!
//! Whatever is gone, the end is what the log says: every document is there again, none is there that the log no longer
//! makes, and no version is below one that was seen before.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::{CONFIG, Project, Running};

/// A document goes when its account is closed.
const ACCOUNTS: &str = r#"
event Paid   { account: string, amount: decimal }
event Closed { account: string }

topic transactions = "transactions" { type: field("type"), events: Paid, Closed, keyed_by: .account }

projection totals {
  from transactions
  key account = .account
  state { total: decimal = 0 }
  on Paid { total += .amount }
  on Closed { delete }
  into cosmos { container: "Totals", name: "first" }
  into elasticsearch when total > 5 { index: "totals", name: "second" }
}
"#;

const SINKS: [&str; 2] = ["first", "second"];

/// The documents lie beside the state, so that either can be lost alone.
fn project() -> Project {
    let config = CONFIG.replace("kind = \"embedded\"", "kind = \"embedded\"\npath = \"documents\"");
    let config = format!(
        "{config}[connections.elasticsearch]\nkind = \"embedded\"\npath = \"documents\"\n[state]\ndir = \"state\"\n"
    );
    Project::new(&[("projector.toml", &config), ("totals.proj", ACCOUNTS), ("events/transactions/0.jsonl", "")])
}

fn paid(account: &str, amount: i64) -> String {
    line(&format!(r#"{{"type":"Paid","account":"{account}","amount":{amount}}}"#))
}

fn closed(account: &str) -> String {
    line(&format!(r#"{{"type":"Closed","account":"{account}"}}"#))
}

fn line(value: &str) -> String {
    format!("{{\"key\":\"k\",\"value\":{value}}}\n")
}

/// Appends to the log.
fn append(project: &Project, lines: &[String]) {
    let name = "events/transactions/0.jsonl";
    let there = fs::read_to_string(project.path(name)).expect("the log");
    project.write(name, &(there + &lines.concat()));
}

fn catch_up(project: &Project) {
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
}

fn remove(project: &Project, folder: &str) {
    fs::remove_dir_all(project.path(folder)).expect("the folder is there");
}

/// Every document: sink, key → total and version.
type World = BTreeMap<(String, String), (String, u64)>;

fn world(project: &Project) -> World {
    let engine = Running::start(project, &["run", "totals.proj"]);
    engine.until("/readyz", |code, _| code == 200);
    listed(&engine)
}

fn listed(engine: &Running) -> World {
    let mut world = World::new();
    for sink in SINKS {
        let (code, body) = engine.get(&format!("/v1/projections/totals/documents?sink={sink}&limit=1000"));
        let page: Value = serde_json::from_str(&body).expect("a page");
        assert_eq!((code, &page["next"]), (200, &Value::Null), "{body}");
        for listed in page["documents"].as_array().expect("documents") {
            let key = listed["key"].as_str().expect("a key").to_owned();
            let document = &listed["document"];
            let total = document["total"].as_str().expect("a total").to_owned();
            let version = document["_proj"]["v"].as_u64().expect("a version");
            world.insert((sink.to_owned(), key), (total, version));
        }
    }
    world
}

/// Exactly these totals are in the sinks; no document has a version below the one it had in `before`.
#[track_caller]
fn assert_exact(world: &World, before: &World, totals: &[(&str, i64)]) {
    let first = totals.iter().map(|(key, total)| (("first".to_owned(), (*key).to_owned()), total.to_string()));
    let large = totals.iter().filter(|(_, total)| *total > 5);
    let second = large.map(|(key, total)| (("second".to_owned(), (*key).to_owned()), total.to_string()));
    let expected: BTreeMap<_, _> = first.chain(second).collect();
    let found: BTreeMap<_, _> = world.iter().map(|(place, (total, _))| (place.clone(), total.clone())).collect();
    assert_eq!(found, expected);
    for (place, (_, version)) in world {
        let earlier = before.get(place).map_or(0, |(_, version)| *version);
        assert!(*version >= earlier, "{place:?} fell from version {earlier} to {version}");
    }
}

/// A log and its documents, before anything is lost.
fn told() -> (Project, World) {
    let project = project();
    append(&project, &[paid("a", 3), paid("b", 10), paid("c", 7), paid("ghost", 9), paid("shrinks", 8)]);
    catch_up(&project);
    append(&project, &[paid("a", 1)]);
    catch_up(&project);
    let world = world(&project);
    assert_exact(&world, &World::new(), &[("a", 4), ("b", 10), ("c", 7), ("ghost", 9), ("shrinks", 8)]);
    (project, world)
}

/// What comes after the loss, and what it makes.
fn later() -> Vec<String> {
    vec![closed("ghost"), paid("shrinks", -6), paid("new", 6), paid("b", 1)]
}

const AFTER: [(&str, i64); 5] = [("a", 4), ("b", 11), ("c", 7), ("shrinks", 2), ("new", 6)];

#[test]
fn lost_documents_are_made_again() {
    let (project, before) = told();
    remove(&project, "documents");
    append(&project, &later());
    catch_up(&project);
    assert_exact(&world(&project), &before, &AFTER);
}

#[test]
fn lost_documents_are_made_again_though_nothing_new_was_told() {
    let (project, before) = told();
    remove(&project, "documents");
    let again = world(&project);
    assert_eq!(again.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert_exact(&again, &before, &[("a", 4), ("b", 10), ("c", 7), ("ghost", 9), ("shrinks", 8)]);
}

#[test]
fn lost_state_is_folded_again_and_ghosts_go() {
    let (project, before) = told();
    remove(&project, "state");
    append(&project, &later());
    catch_up(&project);
    let after = world(&project);
    assert_exact(&after, &before, &AFTER);
    // All are written anew, above every version that was there.
    let highest = before.values().map(|(_, version)| *version).max();
    assert!(after.values().all(|(_, version)| Some(*version) > highest), "{before:?} {after:?}");
}

#[test]
fn a_state_put_back_from_earlier_is_noticed_and_ghosts_go() {
    let (project, _) = told();
    let copy = project.path("copy");
    copy_folder(&project.path("state"), &copy);
    append(&project, &[paid("since", 20), paid("a", 1)]);
    catch_up(&project);
    let before = world(&project);
    remove(&project, "state");
    fs::rename(&copy, project.path("state")).expect("the copy goes back");
    // The log that made them is cut as well: `since` is a ghost that only the sweep can find.
    let log = fs::read_to_string(project.path("events/transactions/0.jsonl")).expect("the log");
    let kept: Vec<&str> = log.lines().filter(|line| !line.contains("since")).collect();
    project.write("events/transactions/0.jsonl", &(kept.join("\n") + "\n"));
    catch_up(&project);
    assert_exact(&world(&project), &before, &[("a", 5), ("b", 10), ("c", 7), ("ghost", 9), ("shrinks", 8)]);
}

#[test]
fn both_lost_is_a_first_start() {
    let (project, _) = told();
    remove(&project, "state");
    remove(&project, "documents");
    append(&project, &later());
    catch_up(&project);
    assert_exact(&world(&project), &World::new(), &AFTER);
}

/// Readers poll while the state is lost and folded again: what they are shown never falls back.
#[test]
fn readers_see_no_step_back_while_lost_state_is_folded_again() {
    let project = project();
    let many: Vec<String> = (1..=400).flat_map(|n| [paid("a", 1), paid(&format!("k{}", n % 40), n)]).collect();
    append(&project, &many);
    catch_up(&project);
    let mut seen = world(&project);
    assert_eq!(seen[&("first".to_owned(), "a".to_owned())].0, "400");
    remove(&project, "state");
    append(&project, &[closed("k1"), paid("a", 1)]);
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let gone = ("first".to_owned(), "k1".to_owned());
    engine.until("/v1/projections/totals", |_, _| {
        let now = listed(&engine);
        for (place, (total, version)) in &seen {
            let Some((later, above)) = now.get(place) else {
                assert_eq!(place.1, "k1", "{place:?} is gone");
                continue;
            };
            let number = |text: &str| text.parse::<i64>().expect("a whole total");
            assert!(number(later) >= number(total) && above >= version, "{place:?}: {total} then {later}");
        }
        let done = !now.contains_key(&gone) && now[&("first".to_owned(), "a".to_owned())].0 == "401";
        seen = now;
        done
    });
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}
