//! A snapshot → a backup file, frame by frame: no more than a frame is in memory, and nobody waits for it.
//!
//! The snapshot does not change while it is written out, however far the projection goes on meanwhile.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use crate::event::{EventTime, Generation, ProjectionName};
use crate::state::backup::entry;
use crate::state::backup::frame::{FrameKind, FrameWriter, failed};
use crate::state::backup::reader::Backup;
use crate::state::backup::{BackupCounts, BackupError, BackupFile, BackupHead, BackupMark, EXTENSION, Watch};
use crate::state::directory::sync_directory;
use crate::state::record::ProjectionRecord;
use crate::state::{ProjectionState, Snapshot, StoreIdentity};

/// A frame is closed when it has grown to this; one that ends in a large row or letter is larger.
const FRAME_BYTES: usize = 1 << 20;
/// How many dead letters are read at a time: each may be as large as a record of the log.
const LETTERS_PAGE: usize = 16;

/// What is to be written.
pub struct BackupRequest<'a> {
    pub projection: &'a ProjectionName,
    pub snapshot: &'a dyn Snapshot,
    /// The store of the snapshot.
    pub store: StoreIdentity,
    pub now: EventTime,
    /// Made when it is not there.
    pub directory: &'a Path,
}

/// Writes the backup `NAME-VERSION.backup`. `watch` hears how far it is after each frame, and may break it off.
///
/// A backup of the same checkpoint is replaced; anything else that bears the name is left alone. At most one backup of a
/// projection may be written from a store at a time.
pub fn write(request: BackupRequest<'_>, watch: Watch<'_>) -> Result<BackupFile, BackupError> {
    let BackupRequest { projection, snapshot, store, now, directory } = request;
    let state = snapshot.projection(projection)?.ok_or_else(|| BackupError::NoState(projection.clone()))?;
    let head = BackupHead {
        projection: projection.clone(),
        store: store.id,
        mark: BackupMark { made_at: now, version: state.version },
        release: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let path = directory.join(format!("{projection}-{}.{EXTENSION}", state.version));
    fs::create_dir_all(directory).map_err(|error| failed(directory, "created", error))?;
    refuse_if_occupied(&path, &head)?;
    // One name for each store and projection: what a crash left is written over by the next backup.
    let new = directory.join(format!("{projection}-{:016x}.{EXTENSION}.new", store.place.0));
    let written = write_file(&new, &head, state, snapshot, watch).and_then(|counts| {
        fs::rename(&new, &path).map_err(|error| failed(&path, "written", error))?;
        sync_directory(directory).map_err(|error| failed(directory, "written", error))?;
        Ok(BackupFile { path, head, counts })
    });
    written.inspect_err(|_| {
        let _ = fs::remove_file(&new); // what cannot be removed is written over by the next one
    })
}

/// Refuses to write over what is not an older copy of the same.
fn refuse_if_occupied(path: &Path, head: &BackupHead) -> Result<(), BackupError> {
    let occupied = || BackupError::Occupied { path: path.to_owned(), projection: head.projection.clone() };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(path, "read", error)),
        Ok(found) if !found.is_file() => return Err(occupied()),
        Ok(_) => {}
    }
    let found = Backup::open(path).map_err(|_| occupied())?;
    let same = (&found.head().projection, found.head().store) == (&head.projection, head.store);
    if same { Ok(()) } else { Err(occupied()) }
}

fn write_file(
    path: &Path,
    head: &BackupHead,
    state: ProjectionState,
    snapshot: &dyn Snapshot,
    watch: Watch<'_>,
) -> Result<BackupCounts, BackupError> {
    let mut backup = Growing { file: FrameWriter::create(path)?, counts: BackupCounts::default(), watch };
    backup.put(FrameKind::Head, &entry::put_head(head))?;
    backup.put(FrameKind::Plan, &entry::put_plan(&state.plan))?;
    let generation = state.generation;
    // What only a store knows of a projection, its lists and numbers, another one finds anew.
    let record = ProjectionRecord { listed_after: state.version, unlisted_tombstones: None, dead_letters: 0, state };
    backup.put(FrameKind::Record, &entry::put_record(&record))?;
    backup.put_rows(snapshot, generation)?;
    backup.put_letters(snapshot, &head.projection)?;
    let end = entry::put_end(backup.counts);
    backup.put(FrameKind::End, &end)?;
    let counts = backup.counts;
    backup.file.sync()?;
    Ok(counts)
}

/// A backup that grows by frames.
struct Growing<'a> {
    file: FrameWriter,
    counts: BackupCounts,
    watch: Watch<'a>,
}

impl Growing<'_> {
    fn put(&mut self, kind: FrameKind, payload: &[u8]) -> Result<(), BackupError> {
        self.file.put(kind, payload)?;
        self.counts.bytes = self.file.bytes();
        match (self.watch)(self.counts) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(BackupError::GivenUp),
        }
    }

    fn put_rows(&mut self, snapshot: &dyn Snapshot, generation: Generation) -> Result<(), BackupError> {
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        let mut failure = None;
        snapshot.rows(generation, "", None, &mut |key, row| {
            entry::put_row(&mut frame, key, &row);
            match row.row {
                Some(_) => self.counts.rows += 1,
                None => self.counts.tombstones += 1,
            }
            if frame.len() < FRAME_BYTES {
                return ControlFlow::Continue(());
            }
            failure = self.put(FrameKind::Rows, &frame).err();
            frame.clear();
            if failure.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        match failure {
            Some(error) => Err(error),
            None if frame.is_empty() => Ok(()),
            None => self.put(FrameKind::Rows, &frame),
        }
    }

    fn put_letters(&mut self, snapshot: &dyn Snapshot, projection: &ProjectionName) -> Result<(), BackupError> {
        let (mut frame, mut after) = (Vec::new(), 0);
        loop {
            let letters = snapshot.dead_letters(projection, after, LETTERS_PAGE)?;
            for (number, letter) in &letters {
                entry::put_numbered_letter(&mut frame, *number, letter);
                self.counts.dead_letters += 1;
                after = *number;
            }
            if frame.len() >= FRAME_BYTES || (letters.is_empty() && !frame.is_empty()) {
                self.put(FrameKind::Letters, &frame)?;
                frame.clear();
            }
            if letters.is_empty() {
                return Ok(());
            }
        }
    }
}
