//! Every type of the language as a column, there and back.

use projector::sinks::{DocumentSink, Outcome};
use projector::testing::sinks::put;
use serde_json::Value;

use super::{plan_of, query, session, sink, write};
use crate::services::postgres;

const FIELDS: [(&str, &str); 20] = [
    ("whole", "int"),
    ("price", "decimal(2)"),
    ("exact", "decimal"),
    ("ratio", "float"),
    ("yes", "bool"),
    ("at", "timestamp"),
    ("day", "date"),
    ("span", "duration"),
    ("id", "uuid"),
    ("raw", "bytes"),
    ("status", "Status"),
    ("short", "string(5)"),
    ("tags", "list<string>"),
    ("prices", "list<decimal(2)>"),
    ("times", "list<timestamp>"),
    ("spans", "list<duration>"),
    ("maybe", "int?"),
    ("counts", "map<string, decimal(2)>"),
    ("home", "Address"),
    ("homes", "list<Address>"),
];

fn text(options: &str) -> String {
    let declared: Vec<String> = FIELDS.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let set: Vec<String> = FIELDS.iter().map(|(name, _)| format!("{name} = .{name}")).collect();
    format!(
        "enum Status {{ open, closed = \"CLOSED\" }}\nrecord Address {{ street: string, floor: int? }}\n\
         event Noted {{ k: string, {} }}\ntopic notes = \"notes\" {{ type: header(\"type\") events: Noted }}\n\
         projection noted {{\n  from notes\n  key k = .k\n  state {{\n    {}\n  }}\n  on Noted {{ {} }}\n  \
         into postgres {{ table: \"notes\" create: true {options} }}\n}}\n",
        declared.join(", "),
        declared.join("\n    "),
        set.join("\n "),
    )
}

const USUAL: &str = r#"{"k":"a","whole":9223372036854775807,"price":12.50,"exact":-0.000000000001,"ratio":1e300,
    "yes":true,"at":"2026-01-01T10:00:00.000001Z","day":"2026-01-01","span":"PT26H0.25S",
    "id":"00000000-0000-0000-0000-0000000000ff","raw":"AP8Q","status":"CLOSED","short":"ö\"\\'",
    "tags":["a,b","\"q\"","\\","{}","NULL",""," "],"prices":[1.00,-2.50],"times":["1969-12-31T23:59:59.999999Z"],
    "spans":["-PT0.5S","PT0S"],"maybe":null,"counts":{"a b":1.50,"ä":12345678901234567890.12},
    "home":{"street":"Main","floor":null},"homes":[{"street":"x","floor":2}],"_proj":{"p":"noted","v":7}}"#;

const EXTREME: &str = r#"{"k":"b","whole":-9223372036854775808,"price":999999999999999999999999999999999999.99,
    "exact":12345678901234567890123456789.012345678,"ratio":5e-324,"yes":false,"at":"0000-01-01T00:00:00Z",
    "day":"0000-02-29","span":"-PT596523H14M7.999999S","id":"ffffffff-ffff-ffff-ffff-ffffffffffff","raw":"",
    "status":"open","short":"","tags":[],"prices":[],"times":["9999-12-31T23:59:59.999999Z","0000-12-31T00:00:00Z"],
    "spans":[],"maybe":0,"counts":{},"home":{"street":"","floor":-1},"homes":[],"_proj":{"p":"noted","v":7}}"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

