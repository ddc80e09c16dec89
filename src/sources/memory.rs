//! A log in memory, for tests: shared, appended to by hand, read by any number of sources in an order that can be chosen.
//!
//! It can do what real logs do to a reader: deliver a range again, lose its oldest records, have gaps, gain partitions, be
//! deleted and made again, and be away. How partitions interleave is either the order of appending or drawn from a seed, so a run can be repeated.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::event::batch::NewRecord;
use crate::event::{EventTime, Offset, RecordBatch, TopicPartition};
use crate::sources::inputs::Inputs;
use crate::sources::{OffsetRange, PollBudget, Source, SourceError};

/// A record to append.
#[derive(Debug, Clone, Default)]
pub struct MemoryRecord {
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub time: Option<EventTime>,
    /// Why it could not be read, for a record that stands for a malformed one.
    pub malformed: Option<String>,
}

/// The order in which a source takes records of different partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interleaving {
    /// As they were appended.
    Appended,
    /// Runs of random length from random partitions, in batches of random size.
    Seeded(u64),
}

/// A log in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    content: Mutex<Content>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Content {
    partitions: BTreeMap<TopicPartition, Partition>,
    appended: u64,
    /// How many partitions were ever made: each has its number, so that one made again is another.
    made: u64,
    redeliveries: Vec<(TopicPartition, Range<i64>)>,
    told: BTreeMap<TopicPartition, Offset>,
    away: bool,
}

#[derive(Debug, Default)]
struct Partition {
    incarnation: u64,
    beginning: i64,
    /// From `beginning` on; `None` where a record was compacted away. With each its number in the order of appending.
    records: Vec<(u64, Option<MemoryRecord>)>,
}

impl Partition {
    fn end(&self) -> i64 {
        self.beginning + self.records.len() as i64
    }

    fn range(&self) -> OffsetRange {
        OffsetRange { beginning: Offset(self.beginning), end: Offset(self.end()) }
    }

    fn at(&self, offset: i64) -> Option<&(u64, Option<MemoryRecord>)> {
        self.records.get(usize::try_from(offset - self.beginning).ok()?)
    }
}

