//! What nothing may change: kills, restarts, redelivery, batch sizes and partition counts against the same documents.
//!
//! A random story is told once to the engine, as a log, and once to a fold of a few plain lines of Rust that knows nothing
//! of the engine. Whatever is done to the process in between, both must end with the same documents, byte for byte outside
//! `_proj`. Every test prints its seed and takes one from `PROJECTOR_TEST_SEED`.

mod engine;
pub mod fold;
pub mod kafka;
pub mod kill;
pub mod ledger;
pub mod log;
mod lost_state;
pub mod random;
mod redelivery;
pub mod story;
