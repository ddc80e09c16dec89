//! The index: made by the types, found as a person made it, refused when it does not fit, missed when it is deleted.

use projector::event::Version;
use projector::sinks::claim::{ClaimMove, ClaimedTarget};
use projector::testing::sinks::{claim, delete, put};

use super::*;

const NOTE: &str = r#"{"k":"a","n":"x","_proj":{"p":"noted","v":5}}"#;

#[tokio::test]
async fn an_index_is_made_by_the_types_of_the_document() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("typed");
    let text = format!(
        r#"
        record Line {{ sku: string, qty: int }}
        event E {{ id: string, b: bool, i: int, f: float, d: decimal(2), p: decimal, at: timestamp, on: date, took: duration,
                  u: uuid, raw: bytes, any: json, lines: list<Line>, tags: set<string>, prices: map<string, decimal(2)>, o: int? }}
        topic t = "t" {{ type: header("type") events: E }}
        projection typed {{
          from t
          key id = .id
          state {{ b: bool, i: int, f: float, d: decimal(2), p: decimal, at: timestamp, on: date, took: duration,
                  u: uuid, raw: bytes, any: json, lines: list<Line>, tags: set<string>, prices: map<string, decimal(2)>, o: int? }}
          on E {{ b = .b i = .i f = .f d = .d p = .p at = .at on = .on took = .took u = .u raw = .raw any = .any
                 lines = .lines tags = .tags prices = .prices o = .o }}
          into elasticsearch {{ index: "{index}" alias: "{index}_more" mappings: {{ lines: "nested", at: "date_nanos" }} }}
        }}
        "#
    );
    let sink = ElasticsearchSink::new(plan(&text), 0, ElasticsearchOptions::at(&node.url));
    assert_eq!(sink.read_claim().await.unwrap(), None);
    let (_, made) = ask("GET", &format!("{}/{index}?flat_settings=true", node.url), &Value::Null);
    let made = &made[format!("{index}__g1")];
    assert_eq!(made["settings"]["index.gc_deletes"], "15m");
    assert_eq!(made["mappings"]["dynamic"], "strict");
    let types: Vec<_> =
        ["id", "b", "i", "f", "d", "p", "at", "on", "took", "u", "raw", "any", "lines", "tags", "prices", "o"]
            .map(|field| made["mappings"]["properties"][field]["type"].as_str().unwrap_or("?").to_owned())
            .into();
    assert_eq!(
        types.join(" "),
        "keyword boolean long double scaled_float keyword date_nanos date keyword keyword binary object nested text \
         flat_object long"
    );
    let mut aliases: Vec<_> =
        made["aliases"].as_object().unwrap().keys().map(|name| name.replace(&index, "")).collect();
    aliases.sort();
    assert!(
        matches!(&aliases[..], [own, reader, more] if own.is_empty() && reader.starts_with("__g1__W_") && more == "_more"),
        "{aliases:?}"
    );

    // The document that comes back is the one that was written, digit for digit.
    let body = r#"{"id":"a","b":true,"i":9007199254740992,"f":1e300,"d":12345678901234567.10,"p":"0.1000000000000000000000001","at":"2026-01-02T03:04:05.123456Z","on":"2026-01-02","took":"PT1M","u":"00000000-0000-0000-0000-000000000001","raw":"YWI=","any":{"x": [1.50, null]},"lines":[{"sku":"a","qty":1}],"tags":[],"prices":{"a.b":1.50,"":2.00},"o":null,"_proj":{"p":"typed","v":7}}"#;
    assert_eq!(write(&sink, vec![put("a", 7, body)]).await, [Outcome::Ok]);
    let stored = sink.read("a").await.unwrap().expect("it was written");
    assert_eq!((stored.version, std::str::from_utf8(&stored.body).unwrap()), (Version(7), body));
    for query in [
        json!({"range": {"d": {"gte": 12345678901234567.0}}}),
        json!({"term": {"p": "0.1000000000000000000000001"}}),
        json!({"range": {"at": {"gt": "2026-01-02T03:04:05.123455Z", "lt": "2026-01-02T03:04:05.123457Z"}}}),
        json!({"nested": {"path": "lines", "query": {"match": {"lines.sku": "a"}}}}),
    ] {
        assert_eq!(found(&node.url, &index, &query), ["a"], "{query}");
    }
}

