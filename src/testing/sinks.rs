//! What every document sink must do, whatever it is made of: a suite to run against a real target.
//!
//! A [`Subject`] is a sink over an empty target, made for the projection that [`plan`] gives. The suite writes documents as
//! the publisher would and reads them back through the sink.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Epoch, TargetId, Version};
use crate::language;
use crate::plan::eval::Scratch;
use crate::plan::{Plan, Row, lower, render};
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget, ProcessId};
use crate::sinks::{DocumentBody, DocumentSink, DocumentWrite, Outcome};
use crate::state::{Place, StoreId};
use crate::value::Value;

/// The plan of a projection with one text key `k`, one text field `n`, and this sink: `cosmos { container: "c" }`, say.
pub fn plan(into: &str) -> Arc<Plan> {
    let text = format!(
        "event Noted {{ k: string, n: string }}\n\
         topic notes = \"notes\" {{ type: header(\"type\") events: Noted }}\n\
         projection noted {{\n  from notes\n  key k = .k\n  state {{ n: string = \"\" }}\n  on Noted {{ n = .n }}\n  into {into}\n}}\n"
    );
    let read = |_: &Path| Ok(text.clone().into_bytes());
    let loaded = language::files::load(&[PathBuf::from("noted.proj")], &read);
    let loaded = loaded.expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("`{into}` is no sink: {diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

/// A sink to be looked at, and what its kind of target can do.
pub struct Subject<'s> {
    pub sink: &'s dyn DocumentSink,
    /// What it was made for, as its first sink.
    pub plan: Arc<Plan>,
    /// It lists by key.
    pub lists: bool,
    /// A write raises what the claim says was published.
    pub raises: bool,
}

impl Subject<'_> {
    /// A document of a key.
    pub fn put(&self, key: &str, version: u64, n: &str) -> DocumentWrite {
        let row = Row { fields: Box::new([Value::text(n)]), time: None };
        let (projection, mut body) = (&self.plan.projection, Vec::new());
        let scratch = &mut Scratch::default();
        render::document(projection, &projection.sinks[0], key, &row, Version(version), scratch, &mut body)
            .expect("text is rendered");
        put(key, version, std::str::from_utf8(&body).expect("documents are UTF-8"))
    }

    async fn write(&self, write: DocumentWrite) -> Outcome {
        let mut outcomes = self.sink.write(vec![write], Instant::now() + Duration::from_secs(60)).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    /// `n@version` of a document.
    async fn read(&self, key: &str) -> Option<String> {
        let document = self.sink.read(key).await.expect("the target can be read")?;
        let json: serde_json::Value = serde_json::from_slice(&document.body).expect("documents are JSON");
        assert_eq!(json["_proj"]["v"], document.version.0, "{json}");
        Some(format!("{}@{}", json["n"].as_str().expect("a text"), document.version))
    }
}

/// A write of these bytes.
pub fn put(key: &str, version: u64, body: &str) -> DocumentWrite {
    let body = DocumentBody::Document(body.as_bytes().into());
    DocumentWrite { key: key.into(), version: Version(version), body, time: None }
}

pub fn delete(key: &str, version: u64) -> DocumentWrite {
    DocumentWrite { key: key.into(), version: Version(version), body: DocumentBody::Delete, time: None }
}

/// A claim of a process, at its nth beat.
pub fn claim(process: u128, beat: u64) -> Claim {
    Claim {
        store: StoreId(process),
        place: Place(7),
        process: ProcessId(process),
        epoch: Epoch(2),
        published: Version(0),
        beat,
        target: TargetId(5),
    }
}

/// Runs all checks over an empty target.
pub async fn conformance(subject: &Subject<'_>) {
    versions_only_rise(subject).await;
    deletes_leave_no_way_back(subject).await;
    a_batch_is_answered_item_by_item(subject).await;
    many_keys_are_written_and_read(subject).await;
    if subject.lists {
        pages_follow_key_order(subject).await;
    }
    match subject.sink.claimed() {
        Some(target) => claims(subject, target).await,
        None => assert!(subject.sink.is_volatile(), "what outlives its process has a claim"),
    }
    if subject.sink.sweeper().is_some() {
        what_is_older_is_swept(subject).await;
    }
}

/// Over a sink that has documents and no claim yet.
async fn claims(subject: &Subject<'_>, target: &dyn ClaimedTarget) {
    let there = async || target.read_claim().await.unwrap();
    let moved = async |from, to| target.move_claim(from, to).await.unwrap();
    assert_eq!(there().await, None);
    assert_eq!(moved(Some(claim(1, 1)), claim(2, 1)).await, ClaimMove::Found(None));

    // Of two that find none, one makes it.
    let (ours, theirs) = (claim(1, 1), claim(2, 1));
    let both = tokio::join!(target.move_claim(None, ours), target.move_claim(None, theirs));
    let (mut winner, loser) = match (both.0.unwrap(), both.1.unwrap()) {
        (ClaimMove::Moved, ClaimMove::Found(Some(found))) if found == ours => (ours, theirs),
        (ClaimMove::Found(Some(found)), ClaimMove::Moved) if found == theirs => (theirs, ours),
        both => panic!("two made the claim, or none: {both:?}"),
    };
    assert_eq!(there().await, Some(winner));

    // Of two that move it from what both have seen, one does.
    for round in 2..20 {
        let seen = there().await;
        let next = [Claim { beat: round, ..winner }, Claim { beat: round, ..loser }];
        let both = tokio::join!(target.move_claim(seen, next[0]), target.move_claim(seen, next[1]));
        winner = match (both.0.unwrap(), both.1.unwrap()) {
            (ClaimMove::Moved, ClaimMove::Found(Some(found))) if found == next[0] => next[0],
            (ClaimMove::Found(Some(found)), ClaimMove::Moved) if found == next[1] => next[1],
            both => panic!("two moved the claim, or none: {both:?}"),
        };
        assert_eq!(there().await, Some(winner));
    }

    // A move is refused when the process, the beat or the target is another, and tells what is there.
    for other in [
        Claim { process: ProcessId(9), ..winner },
        Claim { beat: winner.beat + 1, ..winner },
        Claim { target: TargetId(9), ..winner },
    ] {
        assert_eq!(moved(Some(other), other).await, ClaimMove::Found(Some(winner)));
    }
    assert_eq!(moved(None, winner).await, ClaimMove::Found(Some(winner)));
    if subject.raises {
        published_rises_with_writes(subject, target, winner).await;
    }
    a_claim_is_given_up(target).await;
}

async fn published_rises_with_writes(subject: &Subject<'_>, target: &dyn ClaimedTarget, held: Claim) {
    let published = async || target.read_claim().await.unwrap().map(|claim| claim.published.0);
    // Of the epoch that is claimed: a target may refuse older ones.
    let at = |number: u64| held.epoch.first_version().0 + number;
    assert_eq!(subject.write(subject.put("claimed", at(20), "x")).await, Outcome::Ok);
    assert_eq!(published().await, Some(at(20)));
    assert_eq!(subject.write(delete("claimed", at(30))).await, Outcome::Ok);
    assert_eq!(published().await, Some(at(30)));
    // What is not written raises nothing, and nothing lowers it: not an older document, not a move by who saw less.
    assert!(matches!(subject.write(subject.put("claimed", at(25), "x")).await, Outcome::Foreign { .. }));
    assert_eq!(subject.write(subject.put("other", at(22), "x")).await, Outcome::Ok);
    assert_eq!(published().await, Some(at(30)));
    let later = Claim { beat: held.beat + 1, published: Version(at(21)), ..held };
    assert_eq!(target.move_claim(Some(held), later).await.unwrap(), ClaimMove::Moved);
    assert_eq!(published().await, Some(at(30)));
}

async fn a_claim_is_given_up(target: &dyn ClaimedTarget) {
    let held = target.read_claim().await.unwrap().expect("it is held");
    let released = Claim {
        beat: held.beat + 1,
        process: ProcessId::NOBODY,
        published: Version(held.epoch.first_version().0 + 40),
        ..held
    };
    assert_eq!(target.move_claim(Some(held), released).await.unwrap(), ClaimMove::Moved);
    assert_eq!(target.read_claim().await.unwrap(), Some(released));
}

async fn versions_only_rise(subject: &Subject<'_>) {
    assert_eq!(subject.read("a").await, None);
    assert_eq!(subject.write(subject.put("a", 10, "one")).await, Outcome::Ok);
    assert_eq!(subject.write(subject.put("a", 10, "one")).await, Outcome::Duplicate);
    assert_eq!(subject.read("a").await.as_deref(), Some("one@10"));
    assert_eq!(subject.write(subject.put("a", 12, "two")).await, Outcome::Ok);
    assert!(matches!(subject.write(subject.put("a", 11, "late")).await, Outcome::Foreign { .. }));
    let next_epoch = Version(12).next_epoch().unwrap().0;
    assert_eq!(subject.write(subject.put("a", next_epoch, "three")).await, Outcome::Ok);
    assert!(matches!(subject.write(subject.put("a", 13, "zombie")).await, Outcome::Foreign { .. }));
    assert_eq!(subject.read("a").await, Some(format!("three@{next_epoch}")));
    assert_eq!(subject.write(delete("a", next_epoch + 1)).await, Outcome::Ok);
}

async fn deletes_leave_no_way_back(subject: &Subject<'_>) {
    assert_eq!(subject.write(delete("absent", 3)).await, Outcome::Ok);
    assert_eq!(subject.write(subject.put("d", 5, "one")).await, Outcome::Ok);
    assert_eq!(subject.write(delete("d", 6)).await, Outcome::Ok);
    assert_eq!(subject.read("d").await, None);
    assert!(matches!(subject.write(delete("d", 6)).await, Outcome::Ok | Outcome::Duplicate));
    if subject.sink.remembers_deletes() {
        assert!(matches!(subject.write(subject.put("d", 5, "late")).await, Outcome::Foreign { .. }));
        assert_eq!(subject.read("d").await, None);
    }
    assert_eq!(subject.write(subject.put("d", 7, "again")).await, Outcome::Ok);
    assert_eq!(subject.read("d").await.as_deref(), Some("again@7"));
    assert!(matches!(subject.write(delete("d", 6)).await, Outcome::Foreign { .. }));
    assert_eq!(subject.write(delete("d", 8)).await, Outcome::Ok);
}

async fn a_batch_is_answered_item_by_item(subject: &Subject<'_>) {
    assert!(subject.sink.write(Vec::new(), Instant::now() + Duration::from_secs(60)).await.is_empty());
    subject.write(subject.put("i1", 4, "x")).await;
    subject.write(subject.put("i2", 9, "x")).await;
    let batch = vec![subject.put("i1", 4, "x"), subject.put("i2", 4, "x"), subject.put("i3", 4, "x"), delete("i1x", 4)];
    let outcomes = subject.sink.write(batch, Instant::now() + Duration::from_secs(60)).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Duplicate, Outcome::Foreign { .. }, Outcome::Ok, Outcome::Ok]),
        "{outcomes:?}"
    );
    for key in ["i1", "i2", "i3"] {
        assert_eq!(subject.write(delete(key, 10)).await, Outcome::Ok);
    }
}

