//! Files → names: who declares what, and what each file sees of it.
//!
//! A file sees its own declarations and those of the files it imports. There are three kinds of names, which cannot be
//! mistaken for each other where they stand: types and events (`PascalCase`), sources (topics and projections, after
//! `from`) and values (constants, functions). Nothing here has a type yet.

use std::collections::BTreeMap;

use crate::language::ast::{self, ItemKind, Name};
use crate::language::codes;
use crate::language::diagnostic::{Diagnostic, near};
use crate::language::span::FileId;

/// A declared type or event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TypeDecl<'a> {
    Enum { name: &'a Name, variants: &'a [ast::Variant] },
    Record { name: &'a Name, fields: &'a [ast::Field] },
    Event(&'a ast::Event),
}

/// What may stand after `from`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SourceDecl<'a> {
    Topic(TopicDecl<'a>),
    Projection(&'a Name),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct TopicDecl<'a> {
    pub name: &'a Name,
    pub log_name: &'a ast::Text,
    pub options: &'a [ast::OptionEntry],
}

/// A declared value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueDecl<'a> {
    Const { name: &'a Name, ty: Option<&'a ast::TypeExpr>, value: &'a ast::Expr },
    Fn(FnDecl<'a>),
    Param(&'a Name),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct FnDecl<'a> {
    pub name: &'a Name,
    pub parameters: &'a [(Name, ast::TypeExpr)],
    pub result: &'a ast::TypeExpr,
    pub body: &'a ast::Body,
}

/// The names one file sees.
#[derive(Debug, Default)]
pub(crate) struct Scope<'a> {
    pub types: BTreeMap<&'a str, TypeDecl<'a>>,
    pub sources: BTreeMap<&'a str, SourceDecl<'a>>,
    pub values: BTreeMap<&'a str, ValueDecl<'a>>,
}

/// The names of all files.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    scopes: BTreeMap<FileId, Scope<'a>>,
}

/// Which files each file imports.
pub type Imports = BTreeMap<FileId, Vec<FileId>>;

impl<'a> TypeDecl<'a> {
    pub fn name(&self) -> &'a Name {
        match self {
            TypeDecl::Enum { name, .. } | TypeDecl::Record { name, .. } => name,
            TypeDecl::Event(event) => &event.name,
        }
    }
}

impl<'a> SourceDecl<'a> {
    pub fn name(&self) -> &'a Name {
        match self {
            SourceDecl::Topic(topic) => topic.name,
            SourceDecl::Projection(name) => name,
        }
    }
}

impl<'a> ValueDecl<'a> {
    pub fn name(&self) -> &'a Name {
        match self {
            ValueDecl::Const { name, .. } | ValueDecl::Param(name) => name,
            ValueDecl::Fn(function) => function.name,
        }
    }
}

impl<'a> Names<'a> {
    /// The names that a file sees. Every file that was resolved has a scope.
    pub fn scope(&self, file: FileId) -> &Scope<'a> {
        self.scopes.get(&file).expect("every file has a scope")
    }
}

/// Gathers the names of all files; says where one is declared twice.
pub(crate) fn resolve<'a>(files: &'a [ast::File], imports: &Imports) -> (Names<'a>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let own: BTreeMap<FileId, Scope<'a>> =
        files.iter().map(|file| (file.id, declare(file, &mut diagnostics))).collect();
    projections_once(files, &mut diagnostics);
    let mut scopes = BTreeMap::new();
    for file in files {
        let mut scope = Scope::default();
        merge(&mut scope, &own[&file.id], &mut diagnostics);
        let mut imported = imports.get(&file.id).cloned().unwrap_or_default();
        imported.sort_unstable();
        imported.dedup();
        for other in imported.iter().filter(|other| **other != file.id).filter_map(|other| own.get(other)) {
            merge(&mut scope, other, &mut diagnostics);
        }
        scopes.insert(file.id, scope);
    }
    (Names { scopes }, diagnostics)
}

