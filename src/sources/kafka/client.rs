//! Options → librdkafka clients, and what librdkafka says → who can act on it.
//!
//! Options are passed through as they are, but for the few that exactness stands on. Their values may be secrets: no error
//! text that leaves here holds one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};

use crate::sources::SourceError;

/// How to reach a Kafka cluster.
#[derive(Clone)]
pub struct KafkaOptions {
    /// What messages call it: the connection's name.
    pub name: String,
    pub brokers: String,
    /// The consumer group that is told of progress.
    pub group: String,
    /// Properties of librdkafka.
    pub options: Vec<(String, String)>,
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.options.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("KafkaOptions")
            .field("name", &self.name)
            .field("brokers", &self.brokers)
            .field("options", &names)
            .finish()
    }
}

/// What the engine decides for itself: another value would lose events or count them twice.
const CONSUMER_OWN: [(&str, &str); 6] = [
    ("auto.offset.reset", "error"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("enable.partition.eof", "true"),
    ("isolation.level", "read_committed"),
    ("allow.auto.create.topics", "false"),
];

/// Better than librdkafka's defaults for a reader that works per message; an option may say otherwise.
const CONSUMER_DEFAULTS: [(&str, &str); 2] = [
    // With the default of 1000 a reader starves: once its queue is full nothing is fetched for a second.
    ("fetch.queue.backoff.ms", "10"),
    ("fetch.wait.max.ms", "100"),
];

const PRODUCER_OWN: [(&str, &str); 3] = [
    ("allow.auto.create.topics", "false"),
    // Places a key where the Java client does.
    ("partitioner", "murmur2_random"),
    ("acks", "all"),
];

/// Where librdkafka says that a topic's id changed: in its log, and nowhere else.
///
/// A topic that was deleted and made again has another id. librdkafka (up to 2.12 at least) goes on reading the new one at
/// the old offset, without a word to the application, as long as there is such an offset.
const ID_LOG_CONTEXT: &str = "metadata";

pub(super) type Consumer = BaseConsumer<Context>;

impl KafkaOptions {
    /// A consumer, with properties that differ from the others of its kind.
    pub(super) fn consumer(&self, special: &[(&str, &str)]) -> Result<Consumer, SourceError> {
        let mut config = self.config(&CONSUMER_OWN, &CONSUMER_DEFAULTS)?;
        config.set("group.id", &self.group);
        let debug = config.get("debug").map(|contexts| format!("{contexts},{ID_LOG_CONTEXT}"));
        config.set("debug", debug.as_deref().unwrap_or(ID_LOG_CONTEXT));
        config.set_log_level(RDKafkaLogLevel::Debug);
        set_all(&mut config, special);
        self.create(&config)
    }

    /// The configuration of a producer.
    pub(super) fn producer<T: FromClientConfigAndContext<Context>>(&self) -> Result<T, SourceError> {
        self.create(&self.config(&PRODUCER_OWN, &[("linger.ms", "5")])?)
    }

    fn create<T: FromClientConfigAndContext<Context>>(&self, config: &ClientConfig) -> Result<T, SourceError> {
        let created = config.create_with_context(Context::default());
        created.map_err(|error| self.refused(&config_error(&error)))
    }

    fn config(&self, own: &[(&str, &str)], defaults: &[(&str, &str)]) -> Result<ClientConfig, SourceError> {
        let mut config = ClientConfig::new();
        set_all(&mut config, defaults);
        for (name, value) in &self.options {
            let taken = own.iter().any(|(own, _)| own == name) || ["bootstrap.servers", "group.id"].contains(&&**name);
            if taken {
                return Err(self.refused(&format!("the option `{name}` cannot be set: projector decides it")));
            }
            config.set(name, value);
        }
        set_all(&mut config, own);
        config.set("bootstrap.servers", &self.brokers);
        config.set_log_level(RDKafkaLogLevel::Warning);
        Ok(config)
    }

    /// An error for a person, without the values of any option.
    pub(super) fn refused(&self, reason: &str) -> SourceError {
        SourceError::Refused { source_name: self.title(), reason: self.redacted(reason) }
    }

    /// An error that waiting heals.
    pub(super) fn unavailable(&self, reason: &str) -> SourceError {
        SourceError::Unavailable { source_name: self.title(), reason: self.redacted(reason) }
    }

    /// An error by who can act on it.
    pub(super) fn error(&self, error: &KafkaError, context: &Context) -> SourceError {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut reason = code.to_string();
        if let Some(said) = context.trouble().filter(|_| !is_refusal(code)) {
            reason = said;
        }
        match is_refusal(code) || matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            true => self.refused(&reason),
            false => self.unavailable(&reason),
        }
    }

    pub(super) fn title(&self) -> String {
        format!("`{}` ({})", self.name, self.brokers)
    }

    fn redacted(&self, text: &str) -> String {
        // Short values ("1", "true") are no secrets, and taking them out would garble the text.
        let values = self.options.iter().map(|(_, value)| value).filter(|value| value.len() > 5);
        values.fold(text.to_owned(), |text, value| text.replace(value.as_str(), "…"))
    }
}

