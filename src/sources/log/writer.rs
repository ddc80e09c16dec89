//! Records → lines at the end of an event log's files.
//!
//! A record with a key goes where Kafka would put it, one without takes the next partition in turn. Files are locked while
//! they are written, whole lines at a time, and synced at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Directory, Envelope};
use crate::event::TopicPartition;
use crate::sources::SourceError;
use crate::sources::partitioner::partition_of;

/// How much is gathered before it is written.
const WRITE_BYTES: usize = 256 << 10;

/// Appends to one topic of an event log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    partitions: Vec<Tail>,
    /// Whose turn it is to take a record without a key.
    turn: usize,
}

/// The end of one partition's file.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: File,
    lines: Vec<u8>,
}

impl LogWriter {
    /// Opens all partitions of a topic for appending; a topic that has none gets one.
    pub fn open(name: &str, path: &Path, topic: &str) -> Result<LogWriter, SourceError> {
        if topic.is_empty() || topic.starts_with('.') || topic.contains(['/', '\\', '\0']) {
            let reason = format!("`{topic}` cannot be the name of a topic");
            return Err(SourceError::Refused { source_name: format!("`{name}`"), reason });
        }
        let directory = Directory { name: name.into(), path: path.into() };
        let folder = path.join(topic);
        fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, error))?;
        let mut numbers = directory.partitions(topic)?;
        if numbers.is_empty() {
            numbers.push(0);
        }
        let tail = |partition| Tail::open(directory.file(&TopicPartition { topic: topic.into(), partition }));
        Ok(LogWriter { partitions: numbers.into_iter().map(tail).collect::<Result<_, _>>()?, turn: 0 })
    }

    /// Appends a record.
    pub fn append(&mut self, record: &Envelope<'_>) -> Result<(), SourceError> {
        let count = self.partitions.len();
        let chosen = match &record.key {
            Some(key) => partition_of(key.as_bytes(), count),
            None => {
                self.turn = (self.turn + 1) % count;
                self.turn
            }
        };
        let tail = &mut self.partitions[chosen];
        record.write(&mut tail.lines);
        if tail.lines.len() >= WRITE_BYTES { tail.flush() } else { Ok(()) }
    }

    /// Writes what is gathered and waits until it is on the disk.
    pub fn finish(mut self) -> Result<(), SourceError> {
        for tail in &mut self.partitions {
            tail.flush()?;
            tail.file.sync_all().map_err(|error| unwritable(&tail.path, error))?;
        }
        Ok(())
    }
}

impl Tail {
    fn open(path: PathBuf) -> Result<Tail, SourceError> {
        let open = || -> io::Result<(File, bool)> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
            file.lock()?;
            let mut last = *b"\n";
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
            }
            Ok((file, last == *b"\n"))
        };
        match open().map_err(|error| unwritable(&path, error))? {
            (file, true) => Ok(Tail { path, file, lines: Vec::new() }),
            (_, false) => Err(SourceError::Refused {
                source_name: format!("`{}`", path.display()),
                reason: "its last line has no end, and appending would join two events".into(),
            }),
        }
    }

    fn flush(&mut self) -> Result<(), SourceError> {
        self.file.write_all(&self.lines).map_err(|error| unwritable(&self.path, error))?;
        self.lines.clear();
        Ok(())
    }
}

fn unwritable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io { what: format!("`{}` cannot be written", path.display()), source }
}
