//! What is known of projections, from whoever holds their state: the engine that runs, over HTTP, or the state directory.
//!
//! The engine is asked first. When nothing answers at its address, the directory is opened here, which its lock allows only
//! while no engine runs; and it is never made here. So both ways show what is synced, and neither can disturb the other.

use std::sync::Arc;
use std::time::Duration;

use crate::control::config::Config;
use crate::event::ProjectionName;
use crate::serve::dead_letters::{DeadLetterPage, DeadLetterReport};
use crate::serve::report::ProjectionReport;
use crate::state::{DiskStore, DiskStoreOptions, Store, StoreError};

mod engine;

pub use engine::{DocumentQuery, EngineClient};

/// Enough for looking around.
const CACHE_BYTES: u64 = 16 << 20;

/// Where the state can be asked.
pub enum Access {
    Engine(EngineClient),
    /// Nothing runs; there may be no state yet.
    Directory(Option<Arc<DiskStore>>),
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
}

impl Access {
    /// Finds out who holds the state.
    pub fn open(config: &Config) -> Result<Access, AccessError> {
        let client = EngineClient::new(&config.http);
        if client.answers() {
            return Ok(Access::Engine(client));
        }
        if !config.state.dir.exists() {
            return Ok(Access::Directory(None));
        }
        match DiskStore::open(&config.state.dir, DiskStoreOptions { cache_bytes: CACHE_BYTES }) {
            Ok(store) => Ok(Access::Directory(Some(Arc::new(store)))),
            Err(error @ StoreError::Locked { .. }) => {
                let address = client.address();
                Err(AccessError::Refused(format!("{error}, and nothing answers at {address}: is [http] the engine's?")))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// All projections.
    pub fn projections(&self) -> Result<Vec<ProjectionReport>, AccessError> {
        let store = match self {
            Access::Engine(engine) => return engine.projections(),
            Access::Directory(None) => return Ok(Vec::new()),
            Access::Directory(Some(store)) => store.snapshot(),
        };
        let mut reports = Vec::new();
        for name in store.projections()? {
            reports.extend(store.projection(&name)?.map(|state| ProjectionReport::at_rest(&name.0, &state)));
        }
        Ok(reports)
    }

    /// A document, as its bytes.
    pub fn document(&self, name: &str, key: &str, query: DocumentQuery<'_>) -> Result<String, AccessError> {
        match self {
            Access::Engine(engine) => engine.document(name, key, query),
            Access::Directory(_) => Err(AccessError::Refused(format!(
                "no engine runs, and it would serve `{name}`: start it with `projector run`"
            ))),
        }
    }

    /// Forgets all that is known of a projection. An engine may be working on it: then nothing is done.
    pub fn drop_projection(&self, name: &str) -> Result<(), AccessError> {
        let store = match self {
            Access::Engine(engine) => {
                let why = format!("an engine runs at {}: stop it before dropping `{name}`", engine.address());
                return Err(AccessError::Refused(why));
            }
            Access::Directory(store) => store.as_ref(),
        };
        let (store, name) = known(store, name)?;
        Ok(store.drop_projection(&name)?)
    }

    /// A page of a projection's dead letters.
    pub fn dead_letters(&self, name: &str, after: u64, limit: usize) -> Result<DeadLetterPage, AccessError> {
        let store = match self {
            Access::Engine(engine) => return engine.dead_letters(name, after, limit),
            Access::Directory(store) => store.as_ref(),
        };
        let (store, name) = known(store, name)?;
        let letters = store.snapshot().dead_letters(&name, after, limit)?;
        let next = letters.last().filter(|_| letters.len() == limit).map(|(number, _)| *number);
        let dead_letters = letters.into_iter().map(|(number, letter)| DeadLetterReport::new(number, letter)).collect();
        Ok(DeadLetterPage { dead_letters, next })
    }

    /// One dead letter.
    pub fn dead_letter(&self, name: &str, number: u64) -> Result<DeadLetterReport, AccessError> {
        let page = self.dead_letters(name, number.saturating_sub(1), 1)?;
        let letter = page.dead_letters.into_iter().find(|letter| letter.number == number);
        letter.ok_or_else(|| AccessError::NotFound(format!("`{name}` has no dead letter {number}")))
    }
}

fn known<'a>(
    store: Option<&'a Arc<DiskStore>>,
    name: &str,
) -> Result<(&'a Arc<DiskStore>, ProjectionName), AccessError> {
    let unknown = || AccessError::NotFound(format!("no projection `{name}` has state here"));
    let store = store.ok_or_else(unknown)?;
    let name = ProjectionName(name.into());
    match store.snapshot().projection(&name)? {
        Some(_) => Ok((store, name)),
        None => Err(unknown()),
    }
}

/// How long the engine may take to answer, beyond what it was asked to wait.
const ANSWER_MAX: Duration = Duration::from_secs(10);
