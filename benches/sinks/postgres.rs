//! Batches through the sink, and the same upsert by hand: no claim, no encoding, one statement that commits itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use projector::event::{Epoch, TargetId, Version};
use projector::language;
use projector::plan::{Plan, lower};
use projector::sinks::claim::{Claim, ClaimedTarget, ProcessId};
use projector::sinks::postgres::{PostgresConnection, PostgresSink};
use projector::sinks::{DocumentBody, DocumentSink, DocumentWrite, Outcome};
use projector::state::{Place, StoreId};
use tokio_postgres::{Client, NoTls};

const ROWS: usize = 100_000;
const BATCH: usize = 1000;
/// Every row is written so often: once new, then over itself.
const ROUNDS: u64 = 3;

const PROJECTION: &str = r#"
event Noted { k: string, total: decimal(2), count: int, at: timestamp, name: string, open: bool }
topic notes = "notes" { type: header("type") events: Noted }
projection noted {
  from notes
  key k = .k
  state { total: decimal(2) count: int at: timestamp name: string open: bool }
  on Noted { total = .total count = .count at = .at name = .name open = .open }
  into postgres { table: "bench_sink" create: true }
}
"#;

const BARE: &str = "INSERT INTO bench_bare AS t SELECT x.k, x.total::numeric, x.count::bigint, x.at::timestamptz, x.name, \
     x.open::boolean, 'noted', x.v FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
     $7::bigint[]) AS x(k, total, count, at, name, open, v) ON CONFLICT (k) DO UPDATE SET total = excluded.total, \
     count = excluded.count, at = excluded.at, name = excluded.name, open = excluded.open, _proj_p = excluded._proj_p, \
     _proj_v = excluded._proj_v WHERE t._proj_v < excluded._proj_v";

/// The fields of a row, in the order of the columns.
fn row(number: usize, round: u64) -> [String; 6] {
    [
        format!("key-{number:08}"),
        format!("{}.{:02}", number * 7, round),
        format!("{}", number as u64 * round),
        format!("2026-01-01T{:02}:{:02}:00Z", number % 24, round),
        format!("somebody called {number}"),
        number.is_multiple_of(2).to_string(),
    ]
}

fn document(number: usize, version: u64) -> DocumentWrite {
    let [k, total, count, at, name, open] = row(number, version);
    let body = format!(
        r#"{{"k":"{k}","total":{total},"count":{count},"at":"{at}","name":"{name}","open":{open},"_proj":{{"p":"noted","v":{version}}}}}"#
    );
    let body = DocumentBody::Document(body.into_bytes().into());
    DocumentWrite { key: k.into(), version: Version(version), body, time: None }
}

pub async fn run(url: &str) {
    let client = connect(url).await;
    let clean = "DROP TABLE IF EXISTS bench_sink, bench_bare, projector_claims";
    client.batch_execute(clean).await.expect("the tables are ours");
    let plan = plan();
    for width in [1, 4] {
        let bare = bare(url, &client, width).await;
        let sink = sink(url, &plan, width).await;
        for (round, (bare, sink)) in bare.iter().zip(&sink).enumerate() {
            let what = if round == 0 { "new" } else { "over" };
            let rate = |took: &Duration| ROWS as f64 / took.as_secs_f64();
            let (bare, sink) = (rate(bare), rate(sink));
            println!("{width} at once, {what}: sink {sink:.0}/s, bare {bare:.0}/s, {:.0} %", sink / bare * 100.0);
        }
        client.batch_execute(clean).await.expect("the tables are ours");
    }
}

fn plan() -> Arc<Plan> {
    let read = |_: &Path| Ok(PROJECTION.as_bytes().to_vec());
    let loaded = language::files::load(&[PathBuf::from("bench.proj")], &read).expect("the text is given");
    let (program, diagnostics) = language::compile(&loaded);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    Arc::new(lower(program.projections.into_iter().next().expect("there is one")))
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server is there");
    tokio::spawn(connection);
    client
}

/// How long each round takes by hand.
async fn bare(url: &str, client: &Client, width: usize) -> Vec<Duration> {
    let table = "CREATE TABLE bench_bare (k text PRIMARY KEY, total numeric(38,2) NOT NULL, count bigint NOT NULL, \
                 at timestamptz NOT NULL, name text NOT NULL, open boolean NOT NULL, _proj_p text NOT NULL, _proj_v bigint NOT NULL)";
    client.batch_execute(table).await.expect("it is new");
    let mut sessions = Vec::new();
    for _ in 0..width {
        let session = connect(url).await;
        let statement = session.prepare(BARE).await.expect("it is understood");
        sessions.push((session, statement));
    }
    let mut took = Vec::new();
    for round in 1..=ROUNDS {
        let rows: Vec<[String; 6]> = (0..ROWS).map(|number| row(number, round)).collect();
        let began = Instant::now();
        let mut each = rows.chunks(BATCH);
        let mut under_way = FuturesUnordered::new();
        for session in &sessions {
            under_way.extend(each.next().map(|batch| upsert(session, batch, round)));
        }
        while let Some(session) = under_way.next().await {
            under_way.extend(each.next().map(|batch| upsert(session, batch, round)));
        }
        took.push(began.elapsed());
    }
    took
}

type Prepared = (Client, tokio_postgres::Statement);

async fn upsert<'s>(session: &'s Prepared, batch: &[[String; 6]], version: u64) -> &'s Prepared {
    let column = |at: usize| batch.iter().map(|row| row[at].as_str()).collect::<Vec<_>>();
    let columns: [Vec<&str>; 6] = std::array::from_fn(column);
    let versions = vec![version as i64; batch.len()];
    let [k, total, count, at, name, open] = &columns;
    let written = session.0.execute(&session.1, &[k, total, count, at, name, open, &versions]).await;
    assert_eq!(written.expect("it is written"), batch.len() as u64);
    session
}

/// How long each round takes through the sink.
async fn sink(url: &str, plan: &Plan, width: usize) -> Vec<Duration> {
    let sink = PostgresSink::new(plan, 0, PostgresConnection::new(url)).expect("the options make a table");
    let (store, place, process) = (StoreId(1), Place(1), ProcessId(1));
    let (published, beat, target) = (Version(0), 1, TargetId(1));
    let claim = Claim { store, place, process, epoch: Epoch(0), published, beat, target };
    sink.move_claim(None, claim).await.expect("there is none yet");
    let mut took = Vec::new();
    for round in 1..=ROUNDS {
        let writes: Vec<DocumentWrite> = (0..ROWS).map(|number| document(number, round)).collect();
        let began = Instant::now();
        let mut each = writes.chunks(BATCH);
        let mut under_way = FuturesUnordered::new();
        let next = |batch: &[DocumentWrite]| sink.write(batch.to_vec(), Instant::now() + Duration::from_secs(60));
        under_way.extend(each.by_ref().take(width).map(next));
        while let Some(outcomes) = under_way.next().await {
            assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Ok), "{:?}", outcomes.first());
            under_way.extend(each.next().map(next));
        }
        took.push(began.elapsed());
    }
    took
}
