//! Kafka → records, read-committed, from exactly the offsets that are asked for.
//!
//! The caller's thread polls; partitions are assigned by hand and no offset is ever reset. Each message is copied once, into
//! the batch. The consumer group is only told of progress, for lag tools: nothing starts from it.
//!
//! A topic that is made again is another log under the same name. Clusters give topics ids, and what librdkafka fetches is
//! fetched by id; the client says when it goes over to another id, before it fetches by it. So that is listened for between
//! taking messages and handing them over, and then none of them is.

mod client;
mod reader;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::{Message, TopicPartitionList};

use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::sources::inputs::Inputs;
use crate::sources::{OffsetRange, PollBudget, Source, SourceError};

pub use client::KafkaOptions;
use client::{Consumer, is_out_of_range, is_unknown_topic};
use reader::{Reader, Wake, push};
pub(crate) use writer::KafkaWriter;

/// How long a question to the cluster may take; an unreachable one is noticed before that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether brokers are unreachable while an answer is awaited.
const ANSWER_PIECE: Duration = Duration::from_millis(500);
/// How long the end of a partition may be asked for between two polls.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one wait for messages lasts at most; callbacks are served in between.
const WAIT_PIECE: Duration = Duration::from_millis(100);
/// How many messages one partition may add before the next has its turn.
const TURN_MAX: usize = 1000;

/// Reads topics of a Kafka cluster.
pub struct KafkaSource {
    options: KafkaOptions,
    topics: Vec<Arc<str>>,
    consumer: Option<Arc<Consumer>>,
    /// Reads single records, at start.
    lookup: Option<Consumer>,
    readers: Vec<Reader>,
    inputs: Inputs,
    wake: Wake,
    /// Whose turn it is to be read first.
    turn: usize,
    /// Found behind records that were delivered first.
    error: Option<SourceError>,
}

impl KafkaSource {
    /// A reader of these topics. The cluster is not spoken to before it is asked for something.
    pub fn new(options: KafkaOptions, topics: Vec<Arc<str>>) -> KafkaSource {
        KafkaSource {
            options,
            topics,
            consumer: None,
            lookup: None,
            readers: Vec::new(),
            inputs: Inputs::default(),
            wake: Wake::default(),
            turn: 0,
            error: None,
        }
    }

    fn consumer(&mut self) -> Result<Arc<Consumer>, SourceError> {
        if self.consumer.is_none() {
            self.consumer = Some(Arc::new(self.options.consumer(&[])?));
        }
        Ok(Arc::clone(self.consumer.as_ref().expect("it was just made")))
    }

    fn ask<T>(&mut self, question: impl Fn(&Consumer, Duration) -> Result<T, KafkaError>) -> Result<T, SourceError> {
        let consumer = self.consumer()?;
        ask(&self.options, &consumer, question)
    }

    fn unknown_topic(&mut self, topic: &str) -> SourceError {
        let all = self.ask(|consumer, timeout| consumer.fetch_metadata(None, timeout));
        let known = all.map_or(Vec::new(), |all| topics_in(&all));
        SourceError::UnknownTopic { topic: topic.into(), source_name: self.options.title(), known }
    }

    fn unknown_partition(&mut self, partition: &TopicPartition) -> SourceError {
        match self.unknown_topic(&partition.topic) {
            SourceError::UnknownTopic { known, source_name, .. }
                if known.iter().any(|known| **known == *partition.topic) =>
            {
                SourceError::UnknownPartition { partition: partition.clone(), source_name }
            }
            unknown => unknown,
        }
    }

