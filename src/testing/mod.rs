//! The engine in memory, for `test` blocks and for tests of its own.

pub mod blocks;
pub mod driver;
pub mod sinks;

#[cfg(test)]
mod simulator;
