//! Documents as rows of a real PostgreSQL.

mod claims;
mod run;
mod tables;
mod trouble;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::language;
use projector::plan::{Plan, lower};
use projector::sinks::postgres::{PostgresConnection, PostgresSink};
use projector::sinks::{DocumentSink, DocumentWrite, Outcome};
use projector::testing::sinks::{Subject, conformance, plan, put};
use tokio_postgres::SimpleQueryMessage;

use crate::services::postgres;

/// Where the notes of most tests go.
const NOTES: &str = "postgres { table: \"notes\", create: true }";

fn sink(plan: &Plan, url: &str) -> Arc<PostgresSink> {
    Arc::new(PostgresSink::new(plan, 0, PostgresConnection::new(url)).expect("the options make a table"))
}

/// The plan of a file with one projection.
fn plan_of(text: &str) -> Arc<Plan> {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = language::files::load(&[PathBuf::from("test.proj")], &read).expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

/// A note as `NOTES` has it.
fn note(key: &str, version: u64, n: &str) -> DocumentWrite {
    let body = serde_json::json!({ "k": key, "n": n, "_proj": { "p": "noted", "v": version } });
    put(key, version, &body.to_string())
}

async fn write(sink: &PostgresSink, batch: Vec<DocumentWrite>) -> Vec<Outcome> {
    sink.write(batch, Instant::now() + Duration::from_secs(60)).await
}

/// A session of the test's own.
async fn session(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("it is up");
    tokio::spawn(connection);
    client
}

/// The rows of an answer, their columns joined by `|`.
async fn query(client: &tokio_postgres::Client, sql: &str) -> Vec<String> {
    let answers = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let rows = answers.into_iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => {
            Some((0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
        }
        _ => None,
    });
    rows.collect()
}

/// Waits until a query answers with this.
async fn wait_for(client: &tokio_postgres::Client, sql: &str, answer: &str) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while query(client, sql).await != [answer] {
        assert!(Instant::now() < give_up, "`{sql}` never answered {answer}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn keeps_the_law_of_sinks() {
    let Some(postgres) = postgres() else { return };
    let plan = plan(NOTES);
    let sink = sink(&plan, &postgres.database("law"));
    conformance(&Subject { sink: &*sink, plan, lists: false, raises: false }).await;
}
