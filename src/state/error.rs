//! Why state could not be read or written.

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
    #[error("the directory {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the directory {} could not be {action}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("the database in {} could not be {action}", path.display())]
    Database {
        path: PathBuf,
        action: &'static str,
        /// The database's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("a checkpoint could not be written: {reason}; nothing more is written until a restart")]
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
        match error {
            fjall::Error::Io(source) => StoreError::Io { path, action: "opened", source },
            fjall::Error::Locked => StoreError::Locked { path, pid: None },
            other => StoreError::Damaged { path, what: other.to_string() },
        }
    }

    /// What the database says when it cannot be read or written.
    pub(crate) fn database(path: &Path, action: &'static str, error: fjall::Error) -> StoreError {
        StoreError::Database { path: path.to_owned(), action, source: Box::new(error) }
    }
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}
