//! Text → typed program: `parse` → `resolve` → `check`, each consuming what the last one made.
//!
//! Pure: no I/O but reading the files through the caller's loader, no clock, no tokio.

pub mod ast;
pub mod codes;
pub mod diagnostic;
pub mod files;
pub mod library;
pub mod parse;
pub mod render;
pub mod span;
pub mod typed;
