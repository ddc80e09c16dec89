//! Why state could not be read or written, and what to do about it.
//!
//! These texts are kept as text, in statuses and outcomes, so each names its cause itself.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::event::ProjectionName;

/// Why state could not be read or written. None of these leaves half a checkpoint behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("another process{} uses the directory {}", process(*pid), path.display())]
    Locked {
        path: PathBuf,
        /// The other process, when its number could be read.
        pid: Option<u32>,
    },
    #[error("the directory {} is of format {found}; this release reads up to {known}: use the release that wrote it, or a newer one", path.display())]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error(
        "the directory {} is damaged: {what}; restore it from a backup, or remove it to have it built anew from the log",
        path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("the directory {} could not be {action}: {cause}; {}", path.display(), advice(cause))]
    Io { path: PathBuf, action: &'static str, cause: io::Error },
    #[error("the database in {} could not be {action}: {cause}; a restart looks whether it is damaged", path.display())]
    Database {
        path: PathBuf,
        action: &'static str,
        /// What the database says.
        cause: String,
    },
    /// What failed first. What is on disk after a failed write, only a start finds out.
    #[error("nothing more is written: {reason}")]
    Poisoned { reason: String },
    /// A broken invariant of the caller: nothing of the round was written.
    #[error("a checkpoint of `{projection}` is out of order: {what}")]
    OutOfOrder { projection: ProjectionName, what: String },
    #[error("no more versions: the 24 bits of the epoch are used up")]
    EpochsUsedUp,
}

impl StoreError {
    /// What the database says when it cannot be opened.
    pub(crate) fn opening(path: &Path, error: fjall::Error) -> StoreError {
        let path = path.to_owned();
        match refusal_of_the_disk(&error) {
            _ if matches!(error, fjall::Error::Locked) => StoreError::Locked { path, pid: None },
            Some(cause) => StoreError::Io { path, action: "opened", cause },
            None => StoreError::Damaged { path, what: error.to_string() },
        }
    }

    /// What the database says when it cannot be read or written.
    pub(crate) fn database(path: &Path, action: &'static str, error: fjall::Error) -> StoreError {
        let path = path.to_owned();
        match refusal_of_the_disk(&error) {
            Some(cause) => StoreError::Io { path, action, cause },
            None if action == "read" => StoreError::Damaged { path, what: error.to_string() },
            None => StoreError::Database { path, action, cause: error.to_string() },
        }
    }
}

/// The error of the operating system beneath an error of the database, unless it says that a file is missing or short: that
/// is damage.
fn refusal_of_the_disk(error: &(dyn Error + 'static)) -> Option<io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return Some(io::Error::from_raw_os_error(code)).filter(|error| error.kind() != io::ErrorKind::NotFound);
        }
        cause = error.source();
    }
    None
}

/// What to do when the disk refuses.
fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there and start again",
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "make it writable and start again",
        _ => "look after the disk and start again",
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
