//! A folder → an open database, after a look at what the database takes on trust.
//!
//! Every store of ours is one database. It guards its blocks and its journalled batches with checksums, but not the order of
//! the batches, nor that the journal is whole, nor the file that says which tables there are: a bit that flips there opens
//! as an older or another state. So before it is opened the [`manifest`] of each keyspace is compared with its checksum and
//! the [`journal`] walked from end to end; a batch that a crash left half-written is dropped, anything else is damage and
//! refused. Each batch carries the number of batches before it ([`number`]), so that none can change its place.
//!
//! Tables are not read here: their blocks are looked at when they are needed, and a damaged one is an error then.

mod journal;
mod manifest;

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};

use crate::state::StoreError;

/// In every keyspace that is looked for, after all its keys; under it one keyspace of each database keeps the number.
pub(crate) const MARKER: &[u8] = &[0xff];

/// Opens what lies in `path`, or makes it there when the folder is new.
///
/// Errors name the directory around the folder: it is what a person restores, or removes.
pub(crate) fn open<T>(path: &Path, open: impl FnOnce() -> fjall::Result<T>) -> Result<T, StoreError> {
    if path.exists() {
        look_for_keyspaces(path)?;
        manifest::check(path)?;
        journal::check(path)?;
    }
    // Its files have been looked at, but what no checksum finds may still break an assertion of the database.
    let opened =
        panic::catch_unwind(AssertUnwindSafe(open)).map_err(|_| damaged(path, "its files contradict each other"));
    opened?.map_err(|error| StoreError::opening(directory(path), error))
}

/// A batch that is synced when its commit returns, and knows its place. `keyspace` keeps the number.
pub(crate) fn batch(db: &Database, keyspace: &Keyspace, entries: usize) -> OwnedWriteBatch {
    let mut batch = OwnedWriteBatch::with_capacity(db.clone(), entries + 1).durability(Some(PersistMode::SyncAll));
    // What the database will number it with, or less: its own work takes numbers too.
    batch.insert(keyspace, MARKER, db.seqno().to_be_bytes());
    batch
}

/// Refuses a database that lacks the file in which a keyspace says what belongs to it: opened, it would begin that keyspace
/// anew and tidy up the others.
fn look_for_keyspaces(path: &Path) -> Result<(), StoreError> {
    let read = |cause| unread(path, cause);
    let keyspaces = match fs::read_dir(path.join(KEYSPACES)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(path, "it has no keyspaces")),
        keyspaces => keyspaces.map_err(read)?,
    };
    for keyspace in keyspaces {
        let current = keyspace.map_err(read)?.path().join(manifest::CURRENT);
        if fs::metadata(&current).map_or(true, |file| file.len() == 0) {
            return Err(damaged(path, &format!("{} is missing or empty", current.display())));
        }
    }
    Ok(())
}

/// Where the database keeps its keyspaces.
const KEYSPACES: &str = "keyspaces";

fn damaged(database: &Path, what: &str) -> StoreError {
    StoreError::Damaged { path: directory(database).to_owned(), what: what.to_owned() }
}

fn unread(database: &Path, cause: io::Error) -> StoreError {
    StoreError::Io { path: directory(database).to_owned(), action: "read", cause }
}

/// The directory that a database belongs to.
fn directory(database: &Path) -> &Path {
    database.parent().unwrap_or(database)
}
