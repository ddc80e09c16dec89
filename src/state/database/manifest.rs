//! The manifests of a database, which say which tables a keyspace has → whether they are as they were written.
//!
//! A keyspace's file `current` holds the number of its manifest and the checksum of that file, which the database writes and
//! does not read again.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use crate::state::StoreError;
use crate::state::database::{KEYSPACES, damaged, unread};

/// Names the manifest of a keyspace: its number, its checksum, and how that is reckoned; numbers in little endian.
pub const CURRENT: &str = "current";
/// The one way to reckon a checksum.
const XXH3: u8 = 0;

/// Refuses a database with a manifest that is not what was written.
pub fn check(database: &Path) -> Result<(), StoreError> {
    let unread = |cause| unread(database, cause);
    for keyspace in fs::read_dir(database.join(KEYSPACES)).map_err(unread)? {
        let keyspace = keyspace.map_err(unread)?.path();
        if !is_whole(&keyspace).map_err(unread)? {
            let what = format!("the list of tables in {} is not what was written", keyspace.display());
            return Err(damaged(database, &what));
        }
    }
    Ok(())
}

fn is_whole(keyspace: &Path) -> io::Result<bool> {
    let current = fs::read(keyspace.join(CURRENT))?;
    let Some((number, rest)) = current.split_first_chunk() else { return Ok(false) };
    let Some((checksum, [XXH3])) = rest.split_first_chunk() else { return Ok(false) };
    match fs::read(keyspace.join(format!("v{}", u64::from_le_bytes(*number)))) {
        Ok(manifest) => Ok(xxh3_128(&manifest) == u128::from_le_bytes(*checksum)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
