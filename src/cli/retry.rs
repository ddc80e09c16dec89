//! `projector retry NAME`: tries again what has stopped of a projection.

use crate::cli::{Exit, Failure, Global};
use crate::control::access::{Access, Retried};

/// What `--help` says below the arguments.
const HELP: &str = "\
An engine that runs opens its stopped partitions and sinks again, and stops them again if nothing
was mended. Without an engine there is nothing to do: the next run tries everything again.
An event that can never be folded stops its partition every time: `projector skip` gives it up.";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Arguments {
    /// The projection
    name: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    let name = &arguments.name;
    match Access::open(&config)?.retry(name)? {
        Retried::Now => eprintln!("{name} tries again: `projector status` shows what became of it"),
        Retried::AtTheNextRun => eprintln!("no engine runs: the next run of {name} tries everything again"),
    }
    Ok(Exit::Done)
}