fn set_all(config: &mut ClientConfig, properties: &[(&str, &str)]) {
    for (name, value) in properties {
        config.set(*name, *value);
    }
}

/// The reason for a refused configuration. librdkafka's own text repeats the value; it stays here only if it does not.
fn config_error(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, value) => {
            let hides = !value.is_empty() && why.contains(value.as_str());
            if hides {
                format!("the option `{name}` does not take this value")
            } else {
                format!("option `{name}`: {why}")
            }
        }
        KafkaError::ClientCreation(why) => why.clone(),
        other => other.rdkafka_error_code().map_or("the client cannot be made".into(), |code| code.to_string()),
    }
}

/// Whether only a person can change this answer.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SSL
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion
            | Code::UnsupportedCompressionType
            | Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidTopic
            | Code::InvalidGroupId
            | Code::InvalidArgument
            | Code::InvalidConfig
            | Code::MessageSizeTooLarge
            | Code::PolicyViolation
            | Code::Fatal
    )
}

pub(super) fn is_unknown_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
}

pub(super) fn is_out_of_range(code: Code) -> bool {
    matches!(code, Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset | Code::LogTruncation)
}

/// Hears what librdkafka says beside its answers, and keeps the last trouble for an error text.
#[derive(Clone, Default)]
pub(super) struct Context {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    trouble: Option<String>,
    /// Something that waiting does not heal.
    refused: Option<String>,
    all_down: bool,
    stray: Option<String>,
    /// The id of each topic that has one (clusters have them from Kafka 3.1 on).
    ids: HashMap<String, String>,
    /// A topic whose id changed.
    remade: Option<String>,
    /// How many calls were made to the context.
    calls: u64,
    /// A record that a producer could not deliver.
    undelivered: Option<KafkaError>,
}

impl Context {
    fn with<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The last thing that went wrong with a connection.
    pub fn trouble(&self) -> Option<String> {
        self.with(|heard| heard.trouble.clone())
    }

    /// Why the cluster turned us away, if it did.
    pub fn refusal(&self) -> Option<String> {
        self.with(|heard| heard.stray.clone().or_else(|| heard.refused.clone()))
    }

    /// Whether no broker could be reached when last heard of.
    pub fn is_all_down(&self) -> bool {
        self.with(|heard| heard.all_down)
    }

    /// The cluster answered.
    pub fn answered(&self) {
        self.with(|heard| {
            (heard.trouble, heard.refused, heard.all_down) = (None, None, false);
        });
    }

    /// A message came outside its partition's queue, so that it cannot be delivered in order.
    pub fn stray(&self, topic: &str, partition: i32) {
        self.with(|heard| heard.stray = Some(format!("a record of {topic}/{partition} came out of turn")));
    }

    /// A topic that was made again since this was last asked.
    pub fn take_remade(&self) -> Option<String> {
        self.with(|heard| heard.remade.take())
    }

    /// Whether the cluster gave a topic an id, so that another one is noticed.
    pub fn has_id(&self, topic: &str) -> bool {
        self.with(|heard| heard.ids.contains_key(topic))
    }

