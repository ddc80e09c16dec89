//! What goes wrong: documents of others, answers that are lost, servers that are killed, containers that are gone or do not fit.

use std::time::{Duration, Instant};

use projector::event::Version;
use projector::sinks::claim::{ClaimMove, ClaimedTarget};
use projector::sinks::{DocumentSink, Outcome};
use projector::testing::sinks::{claim, delete, plan, put};

use super::{fresh, note, sink, version, write};
use crate::services::{Proxy, Server, cosmos, cosmos_behind};

/// Epoch over checkpoint.
fn at(epoch: u64, checkpoint: u64) -> u64 {
    epoch << Version::CHECKPOINT_BITS | checkpoint
}

/// A server of the test's own behind a proxy, and where clients reach it.
fn behind_a_proxy() -> Option<(Proxy, Server, String)> {
    let proxy = Proxy::to(0);
    let server = cosmos_behind(&proxy)?;
    proxy.retarget(server.port);
    let url = format!("http://{}", proxy.address());
    Some((proxy, server, url))
}

/// An older process that remembers its ETags and wakes up late.
#[tokio::test]
async fn an_owner_that_was_replaced_changes_no_document() {
    let Some(server) = cosmos() else { return };
    let (plan, old) = fresh(server, "", "").await;
    let first = vec![note("a", at(2, 1), "old"), note("b", at(2, 1), "old")];
    assert_eq!(write(&old, first).await, [Outcome::Ok, Outcome::Ok]);
    let new = sink(&plan, &server.url);
    let taken = vec![note("a", at(3, 1), "new"), delete("b", at(3, 1)), note("c", at(3, 1), "new")];
    assert!(write(&new, taken).await.iter().all(|outcome| *outcome == Outcome::Ok));
    let late = vec![note("a", at(2, 9), "late"), delete("c", at(2, 9))];
    for outcome in write(&old, late).await {
        assert!(
            matches!(outcome, Outcome::Foreign { stored: Some(stored), .. } if stored.0 == at(3, 1)),
            "{outcome:?}"
        );
    }
    assert_eq!(version(&new, "a").await, Some(Version(at(3, 1))));
    assert_eq!(version(&new, "c").await, Some(Version(at(3, 1))));
    assert_eq!(write(&new, vec![note("a", at(3, 2), "new")]).await, [Outcome::Ok]);
}

