//! A running engine, asked by other commands and over HTTP, and stopped by signals.

use std::io::{Read, Write};

use super::{CONFIG, EVENTS, Project, Running, TOTALS};

fn project() -> Project {
    Project::new(&[("projector.toml", CONFIG), ("totals.proj", TOTALS), ("events/transactions/0.jsonl", EVENTS)])
}

#[test]
fn a_running_engine_answers_other_commands() {
    let project = project();
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let ask = |arguments: &[&str]| engine.ask(&project, arguments);
    let wait = ["--wait", "transactions/0@2", "--timeout", "30s"];
    for sink in ["cosmos", "cache"] {
        let get = ask(&[&["get", "totals", "a1", "--sink", sink][..], &wait].concat());
        assert_eq!(get.code, Some(0), "{}", get.err);
        assert!(get.out.contains(r#""total":"12.75""#), "{}", get.out);
    }
    let status = ask(&["status"]);
    assert!(status.out.contains("totals  running"), "{}", status.out);
    assert!(status.out.contains("transactions/0 next 3, at the end"), "{}", status.out);
    let late = ask(&["get", "totals", "a1", "--wait", "transactions/0@99", "--timeout", "1ms"]);
    assert_eq!(late.code, Some(4), "{late:?}");
    // A partition that may still be made is waited for, one of a topic that is not read is a mistake.
    let unmade = ask(&["get", "totals", "a1", "--wait", "transactions/7@0", "--timeout", "1ms"]);
    assert_eq!(unmade.code, Some(4), "{unmade:?}");
    let foreign = ask(&["get", "totals", "a1", "--wait", "orders/0@0"]);
    assert_eq!((foreign.code, foreign.err.contains("reads no partition")), (Some(2), true), "{foreign:?}");
    assert_eq!(ask(&["get", "totals", "zz"]).code, Some(1));

    let dropped = ask(&["drop", "totals"]);
    assert_eq!(
        (dropped.code, dropped.err.contains("stop it before dropping `totals`")),
        (Some(2), true),
        "{dropped:?}"
    );
    let second = project.run(&["run", "totals.proj"]);
    assert_eq!((second.code, second.err.contains("another process")), (Some(2), true), "{second:?}");
}

#[test]
fn documents_are_served_over_http() {
    let project = project();
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let list = "/v1/projections/totals/documents";
    let one = engine.get(&format!("{list}/a1?sink=cache&wait=transactions/0@2&timeout=30s"));
    assert_eq!(one.0, 200, "{}", one.1);
    let (code, body) = engine.get(&format!("{list}?sink=cache&limit=1"));
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &page["next"], &page["documents"][0]["key"]), (200, &"a1".into(), &"a1".into()), "{body}");
    let (code, body) = engine.get(&format!("{list}?sink=cache&after=a1"));
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (code, &page["next"], &page["documents"][0]["key"]),
        (200, &serde_json::Value::Null, &"a2".into()),
        "{body}"
    );
    assert_eq!(engine.get("/readyz"), (200, r#"{"ready":true,"reasons":[]}"#.into()));
    let (_, metrics) = engine.get("/metrics");
    assert!(metrics.contains("projector_events_total{projection=\"totals\",outcome=\"folded\"} 3"), "{metrics}");
}

#[test]
fn an_event_that_comes_later_is_folded_and_the_cache_is_filled_again_after_a_restart() {
    let project = project();
    let engine = Running::start(&project, &["run", "totals.proj"]);
    let more = format!("{EVENTS}{{\"value\":{{\"account\":\"a2\",\"amount\":4}}}}\n");
    project.write("events/transactions/0.jsonl", &more);
    let path = "/v1/projections/totals/documents/a2?sink=cache&wait=transactions/0@3&timeout=30s";
    let (code, body) = engine.get(path);
    assert!(code == 200 && body.contains(r#""total":"5""#), "{body}");
    assert_eq!(engine.stop("TERM"), Some(143));

    let again = Running::start(&project, &["run", "totals.proj"]);
    let (code, body) = again.get(path);
    assert!(code == 200 && body.contains(r#""total":"5""#), "{body}");
    assert_eq!(again.stop("INT"), Some(130));
    let status = project.run(&["status"]);
    assert!(status.out.contains("4 folded"), "{}", status.out);
}

#[test]
fn a_partition_that_stops_shows_on_readyz_and_in_status() {
    let project = project();
    project.write(
        "events/transactions/0.jsonl",
        &format!("{EVENTS}{{\"value\":{{\"account\":\"a1\",\"amount\":\"x\"}}}}\n"),
    );
    // A second partition keeps the projection running.
    project.write("events/transactions/1.jsonl", EVENTS);
    let engine = Running::start(&project, &["run", "totals.proj"]);
    engine.until("/readyz", |code, body| code == 503 && body.contains("partition transactions/0 is stopped"));
    let folded = r#""partition":0,"next_offset":3,"end":4,"lag_events":1,"#;
    engine.until("/v1/projections/totals", |_, body| body.contains(folded));
    let status = engine.ask(&project, &["status"]);
    assert!(status.out.contains("stopped: "), "{}", status.out);
    assert!(status.out.contains("transactions/0 next 3, 1 behind"), "{}", status.out);
    assert_eq!(engine.stop("TERM"), Some(143));
}

#[test]
fn a_partition_that_is_gone_is_named() {
    let project = project();
    project.write("events/transactions/1.jsonl", EVENTS);
    assert_eq!(project.run(&["run", "totals.proj", "--until-caught-up"]).code, Some(0));
    std::fs::remove_file(project.path("events/transactions/1.jsonl")).unwrap();
    let run = project.run(&["run", "totals.proj", "--until-caught-up"]);
    let why = "error: totals: transactions/1: the partition is no longer there";
    assert_eq!((run.code, run.err.contains(why)), (Some(3), true), "{}", run.err);
}

#[test]
fn another_server_at_the_address_is_told_from_an_engine() {
    let project = project();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream
                .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 13\r\nconnection: close\r\n\r\n<html></html>");
        }
    });
    let output = project.command(&["status"]).env("PORT", &port).output().unwrap();
    let why = format!(
        "error: the engine at 127.0.0.1:{port} could not be asked: what answers there, with 404, is no engine\n"
    );
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(4), why));
}
