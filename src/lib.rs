//! `projector` keeps read models for events: it folds them by the rules of `.proj` files, exactly once, and serves the documents.
//!
//! # The life of an event, and the rooms of the house
//!
//! ```text
//! language ── plan ──────────────┐  (pure: text → typed program → operator pipeline, hashes, explain)
//!                                ▼
//! sources → decode → filter → key → fold → state ──checkpoint──► publish → sinks
//! kafka     into slots                     rows    one atomic, synced   per sink   cache, embedded
//! log       (json)                         dirty   batch, numbered      coalesced   elasticsearch,
//! memory                                   keys                                     cosmos, postgres
//! ```
//!
//! | room | turns what into what |
//! |---|---|
//! | [`event`] | the words all rooms share: offsets, versions, batches of records |
//! | [`language`] | text → typed program, or diagnostics: `parse`, `resolve`, `check` |
//! | [`value`] | what fields hold: exact decimals, times, one total order, JSON by type |
//! | [`plan`] | typed program → plan: hashes, evaluation, documents, `explain` |
//! | [`sources`] | a log → batches of records, in offset order within each partition |
//! | [`decode`] | records → typed slots of the used fields |
//! | [`state`] | checkpoints → synced snapshots, on disk or in memory |
//! | [`runtime`] | batches → rows → checkpoints → documents: a core that decides, a driver that acts |
//! | [`sinks`] | documents → copies in a target |
//! | [`control`] | a configuration and an operator's wish → a run, a status, a dropped state |
//! | [`serve`] | synced state → HTTP |
//! | [`cli`] | arguments → one call into the rooms above → an exit code |
//! | [`testing`] | a seed → a run in memory: records in, documents out, crashes on demand |
//!
//! # What holds everywhere
//!
//! - `language`, `plan` and `value` do no I/O, read no clock, and know nothing of tokio, Kafka or sinks. Nothing knows `cli`.
//! - `runtime::core` is a state machine without I/O, rows or clock. The order *checkpoint (synced) → publish → settle → tell the
//!   group its offset* stands there and nowhere else.
//! - What a reader sees is synced: sinks, HTTP and commands read through a [`state::Snapshot`], never from memory that a crash
//!   takes back.
//! - A partition is folded in offset order, and a next offset never covers an event whose fold is not in the same checkpoint.
//! - The number of threads, the size of batches and the interleaving of partitions leave no trace in rows.
//! - Kafka is a word of `sources` and `control`; the fold path does not know it.
//! - No input panics: not a `.proj` file, not a record, not a configuration.

#[macro_use]
mod mutants;

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
