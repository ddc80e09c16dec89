//! How often projections were started, kept beside the database as well as in it.
//!
//! A database whose journal was cut off or lost opens as if what it held had never been: an older one, or a new one. The
//! count in the file `STARTS` is written after the checkpoint that begins an epoch is synced, so a database that counts less
//! has lost something, and is refused. It does not see what was lost since the last start.

use std::fs;
use std::io;
use std::path::Path;

use crate::state::StoreError;
use crate::state::directory::{unseal, write_file};

const STARTS: &str = "STARTS";

/// How many starts the directory has seen; 0 when it says nothing.
pub fn read(directory: &Path) -> Result<u64, StoreError> {
    let text = match fs::read(directory.join(STARTS)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(StoreError::Io { path: directory.to_owned(), action: "read", cause: error }),
    };
    let starts = unseal(&text).and_then(|text| text.strip_suffix('\n')?.parse().ok());
    starts.ok_or_else(|| damaged(directory, format!("its `{STARTS}` file is not what was written")))
}

/// Remembers that a start was synced.
pub fn write(directory: &Path, starts: u64) -> Result<(), StoreError> {
    write_file(directory, STARTS, &format!("{starts}\n"))
}

/// Refuses a database that knows of fewer starts than the directory.
pub fn compare(directory: &Path, starts: u64) -> Result<(), StoreError> {
    let seen = read(directory)?;
    if starts >= seen {
        return Ok(());
    }
    let what = format!("its database knows of {starts} starts and the directory has seen {seen}: part of it was lost");
    Err(damaged(directory, what))
}

fn damaged(directory: &Path, what: String) -> StoreError {
    StoreError::Damaged { path: directory.to_owned(), what }
}
