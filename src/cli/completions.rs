//! `projector completions SHELL`: the completions of a shell, made from the command line's own description.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{CommandLine, Exit, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell to write for
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut CommandLine::command(), "projector", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Done)
}
