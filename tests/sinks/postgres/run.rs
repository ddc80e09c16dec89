//! `projector run` into a real PostgreSQL: the same documents as the embedded store, whatever happens on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use projector::sinks::DocumentSink;
use serde_json::Value;

use super::{plan_of, query, session, sink};
use crate::recovery::kill::Feed;
use crate::recovery::ledger;
use crate::recovery::log::LogWriter;
use crate::recovery::random::{Random, seed};
use crate::recovery::story::{ACCOUNTS, VISITS, tell};
use crate::services::{Server, postgres, postgres_with};
use crate::site::Site;

/// A site whose `into postgres` goes to a real database, and one whose documents are embedded.
fn sites(dir: &Path, file: &Path, source: &str, url: &str) -> (Site, Site) {
    let real = Site::new(&dir.join("real"), file, source);
    let config = real.dir().join("projector.toml");
    let text = fs::read_to_string(&config).expect("a configuration").replace(
        "[connections.postgres]\nkind = \"embedded\"",
        &format!("[connections.postgres]\nkind = \"postgres\"\nurl = \"{url}\""),
    );
    fs::write(&config, text).expect("a configuration");
    (real, Site::new(&dir.join("embedded"), file, source))
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("documents are JSON")
}

/// Compares the rows of a table with the embedded documents; returns each row's version by its key.
async fn compare(
    url: &str,
    text: &str,
    table: &str,
    embedded: &Site,
    projection: &'static str,
) -> BTreeMap<String, u64> {
    let expected =
        embedded.documents([(projection, "postgres")]).remove(&(projection, "postgres")).expect("it was asked for");
    assert!(expected.len() >= 10, "too few documents to show anything");
    let sink = sink(&plan_of(text), url);
    let mut versions = BTreeMap::new();
    for (key, document) in &expected {
        let found = sink.read(key).await.expect("it is up").unwrap_or_else(|| panic!("`{key}` is missing"));
        let mut body: Value = serde_json::from_slice(&found.body).expect("documents are JSON");
        body.as_object_mut().and_then(|body| body.remove("_proj")).expect("it is marked");
        assert_eq!(body, value(document), "`{key}`");
        versions.insert(key.clone(), found.version.0);
    }
    let count = query(&session(url).await, &format!("select count(*) from {table}")).await;
    assert_eq!(count, [expected.len().to_string()], "rows that nothing made");
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_a_table() {
    let Some(postgres) = postgres() else { return };
    let (url, dir) = (postgres.database("catalogue"), tempfile::tempdir().expect("a folder"));
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(repository.join("projections/product_catalogue.proj")).expect("a file");
    let text = text.replace("table: \"products\"", "table: \"products\"\n    create: true");
    let file = dir.path().join("catalogue.proj");
    fs::write(&file, &text).expect("a file");
    let source = format!("kind = \"log\"\npath = {:?}\n", repository.join("examples/events"));
    let (real, embedded) = sites(dir.path(), &file, &source, &url);
    real.catch_up();
    embedded.catch_up();
    let first = compare(&url, &text, "products", &embedded, "product_catalogue").await;
    real.catch_up();
    let second = compare(&url, &text, "products", &embedded, "product_catalogue").await;
    assert_eq!(first, second, "a second run writes nothing");
    // A table that lost its rows is filled again.
    query(&session(&url).await, "truncate products").await;
    real.catch_up();
    compare(&url, &text, "products", &embedded, "product_catalogue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_engine_and_of_the_server_change_no_document() {
    let Some(mut postgres) = postgres_with(&[]) else { return };
    let seed = seed("kills_of_the_engine_and_of_the_server_change_no_document");
    let (url, dir) = (postgres.database("ledger"), tempfile::tempdir().expect("a folder"));
    let text = fs::read_to_string(ledger::file()).expect("a file");
    let text =
        text.replace("into cosmos { container: \"Balances\" }", "into postgres { table: \"balances\" create: true }");
    let file = dir.path().join("ledger.proj");
    fs::write(&file, &text).expect("a file");
    let events = dir.path().join("events");
    let (real, embedded) = sites(dir.path(), &file, &format!("kind = \"log\"\npath = {events:?}\n"), &url);
    let (story, mut random) = (tell(seed, 4000), Random::new(seed));
    let mut log = LogWriter::new(&events, 3, &[ACCOUNTS, VISITS]);
    for (number, part) in story.chunks(500).enumerate() {
        disturb(&mut postgres.server, &real, &mut log, (number, part), &mut random);
    }
    log.finish();
    real.catch_up();
    embedded.catch_up();
    compare(&url, &text, "balances", &embedded, "balances").await;
}

/// Tells a part of the story to a run that is killed, and now and then the server with it.
fn disturb(
    server: &mut Server,
    site: &Site,
    log: &mut LogWriter,
    (number, part): (usize, &[crate::recovery::story::Told]),
    random: &mut Random,
) {
    let mut running = site.run();
    for (piece, told) in part.chunks(25).enumerate() {
        log.append(told, random);
        // The moment of the kill is what is random here: this waits for nothing.
        std::thread::sleep(Duration::from_micros(random.below(40_000) as u64));
        if piece == 10 && number % 2 == 1 {
            server.kill();
            server.restart();
        }
    }
    if number % 3 == 0 {
        log.finish();
        site.wait_until("done", &mut running, || site.progress("balances").is_some_and(|now| now.is_done()));
    }
    running.kill();
}
