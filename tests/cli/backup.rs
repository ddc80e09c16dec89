//! `projector backup` and `projector restore`: whatever lies between the two, the next run ends with the same documents.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::{Answer, CONFIG, EVENTS, Project, Running, TOTALS};

fn project(events: &str) -> Project {
    Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", events)])
}

fn event(account: u64, amount: u64) -> String {
    format!("{{\"value\":{{\"account\":\"a{account}\",\"amount\":{amount}}}}}\n")
}

/// The documents without their versions, `key total count` each.
fn documents(project: &Project, accounts: u64) -> Vec<String> {
    let document = |account: u64| {
        let answer = project.run(&["get", "totals", &format!("a{account}")]);
        let document: serde_json::Value = serde_json::from_str(&answer.out).expect(&answer.err);
        format!("a{account} {} {}", document["total"], document["count"])
    };
    (1..=accounts).map(document).collect()
}

#[track_caller]
fn assert_done(answer: &Answer) {
    assert_eq!(answer.code, Some(0), "{}", answer.err);
}

#[track_caller]
fn catch_up(project: &Project) {
    assert_done(&project.run(&["run", "totals.proj", "--until-caught-up"]));
}

/// The only file of a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).expect("a folder");
    let file = files.next().expect("a file").expect("it can be read").path();
    assert!(files.next().is_none());
    file
}

#[test]
fn a_dropped_projection_comes_back_and_goes_on() {
    let project = project(EVENTS);
    project.run(&["backup", "totals", "kept"]).assert_fails(1, "error: no projection `totals` has state here");
    catch_up(&project);
    let made = project.run(&["backup", "totals", "kept"]);
    assert_done(&made);
    let file = only_file(&project.path("kept"));
    assert_eq!(made.out, format!("<folder>/kept/{}\n", file.file_name().unwrap().to_str().unwrap()));
    assert!(made.err.starts_with("backed up totals: 2 rows and 0 dead letters at version "), "{}", made.err);
    assert!(project.run(&["status"]).out.contains("\n  backup      2"), "status shows it");

    // More is folded after the backup, and documents are ahead of it.
    project.write("events/transactions/0.jsonl", &format!("{EVENTS}{}{}", event(1, 4), event(3, 7)));
    catch_up(&project);
    let whole = documents(&project, 3);
    let known = "error: this store knows `totals` already: `projector drop totals` removes what it knows, then it can be \
                 restored";
    project.run(&["restore", "totals", "kept"]).assert_fails(2, known);
    assert_done(&project.run(&["drop", "totals"]));
    let restored = project.run(&["restore", "totals", "kept"]);
    assert_done(&restored);
    assert!(restored.err.starts_with("restored totals from kept/totals-"), "{}", restored.err);
    assert!(project.run(&["status"]).out.contains("transactions/0 next 3"));
    catch_up(&project);
    assert_eq!(documents(&project, 3), whole);
    assert!(project.run(&["status"]).out.contains("5 folded"), "each event was folded once");
}

#[test]
fn lost_state_comes_back_beside_documents_that_are_ahead_of_it() {
    let project = project(EVENTS);
    // Documents lie where the loss of the state directory does not reach.
    project
        .write("projector.toml", &CONFIG.replace("kind = \"embedded\"", "kind = \"embedded\"\npath = \"documents\""));
    catch_up(&project);
    assert_done(&project.run(&["backup", "totals", "kept"]));
    project.write("events/transactions/0.jsonl", &format!("{EVENTS}{}{}", event(1, 4), event(3, 7)));
    catch_up(&project);
    let whole = documents(&project, 3);
    std::fs::remove_dir_all(project.path(".projector")).unwrap();
    assert_done(&project.run(&["restore", "totals", "kept"]));
    catch_up(&project);
    assert_eq!(documents(&project, 3), whole);
    assert!(project.run(&["status"]).out.contains("5 folded"), "each event was folded once");
}

