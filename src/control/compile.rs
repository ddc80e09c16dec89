//! Paths → plans: everything the language says about files, in one call.

use std::path::PathBuf;
use std::sync::Arc;

use crate::control::files::{self, FilesError};
use crate::language;
use crate::language::diagnostic::Diagnostic;
use crate::language::files::Sources;
use crate::plan::{Plan, lower};
use crate::runtime::Locate;

/// What files mean, and what there is to say about them.
#[derive(Debug)]
pub struct Compiled {
    /// `None`: the files are wrong, and the diagnostics say where.
    pub plans: Option<Vec<Plan>>,
    /// Errors and warnings, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
    pub sources: Arc<Sources>,
}

/// Reads, parses, checks and lowers.
pub fn compile(paths: &[PathBuf]) -> Result<Compiled, FilesError> {
    let loaded = files::read(paths)?;
    let (program, diagnostics) = language::compile(&loaded);
    let plans = program.map(|program| program.projections.into_iter().map(lower).collect());
    Ok(Compiled { plans, diagnostics, sources: Arc::new(loaded.sources) })
}

impl Compiled {
    /// Tells where a place in the files is.
    pub fn locate(&self) -> Locate {
        let sources = self.sources.clone();
        Arc::new(move |span| Some(sources.place(span).to_string()))
    }
}