#[tokio::test]
async fn documents_of_somebody_else_are_left_alone() {
    let Some(server) = cosmos() else { return };
    let (plan, theirs) = fresh(server, "", "").await;
    let other = |key: &str, mark: &str| put(key, 1, &format!(r#"{{"id":"{key}","k":"{key}"{mark}}}"#));
    let made = vec![other("a", r#","_proj":{"p":"other","v":1}"#), other("b", "")];
    assert_eq!(write(&theirs, made).await, [Outcome::Ok, Outcome::Ok]);
    let ours = sink(&plan, &server.url);
    let outcomes = write(&ours, vec![note("a", 5, "x"), note("b", 5, "x"), note("c", 5, "x")]).await;
    let foreign = |reason: &str, stored| Outcome::Foreign { reason: reason.into(), stored };
    let of_nobody = "`b` has no `_proj.v`: somebody else wrote it";
    let expected = [foreign("`a` is a document of `other`", Some(Version(1))), foreign(of_nobody, None), Outcome::Ok];
    assert_eq!(outcomes, expected);
    assert_eq!(write(&ours, vec![delete("a", 9)]).await, expected[..1]);
    assert_eq!(version(&ours, "a").await, Some(Version(1)));
}

/// Keys whose id Cosmos DB does not take, among others.
#[tokio::test]
async fn one_bad_document_never_fails_its_batch() {
    let Some(server) = cosmos() else { return };
    for options in ["", ", partition_key: k"] {
        let (_, sink) = fresh(server, "", options).await;
        let long = "x".repeat(1024);
        let mut batch: Vec<_> = (0..50).map(|n| note(&format!("k{n}"), 1, "x")).collect();
        batch.insert(20, note(&long, 1, "x"));
        batch.insert(30, delete("", 1));
        for (index, outcome) in write(&sink, batch).await.into_iter().enumerate() {
            match (index, outcome) {
                (20, Outcome::Poison { reason }) => assert!(reason.contains("1024 bytes"), "{reason}"),
                (30, Outcome::Poison { reason }) => assert!(reason.contains("0 bytes"), "{reason}"),
                (_, outcome) => assert_eq!(outcome, Outcome::Ok, "{index}"),
            }
        }
        assert!(sink.read("k49").await.expect("it can be read").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_found_done() {
    let Some((proxy, _server, url)) = behind_a_proxy() else { return };
    let plan = plan("cosmos { container: \"lost\" }");
    let sink = sink(&plan, &url);
    assert_eq!(sink.read_claim().await.expect("it is made"), None);
    assert_eq!(write(&sink, vec![note("a", 1, "x"), note("b", 1, "x")]).await, [Outcome::Ok, Outcome::Ok]);
    proxy.swallow_answers();
    let batch = || vec![note("a", 2, "y"), delete("b", 2), note("c", 2, "y")];
    for outcome in write(&sink, batch()).await {
        assert!(matches!(outcome, Outcome::Unanswered { .. }), "{outcome:?}");
    }
    proxy.forward();
    assert_eq!(write(&sink, batch()).await, [Outcome::Duplicate, Outcome::Ok, Outcome::Duplicate]);
    assert_eq!(version(&sink, "a").await, Some(Version(2)));
    assert_eq!(version(&sink, "b").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_holds_while_the_network_has_a_hole() {
    let Some((proxy, _server, url)) = behind_a_proxy() else { return };
    let plan = plan("cosmos { container: \"hole\" }");
    let sink = sink(&plan, &url);
    assert_eq!(sink.read_claim().await.expect("it is made"), None);
    proxy.stall();
    let deadline = Instant::now() + Duration::from_millis(200);
    let outcomes = sink.write(vec![note("a", 1, "x")], deadline).await;
    assert!(matches!(&outcomes[..], [Outcome::Unanswered { .. }]), "{outcomes:?}");
    proxy.forward();
    assert!(matches!(&write(&sink, vec![note("a", 1, "x")]).await[..], [Outcome::Ok | Outcome::Duplicate]));
}

/// The emulator keeps nothing over a crash: a container that is gone is a loss, and not covered by a new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_gone_is_noticed_and_made_for_its_next_owner() {
    let Some((_proxy, mut server, url)) = behind_a_proxy() else { return };
    let plan = plan("cosmos { container: \"wiped\" }");
    let sink = sink(&plan, &url);
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.expect("it is made"), ClaimMove::Moved);
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    server.kill();
    let outcomes = write(&sink, vec![note("a", 2, "x"), delete("b", 2)]).await;
    for outcome in outcomes {
        assert!(matches!(outcome, Outcome::Retry { .. } | Outcome::Unanswered { .. }), "{outcome:?}");
    }
    assert!(sink.read_claim().await.is_err());
    server.restart();
    for _ in 0..3 {
        let outcomes = write(&sink, vec![note("a", 2, "x"), note("c", 2, "x")]).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Retry { .. })), "{outcomes:?}");
        assert_eq!(sink.read_claim().await.expect("it answers"), None);
    }
    assert_eq!(sink.move_claim(Some(claim(1, 1)), claim(1, 2)).await.unwrap(), ClaimMove::Found(None));
    assert_eq!(sink.move_claim(None, claim(1, 3)).await.expect("it is made again"), ClaimMove::Moved);
    assert_eq!(write(&sink, vec![note("a", 2, "x"), delete("b", 2)]).await, [Outcome::Ok, Outcome::Ok]);
    assert_eq!(sink.read_claim().await.unwrap(), Some(claim(1, 3)));
}

#[tokio::test]
async fn a_container_that_does_not_fit_is_refused_with_what_differs() {
    let Some(server) = cosmos() else { return };
    let container = server.unique("c");
    let open = async |options: &str| {
        let sink = sink(&plan(&format!("cosmos {{ container: \"{container}\"{options} }}")), &server.url);
        sink.read_claim().await.map_err(|error| error.to_string())
    };
    assert_eq!(open("").await, Ok(None));
    let other = format!(
        "the container `{container}` of the database `views` is partitioned by `/id`, and the file wants `/k`: a container \
         keeps its partition key, so name another container or change `partition_key`"
    );
    assert_eq!(open(", partition_key: k").await, Err(other));
    let expires = format!(
        "documents of the container `{container}` of the database `views` are to expire by `ttl`, and it has no time to \
         live: turn it on, without a default (-1)"
    );
    assert_eq!(open(", ttl: 1h").await, Err(expires));
}
