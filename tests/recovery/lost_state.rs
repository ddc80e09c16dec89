//! The state directory is deleted in mid-stream while readers poll: no document steps back, and nothing that should be gone
//! stays.
//!
//! The documents lie elsewhere, as those of a real target would. What is left of the state says nothing, so the rows are
//! folded anew from the log; until that is done readers see the documents of before.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Deserialize;

use super::random::{Random, seed};
use crate::site::{Documents, Site};

const PROJECTION: &str = r#"
event Paid   { account: string, cents: int }
event Closed { account: string }
topic payments = "payments" { type: header("type"), events: Paid, Closed, keyed_by: .account }
projection paid {
  from payments
  key account = .account
  state { cents: int = 0, times: int = 0 }
  on Paid { cents += .cents  times += 1 }
  on Closed { delete }
  into cosmos { container: "paid" }
}
"#;
const SINK: (&str, &str) = ("paid", "cosmos");
const ACCOUNTS: usize = 12;
const PARTITIONS: usize = 3;
const ROUNDS: usize = 6;
/// Payments before the first round: so many that folding them anew takes several checkpoints.
const HISTORY: usize = 60_000;

/// A log of payments, and what it comes to.
struct Payments {
    folder: PathBuf,
    files: Vec<File>,
    paid: BTreeMap<String, (i64, i64)>,
}

impl Payments {
    fn new(folder: &Path) -> Payments {
        fs::create_dir_all(folder).expect("a folder");
        let file = |partition| File::create(folder.join(format!("{partition}.jsonl"))).expect("a file");
        let files = (0..PARTITIONS).map(file).collect();
        Payments { folder: folder.to_owned(), files, paid: BTreeMap::new() }
    }

    fn append(&mut self, number: usize, event: &str, cents: i64) {
        let account = format!("acc{number}");
        let line = format!(
            r#"{{"key":"{account}","value":{{"account":"{account}","cents":{cents}}},"headers":{{"type":"{event}"}}}}"#
        );
        writeln!(self.files[number % PARTITIONS], "{line}").expect("the log can be written");
        if event == "Paid" {
            let paid = self.paid.entry(account).or_default();
            *paid = (paid.0 + cents, paid.1 + 1);
        } else {
            self.paid.remove(&account);
        }
    }

    fn pay(&mut self, random: &mut Random, events: usize) {
        for _ in 0..events {
            let account = random.below(ACCOUNTS);
            self.append(account, "Paid", 1 + random.below(5000) as i64);
        }
    }

    /// The account was never there: compaction does such things.
    fn forget(&mut self, account: &str) {
        for partition in 0..PARTITIONS {
            let path = self.folder.join(format!("{partition}.jsonl"));
            let text = fs::read_to_string(&path).expect("a file");
            let kept = text.replace(&format!(r#""account":"{account}""#), r#""account":"nobody""#);
            fs::write(&path, kept).expect("a file");
        }
        let gone = self.paid.remove(account).expect("it was there");
        let nobody = self.paid.entry("nobody".into()).or_default();
        *nobody = (nobody.0 + gone.0, nobody.1 + gone.1);
    }

    fn documents(&self) -> Documents {
        let document = |(account, (cents, times)): (&String, &(i64, i64))| {
            let mut text = String::new();
            write!(text, r#"{{"id":"{account}","account":"{account}","cents":{cents},"times":{times}}}"#)
                .expect("text");
            (account.clone(), text)
        };
        self.paid.iter().map(document).collect()
    }
}

#[derive(Deserialize)]
struct Read {
    times: i64,
    cents: i64,
    _proj: Mark,
}

#[derive(Deserialize)]
struct Mark {
    v: u64,
}

/// Polls every account until it is told to stop; says what stepped back.
fn poll(site: &Site, done: &AtomicBool, reads: &AtomicU64, stepped_back: &Mutex<Vec<String>>) {
    let mut seen: BTreeMap<usize, Read> = BTreeMap::new();
    while !done.load(Ordering::Relaxed) {
        for number in 0..ACCOUNTS {
            let Some(text) = site.get(&format!("/v1/projections/paid/documents/acc{number}")) else { continue };
            let now: Read = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            reads.fetch_add(1, Ordering::Relaxed);
            if let Some(before) = seen.get(&number)
                && (now._proj.v < before._proj.v || now.times < before.times || now.cents < before.cents)
            {
                let (v, times) = (before._proj.v, before.times);
                stepped_back.lock().expect("no panic").push(format!("after version {v}, {times} times: {text}"));
            }
            seen.insert(number, now);
        }
    }
}

struct EndPolling<'a>(&'a AtomicBool);

impl Drop for EndPolling<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_deleted_state_directory_is_never_seen_by_readers() {
    let seed = seed("a_deleted_state_directory_is_never_seen_by_readers");
    let mut random = Random::new(seed);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("paid.proj");
    fs::write(&file, PROJECTION).expect("a file");
    let events = dir.path().join("events");
    let mut payments = Payments::new(&events.join("payments"));
    let site = Site::new(&dir.path().join("site"), &file, &format!("kind = \"log\"\npath = {events:?}\n"));
    let config = dir.path().join("site/projector.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, text.replace("kind = \"embedded\"", "kind = \"embedded\"\npath = \"documents\""))
        .expect("a file");

    let (done, reads, stepped_back) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    payments.pay(&mut random, HISTORY);
    std::thread::scope(|scope| {
        scope.spawn(|| poll(&site, &done, &reads, &stepped_back));
        let _end = EndPolling(&done); // also when something fails here
        for round in 0..ROUNDS {
            let mut running = site.run();
            let before = reads.load(Ordering::Relaxed);
            payments.pay(&mut random, 200);
            site.wait_until("read again", &mut running, || {
                reads.load(Ordering::Relaxed) > before + 3 * ACCOUNTS as u64
            });
            for _ in 0..10 {
                payments.pay(&mut random, 20);
                // The moment of the kill is what is random here: this waits for nothing.
                std::thread::sleep(std::time::Duration::from_micros(random.below(8_000) as u64));
            }
            running.kill();
            payments.append(ACCOUNTS + round, "Paid", 7); // it may be folded before the end or not
            fs::remove_dir_all(dir.path().join("site/state")).expect("the state is there");
        }
        let mut running = site.run();
        site.wait_until("caught up", &mut running, || site.progress("paid").is_some_and(|now| now.is_done()));
    });
    assert!(stepped_back.lock().expect("no panic").is_empty(), "seed {seed}: {stepped_back:?}");
    let documents = site.documents([SINK]).remove(&SINK).expect("the sink was asked for");
    assert_eq!(documents, payments.documents(), "seed {seed}");

    payments.forget("acc3");
    fs::remove_dir_all(dir.path().join("site/state")).expect("the state is there");
    site.catch_up();
    let documents = site.documents([SINK]).remove(&SINK).expect("the sink was asked for");
    assert_eq!(documents, payments.documents(), "a ghost stays: seed {seed}");
}
