//! `projector drop NAME`: forgets all state of a projection, so that it starts anew.

use crate::cli::{Exit, Failure, Global};
use crate::control::access::Access;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The projection
    name: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&[])?;
    Access::open(&config)?.drop_projection(&arguments.name)?;
    eprintln!("dropped the state of {}: the next run reads its topics from their beginning", arguments.name);
    Ok(Exit::Done)
}
