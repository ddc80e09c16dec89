//! What the tree builders share: walking over pairs, places, names, and the bound on depth.

use std::iter::Peekable;
use std::sync::Arc;

use crate::language::ast::{Argument, Expr, ExprKind, Name};
use crate::language::diagnostic::Diagnostic;
use crate::language::span::Span;

use super::grammar::{Pair, Pairs, Rule};
use super::tokens::Tokens;
use super::{DEPTH_MAX, Reader, slips};

/// Builds the tree of one part of a file.
pub(super) struct Builder<'r> {
    file: crate::language::span::FileId,
    /// Where the part starts in the file.
    base: usize,
    pub tokens: &'r Tokens,
    pub text: &'r str,
    depth: usize,
    /// One message about depth is enough.
    too_deep: bool,
    diagnostics: &'r mut Vec<Diagnostic>,
}

impl<'r> Builder<'r> {
    pub fn new(reader: &'r mut Reader<'_>, base: usize) -> Builder<'r> {
        Builder {
            file: reader.id,
            base,
            tokens: reader.tokens,
            text: reader.text,
            depth: 0,
            too_deep: false,
            diagnostics: &mut reader.diagnostics,
        }
    }

    /// The place of a pair, without the space behind it.
    pub fn span(&self, pair: &Pair<'_>) -> Span {
        let (start, end) = (self.base + pair.as_span().start(), self.base + pair.as_span().end());
        super::span(self.file, start, self.tokens.trimmed_end(end).unwrap_or(end).max(start))
    }

    /// What stands at a place.
    pub fn source(&self, span: Span) -> &'r str {
        let end = (span.end as usize).min(self.text.len());
        &self.text[span.start as usize..end]
    }

    pub fn name(&self, pair: &Pair<'_>) -> Name {
        Name { text: Arc::from(pair.as_str().trim_matches('`')), span: self.span(pair) }
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Runs `build` `levels` deeper, or gives nothing if that is too deep.
    pub fn deeper<T>(&mut self, levels: usize, span: Span, build: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.depth + levels > DEPTH_MAX {
            if !self.too_deep {
                self.too_deep = true;
                self.report(slips::too_deep(span));
            }
            return None;
        }
        self.depth += levels;
        let built = build(self);
        self.depth -= levels;
        Some(built)
    }

    pub fn error_expr(&self, span: Span) -> Expr {
        Expr { kind: ExprKind::Error, span }
    }

    pub fn arguments(&mut self, pair: Pair<'_>) -> Vec<Argument> {
        pair.into_inner().filter(|child| child.as_rule() == Rule::argument).map(|child| self.argument(child)).collect()
    }
}

/// The children of a pair, in order, without marks.
pub(super) struct Nodes<'t> {
    pairs: Peekable<Pairs<'t>>,
}

impl<'t> Nodes<'t> {
    pub fn of(pair: Pair<'t>) -> Nodes<'t> {
        Nodes { pairs: pair.into_inner().peekable() }
    }

    fn pass_marks(&mut self) {
        while self.pairs.next_if(|pair| pair.as_rule().is_mark()).is_some() {}
    }

    /// The next child, if it is of this rule.
    pub fn accept(&mut self, rule: Rule) -> Option<Pair<'t>> {
        self.pass_marks();
        self.pairs.next_if(|pair| pair.as_rule() == rule)
    }

    /// The next child, which the grammar says is of this rule.
    pub fn need(&mut self, rule: Rule) -> Pair<'t> {
        self.accept(rule).unwrap_or_else(|| panic!("the grammar puts {rule:?} here"))
    }

    /// The next child, which the grammar says is there.
    pub fn need_any(&mut self) -> Pair<'t> {
        self.next().expect("the grammar puts a node here")
    }
}

impl<'t> Iterator for Nodes<'t> {
    type Item = Pair<'t>;

    fn next(&mut self) -> Option<Pair<'t>> {
        self.pass_marks();
        self.pairs.next()
    }
}
