//! Program → plan: the operator pipeline of one projection, with the hashes that decide what an edit needs.
//!
//! Pure, like `language`: `lower` folds constants and takes the hashes, `eval` gives the typed trees their meaning,
//! `render` makes documents from rows, `explain` prints.

pub mod eval;
pub mod explain;
pub mod fault;
#[cfg(test)]
mod fixture;
mod functions;
pub mod key;
mod lower;
mod print;
pub mod render;
pub mod row;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod walk;

use std::sync::Arc;

use crate::language::typed;

pub use fault::Fault;
pub use lower::lower;
pub use row::Row;

/// Grows when a release of the compiler changes what any program means. Kept with each checkpoint.
pub const SEMANTICS: u32 = 1;

/// A projection, ready to run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub projection: typed::Projection,
    pub hashes: Hashes,
    /// The canonical text of the program: what the hashes are taken of, readable, one section a hash.
    pub text: Arc<str>,
}

/// The canonical text of one of a sink's expressions: the same for the same meaning.
pub fn expression(projection: &typed::Projection, expr: &typed::Expr) -> String {
    print::Printer::expression(projection, None, expr)
}

/// BLAKE3 of one part of a program's normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The five parts of a program, hashed; what differs from the checkpoint's decides what an edit needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hashes {
    /// Topics, event shapes as used, `where`, `key`. A change needs a replay.
    pub source: Fingerprint,
    /// State slots and types. A change needs a replay.
    pub layout: Fingerprint,
    /// Handlers and aggregates. A change needs a replay.
    pub fold: Fingerprint,
    /// `as` and `when`, identity and mapping options. A change owes every row again.
    pub emit: Fingerprint,
    /// Tuning options and `on_error`. A change is applied live.
    pub options: Fingerprint,
}
