//! The events that figures are taken on: 512 bytes of JSON, five fields used; prepared before the clock starts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use projector::event::batch::NewRecord;
use projector::event::{Offset, RecordBatch, TopicPartition};
use projector::language;
use projector::plan::{Plan, lower};
use projector::sources::{OffsetRange, PollBudget, Source, SourceError};

pub const TOPIC: &str = "bank.transactions";
pub const EVENT_BYTES: usize = 512;
const PARTITIONS: usize = 4;

/// What is folded: five fields used, four changed, none of them on the heap.
pub const PROGRAM: &str = include_str!("fold.proj");

/// The plan of [`PROGRAM`].
pub fn plan() -> Arc<Plan> {
    plan_of(PROGRAM)
}

/// The plan of the only projection of a text.
pub fn plan_of(text: &str) -> Arc<Plan> {
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let loaded = language::files::load(&["fold.proj".into()], &read).expect("a text in memory");
    let (program, diagnostics) = language::check(&loaded.files, &loaded.imports);
    let mut program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    Arc::new(lower(program.projections.remove(0)))
}

/// Prepared values, told in a ring until `events` have been delivered.
pub struct Ring {
    pub values: Arc<Vec<Box<[u8]>>>,
    pub event_type: &'static str,
}

impl Ring {
    /// One value for each of `keys` accounts, in an order that visits the accounts at random.
    pub fn new(keys: u64, event_type: &'static str) -> Ring {
        let mut values: Vec<Box<[u8]>> = (0..keys).map(value).collect();
        for i in (1..values.len()).rev() {
            values.swap(i, (mix(i as u64) % (i as u64 + 1)) as usize);
        }
        Ring { values: Arc::new(values), event_type }
    }

    /// A source over this ring that ends after `events`.
    pub fn source(&self, events: usize) -> RingSource {
        self.source_of(events, 1)
    }

    /// The same, but each account is told `repeats` times before the ring moves on: among its neighbours, not in a row.
    pub fn source_of(&self, events: usize, repeats: usize) -> RingSource {
        let topic: Arc<str> = TOPIC.into();
        let inputs = (0..PARTITIONS as i32).map(|partition| TopicPartition { topic: Arc::clone(&topic), partition });
        RingSource {
            values: Arc::clone(&self.values),
            event_type: self.event_type,
            inputs: Arc::new(inputs.collect()),
            next: 0,
            events,
            repeats,
        }
    }
}

/// A [`Source`] that copies prepared bytes and does nothing else.
pub struct RingSource {
    values: Arc<Vec<Box<[u8]>>>,
    event_type: &'static str,
    inputs: Arc<Vec<TopicPartition>>,
    next: usize,
    events: usize,
    repeats: usize,
}

/// How far the events of one account are spread when it is told several times: over so many accounts.
const NEIGHBOURS: usize = 1000;

impl RingSource {
    /// The account that is told of next, by its place in the ring.
    fn account(&self) -> usize {
        match self.repeats {
            1 => self.next,
            repeats => self.next / repeats + mix(self.next as u64) as usize % NEIGHBOURS,
        }
    }

    /// How many events a partition holds of the first `events`.
    fn in_partition(&self, partition: usize, events: usize) -> Offset {
        Offset((events / PARTITIONS + usize::from(events % PARTITIONS > partition)) as i64)
    }
}

impl Source for RingSource {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        Ok(self.inputs.to_vec())
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError> {
        let end = self.in_partition(partition.partition as usize, self.events);
        Ok(OffsetRange { beginning: Offset(0), end })
    }

    fn open(&mut self, _starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        Ok(())
    }

    fn close(&mut self, _partition: &TopicPartition) {}

    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        batch.clear();
        batch.inputs = Arc::clone(&self.inputs);
        let header = [(&b"type"[..], self.event_type.as_bytes())];
        while self.next < self.events && batch.len() < budget.records_max && batch.bytes_len() < budget.bytes_max {
            let value = &self.values[self.account() % self.values.len()];
            let input = (self.next % PARTITIONS) as u32;
            let record = NewRecord { value: Some(value), ..NewRecord::default() };
            batch.push(input, Offset((self.next / PARTITIONS) as i64), record, header);
            self.next += 1;
        }
        let at_end = self.next == self.events;
        if at_end && batch.is_empty() {
            std::thread::sleep(budget.wait.min(Duration::from_millis(5)));
        }
        for input in 0..PARTITIONS {
            let position = (input as u32, self.in_partition(input, self.next));
            batch.positions.push(position);
            if at_end {
                batch.ends.push(position);
            }
        }
        Ok(())
    }

    fn record_at(&mut self, _partition: &TopicPartition, _offset: Offset) -> Result<RecordBatch, SourceError> {
        Ok(RecordBatch::default())
    }

    fn told(&mut self, _next_offsets: &[(TopicPartition, Offset)]) {}
}

/// A 512-byte event with the used fields among others, as producers write them.
fn value(account: u64) -> Box<[u8]> {
    let random = mix(account);
    let mut text = format!(
        r#"{{"event_id":"{random:016x}","account_id":"acc-{account:07}","amount":{}.{:02},"currency":"NOK","channel":"{}","at":"2026-01-05T08:{:02}:{:02}Z","merchant":{{"id":{},"name":"Kiosk {}","address":["Storgata {}","0150 Oslo"]}},"tags":["pos","contactless"],"note":""#,
        random % 5000,
        random % 100,
        ["card", "transfer"][(random % 2) as usize],
        random % 60,
        random / 60 % 60,
        random % 90_000,
        random % 800,
        random % 90,
    );
    while text.len() < EVENT_BYTES - 2 {
        text.push('.');
    }
    text.push_str("\"}");
    text.into_bytes().into()
}

/// The finaliser of SplitMix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