    /// How many calls were made to it so far.
    pub fn calls(&self) -> u64 {
        self.with(|heard| heard.calls)
    }

    /// A record was not acknowledged.
    pub fn undelivered(&self, error: KafkaError) {
        self.with(|heard| heard.undelivered = Some(error));
    }

    /// Why a record was not acknowledged, if one was not.
    pub fn take_undelivered(&self) -> Option<KafkaError> {
        self.with(|heard| heard.undelivered.take())
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, message),
            _ => tracing::debug!(target: "librdkafka", facility, message),
        }
        self.with(|heard| {
            heard.calls += 1;
            let Some((topic, id)) = changed_id(message) else { return };
            let before = heard.ids.insert(topic.to_owned(), id.to_owned());
            if before.is_some_and(|before| before != id) {
                heard.remade = Some(topic.to_owned());
            }
        });
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        self.with(|heard| {
            heard.calls += 1;
            match code {
                Code::AllBrokersDown => heard.all_down = true,
                code if is_refusal(code) => heard.refused = Some(reason.to_owned()),
                Code::BrokerTransportFailure | Code::Resolve | Code::TimedOutQueue | Code::OperationTimedOut => {
                    // What follows is how long it took and how often it was the same.
                    heard.trouble = reason.split(" (after ").next().map(str::to_owned);
                }
                _ => {}
            }
        });
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &rdkafka::TopicPartitionList) {
        self.with(|heard| heard.calls += 1);
        if let Err(error) = result {
            // The group's offsets are only for lag tools: the next checkpoint tells them again.
            tracing::debug!(target: "projector::sources::kafka", %error, "the group was not told its offsets");
        }
    }
}

/// The topic and its new id, if that is what a line of the log says.
fn changed_id(message: &str) -> Option<(&str, &str)> {
    let (topic, ids) = message.split_once("Topic ")?.1.split_once(" changed id from ")?;
    Some((topic, ids.split_once(" to ")?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(options: &[(&str, &str)]) -> KafkaOptions {
        let options = options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        KafkaOptions { name: "events".into(), brokers: "127.0.0.1:1".into(), group: "g".into(), options }
    }

    fn refusal(options: &KafkaOptions) -> String {
        options.consumer(&[]).err().expect("it should be refused").to_string()
    }

    #[test]
    fn no_error_text_holds_the_value_of_an_option() {
        for (name, value) in [("sasl.passwort", "hunter2-secret"), ("session.timeout.ms", "hunter2-secret")] {
            let options = options(&[(name, value)]);
            let text = refusal(&options);
            assert!(text.contains(name) && !text.contains("hunter2"), "{text}");
            assert!(!format!("{options:?}").contains("hunter2"));
        }
        let options = options(&[("client.id", "hunter2-secret")]);
        assert!(!options.unavailable("could not use hunter2-secret").to_string().contains("hunter2"));
    }

    #[test]
    fn a_topic_is_made_again_when_its_id_changes_and_not_when_it_is_first_heard() {
        let context = Context::default();
        let say = |topic: &str, from: &str, to: &str| {
            let line = format!("[thrd:main]: Topic {topic} changed id from {from} to {to}");
            context.log(RDKafkaLogLevel::Debug, "METADATA", &line);
            context.take_remade()
        };
        assert_eq!(say("orders", "AAAAAAAAAAAAAAAAAAAAAA", "x"), None);
        assert_eq!(say("other", "AAAAAAAAAAAAAAAAAAAAAA", "y"), None);
        assert_eq!(say("orders", "x", "z").as_deref(), Some("orders"));
        assert_eq!(context.calls(), 3);
        assert!(context.has_id("other") && !context.has_id("third"));
    }

    #[test]
    fn what_exactness_stands_on_cannot_be_set() {
        for name in ["auto.offset.reset", "enable.auto.commit", "isolation.level", "group.id", "bootstrap.servers"] {
            let text = refusal(&options(&[(name, "x")]));
            assert!(text.contains(name) && text.contains("projector decides"), "{text}");
        }
        assert!(options(&[("fetch.wait.max.ms", "20")]).consumer(&[]).is_ok());
    }
}
