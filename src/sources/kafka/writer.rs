//! Records → a Kafka topic, each acknowledged by all replicas before it counts.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::client::{Context, is_unknown_topic};
use super::{ANSWER_TIMEOUT, KafkaOptions, topics_in};
use crate::event::EventTime;
use crate::sources::SourceError;
use crate::sources::log::Envelope;

/// How long the last records may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(60);

/// Appends to one topic of a cluster.
pub(crate) struct KafkaWriter {
    options: KafkaOptions,
    topic: String,
    producer: BaseProducer<Context>,
}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.undelivered(error.clone());
        }
    }
}

impl KafkaWriter {
    /// Connects, and makes sure that the topic is there.
    pub fn open(options: KafkaOptions, topic: &str) -> Result<KafkaWriter, SourceError> {
        let producer: BaseProducer<Context> = options.producer()?;
        let context = producer.client().context();
        let metadata = producer.client().fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        producer.poll(Duration::ZERO);
        let metadata = metadata.map_err(|error| options.error(&error, context))?;
        let known = metadata.topics().iter().find(|known| known.name() == topic);
        if known.is_none_or(|known| known.error().map(Code::from).is_some_and(is_unknown_topic)) {
            let all = producer.client().fetch_metadata(None, ANSWER_TIMEOUT);
            let known = all.map_or(Vec::new(), |all| topics_in(&all));
            return Err(SourceError::UnknownTopic { topic: topic.into(), source_name: options.title(), known });
        }
        Ok(KafkaWriter { topic: topic.into(), producer, options })
    }

    /// Hands a record over; it is acknowledged later, at the latest in [`KafkaWriter::finish`].
    pub fn append(&mut self, envelope: &Envelope<'_>) -> Result<(), SourceError> {
        let mut record: BaseRecord<'_, str, [u8]> = BaseRecord::to(&self.topic);
        record.key = envelope.key.as_deref();
        record.payload = envelope.value;
        record.timestamp = envelope.time.map(|EventTime(micros)| micros.div_euclid(1000));
        if !envelope.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(envelope.headers.len());
            let all = envelope.headers.iter();
            record.headers = Some(all.fold(headers, |headers, (name, value)| {
                headers.insert(Header { key: name, value: Some(value.as_bytes()) })
            }));
        }
        loop {
            self.check()?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), back)) => {
                    self.producer.poll(Duration::from_millis(10));
                    record = back;
                }
                Err((error, _)) => return Err(self.error(&error)),
            }
        }
    }

    /// Waits until every record is acknowledged.
    pub fn finish(self) -> Result<(), SourceError> {
        let flushed = self.producer.flush(FLUSH_TIMEOUT);
        self.check()?;
        flushed.map_err(|error| self.error(&error))
    }

    /// Says so when a record was not acknowledged.
    fn check(&self) -> Result<(), SourceError> {
        self.producer.poll(Duration::ZERO);
        match self.producer.client().context().take_undelivered() {
            Some(error) => Err(self.error(&error)),
            None => Ok(()),
        }
    }

    fn error(&self, error: &KafkaError) -> SourceError {
        self.options.error(error, self.producer.client().context())
    }
}
