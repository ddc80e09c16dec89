//! A source → batches, one ahead of the fold and no further: a state machine that a thread turns.
//!
//! The reader finds the partitions, says what it found of each, and opens what it is told to. A source that is away is
//! waited for (at start no longer than the time for a start); anything else needs a person. Buffers go round between the
//! reader and the fold, so a slow fold holds the reader back.
//!
//! It speaks to its source and to nothing else: no thread, no channel, no clock (`now` is an argument). What it found is
//! what a turn returns, with the time of the next turn; the driver of production and that of tests both turn it.

mod doubt;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::runtime::core::{Ended, PartitionFacts};
use crate::runtime::decide::decide_offset;
use crate::runtime::fold::record_hash;
use crate::runtime::start::{missing_partition, partition_facts};
use crate::sources::{OffsetRange, PollBudget, Source, SourceError};
use crate::state::NextOffset;

use doubt::Doubt;

/// How often partitions and ends are looked up again.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How many records a batch holds at most.
const BATCH_RECORDS_MAX: usize = 8192;
/// How many batches a projection has: one is read while another is folded.
pub(crate) const BUFFERS: usize = 2;

/// What a projection asks of its reader.
#[derive(Debug)]
pub(crate) enum Command {
    Open(Vec<(TopicPartition, Offset)>),
    /// Reads again from here; batches are marked with this number from now on.
    Rewind {
        rewinds: u32,
        starts: Vec<(TopicPartition, Offset)>,
    },
    Close(TopicPartition),
    /// Says how the log stands against what was folded of these.
    Look(Vec<(TopicPartition, NextOffset)>),
    /// A batch that has been folded.
    Recycle(RecordBatch),
    Tell(Vec<(TopicPartition, Offset)>),
}

/// What a reader has for its projection.
#[derive(Debug)]
pub(crate) enum News {
    Found(Vec<PartitionFacts>),
    Read {
        rewinds: u32,
        batch: RecordBatch,
    },
    Ends(Vec<(TopicPartition, OffsetRange)>),
    /// What is missing in a partition, or that it is another log.
    Lost {
        partition: TopicPartition,
        why: String,
    },
    Failed(Ended),
}

/// What came of one turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub news: Vec<News>,
    /// When the next turn is due if no command comes before; `None`: never, the source has failed for good.
    pub next_at: Option<Instant>,
}

/// What a reader starts from.
pub(crate) struct ReaderSpec {
    pub source: Box<dyn Source>,
    pub projection: Arc<str>,
    /// What the last checkpoint covers.
    pub stored: Vec<(TopicPartition, NextOffset)>,
    pub batch_bytes_max: usize,
    pub start_timeout: Duration,
    /// How long one turn waits for a first record; commands wait as long.
    pub poll_wait: Duration,
}

/// One projection's reader. See the module.
pub(crate) struct Reader {
    source: Box<dyn Source>,
    projection: Arc<str>,
    stored: BTreeMap<TopicPartition, NextOffset>,
    budget: PollBudget,
    /// Until the partitions are found for the first time: how long that may take.
    starting: Option<Instant>,
    known: Vec<TopicPartition>,
    /// With the offset after what was delivered.
    open: Vec<(TopicPartition, Offset)>,
    /// Asked for, and not opened yet: the source was away.
    unopened: Vec<(TopicPartition, Offset)>,
    /// Closed until they are compared.
    doubts: Vec<Doubt>,
    /// The last record of each partition that was folded before the start or delivered since, with its hash.
    lasts: HashMap<TopicPartition, (Offset, [u8; 16])>,
    /// Asked to be looked at.
    unseen: Vec<(TopicPartition, NextOffset)>,
    buffers: Vec<RecordBatch>,
    rewinds: u32,
    looked_at: Instant,
    away: Option<Away>,
    failed: bool,
    news: Vec<News>,
}

#[derive(Clone, Copy)]
struct Away {
    until: Instant,
    backoff: Duration,
}

impl Reader {
    pub fn new(spec: ReaderSpec, now: Instant) -> Reader {
        let (bytes_max, wait) = (spec.batch_bytes_max, spec.poll_wait);
        let lasts = spec.stored.iter().filter_map(|(partition, next)| Some((partition.clone(), next.last?))).collect();
        Reader {
            source: spec.source,
            projection: spec.projection,
            stored: spec.stored.into_iter().collect(),
            budget: PollBudget { records_max: BATCH_RECORDS_MAX, bytes_max, wait },
            starting: Some(now + spec.start_timeout),
            known: Vec::new(),
            open: Vec::new(),
            unopened: Vec::new(),
            doubts: Vec::new(),
            lasts,
            unseen: Vec::new(),
            buffers: (0..BUFFERS).map(|_| RecordBatch::default()).collect(),
            rewinds: 0,
            looked_at: now,
            away: None,
            failed: false,
            news: Vec::new(),
        }
    }

