//! `projector restore NAME SOURCE`: the state of a projection, from a backup.

use std::path::PathBuf;

use crate::cli::{Exit, Failure, Global};
use crate::control::backup::restore;

/// What `--help` says below the arguments.
const HELP: &str = "\
Works while no engine runs, and into a state directory that does not know the projection
(`projector drop NAME` makes it forget). The backup is read whole and its checksums are compared
before anything is written; broken off, nothing has been restored, and it can be repeated.

The next run goes on from the offsets of the backup: it folds again what the log holds after them,
and brings documents that are newer than the backup in line with the rows.";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// A folder, for the newest backup of the projection in it, or a backup file
    source: PathBuf,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let restored = restore(&config, &arguments.name, &arguments.source)?;
    eprintln!(
        "restored {} from {}, made at {}: {} rows and {} dead letters at version {}",
        restored.projection,
        restored.file.display(),
        restored.made_at,
        restored.rows,
        restored.dead_letters,
        restored.version
    );
    Ok(Exit::Done)
}
