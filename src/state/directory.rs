//! A path → a directory that is ours: created once, locked, of a known format, with an identity.
//!
//! The file `FORMAT` says what the directory holds, in which format, and the random id it was given when it was made; it is
//! written whole (new file, sync, rename, sync of the directory) before anything else, with its checksum as the last line.
//! What cannot be understood is refused and left as it is. What lies beside `FORMAT` and `LOCK` is the owner's.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::state::StoreError;

/// Names a directory among all that were ever made; a copy has the id of its original.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Tells a directory from its copies, which have the same id: where its lock lies on which disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(pub u64);

/// What a directory is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents {
    /// The first words of its `FORMAT` file.
    pub kind: &'static str,
    /// The format this release writes; it reads this one and older ones.
    pub format: u32,
    /// The folder that must not be there before `FORMAT` is.
    pub folder: &'static str,
}

/// A directory that belongs to this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Directory {
    pub id: StoreId,
    pub place: Place,
    /// Held, never read: the lock goes with the file.
    _lock: File,
}

const FORMAT: &str = "FORMAT";
const LOCK: &str = "LOCK";

impl Directory {
    /// Opens the directory, or makes it when it is not there or holds nothing of ours.
    pub fn open(path: &Path, contents: Contents) -> Result<Directory, StoreError> {
        // ORDER: looked at before anything is touched, so that a newer release finds its directory as it left it; and again
        // under the lock, since another process may just have made it.
        read_format(path, contents)?;
        fs::create_dir_all(path).map_err(|error| failed(path, "created", error))?;
        let lock = lock(path)?;
        let place = place(&lock).map_err(|error| failed(path, "read", error))?;
        let id = match read_format(path, contents)? {
            Some(id) => id,
            None => create_format(path, contents)?,
        };
        Ok(Directory { id, place, _lock: lock })
    }
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK));
    let mut file = open.map_err(|error| failed(path, "locked", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only for the message: a number that cannot be read is left out.
            let _ = file.read_to_string(&mut holder);
            return Err(StoreError::Locked { path: path.to_owned(), pid: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(error)) => return Err(failed(path, "locked", error)),
    }
    let mut write_pid = || -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write_pid().map_err(|error| failed(path, "locked", error))?;
    Ok(file)
}

fn place(lock: &File) -> io::Result<Place> {
    let lock = lock.metadata()?;
    let hash = blake3::hash(&[lock.dev().to_le_bytes(), lock.ino().to_le_bytes()].concat());
    let short = hash.as_bytes().first_chunk().copied();
    Ok(Place(u64::from_le_bytes(short.expect("a hash has 32 bytes"))))
}

fn read_format(path: &Path, contents: Contents) -> Result<Option<StoreId>, StoreError> {
    let bytes = match fs::read(path.join(FORMAT)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let orphaned = path.join(contents.folder).exists();
            let what = || format!("it holds `{}` but no `{FORMAT}` file", contents.folder);
            return if orphaned { Err(damaged(path, what())) } else { Ok(None) };
        }
        Err(error) => return Err(failed(path, "read", error)),
    };
    parse_format(&bytes, contents).map(Some).map_err(|trouble| match trouble {
        Trouble::Newer(found) => StoreError::NewerFormat { path: path.to_owned(), found, known: contents.format },
        Trouble::Damaged(what) => damaged(path, what),
    })
}

enum Trouble {
    Newer(u32),
    Damaged(String),
}

/// Three lines: the kind, `format N`, `id HEX`; then the checksum. Of a newer format only the first two are known.
fn parse_format(bytes: &[u8], contents: Contents) -> Result<StoreId, Trouble> {
    let damaged = |what: &str| Trouble::Damaged(format!("its `{FORMAT}` file {what}"));
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("is not text"))?;
    let mut lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n').ok_or(damaged("is cut off")));
    let mut next = || lines.next().unwrap_or_else(|| Err(damaged("is cut off")));
    if next()? != contents.kind {
        return Err(damaged(&format!("does not say `{}`", contents.kind)));
    }
    let format = next()?.strip_prefix("format ").and_then(|number| number.parse().ok());
    match format.ok_or_else(|| damaged("has no format number"))? {
        newer if newer > contents.format => return Err(Trouble::Newer(newer)),
        0 => return Err(damaged("has no format number")),
        _ => {}
    }
    if unseal(text).is_none() {
        return Err(damaged("is not what was written"));
    }
    let id = next()?.strip_prefix("id ").filter(|id| id.len() == 32).and_then(|id| u128::from_str_radix(id, 16).ok());
    id.map(StoreId).ok_or_else(|| damaged("has no id"))
}

fn create_format(path: &Path, contents: Contents) -> Result<StoreId, StoreError> {
    let id = StoreId(random_id());
    let sync_parent = || -> io::Result<()> {
        // The directory itself may be as new as the file.
        path.canonicalize()?.parent().map_or(Ok(()), sync_directory)
    };
    write_file(path, FORMAT, &format!("{}\nformat {}\nid {id}\n", contents.kind, contents.format))?;
    sync_parent().map_err(|error| failed(path, "created", error))?;
    Ok(id)
}

/// A text with a last line that holds its checksum.
pub(crate) fn seal(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    format!("{text}sum {}\n", &hash[..16])
}

