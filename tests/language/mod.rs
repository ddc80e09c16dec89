//! The language as its users meet it: what is accepted, what is refused and how, and that no text harms it.
//!
//! `accept/` and `reject/` are corpora: adding a case is adding a file. Of an accepted file the snapshot is its warnings and
//! its plans, of a rejected one the messages.

mod blocks;
mod mutations;

use std::io;
use std::path::Path;

use projector::language::compile;
use projector::language::diagnostic::Diagnostic;
use projector::language::files::{Loaded, load};
use projector::language::render::render;
use projector::language::typed::Program;
use projector::plan::lower;

/// Compiles one text as a file of this name.
pub fn compiled(name: &str, bytes: &[u8]) -> (Loaded, Option<Program>, Vec<Diagnostic>) {
    let read = |path: &Path| match path == Path::new(name) {
        true => Ok(bytes.to_vec()),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let loaded = load(&[name.into()], &read).expect("the file is there");
    let (program, diagnostics) = compile(&loaded);
    (loaded, program, diagnostics)
}

/// Compiles a file of a corpus, and what it imports.
fn compiled_file(path: &Path) -> (Loaded, Option<Program>, Vec<Diagnostic>) {
    let folder = path.parent().expect("a corpus is a folder");
    let name = path.file_name().expect("a file has a name");
    let loaded = load(&[name.into()], &|path| std::fs::read(folder.join(path))).expect("the file is there");
    let (program, diagnostics) = compile(&loaded);
    (loaded, program, diagnostics)
}

#[test]
fn accepted_files_have_plans() {
    insta::glob!("accept/*.proj", |path| {
        let (loaded, program, diagnostics) = compiled_file(path);
        let messages = render(&diagnostics, &loaded.sources, false);
        let program = program.unwrap_or_else(|| panic!("{} is refused:\n{messages}", path.display()));
        let plans = program.projections.into_iter().map(|projection| lower(projection).text.to_string());
        let plans: Vec<String> = plans.collect();
        insta::assert_snapshot!(format!("{messages}{}", plans.join("\n")));
    });
}

#[test]
fn rejected_files_say_why() {
    insta::glob!("reject/*.proj", |path| {
        let (loaded, program, diagnostics) = compiled_file(path);
        assert!(program.is_none() && diagnostics.iter().any(Diagnostic::is_error), "{} is accepted", path.display());
        insta::assert_snapshot!(render(&diagnostics, &loaded.sources, false));
    });
}
