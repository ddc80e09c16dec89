//! Files → typed program: types, absence, the rules of projections; with every mistake that was found.
//!
//! Each (projection, event type) pair is checked by itself, with that type's payload, and gets a program of its own. A
//! mistake stands for the type `Error`, which fits everywhere, so that one mistake gives one message and the rest is
//! checked all the same. Nothing here runs; nothing here panics on what an author wrote.

mod branch;
mod call;
mod chain;
mod constant;
mod context;
mod convert;
mod declarations;
mod document;
mod event_program;
mod expression;
mod facts;
mod on_error;
mod operator;
mod order;
mod payload;
mod projection;
mod sink;
mod sources;
mod state;
mod statement;
mod test_block;
#[cfg(test)]
mod tests;
mod topic;
mod types;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::language::ast::{self, Attribute, ItemKind};
use crate::language::check::types::RecordState;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::resolve::{Imports, Names, resolve};
use crate::language::span::Span;
use crate::language::typed::Program;
use crate::value::{EnumType, Value};

/// What all projections share while they are checked.
pub(crate) struct Globals<'a> {
    pub names: Names<'a>,
    diagnostics: Vec<Diagnostic>,
    /// (code, place, message) of what was said: clauses are checked once per event type, and say it once.
    said: HashSet<(&'static str, Span, String)>,
    records: HashMap<Span, RecordState>,
    record_depth: usize,
    enums: HashMap<Span, Arc<EnumType>>,
    constants: HashMap<Span, Option<(Value<'static>, Ty)>>,
    /// Constants being evaluated, to find circles.
    evaluating: Vec<Span>,
    /// Functions being put in the place of their calls, to find recursion.
    pub calling: Vec<Span>,
}

impl Globals<'_> {
    pub fn report(&mut self, diagnostic: Diagnostic) {
        if self.said.insert((diagnostic.code, diagnostic.span(), diagnostic.message.clone())) {
            self.diagnostics.push(diagnostic);
        }
    }

    pub fn refuse_attributes(&mut self, attributes: &[Attribute]) {
        for attribute in attributes {
            let message = format!("`@{}` is not supported yet", attribute.name.text);
            self.report(
                Diagnostic::error(codes::NO_ATTRIBUTES, message, attribute.span, "not built yet")
                    .with_help("take the attribute out"),
            );
        }
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Checks parsed files as one program. The program is there when nothing is wrong; warnings may be, all the same.
pub fn check(files: &[ast::File], imports: &Imports) -> (Option<Program>, Vec<Diagnostic>) {
    let (names, diagnostics) = resolve(files, imports);
    let mut globals = Globals {
        names,
        diagnostics,
        said: HashSet::new(),
        records: HashMap::new(),
        record_depth: 0,
        enums: HashMap::new(),
        constants: HashMap::new(),
        evaluating: Vec::new(),
        calling: Vec::new(),
    };
    let mut projections = Vec::new();
    for file in files {
        for item in &file.items {
            globals.declaration(item, file.id);
            if let ItemKind::Projection(declared) = &item.kind {
                globals.refuse_attributes(&item.attributes);
                projections.push((declared, globals.projection(declared)));
            }
        }
    }
    // A test is typed by its program, so only a right program says what is wrong with a test.
    let tests = if globals.has_errors() { Vec::new() } else { globals.tests(files, &projections) };
    let program = (!globals.has_errors()).then(|| Program {
        projections: projections.into_iter().filter_map(|(_, checked)| checked.map(|checked| checked.typed)).collect(),
        tests,
    });
    let mut diagnostics = globals.diagnostics;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span());
    (program, diagnostics)
}
