//! What every document sink must do, whatever it is made of.

use std::time::{Duration, Instant};

use crate::event::Version;
use crate::sinks::{DocumentBody, DocumentSink, DocumentWrite, Outcome};

pub(crate) fn put(key: &str, version: u64, body: &str) -> DocumentWrite {
    let body = DocumentBody::Document(body.as_bytes().into());
    DocumentWrite { key: key.into(), version: Version(version), body }
}

pub(crate) fn delete(key: &str, version: u64) -> DocumentWrite {
    DocumentWrite { key: key.into(), version: Version(version), body: DocumentBody::Delete }
}

/// Runs all checks over an empty sink.
pub(crate) async fn conformance(sink: &dyn DocumentSink) {
    versions_only_rise(sink).await;
    deletes_leave_no_way_back(sink).await;
    a_batch_is_answered_item_by_item(sink).await;
    pages_follow_key_order(sink).await;
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
