//! What every document sink must do, whatever it is made of.

use std::time::{Duration, Instant};

use crate::event::{Epoch, TargetId, Version};
use crate::sinks::claim::{Claim, ClaimMove, ClaimedTarget, ProcessId};
use crate::sinks::{DocumentBody, DocumentSink, DocumentWrite, Outcome};
use crate::state::{Place, StoreId};

pub(crate) fn put(key: &str, version: u64, body: &str) -> DocumentWrite {
    let body = DocumentBody::Document(body.as_bytes().into());
    DocumentWrite { key: key.into(), version: Version(version), body }
}

pub(crate) fn delete(key: &str, version: u64) -> DocumentWrite {
    DocumentWrite { key: key.into(), version: Version(version), body: DocumentBody::Delete }
}

/// A claim of a process, at its nth beat.
pub(crate) fn claim(process: u128, beat: u64) -> Claim {
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

/// Runs all checks over an empty sink.
pub(crate) async fn conformance(sink: &dyn DocumentSink) {
    versions_only_rise(sink).await;
    deletes_leave_no_way_back(sink).await;
    a_batch_is_answered_item_by_item(sink).await;
    pages_follow_key_order(sink).await;
    match sink.claimed() {
        Some(target) => claims(sink, target).await,
        None => assert!(sink.is_volatile(), "what outlives its process has a claim"),
    }
}

/// Over a sink that has documents and no claim yet.
async fn claims(sink: &dyn DocumentSink, target: &dyn ClaimedTarget) {
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
    published_rises_with_writes(sink, target, winner).await;
}

async fn published_rises_with_writes(sink: &dyn DocumentSink, target: &dyn ClaimedTarget, held: Claim) {
    let published = async || target.read_claim().await.unwrap().map(|claim| claim.published.0);
    assert_eq!(write(sink, put("claimed", 20, "x")).await, Outcome::Ok);
    assert_eq!(published().await, Some(20));
    assert_eq!(write(sink, delete("claimed", 30)).await, Outcome::Ok);
    assert_eq!(published().await, Some(30));
    // What is not written raises nothing, and nothing lowers it: not an older document, not a move by who saw less.
    assert!(matches!(write(sink, put("claimed", 25, "x")).await, Outcome::Foreign { .. }));
    assert_eq!(write(sink, put("other", 22, "x")).await, Outcome::Ok);
    assert_eq!(published().await, Some(30));
    let later = Claim { beat: held.beat + 1, published: Version(21), ..held };
    assert_eq!(target.move_claim(Some(held), later).await.unwrap(), ClaimMove::Moved);
    assert_eq!(published().await, Some(30));
    let released = Claim { beat: held.beat + 2, process: ProcessId::NOBODY, published: Version(40), ..held };
    assert_eq!(target.move_claim(Some(later), released).await.unwrap(), ClaimMove::Moved);
    assert_eq!(target.read_claim().await.unwrap(), Some(released));
}

async fn write(sink: &dyn DocumentSink, write: DocumentWrite) -> Outcome {
    let mut outcomes = sink.write(vec![write], Instant::now() + Duration::from_secs(60)).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// `body@version` of a document.
async fn read(sink: &dyn DocumentSink, key: &str) -> Option<String> {
    let document = sink.read(key).await.unwrap()?;
    Some(format!("{}@{}", String::from_utf8_lossy(&document.body), document.version))
}

async fn versions_only_rise(sink: &dyn DocumentSink) {
    assert_eq!(read(sink, "a").await, None);
    assert_eq!(write(sink, put("a", 10, "one")).await, Outcome::Ok);
    assert_eq!(write(sink, put("a", 10, "one")).await, Outcome::Duplicate);
    assert_eq!(read(sink, "a").await.as_deref(), Some("one@10"));
    assert_eq!(write(sink, put("a", 12, "two")).await, Outcome::Ok);
    assert!(matches!(write(sink, put("a", 11, "late")).await, Outcome::Foreign { .. }));
    let next_epoch = Version(12).next_epoch().unwrap().0;
    assert_eq!(write(sink, put("a", next_epoch, "three")).await, Outcome::Ok);
    assert!(matches!(write(sink, put("a", 13, "zombie")).await, Outcome::Foreign { .. }));
    assert_eq!(read(sink, "a").await, Some(format!("three@{next_epoch}")));
    assert_eq!(write(sink, delete("a", next_epoch + 1)).await, Outcome::Ok);
}

async fn deletes_leave_no_way_back(sink: &dyn DocumentSink) {
    assert_eq!(write(sink, delete("absent", 3)).await, Outcome::Ok);
    assert_eq!(write(sink, put("d", 5, "one")).await, Outcome::Ok);
    assert_eq!(write(sink, delete("d", 6)).await, Outcome::Ok);
    assert_eq!(read(sink, "d").await, None);
    assert_eq!(write(sink, delete("d", 6)).await, Outcome::Duplicate);
    assert!(matches!(write(sink, put("d", 5, "late")).await, Outcome::Foreign { .. }));
    assert_eq!(read(sink, "d").await, None);
    assert_eq!(write(sink, put("d", 7, "again")).await, Outcome::Ok);
    assert_eq!(read(sink, "d").await.as_deref(), Some("again@7"));
    assert!(matches!(write(sink, delete("d", 6)).await, Outcome::Foreign { .. }));
    assert_eq!(write(sink, delete("d", 8)).await, Outcome::Ok);
}

async fn a_batch_is_answered_item_by_item(sink: &dyn DocumentSink) {
    assert!(sink.write(Vec::new(), Instant::now() + Duration::from_secs(60)).await.is_empty());
    write(sink, put("i1", 4, "x")).await;
    write(sink, put("i2", 9, "x")).await;
    let batch = vec![put("i1", 4, "x"), put("i2", 4, "x"), put("i3", 4, "x"), delete("i1x", 4)];
    let outcomes = sink.write(batch, Instant::now() + Duration::from_secs(60)).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Duplicate, Outcome::Foreign { .. }, Outcome::Ok, Outcome::Ok]),
        "{outcomes:?}"
    );
    for key in ["i1", "i2", "i3"] {
        assert_eq!(write(sink, delete(key, 10)).await, Outcome::Ok);
    }
}

async fn pages_follow_key_order(sink: &dyn DocumentSink) {
    let keys = ["", "p", "p\0", "pa", "p|10", "p|2", "q", "é"];
    for key in keys {
        assert_eq!(write(sink, put(key, 1, "x")).await, Outcome::Ok);
    }
    let page = async |prefix: &str, after: Option<&str>, limit: usize| {
        let page = sink.list(prefix, after, limit).await.unwrap();
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
