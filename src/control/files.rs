//! Paths on disk → the `.proj` files below them, read and parsed.

use std::io;
use std::path::{Path, PathBuf};

use crate::language::files::{LoadError, Loaded, load};

/// A path that gives no program.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("{} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("there is no .proj file in {}", path.display())]
    NoFiles { path: PathBuf },
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Reads the files that are named, those below the folders that are named, and what they import.
pub fn read(paths: &[PathBuf]) -> Result<Loaded, FilesError> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(projection_files(path)?);
    }
    Ok(load(&files, &|path: &Path| std::fs::read(path))?)
}

/// The `.proj` files below a folder, sorted by path, hidden ones left out; a file is itself.
fn projection_files(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| FilesError::Unreadable { path, source }
    };
    if !std::fs::metadata(path).map_err(unreadable(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let entry = entry.map_err(unreadable(&folder))?;
            let path = entry.path();
            // A link to a folder is not followed: it may lead in a circle.
            let kind = entry.file_type().map_err(unreadable(&path))?;
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            match kind.is_dir() {
                _ if hidden => {}
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "proj") => found.push(path),
                false => {}
            }
        }
    }
    if found.is_empty() {
        return Err(FilesError::NoFiles { path: path.to_owned() });
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_a_folder_come_sorted_and_visible() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.proj", "a/c.proj", ".git/d.proj", "a/notes.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            std::fs::write(path, "").expect("a file");
        }
        let found = projection_files(folder.path()).expect("there are files");
        assert_eq!(found, [folder.path().join("a/c.proj"), folder.path().join("b.proj")]);
        let empty = projection_files(&folder.path().join(".git/none"));
        assert!(matches!(empty, Err(FilesError::Unreadable { .. })));
        std::fs::remove_file(folder.path().join("a/c.proj")).expect("removed");
        assert!(matches!(projection_files(&folder.path().join("a")), Err(FilesError::NoFiles { .. })));
    }
}
