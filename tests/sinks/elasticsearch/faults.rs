//! What goes wrong: documents that do not fit, a node that is full, away, killed, or whose answer is lost.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use projector::sinks::claim::{ClaimMove, ClaimedTarget};
use projector::testing::sinks::{claim, delete, put};

use super::*;
use crate::services::{Proxy, opensearch_with};

fn note(key: &str, version: u64, n: &str) -> DocumentWrite {
    put(key, version, &format!(r#"{{"k":"{key}","n":"{n}","_proj":{{"p":"noted","v":{version}}}}}"#))
}

#[tokio::test]
async fn one_document_that_does_not_fit_spoils_no_other() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("poison");
    let (_, sink) = sink(&node.url, &format!("index: \"{index}\" mappings: {{ n: \"long\" }}"));
    let mut batch: Vec<_> = (0..1000).map(|n| note(&format!("k{n:04}"), 5, &n.to_string())).collect();
    batch.insert(500, note("bad", 5, "many"));
    batch.insert(300, note(&"long".repeat(200), 5, "1"));
    let unknown = r#"{"k":"unknown","more":{"x":1},"_proj":{"p":"noted","v":5}}"#;
    batch.push(put("unknown", 5, unknown));
    let outcomes = write(&sink, batch.clone()).await;
    assert_eq!(outcomes.len(), batch.len());
    let mut reasons = Vec::new();
    for (write, outcome) in batch.iter().zip(outcomes) {
        match outcome {
            Outcome::Ok => {}
            Outcome::Poison { reason } => reasons.push(reason),
            other => panic!("{}: {other:?}", write.key),
        }
    }
    let [long, type_, strict] = &reasons[..] else { panic!("{reasons:?}") };
    assert!(long.contains("800 bytes"), "{long}");
    assert!(
        type_.contains("failed to parse field [n] of type [long]") && type_.contains("`mappings: { … }`"),
        "{type_}"
    );
    assert!(strict.contains("[more]") && strict.contains("leave it out of `as`"), "{strict}");
    assert_eq!(found(&node.url, &index, &json!({"match_all": {}})).len(), 1000);
}

#[tokio::test]
async fn json_with_line_breaks_is_one_document() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("lines");
    let (_, sink) =
        sink(&node.url, &format!("index: \"{index}\" mappings: {{ n: {{ type: \"object\", enabled: false }} }}"));
    let body = "{\"k\":\"a\",\"n\":{\n \"x\": 1.50\r\n},\"_proj\":{\"p\":\"noted\",\"v\":5}}";
    assert_eq!(write(&sink, vec![put("a", 5, body), note("b", 5, "x")]).await, [Outcome::Ok, Outcome::Ok]);
    let stored = sink.read("a").await.unwrap().unwrap();
    assert_eq!(std::str::from_utf8(&stored.body).unwrap(), body.replace(['\n', '\r'], " "));
}

