//! The command line: arguments → one call into the rooms of the house → an exit code.
//!
//! One file a command, each with its `Arguments` and a `run`. Commands print data to stdout and everything else to stderr,
//! and hold no logic of their own: nothing else in the crate knows this module.

mod completions;
mod exit;
mod logging;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub(crate) use exit::{Exit, Failure};

/// Keeps read models for events: a .proj file says how events fold into documents, projector does it exactly once.
#[derive(Debug, Parser)]
#[command(name = "projector", version, arg_required_else_help = true, max_term_width = 100)]
struct CommandLine {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The configuration [default: projector.toml in the current folder, else in the folders above PATH]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Use [profiles.NAME] of the configuration over its defaults (also the variable PROJECTOR_PROFILE)
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the completions of a shell
    Completions(completions::Arguments),
}

impl Command {
    fn run(self, _global: &Global) -> Result<Exit, Failure> {
        match self {
            Command::Completions(arguments) => completions::run(&arguments),
        }
    }
}

/// Runs the command that the process was called with.
pub fn main() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        // Help and version are errors to clap; it knows which stream and which code they take.
        Err(answer) => {
            let _ = answer.print();
            return if answer.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    logging::start();
    match line.command.run(&line.global) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
