//! The binary writes an index: the same documents as the embedded store, whatever crashes, and again when it is deleted.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::recovery::fold::fold;
use crate::recovery::kill::Feed;
use crate::recovery::ledger;
use crate::recovery::log::LogWriter;
use crate::recovery::random::{Random, seed};
use crate::recovery::story::{ACCOUNTS, VISITS, tell};
use crate::services::Server;
use crate::site::{Documents, Site, without_proj};

/// How often the engine is killed in the middle of a run.
const KILLS: usize = 8;
const RECORDS_A_KILL: usize = 400;

/// A site whose sinks write to the node.
fn site(node: &Server, dir: &Path, projections: &Path, source: &str) -> Site {
    let site = Site::new(dir, projections, source);
    let file = dir.join("projector.toml");
    let config = fs::read_to_string(&file).expect("it was just written");
    let bound = format!("[connections.elasticsearch]\nkind = \"elasticsearch\"\nurl = \"{}\"\n", node.url);
    fs::write(file, config.replace("[connections.elasticsearch]\nkind = \"embedded\"\n", &bound)).expect("a file");
    site
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: u64,
    #[serde(rename = "_source", borrow)]
    source: &'a RawValue,
}

/// What a reader finds in an index: the text of each document, and its version.
fn documents(node: &Server, index: &str) -> (Documents, BTreeMap<String, u64>) {
    let _ = ask("POST", &format!("{}/{index}/_refresh", node.url), &Value::Null);
    let asked = json!({"size": 10_000, "version": true}).to_string();
    let url = format!("{}/{index}/_search", node.url);
    let answer = ureq::post(url).header("content-type", "application/json").send(asked).expect("an answer");
    let text = answer.into_body().read_to_string().expect("a text");
    let answer: Answer<'_> = serde_json::from_str(&text).expect("hits");
    let versions = answer.hits.hits.iter().map(|hit| (hit.id.clone(), hit.version)).collect();
    (answer.hits.hits.into_iter().map(|hit| (hit.id, without_proj(hit.source.get()))).collect(), versions)
}

#[test]
fn the_projections_of_the_repository_fill_an_index_as_they_fill_the_embedded_store() {
    let Some(node) = services::opensearch() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let [orders, customers] = [node.unique("orders"), node.unique("customers")];
    let projections = dir.path().join("projections");
    fs::create_dir_all(projections.join("shared")).expect("a folder");
    for file in ["order_view.proj", "customer_search.proj", "shared/shop_events.proj"] {
        let text = fs::read_to_string(root.join("projections").join(file)).expect("a file");
        let text = text.replace("orders-v1", &orders).replace("customers-v3", &customers);
        fs::write(projections.join(file), text).expect("a file");
    }
    let source = format!("kind = \"log\"\npath = {:?}\n", root.join("examples/events"));
    let sinks = [("order_view", "elasticsearch"), ("customer_search", "elasticsearch")];
    let embedded = Site::new(&dir.path().join("embedded"), &projections, &source);
    embedded.catch_up();
    let expected = embedded.documents(sinks);

    let written = site(node, &dir.path().join("written"), &projections, &source);
    written.catch_up();
    let found = [&orders, &customers].map(|index| documents(node, index));
    for (sink, found) in sinks.iter().zip(&found) {
        assert!(expected[sink].len() >= 10, "too few to show anything");
        assert_eq!(expected[sink], found.0, "{sink:?}");
    }
    // A second run has nothing to do.
    written.catch_up();
    assert_eq!([&orders, &customers].map(|index| documents(node, index)), found);
}

#[test]
fn sigkill_while_it_writes_an_index_changes_no_document() {
    let Some(node) = services::opensearch() else { return };
    let seed = seed("sigkill_while_it_writes_an_index_changes_no_document");
    let mut random = Random::new(seed);
    let dir = tempfile::tempdir().expect("a folder");
    let [balances, activity] = [node.unique("balances"), node.unique("activity")];
    let text = fs::read_to_string(ledger::file()).expect("a file");
    let text = text.replace("index: \"activity\"", &format!("index: \"{activity}\"")).replace(
        "cosmos { container: \"Balances\" }",
        &format!("elasticsearch {{ index: \"{balances}\" decimals: \"string\" name: \"cosmos\" }}"),
    );
    let file = dir.path().join("ledger.proj");
    fs::write(&file, text).expect("a file");
    let events = dir.path().join("events");
    let mut log = LogWriter::new(&events, 3, &[ACCOUNTS, VISITS]);
    let site = site(node, &dir.path().join("site"), &file, &format!("kind = \"log\"\npath = {events:?}\n"));

    let story = tell(seed, KILLS * RECORDS_A_KILL);
    let mut versions = BTreeMap::new();
    for part in story.chunks(RECORDS_A_KILL) {
        let (before, during) = part.split_at(random.below(part.len()));
        log.append(before, &mut random);
        let mut running = site.run();
        let ready = || site.progress("activity").is_some();
        site.wait_until("serving", &mut running, ready);
        for piece in during.chunks(20) {
            // The moment of the kill is what is random here: this waits for nothing.
            std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
            log.append(piece, &mut random);
        }
        running.kill();
        if ask("HEAD", &format!("{}/{balances}", node.url), &Value::Null).0 == 200 {
            for (id, version) in documents(node, &balances).1 {
                let before = versions.insert(id.clone(), version).unwrap_or(0);
                assert!(version >= before, "`{id}` went from {before} to {version}");
            }
        }
    }
    log.finish();
    site.catch_up();
    let expected = fold(&story);
    for (sink, index) in [(("balances", "cosmos"), &balances), (("activity", "elasticsearch"), &activity)] {
        assert!(expected[&sink].len() >= 10, "the story is too short to show anything");
        let without_id = |(key, document): (&String, &String)| {
            let id = format!("{{\"id\":{},", serde_json::Value::from(key.as_str()));
            (key.clone(), document.strip_prefix(&id).map_or(document.clone(), |rest| format!("{{{rest}")))
        };
        let expected: Documents = expected[&sink].iter().map(without_id).collect();
        assert_eq!(expected, documents(node, index).0, "{sink:?}");
    }
}

#[test]
fn an_index_that_is_deleted_under_a_running_engine_is_filled_anew() {
    let Some(node) = services::opensearch() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let index = node.unique("wiped");
    let file = dir.path().join("wiped.proj");
    let text = format!(
        "topic transactions = \"bank.transactions\"\nprojection wiped {{\n from transactions\n key event.key ?? \"-\"\n \
         state {{ n = count() }}\n into elasticsearch {{ index: \"{index}\" }}\n}}\n"
    );
    let text = text.replace("key event.key ?? \"-\"", "key k = event.key ?? \"-\"");
    fs::write(&file, text).expect("a file");
    let source =
        format!("kind = \"log\"\npath = {:?}\n", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/events"));
    let site = site(node, &dir.path().join("site"), &file, &source);
    site.catch_up();
    let (expected, _) = documents(node, &index);
    assert!(expected.len() >= 5, "too few to show anything");

    let mut running = site.run();
    site.wait_until("done", &mut running, || site.progress("wiped").is_some_and(|progress| progress.is_done()));
    assert_eq!(ask("DELETE", &format!("{}/{index}__g1", node.url), &Value::Null).0, 200);
    let filled = || {
        ask("HEAD", &format!("{}/{index}", node.url), &Value::Null).0 == 200 && documents(node, &index).0 == expected
    };
    site.wait_until("filled anew", &mut running, filled);
}
