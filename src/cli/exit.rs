//! How a command ends: the exit codes, and the one line that says why it failed.

use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::control::access::AccessError;
use crate::state::backup::BackupError;

/// The exit codes. They are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// The files are wrong, a test failed, or what was asked for is not there.
    FilesWrong,
    /// Wrong usage or configuration.
    Usage,
    /// A projection stopped on a fault.
    Fault,
    /// A source or a sink could not be reached within `start_timeout`.
    Unreachable,
    /// SIGINT, after a clean checkpoint.
    Interrupted,
    /// SIGTERM, after a clean checkpoint.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::FilesWrong => 1,
            Exit::Usage => 2,
            Exit::Fault => 3,
            Exit::Unreachable => 4,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        })
    }
}

/// Why a command could not do what was asked, and the code it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    /// `None`: what there is to say has been said.
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub fn new(exit: Exit, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { exit, cause: Some(cause.into()) }
    }

    /// Wrong usage or configuration.
    pub fn usage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure::new(Exit::Usage, cause)
    }

    /// Ends with this code and says no more.
    pub fn silent(exit: Exit) -> Failure {
        Failure { exit, cause: None }
    }

    /// Says why on stderr, in one line, and gives the code.
    pub(super) fn report(self) -> ExitCode {
        if self.cause.is_some() {
            eprintln!("error: {self}");
        }
        self.exit.into()
    }
}

impl fmt::Display for Failure {
    /// The cause and its causes, joined by colons.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = self.cause.as_deref().map(|cause| cause as &dyn Error);
        let mut separator = "";
        while let Some(error) = cause {
            write!(f, "{separator}{error}")?;
            separator = ": ";
            cause = error.source();
        }
        Ok(())
    }
}

impl From<io::Error> for Failure {
    /// A reader that closes the pipe early (`| head`) has what it wanted: that is no failure.
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::silent(Exit::Done),
            _ => Failure::new(Exit::Usage, error),
        }
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Failure {
        let exit = match &error {
            AccessError::NotFound(_) | AccessError::Backup(BackupError::NoState(_) | BackupError::NoBackup { .. }) => {
                Exit::FilesWrong
            }
            AccessError::TimedOut(_) | AccessError::Unreachable { .. } => Exit::Unreachable,
            _ => Exit::Usage,
        };
        Failure::new(exit, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_causes_in_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("the rows could not be opened")]
        struct Unopened(#[source] io::Error);
        let error = Unopened(io::Error::other("disk on fire"));
        assert_eq!(Failure::usage(error).to_string(), "the rows could not be opened: disk on fire");
    }
}
