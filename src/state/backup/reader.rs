//! A backup file → its parts; and the file that is meant by a folder.
//!
//! A file is read twice: whole, to compare all its checksums and counts, and again to hand out what it holds. Both ways each
//! part is decoded and held against what came before it, so that what was checked is what can be handed out.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::ProjectionName;
use crate::state::backup::entry;
use crate::state::backup::frame::{FrameKind, FrameReader, failed};
use crate::state::backup::{BackupCounts, BackupError, BackupFile, BackupHead, EXTENSION, Watch};
use crate::state::bytes::BytesError;
use crate::state::{DeadLetter, ProjectionState, StoredRow};

/// A piece of a backup, in the order in which they come.
#[derive(Debug)]
pub(in crate::state) enum Part {
    /// As it was in the store it was made from: each store numbers its generations by itself.
    State(Box<ProjectionState>),
    /// In key order.
    Rows(Vec<(Arc<str>, StoredRow)>),
    /// With their numbers, oldest first.
    Letters(Vec<(u64, DeadLetter)>),
}

/// A backup that is being read.
pub struct Backup {
    path: PathBuf,
    head: BackupHead,
    frames: FrameReader,
    plan: Option<crate::state::PlanRecord>,
    counts: BackupCounts,
    /// Keys and numbers only rise.
    last_key: Option<Arc<str>>,
    last_letter: u64,
}

/// The backup of a projection that a path means: the file itself, or the newest one in a folder.
pub fn find(source: &Path, projection: &ProjectionName) -> Result<PathBuf, BackupError> {
    let read = |error| failed(source, "read", error);
    if !fs::metadata(source).map_err(read)?.is_dir() {
        return Ok(source.to_owned());
    }
    let mut newest = None;
    for entry in fs::read_dir(source).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let begins = path.file_stem().and_then(|stem| stem.to_str()?.strip_prefix(&*projection.0)?.strip_prefix('-'));
        if begins.is_none() || path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        // One that cannot be read may be the newest: whoever wants an older one names it.
        let head = Backup::open(&path)?.head;
        if head.projection == *projection {
            newest = newest.max(Some((head.mark.made_at, head.mark.version, path)));
        }
    }
    let none = || BackupError::NoBackup { directory: source.to_owned(), projection: projection.clone() };
    newest.map(|(_, _, path)| path).ok_or_else(none)
}

/// Reads a backup whole, and refuses one that is damaged or of another projection.
pub fn check(path: &Path, projection: &ProjectionName, watch: Watch<'_>) -> Result<BackupFile, BackupError> {
    let mut backup = Backup::open(path)?;
    if backup.head.projection != *projection {
        let (found, wanted) = (backup.head.projection, projection.clone());
        return Err(BackupError::OtherProjection { path: path.to_owned(), found, wanted });
    }
    while backup.next_part()?.is_some() {
        if watch(backup.counts()).is_break() {
            return Err(BackupError::GivenUp);
        }
    }
    Ok(BackupFile { counts: backup.counts(), path: backup.path, head: backup.head })
}

impl Backup {
    /// Opens a backup and reads what it says of itself.
    pub fn open(path: &Path) -> Result<Backup, BackupError> {
        let mut frames = FrameReader::open(path)?;
        let (_, head) = frames.next()?.expect("an end is no first frame");
        let head = entry::read_head(&head).map_err(|error| frames.damaged(format!("of its head, {error}")))?;
        let counts = BackupCounts::default();
        Ok(Backup { path: path.to_owned(), head, frames, plan: None, counts, last_key: None, last_letter: 0 })
    }

    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// How much of it has been read.
    pub fn counts(&self) -> BackupCounts {
        BackupCounts { bytes: self.frames.bytes_read(), ..self.counts }
    }

    /// The next piece; `None` once all of it has been read and the counts at its end agree.
    pub(in crate::state) fn next_part(&mut self) -> Result<Option<Part>, BackupError> {
        while let Some((kind, payload)) = self.frames.next()? {
            let part = self.part(kind, &payload);
            let part = part.map_err(|error| self.frames.damaged(format!("of its {}, {error}", name(kind))))?;
            if part.is_some() {
                return Ok(part);
            }
        }
        Ok(None)
    }

    fn part(&mut self, kind: FrameKind, payload: &[u8]) -> Result<Option<Part>, BytesError> {
        match kind {
            FrameKind::Head => return Err(BytesError::Value("second head")),
            FrameKind::Plan => self.plan = Some(entry::read_plan(payload)?),
            FrameKind::Record => {
                let plan = self.plan.take().ok_or(BytesError::Value("record without a plan"))?;
                let state = entry::read_record(payload, plan)?.state;
                if state.version != self.head.mark.version {
                    return Err(BytesError::Value("version"));
                }
                return Ok(Some(Part::State(Box::new(state))));
            }
            FrameKind::Rows => return self.rows(payload).map(|rows| Some(Part::Rows(rows))),
            FrameKind::Letters => return self.letters(payload).map(|letters| Some(Part::Letters(letters))),
            FrameKind::End => entry::read_end(payload, self.counts)?,
        }
        Ok(None)
    }

    fn rows(&mut self, payload: &[u8]) -> Result<Vec<(Arc<str>, StoredRow)>, BytesError> {
        let rows = entry::read_rows(payload)?;
        for (key, row) in &rows {
            if self.last_key.as_ref().is_some_and(|last| last >= key) {
                return Err(BytesError::Value("key out of order"));
            }
            if row.changed > self.head.mark.version {
                return Err(BytesError::Value("version"));
            }
            match row.row {
                Some(_) => self.counts.rows += 1,
                None => self.counts.tombstones += 1,
            }
            self.last_key = Some(key.clone());
        }
        Ok(rows)
    }

    fn letters(&mut self, payload: &[u8]) -> Result<Vec<(u64, DeadLetter)>, BytesError> {
        let letters = entry::read_letters(payload)?;
        for (number, _) in &letters {
            if *number <= self.last_letter {
                return Err(BytesError::Value("number out of order"));
            }
            self.last_letter = *number;
            self.counts.dead_letters += 1;
        }
        Ok(letters)
    }
}

fn name(kind: FrameKind) -> &'static str {
    match kind {
        FrameKind::Head => "head",
        FrameKind::Plan => "program",
        FrameKind::Record => "record",
        FrameKind::Rows => "rows",
        FrameKind::Letters => "dead letters",
        FrameKind::End => "end",
    }
}
