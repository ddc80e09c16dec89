//! The event log directory → records: `<path>/<topic>/<partition>.jsonl`, one event a line, the line number its offset.
//!
//! Files are followed as they grow: a last line without its end waits for it. A line that is no envelope becomes a malformed
//! record at its offset. Nothing is ever written here but by `LogWriter`, and nothing is remembered beside the files: a
//! file that is cut short, replaced or written over while it is followed is no longer trusted to be the same log.

mod envelope;
mod file;
mod lines;
mod writer;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::event::batch::NewRecord;
use crate::event::{Offset, RecordBatch, TopicPartition};
use crate::sources::inputs::Inputs;
use crate::sources::{OffsetRange, PollBudget, Source, SourceError};

pub(crate) use envelope::Envelope;
use file::PartitionFile;
pub(crate) use writer::LogWriter;

/// How long to wait between two looks at files that have not grown.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Reads topics of an event log directory.
#[derive(Debug)]
pub struct LogSource {
    directory: Directory,
    topics: Vec<Arc<str>>,
    inputs: Inputs,
    open: Vec<Open>,
    /// Files that are not being read, kept for what was counted in them.
    known: Vec<(TopicPartition, PartitionFile)>,
    /// Whose turn it is to be read first.
    turn: usize,
    /// Found behind records that were delivered first.
    error: Option<SourceError>,
}

#[derive(Debug)]
struct Open {
    partition: TopicPartition,
    input: u32,
    file: PartitionFile,
    /// The end it was last found at.
    end_told: Option<i64>,
}

impl LogSource {
    /// A reader of these topics below `path`; `name` is what messages call the log.
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>, topics: Vec<Arc<str>>) -> LogSource {
        LogSource {
            directory: Directory { name: name.into(), path: path.into() },
            topics,
            inputs: Inputs::default(),
            open: Vec::new(),
            known: Vec::new(),
            turn: 0,
            error: None,
        }
    }

    /// The file of a partition, opened now if it was not.
    fn file(&mut self, partition: &TopicPartition) -> Result<&mut PartitionFile, SourceError> {
        if let Some(index) = self.open.iter().position(|open| open.partition == *partition) {
            return Ok(&mut self.open[index].file);
        }
        let index = match self.known.iter().position(|(known, _)| known == partition) {
            Some(index) => {
                self.known[index].1.refresh()?;
                index
            }
            None => {
                let file = PartitionFile::open(&self.directory.file(partition), partition)?;
                self.known.push((partition.clone(), file));
                self.known.len() - 1
            }
        };
        Ok(&mut self.known[index].1)
    }

    /// Takes what is there now, each open file in its turn.
    fn look(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        let count = self.open.len();
        self.turn = (self.turn + 1) % count.max(1);
        let room = |batch: &RecordBatch| batch.len() < budget.records_max && batch.bytes_len() < budget.bytes_max;
        for index in 0..count {
            let open = &mut self.open[(self.turn + index) % count];
            let start = open.file.next_line();
            let mut filled = Ok(true);
            while room(batch) && matches!(filled, Ok(true)) {
                filled = open.file.fill();
                while room(batch) {
                    let (offset, Some(line)) = (open.file.next_line(), open.file.take_line()) else { break };
                    push(batch, open.input, offset, line);
                }
            }
            let next = open.file.next_line();
            if next > start {
                batch.positions.push((open.input, Offset(next)));
            }
            filled?;
            if room(batch) && open.end_told != Some(next) {
                open.end_told = Some(next);
                batch.ends.push((open.input, Offset(next)));
            }
        }
        Ok(())
    }
}

