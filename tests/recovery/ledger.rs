//! `ledger.proj`, compiled.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use projector::language;
use projector::plan::{Plan, lower};

/// Where the file is.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recovery/ledger.proj")
}

/// Every sink of the file: (projection, sink).
pub const SINKS: [(&str, &str); 4] =
    [("balances", "cosmos"), ("balances", "solvent"), ("activity", "elasticsearch"), ("pages", "cache")];

/// The plans of its projections.
pub fn plans() -> Vec<Arc<Plan>> {
    let loaded = language::files::load(&[file()], &|path: &Path| std::fs::read(path)).expect("the file is readable");
    let (program, diagnostics) = language::check(&loaded.files, &loaded.imports);
    let program = program.unwrap_or_else(|| panic!("{diagnostics:?}"));
    program.projections.into_iter().map(|projection| Arc::new(lower(projection))).collect()
}
