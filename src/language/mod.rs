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

use diagnostic::Diagnostic;
use files::Loaded;
use typed::Program;

/// Checks the files of one program. A mistake of syntax ends it there: what cannot be read has names that others would be
/// said to lack. Errors and warnings come in the order of files and places.
pub fn compile(loaded: &Loaded) -> (Option<Program>, Vec<Diagnostic>) {
    let mut diagnostics = loaded.diagnostics.clone();
    let mut program = None;
    if !diagnostics.iter().any(Diagnostic::is_error) {
        let (checked, found) = check(&loaded.files, &loaded.imports);
        diagnostics.extend(found);
        program = checked;
    }
    diagnostics.sort_by_key(Diagnostic::span);
    (program, diagnostics)
}