/// Appends events for as long as it is told to, each hundred once the engine has saved some of those before.
fn append_while(goes_on: &AtomicBool, project: &Project, engine: &Running) -> u64 {
    let path = project.path("events/transactions/0.jsonl");
    let mut log = std::fs::OpenOptions::new().append(true).open(path).expect("the log is there");
    let mut appended = 0;
    while goes_on.load(Ordering::Relaxed) {
        let events: String = (appended..appended + 100).map(|n| event(1 + n % 20, n)).collect();
        log.write_all(events.as_bytes()).expect("it takes more");
        engine.until("/v1/projections/totals", |_, body| next_offset(body) > appended);
        appended += 100;
    }
    appended
}

fn next_offset(status: &str) -> u64 {
    let status: serde_json::Value = serde_json::from_str(status).expect("a status");
    status["partitions"][0]["next_offset"].as_u64().unwrap_or(0)
}

#[test]
fn backups_made_while_an_engine_runs_all_lead_to_the_same_documents() {
    let project = project("");
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let goes_on = AtomicBool::new(true);
    let (backups, events) = thread::scope(|scope| {
        let appending = scope.spawn(|| append_while(&goes_on, &project, &engine));
        engine.until("/v1/projections/totals", |_, body| next_offset(body) > 0);
        let backups: Vec<_> = (0..4)
            .map(|_| {
                let made = engine.ask(&project, &["backup", "totals", "kept"]);
                assert_done(&made);
                project.path("kept").join(made.out.trim_end().rsplit_once('/').expect("a path").1)
            })
            .collect();
        goes_on.store(false, Ordering::Relaxed);
        (backups, appending.join().expect("it appends"))
    });
    let refused = engine.ask(&project, &["restore", "totals", "kept"]);
    assert_eq!(
        (refused.code, refused.err.contains("stop it before restoring `totals`")),
        (Some(2), true),
        "{refused:?}"
    );
    engine.until("/v1/projections/totals", |_, body| next_offset(body) == events);
    assert_eq!(engine.stop("TERM"), Some(143));
    let whole = documents(&project, 20);

    let log = std::fs::read_to_string(project.path("events/transactions/0.jsonl")).unwrap();
    for backup in [&backups[0], &backups[3]] {
        let other = self::project(&log);
        assert_done(&other.run(&["restore", "totals", backup.to_str().unwrap()]));
        catch_up(&other);
        assert_eq!(documents(&other, 20), whole, "{}", backup.display());
        assert!(other.run(&["status"]).out.contains(&format!("{events} folded")));
    }
}

#[test]
fn what_is_no_whole_backup_of_it_is_refused_and_nothing_is_touched() {
    let project = project(EVENTS);
    catch_up(&project);
    assert_done(&project.run(&["backup", "totals", "kept"]));
    let file = only_file(&project.path("kept"));
    let bytes = std::fs::read(&file).unwrap();
    let other = self::project(EVENTS);
    let restore = |bytes: &[u8], name: &str| {
        std::fs::write(other.path("kept").join(file.file_name().unwrap()), bytes).unwrap();
        let answer = other.run(&["restore", name, "kept"]);
        assert!(!other.path(".projector").exists(), "nothing is touched");
        answer
    };
    std::fs::create_dir_all(other.path("kept")).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 4;
    for damaged in [&flipped[..], &bytes[..bytes.len() - 1], b""] {
        let answer = restore(damaged, "totals");
        assert_eq!((answer.code, answer.err.contains("is damaged")), (Some(2), true), "{}", answer.err);
    }
    let answer = restore(&bytes, "total");
    assert_eq!(answer.code, Some(1), "{}", answer.err);
    assert_eq!(answer.err, "error: there is no backup of `total` in kept\n");
    let answer = other.run(&["restore", "totals", "nowhere"]);
    assert_eq!(answer.code, Some(2), "{}", answer.err);
    assert_eq!(answer.err, "error: nowhere could not be read: No such file or directory (os error 2)\n");
}
