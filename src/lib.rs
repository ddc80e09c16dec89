//! `projector` keeps read models for events: it folds them by the rules of `.proj` files, exactly once, and serves the documents.
//!
//! # The life of an event, and the rooms of the house
//!
//! ```text
//! language ── plan ──────────────┐  (pure: text → typed program → operator pipeline, hashes, explain)
//!                                ▼
//! sources → decode → filter → key → fold → state ──checkpoint──► publish → sinks
//! kafka     into slots                     rows    one atomic, synced   per sink   cache, embedded
//! log       (json)                         dirty   batch, numbered      coalesced
//! memory                                   keys
//! ```

pub mod control;
pub mod decode;
pub mod event;
pub mod language;
pub mod plan;
pub mod runtime;
pub mod sinks;
pub mod sources;
pub mod state;
pub mod testing;
pub mod value;

pub mod cli;
pub mod serve;
