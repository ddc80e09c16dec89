//! The README and the examples do what they say.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

#[path = "../../examples/generate.rs"]
#[expect(dead_code, reason = "an example is a program; the test calls one function of it")]
mod generate;

const README: &str = include_str!("../../README.md");

/// The commands in the README's ```console blocks, each with the output that is shown for it.
fn shown_commands() -> Vec<(&'static str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for block in README.split("```console\n").skip(1) {
        for line in block.split("```").next().expect("a block ends").lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, String::new())),
                (None, Some((_, output))) => *output += &format!("{line}\n"),
                (None, None) => panic!("output before a command: {line}"),
            }
        }
    }
    commands
}

#[test]
fn the_readme_shows_what_comes_out() {
    let state = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port().to_string();
    drop(listener);
    let mut compared = 0;
    for (command, shown) in shown_commands() {
        let Some(arguments) = command.strip_prefix("cargo run -- ") else { continue };
        let output = Command::new(env!("CARGO_BIN_EXE_projector"))
            .args(arguments.split(' '))
            .env("PROJECTOR_STATE_DIR", state.path())
            .env("PROJECTOR_PORT", &port)
            .env_remove("PROJECTOR_PROFILE")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{command}");
        compared += 1;
    }
    assert!(compared >= 2, "the README shows no command");
}

/// The first program a reader sees is one that `check` accepts.
#[test]
fn the_program_of_the_readme_is_right() {
    let dir = tempfile::tempdir().expect("a folder");
    let text = README.split("```proj\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
    let file = dir.path().join("readme.proj");
    fs::write(&file, text).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_projector")).arg("check").arg(&file).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "no warnings either");
}

/// Every file below a folder, by its path from there.
fn files(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for topic in fs::read_dir(dir).expect("a folder of topics") {
        let topic = topic.expect("an entry").path();
        for partition in fs::read_dir(&topic).expect("a folder of partitions") {
            let path = partition.expect("an entry").path();
            let name = path.strip_prefix(dir).expect("below the folder").display().to_string();
            found.insert(name, fs::read_to_string(path).expect("a text file"));
        }
    }
    found
}

#[test]
fn the_committed_events_are_those_the_generator_writes() {
    let dir = tempfile::tempdir().expect("a folder");
    generate::write_small(dir.path()).expect("the events are written");
    assert_eq!(files(dir.path()), files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/events")));
}
