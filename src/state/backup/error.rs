//! Why a backup could not be written or read.

use std::io;
use std::path::PathBuf;

use crate::event::ProjectionName;
use crate::state::StoreError;

/// Why a backup could not be written or read. None of these leaves half a backup, or half a projection, behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    #[error("no projection `{0}` has state here")]
    NoState(ProjectionName),
    #[error("{} is there already and holds no backup of `{projection}` from this state directory: move it away, or name another directory", path.display())]
    Occupied { path: PathBuf, projection: ProjectionName },
    #[error("there is no backup of `{projection}` in {}", directory.display())]
    NoBackup { directory: PathBuf, projection: ProjectionName },
    #[error("{} is a backup of `{found}`, not of `{wanted}`", path.display())]
    OtherProjection { path: PathBuf, found: ProjectionName, wanted: ProjectionName },
    #[error("{} is of format {found}; this release reads up to {known}: use the release that wrote it, or a newer one", path.display())]
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    #[error("the backup {} is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the backup {} was changed while it was read", path.display())]
    Changed { path: PathBuf },
    #[error("{} could not be {action}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("this store knows `{0}` already: `projector drop {0}` removes what it knows, then it can be restored")]
    Known(ProjectionName),
    #[error("the backup was given up")]
    GivenUp,
    #[error(transparent)]
    Store(#[from] StoreError),
}