    /// Does what was asked.
    pub fn command(&mut self, command: Command) {
        match command {
            Command::Open(starts) => self.open_soon(starts),
            Command::Rewind { rewinds, starts } => {
                self.rewinds = rewinds;
                self.unopened.clear();
                self.open_soon(starts);
            }
            Command::Close(partition) => {
                self.open.retain(|(open, _)| *open != partition);
                self.unopened.retain(|(unopened, _)| *unopened != partition);
                self.doubts.retain(|doubt| doubt.partition != partition);
                self.source.close(&partition);
            }
            Command::Look(partitions) => {
                for (partition, next) in &partitions {
                    self.lasts.extend(next.last.map(|last| (partition.clone(), last)));
                }
                self.unseen.extend(partitions);
            }
            Command::Recycle(batch) => self.buffers.push(batch),
            Command::Tell(offsets) => self.source.told(&offsets),
        }
    }

    /// Opens at the next turn; what is in doubt waits until it is compared.
    fn open_soon(&mut self, starts: Vec<(TopicPartition, Offset)>) {
        for (partition, start) in starts {
            match self.doubts.iter_mut().find(|doubt| doubt.partition == partition) {
                Some(doubt) => doubt.next = start,
                None => self.unopened.push((partition, start)),
            }
        }
    }

    /// Reads once, and looks for partitions and ends when that is due.
    pub fn turn(&mut self, now: Instant) -> Turn {
        let waiting = self.failed || self.away.is_some_and(|away| away.until > now);
        if !waiting {
            let done = if self.starting.is_some() { self.start(now) } else { self.read_on(now) };
            if let Err(error) = done {
                self.cope(error, now);
            }
        }
        Turn { news: std::mem::take(&mut self.news), next_at: (!self.failed).then(|| self.next_at(now)) }
    }

    fn next_at(&self, now: Instant) -> Instant {
        let idle =
            self.buffers.is_empty() || (self.open.is_empty() && self.unopened.is_empty() && self.unseen.is_empty());
        let mut at = if self.starting.is_none() && idle { self.looked_at + LOOK_PAUSE } else { now };
        if let Some(look_at) = self.doubts.iter().map(|doubt| doubt.look_at).min() {
            at = at.min(look_at);
        }
        self.away.map_or(at, |away| away.until.max(at)).max(now)
    }

    fn start(&mut self, now: Instant) -> Result<(), SourceError> {
        let found = self.find_partitions(now);
        match &found {
            Err(SourceError::Unavailable { .. }) if self.starting.is_some_and(|until| now < until) => found,
            // A topic that does not exist is no fault of an event either: nothing was reached.
            Err(error) => {
                self.fail(Ended::Unreachable(describe(error)));
                Ok(())
            }
            Ok(()) => {
                self.starting = None;
                found
            }
        }
    }

    fn read_on(&mut self, now: Instant) -> Result<(), SourceError> {
        let proven = self.proven(now)?;
        if !proven.is_empty() {
            self.source.open(&proven).inspect_err(|_| self.unopened.extend_from_slice(&proven))?;
            for (partition, start) in proven {
                self.open.retain(|(open, _)| *open != partition);
                self.open.push((partition, start));
            }
        }
        while let Some((partition, next)) = self.unseen.last() {
            let (partition, next) = (partition.clone(), *next);
            let facts = match self.facts(&partition, Some(next)) {
                Err(SourceError::UnknownTopic { .. } | SourceError::UnknownPartition { .. }) => {
                    missing_partition(&partition, next)
                }
                found => found?,
            };
            self.unseen.pop();
            self.news.push(News::Found(vec![facts]));
        }
        if now >= self.looked_at + LOOK_PAUSE {
            self.looked_at = now;
            self.find_partitions(now)?;
        }
        if self.open.is_empty() {
            return Ok(());
        }
        let Some(mut batch) = self.buffers.pop() else { return Ok(()) };
        let polled = self.source.poll(self.budget, &mut batch);
        if polled.is_err() || (batch.is_empty() && batch.positions.is_empty() && batch.ends.is_empty()) {
            self.buffers.push(batch);
            polled?;
        } else {
            self.keep_place(&batch);
            self.news.push(News::Read { rewinds: self.rewinds, batch });
        }
        if self.away.take().is_some() {
            tracing::info!(projection = %self.projection, "the source is back");
        }
        Ok(())
    }

