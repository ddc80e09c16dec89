//! A story → topics of a real broker, each record sent to the partition its key belongs to.

use std::collections::BTreeMap;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::kill::Feed;
use super::log::partition_of;
use super::random::Random;
use super::story::{Told, ToldValue};
use crate::services::Broker;
use crate::site::PATIENCE;

pub struct KafkaWriter {
    /// What the story calls a topic, and what it is called on this broker.
    topics: BTreeMap<&'static str, String>,
    partitions: u32,
    producer: ThreadedProducer<DefaultProducerContext>,
}

impl KafkaWriter {
    pub fn new(broker: &Broker, partitions: u32, topics: &[&'static str]) -> KafkaWriter {
        let create = |topic: &&'static str| (*topic, broker.create_topic(topic, partitions as i32, &[]));
        let mut client = broker.client();
        // One at a time and in order, so that a partition holds what happened in the order it happened.
        client.set("enable.idempotence", "true");
        let producer = client.create().expect("a producer needs nothing but the address");
        KafkaWriter { topics: topics.iter().map(create).collect(), partitions, producer }
    }

    /// The same `.proj` text, over the topics of this broker.
    pub fn rename(&self, text: &str) -> String {
        let quoted = |name: &str| format!("\"{name}\"");
        self.topics.iter().fold(text.to_string(), |text, (from, to)| text.replace(&quoted(from), &quoted(to)))
    }
}

impl Feed for KafkaWriter {
    fn append(&mut self, story: &[Told], _random: &mut Random) {
        for told in story {
            let partition = partition_of(&told.key, self.partitions) as i32;
            let mut record: BaseRecord<'_, str, str> =
                BaseRecord::to(&self.topics[told.topic]).partition(partition).key(&told.key);
            record.payload = match &told.value {
                ToldValue::Json(text) | ToldValue::Garbage(text) => Some(text),
                ToldValue::Tombstone => None,
            };
            if let Some(name) = told.event_type {
                record.headers = Some(OwnedHeaders::new().insert(Header { key: "type", value: Some(name) }));
            }
            self.producer.send(record).map_err(|(error, _)| error).expect("the producer has room");
        }
    }

    fn finish(&mut self) {
        self.producer.flush(PATIENCE).expect("the broker takes them");
    }
}
