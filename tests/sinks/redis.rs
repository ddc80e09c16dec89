//! Documents in a real Redis, and in a cluster of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use projector::event::{Epoch, EventTime, TargetId, Version};
use projector::language;
use projector::plan::eval::Scratch;
use projector::plan::{Plan, Row, lower, render};
use projector::sinks::claim::{Claim, ClaimMove, ProcessId};
use projector::sinks::redis::{RedisOptions, RedisSink};
use projector::sinks::{DocumentBody, DocumentSink, DocumentWrite, Outcome};
use projector::state::{Place, StoreId};
use projector::testing::sinks::{Subject, claim, conformance, delete, plan, put};
use projector::value::{Decimal, Value};
use redis::{Commands, Connection};

use crate::cli::{Project, Running};
use crate::services::{self, Proxy, Server};

const PATIENCE: Duration = Duration::from_secs(60);

fn options(url: &str) -> RedisOptions {
    RedisOptions { url: url.to_owned(), ..RedisOptions::default() }
}

/// A sink for texts over a server, under a name.
fn texts(url: &str, name: &str, more: &str) -> (RedisSink, Arc<Plan>) {
    let plan = plan(&format!("redis {{ name: \"{name}\" {more} }}"));
    (RedisSink::new(plan.clone(), 0, options(url)), plan)
}

fn connect(server: &Server) -> Connection {
    redis::Client::open(server.url.as_str()).and_then(|client| client.get_connection()).expect("it is up")
}

async fn write(sink: &RedisSink, write: DocumentWrite) -> Outcome {
    sink.write(vec![write], Instant::now() + PATIENCE).await.remove(0)
}

/// A document of the projection `noted`.
fn noted(key: &str, version: u64, n: &str) -> DocumentWrite {
    put(key, version, &format!("{{\"k\":\"{key}\",\"n\":\"{n}\",\"_proj\":{{\"p\":\"noted\",\"v\":{version}}}}}"))
}

/// The suite, for a sink with a name of its own on a server that others share.
async fn keeps_the_law(options: &str) {
    let Some(redis) = services::redis() else { return };
    let (sink, plan) = texts(&redis.url, &redis.unique("law"), options);
    conformance(&Subject { sink: &sink, plan, lists: false, raises: true }).await;
}

#[tokio::test]
async fn texts_keep_the_law_of_sinks() {
    keeps_the_law("").await;
}

#[tokio::test]
async fn hashes_keep_the_law_of_sinks() {
    keeps_the_law("kind: \"hash\"").await;
}

#[tokio::test]
async fn keys_of_ones_own_keep_the_law_of_sinks() {
    let Some(redis) = services::redis() else { return };
    keeps_the_law(&format!("key: \"{}:${{k}}\"", redis.unique("own"))).await;
}

#[tokio::test]
async fn a_cluster_keeps_the_law_of_sinks() {
    let Some(cluster) = services::redis_cluster() else { return };
    for kind in ["json", "hash"] {
        let plan = plan(&format!("redis {{ name: \"{}\" kind: \"{kind}\" }}", cluster.unique("law")));
        let sink = RedisSink::new(plan.clone(), 0, RedisOptions { cluster: true, ..options(&cluster.url) });
        conformance(&Subject { sink: &sink, plan, lists: false, raises: false }).await;
    }
}

