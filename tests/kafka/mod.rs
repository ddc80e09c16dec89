//! The Kafka source against a real broker.

mod dangers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use projector::event::{Offset, RecordBatch, TopicPartition};
use projector::sources::kafka::{KafkaOptions, KafkaSource};
use projector::sources::log::LogSource;
use projector::sources::{OffsetRange, PollBudget, Source, SourceError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::services::{self, Broker};

const BUDGET: PollBudget = PollBudget { records_max: 500, bytes_max: 1 << 20, wait: Duration::from_millis(200) };
/// A bound on every wait, far above what any takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn options(brokers: &str, group: &str) -> KafkaOptions {
    KafkaOptions { name: "events".into(), brokers: brokers.into(), group: group.into(), options: Vec::new() }
}

fn source(broker: &Broker, topics: &[&str]) -> KafkaSource {
    KafkaSource::new(options(&broker.bootstrap, topics[0]), topics.iter().map(|topic| Arc::from(*topic)).collect())
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn producer(broker: &Broker, options: &[(&str, &str)]) -> ThreadedProducer<DefaultProducerContext> {
    let mut config = broker.client();
    for (name, value) in options {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    partition: i32,
    key: Option<&str>,
    value: Option<&str>,
) {
    let mut record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).timestamp(1_767_261_600_000);
    (record.key, record.payload) = (key, value);
    producer.send(record).map_err(|(error, _)| error).unwrap();
}

fn write(broker: &Broker, topic: &str, partition: i32, values: impl IntoIterator<Item = String>) {
    let producer = producer(broker, &[]);
    values.into_iter().for_each(|value| send(&producer, topic, partition, Some("k"), Some(&value)));
    producer.flush(PATIENCE).unwrap();
}

/// What polling gave until a condition held.
#[derive(Default)]
struct Seen {
    /// (partition, offset, value).
    records: Vec<(TopicPartition, i64, String)>,
    /// The last position and end of each input.
    positions: Vec<(TopicPartition, i64)>,
    ends: Vec<(TopicPartition, i64)>,
}

impl Seen {
    fn end(&self, partition: &TopicPartition) -> Option<i64> {
        self.ends.iter().rev().find(|(known, _)| known == partition).map(|(_, end)| *end)
    }

    fn values(&self, partition: &TopicPartition) -> Vec<&str> {
        self.records.iter().filter(|(known, ..)| known == partition).map(|(.., value)| value.as_str()).collect()
    }
}

fn poll_until(source: &mut dyn Source, seen: &mut Seen, done: impl Fn(&Seen) -> bool) {
    let started = Instant::now();
    let mut batch = RecordBatch::default();
    while !done(seen) {
        assert!(started.elapsed() < PATIENCE, "{} records, ends {:?}", seen.records.len(), seen.ends);
        source.poll(BUDGET, &mut batch).unwrap();
        assert!(batch.len() <= BUDGET.records_max);
        for record in batch.iter() {
            let value = record.value.map_or("-".into(), |value| String::from_utf8_lossy(value).into_owned());
            seen.records.push((record.source.clone(), record.offset.0, value));
        }
        let named = |(input, offset): &(u32, Offset)| (batch.inputs[*input as usize].clone(), offset.0);
        seen.positions.extend(batch.positions.iter().map(named));
        seen.ends.extend(batch.ends.iter().map(named));
    }
}

fn open_all(source: &mut dyn Source) -> Vec<TopicPartition> {
    let partitions = source.partitions().unwrap();
    let starts: Vec<_> = partitions.iter().map(|partition| (partition.clone(), Offset(0))).collect();
    source.open(&starts).unwrap();
    partitions
}

#[test]
fn all_partitions_of_all_topics_are_read_in_order_to_their_ends() {
    let Some(broker) = services::kafka() else { return };
    let (a, b) = (broker.create_topic("read-a", 3, &[]), broker.create_topic("read-b", 2, &[]));
    for (topic, partition, count) in [(&a, 0, 2500), (&a, 1, 1), (&b, 0, 700)] {
        write(broker, topic, partition, (0..count).map(|number| format!("{number}")));
    }
    let mut source = source(broker, &[&a, &b]);
    let partitions = open_all(&mut source);
    assert_eq!(partitions, [at(&a, 0), at(&a, 1), at(&a, 2), at(&b, 0), at(&b, 1)]);
    let mut seen = Seen::default();
    poll_until(&mut source, &mut seen, |seen| partitions.iter().all(|partition| seen.end(partition).is_some()));
    for (partition, count) in partitions.iter().zip([2500, 1, 0, 700, 0]) {
        let found = seen.records.iter().filter(|(known, ..)| known == partition);
        let offsets: Vec<i64> = found
            .map(|(_, offset, value)| (*offset, value.parse().unwrap()))
            .map(|(o, v): (i64, i64)| {
                assert_eq!(o, v);
                o
            })
            .collect();
        assert!(offsets.iter().copied().eq(0..count), "{partition}: {} records", offsets.len());
        assert_eq!(seen.end(partition), Some(count));
        let range = OffsetRange { beginning: Offset(0), end: Offset(count) };
        assert_eq!(source.range(partition).unwrap(), range);
    }
    // What comes later is read too, and ends are found again.
    write(broker, &a, 2, ["more".to_owned()]);
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&a, 2)) == Some(1));
    assert_eq!(seen.values(&at(&a, 2)), ["more"]);
}

