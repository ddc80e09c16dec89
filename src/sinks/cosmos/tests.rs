//! The pure parts: places and bodies of documents, and what answers mean.

use std::time::Duration;

use azure_data_cosmos::PartitionKey;
use azure_data_cosmos::models::PartitionKeyValue;

use crate::event::{EventTime, Version};
use crate::sinks::Outcome;
use crate::sinks::cosmos::encode::{Encoder, Mark};
use crate::sinks::cosmos::retry::{Answer, Refusal, judge};
use crate::sinks::cosmos::{Access, Account, check};
use crate::testing::sinks::plan;

fn encoder(into: &str) -> Encoder {
    Encoder::new(plan(into), 0).expect("the document holds its partition key")
}

#[test]
fn ids_are_escaped_and_partition_keys_stand_as_in_the_document() {
    let by_id = encoder("cosmos { container: \"c\" }");
    let place = by_id.place("a/b?c").expect("it fits");
    assert_eq!((&*place.id, place.partition), ("a%2Fb%3Fc", PartitionKey::from("a%2Fb%3Fc".to_owned())));
    assert_eq!(by_id.place("..").expect("it fits").id, "%2E%2E", "a URL would leave it out");
    assert!(by_id.is_by_id());

    let by_key = encoder("cosmos { container: \"c\", partition_key: k }");
    assert_eq!(by_key.place("a/b").expect("it fits").partition, PartitionKey::from("a/b".to_owned()));
    assert_eq!(by_key.levels[0].path(), "/k");

    let levels = encoder(
        "cosmos as { k, size: k.len(), `is-long`: k.len() > 3 } \
         { container: \"c\", partition_key: [k, k.len(), k.len() > 3] }",
    );
    let number = PartitionKeyValue::try_from(4.0).expect("it is finite");
    let parts = vec![PartitionKeyValue::from("abcd"), number, PartitionKeyValue::from(true)];
    assert_eq!(levels.place("abcd").expect("it fits").partition, PartitionKey::try_from(parts).expect("three levels"));
    let paths: Vec<_> = levels.levels.iter().map(|level| level.path()).collect();
    assert_eq!(paths, ["/k", "/size", "/\"is-long\""]);
}

#[test]
fn ids_that_are_empty_or_too_long_are_refused() {
    let encoder = encoder("cosmos { container: \"c\" }");
    assert!(encoder.place(&"x".repeat(1023)).is_ok());
    for (key, bytes) in [(String::new(), 0), ("x".repeat(1024), 1024), ("/".repeat(342), 1026)] {
        let refused = encoder.place(&key).expect_err("it does not fit");
        assert_eq!(refused, format!("the id has {bytes} bytes, and Cosmos DB takes 1 to 1023"));
    }
}