/// Keys that look alike, and keys with all that URLs, quoting and escapes trip over.
async fn many_keys_are_written_and_read(subject: &Subject<'_>) {
    let odd = [
        "a b", "a+b", "a%20b", "a/b", "a\\b", "a?b#c", "\"q\"", "'q'", "ö", "日本", ".", "_id", "-1", "A", "ß", "a:b",
        "{a}",
    ];
    let mut keys: Vec<String> = odd.map(str::to_owned).to_vec();
    keys.extend((0..200).map(|n| format!("many{n:03}")));
    let batch: Vec<_> = keys.iter().map(|key| subject.put(key, 50, key)).collect();
    let outcomes = subject.sink.write(batch, Instant::now() + Duration::from_secs(60)).await;
    let wrong: Vec<_> = keys.iter().zip(&outcomes).filter(|(_, outcome)| **outcome != Outcome::Ok).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    for key in &keys {
        assert_eq!(subject.read(key).await, Some(format!("{key}@50")), "{key}");
    }
    let batch: Vec<_> = keys.iter().map(|key| delete(key, 51)).collect();
    let outcomes = subject.sink.write(batch, Instant::now() + Duration::from_secs(60)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Ok), "{outcomes:?}");
    for key in &keys {
        assert_eq!(subject.read(key).await, None, "{key}");
    }
}

