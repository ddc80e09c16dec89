//! The feed of a cache: followed, resumed, and ended with the engine.

use std::fs;
use std::io::Write;

use super::{CONFIG, EVENTS, Project, Running, TOTALS};

const CHANGES: &str = "/v1/projections/totals/changes";

/// The next event: its name, id and data.
fn next(lines: &mut impl Iterator<Item = String>) -> Option<(String, String, String)> {
    let mut event = (String::new(), String::new(), String::new());
    loop {
        let line = lines.next()?;
        match line.split_once(": ") {
            Some(("event", name)) => event.0 = name.to_owned(),
            Some(("id", id)) => event.1 = id.to_owned(),
            Some(("data", data)) => event.2 = data.to_owned(),
            // A comment that keeps the connection open.
            _ if event.0.is_empty() => {}
            _ => return Some(event),
        }
    }
}

fn append(project: &Project, account: &str, amount: u32) {
    let path = project.path("events/transactions/0.jsonl");
    let mut log = fs::OpenOptions::new().append(true).open(path).expect("the log");
    writeln!(log, r#"{{"key":"k","value":{{"account":"{account}","amount":{amount}}}}}"#).expect("it is written");
}

#[test]
fn changes_are_told_and_resumed_until_the_engine_ends() {
    let project =
        Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", EVENTS)]);
    let engine = Running::start(&project, &["run", "totals.proj"]);
    engine.until("/v1/projections/totals/documents/a1?sink=cache", |_, body| body.contains("12.75"));

    let mut lines = engine.lines(CHANGES, &[]);
    append(&project, "a1", 1);
    let (name, first, data) = next(&mut lines).expect("a change");
    assert_eq!(name, "changed");
    assert!(data.starts_with(r#"{"key":"a1","document":{"account":"a1","total":"13.75""#), "{data}");
    append(&project, "a2", 5);
    let (_, _, data) = next(&mut lines).expect("a change");
    assert!(data.contains(r#""key":"a2""#) && data.contains(r#""total":"6""#), "{data}");

    // From the first on, without it; from a place that nobody knows, with a word that there is a gap.
    let mut resumed = engine.lines(CHANGES, &[("Last-Event-ID", &first)]);
    assert!(next(&mut resumed).expect("a change").2.contains(r#""key":"a2""#));
    let mut stranger = engine.lines(CHANGES, &[("Last-Event-ID", "1-0")]);
    assert_eq!(next(&mut stranger).expect("a word").0, "gap");
    assert!(next(&mut stranger).is_some_and(|(name, ..)| name == "changed"));

    assert_eq!(engine.stop("TERM"), Some(143));
    assert_eq!(next(&mut lines), None, "a feed ends with its server");
}

#[test]
fn without_a_cache_there_is_no_feed() {
    let file = TOTALS.replace("  into cache\n", "");
    let project =
        Project::new(&[("projector.toml", CONFIG), ("totals.proj", &file), ("events/transactions/0.jsonl", EVENTS)]);
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let (code, body) = engine.get(CHANGES);
    assert_eq!((code, body.contains("into cache")), (404, true), "{body}");
    assert_eq!(engine.get("/v1/projections/nothing/changes").0, 404);
}