#[test]
fn keys_headers_times_and_tombstones_come_as_they_were_written() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("shapes", 1, &[]);
    let producer = producer(broker, &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "type", value: Some("Paid") })
        .insert(Header { key: "none", value: None::<&str> });
    let record = BaseRecord::to(&topic).key("k").payload("{}").headers(headers).timestamp(1_767_261_600_123);
    producer.send::<str, str>(record).map_err(|(error, _)| error).unwrap();
    send(&producer, &topic, 0, Some("k"), None);
    send(&producer, &topic, 0, None, Some("no key"));
    send(&producer, &topic, 0, Some(""), Some(""));
    producer.flush(PATIENCE).unwrap();

    let mut source = source(broker, &[&topic]);
    open_all(&mut source);
    let mut batch = RecordBatch::default();
    let mut records = Vec::new();
    let started = Instant::now();
    while records.len() < 4 && started.elapsed() < PATIENCE {
        source.poll(BUDGET, &mut batch).unwrap();
        for record in batch.iter() {
            let headers =
                record.headers.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>();
            let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
            records.push((key, value, headers, record.time.unwrap().0));
        }
    }
    let (kind, none) = ((b"type".to_vec(), b"Paid".to_vec()), (b"none".to_vec(), b"".to_vec()));
    let time = 1_767_261_600_000_000;
    assert_eq!(records[0], (Some(b"k".to_vec()), Some(b"{}".to_vec()), vec![kind, none], time + 123_000));
    assert_eq!(records[1], (Some(b"k".to_vec()), None, vec![], time));
    assert_eq!(records[2], (None, Some(b"no key".to_vec()), vec![], time));
    assert_eq!(records[3], (Some(b"".to_vec()), Some(b"".to_vec()), vec![], time));
}

#[test]
fn an_end_behind_aborted_transactions_and_control_records_is_found() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("transactions", 1, &[]);
    let producer = producer(broker, &[("transactional.id", &topic)]);
    producer.init_transactions(PATIENCE).unwrap();
    for (value, commit) in [("kept", true), ("dropped", false), ("kept too", true), ("dropped too", false)] {
        producer.begin_transaction().unwrap();
        send(&producer, &topic, 0, None, Some(value));
        producer.flush(PATIENCE).unwrap();
        match commit {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }
    let mut source = source(broker, &[&topic]);
    open_all(&mut source);
    // Each transaction is its one record and a control record.
    let end = source.range(&at(&topic, 0)).unwrap().end.0;
    assert_eq!(end, 8);
    let mut seen = Seen::default();
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 0)) == Some(end));
    assert_eq!(seen.values(&at(&topic, 0)), ["kept", "kept too"]);
    assert_eq!(seen.positions.last(), Some(&(at(&topic, 0), end)));

    // An open transaction is not readable, and holds back nobody.
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, None, Some("open"));
    producer.flush(PATIENCE).unwrap();
    assert_eq!(source.range(&at(&topic, 0)).unwrap().end.0, end);
    producer.commit_transaction(PATIENCE).unwrap();
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 0)) == Some(end + 2));
    assert_eq!(seen.values(&at(&topic, 0)), ["kept", "kept too", "open"]);
}

