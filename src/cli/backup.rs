//! `projector backup NAME DIRECTORY`: the synced state of a projection, as a file.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::{Exit, Failure, Global};
use crate::control::backup::back_up;

/// What `--help` says below the arguments.
const HELP: &str = "\
Writes NAME-VERSION.backup into the folder: rows, offsets, counters, dead letters and the program,
as they were synced last. An engine that runs writes it itself, on its own machine, and goes on
folding meanwhile; without one it is written from the state directory. The file gets its name when
it is whole and on the disk. A backup of the same checkpoint is written over, any other file is
left alone; old backups are yours to remove. The path of the file is printed.

`projector restore NAME DIRECTORY` puts the newest one back.";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The projection
    name: String,
    /// The folder; it is made when it is not there
    directory: PathBuf,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let made = back_up(&config, &arguments.name, &arguments.directory)?;
    eprintln!(
        "backed up {}: {} rows and {} dead letters at version {}, {} bytes",
        made.projection, made.rows, made.dead_letters, made.version, made.bytes
    );
    writeln!(std::io::stdout().lock(), "{}", made.file.display())?;
    Ok(Exit::Done)
}
