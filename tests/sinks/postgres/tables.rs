//! Tables that are made, that are there already, and that are not what the documents need.

use projector::sinks::claim::ClaimedTarget;
use projector::sinks::postgres::{PostgresConnection, PostgresSink};
use projector::sinks::{DocumentSink, Outcome};
use projector::testing::sinks::{delete, plan, put};

use super::{note, plan_of, query, session, sink, write};
use crate::services::postgres;

/// Why a sink refuses its table.
async fn refusal(sink: &PostgresSink) -> String {
    sink.read_claim().await.expect_err("the table is refused").reason
}

#[tokio::test]
async fn a_missing_table_is_made_only_when_the_file_says_so() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("missing");
    let sink = sink(&plan("postgres { table: \"notes\" }"), &url);
    let why = refusal(&sink).await;
    insta::assert_snapshot!(why, @r##"
    there is no table "notes"; write `create: true`, or make it with:
    CREATE TABLE IF NOT EXISTS "notes" (
      "k" text NOT NULL,
      "n" text NOT NULL,
      "_proj_p" text NOT NULL,
      "_proj_v" bigint NOT NULL,
      PRIMARY KEY ("k")
    );
    CREATE TABLE IF NOT EXISTS "public"."projector_claims" (
      table_name text NOT NULL,
      projection text NOT NULL,
      sink text NOT NULL,
      table_oid bigint NOT NULL,
      table_file bigint NOT NULL,
      timeline text NOT NULL,
      store uuid NOT NULL,
      place bigint NOT NULL,
      process uuid NOT NULL,
      epoch bigint NOT NULL,
      published bigint NOT NULL,
      beat bigint NOT NULL,
      target uuid NOT NULL,
      fence bigint NOT NULL,
      PRIMARY KEY (table_name, projection, sink)
    );
    "##);
    let client = session(&url).await;
    assert_eq!(query(&client, "select to_regclass('notes'), to_regclass('projector_claims')").await, ["NULL|NULL"]);
    // What it says is what helps.
    let (_, ddl) = why.split_once('\n').expect("a statement");
    query(&client, ddl).await;
    assert_eq!(sink.read_claim().await.unwrap(), None);
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    query(&client, "drop table projector_claims").await;
    let outcomes = write(&sink, vec![note("a", 2, "x")]).await;
    assert!(matches!(&outcomes[..], [Outcome::Retry { .. }]), "{outcomes:?}");
    assert!(refusal(&sink).await.contains("CREATE TABLE IF NOT EXISTS \"public\".\"projector_claims\""));
}

#[tokio::test]
async fn a_table_that_differs_is_refused_with_what_mends_it() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("differs");
    let client = session(&url).await;
    query(
        &client,
        "create table notes (n integer, extra text not null, filled text not null default '', \
         reckoned text generated always as ('x') stored, _proj_v integer not null)",
    )
    .await;
    let sink = sink(&plan("postgres { table: \"notes\", create: true }"), &url);
    let why = refusal(&sink).await;
    insta::assert_snapshot!(why, @r##"
    the table "public"."notes" is not what the documents need:
      the column "k" is missing: ALTER TABLE "public"."notes" ADD COLUMN "k" text;
      the column "n" is `integer`, and must be `text`: ALTER TABLE "public"."notes" ALTER COLUMN "n" TYPE text USING "n"::text;
      the column "_proj_p" is missing: ALTER TABLE "public"."notes" ADD COLUMN "_proj_p" text NOT NULL DEFAULT '';
      the column "_proj_v" is `integer`, and must be `bigint`: ALTER TABLE "public"."notes" ALTER COLUMN "_proj_v" TYPE bigint;
      the column "extra" allows no NULL, and no field fills it: ALTER TABLE "public"."notes" ALTER COLUMN "extra" DROP NOT NULL;
    "##);
    for line in why.lines().skip(1) {
        let (_, ddl) = line.split_once(": ").expect("a statement after what differs");
        query(&client, ddl).await;
    }
    let why = refusal(&sink).await;
    insta::assert_snapshot!(why, @r##"
    the table "public"."notes" is not what the documents need:
      there is no primary key or unique index over ("k"): ALTER TABLE "public"."notes" ADD UNIQUE ("k");
    "##);
    let (_, ddl) = why.rsplit_once(": ").expect("a statement");
    query(&client, ddl).await;
    assert_eq!(write(&sink, vec![note("a", 1, "x")]).await, [Outcome::Ok]);
    assert_eq!(query(&client, "select k, n, filled, reckoned, extra from notes").await, ["a|x||x|NULL"]);
}

#[tokio::test]
async fn a_table_that_forgets_is_refused() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("forgets");
    let client = session(&url).await;
    query(&client, "create unlogged table notes (k text primary key, n text, _proj_p text not null, _proj_v bigint)")
        .await;
    let sink = sink(&plan("postgres { table: \"notes\", create: true }"), &url);
    assert!(refusal(&sink).await.contains("SET LOGGED"));
    query(&client, "drop table notes; create view notes as select 1").await;
    assert!(refusal(&sink).await.contains("no ordinary table"));
}