#[tokio::test]
async fn claims_are_hidden_from_readers() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("claimed");
    let (_, sink) = sink(&node.url, &format!("index: \"{index}\""));
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
    assert_eq!(write(&sink, vec![put("a", 5, NOTE)]).await, [Outcome::Ok]);
    assert_eq!(found(&node.url, &index, &json!({"match_all": {}})), ["a"]);
}

#[tokio::test]
async fn a_deleted_index_is_missed_and_nothing_is_written_in_its_place() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("deleted");
    let (_, sink) = sink(&node.url, &format!("index: \"{index}\""));
    assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
    let physical = format!("{}/{index}__g1", node.url);
    let gone = |outcomes: &[Outcome]| matches!(outcomes, [Outcome::Retry { reason }] if reason.contains("was deleted"));
    let exists = || ask("GET", &format!("{}/{index}*", node.url), &Value::Null).1 != json!({});

    for batch in [vec![put("a", 5, NOTE)], vec![delete("a", 6)]] {
        let (_, other) = super::sink(&node.url, &format!("index: \"{index}\""));
        assert_eq!(sink.read_claim().await.unwrap().is_some(), exists());
        if sink.read_claim().await.unwrap().is_none() {
            assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
        }
        assert!(other.read_claim().await.unwrap().is_some());
        assert_eq!(ask("DELETE", &physical, &Value::Null).0, 200);
        let outcomes = write(&sink, batch.clone()).await;
        assert!(gone(&outcomes), "{outcomes:?}");
        assert!(!exists(), "a write makes no index");

        // Whoever made it again: what was sent for the old one is not written to the new one.
        assert_eq!(ask("PUT", &physical, &json!({"aliases": {&index: {}}})).0, 200);
        for sink in [&sink, &other] {
            let outcomes = write(sink, batch.clone()).await;
            assert!(gone(&outcomes), "{outcomes:?}");
        }
        assert_eq!(found(&node.url, &format!("{index}__g1"), &json!({"match_all": {}})), Vec::<String>::new());
        assert_eq!(ask("DELETE", &physical, &Value::Null).0, 200);

        // A claim that is moved is not there, and none is made; the first one makes the index again.
        assert_eq!(sink.move_claim(Some(claim(1, 1)), claim(1, 2)).await.unwrap(), ClaimMove::Found(None));
        assert!(!exists());
        assert_eq!(sink.move_claim(None, claim(1, 1)).await.unwrap(), ClaimMove::Moved);
        assert_eq!(write(&sink, vec![put("a", 5, NOTE)]).await, [Outcome::Ok]);
    }
}

/// Makes an index as a person would.
fn make(url: &str, index: &str, dynamic: &str, properties: Value) {
    let body = json!({"mappings": {"dynamic": dynamic, "properties": properties}});
    assert_eq!(ask("PUT", &format!("{url}/{index}"), &body).0, 200);
}

fn fitting() -> Value {
    json!({
        "k": {"type": "keyword"},
        "n": {"type": "text", "analyzer": "simple"},
        "_claim": {"type": "object", "enabled": false},
        "_proj": {"properties": {"p": {"type": "keyword"}, "v": {"type": "long"}}},
    })
}

#[tokio::test]
async fn an_index_that_a_person_made_is_used_as_it_is() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("made");
    make(&node.url, &index, "strict", fitting());
    let (plan, first) = sink(&node.url, &format!("index: \"{index}\""));
    conformance(&Subject { sink: &first, plan, lists: false, raises: false }).await;
    assert_eq!(ask("GET", &format!("{}/{index}__g1", node.url), &Value::Null).0, 404);

    assert_eq!(ask("DELETE", &format!("{}/{index}", node.url), &Value::Null).0, 200);
    let outcomes = write(&first, vec![delete("a", 90)]).await;
    assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
    assert_eq!(ask("GET", &format!("{}/{index}", node.url), &Value::Null).0, 404, "a delete makes no index");
}

