//! Why a configuration cannot be used.

use std::path::PathBuf;

/// Why a configuration cannot be used. No variant carries a value that came from a variable or a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("no projector.toml in {} or in a folder above the given paths: `projector new DIR` makes a project that has one, `--config FILE` names one", searched.display())]
    NotFound { searched: PathBuf },
    #[error("{} cannot be read", file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    /// Something in the file, at a line.
    #[error("{}:{line}: {what}", file.display())]
    Wrong { file: PathBuf, line: u32, what: String },
    /// Something the file does not have.
    #[error("{}: {what}", file.display())]
    Missing { file: PathBuf, what: String },
}
