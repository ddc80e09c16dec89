//! A reader over a log in memory to which happens what happens to logs.

use super::*;
use crate::sources::OffsetRange;
use crate::sources::memory::{Interleaving, MemoryLog, MemoryRecord};

/// A reader, and what it has told.
struct Reading {
    log: MemoryLog,
    reader: Reader,
    now: Instant,
    read: Vec<(TopicPartition, i64, String)>,
    lost: Vec<String>,
    ranges: Vec<(TopicPartition, OffsetRange)>,
    found: Vec<PartitionFacts>,
}

/// A source that does not notice when its log becomes another.
struct Blind(Box<dyn Source>);

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition }
}

fn append(log: &MemoryLog, topic: &str, texts: &[&str]) {
    for text in texts {
        log.append(topic, 0, MemoryRecord { value: Some((*text).into()), ..MemoryRecord::default() });
    }
}

impl Reading {
    /// Of the topics `a` and `b`, with records `a0 a1 a2` and `b0`, all of which are read.
    fn new(blind: bool) -> Reading {
        let log = MemoryLog::new();
        append(&log, "a", &["a0", "a1", "a2"]);
        append(&log, "b", &["b0"]);
        let source = Box::new(log.source(&["a".into(), "b".into()], Interleaving::Appended));
        let spec = ReaderSpec {
            source: if blind { Box::new(Blind(source)) } else { source },
            projection: "p".into(),
            stored: Vec::new(),
            batch_bytes_max: 1 << 20,
            start_timeout: Duration::ZERO,
            poll_wait: Duration::ZERO,
        };
        let now = Instant::now();
        let reader = Reader::new(spec, now);
        let mut reading =
            Reading { log, reader, now, read: Vec::new(), lost: Vec::new(), ranges: Vec::new(), found: Vec::new() };
        reading.turn();
        reading.reader.command(Command::Open(vec![(at("a", 0), Offset(0)), (at("b", 0), Offset(0))]));
        reading.turn();
        assert_eq!(reading.values("a"), ["a0", "a1", "a2"]);
        reading
    }

    fn turn(&mut self) {
        let turn = self.reader.turn(self.now);
        for news in turn.news {
            match news {
                News::Read { batch, .. } => {
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let value = |record: crate::event::Record<'_>| record.value.map(text).unwrap_or_default();
                    self.read
                        .extend(batch.iter().map(|record| (record.source.clone(), record.offset.0, value(record))));
                    self.reader.command(Command::Recycle(batch));
                }
                News::Lost { why, .. } => self.lost.push(why),
                News::Ends(ranges) => self.ranges = ranges,
                News::Found(found) => self.found = found,
                News::Failed(ended) => panic!("{ended}"),
            }
        }
    }

    /// Turns while the time goes on.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.turn();
            self.now += Duration::from_millis(100);
        }
        self.turn();
    }

    fn values(&self, topic: &str) -> Vec<&str> {
        self.read.iter().filter(|(read, ..)| *read.topic == *topic).map(|(.., value)| &**value).collect()
    }
}

impl Source for Blind {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        self.0.partitions()
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError> {
        self.0.range(partition)
    }

    fn open(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        self.0.open(starts)
    }

    fn close(&mut self, partition: &TopicPartition) {
        self.0.close(partition);
    }

    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        match self.0.poll(budget, batch) {
            Err(SourceError::Doubtful { .. } | SourceError::OffsetOutOfRange { .. }) => Ok(()),
            polled => polled,
        }
    }

    fn record_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<RecordBatch, SourceError> {
        self.0.record_at(partition, offset)
    }

    fn tells_remade(&self) -> bool {
        false
    }

    fn told(&mut self, next_offsets: &[(TopicPartition, Offset)]) {
        self.0.told(next_offsets);
    }
}

#[test]
fn a_topic_made_again_is_never_read_on_even_where_its_offsets_go_further() {
    let mut reading = Reading::new(false);
    reading.log.recreate("a");
    append(&reading.log, "a", &["x0", "x1", "x2", "x3", "x4"]);
    append(&reading.log, "b", &["b1"]);
    reading.pass(LOOK_PAUSE * 2);
    assert_eq!(reading.values("a"), ["a0", "a1", "a2"]);
    assert_eq!(reading.values("b"), ["b0", "b1"], "the other topic goes on");
    let [why] = &reading.lost[..] else { panic!("{:?}", reading.lost) };
    assert!(why.starts_with("another record lies at offset 2"), "{why}");
}

#[test]
fn a_topic_made_again_without_the_last_record_is_another_log() {
    let mut reading = Reading::new(false);
    reading.log.recreate("a");
    append(&reading.log, "a", &["x0", "x1", "x2", "x3"]);
    reading.log.compact(&at("a", 0), Offset(2));
    reading.turn();
    reading.turn();
    assert_eq!(reading.values("a"), ["a0", "a1", "a2"]);
    assert!(reading.lost[0].contains("made again"), "{:?}", reading.lost);
}

#[test]
fn a_topic_made_again_with_the_same_records_goes_on() {
    let mut reading = Reading::new(false);
    reading.log.recreate("a");
    append(&reading.log, "a", &["a0", "a1", "a2", "a3"]);
    reading.pass(LOOK_PAUSE);
    assert_eq!(reading.values("a"), ["a0", "a1", "a2", "a3"]);
    assert_eq!(reading.lost, [""; 0]);
}

