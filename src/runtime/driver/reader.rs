//! A source → batches, on a thread of its own: reads ahead by one batch while another is folded, and no further.
//!
//! The reader finds the partitions, checks that each is still the log it was, and opens what it is told to. A source that
//! is away is waited for (at start no longer than the time for a start); anything else needs a person. Buffers go round
//! between the reader and the fold, so a slow fold holds the reader back.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::runtime::core::Ended;
use crate::runtime::driver::projection::Message;
use crate::runtime::start::{missing_partition, partition_facts};
use crate::sources::{PollBudget, Source, SourceError};
use crate::state::NextOffset;

/// How often partitions and ends are looked up again.
const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// How long a poll waits for a first record; commands wait as long.
const POLL_WAIT: Duration = Duration::from_millis(20);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How many records a batch holds at most.
const BATCH_RECORDS_MAX: usize = 8192;
/// How many batches a projection has: one is read while another is folded.
pub(super) const BUFFERS: usize = 2;

/// What the projection asks of its reader.
pub(super) enum Command {
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

/// What a reader starts from.
pub(super) struct ReaderSpec {
    pub source: Box<dyn Source>,
    pub projection: std::sync::Arc<str>,
    /// What the last checkpoint covers.
    pub stored: Vec<(TopicPartition, NextOffset)>,
    pub batch_bytes_max: usize,
    pub start_timeout: Duration,
}

struct Reader {
    source: Box<dyn Source>,
    projection: std::sync::Arc<str>,
    commands: Receiver<Command>,
    messages: Sender<Message>,
    stored: HashMap<TopicPartition, NextOffset>,
    known: Vec<TopicPartition>,
    open: Vec<TopicPartition>,
    /// Asked for, and not opened yet: the source was away.
    unopened: Vec<(TopicPartition, Offset)>,
    buffers: Vec<RecordBatch>,
    rewinds: u32,
    looked_at: Instant,
    batch_bytes_max: usize,
    away: Option<Away>,
}

#[derive(Clone, Copy)]
struct Away {
    until: Instant,
    backoff: Duration,
}

/// The projection has ended.
struct Gone;

/// Reads until the projection has ended or the source has failed for good.
pub(super) fn read(spec: ReaderSpec, commands: Receiver<Command>, messages: Sender<Message>) {
    let start_until = Instant::now() + spec.start_timeout;
    let mut reader = Reader {
        source: spec.source,
        projection: spec.projection,
        commands,
        messages,
        stored: spec.stored.into_iter().collect(),
        known: Vec::new(),
        open: Vec::new(),
        unopened: Vec::new(),
        buffers: (0..BUFFERS).map(|_| RecordBatch::default()).collect(),
        rewinds: 0,
        looked_at: Instant::now(),
        batch_bytes_max: spec.batch_bytes_max,
        away: None,
    };
    let _ = reader.run(start_until); // ending because the projection has is no error
}

impl Reader {
    fn run(&mut self, start_until: Instant) -> Result<(), Gone> {
        while let Err(error) = self.find_partitions(true) {
            let unavailable = matches!(error, SourceError::Unavailable { .. });
            if !unavailable || Instant::now() >= start_until {
                // A topic that does not exist is no fault of an event either: nothing was reached.
                return self.send(Message::Failed(Ended::Unreachable(describe(&error))));
            }
            self.wait_for(error)?;
        }
        loop {
            self.obey()?;
            if let Err(error) = self.read_on() {
                self.cope(error)?;
            }
        }
    }

    /// Does what was asked; waits for it when there is nothing else to do.
    fn obey(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        let away = self.away.map_or(Duration::ZERO, |away| away.until.saturating_duration_since(now));
        let mut wait = away;
        if self.buffers.is_empty() || (self.open.is_empty() && self.unopened.is_empty()) {
            wait = wait.max((self.looked_at + LOOK_PAUSE).saturating_duration_since(now));
        }
        let mut command = match self.commands.recv_timeout(wait) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Err(Gone),
        };
        while let Some(next) = command {
            self.command(next);
            command = self.commands.try_recv().ok();
        }
        Ok(())
    }

    fn command(&mut self, command: Command) {
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

    fn read_on(&mut self) -> Result<(), SourceError> {
        if self.away.is_some_and(|away| away.until > Instant::now()) {
            return Ok(());
        }
        if !self.unopened.is_empty() {
            self.source.open(&self.unopened)?;
            for (partition, _) in self.unopened.drain(..) {
                if !self.open.contains(&partition) {
                    self.open.push(partition);
                }
            }
        }
        if self.looked_at.elapsed() >= LOOK_PAUSE {
            self.looked_at = Instant::now();
            self.find_partitions(false)?;
        }
        if self.open.is_empty() {
            return Ok(());
        }
        let Some(mut batch) = self.buffers.pop() else { return Ok(()) };
        let budget = PollBudget { records_max: BATCH_RECORDS_MAX, bytes_max: self.batch_bytes_max, wait: POLL_WAIT };
        let polled = self.source.poll(budget, &mut batch);
        if polled.is_err() || (batch.is_empty() && batch.positions.is_empty() && batch.ends.is_empty()) {
            self.buffers.push(batch);
            polled?;
        } else {
            let _ = self.send(Message::Read { rewinds: self.rewinds, batch }); // the next command finds it gone
        }
        if self.away.take().is_some() {
            tracing::info!(projection = %self.projection, "the source is back");
        }
        Ok(())
    }

    /// Finds partitions that are not known yet, and where each of them is to be read from; tells the ends of the others.
    fn find_partitions(&mut self, at_start: bool) -> Result<(), SourceError> {
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
        if at_start {
            for (partition, stored) in &self.stored {
                if !partitions.contains(partition) {
                    found.push(missing_partition(partition, *stored));
                }
            }
        }
        self.known.extend(found.iter().map(|facts| facts.partition.clone()));
        if !ends.is_empty() {
            let _ = self.send(Message::Ends(ends));
        }
        if at_start || !found.is_empty() {
            let _ = self.send(Message::Found(found));
        }
        Ok(())
    }

    /// A partition that lost its records stops alone; a source that is away is waited for; the rest needs a person.
    fn cope(&mut self, error: SourceError) -> Result<(), Gone> {
        match error {
            SourceError::OffsetOutOfRange { ref partition, .. } => {
                let (partition, why) = (partition.clone(), describe(&error));
                self.command(Command::Close(partition.clone()));
                self.send(Message::Lost { partition, why })
            }
            SourceError::Unavailable { .. } => self.wait_for(error),
            _ => {
                self.send(Message::Failed(Ended::Faulted(describe(&error))))?;
                Err(Gone)
            }
        }
    }

    fn wait_for(&mut self, error: SourceError) -> Result<(), Gone> {
        let backoff = self.away.map_or(BACKOFF_MIN, |away| (away.backoff * 2).min(BACKOFF_MAX));
        if self.away.is_none() {
            tracing::warn!(projection = %self.projection, error = describe(&error), "the source is away; trying again");
        }
        self.away = Some(Away { until: Instant::now() + backoff, backoff });
        self.obey()
    }

    fn send(&self, message: Message) -> Result<(), Gone> {
        self.messages.send(message).map_err(|_| Gone)
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