/// A plan of scores by season and player, with a state that sets are made from.
fn scores(into: &str) -> Arc<Plan> {
    let text = format!(
        "event Won {{ season: string, player: string, points: decimal, club: string? }}\n\
         topic games = \"games\" {{ type: header(\"type\") events: Won }}\n\
         projection scores {{\n  from games\n  key season = .season, player = .player\n  \
         state {{ score: decimal = 0 club: string? wins: int = 0 clubs: list<string> = [] }}\n  \
         on Won {{ score += .points club = .club }}\n  into {into}\n}}\n"
    );
    let read = |_: &Path| Ok(text.clone().into_bytes());
    let loaded = language::files::load(&[PathBuf::from("scores.proj")], &read).expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("`{into}` is no sink: {diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

/// A row of it, rendered.
fn scored(plan: &Plan, key: &str, version: u64, score: &str, club: Option<&str>) -> Result<DocumentWrite, String> {
    let decimal = Decimal::parse(score).expect("a decimal");
    let value = |name: &str| match name {
        "score" => Value::Decimal(decimal),
        "club" => club.map_or(Value::None, Value::text),
        "wins" => Value::Int(3),
        _ => Value::list(vec![Value::text("x\"y")]),
    };
    let fields = plan.projection.state.iter().map(|field| value(&field.name));
    let row = Row { fields: fields.collect(), time: None };
    let (mut body, scratch) = (Vec::new(), &mut Scratch::default());
    let sink = &plan.projection.sinks[0];
    render::document(&plan.projection, sink, key, &row, Version(version), scratch, &mut body)
        .map_err(|fault| fault.to_string())?;
    Ok(put(key, version, std::str::from_utf8(&body).expect("UTF-8")))
}

#[tokio::test]
async fn members_of_sorted_sets_follow_their_rows() {
    let Some(redis) = services::redis() else { return };
    let (name, board) = (redis.unique("board"), redis.unique("lb"));
    let plan = scores(&format!(
        "redis {{ name: \"{name}\" kind: \"sorted_set\" key: \"{board}:${{season}}\" member: player score: score }}"
    ));
    let sink = RedisSink::new(plan.clone(), 0, options(&redis.url));
    let mut direct = connect(redis);
    let entry = |key: &str, version, score: &str| scored(&plan, key, version, score, None).expect("it fits");
    let all = |direct: &mut Connection, season: &str| -> Vec<(String, f64)> {
        direct.zrange_withscores(format!("{board}:{season}"), 0, -1).expect("a sorted set")
    };

    assert_eq!(write(&sink, entry("s1|ann", 5, "35")).await, Outcome::Ok);
    assert_eq!(write(&sink, entry("s1|bob", 5, "30.25")).await, Outcome::Ok);
    assert_eq!(write(&sink, entry("s2|ann", 5, "-1")).await, Outcome::Ok);
    assert_eq!(all(&mut direct, "s1"), [("bob".into(), 30.25), ("ann".into(), 35.0)]);
    assert_eq!(write(&sink, entry("s1|bob", 6, "40")).await, Outcome::Ok);
    assert!(matches!(write(&sink, entry("s1|bob", 4, "1")).await, Outcome::Foreign { stored: Some(Version(6)), .. }));
    assert_eq!(write(&sink, entry("s1|bob", 6, "40")).await, Outcome::Duplicate);
    assert_eq!(all(&mut direct, "s1"), [("ann".into(), 35.0), ("bob".into(), 40.0)]);

    let read = sink.read("s1|bob").await.expect("it reads").expect("it is there");
    let written = entry("s1|bob", 6, "40");
    let DocumentBody::Document(body) = &written.body else { panic!("it is one") };
    assert_eq!(read.body, *body);
    assert_eq!(write(&sink, delete("s1|ann", 7)).await, Outcome::Ok);
    assert!(matches!(write(&sink, entry("s1|ann", 5, "35")).await, Outcome::Foreign { .. }));
    assert_eq!(all(&mut direct, "s1"), [("bob".into(), 40.0)]);
    assert!(sink.read("s1|ann").await.expect("it reads").is_none());
    assert_eq!(all(&mut direct, "s2"), [("ann".into(), -1.0)]);
}

#[tokio::test]
async fn a_member_leaves_the_set_it_was_in() {
    let Some(redis) = services::redis() else { return };
    let (name, club) = (redis.unique("clubs"), redis.unique("club"));
    let plan = scores(&format!(
        "redis when club != none {{ name: \"{name}\" kind: \"set\" key: \"{club}:${{club ?? \"\"}}\" member: \"${{season}}|${{player}}\" }}"
    ));
    let sink = RedisSink::new(plan.clone(), 0, options(&redis.url));
    let mut direct = connect(redis);
    let in_club = |key: &str, version, club: &str| scored(&plan, key, version, "0", Some(club)).expect("it fits");
    let mut members = |name: &str| -> Vec<String> {
        let mut members: Vec<String> = direct.smembers(format!("{club}:{name}")).expect("a set");
        members.sort();
        members
    };
    for (key, version, club) in [("s|ann", 1, "oslo"), ("s|bob", 1, "oslo"), ("s|ann", 2, "bergen")] {
        assert_eq!(write(&sink, in_club(key, version, club)).await, Outcome::Ok);
    }
    assert_eq!((members("oslo"), members("bergen")), (vec!["s|bob".into()], vec!["s|ann".into()]));
    assert_eq!(write(&sink, delete("s|ann", 3)).await, Outcome::Ok);
    assert_eq!((members("oslo"), members("bergen")), (vec!["s|bob".into()], vec![]));
}

#[test]
fn a_score_that_a_double_would_change_is_refused() {
    let plan = scores("redis { kind: \"sorted_set\" key: season member: player score: score }");
    for good in ["0.1", "19.99", "9007199254740992", "-123456.789012345"] {
        assert!(scored(&plan, "s|a", 1, good, None).is_ok(), "{good}");
    }
    for bad in ["9007199254740993", "0.12345678901234567890", "1234567890123456.75"] {
        let why = scored(&plan, "s|a", 1, bad, None).map(|write| format!("{write:?}")).expect_err(bad);
        assert!(why.contains("cannot be a score"), "{why}");
    }
}

#[tokio::test]
async fn fields_of_a_hash_are_values_without_quotes() {
    let Some(redis) = services::redis() else { return };
    let plan = scores(&format!("redis {{ name: \"{}\" kind: \"hash\" }}", redis.unique("hash")));
    let sink = RedisSink::new(plan.clone(), 0, options(&redis.url));
    let name = &plan.projection.sinks[0].name;
    let document = scored(&plan, "s|ann", 5, "12.50", None).expect("it fits");
    assert_eq!(write(&sink, document.clone()).await, Outcome::Ok);
    let fields: std::collections::BTreeMap<String, String> =
        connect(redis).hgetall(format!("scores@{name}:s|ann")).expect("a hash");
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("_proj", "{\"p\":\"scores\",\"v\":5}"),
        ("clubs", "[\"x\\\"y\"]"),
        ("player", "ann"),
        ("score", "12.5"),
        ("season", "s"),
        ("wins", "3"),
    ];
    assert_eq!(fields, expected, "`club` is none, and so not there");
    let DocumentBody::Document(body) = &document.body else { panic!("it is one") };
    assert_eq!(sink.read("s|ann").await.expect("it reads").expect("it is there").body, *body);
}

#[tokio::test]
async fn another_kind_takes_the_place_of_the_first() {
    let Some(redis) = services::redis() else { return };
    let name = redis.unique("kinds");
    let mut direct = connect(redis);
    let key = format!("noted@{name}:a");
    for (version, kind, there) in [(1, "json", "string"), (2, "hash", "hash"), (3, "json", "string")] {
        let (sink, _) = texts(&redis.url, &name, &format!("kind: \"{kind}\""));
        assert_eq!(write(&sink, noted("a", version, "x")).await, Outcome::Ok);
        assert_eq!(direct.key_type::<_, String>(&key).expect("a type"), there);
    }
    let (sink, _) = texts(&redis.url, &name, "kind: \"set\"");
    let member = format!("{{\"key\":\"{name}\",\"member\":\"a\",\"_proj\":{{\"p\":\"noted\",\"v\":4}}}}");
    assert_eq!(write(&sink, put("a", 4, &member)).await, Outcome::Ok);
    assert!(!direct.exists::<_, bool>(&key).expect("an answer"));
    assert!(direct.sismember::<_, _, bool>(&name, "a").expect("a set"));
}

#[tokio::test]
async fn documents_expire_by_the_time_of_their_last_event() {
    let Some(redis) = services::redis() else { return };
    let name = redis.unique("ttl");
    let (sink, _) = texts(&redis.url, &name, "ttl: 1h");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as i64;
    let minutes_ago = |minutes: i64| Some(EventTime(now - minutes * 60_000_000));
    for (key, time) in [("fresh", minutes_ago(10)), ("old", minutes_ago(61)), ("timeless", None)] {
        assert_eq!(write(&sink, DocumentWrite { time, ..noted(key, 1, "x") }).await, Outcome::Ok);
    }
    let mut direct = connect(redis);
    let mut left = |key: &str| direct.pttl::<_, i64>(format!("noted@{name}:{key}")).expect("an answer") / 60_000;
    assert!((48..=50).contains(&left("fresh")), "{}", left("fresh"));
    assert!((58..=60).contains(&left("timeless")), "{}", left("timeless"));
    assert!(sink.read("old").await.expect("it reads").is_none());
    // What has expired keeps its version, and may come back with a later one.
    assert!(matches!(write(&sink, noted("old", 0, "x")).await, Outcome::Foreign { .. }));
    assert_eq!(write(&sink, DocumentWrite { time: minutes_ago(0), ..noted("old", 2, "x") }).await, Outcome::Ok);
    assert!(sink.read("old").await.expect("it reads").is_some());
}

#[tokio::test]
async fn values_of_others_are_left_alone_unless_they_are_adopted() {
    let Some(redis) = services::redis() else { return };
    let name = redis.unique("others");
    let mut direct = connect(redis);
    let (sink, _) = texts(&redis.url, &name, "");
    let key = |key: &str| format!("noted@{name}:{key}");
    let _: () = direct.set(key("text"), "theirs").expect("it is set");
    let _: () = direct.rpush(key("list"), "theirs").expect("it is pushed");
    let batch = ["text", "ours", "list"].map(|key| noted(key, 1, "x")).to_vec();
    let outcomes = sink.write(batch.clone(), Instant::now() + PATIENCE).await;
    assert!(
        matches!(&outcomes[..], [Outcome::Foreign { .. }, Outcome::Ok, Outcome::Foreign { .. }]),
        "one among good ones: {outcomes:?}"
    );
    assert_eq!(direct.get::<_, String>(key("text")).expect("text"), "theirs");
    assert!(sink.read("text").await.is_err(), "it is no document");

    let (adopting, _) = texts(&redis.url, &name, "adopt: true");
    let outcomes = adopting.write(batch, Instant::now() + PATIENCE).await;
    assert_eq!(outcomes, [Outcome::Ok, Outcome::Duplicate, Outcome::Ok]);
    assert!(adopting.read("list").await.expect("it reads").is_some());

    // A set that somebody else uses for something else.
    let plan = scores(&format!("redis {{ name: \"{name}\" kind: \"set\" key: \"{name}\" }}"));
    let set = RedisSink::new(plan.clone(), 0, options(&redis.url));
    let _: () = direct.set(&name, "no set").expect("it is set");
    let outcome = write(&set, scored(&plan, "s|a", 1, "0", None).expect("it fits")).await;
    assert!(matches!(&outcome, Outcome::Foreign { reason, .. } if reason.contains("another type")), "{outcome:?}");
}

#[tokio::test]
async fn an_older_owner_changes_nothing_at_all() {
    let Some(redis) = services::redis() else { return };
    let name = redis.unique("zombie");
    let (old, _) = texts(&redis.url, &name, "");
    let (new, _) = texts(&redis.url, &name, "");
    let at = |epoch: u32, number: u64| Epoch(epoch).first_version().0 + number;
    let first = Claim { epoch: Epoch(4), ..claim(1, 1) };
    let taken = Claim { epoch: Epoch(5), ..claim(2, 2) };
    assert_eq!(claimed(&old, None, first).await, ClaimMove::Moved);
    assert_eq!(write(&old, noted("a", at(4, 1), "old")).await, Outcome::Ok);
    assert_eq!(claimed(&new, Some(first), taken).await, ClaimMove::Moved);

    // The new owner has not written anything yet.
    for zombie in [noted("a", at(4, 2), "zombie"), noted("b", at(4, 2), "zombie"), delete("a", at(4, 3))] {
        let outcome = write(&old, zombie).await;
        assert!(matches!(&outcome, Outcome::Foreign { reason, .. } if reason.contains("epoch 5")), "{outcome:?}");
    }
    let stored = new.read("a").await.expect("it reads").expect("it is there");
    assert_eq!(stored.version, Version(at(4, 1)));
    assert!(new.read("b").await.expect("it reads").is_none());
    assert_eq!(write(&new, noted("b", at(5, 1), "new")).await, Outcome::Ok);
    // Its own earlier epoch is no other owner: that is sent again.
    assert!(matches!(write(&new, noted("b", at(4, 9), "early")).await, Outcome::Retry { .. }));
}

async fn claimed(sink: &RedisSink, from: Option<Claim>, to: Claim) -> ClaimMove {
    sink.claimed().expect("it has one").move_claim(from, to).await.expect("it answers")
}

#[tokio::test]
async fn on_a_cluster_an_older_owner_changes_nothing_that_the_new_one_wrote() {
    let Some(cluster) = services::redis_cluster() else { return };
    let plan = plan(&format!("redis {{ name: \"{}\" }}", cluster.unique("zombie")));
    let sink = || RedisSink::new(plan.clone(), 0, RedisOptions { cluster: true, ..options(&cluster.url) });
    let (old, new) = (sink(), sink());
    let at = |epoch: u32, number: u64| Epoch(epoch).first_version().0 + number;
    assert_eq!(write(&old, noted("a", at(4, 1), "old")).await, Outcome::Ok);
    assert_eq!(write(&new, noted("a", at(5, 1), "new")).await, Outcome::Ok);
    assert!(matches!(write(&old, noted("a", at(4, 2), "zombie")).await, Outcome::Foreign { .. }));
    assert_eq!(new.read("a").await.expect("it reads").expect("it is there").version, Version(at(5, 1)));
}

#[tokio::test]
async fn a_lost_answer_is_no_lost_write() {
    let Some(redis) = services::redis() else { return };
    let proxy = Proxy::to(redis.port);
    let (sink, _) = texts(&format!("redis://{}", proxy.address()), &redis.unique("lost"), "");
    assert_eq!(write(&sink, noted("a", 1, "x")).await, Outcome::Ok);
    proxy.swallow_answers();
    assert!(matches!(write(&sink, noted("a", 2, "x")).await, Outcome::Unanswered { .. }));
    assert_eq!(proxy.swallowed(), 1);
    proxy.forward();
    assert_eq!(write(&sink, noted("a", 2, "x")).await, Outcome::Duplicate);
    proxy.refuse();
    // The connection that was cut is noticed at the next use; then there is none to be had.
    while !matches!(write(&sink, noted("a", 3, "x")).await, Outcome::Retry { .. }) {}
    proxy.forward();
    assert_eq!(write(&sink, noted("a", 3, "x")).await, Outcome::Ok);
}

#[tokio::test]
async fn what_nobody_answers_ends_at_its_deadline() {
    let Some(redis) = services::redis() else { return };
    let proxy = Proxy::to(redis.port);
    let (sink, _) = texts(&format!("redis://{}", proxy.address()), &redis.unique("held"), "");
    assert_eq!(write(&sink, noted("a", 1, "x")).await, Outcome::Ok);
    proxy.stall();
    let outcomes = sink.write(vec![noted("a", 2, "x")], Instant::now() + Duration::from_millis(50)).await;
    assert!(matches!(&outcomes[..], [Outcome::Unanswered { .. }]), "{outcomes:?}");
    proxy.forward();
    assert!(matches!(write(&sink, noted("a", 2, "x")).await, Outcome::Ok | Outcome::Duplicate));
}

/// Calls the script itself, for a document `a` of version 1.
fn script(connection: &mut Connection, name: &str, latest: i64, keep: i64, what: &str) -> Vec<String> {
    let mut call = redis::cmd("EVAL");
    call.arg(include_str!("../../src/sinks/redis/write.lua")).arg(4);
    for key in ["versions", "gone", "claim", "document"] {
        call.arg(format!("{name}:{key}"));
    }
    call.arg(0).arg("").arg(latest).arg(keep).arg("").arg("").arg("p:").arg(1);
    call.arg(what).arg("a").arg(1).arg(4).arg("");
    match what {
        "text" => call.arg(1).arg("{}"),
        _ => call.arg(0),
    };
    call.query(connection).expect("the script runs")
}

#[test]
fn a_request_that_comes_too_late_is_refused() {
    let Some(redis) = services::redis() else { return };
    let (mut direct, name) = (connect(redis), redis.unique("late"));
    let (seconds, _): (i64, i64) = redis::cmd("TIME").query(&mut direct).expect("a time");
    assert_eq!(script(&mut direct, &name, seconds * 1000 - 1, 1000, "text")[1], "late");
    assert!(!direct.exists::<_, bool>(format!("{name}:document")).expect("an answer"));
    assert_eq!(script(&mut direct, &name, (seconds + 60) * 1000, 1000, "text")[1], "ok");
    assert!(direct.exists::<_, bool>(format!("{name}:document")).expect("an answer"));
}

#[test]
fn deletes_are_forgotten_after_a_while() {
    let Some(redis) = services::redis() else { return };
    let (mut direct, name) = (connect(redis), redis.unique("gone"));
    let mut left = |keep| {
        script(&mut direct, &name, i64::MAX >> 12, keep, "delete");
        direct.hlen::<_, usize>(format!("{name}:versions")).expect("a hash")
    };
    assert_eq!(left(60_000), 1);
    assert_eq!(left(60_000), 1);
    // As if it were long ago: one that was deleted is forgotten, and its version with it.
    assert_eq!(left(-60_000), 0);
}

#[tokio::test]
async fn a_server_that_forgot_the_script_is_told_again() {
    let Some(server) = services::redis_with(&[]) else { return };
    let (sink, _) = texts(&server.url, "script", "");
    assert_eq!(write(&sink, noted("a", 1, "x")).await, Outcome::Ok);
    let flushed: redis::RedisResult<()> = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connect(&server));
    flushed.expect("it answers");
    let batch = (0..500).map(|n| noted(&format!("{n}"), 2, "x")).collect();
    let outcomes = sink.write(batch, Instant::now() + PATIENCE).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Ok), "{outcomes:?}");
}