    /// The error of one partition.
    fn partition_error(&mut self, partition: &TopicPartition, wanted: i64, error: &KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(code) if is_unknown_topic(code) => self.unknown_partition(partition),
            Some(code) if is_out_of_range(code) => match self.range(partition) {
                Ok(range) => {
                    SourceError::OffsetOutOfRange { partition: partition.clone(), wanted: Offset(wanted), range }
                }
                Err(error) => error,
            },
            _ => match self.consumer() {
                Ok(consumer) => self.options.error(error, consumer.client().context()),
                Err(error) => error,
            },
        }
    }

    /// Serves what is no message of an open partition: callbacks and troubles of the whole cluster.
    fn serve(&mut self, consumer: &Consumer) -> Result<(), SourceError> {
        serve_callbacks(consumer);
        let context = consumer.client().context();
        if let Some(reason) = context.refusal() {
            return Err(self.options.refused(&reason));
        }
        match context.take_remade() {
            Some(topic) => Err(SourceError::Doubtful {
                source_name: self.options.title(),
                reason: format!("topic `{topic}` was deleted and made again"),
                remade: Some(topic.into()),
            }),
            None => Ok(()),
        }
    }

    /// Asks for the ends of partitions that seem to be at theirs.
    fn check_ends(&mut self, consumer: &Consumer) {
        let now = Instant::now();
        for reader in self.readers.iter_mut().filter(|reader| reader.wants_end(now)) {
            let TopicPartition { topic, partition } = reader.partition.clone();
            let asked = consumer.fetch_watermarks(&topic, partition, END_TIMEOUT);
            if !reader.learn_end(now, asked.ok().map(|(_, end)| end)) {
                continue;
            }
            let from = rdkafka::Offset::Offset(reader.next);
            if let Err(error) = consumer.seek(&topic, partition, from, END_TIMEOUT) {
                tracing::debug!(target: "projector::sources::kafka", %error, "the end could not be proven yet");
                reader.not_proving();
            }
        }
    }

    /// Takes what has arrived, partition by partition, until the batch is full or nothing is left.
    fn drain(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        let count = self.readers.len();
        self.turn = (self.turn + 1) % count.max(1);
        loop {
            let before = batch.len();
            for index in 0..count {
                let reader = &mut self.readers[(self.turn + index) % count];
                if let Err(error) = reader.take(budget, TURN_MAX, batch) {
                    let (partition, next) = (reader.partition.clone(), reader.next);
                    return Err(self.partition_error(&partition, next, &error));
                }
            }
            if batch.len() == before {
                return Ok(());
            }
        }
    }

    /// While no broker can be reached: says so, unless one answers again.
    fn check_reachable(&mut self, consumer: &Consumer) -> Result<(), SourceError> {
        let context = consumer.client().context();
        if !context.is_all_down() {
            return Ok(());
        }
        match consumer.fetch_metadata(self.topics.first().map(|topic| &**topic), ANSWER_PIECE) {
            Ok(_) => {
                context.answered();
                Ok(())
            }
            Err(error) => Err(self.options.error(&error, context)),
        }
    }
}

impl Source for KafkaSource {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        let mut found = Vec::new();
        for topic in self.topics.clone() {
            let metadata = self.ask(|consumer, timeout| consumer.fetch_metadata(Some(&topic), timeout))?;
            let known = metadata.topics().iter().find(|known| known.name() == &*topic);
            let error = known.and_then(|known| known.error()).map(Code::from);
            match (known, error) {
                (_, Some(code)) if is_unknown_topic(code) => return Err(self.unknown_topic(&topic)),
                (_, Some(code)) => {
                    let consumer = self.consumer()?;
                    return Err(self.options.error(&KafkaError::Global(code), consumer.client().context()));
                }
                (None, None) => return Err(self.unknown_topic(&topic)),
                (Some(known), None) => {
                    let mut numbers: Vec<i32> = known.partitions().iter().map(|partition| partition.id()).collect();
                    numbers.sort_unstable();
                    let named =
                        numbers.into_iter().map(|partition| TopicPartition { topic: Arc::clone(&topic), partition });
                    found.extend(named);
                }
            }
        }
        Ok(found)
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError> {
        let consumer = self.consumer()?;
        let asked =
            patiently(&consumer, |timeout| consumer.fetch_watermarks(&partition.topic, partition.partition, timeout));
        match asked {
            Ok((beginning, end)) => Ok(OffsetRange { beginning: Offset(beginning), end: Offset(end) }),
            Err(error) if error.rdkafka_error_code().is_some_and(is_unknown_topic) => {
                Err(self.unknown_partition(partition))
            }
            Err(error) => Err(self.options.error(&error, consumer.client().context())),
        }
    }