#[test]
fn reading_starts_where_it_is_told_and_stops_when_it_is_told() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("starts", 2, &[]);
    (0..2).for_each(|partition| write(broker, &topic, partition, (0..100).map(|number| format!("{number}"))));
    let mut source = source(broker, &[&topic]);
    source.open(&[(at(&topic, 0), Offset(97))]).unwrap();
    let mut seen = Seen::default();
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 0)).is_some());
    assert_eq!(seen.values(&at(&topic, 0)), ["97", "98", "99"]);
    // Another beside it, then again from an earlier offset, which it may.
    source.open(&[(at(&topic, 1), Offset(99))]).unwrap();
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 1)).is_some());
    assert_eq!(seen.values(&at(&topic, 1)), ["99"]);
    source.open(&[(at(&topic, 1), Offset(98))]).unwrap();
    poll_until(&mut source, &mut seen, |seen| seen.values(&at(&topic, 1)).len() == 3);
    assert_eq!(seen.values(&at(&topic, 1)), ["99", "98", "99"]);
    source.close(&at(&topic, 0));
    (0..2).for_each(|partition| write(broker, &topic, partition, ["after".to_owned()]));
    poll_until(&mut source, &mut seen, |seen| seen.values(&at(&topic, 1)).contains(&"after"));
    assert_eq!(seen.values(&at(&topic, 0)), ["97", "98", "99"]);
}

#[test]
fn single_records_are_read_beside() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("single", 1, &[]);
    write(broker, &topic, 0, (0..50).map(|number| format!("{number}")));
    let mut source = source(broker, &[&topic]);
    for offset in [0, 49, 7] {
        let found = source.record_at(&at(&topic, 0), Offset(offset)).unwrap();
        assert_eq!((found.len(), found.record(0).offset), (1, Offset(offset)));
        assert_eq!(found.record(0).value, Some(offset.to_string().as_bytes()));
    }
    assert!(source.record_at(&at(&topic, 0), Offset(50)).unwrap().is_empty());
    broker.delete_records(&topic, 0, 10);
    assert!(source.record_at(&at(&topic, 0), Offset(3)).unwrap().is_empty());
}

#[test]
fn an_offset_that_the_log_does_not_hold_is_an_error_and_never_reset() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("lost", 1, &[]);
    write(broker, &topic, 0, (0..20).map(|number| format!("{number}")));
    broker.delete_records(&topic, 0, 5);
    let mut source = source(broker, &[&topic]);
    for lost in [0, 4, 21] {
        let error = source.open(&[(at(&topic, 0), Offset(lost))]).unwrap_err();
        let SourceError::OffsetOutOfRange { wanted, range, .. } = error else { panic!("{error}") };
        assert_eq!((wanted, range.beginning, range.end), (Offset(lost), Offset(5), Offset(20)));
    }
    source.open(&[(at(&topic, 0), Offset(5))]).unwrap();
    let mut seen = Seen::default();
    poll_until(&mut source, &mut seen, |seen| seen.end(&at(&topic, 0)) == Some(20));
    assert_eq!(seen.records.len(), 15);
}

