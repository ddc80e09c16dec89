//! One partition's file, read by lines from any of them, and watched for what must not happen to a log.
//!
//! A file may be cut short, or another may be put in its place, by name or by writing over it. So the last bytes read are
//! kept, and each time more was read they are looked at again: while they are there, what follows them is the same log.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::lines::LineIndex;
use super::unreadable;
use crate::event::{Offset, TopicPartition};
use crate::sources::{OffsetRange, SourceError};

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;
/// A longer line is refused, so that memory stays bounded.
const LINE_BYTES_MAX: usize = 64 << 20;

/// How many of the last bytes read are kept.
const TAIL_BYTES: usize = 1 << 10;

/// The file of a partition, and the place in it that is read next.
#[derive(Debug)]
pub(super) struct PartitionFile {
    path: PathBuf,
    partition: TopicPartition,
    file: File,
    index: LineIndex,
    /// The number of the next line.
    next_line: i64,
    /// Where the next bytes are read from.
    read_at: u64,
    /// The last bytes before `read_at`.
    tail: Vec<u8>,
    buffer: Vec<u8>,
    /// Bytes of the buffer that are taken already.
    taken: usize,
    /// Bytes behind `taken` in which there is no line end.
    searched: usize,
    /// The file no longer is what was read; only [`PartitionFile::seek`] starts anew.
    lost: bool,
}

impl PartitionFile {
    pub fn open(path: &Path, partition: &TopicPartition) -> Result<PartitionFile, SourceError> {
        Ok(PartitionFile {
            file: File::open(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => SourceError::UnknownPartition {
                    partition: partition.clone(),
                    source_name: format!("the event log (`{}`)", path.display()),
                },
                _ => unreadable(path, error),
            })?,
            path: path.to_owned(),
            partition: partition.clone(),
            index: LineIndex::default(),
            next_line: 0,
            read_at: 0,
            tail: Vec::new(),
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            lost: false,
        })
    }

    /// How many whole lines there are now.
    pub fn end(&mut self) -> Result<i64, SourceError> {
        self.index.extend(&mut self.file).map_err(|error| unreadable(&self.path, error))
    }

    pub fn next_line(&self) -> i64 {
        self.next_line
    }

    /// Starts anew if it is no longer the file it was.
    pub fn refresh(&mut self) -> Result<(), SourceError> {
        if !self.is_whole()? {
            *self = PartitionFile::open(&self.path, &self.partition)?;
        }
        Ok(())
    }

    /// Goes to a line; the one after the last may be asked for.
    pub fn seek(&mut self, line: i64) -> Result<(), SourceError> {
        self.refresh()?;
        let end = self.end()?;
        let position = self.index.position(line, &mut self.file).map_err(|error| unreadable(&self.path, error))?;
        self.read_at = position.ok_or_else(|| self.out_of_range(line, end))?;
        self.next_line = line;
        self.tail = vec![0; TAIL_BYTES.min(self.read_at as usize)];
        let tail = self.file.seek(SeekFrom::Start(self.read_at - self.tail.len() as u64));
        tail.and_then(|_| self.file.read_exact(&mut self.tail)).map_err(|error| unreadable(&self.path, error))?;
        self.buffer.clear();
        (self.taken, self.searched) = (0, 0);
        Ok(())
    }

    /// Reads on unless a whole line is waiting; false when there is none and nothing more to read.
    pub fn fill(&mut self) -> Result<bool, SourceError> {
        while self.line_end().is_none() {
            if self.buffer.len() - self.taken > LINE_BYTES_MAX {
                let reason = format!("line {} of `{}` is longer than 64 MiB", self.next_line, self.path.display());
                return Err(SourceError::Refused { source_name: "the event log".into(), reason });
            }
            if self.lost || !self.read_more().map_err(|error| unreadable(&self.path, error))? {
                return if self.is_whole()? { Ok(false) } else { Err(self.doubt()) };
            }
        }
        Ok(true)
    }

    /// The next whole line of what was read, without its end.
    pub fn take_line(&mut self) -> Option<&[u8]> {
        let end = self.line_end()?;
        let start = std::mem::replace(&mut self.taken, end + 1);
        self.searched = 0;
        self.next_line += 1;
        Some(&self.buffer[start..end])
    }

    /// Where the next line ends in the buffer. What was searched in vain is not searched again.
    fn line_end(&mut self) -> Option<usize> {
        let from = self.taken + self.searched;
        let found = find_line_end(&self.buffer[from..]);
        self.searched += found.unwrap_or(self.buffer.len() - from);
        found.map(|_| self.taken + self.searched)
    }

    /// Adds to the buffer; false when there was nothing more, or when it does not follow what was read.
    fn read_more(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + READ_BYTES, 0);
        self.file.seek(SeekFrom::Start(self.read_at))?;
        let read = self.file.read(&mut self.buffer[kept..]);
        let count = *read.as_ref().unwrap_or(&0);
        self.buffer.truncate(kept + count);
        read?;
        // ORDER: after the read. What is there still was there when what follows it was read.
        self.lost |= !self.has_tail()?;
        if self.lost || count == 0 {
            self.buffer.truncate(kept);
            return Ok(false);
        }
        self.read_at += count as u64;
        let new = &self.buffer[self.buffer.len() - count.min(TAIL_BYTES)..];
        self.tail.extend_from_slice(new);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        Ok(true)
    }

    /// Whether the last bytes read are still where they were.
    fn has_tail(&mut self) -> io::Result<bool> {
        let mut there = vec![0; self.tail.len()];
        self.file.seek(SeekFrom::Start(self.read_at - self.tail.len() as u64))?;
        match self.file.read_exact(&mut there) {
            Ok(()) => Ok(there == self.tail),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it is still the file at its path, and holds what was read.
    fn is_whole(&mut self) -> Result<bool, SourceError> {
        let there = match fs::metadata(&self.path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(unreadable(&self.path, error)),
        };
        let ours = self.file.metadata().map_err(|error| unreadable(&self.path, error))?;
        let same = same_file(&there, &ours) && there.len() >= self.index.counted_bytes();
        let whole = !self.lost && same && self.has_tail().map_err(|error| unreadable(&self.path, error))?;
        self.lost = !whole;
        Ok(whole)
    }

    fn doubt(&self) -> SourceError {
        let reason = format!("`{}` was replaced, rewritten or cut short", self.path.display());
        SourceError::Doubtful { source_name: "the event log".into(), remade: None, reason }
    }

    fn out_of_range(&self, line: i64, end: i64) -> SourceError {
        let range = OffsetRange { beginning: Offset(0), end: Offset(end) };
        SourceError::OffsetOutOfRange { partition: self.partition.clone(), wanted: Offset(line), range }
    }
}

/// The first line end, thirty-two bytes at a time.
fn find_line_end(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<32>();
    // No early exit inside a block: so the comparison of a whole block is one instruction or two.
    let has_end = |block: &[u8; 32]| block.iter().fold(false, |found, byte| found | (*byte == b'\n'));
    let clean = blocks.iter().position(has_end).unwrap_or(blocks.len()) * 32;
    bytes[clean..].iter().position(|byte| *byte == b'\n').map(|index| clean + index)
}

#[cfg(unix)]
fn same_file(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}
