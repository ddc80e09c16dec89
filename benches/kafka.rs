//! From a broker to state, with checkpoints and the cache, beside a consumer that only counts the same records.
//!
//! `cargo bench --bench kafka -- BROKERS [EVENTS]`. The topic is made and filled at the first run. Both read all of it, twice,
//! one after the other; the ratio of their rates travels between machines, the rates do not.

use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 4;
const KEYS: u64 = 200_000;
const WAIT: Duration = Duration::from_secs(30);

const PROJECTION: &str = r#"
topic orders = "TOPIC" { type: field("type"), keyed_by: .order_id }

event OrderChanged = "order.changed" { order_id: string, total_cents: int, at: timestamp }

projection orders_view {
  from orders
  key order_id = .order_id
  state {
    total:   int = 0
    changes: int = 0
    biggest: int = 0
    last_at: timestamp
  }
  on OrderChanged {
    total   += .total_cents
    changes += 1
    if .total_cents > biggest { biggest = .total_cents }
    last_at  = .at
  }
  into cache
}
"#;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let Some(brokers) = arguments.next() else {
        return println!("kafka: left out, it needs a broker: cargo bench --bench kafka -- BROKERS [EVENTS]");
    };
    let events = arguments.next().map_or(20_000_000, |number| number.parse().expect("EVENTS is a number"));
    let topic = format!("projector-bench-{events}");
    fill(&brokers, &topic, events);
    for _ in 0..2 {
        let bare = bare(&brokers, &topic, events);
        let engine = engine(&brokers, &topic);
        let rate = |wall: Duration| events as f64 / wall.as_secs_f64() / 1e6;
        println!(
            "a bare consumer {:.2} M/s, the engine {:.2} M/s: {:.0} %",
            rate(bare),
            rate(engine),
            bare.as_secs_f64() / engine.as_secs_f64() * 100.0
        );
    }
}

/// Makes the topic and its records, unless it is there.
fn fill(brokers: &str, topic: &str, events: u64) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "20").set("batch.size", "524288");
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a client");
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let tokio = tokio::runtime::Runtime::new().expect("threads");
    let made = tokio.block_on(admin.create_topics([&new], &AdminOptions::new())).expect("the broker answers");
    match &made[0] {
        Ok(_) => {}
        Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => return,
        Err((_, code)) => panic!("the topic cannot be made: {code}"),
    }
    let producer: BaseProducer = config.create().expect("a producer");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for n in 0..events {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (key, value) = record(n, random);
        let partition = (random % KEYS % PARTITIONS as u64) as i32;
        let mut next = BaseRecord::to(topic).key(&key).payload(&value).partition(partition);
        while let Err((error, back)) = producer.send(next) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            producer.poll(Duration::from_millis(5));
            next = back;
        }
        if n % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(WAIT).expect("the broker took them");
}

/// About 310 bytes, three fields of which are used.
fn record(n: u64, random: u64) -> (String, String) {
    let key = format!("order-{:08}", random % KEYS);
    let (day, hour, minute, second) = (1 + random % 28, random % 24, random % 60, (random >> 8) % 60);
    let value = format!(
        r#"{{"event_id":"{random:016x}-{n:08x}","type":"order.changed","order_id":"{key}","sequence":{n},"at":"2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}Z","customer":{{"id":{},"tier":"gold","country":"DE"}},"total_cents":{},"currency":"EUR","items":[{{"sku":"SKU-{:05}","qty":{}}},{{"sku":"SKU-{:05}","qty":1}}]}}"#,
        random % 50_000,
        (random >> 5) % 100_000,
        random % 5000,
        1 + random % 9,
        (random >> 20) % 5000,
    );
    (key, value)
}

/// Counts all records.
fn bare(brokers: &str, topic: &str, events: u64) -> Duration {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "projector-bench")
        .set("enable.auto.commit", "false")
        .set("queued.min.messages", "200000")
        .create()
        .expect("a consumer");
    let start = Instant::now();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).expect("a valid offset");
    }
    consumer.assign(&list).expect("it is assigned");
    let mut seen = 0;
    while seen < events {
        seen += u64::from(consumer.poll(WAIT).expect("a record in time").is_ok());
    }
    start.elapsed()
}

/// Runs the program itself, from its start to its end.
fn engine(brokers: &str, topic: &str) -> Duration {
    let dir = tempfile::tempdir().expect("a folder");
    let config = format!(
        "[connections.events]\nkind = \"kafka\"\nbrokers = \"{brokers}\"\ngroup = \"projector-bench\"\n\n[http]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(dir.path().join("projector.toml"), config).expect("it is written");
    std::fs::write(dir.path().join("orders.proj"), PROJECTION.replace("TOPIC", topic)).expect("it is written");
    let start = Instant::now();
    let mut run = Command::new(env!("CARGO_BIN_EXE_projector"));
    run.args(["run", "orders.proj", "--until-caught-up"]).current_dir(dir.path());
    assert!(run.status().expect("it starts").success(), "it ends well");
    start.elapsed()
}
