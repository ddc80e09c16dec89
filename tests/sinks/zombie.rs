//! A process that was frozen, and wakes after another one with a directory of its own has taken its documents over.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::storm::{PROJECTIONS, compare, document_of, documents, ledger_into};
use super::targets::{self, Target};
use crate::recovery::fold::fold;
use crate::recovery::kill::Feed;
use crate::recovery::log::LogWriter;
use crate::recovery::random::{Random, seed};
use crate::recovery::story::{ACCOUNTS, Told, VISITS, tell};
use crate::site::{Running, Site};

const RECORDS: usize = 400;

#[test]
fn a_frozen_process_that_wakes_changes_no_document_of_its_successor() {
    let targets = targets::all();
    if targets.is_empty() {
        return;
    }
    let seed = seed("a_frozen_process_that_wakes_changes_no_document_of_its_successor");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ledger.proj");
    fs::write(&file, ledger_into(&targets)).expect("a file");
    let events = dir.path().join("events");
    let site = |name: &str| {
        let mut site = Site::new(&dir.path().join(name), &file, &format!("kind = \"log\"\npath = {events:?}\n"));
        targets.iter().for_each(|target| site.bind(target.kind, &target.connection()));
        site
    };
    let (first, second) = (site("first"), site("second"));
    let story = tell(seed, 3 * RECORDS);
    let mut feed = LogWriter::new(&events, 2, &[ACCOUNTS, VISITS]);
    let mut random = Random::new(seed);

    feed.append(&story[..RECORDS], &mut random);
    let mut frozen = first.run();
    feed.finish();
    wait_until_written(&first, &mut frozen, &targets, &story[..RECORDS]);
    frozen.signal("STOP");

    // The successor knows nothing: it waits until the claims have stood still, folds everything anew and writes it all.
    feed.append(&story[RECORDS..2 * RECORDS], &mut random);
    let mut successor = second.run();
    feed.finish();
    wait_until_written(&second, &mut successor, &targets, &story[..2 * RECORDS]);
    // What comes now the first one has not read yet: awake, it would write it in an epoch of its own.
    let before = versions(&second, &targets, &fold(&story[..2 * RECORDS])[&("balances", "cosmos")]);
    frozen.signal("CONT");
    let stands_back = || {
        let trouble =
            |projection: &str| first.progress(projection)?.trouble().map(|why| why.contains("another process"));
        PROJECTIONS.iter().all(|projection| trouble(projection) == Some(true))
    };
    first.wait_until("aware that it is no longer the owner", &mut frozen, stands_back);
    let after = versions(&second, &targets, &fold(&story[..2 * RECORDS])[&("balances", "cosmos")]);
    assert_eq!(before, after, "the one that woke has written");

    feed.append(&story[2 * RECORDS..], &mut random);
    feed.finish();
    wait_until_written(&second, &mut successor, &targets, &story);
    drop((successor, frozen));
    compare(&second, &targets, &story);
}

/// Waits until every document that there must be is in every target, and is written for good. Deletes may still be confirmed.
fn wait_until_written(site: &Site, running: &mut Running, targets: &[Target], told: &[Told]) {
    let expected = fold(told);
    let walked = |projection: &str| site.progress(projection).is_some_and(|now| now.has_walked());
    site.wait_until("done", running, || {
        let written = || documents(site, targets, &expected).all(|(_, _, _, found, must)| found == Some(must));
        PROJECTIONS.iter().all(|projection| walked(projection)) && written()
    });
}

/// (target, key) → the version there.
fn versions(
    site: &Site,
    targets: &[Target],
    keys: &BTreeMap<String, String>,
) -> BTreeMap<(&'static str, String), Value> {
    let version = |target: &Target, key: &String| {
        let document = document_of(site, "balances", target.kind, key).unwrap_or_else(|| panic!("it lacks `{key}`"));
        ((target.kind, key.clone()), document["_proj"]["v"].clone())
    };
    targets.iter().flat_map(|target| keys.keys().map(move |key| version(target, key))).collect()
}