fn declare<'a>(file: &'a ast::File, diagnostics: &mut Vec<Diagnostic>) -> Scope<'a> {
    let mut scope = Scope::default();
    for item in &file.items {
        match &item.kind {
            ItemKind::Enum { name, variants } => add_type(&mut scope, TypeDecl::Enum { name, variants }, diagnostics),
            ItemKind::Record { name, fields } => add_type(&mut scope, TypeDecl::Record { name, fields }, diagnostics),
            ItemKind::Event(event) => add_type(&mut scope, TypeDecl::Event(event), diagnostics),
            ItemKind::Topic { name, log_name, options } => {
                let topic = TopicDecl { name, log_name, options };
                add_source(&mut scope, SourceDecl::Topic(topic), diagnostics);
            }
            ItemKind::Projection(projection) => {
                add_source(&mut scope, SourceDecl::Projection(&projection.name), diagnostics);
            }
            ItemKind::Const { name, ty, value } => {
                add_value(&mut scope, ValueDecl::Const { name, ty: ty.as_ref(), value }, diagnostics);
            }
            ItemKind::Fn { name, parameters, result, body } => {
                let function = FnDecl { name, parameters, result, body };
                add_value(&mut scope, ValueDecl::Fn(function), diagnostics);
            }
            ItemKind::Param(param) => add_value(&mut scope, ValueDecl::Param(&param.name), diagnostics),
            ItemKind::Import { .. } | ItemKind::Test(_) => {}
        }
    }
    scope
}

fn merge<'a>(into: &mut Scope<'a>, from: &Scope<'a>, diagnostics: &mut Vec<Diagnostic>) {
    from.types.values().for_each(|decl| add_type(into, *decl, diagnostics));
    from.sources.values().for_each(|decl| add_source(into, *decl, diagnostics));
    from.values.values().for_each(|decl| add_value(into, *decl, diagnostics));
}

fn add_type<'a>(scope: &mut Scope<'a>, decl: TypeDecl<'a>, diagnostics: &mut Vec<Diagnostic>) {
    match scope.types.get(&*decl.name().text) {
        Some(first) => diagnostics.push(declared_twice(first.name(), decl.name())),
        None => drop(scope.types.insert(&decl.name().text, decl)),
    }
}

fn add_source<'a>(scope: &mut Scope<'a>, decl: SourceDecl<'a>, diagnostics: &mut Vec<Diagnostic>) {
    match scope.sources.get(&*decl.name().text) {
        Some(first) => diagnostics.push(declared_twice(first.name(), decl.name())),
        None => drop(scope.sources.insert(&decl.name().text, decl)),
    }
}

fn add_value<'a>(scope: &mut Scope<'a>, decl: ValueDecl<'a>, diagnostics: &mut Vec<Diagnostic>) {
    match scope.values.get(&*decl.name().text) {
        Some(first) => diagnostics.push(declared_twice(first.name(), decl.name())),
        None => drop(scope.values.insert(&decl.name().text, decl)),
    }
}

/// Projections are named outside the files too, so their names are unique over all of them.
fn projections_once<'a>(files: &'a [ast::File], diagnostics: &mut Vec<Diagnostic>) {
    let mut seen: BTreeMap<&'a str, &'a Name> = BTreeMap::new();
    for item in files.iter().flat_map(|file| &file.items) {
        let ItemKind::Projection(projection) = &item.kind else { continue };
        match seen.get(&*projection.name.text) {
            Some(first) if first.span.file != projection.name.span.file => {
                diagnostics.push(declared_twice(first, &projection.name));
            }
            Some(_) => {}
            None => drop(seen.insert(&projection.name.text, &projection.name)),
        }
    }
}

fn declared_twice(first: &Name, second: &Name) -> Diagnostic {
    let message = format!("`{}` is declared twice", second.text);
    Diagnostic::error(codes::DECLARED_TWICE, message, second.span, "declared again here")
        .with_label(first.span, "declared first here")
        .with_help(format!("give one of them another name, such as `{}`", other_name(&second.text)))
}

fn other_name(name: &str) -> String {
    if name.starts_with(char::is_uppercase) { format!("Other{name}") } else { format!("other_{name}") }
}

/// `did you mean …?`, or the names there are.
pub(crate) fn suggest<'n>(word: &str, what: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(name) = near(word, candidates.iter().copied()) {
        return Some(format!("did you mean `{name}`?"));
    }
    if candidates.is_empty() {
        return None;
    }
    let shown: Vec<&str> = candidates.iter().copied().take(SUGGESTED_MAX).collect();
    let more = if candidates.len() > SUGGESTED_MAX { ", …" } else { "" };
    Some(format!("{what}: {}{more}", shown.join(", ")))
}

/// How many names a message lists when none is near.
const SUGGESTED_MAX: usize = 12;
