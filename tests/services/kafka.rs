//! A Kafka broker, and what tests ask of its administration.

use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use super::{Kind, Server};

const BROKER: Kind = Kind { name: "a Kafka broker", script: "kafka/run.sh", scheme: "", ports: 2 };

/// A running Kafka broker.
pub struct Broker {
    pub bootstrap: String,
    server: Server,
}

/// The broker of this test run, started now if it was not; `None` when there is none to be had and none is required.
pub fn kafka() -> Option<&'static Broker> {
    static SHARED: OnceLock<Result<Broker, String>> = OnceLock::new();
    super::shared(&BROKER, &SHARED, |server| Broker { bootstrap: server.url.clone(), server })
}

impl Broker {
    /// Makes a topic of its own for a test, and returns its name.
    pub fn create_topic(&self, prefix: &str, partitions: i32, config: &[(&str, &str)]) -> String {
        let name = self.server.unique(prefix);
        let mut topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        for (option, value) in config {
            topic = topic.set(option, value);
        }
        let made = wait_for(self.admin().create_topics([&topic], &AdminOptions::new()));
        made.expect("the broker answers").remove(0).expect("the topic is new");
        name
    }

    /// Lets a topic grow to this many partitions.
    pub fn grow_topic(&self, topic: &str, partitions: usize) {
        let more = NewPartitions::new(topic, partitions);
        let grown = wait_for(self.admin().create_partitions([&more], &AdminOptions::new()));
        grown.expect("the broker answers").remove(0).expect("the topic grows");
    }

    /// Deletes a topic and makes it again under the same name.
    pub fn recreate_topic(&self, topic: &str, partitions: i32) {
        self.delete_topic(topic);
        let again = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        // The broker says for a moment that it is still there.
        let made =
            || wait_for(self.admin().create_topics([&again], &AdminOptions::new())).expect("an answer").remove(0);
        while let Err((_, error)) = made() {
            assert_eq!(error, RDKafkaErrorCode::TopicAlreadyExists);
        }
    }

    pub fn delete_topic(&self, topic: &str) {
        let deleted = wait_for(self.admin().delete_topics(&[topic], &AdminOptions::new()));
        deleted.expect("the broker answers").remove(0).expect("the topic is there");
    }

    /// Deletes the records of a partition before an offset.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = rdkafka::TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, rdkafka::Offset::Offset(before)).expect("an offset");
        wait_for(self.admin().delete_records(&offsets, &AdminOptions::new())).expect("the broker answers");
    }

    /// A client's configuration for this broker.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client needs nothing but the address")
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let answer = async { tokio::time::timeout(Duration::from_secs(30), future).await };
    runtime.block_on(answer).expect("the broker answers in time")
}