impl MemoryLog {
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// Makes a topic, or lets it grow to this many partitions.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let topic: Arc<str> = topic.into();
        let mut content = self.lock();
        for partition in 0..partitions {
            content.made(TopicPartition { topic: Arc::clone(&topic), partition });
        }
        self.shared.changed.notify_all();
    }

    /// Deletes a topic with all it holds.
    pub fn delete_topic(&self, topic: &str) {
        self.lock().partitions.retain(|partition, _| *partition.topic != *topic);
        self.shared.changed.notify_all();
    }

    /// Deletes a topic and makes it again, empty: its offsets begin at 0 and will be those of other records.
    pub fn recreate(&self, topic: &str) {
        let mut content = self.lock();
        let again: Vec<_> = content.partitions.keys().filter(|known| *known.topic == *topic).cloned().collect();
        for partition in again {
            content.partitions.remove(&partition);
            content.made(partition);
        }
        self.shared.changed.notify_all();
    }

    /// Appends a record and returns its offset. The partition is made if it is not there.
    pub fn append(&self, topic: &str, partition: i32, record: MemoryRecord) -> Offset {
        let mut content = self.lock();
        let number = content.appended;
        content.appended += 1;
        let partition = content.made(TopicPartition { topic: topic.into(), partition });
        let offset = partition.end();
        partition.records.push((number, Some(record)));
        self.shared.changed.notify_all();
        Offset(offset)
    }

    /// Lets every source deliver these offsets again, as far as it has delivered them already.
    pub fn redeliver(&self, partition: &TopicPartition, offsets: Range<Offset>) {
        self.lock().redeliveries.push((partition.clone(), offsets.start.0..offsets.end.0));
        self.shared.changed.notify_all();
    }

    /// Forgets what stands before an offset, as retention does.
    pub fn truncate(&self, partition: &TopicPartition, beginning: Offset) {
        if let Some(found) = self.lock().partitions.get_mut(partition) {
            let gone = (beginning.0.min(found.end()) - found.beginning).max(0);
            found.records.drain(..gone as usize);
            found.beginning += gone;
        }
    }

    /// Removes one record and leaves a gap, as compaction does.
    pub fn compact(&self, partition: &TopicPartition, offset: Offset) {
        let mut content = self.lock();
        let Some(found) = content.partitions.get_mut(partition) else { return };
        let index = usize::try_from(offset.0 - found.beginning).ok();
        if let Some(slot) = index.and_then(|index| found.records.get_mut(index)) {
            slot.1 = None;
        }
    }

    /// While it is away, nothing can be read and every call says so.
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
        self.shared.changed.notify_all();
    }

    /// What was last told of a partition.
    pub fn told(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().told.get(partition).copied()
    }

    /// A reader of these topics.
    pub fn source(&self, topics: &[Arc<str>], interleaving: Interleaving) -> MemorySource {
        let random = match interleaving {
            Interleaving::Appended => None,
            Interleaving::Seeded(seed) => Some(Random(seed)),
        };
        MemorySource {
            log: self.clone(),
            topics: topics.to_vec(),
            random,
            inputs: Inputs::default(),
            open: Vec::new(),
            redelivered: self.lock().redeliveries.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.shared.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reader of a [`MemoryLog`].
#[derive(Debug)]
pub struct MemorySource {
    log: MemoryLog,
    topics: Vec<Arc<str>>,
    random: Option<Random>,
    inputs: Inputs,
    open: Vec<Open>,
    /// How many of the log's redeliveries this source has made.
    redelivered: usize,
}

#[derive(Debug)]
struct Open {
    partition: TopicPartition,
    incarnation: u64,
    input: u32,
    next: i64,
    /// The end it was last found at.
    end_told: Option<i64>,
}

/// What one look at the log allows.
enum Look {
    Filled,
    Nothing,
}

impl Source for MemorySource {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        let content = self.log.lock();
        content.available()?;
        let mut found = Vec::new();
        for topic in &self.topics {
            let before = found.len();
            found.extend(content.partitions.keys().filter(|known| known.topic == *topic).cloned());
            if found.len() == before {
                return Err(content.unknown(topic));
            }
        }
        Ok(found)
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError> {
        self.log.lock().partition(partition).map(Partition::range)
    }

    fn open(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        let log = self.log.clone();
        let content = log.lock();
        for (partition, start) in starts {
            content.partition(partition)?.check(partition, start.0)?;
        }
        for (partition, start) in starts {
            self.open.retain(|open| open.partition != *partition);
            let (incarnation, input) = (content.partition(partition)?.incarnation, self.inputs.index(partition));
            self.open.push(Open { partition: partition.clone(), incarnation, input, next: start.0, end_told: None });
        }
        Ok(())
    }

    fn close(&mut self, partition: &TopicPartition) {
        self.open.retain(|open| open.partition != *partition);
    }

    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        batch.clear();
        batch.inputs = self.inputs.shared();
        let log = self.log.clone();
        let content = log.lock();
        if let Look::Filled = self.look(&content, budget, batch)? {
            return Ok(());
        }
        let waited = log.shared.changed.wait_timeout(content, budget.wait);
        let (content, _) = waited.unwrap_or_else(PoisonError::into_inner);
        self.look(&content, budget, batch).map(|_| ())
    }

    fn record_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<RecordBatch, SourceError> {
        let content = self.log.lock();
        let found = content.partition(partition)?;
        let mut batch = RecordBatch::of(vec![partition.clone()]);
        if let Some((_, Some(record))) = found.at(offset.0) {
            push(&mut batch, 0, offset.0, record);
        }
        Ok(batch)
    }

    fn told(&mut self, next_offsets: &[(TopicPartition, Offset)]) {
        self.log.lock().told.extend(next_offsets.iter().cloned());
    }
}

impl MemorySource {
    /// Fills the batch with what is there now.
    fn look(&mut self, content: &Content, budget: PollBudget, batch: &mut RecordBatch) -> Result<Look, SourceError> {
        content.available()?;
        for open in &self.open {
            let partition = content.partition(&open.partition)?;
            // As a real log does, it says so before another's records are read, and only to those who had it open.
            if partition.incarnation != open.incarnation {
                let (remade, reason) = (Some(Arc::clone(&open.partition.topic)), "a topic was made again".into());
                return Err(SourceError::Doubtful { source_name: NAME.into(), remade, reason });
            }
            partition.check(&open.partition, open.next)?;
        }
        if self.redeliver(content, batch) {
            return Ok(Look::Filled);
        }
        let starts: Vec<i64> = self.open.iter().map(|open| open.next).collect();
        match self.random.take() {
            None => self.take_as_appended(content, budget, batch),
            Some(mut random) => {
                self.take_at_random(content, budget, batch, &mut random);
                self.random = Some(random);
            }
        }
        for (open, start) in self.open.iter_mut().zip(starts) {
            let end = content.partitions.get(&open.partition).map_or(open.next, Partition::end);
            if open.next > start {
                batch.positions.push((open.input, Offset(open.next)));
            }
            if open.next == end && open.end_told != Some(end) {
                open.end_told = Some(end);
                batch.ends.push((open.input, Offset(end)));
            }
        }
        let nothing = batch.is_empty() && batch.positions.is_empty() && batch.ends.is_empty();
        Ok(if nothing { Look::Nothing } else { Look::Filled })
    }

    /// Makes one redelivery that is due: a batch of its own, which moves no position.
    fn redeliver(&mut self, content: &Content, batch: &mut RecordBatch) -> bool {
        while let Some((partition, offsets)) = content.redeliveries.get(self.redelivered) {
            self.redelivered += 1;
            let Some(open) = self.open.iter().find(|open| open.partition == *partition) else { continue };
            for offset in offsets.start..offsets.end.min(open.next) {
                if let Some((_, Some(record))) = content.partitions[partition].at(offset) {
                    push(batch, open.input, offset, record);
                }
            }
            if !batch.is_empty() {
                return true;
            }
        }
        false
    }

    fn take_as_appended(&mut self, content: &Content, budget: PollBudget, batch: &mut RecordBatch) {
        while batch.len() < budget.records_max && batch.bytes_len() < budget.bytes_max {
            let waiting = self.open.iter_mut().filter_map(|open| {
                let (number, _) = content.partitions[&open.partition].at(open.next)?;
                Some((*number, open))
            });
            let Some((_, open)) = waiting.min_by_key(|(number, _)| *number) else { return };
            open.take(content, batch);
        }
    }

    fn take_at_random(&mut self, content: &Content, budget: PollBudget, batch: &mut RecordBatch, random: &mut Random) {
        let records_max = 1 + random.below(budget.records_max.max(1));
        while batch.len() < records_max && batch.bytes_len() < budget.bytes_max {
            let mut waiting: Vec<&mut Open> =
                self.open.iter_mut().filter(|open| open.next < content.partitions[&open.partition].end()).collect();
            if waiting.is_empty() {
                return;
            }
            let chosen = random.below(waiting.len());
            let run = (1 + random.below(8)).min(records_max - batch.len());
            for _ in 0..run {
                waiting[chosen].take(content, batch);
            }
        }
    }
}

impl Open {
    /// Moves past one offset; a gap adds nothing.
    fn take(&mut self, content: &Content, batch: &mut RecordBatch) {
        let Some((_, record)) = content.partitions[&self.partition].at(self.next) else { return };
        if let Some(record) = record {
            push(batch, self.input, self.next, record);
        }
        self.next += 1;
    }
}

impl Content {
    /// The partition, made now if it is not there.
    fn made(&mut self, partition: TopicPartition) -> &mut Partition {
        let Content { partitions, made, .. } = self;
        partitions.entry(partition).or_insert_with(|| {
            *made += 1;
            Partition { incarnation: *made, ..Partition::default() }
        })
    }

    fn available(&self) -> Result<(), SourceError> {
        if self.away {
            return Err(SourceError::Unavailable { source_name: NAME.into(), reason: "it is away".into() });
        }
        Ok(())
    }

    fn partition(&self, partition: &TopicPartition) -> Result<&Partition, SourceError> {
        self.available()?;
        self.partitions.get(partition).ok_or_else(|| self.unknown(&partition.topic))
    }

    fn unknown(&self, topic: &str) -> SourceError {
        let mut known: Vec<String> = self.partitions.keys().map(|known| known.topic.to_string()).collect();
        known.dedup();
        SourceError::UnknownTopic { topic: topic.into(), source_name: NAME.into(), known }
    }
}

impl Partition {
    fn check(&self, partition: &TopicPartition, wanted: i64) -> Result<(), SourceError> {
        if (self.beginning..=self.end()).contains(&wanted) {
            return Ok(());
        }
        let (partition, wanted) = (partition.clone(), Offset(wanted));
        Err(SourceError::OffsetOutOfRange { partition, wanted, range: self.range() })
    }
}

const NAME: &str = "the log in memory";

fn push(batch: &mut RecordBatch, input: u32, offset: i64, record: &MemoryRecord) {
    let new = NewRecord {
        time: record.time,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        malformed: record.malformed.as_deref(),
    };
    let headers = record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    batch.push(input, Offset(offset), new, headers);
}

/// SplitMix64: small, seeded, the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BUDGET: PollBudget = PollBudget { records_max: 100, bytes_max: 1 << 20, wait: Duration::ZERO };

    fn record(text: &str) -> MemoryRecord {
        MemoryRecord { value: Some(text.into()), ..MemoryRecord::default() }
    }

    fn at(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    fn values(batch: &RecordBatch) -> Vec<String> {
        batch.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
    }

    fn opened(log: &MemoryLog, interleaving: Interleaving) -> MemorySource {
        let mut source = log.source(&["t".into()], interleaving);
        let starts: Vec<_> = source.partitions().unwrap().into_iter().map(|p| (p, Offset(0))).collect();
        source.open(&starts).unwrap();
        source
    }

    fn log_of_two() -> MemoryLog {
        let log = MemoryLog::new();
        log.create_topic("t", 2);
        for (partition, text) in [(1, "a"), (0, "b"), (0, "c"), (1, "d")] {
            log.append("t", partition, record(text));
        }
        log
    }

    #[test]
    fn records_come_as_appended_with_positions_and_ends() {
        let mut source = opened(&log_of_two(), Interleaving::Appended);
        let mut batch = RecordBatch::default();
        source.poll(BUDGET, &mut batch).unwrap();
        assert_eq!(values(&batch), ["a", "b", "c", "d"]);
        assert_eq!(batch.positions, [(0, Offset(2)), (1, Offset(2))]);
        assert_eq!(batch.ends, [(0, Offset(2)), (1, Offset(2))]);
        source.poll(BUDGET, &mut batch).unwrap();
        assert!(batch.is_empty() && batch.ends.is_empty());
    }

    #[test]
    fn a_seed_repeats_its_interleaving_and_keeps_the_order_of_a_partition() {
        let log = MemoryLog::new();
        for number in 0..200 {
            log.append("t", number % 3, record(&number.to_string()));
        }
        let run = |seed| {
            let mut source = opened(&log, Interleaving::Seeded(seed));
            let (mut all, mut batch) = (Vec::new(), RecordBatch::default());
            while all.len() < 200 {
                source.poll(BUDGET, &mut batch).unwrap();
                all.extend(values(&batch).iter().map(|v| v.parse::<i32>().unwrap()));
            }
            all
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        for partition in 0..3 {
            assert!(run(7).iter().filter(|v| **v % 3 == partition).is_sorted());
        }
    }

    #[test]
    fn a_range_is_delivered_again_on_demand() {
        let log = log_of_two();
        let mut source = opened(&log, Interleaving::Appended);
        let mut batch = RecordBatch::default();
        source.poll(BUDGET, &mut batch).unwrap();
        log.redeliver(&at("t", 0), Offset(1)..Offset(9));
        source.poll(BUDGET, &mut batch).unwrap();
        assert_eq!(values(&batch), ["c"]);
        assert_eq!(batch.record(0).offset, Offset(1));
        assert!(batch.positions.is_empty());
    }

    #[test]
    fn retention_and_gaps_show_as_in_a_real_log() {
        let log = log_of_two();
        log.compact(&at("t", 1), Offset(0));
        log.truncate(&at("t", 0), Offset(1));
        let mut source = log.source(&["t".into()], Interleaving::Appended);
        let lost = source.open(&[(at("t", 0), Offset(0))]);
        assert!(matches!(lost, Err(SourceError::OffsetOutOfRange { .. })), "{lost:?}");
        source.open(&[(at("t", 0), Offset(1)), (at("t", 1), Offset(0))]).unwrap();
        let mut batch = RecordBatch::default();
        source.poll(BUDGET, &mut batch).unwrap();
        assert_eq!(values(&batch), ["c", "d"]);
        assert!(source.record_at(&at("t", 1), Offset(0)).unwrap().is_empty());
        assert_eq!(values(&source.record_at(&at("t", 1), Offset(1)).unwrap()), ["d"]);
    }

    #[test]
    fn a_topic_made_again_is_told_to_those_who_read_it_before_its_records_are() {
        let log = log_of_two();
        let mut source = opened(&log, Interleaving::Appended);
        let mut batch = RecordBatch::default();
        source.poll(BUDGET, &mut batch).unwrap();
        log.recreate("t");
        for text in ["e", "f", "g"] {
            log.append("t", 0, record(text));
        }
        for _ in 0..2 {
            let again = source.poll(BUDGET, &mut batch);
            let Err(SourceError::Doubtful { remade, .. }) = again else { panic!("{again:?}") };
            assert_eq!(remade.as_deref(), Some("t"));
            assert!(batch.is_empty());
        }
        source.open(&[(at("t", 0), Offset(2)), (at("t", 1), Offset(0))]).unwrap();
        source.poll(BUDGET, &mut batch).unwrap();
        assert_eq!(values(&batch), ["g"]);
        log.delete_topic("t");
        let gone = source.poll(BUDGET, &mut batch);
        assert!(matches!(gone, Err(SourceError::UnknownTopic { .. })), "{gone:?}");
    }

    #[test]
    fn an_unknown_topic_and_an_absent_log_say_so() {
        let log = log_of_two();
        let unknown = log.source(&["u".into()], Interleaving::Appended).partitions();
        assert!(matches!(unknown, Err(SourceError::UnknownTopic { .. })), "{unknown:?}");
        let mut source = opened(&log, Interleaving::Appended);
        log.set_away(true);
        let away = source.poll(BUDGET, &mut RecordBatch::default());
        assert!(matches!(away, Err(SourceError::Unavailable { .. })), "{away:?}");
    }
}
