//! All integration tests, in one binary.

mod cli;
mod disk;
mod examples;
mod kafka;
mod language;
mod oracles;
mod projections;
mod recovery;
mod services;
mod sinks;
mod site;
