//! Where the configuration lies: `--config`, else the current folder, else the folders above the given paths.

use std::path::{Path, PathBuf};

use crate::control::config::ConfigError;

const NAME: &str = "projector.toml";

/// Finds the file. A file that is named must exist only by the time it is read.
pub(super) fn find(named: Option<&Path>, paths: &[PathBuf]) -> Result<PathBuf, ConfigError> {
    if let Some(file) = named {
        return Ok(file.to_owned());
    }
    if Path::new(NAME).is_file() {
        return Ok(NAME.into());
    }
    let here = std::env::current_dir().unwrap_or_default();
    // Without a path, `status` and the like are asked from somewhere inside a project.
    let places = if paths.is_empty() { std::slice::from_ref(&here) } else { paths };
    let above = |path: &PathBuf| {
        let path = path.canonicalize().unwrap_or_else(|_| here.join(path));
        path.ancestors().map(|folder| folder.join(NAME)).find(|file| file.is_file())
    };
    places.iter().find_map(above).ok_or(ConfigError::NotFound { searched: here })
}
