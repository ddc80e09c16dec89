use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::event::Version;
use crate::sinks::DocumentBody;
use crate::testing::sinks::{Subject, claim, conformance, delete, plan, put};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn orders() -> ProjectionName {
    ProjectionName("orders".into())
}

#[test]
fn it_is_a_document_sink() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let other = store.sink(&orders(), "other").unwrap();
    runtime().block_on(async {
        other.write(vec![put("a", 99, "other")], soon()).await;
        let sink = store.sink(&orders(), "search").unwrap();
        let plan = plan("elasticsearch { index: \"notes\" }");
        conformance(&Subject { sink: &sink, plan, lists: true, raises: true }).await;
        assert_eq!(&*other.read("a").await.unwrap().unwrap().body, b"other");
    });
}

#[test]
fn documents_outlive_the_process_and_remembered_deletes_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    for round in [1, 2] {
        let store = EmbeddedStore::open(dir.path()).unwrap();
        let sink = store.sink(&orders(), "search").unwrap();
        runtime.block_on(async {
            let seen = sink.read("a").await.unwrap().map(|document| document.version);
            assert_eq!(seen, (round == 2).then_some(Version(1)));
            let outcomes = sink.write(vec![put("a", 1, "x"), delete("b", 5)], soon()).await;
            assert_eq!(outcomes, [if round == 2 { Outcome::Duplicate } else { Outcome::Ok }, Outcome::Ok]);
            assert!(matches!(sink.write(vec![put("b", 4, "x")], soon()).await[0], Outcome::Foreign { .. }));
        });
    }
}

#[test]
fn a_dropped_sink_is_empty_and_its_neighbours_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    runtime().block_on(async {
        for name in ["search", "search2"] {
            let sink = store.sink(&orders(), name).unwrap();
            assert_eq!(sink.write(vec![put("a", 7, "x"), put("b", 7, "x")], soon()).await, [Outcome::Ok, Outcome::Ok]);
        }
        let order = ProjectionName("order".into());
        store.sink(&order, "ssearch").unwrap();
        assert_eq!(store.sinks(&orders()).unwrap(), ["search", "search2"].map(Arc::<str>::from));
        assert_eq!(store.sinks(&order).unwrap(), ["ssearch"].map(Arc::<str>::from));
        store.drop_sink(&orders(), "search").unwrap();
        store.drop_sink(&orders(), "nobody").unwrap();
        assert_eq!(store.sinks(&orders()).unwrap(), ["search2"].map(Arc::<str>::from));
        let sink = store.sink(&orders(), "search").unwrap();
        assert!(sink.list("", None, 10).await.unwrap().documents.is_empty());
        assert_eq!(sink.write(vec![put("a", 1, "y")], soon()).await, [Outcome::Ok]);
        assert_eq!(store.sink(&orders(), "search2").unwrap().list("", None, 10).await.unwrap().documents.len(), 2);
    });
}

#[test]
fn a_claim_goes_where_the_documents_go() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let claims = |read: &EmbeddedSink| runtime.block_on(read.read_claim()).unwrap();
    let open = || EmbeddedStore::open(dir.path()).unwrap();
    let sink = open().sink(&orders(), "search").unwrap();
    let first = claim(1, 1);
    assert_eq!(runtime.block_on(sink.move_claim(None, first)).unwrap(), ClaimMove::Moved);
    assert_eq!(
        runtime.block_on(sink.write(vec![put("a", 7, "x"), delete("b", 9)], soon())),
        [Outcome::Ok, Outcome::Ok]
    );
    drop(sink);

    let store = open();
    let sink = store.sink(&orders(), "search").unwrap();
    assert_eq!(claims(&sink), Some(Claim { published: Version(9), ..first }));
    assert_eq!(claims(&store.sink(&orders(), "other").unwrap()), None);
    drop(sink);
    store.drop_sink(&orders(), "search").unwrap();
    let sink = store.sink(&orders(), "search").unwrap();
    assert_eq!(claims(&sink), None);
    assert_eq!(runtime.block_on(sink.move_claim(None, first)).unwrap(), ClaimMove::Moved);
    drop((store, sink));

    std::fs::remove_dir_all(dir.path()).unwrap();
    let sink = open().sink(&orders(), "search").unwrap();
    assert_eq!(claims(&sink), None);
}