/// Over a target that may hold anything: what is below the floor goes, and nothing else.
async fn what_is_older_is_swept(subject: &Subject<'_>) {
    let sweeper = subject.sink.sweeper().expect("it was asked for");
    let epoch = Version(0).next_epoch().expect("there are more").0 * 9;
    for n in 0..25 {
        assert_eq!(subject.write(subject.put(&format!("old{n}"), epoch + 1, "x")).await, Outcome::Ok);
        assert_eq!(subject.write(subject.put(&format!("new{n}"), epoch + 2, "x")).await, Outcome::Ok);
    }
    let mut steps = 0;
    let (floor, version) = (Version(epoch + 2), Version(epoch + 3));
    while sweeper.sweep(floor, version, 10, Instant::now() + Duration::from_secs(60)).await.expect("it is swept") {
        steps += 1;
        assert!(steps < 50, "the sweep does not end");
    }
    assert!(steps >= 2, "a step deletes no more than it is told");
    for n in 0..25 {
        assert_eq!(subject.read(&format!("old{n}")).await, None);
        assert_eq!(subject.read(&format!("new{n}")).await, Some(format!("x@{}", epoch + 2)));
    }
}

async fn pages_follow_key_order(subject: &Subject<'_>) {
    let keys = ["", "p", "p\0", "pa", "p|10", "p|2", "q", "é"];
    for key in keys {
        assert_eq!(subject.write(subject.put(key, 1, "x")).await, Outcome::Ok);
    }
    let page = async |prefix: &str, after: Option<&str>, limit: usize| {
        let page = subject.sink.list(prefix, after, limit).await.unwrap();
        let keys: Vec<String> = page.documents.iter().map(|(key, _)| key.to_string()).collect();
        (keys, page.next.map(|next| next.to_string()))
    };
    let all: Vec<String> = keys.map(str::to_owned).to_vec();
    let next = |key: &str| Some(key.to_owned());
    assert_eq!(page("", None, 100).await, (all.clone(), None));
    assert_eq!(page("", None, all.len()).await, (all.clone(), None));
    assert_eq!(page("", None, 3).await, (all[..3].to_vec(), next("p\0")));
    assert_eq!(page("", Some("p\0"), 2).await, (all[3..5].to_vec(), next("p|10")));
    assert_eq!(page("p", None, 2).await, (all[1..3].to_vec(), next("p\0")));
    assert_eq!(page("p", Some("pa"), 9).await, (all[4..6].to_vec(), None));
    assert_eq!(page("p|", Some("a"), 9).await, (all[4..6].to_vec(), None));
    assert_eq!(page("p", Some("q"), 9).await, (Vec::new(), None));
    assert_eq!(page("nothing", None, 9).await, (Vec::new(), None));
    assert_eq!(page("", None, 0).await, (Vec::new(), None));
}
