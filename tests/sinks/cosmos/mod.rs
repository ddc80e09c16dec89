//! Documents in Cosmos DB, for which the emulator of its SDK stands here.

mod run;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::event::Version;
use projector::language;
use projector::plan::{Plan, lower};
use projector::sinks::claim::{ClaimMove, ClaimedTarget};
use projector::sinks::cosmos::{Access, Account, CosmosSink};
use projector::sinks::{DocumentSink, DocumentWrite, Outcome};
use projector::testing::sinks::{Subject, claim, conformance, delete, plan, put};

use crate::services::{Server, cosmos};

/// Any text in base64: the emulator looks at none.
const KEY: &str = "cHJvamVjdG9y";

fn account(url: &str) -> Account {
    Account { endpoint: url.into(), database: Some("views".into()), region: None, access: Access::Key(KEY.into()) }
}

fn sink(plan: &Arc<Plan>, url: &str) -> CosmosSink {
    CosmosSink::new(plan.clone(), 0, account(url)).expect("the plan fits")
}

/// The plan of a file with one projection.
fn plan_of(text: &str) -> Arc<Plan> {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = language::files::load(&[PathBuf::from("test.proj")], &read).expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

/// A plan and a sink over a container of its own, which is made.
async fn fresh(server: &Server, document: &str, options: &str) -> (Arc<Plan>, CosmosSink) {
    let container = server.unique("c");
    let plan = plan(&format!("cosmos {document} {{ container: \"{container}\"{options} }}"));
    let sink = sink(&plan, &server.url);
    assert_eq!(sink.read_claim().await.expect("it is made"), None);
    (plan, sink)
}

/// A document of the suite's projection.
fn note(key: &str, version: u64, n: &str) -> DocumentWrite {
    let body =
        serde_json::json!({ "id": key, "k": key, "n": n, "region": "eu", "_proj": { "p": "noted", "v": version } });
    put(key, version, &body.to_string())
}

async fn write(sink: &CosmosSink, batch: Vec<DocumentWrite>) -> Vec<Outcome> {
    sink.write(batch, Instant::now() + Duration::from_secs(60)).await
}

async fn version(sink: &CosmosSink, key: &str) -> Option<Version> {
    sink.read(key).await.expect("it can be read").map(|found| found.version)
}

#[tokio::test]
async fn documents_by_id_keep_the_law_of_sinks() {
    let Some(server) = cosmos() else { return };
    let (plan, sink) = fresh(server, "", "").await;
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}

#[tokio::test]
async fn documents_by_partition_key_keep_the_law_of_sinks() {
    let Some(server) = cosmos() else { return };
    let (plan, sink) = fresh(server, "", ", partition_key: k, ttl: 1h").await;
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}

#[tokio::test]
async fn documents_of_one_partition_keep_the_law_of_sinks() {
    let Some(server) = cosmos() else { return };
    let (plan, sink) = fresh(server, "as { k, n, region: \"eu\" }", ", partition_key: \"eu\"").await;
    conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
}

const VISITS: &str = r#"
event Visited { tenant: string, user: string, day: date, active: bool }
topic visits = "visits" { type: header("type") events: Visited }
projection visited {
  from visits
  key .tenant, .user, .day
  state { n = count() }
  into cosmos { container: "CONTAINER", partition_key: [tenant, day, user] }
}
"#;

/// A key of several parts, at a partition key of several levels.
#[tokio::test]
async fn a_partition_key_has_up_to_three_levels() {
    let Some(server) = cosmos() else { return };
    let plan = plan_of(&VISITS.replace("CONTAINER", &server.unique("c")));
    let sink = sink(&plan, &server.url);
    assert_eq!(sink.read_claim().await.expect("it is made"), None);
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
    let visit = |user: &str, version: u64| {
        let key = format!("t/1|{user}|2026-01-05");
        let id = key.replace('/', "%2F");
        let mark = serde_json::json!({ "p": "visited", "v": version });
        let body =
            serde_json::json!({ "id": id, "tenant": "t/1", "user": user, "day": "2026-01-05", "n": 1, "_proj": mark });
        put(&key, version, &body.to_string())
    };
    assert_eq!(write(&sink, vec![visit("a", 5), visit("b", 5)]).await, [Outcome::Ok, Outcome::Ok]);
    assert_eq!(version(&sink, "t/1|a|2026-01-05").await, Some(Version(5)));
    assert_eq!(write(&sink, vec![visit("b", 9)]).await, [Outcome::Ok]);
    let sweeper = sink.sweeper().expect("it has one");
    let until = Instant::now() + Duration::from_secs(60);
    assert!(!sweeper.sweep(Version(9), Version(9), 10, until).await.expect("it is swept"));
    assert_eq!(version(&sink, "t/1|a|2026-01-05").await, None);
    assert_eq!(version(&sink, "t/1|b|2026-01-05").await, Some(Version(9)));
    assert_eq!(sink.read_claim().await.unwrap(), Some(claim(1, 1)), "a sweep leaves the claim alone");
}

/// One request for many documents, and none of them lost when one is in the way.
#[tokio::test]
async fn documents_of_one_partition_go_together() {
    let Some(server) = cosmos() else { return };
    let (plan, first) = fresh(server, "as { k, n, region: \"eu\" }", ", partition_key: \"eu\"").await;
    let notes =
        |count: usize, version: u64| (0..count).map(|n| note(&format!("k{n:03}"), version, "x")).collect::<Vec<_>>();
    assert!(write(&first, notes(150, 5)).await.iter().all(|outcome| *outcome == Outcome::Ok));
    let metered = first.meter().expect("it counts").read();
    assert_eq!((metered.requests, metered.documents), (2, 150));
    assert!(metered.charge_milli > 0);
    assert!(write(&first, notes(100, 6)).await.iter().all(|outcome| *outcome == Outcome::Ok));
    assert_eq!(first.meter().expect("it counts").read().requests, 3, "what we wrote is replaced together too");

    // A sink that remembers nothing, and one document that is newer than all of them.
    assert_eq!(write(&first, vec![note("k007", 50, "newer")]).await, [Outcome::Ok]);
    let second = sink(&plan, &server.url);
    let outcomes = write(&second, notes(20, 9)).await;
    for (index, outcome) in outcomes.iter().enumerate() {
        match index {
            7 => assert!(matches!(outcome, Outcome::Foreign { stored: Some(Version(50)), .. }), "{outcome:?}"),
            _ => assert_eq!(*outcome, Outcome::Ok),
        }
    }
    assert_eq!(version(&first, "k008").await, Some(Version(9)));
    let mut batch = notes(20, 12);
    batch.remove(7);
    batch.truncate(10);
    batch.extend(["k015", "k016"].map(|key| delete(key, 12)));
    assert!(write(&second, batch).await.iter().all(|outcome| *outcome == Outcome::Ok));
    assert_eq!(version(&first, "k015").await, None);
}

/// What JSON can hold comes back as it was written; what the service adds does not.
#[tokio::test]
async fn documents_come_back_as_they_were_written() {
    let Some(server) = cosmos() else { return };
    let (_, sink) = fresh(server, "", ", ttl: 30d").await;
    let body = r#"{"id":"v","k":"v","n":"ä\n\"😀","int":9007199254740992,"least":-9007199254740992,"float":0.1,"dec":"12345678901234567890.10","at":"2026-01-05T08:01:14.000001Z","none":null,"list":[{"a":[]},null,true],"map":{"":1,"a.b":{}},"_proj":{"p":"noted","v":9007199254740991}}"#;
    assert_eq!(write(&sink, vec![put("v", 9007199254740991, body)]).await, [Outcome::Ok]);
    let found = sink.read("v").await.expect("it can be read").expect("it is there");
    assert_eq!(found.version, Version(9007199254740991));
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("documents are JSON");
    assert_eq!(json(&found.body), json(body.as_bytes()));
}
