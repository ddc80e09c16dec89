//! Text → typed program: `parse` → `resolve` → `check`, each consuming what the last one made.
//!
//! Pure: no I/O but reading the files through the caller's loader, no clock, no tokio.

pub mod ast;
mod check;
pub mod codes;
pub mod diagnostic;
pub mod files;
mod infer;
pub mod library;
pub mod parse;
pub mod render;
mod resolve;
pub mod span;
pub mod typed;

pub use check::check;
pub use resolve::Imports;
