//! One partition of Kafka being read: its own queue, its place, and whether it is at its end.
//!
//! Every partition has a queue of its own, because librdkafka's errors and ends of partitions come without their topic.
//!
//! Read-committed ends lie past control records and aborted transactions, which no message shows. So after an end the log
//! is asked where it ends; when that is further than the last message, the partition is sought to where it stands and read
//! once more: an end found *then* proves that nothing readable lies between.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Timestamp};

use crate::event::batch::NewRecord;
use crate::event::{EventTime, Offset, RecordBatch, TopicPartition};
use crate::sources::PollBudget;
use crate::sources::kafka::client::Context;

/// How often the end of one partition is asked for at most.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// A partition that is being read.
pub(super) struct Reader {
    pub partition: TopicPartition,
    pub input: u32,
    queue: PartitionQueue<Context>,
    /// The offset after the last message, or further if nothing readable lies between.
    pub next: i64,
    end: End,
    end_checked_at: Option<Instant>,
}

/// What is known of the partition's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// There may be more.
    Unknown,
    /// Nothing came after `next`; where the log ends is still to be asked.
    Found,
    /// Being read again from `next`; the log ended here before that.
    Proving(i64),
    /// Nothing lies between `next` and the end of the log.
    Proven,
}

impl Reader {
    pub fn new(
        partition: TopicPartition,
        input: u32,
        mut queue: PartitionQueue<Context>,
        start: i64,
        wake: &Wake,
    ) -> Reader {
        let wake = wake.clone();
        queue.set_nonempty_callback(move || wake.raise());
        Reader { partition, input, queue, next: start, end: End::Unknown, end_checked_at: None }
    }

    /// Takes up to `turn_max` messages that are there already. An error comes after what was taken before it.
    pub fn take(&mut self, budget: PollBudget, turn_max: usize, batch: &mut RecordBatch) -> Result<bool, KafkaError> {
        let start = self.next;
        let mut taken = 0;
        let result = loop {
            if taken == turn_max || batch.len() >= budget.records_max || batch.bytes_len() >= budget.bytes_max {
                break Ok(true);
            }
            match self.queue.poll(Duration::ZERO) {
                None => break Ok(false),
                Some(Ok(message)) => {
                    // After a seek the first messages may be old ones.
                    if message.offset() >= self.next {
                        push(batch, self.input, &message);
                        self.next = message.offset() + 1;
                        taken += 1;
                    }
                    self.end = End::Unknown;
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.end = match self.end {
                        End::Proving(end) => {
                            self.next = self.next.max(end);
                            End::Proven
                        }
                        _ => End::Found,
                    };
                    batch.ends.push((self.input, Offset(self.next)));
                }
                Some(Err(error)) => break Err(error),
            }
        };
        if self.next > start {
            batch.positions.push((self.input, Offset(self.next)));
        }
        result
    }

    /// Whether the log should be asked for its end now.
    pub fn wants_end(&self, now: Instant) -> bool {
        let due = self.end_checked_at.is_none_or(|at| now.duration_since(at) >= END_CHECK_INTERVAL);
        self.end == End::Found && due
    }

    /// Takes the answer: the end of the log, if there was an answer. True when the partition must be read again from
    /// `next` for proof.
    pub fn learn_end(&mut self, now: Instant, end: Option<i64>) -> bool {
        self.end_checked_at = Some(now);
        match end {
            None => false,
            Some(end) if end <= self.next => {
                self.end = End::Proven;
                false
            }
            Some(end) => {
                self.end = End::Proving(end);
                true
            }
        }
    }

    /// The partition could not be read again: the end is to be asked for another time.
    pub fn not_proving(&mut self) {
        self.end = End::Found;
    }
}

/// Copies a message into a batch.
pub(super) fn push(batch: &mut RecordBatch, input: u32, message: &BorrowedMessage<'_>) {
    let offset = Offset(message.offset());
    let time = match message.timestamp() {
        Timestamp::CreateTime(millis) | Timestamp::LogAppendTime(millis) => millis.checked_mul(1000).map(EventTime),
        Timestamp::NotAvailable => None,
    };
    let record = NewRecord { time, key: message.key(), value: message.payload(), malformed: None };
    let Some(headers) = message.headers() else {
        return batch.push(input, offset, record, []);
    };
    // The binding panics at a header name that is not UTF-8, which a client is free to write.
    let names = catch_unwind(AssertUnwindSafe(|| headers.iter().count()));
    match names {
        Ok(_) => {
            let pairs = headers.iter().map(|header| (header.key.as_bytes(), header.value.unwrap_or_default()));
            batch.push(input, offset, record, pairs);
        }
        Err(_) => {
            let malformed = Some("the name of a header is not UTF-8");
            batch.push(input, offset, NewRecord { malformed, ..record }, []);
        }
    }
}

/// Wakes the polling thread when a queue gets its first message.
#[derive(Debug, Clone, Default)]
pub(super) struct Wake {
    raised: Arc<(Mutex<bool>, Condvar)>,
}

impl Wake {
    pub fn raise(&self) {
        *self.raised.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.raised.1.notify_one();
    }

    /// To be called before the queues are looked at.
    pub fn lower(&self) {
        *self.raised.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Waits until it is raised, or for so long.
    pub fn wait(&self, limit: Duration) {
        let raised = self.raised.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.raised.1.wait_timeout_while(raised, limit, |raised| !*raised));
    }
}