/// The server is known to have done nothing, once no connection from before is left.
async fn assert_away(sink: &ElasticsearchSink) {
    let late = deadline();
    loop {
        match write(sink, vec![note("away", 1, "x")]).await.remove(0) {
            Outcome::Retry { .. } => return,
            Outcome::Unanswered { .. } => assert!(Instant::now() < late, "it never says that nobody is there"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_taken_for_undone() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("lost");
    let proxy = Proxy::to(node.port);
    let (_, sink) = sink(&format!("http://{}", proxy.address()), &format!("index: \"{index}\""));
    assert_eq!(write(&sink, vec![note("a", 5, "x")]).await, [Outcome::Ok]);
    proxy.swallow_answers();
    let outcomes = write(&sink, vec![note("a", 6, "y"), delete("b", 6)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unanswered { .. })), "{outcomes:?}");
    let moved = sink.move_claim(None, claim(1, 1)).await;
    assert!(moved.is_err());
    proxy.forward();
    let outcomes = write(&sink, vec![note("a", 6, "y"), delete("b", 6)]).await;
    assert_eq!(outcomes, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Found(Some(claim(1, 1))));

    proxy.refuse();
    assert_away(&sink).await;
    proxy.forward();
    proxy.stall();
    let outcomes = sink.write(vec![note("a", 7, "z")], Instant::now() + Duration::from_millis(200)).await;
    assert!(matches!(&outcomes[..], [Outcome::Unanswered { .. }]), "{outcomes:?}");
}

#[tokio::test]
async fn what_was_written_or_deleted_outlives_a_killed_node() {
    let Some(mut node) = opensearch_with(&[]) else { return };
    let (_, sink) = sink(&node.url, "index: \"notes\"");
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
    let batch: Vec<_> = (0..500).map(|n| note(&format!("k{n}"), 5, "x")).collect();
    assert!(write(&sink, batch).await.iter().all(|outcome| *outcome == Outcome::Ok));
    assert_eq!(write(&sink, vec![delete("k7", 6)]).await, [Outcome::Ok]);
    node.kill();
    assert_away(&sink).await;
    node.restart();
    // Until its shards are back it asks to try again.
    let late = deadline();
    loop {
        let outcome = write(&sink, vec![note("k8", 6, "y")]).await.remove(0);
        match outcome {
            Outcome::Ok | Outcome::Duplicate => break,
            Outcome::Retry { .. } | Outcome::Busy { .. } | Outcome::Unanswered { .. } => {}
            other => panic!("{other:?}"),
        }
        assert!(Instant::now() < late, "it takes nothing: {outcome:?}");
    }
    assert_eq!(sink.read_claim().await.unwrap(), Some(claim(1, 1)));
    let older = write(&sink, vec![note("k7", 5, "late")]).await;
    assert!(matches!(&older[..], [Outcome::Foreign { .. }]), "a deleted document is remembered: {older:?}");
    assert_eq!(found(&node.url, "notes", &json!({"match_all": {}})).len(), 499);
}

#[tokio::test]
async fn a_full_queue_is_busy_for_some_items_and_loses_none() {
    let settings = ["thread_pool.write.size=1", "thread_pool.write.queue_size=1"];
    let Some(node) = opensearch_with(&settings) else { return };
    let (_, sink) = sink(&node.url, "index: \"notes\" settings: { number_of_shards: 8 }");
    assert_eq!(sink.read_claim().await.unwrap(), None);
    let sink = &sink;
    let mut open: BTreeSet<usize> = (0..2000).collect();
    let (mut busy, late) = (0, deadline());
    while !open.is_empty() {
        let keys: Vec<usize> = open.iter().copied().collect();
        let batches = keys.chunks(100).map(|keys| {
            let batch: Vec<_> = keys.iter().map(|n| note(&format!("k{n}"), 5, "x")).collect();
            async move { (keys, write(sink, batch).await) }
        });
        for (keys, outcomes) in join_all(batches).await {
            for (key, outcome) in keys.iter().zip(outcomes) {
                match outcome {
                    Outcome::Ok => drop(open.remove(key)),
                    Outcome::Busy { .. } => busy += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(Instant::now() < late, "{} are still open", open.len());
    }
    assert!(busy > 0, "the node was never busy");
    assert_eq!(sink.meter().unwrap().read().throttled, busy);
    assert_eq!(sink.meter().unwrap().read().documents, 2000);
    assert_eq!(found(&node.url, "notes", &json!({"match_all": {}})).len(), 2000);
}

#[tokio::test]
async fn a_node_without_memory_is_busy_as_a_whole() {
    let Some(node) = opensearch_with(&["indexing_pressure.memory.limit=4kb"]) else { return };
    let (_, sink) = sink(&node.url, "index: \"notes\"");
    assert_eq!(write(&sink, vec![note("a", 5, "x")]).await, [Outcome::Ok]);
    let outcomes = write(&sink, vec![note("b", 5, &"x".repeat(5000)), delete("c", 5)]).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Busy { .. })), "{outcomes:?}");
    assert_eq!(sink.meter().unwrap().read().throttled, 2);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_cut() {
    let Some(node) = opensearch_with(&["http.max_content_length=100kb"]) else { return };
    let (_, sink) = sink(&node.url, "index: \"notes\"");
    let mut batch: Vec<_> = (0..300).map(|n| note(&format!("k{n}"), 5, &"x".repeat(2000))).collect();
    batch.insert(100, note("huge", 5, &"x".repeat(120_000)));
    let outcomes = write(&sink, batch).await;
    for (place, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Ok => assert_ne!(place, 100),
            Outcome::Poison { reason } => {
                assert_eq!(place, 100);
                assert!(reason.contains("does not take even this document alone"), "{reason}");
            }
            other => panic!("{place}: {other:?}"),
        }
    }
    assert_eq!(found(&node.url, "notes", &json!({"match_all": {}})).len(), 300);
}