#[tokio::test]
async fn a_full_server_is_busy_until_there_is_room() {
    let Some(server) = services::redis_with(&["--maxmemory", "4mb"]) else { return };
    let (sink, _) = texts(&server.url, "full", "");
    let large = "x".repeat(100_000);
    let mut written = 0;
    let outcome = loop {
        match write(&sink, noted(&format!("{written}"), 1, &large)).await {
            Outcome::Ok => written += 1,
            other => break other,
        }
    };
    assert!(matches!(&outcome, Outcome::Busy { reason, .. } if reason.contains("maxmemory")), "{outcome:?}");
    // A delete makes room.
    while write(&sink, delete(&format!("{}", written - 1), 2)).await != Outcome::Ok {}
    assert_eq!(write(&sink, noted("later", 1, "x")).await, Outcome::Ok);
}

#[tokio::test]
async fn a_server_that_throws_documents_away_is_refused() {
    let Some(server) = services::redis_with(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    let (sink, _) = texts(&server.url, "lru", "");
    let outcome = write(&sink, noted("a", 1, "x")).await;
    assert!(matches!(&outcome, Outcome::Retry { reason } if reason.contains("allkeys-lru")), "{outcome:?}");
}

#[tokio::test]
async fn a_restart_is_another_target_and_a_wipe_is_none() {
    let Some(mut server) = services::redis_with(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let (sink, _) = texts(&server.url, "restarted", "");
    let ours = Claim {
        store: StoreId(1),
        place: Place(2),
        process: ProcessId(3),
        epoch: Epoch(0),
        published: Version(9),
        beat: 1,
        target: TargetId(4),
    };
    let claimed_now = async || sink.claimed().expect("it has one").read_claim().await;
    assert_eq!(claimed(&sink, None, ours).await, ClaimMove::Moved);
    assert_eq!(write(&sink, noted("a", 1, "x")).await, Outcome::Ok);
    assert_eq!(claimed_now().await.expect("it answers"), Some(ours));

    server.kill();
    let outcome = write(&sink, noted("a", 2, "x")).await;
    assert!(matches!(outcome, Outcome::Retry { .. } | Outcome::Unanswered { .. }), "{outcome:?}");
    server.restart();
    let found = claimed_now().await.expect("it answers").expect("it was synced");
    assert_ne!(found.target, ours.target, "it may have lost its last second");
    assert_eq!(Claim { target: ours.target, ..found }, ours);
    let beat = Claim { beat: 2, ..ours };
    assert_eq!(claimed(&sink, Some(ours), beat).await, ClaimMove::Found(Some(found)));
    // Taken under a new name, it is known by it.
    let renamed = Claim { beat: 2, target: TargetId(9), ..ours };
    assert_eq!(claimed(&sink, Some(found), renamed).await, ClaimMove::Moved);
    assert_eq!(claimed_now().await.expect("it answers"), Some(renamed));
    assert!(matches!(write(&sink, noted("a", 2, "x")).await, Outcome::Ok | Outcome::Duplicate));

    let flushed: redis::RedisResult<()> = redis::cmd("FLUSHALL").query(&mut connect(&server));
    flushed.expect("it answers");
    assert_eq!(claimed_now().await.expect("it answers"), None);
}

#[tokio::test]
async fn tls_is_spoken_to_those_who_are_trusted() {
    let Some(server) = services::redis_tls() else { return };
    let plan = plan("redis");
    let trusting = RedisOptions { ca: Some(server.authority()), ..options(&server.url) };
    let sink = RedisSink::new(plan.clone(), 0, trusting);
    assert_eq!(write(&sink, noted("a", 1, "x")).await, Outcome::Ok);
    let suspicious = RedisSink::new(plan, 0, options(&server.url));
    assert!(matches!(write(&suspicious, noted("a", 2, "x")).await, Outcome::Retry { .. }));
}

/// The rights that the documentation asks for, no more, given to a user with a password.
#[tokio::test]
async fn the_rights_that_are_documented_are_enough() {
    let Some(server) = services::redis_with(&[]) else { return };
    let page = include_str!("../../docs/sinks/redis.md");
    let (_, rights) = page.split_once("## Rights").expect("the page has a chapter on them");
    let rights = rights.split_whitespace().map(|word| word.trim_matches([',', '`']));
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("writer").arg("on").arg(">hidden").arg("~projector:*").arg("~noted*").arg("~clubs");
    rights.take_while(|word| *word != "on").filter(|word| word.starts_with('+')).for_each(|right| {
        user.arg(right);
    });
    let made: redis::RedisResult<()> = user.query(&mut connect(&server));
    made.expect("rights are words of the server");

    let login = |password: &str| RedisOptions {
        username: Some("writer".into()),
        password: Some(password.into()),
        ..options(&server.url)
    };
    for kind in ["json", "hash", "set"] {
        let plan = plan(&format!(
            "redis {{ name: \"{kind}\" kind: \"{kind}\" {} }}",
            if kind == "set" { "key: \"clubs\"" } else { "" }
        ));
        let sink = RedisSink::new(plan.clone(), 0, login("hidden"));
        let body =
            if kind == "set" { "{\"key\":\"clubs\",\"member\":\"a\",\"_proj\":{\"p\":\"noted\",\"v\":1}}" } else { "" };
        let document = if kind == "set" { put("a", 1, body) } else { noted("a", 1, "x") };
        assert_eq!(claimed(&sink, None, Claim { epoch: Epoch(0), ..claim(1, 1) }).await, ClaimMove::Moved);
        assert_eq!(write(&sink, document).await, Outcome::Ok);
        assert!(sink.read("a").await.expect("it reads").is_some());
        let sweeper = sink.sweeper().expect("it has one");
        while sweeper.sweep(Version(2), Version(3), 10, Instant::now() + PATIENCE).await.expect("it is swept") {}
        assert!(sink.read("a").await.expect("it reads").is_none(), "{kind}");
    }
    let sink = RedisSink::new(plan("redis"), 0, login("wrongly"));
    let outcome = write(&sink, noted("a", 9, "x")).await;
    assert!(matches!(&outcome, Outcome::Retry { reason } if !reason.contains("wrongly")), "{outcome:?}");
}

/// One projection into every kind, over a log of a few hundred events.
#[test]
fn a_run_fills_redis_and_another_changes_nothing() {
    let Some(server) = services::redis_with(&[]) else { return };
    let config = format!(
        "[connections.events]\nkind = \"log\"\npath = \"events\"\n[connections.redis]\nkind = \"redis\"\nurl = \"{}\"\n\
         [connections.cache]\nkind = \"embedded\"\n[http]\nlisten = \"127.0.0.1:0\"\n",
        server.url
    );
    let file = "topic games = \"games\"\nprojection scores {\n  from games\n  key season = .season, player = .player\n  \
                state { score: int = sum(.points) club: string = last(.club) }\n  into redis\n  \
                into redis when score > 100 { name: \"fields\" kind: \"hash\" }\n  \
                into redis { name: \"board\" kind: \"sorted_set\" key: \"lb:${season}\" member: player score: score }\n  \
                into redis { name: \"clubs\" kind: \"set\" key: \"club:${club}\" }\n  into cache\n}\n";
    let event = |n: u64| {
        let (season, player, points, club) = (n % 3, n * 7 % 20, n % 40, n * 11 % 4);
        format!(
            "{{\"key\":\"k\",\"value\":{{\"season\":\"s{season}\",\"player\":\"p{player}\",\"points\":{points},\"club\":\"c{club}\"}}}}\n"
        )
    };
    let project = Project::new(&[
        ("projector.toml", &config),
        ("scores.proj", file),
        ("events/games/0.jsonl", &(0..600).map(event).collect::<String>()),
    ]);
    let run = || {
        let answer = project.run(&["run", "scores.proj", "--until-caught-up", "--no-watch"]);
        assert_eq!(answer.code, Some(0), "{}", answer.err);
    };
    run();
    let mut direct = connect(&server);
    let (mut scores, mut clubs) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
    for n in 0..600 {
        let key = (format!("s{}", n % 3), format!("p{}", n * 7 % 20));
        *scores.entry(key.clone()).or_insert(0) += n % 40;
        clubs.insert(key, format!("c{}", n * 11 % 4));
    }
    for ((season, player), score) in &scores {
        let text: String = direct.get(format!("scores:{season}|{player}")).expect("a text");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let club = &clubs[&(season.clone(), player.clone())];
        assert_eq!((&document["score"], &document["club"]), (&(*score).into(), &club.as_str().into()));
        let field: Option<u64> = direct.hget(format!("scores@fields:{season}|{player}"), "score").expect("a hash");
        assert_eq!(field, (*score > 100).then_some(*score));
        assert_eq!(direct.zscore::<_, _, f64>(format!("lb:{season}"), player).expect("a score"), *score as f64);
        for other in ["c0", "c1", "c2", "c3"] {
            let member: bool = direct.sismember(format!("club:{other}"), format!("{season}|{player}")).expect("a set");
            assert_eq!(member, other == club, "{season}|{player} in {other}");
        }
    }
    let everything = |direct: &mut Connection| {
        let mut keys: Vec<String> = direct.keys("*").expect("keys");
        keys.retain(|key| !key.ends_with(":claim"));
        keys.sort();
        keys.into_iter()
            .map(|key| (redis::cmd("DUMP").arg(&key).query::<Vec<u8>>(direct).expect("a value"), key))
            .collect::<Vec<_>>()
    };
    let before = everything(&mut direct);
    run();
    assert!(before == everything(&mut direct), "the second run has changed something");
}

/// Wiped while an engine runs: the claim is missed at the next beat, and everything is written again.
#[test]
fn a_server_that_is_wiped_is_filled_anew() {
    let Some(server) = services::redis_with(&[]) else { return };
    let config = format!(
        "[connections.events]\nkind = \"log\"\npath = \"events\"\n[connections.redis]\nkind = \"redis\"\nurl = \"{}\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n",
        server.url
    );
    let file = "topic games = \"games\"\nprojection totals {\n  from games\n  key player = .player\n  \
                state { score: int = sum(.points) }\n  into redis\n}\n";
    let event = |n: u64| format!("{{\"key\":\"k\",\"value\":{{\"player\":\"p{n}\",\"points\":{n}}}}}\n");
    let events = (0..50).map(event).collect::<String>();
    let project = Project::new(&[("projector.toml", &config), ("t.proj", file), ("events/games/0.jsonl", &events)]);
    let engine = Running::start(&project, &["run", "t.proj", "--no-watch"]);
    let written = |_: u16, body: &str| body.contains("\"score\":49");
    engine.until("/v1/projections/totals/documents/p49", written);
    let mut direct = connect(&server);
    let flushed: redis::RedisResult<()> = redis::cmd("FLUSHALL").query(&mut direct);
    flushed.expect("it answers");
    for player in 0..50 {
        engine.until(&format!("/v1/projections/totals/documents/p{player}"), |code, _| code == 200);
    }
    assert_eq!(direct.keys::<_, Vec<String>>("totals:*").expect("keys").len(), 50);
}
