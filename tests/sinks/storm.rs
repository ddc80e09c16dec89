//! A storm over every kind of target at once: the engine is killed, servers are killed, connections are cut, held, refused, or
//! lose their answers; and readers look all the time.
//!
//! The story of the recovery tests is told to a log while it is folded into each target. In the end every target must hold
//! the documents of a fold that knows nothing of the engine, and no reader may ever have seen a version go back.
//!
//! For longer: `PROJECTOR_STORM_ROUNDS=200 cargo test --release --test main sinks::storm -- --nocapture`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::targets::{self, Target};
use crate::recovery::fold::fold;
use crate::recovery::kill::Feed;
use crate::recovery::ledger;
use crate::recovery::log::LogWriter;
use crate::recovery::random::{Random, seed};
use crate::recovery::story::{ACCOUNTS, Told, VISITS, tell};
use crate::site::{Site, World};

const ROUNDS: usize = 12;
const RECORDS_A_ROUND: usize = 150;
const PARTITIONS: u32 = 2;
/// The projections of the ledger, with what each of their documents is made of in the file.
pub const PROJECTIONS: [&str; 2] = ["balances", "activity"];

#[test]
fn no_storm_changes_a_document_or_turns_a_version_back() {
    let mut targets = targets::all();
    if targets.is_empty() {
        return;
    }
    let seed = seed("no_storm_changes_a_document_or_turns_a_version_back");
    let rounds = std::env::var("PROJECTOR_STORM_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("a number"));
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ledger.proj");
    fs::write(&file, ledger_into(&targets)).expect("a file");
    let events = dir.path().join("events");
    let mut site = Site::new(&dir.path().join("site"), &file, &format!("kind = \"log\"\npath = {events:?}\n"));
    targets.iter().for_each(|target| site.bind(target.kind, &target.connection()));

    let story = tell(seed, RECORDS_A_ROUND * rounds);
    let mut feed = LogWriter::new(&events, PARTITIONS, &[ACCOUNTS, VISITS]);
    let mut random = Random::new(seed);
    let readers = Readers::start(&site, &targets, &story);
    let (mut running, mut done) = (None, BTreeMap::new());
    for part in story.chunks(RECORDS_A_ROUND) {
        let mut run = running.take().unwrap_or_else(|| site.run());
        feed.append(part, &mut random);
        let struck = random.below(targets.len());
        let fault = targets[struck].strike(&mut random);
        *done.entry(format!("{} {fault}", targets[struck].kind)).or_insert(0) += 1;
        // What the storm does in that time is what is random here: this waits for nothing.
        std::thread::sleep(Duration::from_millis(100 + random.below(900) as u64));
        if random.one_in(3) {
            *done.entry("the engine is killed".to_owned()).or_insert(0) += 1;
            if run.ended().is_none() {
                run.kill();
            }
        } else if run.ended().is_none() {
            running = Some(run);
        }
        targets[struck].calm();
    }
    println!("{done:?}");
    drop(running);
    feed.finish();
    site.catch_up();
    compare(&site, &targets, &story);
    let seen = readers.end();
    assert!(seen > rounds, "the readers saw {seen} documents: too few to say anything");
}

/// The ledger, with each projection into every target.
pub fn ledger_into(targets: &[Target]) -> String {
    let text = fs::read_to_string(ledger::file()).expect("a text");
    let activity = "{\n    account,\n    paid_in,\n    events,\n    longest,\n    countries: countries.sorted(),\n    busy: events > 3,\n  }";
    let old = [
        "  into cosmos { container: \"Balances\" }\n".to_owned(),
        format!("  into elasticsearch as {activity} {{\n    index: \"activity\"\n  }}\n"),
    ];
    let new = ["balances", "activity"].map(|name| {
        let document = if name == "activity" { format!("as {activity} ") } else { String::new() };
        let into = |target: &Target| format!("  into {} {document}{}\n", target.kind, target.options(name));
        targets.iter().map(into).collect::<String>()
    });
    old.iter().zip(new).fold(text, |text, (old, new)| {
        assert!(text.contains(&**old), "the ledger has changed: it lacks {old}");
        text.replace(&**old, &new)
    })
}

/// Every document of every target, against the fold.
pub fn compare(site: &Site, targets: &[Target], story: &[Told]) {
    let expected = fold(story);
    let mut running = site.run();
    let done = |projection: &str| site.progress(projection).is_some_and(|now| now.is_done());
    site.wait_until("ready", &mut running, || PROJECTIONS.iter().all(|projection| done(projection)));
    for (target, projection, key, found, must) in documents(site, targets, &expected) {
        assert_eq!(found, Some(must), "{projection} in {target}: `{key}`");
    }
    for (projection, sink) in [("balances", "cosmos"), ("activity", "elasticsearch")] {
        let expected = &expected[&(projection, sink)];
        for target in targets {
            let what = format!("{projection} in {}: documents that nothing made", target.kind);
            assert_eq!(target.count(projection), expected.len(), "{what}");
        }
    }
}

/// What a document says.
type Meaning = BTreeMap<String, Value>;

/// (target, projection, key, what it holds, what it must hold) of every document that there must be.
pub fn documents<'a>(
    site: &'a Site,
    targets: &'a [Target],
    expected: &'a World,
) -> impl Iterator<Item = (&'static str, &'static str, &'a str, Option<Meaning>, Meaning)> {
    let sinks = [("balances", "cosmos"), ("activity", "elasticsearch")].into_iter();
    sinks.flat_map(move |(projection, sink)| {
        let documents = &expected[&(projection, sink)];
        targets.iter().flat_map(move |target| {
            documents.iter().map(move |(key, document)| {
                let found = document_of(site, projection, target.kind, key);
                (target.kind, projection, &**key, found.as_ref().map(meaning), meaning(&parsed(document)))
            })
        })
    })
}