#[tokio::test]
async fn an_index_that_does_not_fit_is_refused_with_the_difference() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("other");
    make(&node.url, &index, "true", json!({"n": {"type": "keyword"}, "k": {"type": "keyword"}}));
    let options = format!("index: \"{index}\"");
    let (_, refused) = sink(&node.url, &options);
    let why = refused.read_claim().await.unwrap_err().reason;
    let wanted = format!(
        "`{index}` does not take these documents: `n` is `keyword` there and `text` here, `_claim` is missing there, \
         `_proj` is missing there; put {{"
    );
    assert!(why.contains(&wanted), "{why}");
    let outcomes = write(&refused, vec![put("a", 5, NOTE)]).await;
    assert!(matches!(&outcomes[..], [Outcome::Retry { reason }] if reason.contains(&wanted)), "{outcomes:?}");

    // What it said is what is to be done.
    let added = why.split_once("put ").unwrap().1.split_once(" to the properties").unwrap().0;
    let added: Value = serde_json::from_str(added).unwrap();
    assert_eq!(ask("PUT", &format!("{}/{index}/_mapping", node.url), &json!({"properties": added})).0, 200);
    let (_, fits) = sink(&node.url, &format!("{options} mappings: {{ n: \"keyword\" }}"));
    assert_eq!(fits.read_claim().await.unwrap(), None);
}

#[tokio::test]
async fn documents_of_others_are_taken_over_only_when_told_to() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("theirs");
    make(&node.url, &index, "strict", fitting());
    assert_eq!(ask("PUT", &format!("{}/{index}/_doc/theirs", node.url), &json!({"n": "x"})).0, 201);
    let (_, refused) = sink(&node.url, &format!("index: \"{index}\""));
    let why = refused.read_claim().await.unwrap_err().reason;
    assert!(why.contains("such as `theirs`") && why.contains("`adopt: true`"), "{why}");
    let (_, adopts) = sink(&node.url, &format!("index: \"{index}\" adopt: true"));
    assert_eq!(adopts.read_claim().await.unwrap(), None);
}

#[tokio::test]
async fn an_index_of_ours_gains_fields_and_keeps_types() {
    let Some(node) = services::opensearch() else { return };
    let index = node.unique("grows");
    let with = |fields: &str| {
        let text = format!(
            "event E {{ k: string, n: int }}\ntopic t = \"t\" {{ type: header(\"type\") events: E }}\n\
             projection p {{\n from t\n key k = .k\n state {{ n: int = 0 }}\n on E {{ n = .n }}\n \
             into elasticsearch as {{ {fields} }} {{ index: \"{index}\" }}\n}}"
        );
        ElasticsearchSink::new(plan(&text), 0, ElasticsearchOptions::at(&node.url))
    };
    assert_eq!(with("k, n").read_claim().await.unwrap(), None);
    assert_eq!(with("k, n, r: { n, t: k }").read_claim().await.unwrap(), None);
    assert_eq!(with("k, n, r: { n, t: k, twice: n * 2 }").read_claim().await.unwrap(), None);
    let (_, made) = ask("GET", &format!("{}/{index}", node.url), &Value::Null);
    let fields = &made[format!("{index}__g1")]["mappings"]["properties"]["r"]["properties"];
    assert_eq!((&fields["twice"]["type"], &fields["n"]["type"]), (&json!("long"), &json!("long")));
    let why = with("k, n: string(n)").read_claim().await.unwrap_err().reason;
    assert!(why.contains("`n` is `long` there and `text` here; say its types with `mappings"), "{why}");
}

#[tokio::test]
async fn an_index_that_forgets_what_it_acknowledged_is_refused() {
    let Some(node) = services::opensearch() else { return };
    for (settings, why) in [
        ("{ translog: { durability: \"async\" } }", "set index.translog.durability to `request`"),
        ("{ gc_deletes: \"5s\" }", "set index.gc_deletes to `15m`"),
    ] {
        let index = node.unique("forgets");
        let (_, sink) = sink(&node.url, &format!("index: \"{index}\" settings: {settings}"));
        let reason = sink.read_claim().await.unwrap_err().reason;
        assert!(reason.contains(why), "{reason}");
    }
}
