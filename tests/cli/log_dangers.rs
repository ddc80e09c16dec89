//! What may happen to an event log between two runs and under a running engine: nothing is folded over, what is missing is
//! named, and only `--accept-loss` goes on.

use super::{CONFIG, EVENTS, Project, Running, TOTALS};

const LOG: &str = "events/transactions/0.jsonl";
const OTHER: &str = "events/transactions/1.jsonl";

fn project() -> Project {
    Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), (LOG, EVENTS)])
}

fn event(account: &str, amount: u32) -> String {
    format!("{{\"value\":{{\"account\":\"{account}\",\"amount\":{amount}}}}}\n")
}

/// Runs to the end of the log; the code and what was said.
fn catch_up(project: &Project, more: &[&str]) -> (Option<i32>, String) {
    let run = project.run(&[&["run", "totals.proj", "--until-caught-up"], more].concat());
    (run.code, run.err)
}

fn document(project: &Project, key: &str) -> String {
    let get = project.run(&["get", "totals", key, "--sink", "cosmos"]);
    assert_eq!(get.code, Some(0), "{}", get.err);
    get.out
}

/// Does something to a log that was folded, and shows how a start refuses, how it goes on, and that it does so once.
fn between_two_runs(disturb: impl Fn(&Project), what: &str, a1: &str) {
    let project = project();
    assert_eq!(catch_up(&project, &[]).0, Some(0));
    disturb(&project);
    let (code, said) = catch_up(&project, &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("error: totals: transactions/0: {what}")), "{said}");
    assert!(said.contains("--accept-loss") && said.contains("projector drop totals"), "what to do: {said}");
    assert!(document(&project, "a1").contains(r#""total":"12.75""#), "nothing is folded");
    let (code, said) = catch_up(&project, &["--accept-loss"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(what), "{said}");
    assert!(document(&project, "a1").contains(a1), "{}", document(&project, "a1"));
    let letters = project.run(&["dead-letters", "ls", "totals"]).out;
    assert!(letters.contains(&format!("transactions/0@3\tlost\tR0113\t{what}")), "it is written down: {letters}");
    let (code, said) = catch_up(&project, &[]);
    assert_eq!(code, Some(0), "it was accepted once and for all: {said}");
}

#[test]
fn a_log_that_was_cut_short_is_refused_and_can_be_accepted() {
    let disturb = |project: &Project| project.write(LOG, &event("a1", 1));
    between_two_runs(disturb, "offset 3 is past the end of the log, 1", r#""total":"13.75""#);
}

#[test]
fn another_log_in_the_place_of_this_one_is_refused_and_can_be_accepted() {
    let disturb = |project: &Project| project.write(LOG, &event("a1", 1).repeat(5));
    between_two_runs(disturb, "another record lies at offset 2", r#""total":"17.75""#);
}

#[test]
fn a_partition_that_is_gone_can_be_accepted() {
    let project = project();
    project.write(OTHER, EVENTS);
    assert_eq!(catch_up(&project, &[]).0, Some(0));
    std::fs::remove_file(project.path(OTHER)).unwrap();
    let (code, said) = catch_up(&project, &[]);
    assert_eq!(code, Some(3), "{said}");
    let (code, said) = catch_up(&project, &["--accept-loss"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(r#"partition=transactions/1 what="the partition is no longer there""#), "{said}");
}

/// Does something to a log while it is followed, and shows that its partition stops there and the other goes on.
fn while_it_runs(disturb: impl Fn(&Project)) {
    let project = project();
    project.write(OTHER, &event("b1", 7));
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let documents = "/v1/projections/totals/documents";
    engine.until(&format!("{documents}/a1"), |_, body| body.contains(r#""total":"12.75""#));
    engine.until(&format!("{documents}/b1"), |_, body| body.contains(r#""total":"7""#));
    disturb(&project);
    engine.until("/readyz", |code, body| code == 503 && body.contains("partition transactions/0 is stopped"));
    project.write(OTHER, &(event("b1", 7) + &event("b1", 1)));
    engine.until(&format!("{documents}/b1"), |_, body| body.contains(r#""total":"8""#));
    assert!(engine.get(&format!("{documents}/a1")).1.contains(r#""total":"12.75""#), "nothing of it is folded");
    assert_eq!(engine.stop("TERM"), Some(143));
}

#[test]
fn a_followed_file_that_is_replaced_stops_its_partition() {
    while_it_runs(|project| {
        project.write("new", &event("a1", 100).repeat(9));
        std::fs::rename(project.path("new"), project.path(LOG)).unwrap();
    });
}

#[test]
fn a_followed_file_that_is_written_over_stops_its_partition() {
    while_it_runs(|project| project.write(LOG, &event("a1", 100).repeat(9)));
}

#[test]
fn a_followed_file_that_is_cut_short_stops_its_partition() {
    while_it_runs(|project| project.write(LOG, &event("a1", 100)));
}

#[test]
fn a_followed_file_that_goes_on_in_another_one_is_read_on() {
    let project = project();
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let a1 = "/v1/projections/totals/documents/a1";
    engine.until(a1, |_, body| body.contains(r#""total":"12.75""#));
    // As editors save.
    project.write("new", &(EVENTS.to_owned() + &event("a1", 1)));
    std::fs::rename(project.path("new"), project.path(LOG)).unwrap();
    engine.until(a1, |_, body| body.contains(r#""total":"13.75""#));
}

#[test]
fn a_partition_that_is_added_is_folded_from_its_beginning() {
    let project = project();
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let a1 = "/v1/projections/totals/documents/a1";
    engine.until(a1, |_, body| body.contains(r#""total":"12.75""#));
    project.write(OTHER, &(event("a1", 1) + &event("a1", 2)));
    engine.until(a1, |_, body| body.contains(r#""total":"15.75""#));
    engine.until("/v1/projections/totals", |_, body| body.contains(r#""partition":1,"next_offset":2"#));
}