/// The text that was sealed, if this is it.
pub(crate) fn unseal(sealed: &str) -> Option<&str> {
    let text = &sealed[..sealed.strip_suffix('\n')?.rfind('\n')? + 1];
    (seal(text) == sealed).then_some(text)
}

/// Writes a file whole or not at all, sealed, and so that it lasts.
pub(crate) fn write_file(path: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let write = || -> io::Result<()> {
        let new = path.join(format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(seal(text).as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path.join(name))?;
        sync_directory(path)
    };
    write().map_err(|error| failed(path, "written", error))
}

/// Makes a folder whole or not at all: `build` makes it beside its place, then it is renamed into it.
pub(crate) fn make_folder(
    path: &Path,
    folder: &str,
    build: impl FnOnce(&Path) -> Result<(), StoreError>,
) -> Result<PathBuf, StoreError> {
    let place = path.join(folder);
    if place.exists() {
        return Ok(place);
    }
    let new = path.join(format!("{folder}.new"));
    if new.exists() {
        fs::remove_dir_all(&new).map_err(|error| failed(path, "created", error))?;
    }
    build(&new)?;
    let rename = fs::rename(&new, &place).and_then(|()| sync_directory(path));
    rename.map_err(|error| failed(path, "created", error))?;
    Ok(place)
}

/// Makes renames and new files in a directory last.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// 128 bits from the randomness the standard library seeds its hash maps with, the time, and the process.
pub(crate) fn random_id() -> u128 {
    let mut seed = blake3::Hasher::new();
    for salt in 0..4u8 {
        seed.update(&RandomState::new().hash_one(salt).to_le_bytes());
    }
    seed.update(format!("{:?} {}", SystemTime::now(), std::process::id()).as_bytes());
    let id = seed.finalize().as_bytes().first_chunk().copied();
    u128::from_le_bytes(id.expect("a hash has 32 bytes"))
}

fn damaged(path: &Path, what: String) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what }
}

fn failed(path: &Path, action: &'static str, cause: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), action, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: Contents = Contents { kind: "projector state", format: 2, folder: "rows" };

    fn entries(path: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn a_directory_keeps_its_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = Directory::open(&path, CONTENTS).unwrap().id;
        assert_eq!(Directory::open(&path, CONTENTS).unwrap().id, first);
        let other = Directory::open(&dir.path().join("c"), CONTENTS).unwrap().id;
        assert_ne!(first, other);
    }

    #[test]
    fn an_open_directory_is_refused_by_name_and_process() {
        let dir = tempfile::tempdir().unwrap();
        let held = Directory::open(dir.path(), CONTENTS).unwrap();
        let error = Directory::open(dir.path(), CONTENTS).unwrap_err();
        let pid = std::process::id();
        assert_eq!(
            error.to_string(),
            format!("another process (pid {pid}) uses the directory {}", dir.path().display())
        );
        drop(held);
        Directory::open(dir.path(), CONTENTS).unwrap();
    }

    #[test]
    fn an_older_format_is_read_and_a_newer_one_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FORMAT);
        fs::write(&path, seal(&format!("projector state\nformat 1\nid {:032x}\n", 7))).unwrap();
        assert_eq!(Directory::open(dir.path(), CONTENTS).unwrap().id, StoreId(7));
        fs::remove_file(dir.path().join(LOCK)).unwrap();

        fs::write(&path, "projector state\nformat 3\nwhat may come\n").unwrap();
        let before = entries(dir.path());
        let error = Directory::open(dir.path(), CONTENTS).unwrap_err();
        assert!(matches!(error, StoreError::NewerFormat { found: 3, known: 2, .. }), "{error}");
        assert_eq!(entries(dir.path()), before);
    }

    #[test]
    fn a_broken_format_is_damage_and_left_alone() {
        let whole = seal(&format!("projector state\nformat 2\nid {:032x}\n", 7)).into_bytes();
        let dir = tempfile::tempdir().unwrap();
        let garbage =
            [&b"\xff\xfe"[..], b"projector documents\nformat 2\nid 0\n", b"projector state\nformat 0\nid 0\n"];
        for broken in (0..whole.len()).map(|len| &whole[..len]).chain(garbage) {
            fs::write(dir.path().join(FORMAT), broken).unwrap();
            let error = Directory::open(dir.path(), CONTENTS).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
            assert_eq!(entries(dir.path()), [(FORMAT.to_owned(), broken.to_vec())]);
        }
    }

    #[test]
    fn no_bit_of_a_format_may_flip() {
        let whole = seal(&format!("projector state\nformat 2\nid {:032x}\n", 7)).into_bytes();
        let dir = tempfile::tempdir().unwrap();
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.path().join(FORMAT), flipped).unwrap();
            let opened = Directory::open(dir.path(), CONTENTS);
            assert!(matches!(opened, Err(StoreError::Damaged { .. } | StoreError::NewerFormat { .. })), "{opened:?}");
        }
    }

    #[test]
    fn contents_without_a_format_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rows")).unwrap();
        let error = Directory::open(dir.path(), CONTENTS).unwrap_err();
        assert!(error.to_string().contains("it holds `rows` but no `FORMAT` file;"), "{error}");
    }

    #[test]
    fn a_half_made_directory_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("FORMAT.new"), "projector st").unwrap();
        Directory::open(dir.path(), CONTENTS).unwrap();
        assert!(!dir.path().join("FORMAT.new").exists());
    }
}
