//! The projections of this repository, run as its README runs them: their own tests, and the documents they make of
//! `examples/events`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::site::Site;

const SINKS: [(&str, &str); 5] = [
    ("account_summary", "cosmos"),
    ("account_summary", "balances"),
    ("customer_search", "elasticsearch"),
    ("order_view", "elasticsearch"),
    ("product_catalogue", "postgres"),
];

fn example_events() -> String {
    format!("kind = \"log\"\npath = {:?}\n", Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/events"))
}

#[test]
fn the_tests_in_the_files_pass() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = Site::new(dir.path(), Path::new("projections"), &example_events());
    let output = site.output(&["test", "projections"]);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn the_small_event_log_makes_these_documents() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = Site::new(dir.path(), Path::new("projections"), &example_events());
    site.catch_up();
    let world = site.documents(SINKS);
    let mut shown = String::new();
    for ((projection, sink), documents) in &world {
        let _ = writeln!(shown, "{projection} → {sink}");
        for (key, document) in documents {
            let _ = writeln!(shown, "  {key}  {document}");
        }
    }
    insta::assert_snapshot!(shown);

    let expected = bank_totals();
    let found = &world[&("account_summary", "cosmos")];
    assert_eq!(expected.len(), found.len());
    for (account, (cents, count)) in expected {
        let document: Value = serde_json::from_str(&found[&account]).expect("a document is JSON");
        let sign = if cents < 0 { "-" } else { "" };
        let total = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
        assert_eq!(
            (document["total_balance"].as_str(), document["transaction_count"].as_i64()),
            (Some(&*total), Some(count)),
            "{account}"
        );
    }
}

/// (cents, transactions) of every account, straight from the lines of the log.
fn bank_totals() -> BTreeMap<String, (i64, i64)> {
    let mut totals: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for partition in 0..4 {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/events/bank.transactions/{partition}.jsonl"));
        for line in fs::read_to_string(path).expect("a partition").lines() {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let account = line["key"].as_str().expect("a key").to_string();
            let sign = match line["headers"]["event-type"].as_str().expect("a type") {
                "Deposited" => 1,
                "Withdrawn" => -1,
                _ => {
                    totals.remove(&account);
                    continue;
                }
            };
            let thousandths = (line["value"]["amount"].as_f64().expect("an amount") * 1000.0).round() as i64;
            if line["value"]["currency"] == "NOK" && thousandths % 10 == 0 {
                let (cents, count) = totals.entry(account).or_default();
                *cents += sign * thousandths / 10;
                *count += 1;
            }
        }
    }
    totals
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