pub fn document_of(site: &Site, projection: &str, sink: &str, key: &str) -> Option<Value> {
    let path = format!("/v1/projections/{projection}/documents/{}?sink={sink}", encoded(key));
    site.get(&path).map(|text| parsed(&text))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { (b as char).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// What a document says, however its target writes it: money in cents, and nothing that a target adds.
fn meaning(document: &Value) -> Meaning {
    let fields = document.as_object().expect("an object").iter();
    let kept = fields.filter(|(name, _)| !matches!(name.as_str(), "_proj" | "id"));
    let cents = |name: &str, value: &Value| match (name, value) {
        ("balance" | "paid_in", value) => in_cents(value),
        ("by_channel", Value::Object(channels)) => {
            channels.iter().map(|(channel, value)| (channel.clone(), in_cents(value))).collect()
        }
        (_, value) => value.clone(),
    };
    kept.map(|(name, value)| (name.clone(), cents(name, value))).collect()
}

/// `12.30`, as text or as a number, in cents.
fn in_cents(value: &Value) -> Value {
    let number = match value {
        Value::String(text) => text.parse::<f64>().expect("a decimal"),
        other => other.as_f64().expect("a number"),
    };
    Value::from((number * 100.0).round() as i64)
}

/// Readers that ask for documents all the time, each through the engine while there is one.
struct Readers {
    over: Arc<AtomicBool>,
    broken: Arc<Mutex<Option<String>>>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Readers {
    fn start(site: &Site, targets: &[Target], story: &[Told]) -> Readers {
        let (over, broken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let mut keys: Vec<String> = story.iter().map(|told| told.key.replace('%', "%25").replace('|', "%7C")).collect();
        keys.sort();
        keys.dedup();
        let threads = targets.iter().map(|target| {
            let reader = Reader {
                base: site.url(),
                sink: target.kind,
                keys: keys.clone(),
                over: over.clone(),
                broken: broken.clone(),
            };
            std::thread::spawn(move || reader.read())
        });
        Readers { threads: threads.collect(), over, broken }
    }

    /// Ends them, and says how many documents they saw.
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let seen = self.threads.into_iter().map(|thread| thread.join().expect("a reader does not panic")).sum();
        if let Some(broken) = self.broken.lock().expect("no reader panicked").take() {
            panic!("{broken}");
        }
        seen
    }
}

struct Reader {
    base: String,
    sink: &'static str,
    keys: Vec<String>,
    over: Arc<AtomicBool>,
    broken: Arc<Mutex<Option<String>>>,
}

impl Reader {
    fn read(self) -> usize {
        let mut versions: HashMap<String, u64> = HashMap::new();
        let mut seen = 0;
        for key in self.keys.iter().cycle() {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            let url = format!("{}/v1/projections/balances/documents/{}?sink={}", self.base, encoded(key), self.sink);
            let timeout = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build();
            let answer = ureq::Agent::new_with_config(timeout).get(&url).call();
            let Some(text) = answer.ok().and_then(|answer| answer.into_body().read_to_string().ok()) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            seen += 1;
            let version = parsed(&text)["_proj"]["v"].as_u64().expect("a version");
            let newest = versions.entry(key.clone()).or_default();
            if version < *newest {
                let what = format!("`{key}` in {} went back from version {newest} to {version}", self.sink);
                self.broken.lock().expect("no reader panicked").get_or_insert(what);
            }
            *newest = version.max(*newest);
        }
        seen
    }
}
