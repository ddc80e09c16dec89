//! The HTTP contract, asked over a real socket: a sink in memory, a status moved by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::event::{Generation, Offset, ProjectionName, TopicPartition, Version};
use crate::language::span::Span;
use crate::language::typed::{self, FaultAction, OnError, SinkFaultAction, SinkKind, SinkOptions};
use crate::plan::{Fingerprint, Hashes};
use crate::runtime::progress::{PartitionStatus, RunState, SinkStatus};
use crate::serve::*;
use crate::sinks::{DocumentPage, DocumentWrite, Outcome, SinkError, SinkFuture, StoredDocument};
use crate::state::MemoryStore;
use crate::state::{CheckpointBatch, Counters, DeadLetter, PlanRecord};

/// Documents that never change.
struct Fixed(BTreeMap<&'static str, (u64, &'static str)>);

impl Fixed {
    fn stored(&self, key: &str) -> Option<StoredDocument> {
        self.0
            .get(key)
            .map(|(version, body)| StoredDocument { version: Version(*version), body: body.as_bytes().into() })
    }
}

impl DocumentSink for Fixed {
    fn write(&self, batch: Vec<DocumentWrite>, _deadline: Instant) -> SinkFuture<'_, Vec<Outcome>> {
        Box::pin(async move { batch.iter().map(|_| Outcome::Ok).collect() })
    }

    fn read<'a>(&'a self, key: &'a str) -> SinkFuture<'a, Result<Option<StoredDocument>, SinkError>> {
        Box::pin(async move { Ok(self.stored(key)) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> SinkFuture<'a, Result<DocumentPage, SinkError>> {
        let wanted =
            self.0.keys().filter(move |key| key.starts_with(prefix) && after.is_none_or(|after| **key > after));
        let mut documents: Vec<(Arc<str>, _)> =
            wanted.map(|key| (Arc::from(*key), self.stored(key).unwrap())).collect();
        let more = documents.len() > limit;
        documents.truncate(limit);
        let next = documents.last().filter(|_| more).map(|(key, _)| key.clone());
        Box::pin(async move { Ok(DocumentPage { documents, next }) })
    }

    fn is_volatile(&self) -> bool {
        false
    }
}

fn plan() -> Plan {
    let sink = |name: &str| typed::Into {
        kind: SinkKind::Cosmos,
        name: name.into(),
        connection: name.into(),
        when: None,
        document: Vec::new(),
        locals: 0,
        options: SinkOptions::default(),
        span: Span::default(),
    };
    let fail = FaultAction::Fail;
    let on_error = OnError {
        decode: fail.clone(),
        eval: fail.clone(),
        key: fail.clone(),
        sink: SinkFaultAction { retry: None, then: fail },
    };
    let projection = typed::Projection {
        name: "accounts".into(),
        span: Span::default(),
        topics: Vec::new(),
        key: Vec::new(),
        state: Vec::new(),
        programs: Vec::new(),
        sinks: vec![sink("cosmos"), sink("empty")],
        on_error,
    };
    Plan { projection, hashes: hashes(), text: "".into() }
}

fn hashes() -> Hashes {
    let none = Fingerprint([0; 32]);
    Hashes { source: none, layout: none, fold: none, emit: none, options: none }
}

fn status(next_offset: i64, version: u64, settled: u64) -> ProjectionStatus {
    let sink = |name: &str| SinkStatus {
        owed_since: None,
        walks: false,
        metered: None,
        name: name.into(),
        settled: Version(settled),
        owed: 0,
        filled: true,
        trouble: None,
        stopped: false,
    };
    ProjectionStatus {
        name: "accounts".into(),
        run_state: RunState::Running,
        version: Version(version),
        partitions: vec![PartitionStatus {
            partition: TopicPartition { topic: "bank".into(), partition: 0 },
            next_offset: Offset(next_offset),
            beginning: Some(Offset(2)),
            end: Some(Offset(next_offset + 3)),
            caught_up: false,
            stopped: None,
        }],
        sinks: vec![sink("cosmos"), sink("empty")],
        counters: Counters { folded: 7, ..Counters::default() },
        checkpoint_at: None,
    }
}

/// A store that knows one dead letter of the projection.
fn store() -> Arc<dyn Store> {
    let store = MemoryStore::new();
    let letter = DeadLetter {
        partition: TopicPartition { topic: "bank".into(), partition: 0 },
        offset: Offset(4),
        time: None,
        key: Some(b"a1".to_vec()),
        value: Some(vec![0xff, 0x00]),
        headers: vec![],
        to: "bank.dead".into(),
        class: "decode".into(),
        code: "R0103".into(),
        message: "not JSON".into(),
        at: None,
    };
    let batch = CheckpointBatch {
        projection: ProjectionName("accounts".into()),
        generation: Generation(1),
        version: Version(1),
        rows: vec![],
        next_offsets: vec![],
        sinks: vec![],
        gone_sinks: vec![],
        keep_changes: false,
        settled_by_all: Version(0),
        dead_letters: vec![letter],
        plan: Some(PlanRecord { hashes: hashes(), semantics: 1, text: "".into() }),
        counters: Counters::default(),
    };
    store.commit(&[batch]).unwrap();
    Arc::new(store)
}

struct Server {
    runtime: Runtime,
    address: SocketAddr,
    status: watch::Sender<Arc<ProjectionStatus>>,
    _stop: oneshot::Sender<()>,
}

impl Server {
    fn start(token: Option<&str>) -> Server {
        let documents = BTreeMap::from([
            ("a/b", (9, r#"{"n":"slash"}"#)),
            ("a1", (5, r#"{"n":1}"#)),
            ("a2", (6, r#"{"n":2}"#)),
            ("a%7Cb", (7, r#"{"n":"escaped"}"#)),
            ("a|b", (8, r#"{"n":"composite"}"#)),
        ]);
        let (status, watched) = watch::channel(Arc::new(status(5, 40, 40)));
        let sinks: Vec<Arc<dyn DocumentSink>> = vec![Arc::new(Fixed(documents)), Arc::new(Fixed(BTreeMap::new()))];
        let projection = ServedProjection { plan: Arc::new(plan()), status: watched, sinks };
        let token = token.map(|token| blake3::hash(token.as_bytes()));
        let served = Arc::new(Served {
            projections: vec![projection],
            store: store(),
            backups: Backups::default(),
            engine: Weak::new(),
            token,
        });
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (_stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(serve(listener, served, async {
            let _ = stopped.await;
        }));
        Server { runtime, address, status, _stop }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.get_with(path, &[]);
        (status, body)
    }

    /// Status and body of a POST.
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut request = agent.post(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.send(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// Status, ETag and body.
    fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Option<String>, String) {
        let agent = ureq::Agent::from(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut request = agent.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = request.call().unwrap();
        let etag = response.headers().get("etag").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), etag, response.body_mut().read_to_string().unwrap())
    }
}

#[test]
fn a_document_comes_with_its_version_as_etag() {
    let server = Server::start(None);
    let path = "/v1/projections/accounts/documents/a1";
    assert_eq!(server.get_with(path, &[]), (200, Some("\"5\"".into()), r#"{"n":1}"#.into()));
    assert_eq!(server.get_with(path, &[("if-none-match", "\"5\"")]).0, 304);
    assert_eq!(server.get_with(path, &[("if-none-match", "\"3\", W/\"5\"")]).0, 304);
    assert_eq!(server.get_with(path, &[("if-none-match", "\"4\"")]).0, 200);
    assert_eq!(server.get(&format!("{path}?sink=empty")).0, 404);
    let (code, body) = server.get(&format!("{path}?sink=nope"));
    assert_eq!((code, body.contains("it has `cosmos`, `empty`")), (404, true), "{body}");
    assert_eq!(server.get("/v1/projections/accounts/documents/zz").1, r#"{"error":"`accounts` has no document `zz`"}"#);
    assert_eq!(server.get("/v1/projections/nope/documents/a1").0, 404);
    assert_eq!(server.get(&format!("{path}?snik=x")).0, 400);
}

#[test]
fn a_key_is_decoded_from_the_path_exactly_once() {
    let server = Server::start(None);
    let body = |key: &str| server.get(&format!("/v1/projections/accounts/documents/{key}")).1;
    assert_eq!(body("a%7Cb"), r#"{"n":"composite"}"#);
    assert_eq!(body("a|b"), r#"{"n":"composite"}"#);
    assert_eq!(body("a%257Cb"), r#"{"n":"escaped"}"#);
    assert_eq!(body("a%2Fb"), r#"{"n":"slash"}"#);
    assert_eq!(server.get("/v1/projections/accounts/documents/%FF").0, 400);
}

#[test]
fn a_listing_goes_on_after_its_last_key() {
    let server = Server::start(None);
    let list = |query: &str| server.get(&format!("/v1/projections/accounts/documents{query}")).1;
    let first = r#"{"documents":[{"key":"a1","document":{"n":1}}],"next":"a1"}"#;
    assert_eq!(list("?prefix=a&limit=1&after=a/b"), first);
    let second =
        r#"{"documents":[{"key":"a2","document":{"n":2}},{"key":"a|b","document":{"n":"composite"}}],"next":null}"#;
    assert_eq!(list("?prefix=a&limit=2&after=a1"), second);
    assert_eq!(list("?sink=empty"), r#"{"documents":[],"next":null}"#);
}

#[test]
fn a_read_waits_until_the_sink_shows_an_offset() {
    let server = Server::start(None);
    let path = "/v1/projections/accounts/documents/a1";
    assert_eq!(server.get(&format!("{path}?wait=bank/0@4")).0, 200);
    assert_eq!(server.get(&format!("{path}?wait=bank/0@5&timeout=1ms")).0, 504);
    // A partition may still be made; a topic that is not read stays so.
    assert_eq!(server.get(&format!("{path}?wait=bank/7@5&timeout=1ms")).0, 504);
    assert_eq!(server.get(&format!("{path}?wait=shop/0@5&timeout=1ms")).0, 400);
    assert_eq!(server.get(&format!("{path}?wait=bank&timeout=1ms")).0, 400);

    // The checkpoint is synced, and the sink has not answered for it: not there yet.
    server.status.send_replace(Arc::new(status(6, 41, 40)));
    assert_eq!(server.get(&format!("{path}?wait=bank/0@5&timeout=1ms")).0, 504);
    let late = server.runtime.spawn({
        let moved = server.status.clone();
        async move {
            moved.send_replace(Arc::new(status(6, 41, 41)));
        }
    });
    assert_eq!(server.get(&format!("{path}?wait=bank/0@5&timeout=30s")).0, 200);
    server.runtime.block_on(late).unwrap();
}

#[test]
fn readiness_says_what_is_amiss() {
    let server = Server::start(None);
    assert_eq!(server.get("/healthz").0, 200);
    assert_eq!(server.get("/readyz"), (200, r#"{"ready":true,"reasons":[]}"#.into()));
    let mut ill = status(5, 40, 40);
    ill.run_state = RunState::Stopped("no disk".into());
    ill.partitions[0].stopped = Some("fault[R0102]: too large\nat line 3".into());
    ill.sinks[0].filled = false;
    ill.sinks[1].trouble = Some("away since 10 s".into());
    server.status.send_replace(Arc::new(ill));
    let (code, body) = server.get("/readyz");
    assert_eq!(code, 503);
    for reason in [
        "accounts is stopped: no disk",
        "accounts: partition bank/0 is stopped: fault[R0102]: too large\"",
        "accounts: sink cosmos is being filled",
        "accounts: sink empty: away since 10 s",
    ] {
        assert!(body.contains(reason), "{body}");
    }
}

#[test]
fn status_and_metrics_show_progress() {
    let server = Server::start(None);
    let (_, body) = server.get("/v1/projections/accounts");
    let report: report::ProjectionReport = serde_json::from_str(&body).unwrap();
    assert_eq!((report.state.as_str(), report.version, report.lag_events), ("running", 40, Some(3)));
    assert_eq!(report.events.folded, 7);
    assert!(server.get("/v1/projections").1.starts_with(r#"{"projections":[{"name":"accounts""#));

    let (_, metrics) = server.get("/metrics");
    for line in [
        "projector_events_total{projection=\"accounts\",outcome=\"folded\"} 7",
        "projector_lag_events{projection=\"accounts\",topic=\"bank\",partition=\"0\"} 3",
        "projector_sink_owed{projection=\"accounts\",sink=\"cosmos\"} 0",
        "projector_version{projection=\"accounts\"} 40",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line} is not in:\n{metrics}");
    }
}

#[test]
fn dead_letters_are_listed_and_shown() {
    let server = Server::start(None);
    let (_, body) = server.get("/v1/projections/accounts/dead-letters");
    let page: dead_letters::DeadLetterPage = serde_json::from_str(&body).unwrap();
    assert_eq!((page.dead_letters.len(), page.dead_letters[0].number, page.next), (1, 1, None));
    assert!(body.contains(r#""value":{"hex":"ff00"}"#), "{body}");
    assert_eq!(server.get("/v1/projections/accounts/dead-letters/1").0, 200);
    assert_eq!(server.get("/v1/projections/accounts/dead-letters/2").0, 404);
    assert_eq!(server.get("/v1/projections/accounts/dead-letters/x").0, 400);
}

#[test]
fn a_token_guards_all_but_health() {
    let server = Server::start(Some("hunter2"));
    let ask = |value: &str| server.get_with("/v1/projections", &[("authorization", value)]).0;
    assert_eq!(server.get("/v1/projections").0, 401);
    assert_eq!(ask("Bearer hunter3"), 401);
    assert_eq!(ask("hunter2"), 401);
    assert_eq!(ask("Bearer hunter2"), 200);
    assert_eq!(server.get("/healthz").0, 200);
}

#[test]
fn what_is_not_there_is_refused_in_json() {
    let server = Server::start(None);
    assert_eq!(server.get("/v2"), (404, r#"{"error":"there is nothing at /v2"}"#.into()));
}

const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn a_backup_is_written_and_shown() {
    let server = Server::start(None);
    let dir = tempfile::tempdir().unwrap();
    let path = "/v1/projections/accounts/backup";
    assert!(server.get("/v1/projections/accounts").1.contains(r#""backup_at":null,"backup_age_s":null"#));
    assert_eq!(server.get(path), (200, r#"{"running":false,"rows":0,"bytes":0}"#.into()));
    let order = format!(r#"{{"directory":"{}"}}"#, dir.path().join("new").display());
    let (code, body) = server.post(path, &[JSON], &order);
    let report: backup::BackupReport = serde_json::from_str(&body).expect("a report");
    assert_eq!((code, report.projection.as_str(), report.version, report.dead_letters), (200, "accounts", 1, 1));
    assert_eq!(report.file, dir.path().join("new/accounts-1.backup"));
    assert_eq!(std::fs::metadata(&report.file).unwrap().len(), report.bytes);
    let shown: report::ProjectionReport =
        serde_json::from_str(&server.get("/v1/projections/accounts").1).expect("a report");
    assert_eq!((shown.backup_at, shown.backup_age_s.is_some()), (Some(report.made_at), true));
    assert!(server.get("/metrics").1.contains("projector_backup_age_seconds{projection=\"accounts\"} "));
    assert!(server.get(path).1.contains("false"), "the next one may be made");

    let refused = |name: &str, body: &str| server.post(&format!("/v1/projections/{name}/backup"), &[JSON], body);
    assert_eq!(refused("accounts", r#"{"directory":"new"}"#).0, 400);
    assert_eq!(refused("accounts", r#"{"directory":"/tmp","x":1}"#).0, 422);
    assert_eq!(refused("nope", &order), (404, r#"{"error":"no projection `nope` has state here"}"#.into()));
    std::fs::write(&report.file, "mine").unwrap();
    assert_eq!(refused("accounts", &order).0, 409);
}

#[test]
fn no_page_of_another_site_changes_anything() {
    let server = Server::start(None);
    let path = "/v1/projections/accounts/retry";
    // There is no engine behind this server: 503 says that the request was let through.
    let host = |name: &str| server.post(path, &[JSON, ("host", name)], "{}").0;
    assert_eq!([host("localhost:7070"), host("127.0.0.1"), host("[::1]:7070"), host("LOCALHOST")], [503; 4]);
    assert_eq!(
        [
            host("evil.example"),
            host("127.0.0.1.evil.example:7070"),
            host("localhost.evil.example"),
            host("evillocalhost")
        ],
        [403; 4]
    );
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        assert_eq!(server.post(path, &[("content-type", kind)], "{}").0, 415, "{kind}");
    }
    assert_eq!(server.post(path, &[("content-type", "application/json; charset=utf-8")], "{}").0, 503);
    assert_eq!(server.get(path).0, 405);

    let guarded = Server::start(Some("hunter2"));
    assert_eq!(guarded.post(path, &[JSON], "{}").0, 401);
    let token = ("authorization", "Bearer hunter2");
    assert_eq!(guarded.post(path, &[token], "{}").0, 415);
    assert_eq!(guarded.post(path, &[JSON, token, ("host", "projector.internal")], "{}").0, 503);
}

#[test]
fn a_skip_names_one_event_of_a_projection_that_runs() {
    let server = Server::start(None);
    let skip = |name: &str, body: &str| server.post(&format!("/v1/projections/{name}/skip"), &[JSON], body).0;
    assert_eq!(skip("accounts", r#"{"topic":"bank","partition":0,"offset":5}"#), 503);
    assert_eq!(skip("nope", r#"{"topic":"bank","partition":0,"offset":5}"#), 404);
    assert_eq!(skip("accounts", r#"{"topic":"bank","partition":0}"#), 422);
    assert_eq!(skip("accounts", r#"{"topic":"bank","partition":0,"offset":5,"all":true}"#), 422);
    assert_eq!(skip("accounts", "bank/0@5"), 400);
    server.status.send_replace(Arc::new(ProjectionStatus { run_state: RunState::Finished, ..status(5, 40, 40) }));
    assert_eq!(skip("accounts", r#"{"topic":"bank","partition":0,"offset":5}"#), 409);
}

#[test]
fn retention_shows_how_far_it_is_and_what_it_took() {
    let server = Server::start(None);
    let shown = || {
        let (_, body) = server.get("/v1/projections/accounts");
        let report: report::ProjectionReport = serde_json::from_str(&body).expect("a report");
        let partition = report.partitions.into_iter().next().expect("a partition");
        (partition.beginning, partition.retention_headroom_events, report.state_cannot_be_rebuilt)
    };
    assert_eq!(shown(), (Some(2), Some(3), Some(true)));
    let (_, metrics) = server.get("/metrics");
    let headroom = "projector_retention_headroom_events{projection=\"accounts\",topic=\"bank\",partition=\"0\"} 3";
    assert!(metrics.lines().any(|line| line == headroom), "{metrics}");
    let begins_at = |beginning: Option<i64>| {
        let mut status = status(5, 40, 40);
        status.partitions[0].beginning = beginning.map(Offset);
        server.status.send_replace(Arc::new(status));
        shown()
    };
    assert_eq!(begins_at(Some(0)), (Some(0), Some(5), Some(false)));
    assert_eq!(begins_at(Some(9)), (Some(9), Some(0), Some(true)));
    assert_eq!(begins_at(None), (None, None, None));
}