    fn open(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        for (partition, start) in starts {
            let range = self.range(partition)?;
            if *start < range.beginning || *start > range.end {
                return Err(SourceError::OffsetOutOfRange { partition: partition.clone(), wanted: *start, range });
            }
            self.close(partition);
        }
        let consumer = self.consumer()?;
        let mut assigned = TopicPartitionList::with_capacity(starts.len());
        for (TopicPartition { topic, partition }, start) in starts {
            // Before it is assigned, so that no message goes to the common queue.
            let queue = consumer.split_partition_queue(topic, *partition);
            let queue =
                queue.ok_or_else(|| self.options.refused(&format!("`{topic}` cannot be the name of a topic")))?;
            let partition = TopicPartition { topic: Arc::clone(topic), partition: *partition };
            let input = self.inputs.index(&partition);
            let offset = rdkafka::Offset::Offset(start.0);
            let added = assigned.add_partition_offset(&partition.topic, partition.partition, offset);
            added.map_err(|error| self.options.error(&error, consumer.client().context()))?;
            self.readers.push(Reader::new(partition, input, queue, start.0, &self.wake));
        }
        let result = consumer.incremental_assign(&assigned);
        result.map_err(|error| self.options.error(&error, consumer.client().context()))
    }

    fn close(&mut self, partition: &TopicPartition) {
        let Some(index) = self.readers.iter().position(|reader| reader.partition == *partition) else { return };
        self.readers.remove(index);
        let Some(consumer) = &self.consumer else { return };
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.partition);
        if let Err(error) = consumer.incremental_unassign(&list) {
            tracing::debug!(target: "projector::sources::kafka", %error, %partition, "the partition was not let go");
        }
    }

    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        batch.clear();
        batch.inputs = self.inputs.shared();
        self.lookup = None;
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let consumer = self.consumer()?;
        let deadline = Instant::now() + budget.wait;
        loop {
            self.serve(&consumer)?;
            self.check_ends(&consumer);
            self.wake.lower();
            let drained = self.drain(budget, batch);
            let something = !batch.is_empty() || !batch.ends.is_empty() || !batch.positions.is_empty();
            if something && let Err(error) = self.serve(&consumer) {
                batch.clear();
                return Err(error);
            }
            match drained {
                Err(error) if something => self.error = Some(error),
                other => other?,
            }
            if something {
                consumer.client().context().answered();
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return self.check_reachable(&consumer);
            }
            self.wake.wait(left.min(WAIT_PIECE));
        }
    }

    fn record_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<RecordBatch, SourceError> {
        if self.lookup.is_none() {
            let small = [("max.partition.fetch.bytes", "1"), ("queued.min.messages", "1"), ("fetch.wait.max.ms", "10")];
            self.lookup = Some(self.options.consumer(&small)?);
        }
        let lookup = self.lookup.as_ref().expect("it was just made");
        let found = look_up(&self.options, lookup, partition, offset);
        if let Err(error) = lookup.unassign() {
            tracing::debug!(target: "projector::sources::kafka", %error, "the partition was not let go");
        }
        found
    }

    fn tells_remade(&self) -> bool {
        let Some(consumer) = &self.consumer else { return false };
        self.topics.iter().all(|topic| consumer.client().context().has_id(topic))
    }

    fn told(&mut self, next_offsets: &[(TopicPartition, Offset)]) {
        let Some(consumer) = &self.consumer else { return };
        let mut list = TopicPartitionList::with_capacity(next_offsets.len());
        for (TopicPartition { topic, partition }, next) in next_offsets {
            if list.add_partition_offset(topic, *partition, rdkafka::Offset::Offset(next.0)).is_err() {
                return;
            }
        }
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(target: "projector::sources::kafka", %error, "the group was not told its offsets");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        // ORDER: the queues go before the client that they are queues of.
        self.readers.clear();
    }
}