#[tokio::test]
async fn every_type_comes_back_as_it_was_written() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("values");
    let sink = sink(&plan_of(&text("")), &url);
    for (key, body) in [("a", USUAL), ("b", EXTREME)] {
        assert_eq!(write(&sink, vec![put(key, 7, body)]).await, [Outcome::Ok], "{key}");
        let read = sink.read(key).await.unwrap().expect("it was written");
        let read = std::str::from_utf8(&read.body).unwrap();
        assert_eq!(json(read), json(body));
        // What a reader of JSON would round.
        for digits in ["12345678901234567890.12", "999999999999999999999999999999999999.99", "-0.000000000001"] {
            assert_eq!(read.contains(digits), body.contains(digits), "{digits} in {read}");
        }
    }
    let client = session(&url).await;
    let types = "select string_agg(attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then '' \
                 else '?' end, E'\\n' order by attnum) from pg_attribute where attrelid = 'notes'::regclass and attnum > 0";
    insta::assert_snapshot!(query(&client, types).await.join("\n"), @r##"
    k text
    whole bigint
    price numeric(38,2)
    exact numeric
    ratio double precision
    yes boolean
    at timestamp with time zone
    day date
    span interval
    id uuid
    raw bytea
    status text
    short text
    tags text[]
    prices numeric(38,2)[]
    times timestamp with time zone[]
    spans interval[]
    maybe bigint?
    counts jsonb
    home jsonb
    homes jsonb
    _proj_p text
    _proj_v bigint
    "##);
    let shown = "set timezone = 'UTC'; select whole, price, exact, ratio, yes, at, day, span, id, raw, status, short, tags, prices, \
                 times, spans, maybe, counts, home, homes from notes order by k";
    insta::assert_snapshot!(query(&client, shown).await.join("\n"), @r##"
    9223372036854775807|12.50|-0.000000000001|1e+300|t|2026-01-01 10:00:00.000001+00|2026-01-01|26:00:00.25|00000000-0000-0000-0000-0000000000ff|\x00ff10|CLOSED|ö"\'|{"a,b","\"q\"","\\","{}","NULL",""," "}|{1.00,-2.50}|{"1969-12-31 23:59:59.999999+00"}|{-00:00:00.5,00:00:00}|NULL|{"ä": 12345678901234567890.12, "a b": 1.50}|{"floor": null, "street": "Main"}|[{"floor": 2, "street": "x"}]
    -9223372036854775808|999999999999999999999999999999999999.99|12345678901234567890123456789.012345678|5e-324|f|0001-01-01 00:00:00+00 BC|0001-02-29 BC|-596523:14:07.999999|ffffffff-ffff-ffff-ffff-ffffffffffff|\x|open||{}|{}|{"9999-12-31 23:59:59.999999+00","0001-12-31 00:00:00+00 BC"}|{}|0|{}|{"floor": -1, "street": ""}|[]
    "##);
}

#[tokio::test]
async fn columns_may_have_other_types_than_ours() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("chosen");
    let chosen = "columns: { whole: \"numeric(30)\", span: \"text\", raw: \"text\", tags: \"jsonb\", short: \"varchar(3)\", homes: \"json\" }";
    let sink = sink(&plan_of(&text(chosen)), &url);
    let body = USUAL.replace(r#""short":"ö\"\\'""#, r#""short":"abc""#);
    assert_eq!(write(&sink, vec![put("a", 7, &body)]).await, [Outcome::Ok]);
    let read = sink.read("a").await.unwrap().expect("it was written");
    let mut expected = json(&body);
    // Base64 stands in the column, and so it is shown.
    assert_eq!(std::mem::take(&mut expected["raw"]), "AP8Q");
    let mut read: Value = serde_json::from_slice(&read.body).unwrap();
    assert_eq!(std::mem::take(&mut read["raw"]), "AP8Q");
    assert_eq!(read, expected);
    let outcomes = write(&sink, vec![put("c", 7, &USUAL.replace(r#""k":"a""#, r#""k":"c""#))]).await;
    assert!(matches!(&outcomes[..], [Outcome::Poison { reason }] if reason.contains("22001")), "{outcomes:?}");
}

#[tokio::test]
async fn what_is_none_may_be_left_out() {
    let Some(postgres) = postgres() else { return };
    let sink = sink(&plan_of(&text("omit_none: true")), &postgres.database("omitted"));
    let body = USUAL.replace(r#""maybe":null,"#, "").replace(r#","floor":null"#, "");
    assert_eq!(write(&sink, vec![put("a", 7, &body)]).await, [Outcome::Ok]);
    let read = sink.read("a").await.unwrap().expect("it was written");
    assert_eq!(json(std::str::from_utf8(&read.body).unwrap()), json(&body));
}
