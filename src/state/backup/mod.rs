//! One projection's synced state → a file that a store can be given again, and back.
//!
//! A backup is a single file: what a snapshot shows of the projection (program, next offsets, counters, what sinks have
//! settled, every row with the version that changed it, tombstones, dead letters), in frames of which each is sealed with
//! all before it. It is written beside its place, synced, and renamed, so that what bears its final name is whole; and it
//! is read whole once before a store is given any of it. `frame` and `entry` are the layout, `writer` turns a
//! snapshot into a file, `reader` checks a file and hands out its parts; putting them into a store is the store's business.
//!
//! It holds no documents: a run after a restore writes those anew from the rows. It knows nothing of who asks, or when.

mod entry;
mod error;
mod frame;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::event::{EventTime, ProjectionName, Version};
use crate::state::StoreId;

pub use error::BackupError;
pub use reader::{Backup, check, find};
pub use writer::{BackupRequest, write};

pub(in crate::state) use reader::Part;

/// What the names of backups end with.
pub const EXTENSION: &str = "backup";

/// The last backup of a projection, as its store remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupMark {
    /// When it was begun, by the clock of the machine.
    pub made_at: EventTime,
    /// The checkpoint it holds.
    pub version: Version,
}

/// What a backup says of itself at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupHead {
    pub projection: ProjectionName,
    /// The store it was made from.
    pub store: StoreId,
    pub mark: BackupMark,
    /// The release that wrote it.
    pub release: String,
}

/// How much of a backup has been written or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupCounts {
    /// Rows that are there.
    pub rows: u64,
    /// Rows that were deleted and that some sink still has to delete.
    pub tombstones: u64,
    pub dead_letters: u64,
    /// Of the file.
    pub bytes: u64,
}

/// Hears how far a backup is after each of its frames, and may break it off.
pub type Watch<'a> = &'a mut dyn FnMut(BackupCounts) -> ControlFlow<()>;

/// A backup that is whole, under its final name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    pub path: PathBuf,
    pub head: BackupHead,
    pub counts: BackupCounts,
}
