//! The engine in memory, for `test` blocks and for tests of its own.

pub mod blocks;
pub mod driver;

#[cfg(test)]
mod simulator;
#[cfg(test)]
pub(crate) mod sinks;
