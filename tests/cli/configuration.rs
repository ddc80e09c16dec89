//! Wrong configuration: one clear line, and 2.

use super::Project;

#[test]
fn an_unknown_key_is_named_with_a_near_one() {
    let project = Project::new(&[("projector.toml", "[state]\ndri = \"rows\"\n")]);
    project
        .run(&["status"])
        .assert_fails(2, "error: projector.toml:2: unknown key `dri` in [state]; did you mean `dir`?");
}

#[test]
fn a_missing_variable_is_named_and_secrets_stay_unsaid() {
    let text = "[http]\nlisten = \"${ADDRESS}\"\n";
    let project = Project::new(&[("projector.toml", text)]);
    let line = "error: projector.toml:2: `listen`: the environment variable `ADDRESS` is not set";
    project.run(&["status"]).assert_fails(2, line);

    let output = project.command(&["status"]).env("ADDRESS", "hunter2").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(err, "error: projector.toml:2: `listen` must be an address such as `127.0.0.1:7070`\n");
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let project = Project::new(&[]);
    let answer = project.run(&["status"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.starts_with("error: no projector.toml in <folder>"), "{}", answer.err);

    let named = project.run(&["status", "--config", "other.toml"]);
    assert_eq!(named.code, Some(2));
    assert!(named.err.starts_with("error: other.toml cannot be read: No such file"), "{}", named.err);
}

#[test]
fn a_profile_that_is_not_there_is_named() {
    let project = Project::new(&[("projector.toml", "[profiles.kafka.state]\ndir = \"x\"\n")]);
    let line = "error: projector.toml: there is no [profiles.kafak]; did you mean `kafka`?";
    project.run(&["status", "--profile", "kafak"]).assert_fails(2, line);
    let output = project.command(&["status"]).env("PROJECTOR_PROFILE", "nope").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn beyond_loopback_a_token_is_asked_for() {
    let project = Project::new(&[("projector.toml", "[http]\nlisten = \"0.0.0.0:7070\"\n")]);
    let answer = project.run(&["status"]);
    assert_eq!(answer.code, Some(2));
    assert!(answer.err.contains("0.0.0.0:7070 is open to other machines: add `token"), "{}", answer.err);
}
