//! `projector run` into a container: the same documents as the embedded store, whatever happens on the way; and one that is
//! given too few request units.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use projector::sinks::DocumentSink;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{KEY, plan_of, sink};
use crate::services::{Server, cosmos, cosmos_throttled};
use crate::site::{Documents, Site};

fn bind(site: &mut Site, server: &Server) {
    let lines = format!("kind = \"cosmos\"\nendpoint = \"{}\"\nkey = \"{KEY}\"\ndatabase = \"views\"\n", server.url);
    site.bind("cosmos", &lines);
}

/// What a container holds of these keys: the documents without `_proj`, and their versions.
struct Holder {
    runtime: Runtime,
    sink: projector::sinks::cosmos::CosmosSink,
}

impl Holder {
    fn new(text: &str, server: &Server) -> Holder {
        let runtime = Runtime::new().expect("threads");
        Holder { runtime, sink: sink(&plan_of(text), &server.url) }
    }

    fn document(&self, key: &str) -> Option<(Value, u64)> {
        // A container that is out of units answers a moment later.
        let read = async {
            loop {
                match self.sink.read(key).await {
                    Ok(found) => break found,
                    Err(error) if error.to_string().contains("429") => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let found = self.runtime.block_on(read)?;
        let mut body: Value = serde_json::from_slice(&found.body).expect("documents are JSON");
        body.as_object_mut().and_then(|body| body.remove("_proj")).expect("it is marked");
        Some((body, found.version.0))
    }

    fn is_equal(&self, expected: &Documents) -> bool {
        let value = |text: &str| serde_json::from_str::<Value>(text).expect("documents are JSON");
        expected.iter().all(|(key, text)| self.document(key).is_some_and(|(body, _)| body == value(text)))
    }

    fn versions(&self, expected: &Documents) -> BTreeMap<String, u64> {
        expected.keys().map(|key| (key.clone(), self.document(key).expect("it is there").1)).collect()
    }
}

#[test]
fn kills_change_no_document() {
    let Some(server) = cosmos() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(repository.join("projections/account_summary.proj")).expect("a file");
    let text = text.replace("TransactionViews", &server.unique("c"));
    let file = dir.path().join("account_summary.proj");
    fs::write(&file, &text).expect("a file");
    let source = format!("kind = \"log\"\npath = {:?}\n", repository.join("examples/events"));
    let embedded = Site::new(&dir.path().join("embedded"), &file, &source);
    embedded.catch_up();
    let expected = embedded.documents([("account_summary", "cosmos")]).remove(&("account_summary", "cosmos"));
    let expected = expected.expect("it was asked for");
    assert!(expected.len() >= 20, "too few documents to show anything");

    let mut site = Site::new(&dir.path().join("real"), &file, &source);
    bind(&mut site, server);
    let holder = Holder::new(&text, server);
    // Killed at the first document, and again when some are there.
    for some in [1, expected.len() / 2] {
        let mut running = site.run();
        let there = || expected.keys().filter(|key| holder.document(key).is_some()).count();
        site.wait_until("begun", &mut running, || there() >= some);
        running.kill();
    }
    let mut running = site.run();
    site.wait_until("equal", &mut running, || holder.is_equal(&expected));
    running.kill();
    let first = holder.versions(&expected);
    // A later run may send again what was not yet known to be settled, and nothing else.
    let mut running = site.run();
    site.wait_until("ready", &mut running, || site.get("/readyz").is_some());
    running.kill();
    assert!(holder.is_equal(&expected));
    let later = holder.versions(&expected);
    assert!(first.iter().all(|(key, version)| later[key] >= *version), "{first:?} went back to {later:?}");
}

const ACCOUNTS: usize = 400;

const THROTTLED: &str = r#"
topic transactions = "transactions"
projection totals {
  from transactions
  key .account
  state { total: decimal = sum(.amount)  count = count() }
  into cosmos { container: "Totals", throughput: 400 }
}
"#;

/// More documents than 400 request units a second take at once.
#[test]
fn a_throttled_container_loses_no_write_and_is_asked_little_more_than_once() {
    let Some(server) = cosmos_throttled() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("totals.proj");
    fs::write(&file, THROTTLED).expect("a file");
    let events = dir.path().join("events");
    fs::create_dir_all(events.join("transactions")).expect("a folder");
    let mut log = String::new();
    for round in 0..10 {
        for account in 0..ACCOUNTS {
            writeln!(log, r#"{{"key":"a{account}","value":{{"account":"a{account}","amount":{round}.5}}}}"#)
                .expect("memory");
        }
    }
    fs::write(events.join("transactions/0.jsonl"), log).expect("a log");
    let mut site = Site::new(&dir.path().join("site"), &file, &format!("kind = \"log\"\npath = {events:?}\n"));
    bind(&mut site, &server);
    let mut running = site.run();
    site.wait_until("done", &mut running, || site.progress("totals").is_some_and(|now| now.is_done()));
    let metrics = site.get("/metrics").expect("it serves");
    running.kill();
    let holder = Holder::new(THROTTLED, &server);
    for account in 0..ACCOUNTS {
        let (document, _) = holder.document(&format!("a{account}")).expect("it was written");
        assert_eq!((&document["total"], &document["count"]), (&"50".into(), &10.into()), "{document}");
    }
    let metric = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("projector_sink_{name}_total{{")));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no `{name}` in {metrics}"))
    };
    let (requests, documents, throttled) = (metric("requests"), metric("documents"), metric("throttled"));
    println!("{requests} requests, {documents} documents, {throttled} throttled, {} units", metric("charge"));
    assert!(throttled > 0.0, "it was never throttled: this shows nothing");
    assert!(documents < 4.0 * ACCOUNTS as f64, "{documents} documents were written for {} events", 10 * ACCOUNTS);
    assert!(requests < 1.3 * documents, "{requests} requests for {documents} documents");
}