impl Source for LogSource {
    fn partitions(&mut self) -> Result<Vec<TopicPartition>, SourceError> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let numbers = self.directory.partitions(topic)?;
            found.extend(numbers.into_iter().map(|partition| TopicPartition { topic: Arc::clone(topic), partition }));
        }
        Ok(found)
    }

    fn range(&mut self, partition: &TopicPartition) -> Result<OffsetRange, SourceError> {
        Ok(OffsetRange { beginning: Offset(0), end: Offset(self.file(partition)?.end()?) })
    }

    fn open(&mut self, starts: &[(TopicPartition, Offset)]) -> Result<(), SourceError> {
        for (partition, start) in starts {
            self.close(partition);
            self.file(partition)?.seek(start.0)?;
            let index = self.known.iter().position(|(known, _)| known == partition).expect("its file was opened");
            let (partition, file) = self.known.swap_remove(index);
            let input = self.inputs.index(&partition);
            self.open.push(Open { partition, input, file, end_told: None });
        }
        Ok(())
    }

    fn close(&mut self, partition: &TopicPartition) {
        if let Some(index) = self.open.iter().position(|open| open.partition == *partition) {
            let open = self.open.remove(index);
            self.known.push((open.partition, open.file));
        }
    }

    fn poll(&mut self, budget: PollBudget, batch: &mut RecordBatch) -> Result<(), SourceError> {
        batch.clear();
        batch.inputs = self.inputs.shared();
        let deadline = Instant::now() + budget.wait;
        loop {
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            self.error = self.look(budget, batch).err();
            let left = deadline.saturating_duration_since(Instant::now());
            if !batch.is_empty() || !batch.ends.is_empty() {
                return Ok(());
            }
            if self.error.is_some() {
                continue;
            }
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_INTERVAL));
        }
    }

    fn record_at(&mut self, partition: &TopicPartition, offset: Offset) -> Result<RecordBatch, SourceError> {
        let mut batch = RecordBatch::of(vec![partition.clone()]);
        // A reader of its own: the one being followed keeps its place.
        let mut file = PartitionFile::open(&self.directory.file(partition), partition)?;
        if offset.0 < 0 || offset.0 >= file.end()? {
            return Ok(batch);
        }
        file.seek(offset.0)?;
        while file.fill()? {
            if let Some(line) = file.take_line() {
                push(&mut batch, 0, offset.0, line);
                break;
            }
        }
        Ok(batch)
    }

    /// A directory keeps no books of its readers.
    fn told(&mut self, _next_offsets: &[(TopicPartition, Offset)]) {}
}

/// Adds a line to a batch: a record, or a malformed one.
fn push(batch: &mut RecordBatch, input: u32, offset: i64, line: &[u8]) {
    match Envelope::parse(line) {
        Ok(envelope) => {
            let key = envelope.key.as_ref().map(|key| key.as_bytes());
            let record = NewRecord { time: envelope.time, key, value: envelope.value, malformed: None };
            let headers = envelope.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            batch.push(input, Offset(offset), record, headers);
        }
        Err(why) => {
            let record = NewRecord { value: Some(line), malformed: Some(&why), ..NewRecord::default() };
            batch.push(input, Offset(offset), record, []);
        }
    }
}

/// The folder of an event log.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    pub name: String,
    pub path: PathBuf,
}

impl Directory {
    pub fn file(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(&*partition.topic).join(format!("{}.jsonl", partition.partition))
    }

    /// The partitions of a topic, in order.
    pub fn partitions(&self, topic: &str) -> Result<Vec<i32>, SourceError> {
        let folder = self.path.join(topic);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let known = self.topics()?;
                return Err(SourceError::UnknownTopic { topic: topic.into(), source_name: self.title(), known });
            }
            Err(error) => return Err(unreadable(&folder, error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| unreadable(&folder, error))?.file_name();
            found.extend(name.to_str().and_then(partition_number));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The topics there are, in order.
    fn topics(&self) -> Result<Vec<String>, SourceError> {
        let entries = fs::read_dir(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let folders = entries.filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir()));
        let mut names: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    fn title(&self) -> String {
        format!("`{}` ({})", self.name, self.path.display())
    }
}

/// `7` of `7.jsonl`; no other spelling of the number counts.
fn partition_number(file_name: &str) -> Option<i32> {
    let number = file_name.strip_suffix(".jsonl")?;
    let partition: i32 = number.parse().ok()?;
    (partition >= 0 && partition.to_string() == number).then_some(partition)
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { what: format!("`{}` cannot be read", path.display()), source }
}

#[cfg(test)]
mod tests;
