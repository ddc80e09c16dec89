//! Values that can never be written among others, and servers that are away, full, or about to go.

use std::time::{Duration, Instant};

use projector::sinks::postgres::{PostgresConnection, PostgresSink};
use projector::sinks::{DocumentSink, Outcome};
use projector::testing::sinks::{delete, plan};

use super::{NOTES, note, query, session, sink, write};
use crate::services::{Proxy, postgres, postgres_with};

/// The places and reasons of what can never be written; all others must be written.
fn poison(outcomes: &[Outcome]) -> Vec<(usize, &str)> {
    let bad = outcomes.iter().enumerate().filter_map(|(at, outcome)| match outcome {
        Outcome::Ok => None,
        Outcome::Poison { reason } => Some((at, reason.as_str())),
        other => panic!("{at}: {other:?}"),
    });
    bad.collect()
}

#[tokio::test]
async fn one_bad_document_never_fails_its_batch() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("poison");
    let sink = sink(&plan(NOTES), &url);
    write(&sink, vec![note("gone", 1, "x")]).await;
    let client = session(&url).await;
    query(&client, "alter table notes add constraint short check (length(n) < 20)").await;
    let mut batch: Vec<_> = (0..999).map(|at| note(&format!("{at:04}"), 5, "x")).collect();
    batch[17] = note("0017", 5, "a\0b");
    batch[500] = note("0500", 5, "much longer than twenty");
    batch[501] = delete("gone", 5);
    batch.push(note("last", 5, "much longer than twenty"));
    let outcomes = write(&sink, batch).await;
    let bad = poison(&outcomes);
    assert_eq!(bad.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [17, 500, 999]);
    assert!(bad[0].1.contains("0x00"), "{bad:?}");
    assert!(bad[1].1.contains("short") && bad[1].1.contains("23514"), "{bad:?}");
    assert_eq!(query(&client, "select count(*) from notes").await, ["996"]);
    // A key that no row can have has none.
    assert_eq!(write(&sink, vec![delete("a\0b", 5), delete("0000", 6)]).await, [Outcome::Ok, Outcome::Ok]);
    assert_eq!(sink.read("a\0b").await.unwrap().map(|document| document.version), None);
    // The document is written once it can be.
    query(&client, "alter table notes drop constraint short").await;
    assert_eq!(write(&sink, vec![note("last", 5, "much longer than twenty")]).await, [Outcome::Ok]);
}

#[tokio::test]
async fn a_constraint_that_is_looked_at_by_the_commit_counts_too() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("deferred");
    let sink = sink(&plan(NOTES), &url);
    write(&sink, vec![note("a", 1, "x")]).await;
    let client = session(&url).await;
    query(&client, "alter table notes add constraint known unique (n) deferrable initially deferred").await;
    let outcomes = write(&sink, vec![note("b", 2, "y"), note("c", 2, "x"), note("d", 2, "z")]).await;
    let bad = poison(&outcomes);
    assert!(matches!(&bad[..], [(1, reason)] if reason.contains("known")), "{bad:?}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_written_again() {
    let Some(mut postgres) = postgres_with(&[]) else { return };
    let sink = sink(&plan(NOTES), &postgres.database("killed"));
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    postgres.server.kill();
    for _ in 0..2 {
        let outcomes = write(&sink, vec![note("a", 2, "x")]).await;
        assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
    }
    assert!(sink.read("a").await.is_err());
    postgres.server.restart();
    assert_eq!(write(&sink, vec![note("a", 2, "x"), note("b", 2, "x")]).await, [Outcome::Ok, Outcome::Ok]);
    assert_eq!(sink.read("a").await.unwrap().unwrap().version.0, 2);
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_busy() {
    let Some(postgres) = postgres_with(&["max_connections=4", "superuser_reserved_connections=0"]) else { return };
    let url = postgres.database("full");
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(session(&url).await);
    }
    let sink = sink(&plan(NOTES), &url);
    let outcomes = write(&sink, vec![note("a", 1, "x")]).await;
    assert!(matches!(&outcomes[..], [Outcome::Busy { .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn a_deadline_holds_while_the_network_has_a_hole() {
    let Some(postgres) = postgres() else { return };
    let proxy = Proxy::to(postgres.server.port);
    let url = postgres.database("hole");
    let through = url.replace(&format!(":{}", postgres.server.port), &format!(":{}", proxy.address().port()));
    let sink = sink(&plan(NOTES), &through);
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    proxy.stall();
    let outcomes = sink.write(vec![note("a", 2, "x")], Instant::now() + Duration::from_millis(200)).await;
    assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
    proxy.forward();
    assert_eq!(write(&sink, vec![note("a", 3, "x")]).await, [Outcome::Ok]);
}

#[tokio::test]
async fn a_row_that_others_have_locked_is_tried_again() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("locked");
    let sink = sink(&plan(NOTES), &url);
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    let client = session(&url).await;
    query(&client, "begin; select 1 from notes for update").await;
    let outcomes = sink.write(vec![note("a", 2, "x")], Instant::now() + Duration::from_millis(200)).await;
    assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
    query(&client, "rollback").await;
    assert_eq!(write(&sink, vec![note("a", 2, "x")]).await, [Outcome::Ok]);
}

#[tokio::test]
async fn tls_is_spoken_only_to_a_server_that_is_known() {
    let Some(postgres) = postgres_with(&["tls"]) else { return };
    let url = format!("{}?sslmode=require", postgres.database("tls").replace("postgres@", "postgres:hunter2@"));
    let known = PostgresConnection { ca: Some(postgres.server.authority()), ..PostgresConnection::new(&url) };
    let sink = |connection| PostgresSink::new(&plan(NOTES), 0, connection).expect("the options make a table");
    let trusting = sink(known);
    assert_eq!(write(&trusting, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    let plain = session(url.split('?').next().unwrap()).await;
    let ssl = "select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'projector'";
    assert_eq!(query(&plain, ssl).await, ["t"]);

    let outcomes = write(&sink(PostgresConnection::new(&url)), vec![note("a", 2, "x")]).await;
    let [Outcome::Retry { reason }] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert!(reason.contains("certificate") && !reason.contains("hunter"), "{reason}");
}
