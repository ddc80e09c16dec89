//! The verbs of an operator: configuration, and what is started, watched and stopped with it.
//!
//! `control` may know every other room, and only `cli` knows it.

pub mod access;
pub mod backup;
pub mod binding;
pub mod compile;
pub mod config;
pub mod files;
pub mod produce;
mod progress;
pub mod run;
mod screen;
mod signals;
mod start;

pub use signals::Signal;
