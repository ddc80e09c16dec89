//! The checker's own types: those of [`crate::value::Type`] with variables for what only use can tell.
//!
//! A topic that declares no events has its shape from use. A projection is therefore checked twice: a first pass over
//! payloads of [variables](variable) collects what each use demands, then the variables are settled, and the second pass
//! sees nothing but known types. Only the second pass makes trees and messages (but for demands that contradict).

mod display;
mod ty;
mod variable;

pub(crate) use ty::{RecordTy, Ty};
pub(crate) use variable::{Conflict, Inference, Need, Var};
