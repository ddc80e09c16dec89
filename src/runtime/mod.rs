//! The engine: one core per projection that decides, and a thin driver of threads that acts.
//!
//! `core` is a state machine without I/O, rows or clock; `fold` owns the hot rows; `driver` runs readers, fold threads, the
//! one store writer and the publishers, and feeds the core with what happened.

pub(crate) mod core;
mod decide;
mod driver;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod fold;
pub mod progress;
pub(crate) mod publish;
pub(crate) mod reader;
pub(crate) mod start;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use crate::plan::Plan;
use crate::sinks::DocumentSink;
use crate::sources::Source;
use crate::state::Store;

pub use core::Ended;
pub use driver::{Engine, EngineError, EngineExit};
pub use fold::Locate;

/// What an engine needs beside its projections.
pub struct EngineOptions {
    pub store: Arc<dyn Store>,
    /// The pause between checkpoints; it grows with their cost (to four times it, at most 2 s).
    pub checkpoint_interval: Duration,
    /// For hot rows and reader queues together.
    pub memory_max_bytes: u64,
    pub fold_threads: usize,
    /// Stop when every source has been read to the end it had at start and every sink has what it is owed.
    pub until_caught_up: bool,
    /// Go on where the log no longer holds what was not folded yet; without it, such a partition stops.
    pub accept_loss: bool,
    /// How long a stop may take to flush sinks.
    pub shutdown_timeout: Duration,
    /// How long sources and targets may be away at start.
    pub start_timeout: Duration,
}

/// A projection to run.
pub struct ProjectionSpec {
    pub plan: Arc<Plan>,
    pub source: Box<dyn Source>,
    /// In the order of the plan's sinks.
    pub sinks: Vec<Arc<dyn DocumentSink>>,
    /// Tells where a place in the `.proj` files is, for faults.
    pub locate: Locate,
}
