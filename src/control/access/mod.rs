//! What is known of projections, from whoever holds their state: the engine that runs, over HTTP, or the state directory.
//!
//! The engine is asked first. When nothing answers at its address, the directory is opened here, which its lock allows only
//! while no engine runs; and it is never made here. So both ways show what is synced, and neither can disturb the other.

mod engine;
mod rest;
mod skip;

use std::path::Path;

use crate::control::config::Config;
use crate::event::{ProjectionName, RecordPlace};
use crate::serve::backup::{BackupProgress, BackupReport};
use crate::serve::dead_letters::{DeadLetterPage, DeadLetterReport};
use crate::serve::redrive::{RedriveOrder, Redriven};
use crate::serve::report::ProjectionReport;
use crate::sinks::SinkError;
use crate::state::StoreError;
use crate::state::backup::{self, BackupError};

use engine::EngineClient;
use rest::StateAtRest;

/// Where the state can be asked.
pub struct Access {
    holder: Holder,
}

enum Holder {
    Engine(EngineClient),
    Rest(StateAtRest),
    /// Nothing has run yet.
    Nobody,
}

/// Which document, and how fresh.
#[derive(Debug, Clone, Copy, Default)]
pub struct DocumentQuery<'a> {
    /// The first sink of the file without one.
    pub sink: Option<&'a str>,
    /// `topic/partition@offset`: only an engine that runs can wait for one.
    pub wait: Option<&'a str>,
    pub timeout: Option<&'a str>,
}

/// What became of a wish to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    Now,
    /// Nothing runs, and a run begins by trying everything.
    AtTheNextRun,
}

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    #[error("{0}")]
    Refused(String),
    /// There is no such projection, document or dead letter.
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    TimedOut(String),
    #[error("the engine at {address} could not be asked: {reason}")]
    Unreachable { address: String, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl Access {
    /// Finds out who holds the state.
    pub fn open(config: &Config) -> Result<Access, AccessError> {
        let client = EngineClient::new(&config.http);
        let holder = if client.answers() {
            Holder::Engine(client)
        } else if config.state.dir.exists() {
            Holder::Rest(StateAtRest::open(config, &client)?)
        } else {
            Holder::Nobody
        };
        Ok(Access { holder })
    }

    /// All projections.
    pub fn projections(&self) -> Result<Vec<ProjectionReport>, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.projections(),
            Holder::Rest(rest) => rest.projections(),
            Holder::Nobody => Ok(Vec::new()),
        }
    }

    /// A document, as its bytes.
    pub fn document(&self, name: &str, key: &str, query: DocumentQuery<'_>) -> Result<String, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.document(name, key, query),
            Holder::Rest(rest) => rest.document(name, key, query),
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// A page of a projection's dead letters.
    pub fn dead_letters(&self, name: &str, after: u64, limit: usize) -> Result<DeadLetterPage, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.dead_letters(name, after, limit),
            Holder::Rest(rest) => rest.dead_letters(name, after, limit),
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// One dead letter.
    pub fn dead_letter(&self, name: &str, number: u64) -> Result<DeadLetterReport, AccessError> {
        let page = self.dead_letters(name, number.saturating_sub(1), 1)?;
        let letter = page.dead_letters.into_iter().find(|letter| letter.number == number);
        letter.ok_or_else(|| AccessError::NotFound(format!("`{name}` has no dead letter {number}")))
    }

    /// Writes a backup of what is synced into a folder of the machine that holds the state; the path is absolute.
    pub fn back_up(
        &self,
        name: &str,
        directory: &Path,
        watch: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.back_up(name, directory, watch),
            Holder::Rest(rest) => rest.back_up(name, directory, watch),
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// Puts a backup back: `source` is its file, or a folder whose newest backup of the projection is meant. It is read
    /// whole before anything is written; where nothing has run yet, the state directory is made then.
    pub fn restore(
        self,
        config: &Config,
        name: &str,
        source: &Path,
        watch: &mut dyn FnMut(BackupProgress),
    ) -> Result<BackupReport, AccessError> {
        let projection = ProjectionName(name.into());
        match &self.holder {
            Holder::Engine(engine) => {
                let why = format!("an engine runs at {}: stop it before restoring `{name}`", engine.address());
                return Err(AccessError::Refused(why));
            }
            Holder::Rest(rest) if rest.knows(&projection)? => return Err(BackupError::Known(projection).into()),
            Holder::Rest(_) | Holder::Nobody => {}
        }
        let path = backup::find(source, &projection)?;
        let file = backup::check(&path, &projection, &mut rest::told(watch))?;
        let rest = match self.holder {
            Holder::Rest(rest) => rest,
            _ => StateAtRest::open(config, &EngineClient::new(&config.http))?,
        };
        rest.restore(&file, watch)?;
        Ok(file.into())
    }

    /// Tries again what has stopped.
    pub fn retry(&self, name: &str) -> Result<Retried, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.retry(name).map(|()| Retried::Now),
            Holder::Rest(rest) => rest.known(name).map(|_| Retried::AtTheNextRun),
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// Writes documents again that were given up on; only an engine that runs can.
    pub fn redrive(&self, name: &str, order: &RedriveOrder) -> Result<Redriven, AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.redrive(name, order),
            Holder::Rest(rest) => {
                rest.known(name)?;
                let why = "no engine runs: start it with `projector run`, and give the documents to it then";
                Err(AccessError::Refused(why.into()))
            }
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// Gives up the event that a partition has stopped at.
    pub fn skip(&self, name: &str, event: &RecordPlace) -> Result<(), AccessError> {
        match &self.holder {
            Holder::Engine(engine) => engine.skip(name, event),
            Holder::Rest(rest) => rest.skip(name, event),
            Holder::Nobody => Err(unknown(name)),
        }
    }

    /// Forgets all that is known of a projection. An engine may be working on it: then nothing is done.
    pub fn drop_projection(&self, name: &str) -> Result<(), AccessError> {
        match &self.holder {
            Holder::Engine(engine) => {
                let why = format!("an engine runs at {}: stop it before dropping `{name}`", engine.address());
                Err(AccessError::Refused(why))
            }
            Holder::Rest(rest) => rest.drop_projection(name),
            Holder::Nobody => Err(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> AccessError {
    AccessError::NotFound(format!("no projection `{name}` has state here"))
}