#[test]
fn records_deleted_ahead_of_the_reader_stop_it() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("overtaken", 1, &[]);
    write(broker, &topic, 0, (0..10).map(|number| format!("{number}")));
    let mut source = source(broker, &[&topic]);
    open_all(&mut source);
    // Nothing is fetched before the assignment is served, and it is deleted by then or soon after: so either the reader
    // gets all that was there, or it says what is gone. It never goes on behind a gap without a word.
    broker.delete_records(&topic, 0, 10);
    let (mut batch, started, mut next) = (RecordBatch::default(), Instant::now(), 0);
    loop {
        assert!(started.elapsed() < PATIENCE);
        match source.poll(BUDGET, &mut batch) {
            Ok(()) => {
                for record in batch.iter() {
                    assert_eq!(record.offset, Offset(next));
                    next += 1;
                }
                if next == 10 {
                    break;
                }
            }
            Err(SourceError::OffsetOutOfRange { wanted, range, .. }) => {
                assert_eq!((wanted, range.beginning), (Offset(next), Offset(10)));
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn partitions_that_are_added_are_seen() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("grows", 1, &[]);
    let mut source = source(broker, &[&topic]);
    assert_eq!(source.partitions().unwrap().len(), 1);
    broker.grow_topic(&topic, 3);
    let started = Instant::now();
    while source.partitions().unwrap().len() < 3 {
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn an_unknown_topic_lists_those_that_are_there() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("known", 1, &[]);
    let error = source(broker, &["no-such-topic"]).partitions().unwrap_err();
    let SourceError::UnknownTopic { topic: missing, known, .. } = &error else { panic!("{error}") };
    assert_eq!(missing, "no-such-topic");
    assert!(known.contains(&topic) && !known.iter().any(|name| name.starts_with("__")), "{known:?}");
}

#[test]
fn what_is_told_shows_in_the_group() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("told", 2, &[]);
    (0..2).for_each(|partition| write(broker, &topic, partition, (0..10).map(|number| format!("{number}"))));
    let mut source = source(broker, &[&topic]);
    open_all(&mut source);
    source.told(&[(at(&topic, 0), Offset(7)), (at(&topic, 1), Offset(3))]);
    let group: BaseConsumer = broker.client().set("group.id", &topic).create().unwrap();
    let (started, mut batch) = (Instant::now(), RecordBatch::default());
    loop {
        assert!(started.elapsed() < PATIENCE, "the group was never told");
        source.poll(PollBudget { wait: Duration::from_millis(20), ..BUDGET }, &mut batch).unwrap();
        let mut asked = rdkafka::TopicPartitionList::new();
        asked.add_partition_range(&topic, 0, 1);
        let committed = group.committed_offsets(asked, PATIENCE).unwrap();
        let offsets: Vec<_> = committed.elements().iter().map(|element| element.offset().to_raw()).collect();
        if offsets == [Some(7), Some(3)] {
            break;
        }
    }
    // And it is told before a source is gone, even right before.
    source.told(&[(at(&topic, 0), Offset(10))]);
    drop(source);
    let mut asked = rdkafka::TopicPartitionList::new();
    asked.add_partition(&topic, 0);
    let committed = group.committed_offsets(asked, PATIENCE).unwrap();
    assert_eq!(committed.elements()[0].offset(), rdkafka::Offset::Offset(10));
}

#[test]
fn an_unreachable_broker_is_named_with_its_reason() {
    // A port that was free a moment ago; no broker is needed for this.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut source = KafkaSource::new(options(&address, "g"), vec!["t".into()]);
    let error = source.partitions().unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&address) && text.contains("Connection refused"), "{text}");
    let error = source.record_at(&at("t", 0), Offset(0)).unwrap_err();
    assert!(matches!(error, SourceError::Unavailable { .. }), "{error}");
}

#[test]
fn produce_places_events_as_the_event_log_does() {
    let Some(broker) = services::kafka() else { return };
    let topic = broker.create_topic("produced", 3, &[]);
    let folder = tempfile::tempdir().unwrap();
    (0..3).for_each(|partition| {
        std::fs::create_dir_all(folder.path().join("log").join(&topic)).unwrap();
        std::fs::write(folder.path().join("log").join(&topic).join(format!("{partition}.jsonl")), "").unwrap();
    });
    let configuration = format!(
        "[connections.events]\nkind = \"log\"\npath = \"log\"\n\
         [profiles.kafka.connections.events]\nkind = \"kafka\"\nbrokers = \"{}\"\ngroup = \"g\"\n",
        broker.bootstrap
    );
    std::fs::write(folder.path().join("projector.toml"), configuration).unwrap();
    let lines: String = (0..200).map(|number| format!("{{\"id\": \"k{}\", \"n\": {number}}}\n", number % 37)).collect();
    std::fs::write(folder.path().join("values.jsonl"), lines).unwrap();
    let produce = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_projector"));
        let output = command.current_dir(&folder).args(["produce", &topic]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    produce(&["values.jsonl", "--key", "id"]);
    produce(&["values.jsonl", "--key", "id", "--profile", "kafka"]);

    let mut in_kafka = source(broker, &[&topic]);
    let mut in_log = LogSource::new("events", folder.path().join("log"), vec![topic.as_str().into()]);
    let (mut kafka, mut log) = (Seen::default(), Seen::default());
    for (source, seen) in [(&mut in_kafka as &mut dyn Source, &mut kafka), (&mut in_log, &mut log)] {
        open_all(source);
        poll_until(source, seen, |seen| seen.records.len() == 200);
    }
    for partition in 0..3 {
        let values = kafka.values(&at(&topic, partition));
        assert!(!values.is_empty());
        assert_eq!(values, log.values(&at(&topic, partition)));
    }
}
