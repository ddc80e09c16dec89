//! Documents as rows of a real PostgreSQL.

use projector::plan::Plan;
use projector::sinks::postgres::{PostgresConnection, PostgresSink};
use projector::testing::sinks::{Subject, conformance, plan};

use crate::services::postgres;

fn sink(plan: &Plan, url: &str) -> PostgresSink {
    PostgresSink::new(plan, 0, PostgresConnection::new(url)).expect("the options make a table")
}

#[tokio::test]
async fn keeps_the_law_of_sinks() {
    let Some(postgres) = postgres() else { return };
    let plan = plan("postgres { table: \"notes\", create: true }");
    let sink = sink(&plan, &postgres.database("law"));
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}
