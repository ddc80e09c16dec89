//! Partitions that have stopped at an event: what is said names the command that goes on, and that command does.

use super::{CONFIG, EVENTS, Project, Running, TOTALS};

const BAD: &str = "{\"value\":{\"account\":\"a1\",\"amount\":\"x\"}}\n";
const MORE: &str = "{\"value\":{\"account\":\"a1\",\"amount\":5}}\n";

/// A log whose partition 0 holds this.
fn project(events: &str) -> Project {
    Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", events)])
}

/// The `projector skip …` that a text tells to run, without its first word.
#[track_caller]
fn told_to_skip(text: &str) -> Vec<&str> {
    let (_, command) = text.split_once("`projector skip").unwrap_or_else(|| panic!("it tells no command:\n{text}"));
    let (command, _) = command.split_once('`').expect("it ends");
    std::iter::once("skip").chain(command.split_whitespace()).collect()
}

#[test]
fn an_event_that_cannot_be_folded_is_skipped_at_rest() {
    // The second bad one comes right after the first.
    let project = project(&format!("{EVENTS}{BAD}{BAD}{MORE}"));
    for skipped in 1..=2 {
        let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
        assert_eq!(run.code, Some(3), "{}", run.err);
        let skip = told_to_skip(&run.err);
        assert_eq!(skip[2], format!("transactions/0@{}", 2 + skipped));
        project.run(&["skip", "totals", "transactions/0@9"]).assert_fails(
            2,
            &format!(
                "error: `totals` goes on at {}: only the event that comes next can be skipped, not transactions/0@9",
                skip[2]
            ),
        );
        assert_eq!(project.run(&skip).code, Some(0));
        // Once more is once too often.
        assert_eq!(project.run(&skip).code, Some(2));
        assert!(project.run(&["status"]).out.contains(&format!("{skipped} skipped")));
    }
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let get = project.run(&["get", "totals", "a1"]);
    assert!(get.out.contains(r#""total":"17.75","count":3"#), "{}", get.out);
}

#[test]
fn the_very_first_event_can_be_skipped_at_rest() {
    let project = project(&format!("{BAD}{EVENTS}"));
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    assert_eq!(run.code, Some(3), "{}", run.err);
    let skip = told_to_skip(&run.err);
    assert_eq!(skip[1..], ["totals", "transactions/0@0"]);
    let foreign = project.run(&["skip", "totals", "transactions/1@0"]);
    assert_eq!((foreign.code, foreign.err.contains("has read no partition")), (Some(2), true), "{}", foreign.err);
    assert_eq!(project.run(&skip).code, Some(0));
    assert_eq!(project.run(&["run", "totals.proj", "--until-caught-up"]).code, Some(0));
    assert!(project.run(&["get", "totals", "a1"]).out.contains(r#""total":"12.75""#));
}

#[test]
fn a_stopped_partition_of_a_running_projection_goes_on_after_a_skip() {
    let project = project(&format!("{EVENTS}{BAD}{MORE}"));
    // A second partition keeps the projection running.
    project.write("events/transactions/1.jsonl", EVENTS);
    let engine = Running::start(&project, &["run", "totals.proj"]);
    engine.until("/readyz", |code, body| code == 503 && body.contains("partition transactions/0 is stopped"));
    let status = engine.ask(&project, &["status"]);
    assert!(status.out.contains("`projector retry totals`"), "{}", status.out);
    let skip = told_to_skip(&status.out).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let skip: Vec<_> = skip.iter().map(String::as_str).collect();

    let elsewhere = engine.ask(&project, &["skip", "totals", "transactions/0@2"]);
    assert_eq!(elsewhere.code, Some(2), "{elsewhere:?}");
    assert!(elsewhere.err.contains("3"), "it says where it has stopped: {}", elsewhere.err);
    let unstopped = engine.ask(&project, &["skip", "totals", "transactions/1@3"]);
    assert_eq!(unstopped.code, Some(2), "{unstopped:?}");
    assert_eq!(engine.ask(&project, &["skip", "nope", "transactions/0@3"]).code, Some(1));
    // Nothing was mended, so it stops where it was, some time later.
    assert_eq!(engine.ask(&project, &["retry", "totals"]).code, Some(0));
    assert_eq!(engine.ask(&project, &["retry", "nope"]).code, Some(1));
    engine.until("/readyz", |code, _| code == 503 && engine.ask(&project, &skip).code == Some(0));
    engine.until("/v1/projections/totals", |_, body| {
        body.contains(r#""partition":0,"next_offset":5,"#) && body.contains(r#""skipped":1"#)
    });
    engine.until("/readyz", |code, _| code == 200);
    assert_eq!(engine.ask(&project, &skip).code, Some(2), "once more is once too often");
    assert_eq!(engine.stop("TERM"), Some(143));
    let get = project.run(&["get", "totals", "a1"]);
    assert!(get.out.contains(r#""total":"30.5","count":5"#), "{}", get.out);
}

#[test]
fn a_retry_at_rest_says_that_the_next_run_does_it() {
    let project = project(EVENTS);
    project.run(&["retry", "totals"]).assert_fails(1, "error: no projection `totals` has state here");
    project.run(&["run", "totals.proj", "--until-caught-up"]);
    let retry = project.run(&["retry", "totals"]);
    assert_eq!(
        (retry.code, retry.err.as_str()),
        (Some(0), "no engine runs: the next run of totals tries everything again\n")
    );
}

#[test]
fn an_event_is_named_whole() {
    let answer = project(EVENTS).run(&["skip", "totals", "transactions/0"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.contains("TOPIC/PARTITION@OFFSET, such as bank.transactions/0@17"), "{}", answer.err);
}

#[test]
fn a_projection_that_has_ended_is_skipped_once_its_engine_has_stopped() {
    let project = project(&format!("{BAD}{EVENTS}"));
    let other = TOTALS
        .replace("totals", "others")
        .replace("topic transactions", "topic more")
        .replace("from transactions", "from more");
    project.write("others.proj", &other.replace("\"transactions\"", "\"more\""));
    project.write("events/more/0.jsonl", EVENTS);
    let engine = Running::start(&project, &["run", "totals.proj", "others.proj"]);
    engine.until("/v1/projections/totals", |_, body| body.contains(r#""state":"stopped""#));
    let skip = engine.ask(&project, &["skip", "totals", "transactions/0@0"]);
    assert_eq!(
        (skip.code, skip.err.contains("has ended in this engine: stop the engine")),
        (Some(2), true),
        "{skip:?}"
    );
    let retry = engine.ask(&project, &["retry", "totals"]);
    assert_eq!((retry.code, retry.err.contains("the next start tries everything again")), (Some(2), true), "{retry:?}");
    assert_eq!(engine.stop("TERM"), Some(143));
    assert_eq!(project.run(&["skip", "totals", "transactions/0@0"]).code, Some(0));
    assert_eq!(project.run(&["run", "totals.proj", "others.proj", "--until-caught-up"]).code, Some(0));
    assert!(project.run(&["get", "totals", "a1"]).out.contains(r#""total":"12.75""#));
}

/// Its document cannot be written once the number is past 2^53.
const NUMBERS: &str = r#"
topic transactions = "transactions"
topic dead = "dead-letters"

projection numbers {
  from transactions
  key account = .account
  state { n: int = sum(.amount) }
  into cosmos { container: "Numbers" }
  on_error { sink: dead_letter(dead) }
}
"#;

fn deposit(account: &str, amount: i64) -> String {
    format!("{{\"value\":{{\"account\":\"{account}\",\"amount\":{amount}}}}}\n")
}

#[test]
fn a_document_that_was_given_up_on_is_written_again_when_asked_to() {
    let events = deposit("a1", 1 << 60) + &deposit("a2", 5);
    let files = [("projector.toml", CONFIG), ("numbers.proj", NUMBERS), ("events/transactions/0.jsonl", &events)];
    let project = Project::new(&files);
    let engine = Running::start(&project, &["run", "numbers.proj"]);
    let letters = || engine.ask(&project, &["dead-letters", "ls", "numbers", "--format", "json"]).out;
    let letters_are = |count| {
        let set_aside = "\"class\":\"sink\"";
        engine.until("/v1/projections/numbers/dead-letters", |_, body| body.matches(set_aside).count() == count);
    };
    letters_are(1);
    assert!(letters().contains("\"class\":\"sink\"") && letters().contains("2^53"), "{}", letters());
    assert!(letters().contains("numbers.proj:9:"), "it names the sink in the file: {}", letters());
    assert_eq!(engine.ask(&project, &["get", "numbers", "a1"]).code, Some(1));

    // Nothing was mended: it is refused once more.
    let again = engine.ask(&project, &["dead-letters", "redrive", "numbers"]);
    assert!(again.code == Some(0) && again.err.contains("1 documents are owed again"), "{again:?}");
    letters_are(2);
    let unknown = engine.ask(&project, &["dead-letters", "redrive", "numbers", "--sink", "nope"]);
    assert!(unknown.code == Some(1) && unknown.err.contains("it has cosmos"), "{unknown:?}");
    let other = engine.ask(&project, &["dead-letters", "redrive", "numbers", "99"]);
    assert!(other.err.contains("0 documents"), "{other:?}");
}
