//! A source → batches, one ahead of the fold and no further: a state machine that a thread turns.
//!
//! The reader finds the partitions, checks that each is still the log it was, and opens what it is told to. A source that
//! is away is waited for (at start no longer than the time for a start); anything else needs a person. Buffers go round
//! between the reader and the fold, so a slow fold holds the reader back.
//!
//! It speaks to its source and to nothing else: no thread, no channel, no clock (`now` is an argument). What it found is
//! what a turn returns, with the time of the next turn; the driver of production and that of tests both turn it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::runtime::core::{Ended, PartitionFacts};
use crate::runtime::start::{missing_partition, partition_facts};
use crate::sources::{PollBudget, Source, SourceError};
use crate::state::NextOffset;

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
    /// A batch that has been folded.
    Recycle(RecordBatch),
    Tell(Vec<(TopicPartition, Offset)>),
}

/// What a reader has for its projection.
#[derive(Debug)]
pub(crate) enum News {
    Found(Vec<PartitionFacts>),
    Read { rewinds: u32, batch: RecordBatch },
    Ends(Vec<(TopicPartition, Offset)>),
    Lost { partition: TopicPartition, why: String },
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
    stored: HashMap<TopicPartition, NextOffset>,
    budget: PollBudget,
    /// Until the partitions are found for the first time: how long that may take.
    starting: Option<Instant>,
    known: Vec<TopicPartition>,
    open: Vec<TopicPartition>,
    /// Asked for, and not opened yet: the source was away.
    unopened: Vec<(TopicPartition, Offset)>,
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
        Reader {
            source: spec.source,
            projection: spec.projection,
            stored: spec.stored.into_iter().collect(),
            budget: PollBudget { records_max: BATCH_RECORDS_MAX, bytes_max, wait },
            starting: Some(now + spec.start_timeout),
            known: Vec::new(),
            open: Vec::new(),
            unopened: Vec::new(),
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
            Command::Open(starts) => self.unopened.extend(starts),
            Command::Rewind { rewinds, starts } => {
                self.rewinds = rewinds;
                self.unopened = starts;
            }
            Command::Close(partition) => {
                self.open.retain(|open| *open != partition);
                self.unopened.retain(|(unopened, _)| *unopened != partition);
                self.source.close(&partition);
            }
            Command::Recycle(batch) => self.buffers.push(batch),
            Command::Tell(offsets) => self.source.told(&offsets),
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
        let at = self.away.map_or(now, |away| away.until.max(now));
        let idle = self.buffers.is_empty() || (self.open.is_empty() && self.unopened.is_empty());
        if self.starting.is_none() && idle { at.max(self.looked_at + LOOK_PAUSE) } else { at }
    }

    fn start(&mut self, now: Instant) -> Result<(), SourceError> {
        let found = self.find_partitions();
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
        if !self.unopened.is_empty() {
            self.source.open(&self.unopened)?;
            for (partition, _) in self.unopened.drain(..) {
                if !self.open.contains(&partition) {
                    self.open.push(partition);
                }
            }
        }
        if now >= self.looked_at + LOOK_PAUSE {
            self.looked_at = now;
            self.find_partitions()?;
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
            self.news.push(News::Read { rewinds: self.rewinds, batch });
        }
        if self.away.take().is_some() {
            tracing::info!(projection = %self.projection, "the source is back");
        }
        Ok(())
    }

    /// Finds partitions that are not known yet, and where each of them is to be read from; tells the ends of the others.
    fn find_partitions(&mut self) -> Result<(), SourceError> {
        let partitions = self.source.partitions()?;
        let mut ends = Vec::new();
        let mut found = Vec::new();
        for partition in &partitions {
            if self.known.contains(partition) {
                ends.push((partition.clone(), self.source.range(partition)?.end));
                continue;
            }
            let stored = self.stored.get(partition).copied();
            found.push(partition_facts(&mut *self.source, partition, stored)?);
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

    /// A partition that lost its records stops alone; a source that is away is waited for; the rest needs a person.
    fn cope(&mut self, error: SourceError, now: Instant) {
        match error {
            SourceError::OffsetOutOfRange { ref partition, .. } => {
                let (partition, why) = (partition.clone(), describe(&error));
                self.command(Command::Close(partition.clone()));
                self.news.push(News::Lost { partition, why });
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
