//! Faults: why an event could not be folded. A fault rolls its event back whole; `on_error` says what happens next.

use std::fmt;

use crate::language::span::Span;
use crate::language::typed::FaultClass;

/// A fault of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `R0101`…: see `language::codes`.
    pub code: &'static str,
    pub class: FaultClass,
    /// One sentence with the values, in the author's words. Lower case, no full stop.
    pub message: String,
    /// The place in the `.proj` file, when there is one.
    pub span: Option<Span>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault[{}]: {}", self.code, self.message)
    }
}

impl std::error::Error for Fault {}
