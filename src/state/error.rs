//! Why state could not be read or written.

use std::path::PathBuf;

/// Why state could not be read or written. None of these leaves half a checkpoint behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    #[error("another process uses the state directory {}", path.display())]
    Locked { path: PathBuf },
    #[error("the state directory {} is of format {found}; this release reads up to {known}: use the release that wrote it, or a newer one", path.display())]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error("the state directory {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the state directory {} could not be {action}", path.display())]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("a checkpoint could not be written: {reason}; nothing more is written until a restart")]
    Poisoned { reason: String },
    #[error("no more versions: the 24 bits of the epoch are used up")]
    EpochsUsedUp,
}
