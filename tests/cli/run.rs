//! `projector run` and the commands that look at what it did: over an event log, until it has caught up.

use super::{CONFIG, EVENTS, Project, TOTALS};

fn project() -> Project {
    Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", EVENTS)])
}

/// A document without its version.
fn document(text: &str) -> serde_json::Value {
    let mut document: serde_json::Value = serde_json::from_str(text).expect("a document");
    document.as_object_mut().expect("an object").remove("_proj");
    document
}

#[test]
fn a_run_folds_the_log_and_the_document_can_be_read_afterwards() {
    let project = project();
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(run.out, "");
    assert!(run.err.contains("totals: events (log) -> cosmos (embedded), cache (cache)"), "{}", run.err);
    assert!(run.err.contains("totals: 3 events read, 3 folded, 2 rows, 0 dead letters"), "{}", run.err);

    let get = project.run(&["get", "totals", "a1"]);
    assert_eq!((get.code, get.err.as_str()), (Some(0), ""));
    assert_eq!(document(&get.out), serde_json::json!({ "id": "a1", "account": "a1", "total": "12.75", "count": 2 }));
    project.run(&["get", "totals", "zz"]).assert_fails(1, "error: `totals` has no document `zz`");
    project.run(&["get", "nope", "a1"]).assert_fails(1, "error: no projection `nope` has state here");

    let status = project.run(&["status"]);
    assert_eq!(status.code, Some(0));
    assert!(status.out.contains("totals  at rest"), "{}", status.out);
    assert!(status.out.contains("3 folded"), "{}", status.out);
    assert!(status.out.contains("transactions/0 next 3"), "{}", status.out);
    let json: serde_json::Value = serde_json::from_str(&project.run(&["status", "--format", "json"]).out).unwrap();
    assert_eq!(json["projections"][0]["events"]["folded"], 3);
}

#[test]
fn a_second_run_goes_on_where_the_first_one_ended() {
    let project = project();
    project.run(&["run", "totals.proj", "--until-caught-up"]);
    project
        .write("events/transactions/0.jsonl", &format!("{EVENTS}{{\"value\":{{\"account\":\"a1\",\"amount\":1}}}}\n"));
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert!(run.err.contains("totals: 1 events read, 1 folded"), "{}", run.err);
    assert_eq!(document(&project.run(&["get", "totals", "a1"]).out)["total"], "13.75");
}

#[test]
fn a_fault_stops_the_partition_says_why_and_ends_with_3() {
    let project = project();
    project.write(
        "events/transactions/0.jsonl",
        &format!("{EVENTS}{{\"value\":{{\"account\":\"a1\",\"amount\":\"x\"}}}}\n"),
    );
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    assert!(run.err.contains("event transactions/0 offset 3"), "{}", run.err);
    // What came before the fault is there.
    assert_eq!(document(&project.run(&["get", "totals", "a1"]).out)["total"], "12.75");
}

#[test]
fn dead_letters_are_kept_with_their_reasons() {
    let project = project();
    project.write("totals.proj", &TOTALS.replace("into cache", "into cache\n  on_error { decode: dead_letter(dead) }"));
    let files = std::fs::read_to_string(project.path("totals.proj")).unwrap();
    project.write("totals.proj", &format!("topic dead = \"transactions.dead\"\n{files}"));
    project.write("events/transactions/0.jsonl", &format!("not json\n{EVENTS}"));
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("1 dead letters"), "{}", run.err);
    let list = project.run(&["dead-letters", "ls", "totals"]);
    assert!(list.out.starts_with("1\ttransactions/0@0\tdecode\t"), "{}", list.out);
    let shown = project.run(&["dead-letters", "show", "totals", "1"]);
    assert!(shown.out.contains("not json") && shown.out.contains("transactions.dead"), "{}", shown.out);
    project.run(&["dead-letters", "show", "totals", "2"]).assert_fails(1, "error: `totals` has no dead letter 2");
}

#[test]
fn a_changed_meaning_is_refused_until_the_state_is_dropped() {
    let project = project();
    project.run(&["run", "totals.proj", "--until-caught-up"]);
    project.write("totals.proj", &TOTALS.replace("sum(.amount)", "max(.amount)"));
    let refused = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("P08"), "{}", refused.err);
    assert_eq!(document(&project.run(&["get", "totals", "a1"]).out)["total"], "12.75");

    assert_eq!(project.run(&["drop", "totals"]).code, Some(0));
    project.run(&["drop", "totals"]).assert_fails(1, "error: no projection `totals` has state here");
    let anew = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(anew.code, Some(0), "{}", anew.err);
    assert_eq!(document(&project.run(&["get", "totals", "a1"]).out)["total"], "10.5");
}

#[test]
fn wrong_files_do_not_start() {
    let project = project();
    project.write("totals.proj", &TOTALS.replace("sum(.amount)", "summ(.amount)"));
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(1), "{}", run.err);
    assert!(!project.path(".projector").exists(), "nothing is touched");
}

#[test]
fn a_sink_that_the_file_no_longer_has_is_no_longer_shown() {
    let project = project();
    assert_eq!(project.run(&["run", "totals.proj", "--until-caught-up"]).code, Some(0));
    assert!(project.run(&["status"]).out.contains("sink        cosmos"));
    project.write("totals.proj", &TOTALS.replace("  into cosmos { container: \"Totals\" }\n", ""));
    assert_eq!(project.run(&["run", "totals.proj", "--until-caught-up"]).code, Some(0));
    let status = project.run(&["status"]);
    assert!(status.out.contains("totals  at rest") && !status.out.contains("cosmos"), "{}", status.out);
}