#[test]
fn a_topic_that_is_gone_is_waited_for_a_while() {
    let mut reading = Reading::new(false);
    reading.log.delete_topic("a");
    append(&reading.log, "b", &["b1"]);
    reading.pass(Duration::from_secs(4));
    assert_eq!((reading.values("b"), reading.lost.len()), (vec!["b0", "b1"], 0));
    append(&reading.log, "a", &["a0", "a1", "a2", "a3"]);
    reading.pass(Duration::from_secs(1));
    assert_eq!(reading.values("a"), ["a0", "a1", "a2", "a3"], "it was put back");
    reading.log.delete_topic("a");
    reading.pass(Duration::from_secs(6));
    assert_eq!(reading.lost, ["the partition is no longer there"]);
    append(&reading.log, "b", &["b2"]);
    reading.pass(LOOK_PAUSE);
    assert_eq!(reading.values("b"), ["b0", "b1", "b2"]);
    assert_eq!(reading.ranges, [(at("b", 0), OffsetRange { beginning: Offset(0), end: Offset(3) })]);
}

#[test]
fn records_that_retention_took_before_they_were_read_are_named() {
    let mut reading = Reading::new(false);
    append(&reading.log, "a", &["a3", "a4", "a5"]);
    reading.log.truncate(&at("a", 0), Offset(5));
    reading.pass(LOOK_PAUSE);
    assert_eq!(reading.values("a"), ["a0", "a1", "a2"]);
    assert!(reading.lost[0].contains("offsets 3 to 4 were not folded"), "{:?}", reading.lost);
}

#[test]
fn an_end_below_what_was_read_is_found_by_looking() {
    let mut reading = Reading::new(true);
    reading.log.recreate("a");
    append(&reading.log, "a", &["x0"]);
    reading.pass(LOOK_PAUSE * 2 + Duration::from_secs(1));
    assert!(reading.lost[0].contains("offset 3 is past the end of the log, 1"), "{:?}", reading.lost);
    assert_eq!(reading.values("a"), ["a0", "a1", "a2"]);
}

#[test]
fn where_the_log_does_not_tell_that_it_was_made_again_looking_does() {
    let mut reading = Reading::new(true);
    reading.log.recreate("a");
    append(&reading.log, "a", &["x0", "x1", "x2"]);
    append(&reading.log, "b", &["b1"]);
    reading.pass(LOOK_PAUSE + Duration::from_secs(1));
    assert!(reading.lost[0].contains("another record lies at offset 2"), "{:?}", reading.lost);
    assert_eq!(reading.values("b"), ["b0", "b1"]);
}

#[test]
fn a_rewind_waits_for_what_is_in_doubt() {
    let mut reading = Reading::new(false);
    reading.log.delete_topic("a");
    reading.turn();
    reading
        .reader
        .command(Command::Rewind { rewinds: 1, starts: vec![(at("a", 0), Offset(1)), (at("b", 0), Offset(0))] });
    reading.turn();
    append(&reading.log, "a", &["a0", "a1", "a2"]);
    reading.pass(Duration::from_secs(1));
    assert_eq!(reading.values("a"), ["a0", "a1", "a2", "a1", "a2"]);
    assert_eq!(reading.values("b"), ["b0", "b0"]);
}

#[test]
fn a_look_tells_how_the_log_stands_against_what_was_folded() {
    let mut reading = Reading::new(false);
    let next = NextOffset { offset: Offset(3), time: None, last: Some((Offset(2), [7; 16])) };
    let look = |reading: &mut Reading| {
        reading.reader.command(Command::Look(vec![(at("a", 0), next)]));
        reading.found.clear();
        reading.turn();
        let [facts] = &reading.found[..] else { panic!("{:?}", reading.found) };
        (facts.log.range.map(|range| range.end), facts.log.found.is_some_and(|found| found != [7; 16]))
    };
    assert_eq!(look(&mut reading), (Some(Offset(3)), true), "another record than the one that is asked for");
    reading.log.delete_topic("a");
    assert_eq!(look(&mut reading), (None, false));
    reading.found.clear();
    reading.turn();
    assert_eq!(reading.found.len(), 0, "it is told once");
}

#[test]
fn another_log_that_is_accepted_is_not_compared_with_the_one_before() {
    let mut reading = Reading::new(false);
    reading.log.recreate("a");
    append(&reading.log, "a", &["x0", "x1", "x2"]);
    reading.turn();
    reading.turn();
    assert_eq!(reading.lost.len(), 1);
    let last = reading.reader.lasts[&at("a", 0)];
    let folded = NextOffset { offset: Offset(3), time: None, last: Some(last) };
    reading.reader.command(Command::Look(vec![(at("a", 0), folded)]));
    reading.turn();
    reading.reader.command(Command::Open(vec![(at("a", 0), Offset(0))]));
    // In doubt before anything of it was delivered.
    reading.log.delete_topic("a");
    reading.turn();
    append(&reading.log, "a", &["x0", "x1", "x2"]);
    reading.pass(Duration::from_secs(2));
    assert_eq!(reading.values("a"), ["a0", "a1", "a2", "x0", "x1", "x2"]);
    assert_eq!(reading.lost.len(), 1);
}