#[test]
fn it_is_locked_and_says_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let error = EmbeddedStore::open(dir.path()).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()), "{error}");
    drop(store);
    EmbeddedStore::open(dir.path()).unwrap();
}

#[test]
fn writes_that_come_together_are_each_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let sink = Arc::new(store.sink(&orders(), "search").unwrap());
    let runtime = runtime();
    let answers: Vec<_> = (0..200u64)
        .map(|n| {
            let sink = sink.clone();
            // Ten versions of each key, some sent twice; within a key they arrive in any order.
            let write = put(&format!("{}", n % 10), n / 20 + 1, "x");
            runtime.spawn(async move { sink.write(vec![write], soon()).await })
        })
        .collect();
    runtime.block_on(async {
        for answer in answers {
            assert_eq!(answer.await.unwrap().len(), 1);
        }
        for (_, document) in sink.list("", None, 100).await.unwrap().documents {
            assert_eq!(document.version, Version(10));
        }
    });
}

#[test]
fn a_write_past_its_deadline_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let sink = store.sink(&orders(), "search").unwrap();
    runtime().block_on(async {
        let batch: Vec<_> = (0..5_000).map(|n| put(&format!("{n}"), 1, "x")).collect();
        let outcomes = sink.write(batch.clone(), Instant::now() - Duration::from_secs(1)).await;
        assert_eq!(outcomes.len(), batch.len());
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unanswered { .. })));
        let outcomes = sink.write(batch, soon()).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Ok | Outcome::Duplicate)));
    });
}

#[test]
fn a_key_that_cannot_be_kept_is_poison_and_fails_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(dir.path()).unwrap();
    let sink = store.sink(&orders(), "search").unwrap();
    runtime().block_on(async {
        let outcomes = sink.write(vec![put(&"k".repeat(70_000), 1, "x"), put("a", 1, "x")], soon()).await;
        assert!(matches!(&outcomes[..], [Outcome::Poison { .. }, Outcome::Ok]), "{outcomes:?}");
    });
}

const KILLED: &str = "PROJECTOR_TEST_KILLED_SINK";

fn nth_batch(n: u64) -> Vec<DocumentWrite> {
    vec![put(&format!("{}", n % 13), n, &format!("{n}")), delete(&format!("{}", (n + 5) % 13), n)]
}

/// Only does anything as the child of the test below.
#[test]
fn killed_sink() {
    let Some(dir) = std::env::var_os(KILLED) else { return };
    let store = EmbeddedStore::open(Path::new(&dir)).unwrap();
    let sink = store.sink(&orders(), "search").unwrap();
    runtime().block_on(async {
        assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
        for n in 1.. {
            assert_eq!(sink.write(nth_batch(n), soon()).await, [Outcome::Ok, Outcome::Ok]);
            println!("answered {n}");
        }
    });
}

#[test]
fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sinks::embedded::tests::killed_sink", "--nocapture"])
        .env(KILLED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut numbers = lines.filter_map(|line| line.rsplit_once("answered ").map(|(_, n)| n.parse::<u64>().unwrap()));
    let answered = numbers.nth(50).expect("the child writes until it is killed");
    child.kill().unwrap();
    let answered = numbers.last().unwrap_or(answered);
    child.wait().unwrap();

    let store = EmbeddedStore::open(dir.path()).unwrap();
    let sink = store.sink(&orders(), "search").unwrap();
    let found = runtime().block_on(sink.list("", None, 100)).unwrap().documents;
    let found: Vec<_> = found.into_iter().map(|(key, document)| (key.to_string(), document.version.0)).collect();
    let model = |last: u64| {
        let mut documents = std::collections::BTreeMap::new();
        for write in (1..=last).flat_map(nth_batch) {
            match write.body {
                DocumentBody::Document(_) => documents.insert(write.key.to_string(), write.version.0),
                DocumentBody::Delete => documents.remove(&*write.key),
            };
        }
        documents.into_iter().collect::<Vec<_>>()
    };
    // The batch after the last answer may have been synced already. The claim knows which, whatever the process heard.
    let claim = runtime().block_on(sink.read_claim()).unwrap().expect("the child made one");
    assert!([answered, answered + 1].contains(&claim.published.0), "{claim:?} after {answered}");
    assert_eq!(found, model(claim.published.0));
}