    /// Keeps how far a batch goes, and the hash of the last record of each partition in it.
    fn keep_place(&mut self, batch: &RecordBatch) {
        let mut moved: Vec<u32> = batch.positions.iter().map(|(input, _)| *input).collect();
        for (input, next) in &batch.positions {
            let partition = &batch.inputs[*input as usize];
            if let Some(open) = self.open.iter_mut().find(|(open, _)| open == partition) {
                open.1 = *next;
            }
        }
        for index in (0..batch.len()).rev() {
            if moved.is_empty() {
                return;
            }
            let (input, offset) = batch.place(index);
            if let Some(found) = moved.iter().position(|moved| *moved == input) {
                moved.swap_remove(found);
                let hash = record_hash(&batch.record(index));
                self.lasts.insert(batch.inputs[input as usize].clone(), (offset, hash));
            }
        }
    }

    /// How a partition stands against what was folded of it.
    fn facts(&mut self, partition: &TopicPartition, stored: Option<NextOffset>) -> Result<PartitionFacts, SourceError> {
        let facts = partition_facts(&mut *self.source, partition, stored)?;
        if decide_offset(facts.log, false).is_err() {
            // Should it be accepted, it is another log, and nothing of the one before is evidence.
            self.lasts.remove(partition);
        }
        Ok(facts)
    }

    /// Finds partitions that are not known yet, and what the log has of each; tells the ranges of the others.
    fn find_partitions(&mut self, now: Instant) -> Result<(), SourceError> {
        let partitions = match self.source.partitions() {
            // The topic's partitions are in doubt, and the others are looked at.
            Err(error @ SourceError::UnknownTopic { .. }) if self.starting.is_none() => {
                self.cope(error, now);
                Vec::new()
            }
            answered => answered?,
        };
        let mut ends = Vec::new();
        for partition in self.known.clone() {
            match self.source.range(&partition) {
                Ok(range) => {
                    if self.is_doubtful(&partition, range)? {
                        self.doubt(now, None, |open| *open == partition);
                    }
                    ends.push((partition, range));
                }
                Err(error @ (SourceError::UnknownTopic { .. } | SourceError::UnknownPartition { .. })) => {
                    self.cope(error, now);
                }
                Err(error) => return Err(error),
            }
        }
        let mut found = Vec::new();
        for partition in &partitions {
            if self.known.contains(partition) {
                continue;
            }
            let stored = self.stored.get(partition).copied();
            found.push(self.facts(partition, stored)?);
        }
        if self.starting.is_some() {
            for (partition, stored) in &self.stored {
                if !partitions.contains(partition) {
                    found.push(missing_partition(partition, *stored));
                }
            }
        }
        self.known.extend(found.iter().map(|facts| facts.partition.clone()));
        if !ends.is_empty() {
            self.news.push(News::Ends(ends));
        }
        if self.starting.is_some() || !found.is_empty() {
            self.news.push(News::Found(found));
        }
        Ok(())
    }

    /// A partition that may be another log is compared; a source that is away is waited for; the rest needs a person.
    fn cope(&mut self, error: SourceError, now: Instant) {
        match &error {
            SourceError::OffsetOutOfRange { partition, .. } | SourceError::UnknownPartition { partition, .. } => {
                self.doubt(now, None, |open| open == partition);
            }
            SourceError::UnknownTopic { topic, .. } => self.doubt(now, None, |open| *open.topic == **topic),
            SourceError::Doubtful { remade, .. } => {
                tracing::warn!(projection = %self.projection, error = describe(&error), "what was read is compared");
                self.doubt(now, remade.as_deref(), |_| true);
            }
            SourceError::Unavailable { .. } => self.wait_for(&error, now),
            _ => self.fail(Ended::Faulted(describe(&error))),
        }
    }

    fn wait_for(&mut self, error: &SourceError, now: Instant) {
        let backoff = self.away.map_or(BACKOFF_MIN, |away| (away.backoff * 2).min(BACKOFF_MAX));
        if self.away.is_none() {
            tracing::warn!(projection = %self.projection, error = describe(error), "the source is away; trying again");
        }
        self.away = Some(Away { until: now + backoff, backoff });
    }

    fn fail(&mut self, ended: Ended) {
        self.failed = true;
        self.news.push(News::Failed(ended));
    }
}

/// An error with its causes.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