#[test]
fn time_to_live_is_what_is_left_of_it() {
    let expires = encoder("cosmos { container: \"c\", ttl: 1h }");
    let now = 1_000_000_000_000_000;
    let second = 1_000_000;
    let body = |time: Option<i64>| {
        let body = expires.body(br#"{"a":{}}"#, time.map(EventTime), now).expect("it is JSON");
        body.get().to_owned()
    };
    assert_eq!(body(None), r#"{"a":{},"ttl":3600}"#);
    assert_eq!(body(Some(now - 600 * second - 1)), r#"{"a":{},"ttl":2999}"#);
    assert_eq!(body(Some(now - 3600 * second)), r#"{"a":{},"ttl":1}"#);
    assert_eq!(body(Some(i64::MIN)), r#"{"a":{},"ttl":1}"#);
    assert_eq!(body(Some(i64::MAX)), r#"{"a":{},"ttl":2147483647}"#);
    let stays = encoder("cosmos { container: \"c\" }");
    assert_eq!(stays.body(b"{}", None, now).expect("it is JSON").get(), "{}");
}

#[test]
fn what_the_service_adds_is_taken_off() {
    let stored = r#"{"id":"a", "n" : 1.50,"ttl":9,"_proj":{"p":"x","v":7},"_rid":"r","_self":"s","_etag":"\"e\"","_attachments":"a","_ts":1}"#;
    let read =
        |into: &str| encoder(into).stored(stored.as_bytes()).map(|body| String::from_utf8_lossy(&body).into_owned());
    let ours = r#"{"id":"a","n":1.50,"ttl":9,"_proj":{"p":"x","v":7}}"#;
    assert_eq!(read("cosmos { container: \"c\" }"), Ok(ours.into()));
    assert_eq!(read("cosmos { container: \"c\", ttl: 1h }"), Ok(ours.replace("\"ttl\":9,", "")));
}

#[test]
fn versions_are_read_also_where_they_are_written_as_doubles() {
    let version = |text: &str| Mark::of(format!(r#"{{"_proj":{{"p":"x","v":{text}}}}}"#).as_bytes()).version;
    assert_eq!(version("9007199254740991"), Some(Version(9_007_199_254_740_991)));
    assert_eq!(version("9.007199254740991E15"), Some(Version(9_007_199_254_740_991)));
    for none in ["1.5", "-1", "\"7\"", "null", "1e300"] {
        assert_eq!(version(none), None, "{none}");
    }
    assert_eq!(Mark::of(b"{}"), Mark { projection: None, version: None });
    assert_eq!(Mark::of(b"no JSON"), Mark { projection: None, version: None });
}

/// What kind of outcome an answer of the service leads to.
fn outcome(status: u16, sub_status: Option<u16>, is_open: bool) -> &'static str {
    let answer = Answer { status, sub_status, is_from_service: true, is_open, ..Answer::default() };
    word(judge(answer))
}

fn word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Absent => "absent",
        Refusal::Exists => "exists",
        Refusal::Changed => "changed",
        Refusal::Settled(Outcome::Retry { .. }) => "retry",
        Refusal::Settled(Outcome::Busy { .. }) => "busy",
        Refusal::Settled(Outcome::Unanswered { .. }) => "unanswered",
        Refusal::Settled(Outcome::Poison { .. }) => "poison",
        Refusal::Settled(_) => "done",
    }
}

#[test]
fn an_answer_says_whether_the_write_was_surely_not_done() {
    let once = [
        (400, "poison"),
        (401, "retry"),
        (403, "retry"),
        (404, "absent"),
        (408, "unanswered"),
        (409, "exists"),
        (410, "retry"),
        (412, "changed"),
        (413, "poison"),
        (429, "busy"),
        (449, "retry"),
        (500, "unanswered"),
        (503, "busy"),
    ];
    for (status, expected) in once {
        assert_eq!(outcome(status, None, false), expected, "{status}");
    }
    // The first of two tries may still be done.
    for status in [401, 403, 408, 410, 429, 449, 500, 503] {
        assert_eq!(outcome(status, None, true), "unanswered", "{status}");
    }
    assert_eq!(outcome(404, Some(1003), false), "absent");
    assert_eq!(outcome(404, Some(1002), false), "retry", "a replica that lags is no absence");
    let silent = |is_open: bool| word(judge(Answer { status: 503, is_open, ..Answer::default() }));
    assert_eq!((silent(true), silent(false)), ("unanswered", "retry"));
}

#[test]
fn a_busy_container_says_for_how_long() {
    let after = Some(Duration::from_millis(37));
    let answer = Answer { status: 429, sub_status: Some(3200), is_from_service: true, after, ..Answer::default() };
    let Refusal::Settled(Outcome::Busy { reason, after: asked }) = judge(answer) else { panic!("it is busy") };
    assert_eq!(asked, after);
    assert!(reason.starts_with("Cosmos DB answers 429/3200"), "{reason}");
}

#[test]
fn options_that_make_no_document_are_refused() {
    let refused = |into: &str, database: Option<&str>| {
        let plan = plan(into);
        let account = Account {
            endpoint: "https://x.documents.azure.com".into(),
            database: database.map(str::to_owned),
            region: None,
            access: Access::Key("a2V5".into()),
        };
        check(&plan.projection, &plan.projection.sinks[0], &account).err().unwrap_or_default()
    };
    assert_eq!(refused("cosmos { container: \"c\" }", Some("d")), "");
    assert_eq!(refused("cosmos { container: \"c\", database: \"d\" }", None), "");
    assert!(refused("cosmos { container: \"c\" }", None).starts_with("no database is named"));
    let computed = "cosmos { container: \"c\", partition_key: k.len() }";
    assert!(refused(computed, Some("d")).starts_with("no field of the document holds the partition key"));
    let shared = "cosmos { container: \"c\" }\n  into cosmos { container: \"c\", name: \"two\" }";
    assert!(refused(shared, Some("d")).starts_with("`two` of this projection has the same container"));
    let twice = "cosmos as { k, ttl: n } { container: \"c\", ttl: 1h }";
    assert!(refused(twice, Some("d")).starts_with("the option `ttl`"));
}
