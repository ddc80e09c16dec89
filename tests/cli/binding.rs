//! Names without a binding, and bindings that cannot be used: one clear line and the right code, before anything is touched.

use std::net::TcpListener;

use super::{CONFIG, EVENTS, Project, TOTALS};

fn project(config: &str) -> Project {
    Project::new(&[("projector.toml", config), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", EVENTS)])
}

#[track_caller]
fn assert_refused(config: &str, code: i32, line: &str) {
    let project = project(config);
    project.run(&["run", "totals.proj"]).assert_fails(code, line);
    assert!(!project.path(".projector").exists(), "nothing is touched");
}

#[test]
fn a_sink_without_a_connection_names_the_section_to_add() {
    let config = CONFIG.replace("[connections.cosmos]\nkind = \"embedded\"\n", "");
    let line = "error: `into cosmos` of `totals` has no binding: add [connections.cosmos] to projector.toml; \
                with `kind = \"embedded\"` it needs nothing else";
    assert_refused(&config, 2, line);
}

#[test]
fn a_topic_without_a_source_names_the_section_to_add() {
    let config = "[connections.cosmos]\nkind = \"embedded\"\n";
    let line = "error: topic `transactions` has no source: add [connections.events] with `kind = \"log\"` or \
                `kind = \"kafka\"` to projector.toml";
    assert_refused(config, 2, line);
    let named = format!("[topics]\ndefault = \"bank\"\n{CONFIG}");
    assert_refused(&named, 2, &line.replace(".events]", ".bank]"));
    let two = format!("{CONFIG}\n[connections.more]\nkind = \"memory\"\n");
    let line = "error: topic `transactions` could be read from events, more: say which with `default = \"…\"` in [topics] \
                of projector.toml, or with `via:` at the topic";
    assert_refused(&two, 2, line);
}

#[test]
fn a_target_of_another_kind_names_the_one_it_takes() {
    let config = CONFIG.replace("kind = \"embedded\"", "kind = \"postgres\"\nurl = \"postgres://localhost/a\"");
    let line = "error: `into cosmos` of `totals` is bound to [connections.cosmos] of projector.toml, and \
                `kind = \"postgres\"` takes `into postgres` only";
    assert_refused(&config, 2, line);
}

#[test]
fn an_account_without_a_database_says_where_one_is_named() {
    let account = "kind = \"cosmos\"\nendpoint = \"https://x.documents.azure.com\"\nkey = \"aHVudGVyMg==\"";
    let config = CONFIG.replace("kind = \"embedded\"", account);
    let line =
        "error: `into cosmos` of `totals`: no database is named: add `database` to its options or to the connection";
    assert_refused(&config, 2, line);
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = project(CONFIG).command(&["run", "totals.proj"]).env("PORT", &port).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    let line = format!("error: cannot listen on 127.0.0.1:{port} ([http] `listen`): ");
    assert!(err.starts_with(&line) && err.lines().count() == 1, "{err}");
}

#[test]
fn a_broker_that_is_away_is_waited_for_and_named() {
    let config = CONFIG.replace("kind = \"log\"\npath = \"events\"", "kind = \"kafka\"\nbrokers = \"127.0.0.1:1\"");
    let answer = project(&config).run(&["run", "totals.proj"]);
    assert_eq!(answer.code, Some(4), "{}", answer.err);
    let errors: Vec<_> = answer.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", answer.err);
    assert!(errors[0].contains("totals") && errors[0].contains("events"), "{}", answer.err);
}

#[test]
fn a_topic_that_is_not_there_is_named() {
    let project = project(CONFIG);
    std::fs::remove_dir_all(project.path("events/transactions")).unwrap();
    let answer = project.run(&["run", "totals.proj"]);
    assert_eq!(answer.code, Some(4), "{}", answer.err);
    let errors: Vec<_> = answer.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", answer.err);
    assert!(errors[0].contains("`transactions`"), "{}", answer.err);
}
