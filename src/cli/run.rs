//! `projector run PATH...`: keeps the read models of the files.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::cli::{Exit, Failure, Global};
use crate::control::Signal;
use crate::control::compile::{Compiled, compile};
use crate::control::run::{RunEnd, RunError, RunRequest, run as run_engine};
use crate::language::diagnostic::Diagnostic;
use crate::language::render;
use crate::plan::Plan;
use crate::runtime::Ended;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// .proj files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Stop once every source has been read to the end it had at start and every sink has what it is owed
    #[arg(long)]
    until_caught_up: bool,
    /// Go on where events are gone from the log that were not folded yet, or where it is another log: at the beginning of
    /// what is there. Without this, such a partition stops and says what is missing
    #[arg(long)]
    accept_loss: bool,
    /// Do not reload files that change (this release never does)
    #[arg(long)]
    no_watch: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, Failure> {
    let config = global.load_config(&arguments.paths)?;
    let mut compiled = compile(&arguments.paths).map_err(Failure::usage)?;
    let plans = plans(&mut compiled)?;
    if plans.is_empty() {
        return Err(Failure::new(Exit::FilesWrong, "the files declare no projection"));
    }
    let request = RunRequest {
        plans,
        locate: compiled.locate(),
        config: &config,
        until_caught_up: arguments.until_caught_up,
        accept_loss: arguments.accept_loss,
    };
    let end = run_engine(request)?;
    Ok(exit(&end))
}

/// The plans of files that are right; says what is to be said about them.
pub(super) fn plans(compiled: &mut Compiled) -> Result<Vec<Plan>, Failure> {
    if !compiled.diagnostics.is_empty() {
        let colour = std::io::stderr().is_terminal();
        eprint!("{}", render::render(&compiled.diagnostics, &compiled.sources, colour));
    }
    compiled.plans.take().ok_or_else(|| {
        let errors = compiled.diagnostics.iter().filter(|diagnostic| Diagnostic::is_error(diagnostic)).count();
        Failure::new(Exit::FilesWrong, {
            let mistakes = if errors == 1 { "mistake" } else { "mistakes" };
            format!("{errors} {mistakes} in the files: nothing was started")
        })
    })
}

/// The code of a run, and a line for each projection that did not end as asked.
fn exit(end: &RunEnd) -> Exit {
    let mut exit = Exit::Done;
    for (name, ended) in &end.exit.projections {
        let worse = match ended {
            Ended::CaughtUp | Ended::Stopped => continue,
            Ended::Faulted(_) | Ended::Panicked(_) => Exit::Fault,
            Ended::Unreachable(_) => Exit::Unreachable,
            Ended::Refused(_) => Exit::FilesWrong,
            Ended::Claimed(_) => Exit::Usage,
        };
        eprintln!("error: {name}: {ended}");
        // A fault is what a person must look at first.
        if exit == Exit::Done || worse == Exit::Fault {
            exit = worse;
        }
    }
    // Who sent a signal asked for this end, whatever else was amiss before.
    match end.signal {
        Some(Signal::Interrupt) => Exit::Interrupted,
        Some(Signal::Terminate) => Exit::Terminated,
        None => exit,
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::usage(error)
    }
}
