//! A file of frames: each is sealed with all before it.
//!
//! `projector backup`, the format in four bytes, then frames: kind, length, payload, seal. The seal is the beginning of a
//! hash over the frame and the seal before it, so that frames that were changed, lost, exchanged or taken from another
//! backup are found at the first of them. They come in the order head, plan, record, rows, letters, end, and nothing comes
//! after the end. Numbers are in little endian. What the payloads mean is said in `entry`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::state::backup::BackupError;

/// Sixteen bytes that say what it is.
const MAGIC: &[u8; 16] = b"projector backup";
/// The format this release writes; it reads this one and older ones.
const FORMAT: u32 = 1;
const PREAMBLE_BYTES: usize = MAGIC.len() + 4;
/// Kind and length.
const HEAD_BYTES: usize = 5;

type Seal = [u8; 16];

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    Head = 1,
    Plan = 2,
    Record = 3,
    Rows = 4,
    Letters = 5,
    End = 6,
}

impl FrameKind {
    fn of(byte: u8) -> Option<FrameKind> {
        use FrameKind::*;
        [Head, Plan, Record, Rows, Letters, End].into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether a frame of this kind may come after one of that kind; the first comes after none.
    fn may_follow(self, before: Option<FrameKind>) -> bool {
        use FrameKind::*;
        match self {
            Head => before.is_none(),
            Plan => before == Some(Head),
            Record => before == Some(Plan),
            Rows => matches!(before, Some(Record | Rows)),
            Letters | End => matches!(before, Some(Record | Rows | Letters)),
        }
    }
}

/// Appends frames to a new file.
pub struct FrameWriter {
    path: PathBuf,
    file: BufWriter<File>,
    seal: Seal,
    bytes: u64,
}

impl FrameWriter {
    /// Begins the file anew.
    pub fn create(path: &Path) -> Result<FrameWriter, BackupError> {
        let file = File::create(path).map_err(|error| failed(path, "created", error))?;
        let mut file = BufWriter::new(file);
        let preamble = preamble(FORMAT);
        file.write_all(&preamble).map_err(|error| failed(path, "written", error))?;
        Ok(FrameWriter { path: path.to_owned(), file, seal: first_seal(FORMAT), bytes: preamble.len() as u64 })
    }

    pub fn put(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), BackupError> {
        let too_long = |_| failed(&self.path, "written", io::Error::other("it holds 4 GiB in one piece"));
        let head = frame_head(kind, u32::try_from(payload.len()).map_err(too_long)?);
        self.seal = seal(self.seal, head, payload);
        for part in [&head[..], payload, &self.seal] {
            self.file.write_all(part).map_err(|error| failed(&self.path, "written", error))?;
            self.bytes += part.len() as u64;
        }
        Ok(())
    }

    /// How long the file is by now.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the file last.
    pub fn sync(self) -> Result<(), BackupError> {
        let written = self.file.into_inner().map_err(|error| error.into_error()).and_then(|file| file.sync_all());
        written.map_err(|error| failed(&self.path, "written", error))
    }
}

/// Reads frames, and believes none before it has compared its seal.
pub struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes of the file that were not read yet: no more is ever allocated than there is.
    left: u64,
    read: u64,
    seal: Seal,
    last: Option<FrameKind>,
}

impl FrameReader {
    pub fn open(path: &Path) -> Result<FrameReader, BackupError> {
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(path)?;
            let len = file.metadata()?.len();
            Ok((file, len))
        };
        let (file, left) = open().map_err(|error| failed(path, "read", error))?;
        let (path, file) = (path.to_owned(), BufReader::new(file));
        let mut reader = FrameReader { path, file, left, read: 0, seal: Seal::default(), last: None };
        let preamble: [u8; PREAMBLE_BYTES] = reader.array()?;
        let (magic, format) = preamble.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(reader.damaged("it does not begin like a backup"));
        }
        let found = u32::from_le_bytes(format.try_into().expect("four bytes are left"));
        if found > FORMAT {
            return Err(BackupError::NewerFormat { path: reader.path, found, known: FORMAT });
        }
        reader.seal = first_seal(found);
        Ok(reader)
    }

    /// The next frame; `None` after the last.
    pub fn next(&mut self) -> Result<Option<(FrameKind, Vec<u8>)>, BackupError> {
        if self.last == Some(FrameKind::End) {
            return if self.left == 0 { Ok(None) } else { Err(self.damaged("something follows its end")) };
        }
        let head: [u8; HEAD_BYTES] = self.array()?;
        let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let payload = self.bytes(u64::from(len))?;
        let found: Seal = self.array()?;
        self.seal = seal(self.seal, head, &payload);
        if found != self.seal {
            return Err(self.damaged("its checksums do not agree"));
        }
        match FrameKind::of(head[0]).filter(|kind| kind.may_follow(self.last)) {
            Some(kind) => {
                self.last = Some(kind);
                Ok(Some((kind, payload)))
            }
            None => Err(self.damaged("its parts are out of order")),
        }
    }

    /// How much of the file has been read.
    pub fn bytes_read(&self) -> u64 {
        self.read
    }

    pub fn damaged(&self, what: impl Into<String>) -> BackupError {
        let at = self.read;
        BackupError::Damaged { path: self.path.clone(), what: format!("{} (before byte {at})", what.into()) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BackupError> {
        let bytes = self.bytes(N as u64)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    fn bytes(&mut self, len: u64) -> Result<Vec<u8>, BackupError> {
        if len > self.left {
            return Err(self.damaged("it ends too early"));
        }
        let mut bytes = vec![0; len as usize];
        self.file.read_exact(&mut bytes).map_err(|error| failed(&self.path, "read", error))?;
        self.left -= len;
        self.read += len;
        Ok(bytes)
    }
}

fn preamble(format: u32) -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    let (magic, number) = bytes.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    number.copy_from_slice(&format.to_le_bytes());
    bytes
}

fn first_seal(format: u32) -> Seal {
    short(blake3::hash(&preamble(format)))
}

fn seal(before: Seal, head: [u8; HEAD_BYTES], payload: &[u8]) -> Seal {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before).update(&head).update(payload);
    short(hasher.finalize())
}

fn short(hash: blake3::Hash) -> Seal {
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

fn frame_head(kind: FrameKind, len: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = len.to_le_bytes();
    [kind as u8, a, b, c, d]
}

pub(super) fn failed(path: &Path, action: &'static str, source: io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), action, source }
}
