//! The command line: arguments → one call into the rooms of the house → an exit code.
//!
//! One file a command, each with its `Arguments` and a `run`. Commands print data to stdout and everything else to stderr,
//! and hold no logic of their own: nothing else in the crate knows this module.

mod backup;
mod check;
mod completions;
mod dead_letters;
mod drop;
mod exit;
mod explain;
mod get;
mod logging;
mod new;
mod produce;
mod restore;
mod retry;
mod run;
mod skip;
mod status;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::control::config::{Config, Wanted};

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

impl Global {
    /// Reads the configuration; it is searched above these paths too.
    pub fn load_config(&self, paths: &[PathBuf]) -> Result<Config, Failure> {
        let wanted = Wanted { file: self.config.as_deref(), profile: self.profile.as_deref(), paths };
        Config::load(wanted).map_err(Failure::usage)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the read models of .proj files, and serve them
    Run(run::Arguments),
    /// Print the pipeline of projections, or what a code means
    Explain(explain::Arguments),
    /// Say everything that is wrong with .proj files
    Check(check::Arguments),
    /// Run the test blocks of .proj files, in memory
    Test(test::Arguments),
    /// Make a small project that runs at once
    New(new::Arguments),
    /// Show every projection: lag, checkpoints, faults, what sinks are owed
    Status(status::Arguments),
    /// Print a document
    Get(get::Arguments),
    /// List or show events that were set aside with their reasons
    #[command(name = "dead-letters")]
    DeadLetters(dead_letters::Arguments),
    /// Forget the state of a projection, so that it starts anew
    Drop(drop::Arguments),
    /// Try again what has stopped of a projection
    Retry(retry::Arguments),
    /// Give up the event that a partition has stopped at
    Skip(skip::Arguments),
    /// Write the state of a projection to a file
    Backup(backup::Arguments),
    /// Put the state of a projection back from a backup
    Restore(restore::Arguments),
    /// Append events to a topic
    Produce(produce::Arguments),
    /// Print the completions of a shell
    Completions(completions::Arguments),
}

impl Command {
    fn run(self, global: &Global) -> Result<Exit, Failure> {
        match self {
            Command::Run(arguments) => run::run(&arguments, global),
            Command::Explain(arguments) => explain::run(&arguments, global),
            Command::Check(arguments) => check::run(&arguments),
            Command::Test(arguments) => test::run(&arguments),
            Command::New(arguments) => new::run(&arguments),
            Command::Status(arguments) => status::run(&arguments, global),
            Command::Get(arguments) => get::run(&arguments, global),
            Command::DeadLetters(arguments) => dead_letters::run(&arguments, global),
            Command::Drop(arguments) => drop::run(&arguments, global),
            Command::Retry(arguments) => retry::run(&arguments, global),
            Command::Skip(arguments) => skip::run(&arguments, global),
            Command::Backup(arguments) => backup::run(&arguments, global),
            Command::Restore(arguments) => restore::run(&arguments, global),
            Command::Produce(arguments) => produce::run(&arguments, global),
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