const ORDERS: &str = r#"
event Noted { shop: uuid, at: timestamp, line: int, total: decimal(2) }
topic notes = "notes" { type: header("type") events: Noted }
projection "#;

#[tokio::test]
async fn the_primary_key_shows_the_whole_key() {
    let Some(postgres) = postgres() else { return };
    let url = postgres.database("keys");
    let text = format!(
        "{ORDERS} orders {{\n  from notes\n  key shop = .shop, at = .at, line = .line\n  state {{ total: decimal(2) = 0 }}\n  \
         on Noted {{ total = .total }}\n  into postgres as {{ line: string(line), shop, happened: at, total }} {{\n    \
         table: \"sales.orders\"\n    primary_key: [\"shop\", \"happened\", \"line\"]\n    create: true\n  }}\n}}\n"
    );
    let client = session(&url).await;
    query(&client, "create schema sales").await;
    let sink = sink(&plan_of(&text), &url);
    let key = "00000000-0000-0000-0000-00000000000a|2026-01-01T10:00:00.25Z|7";
    let body = r#"{"line":"7","shop":"00000000-0000-0000-0000-00000000000a","happened":"2026-01-01T10:00:00.25Z","total":1.50,"_proj":{"p":"orders","v":4}}"#;
    assert_eq!(write(&sink, vec![put(key, 4, body)]).await, [Outcome::Ok]);
    assert_eq!(write(&sink, vec![put(key, 4, body)]).await, [Outcome::Duplicate]);
    assert_eq!(std::str::from_utf8(&sink.read(key).await.unwrap().unwrap().body).unwrap(), body);
    let shown = "select line, happened, total, _proj_p, _proj_v from sales.orders";
    assert_eq!(query(&client, shown).await, ["7|2026-01-01 10:00:00.25+00|1.50|orders|4"]);
    assert_eq!(query(&client, "select table_name from sales.projector_claims").await, [""; 0]);
    assert_eq!(write(&sink, vec![delete(key, 5)]).await, [Outcome::Ok]);
    assert_eq!(query(&client, shown).await, [""; 0]);
}

#[test]
fn options_that_make_no_table_are_refused() {
    let why = |into: &str| {
        let text = format!(
            "{ORDERS} orders {{\n  from notes\n  key shop = .shop, line = .line\n  state {{ total: decimal(2) = 0 }}\n  \
             on Noted {{ total = .total }}\n  into postgres {into}\n}}\n"
        );
        let made = PostgresSink::new(&plan_of(&text), 0, PostgresConnection::new("postgres://localhost/d"));
        made.err().unwrap_or_else(|| panic!("{into} is accepted"))
    };
    let all = [
        "as { shop, total } { table: \"o\" }",
        "{ table: \"o\" primary_key: [\"shop\"] }",
        "{ table: \"o\" primary_key: [\"shop\", \"line\", \"total\"] }",
        "{ table: \"o\" columns: { totals: \"text\" } }",
        "{ table: \"o\" columns: { total: \"text; drop table o\" } }",
        "{ table: \"\" }",
    ];
    let shown: Vec<String> = all.iter().map(|into| format!("{into}\n  {}", why(into))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r##"
    as { shop, total } { table: "o" }
      the primary key needs a column `line`, and the document has no such field: put it into `as`, or name the fields that show the key with `primary_key: ["…"]`
    { table: "o" primary_key: ["shop"] }
      two rows could get the same primary key: no column of it shows `line`, which is a part of the key
    { table: "o" primary_key: ["shop", "line", "total"] }
      `total` cannot be in the primary key: a deleted row is known by its key alone, and `total` is not a part of the key
    { table: "o" columns: { totals: "text" } }
      `columns` names `totals`, and the document has no such field
    { table: "o" columns: { total: "text; drop table o" } }
      `columns` takes a column's type in quotes, and `total` has none: write `total: "text"`
    { table: "" }
      `` is no name for a table: names have 1 to 63 bytes
    "##);
}