/// Reads the record at one offset.
fn look_up(
    options: &KafkaOptions,
    consumer: &Consumer,
    partition: &TopicPartition,
    offset: Offset,
) -> Result<RecordBatch, SourceError> {
    let context = consumer.client().context();
    context.answered();
    let mut list = TopicPartitionList::new();
    let at = rdkafka::Offset::Offset(offset.0);
    let assigned = list.add_partition_offset(&partition.topic, partition.partition, at);
    assigned.and_then(|()| consumer.assign(&list)).map_err(|error| options.error(&error, context))?;
    let mut batch = RecordBatch::of(vec![partition.clone()]);
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while Instant::now() < deadline && context.refusal().is_none() && !context.is_all_down() {
        match consumer.poll(WAIT_PIECE) {
            None => {}
            Some(Ok(message)) => {
                // A later one: this offset is compacted away, or was never a record.
                if message.offset() == offset.0 {
                    push(&mut batch, 0, &message);
                }
                return Ok(batch);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(batch),
            Some(Err(error)) => match error.rdkafka_error_code() {
                Some(code) if is_out_of_range(code) => return Ok(batch),
                Some(Code::BrokerTransportFailure | Code::AllBrokersDown | Code::Resolve) => {}
                _ => return Err(options.error(&error, context)),
            },
        }
    }
    match context.refusal() {
        Some(reason) => Err(options.refused(&reason)),
        None => Err(options.unavailable(&context.trouble().unwrap_or("no answer came in time".into()))),
    }
}

/// Asks the cluster, and makes an error of what is no answer.
fn ask<T>(
    options: &KafkaOptions,
    consumer: &Consumer,
    question: impl Fn(&Consumer, Duration) -> Result<T, KafkaError>,
) -> Result<T, SourceError> {
    let context = consumer.client().context();
    match patiently(consumer, |timeout| question(consumer, timeout)) {
        Ok(answer) => Ok(answer),
        Err(error) => match context.refusal() {
            Some(reason) => Err(options.refused(&reason)),
            None => Err(options.error(&error, context)),
        },
    }
}

/// Asks in pieces of time, so that a cluster that is known to be out of reach is not waited for.
fn patiently<T>(consumer: &Consumer, question: impl Fn(Duration) -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let context = consumer.client().context();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    context.answered();
    loop {
        match question(ANSWER_PIECE) {
            Ok(answer) => {
                context.answered();
                return Ok(answer);
            }
            Err(error) => {
                serve_callbacks(consumer);
                let hopeless = context.is_all_down() || context.refusal().is_some() || Instant::now() >= deadline;
                if hopeless || !is_transient(&error) {
                    return Err(error);
                }
            }
        }
    }
}

/// Lets the client make its calls to the context. A message here would be one lost to its partition's queue.
fn serve_callbacks(consumer: &Consumer) {
    let context = consumer.client().context();
    loop {
        // A poll that served a callback looks like one that found nothing.
        let calls = context.calls();
        let found = consumer.poll(Duration::ZERO);
        if let Some(Ok(message)) = &found {
            context.stray(message.topic(), message.partition());
        }
        if found.is_none() && context.calls() == calls {
            return;
        }
    }
}

fn is_transient(error: &KafkaError) -> bool {
    use Code::{
        BrokerTransportFailure, LeaderNotAvailable, NotLeaderForPartition, OperationTimedOut, RequestTimedOut,
        WaitCache,
    };
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        matches!(
            code,
            BrokerTransportFailure
                | LeaderNotAvailable
                | NotLeaderForPartition
                | OperationTimedOut
                | RequestTimedOut
                | WaitCache
        )
    })
}

/// The names of topics, without those that Kafka keeps for itself.
fn topics_in(metadata: &Metadata) -> Vec<String> {
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with("__")).collect();
    names.sort();
    names
}
