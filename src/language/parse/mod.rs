//! Text → tree: reads a file by the grammar, and goes on after a mistake so that one run reports several.
//!
//! The whole file is tried first. If it does not fit, it is cut into its declarations, and a projection that does not fit
//! into its clauses; each part is read alone, so that a mistake costs its part and nothing else. Before pest sees anything the
//! brackets are counted, because it recurses. Nothing is resolved here: names are words with a place.

mod blocks;
mod brackets;
mod declarations;
mod expected;
mod expressions;
mod grammar;
mod nodes;
mod operands;
mod parts;
mod projections;
mod slips;
mod statements;
mod texts;
mod tokens;

use crate::language::ast;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::span::{FileId, Span};

use grammar::Rule;
use nodes::Builder;
use parts::Part;
use tokens::Tokens;

/// How deep a file may be nested: brackets, operators in a row, `else if`s, all together. It keeps every pass that walks the
/// tree within a small stack.
pub const DEPTH_MAX: usize = 128;

/// How many messages a file gives at most; the rest would only repeat what these say.
const MESSAGES_MAX: usize = 50;

/// Larger files were not written by people.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Reads a file: the tree of all that fits, and what is wrong with the rest.
pub fn parse(id: FileId, text: &str) -> (ast::File, Vec<Diagnostic>) {
    if text.len() > FILE_BYTES_MAX {
        let span = Span { file: id, start: 0, end: 0 };
        let message = format!("this file has {} bytes, {FILE_BYTES_MAX} are the most", text.len());
        return (ast::File { id, items: Vec::new() }, vec![Diagnostic::error(codes::TOO_LARGE, message, span, "")]);
    }
    let tokens = tokens::scan(text);
    let mut reader = Reader { id, text, tokens: &tokens, items: Vec::new(), diagnostics: Vec::new() };
    reader.file();
    let Reader { items, mut diagnostics, .. } = reader;
    diagnostics.sort_by_key(Diagnostic::span);
    diagnostics.truncate(MESSAGES_MAX);
    (ast::File { id, items }, diagnostics)
}

/// What is read so far, and what was said.
struct Reader<'t> {
    id: FileId,
    text: &'t str,
    tokens: &'t Tokens,
    items: Vec<ast::Item>,
    diagnostics: Vec<Diagnostic>,
}

impl<'t> Reader<'t> {
    fn file(&mut self) {
        self.diagnostics = slips::lexical(self.id, self.text, self.tokens);
        if let Some(token) = brackets::too_deep(self.text, self.tokens) {
            self.diagnostics.push(slips::too_deep(self.span(token.start, token.end)));
            return;
        }
        let whole = Part { start: 0, end: self.text.len() };
        match self.items_of(whole) {
            Ok(items) => self.items = items,
            Err(_) => self.parts(),
        }
    }

    /// Reads the file part by part.
    fn parts(&mut self) {
        let (items, faults) = parts::split(self.text, self.tokens);
        self.diagnostics.extend(faults.into_iter().map(|fault| fault.diagnostic(self.id, self.text)));
        for item in items {
            match self.items_of(item.part) {
                Ok(items) => self.items.extend(items),
                Err(mistake) => match item.clauses.is_empty() {
                    true => self.report(item.part, mistake),
                    false => self.projection(&item, mistake),
                },
            }
        }
    }

    /// Reads a projection clause by clause.
    fn projection(&mut self, item: &parts::ItemPart, mistake: Mistake) {
        let before = self.diagnostics.len();
        // The head alone is a projection without clauses once it is closed.
        let head = Part { start: item.part.start, end: item.clauses[0].start };
        let closed = format!("{}}}", &self.text[head.start..head.end]);
        let mut read = match grammar::read(Rule::file, &closed) {
            Ok(pair) => Builder::new(self, head.start).items(pair),
            Err(error) => {
                self.report(head, Mistake::new(head, &error));
                Vec::new()
            }
        };
        for part in &item.clauses {
            match grammar::read(Rule::clauses, &self.text[part.start..part.end]) {
                Ok(pair) => {
                    let clauses = Builder::new(self, part.start).clauses(pair);
                    if let Some(ast::ItemKind::Projection(projection)) = read.last_mut().map(|item| &mut item.kind) {
                        projection.clauses.extend(clauses);
                    }
                }
                Err(error) => self.report(*part, Mistake::new(*part, &error)),
            }
        }
        if self.diagnostics.len() == before {
            self.report(item.part, mistake);
        }
        self.items.extend(read);
    }

    fn items_of(&mut self, part: Part) -> Result<Vec<ast::Item>, Mistake> {
        let pair =
            grammar::read(Rule::file, &self.text[part.start..part.end]).map_err(|error| Mistake::new(part, &error))?;
        Ok(Builder::new(self, part.start).items(pair))
    }

    /// Says what does not fit, unless a slip in the same part says it better.
    fn report(&mut self, part: Part, mistake: Mistake) {
        let explained = self.diagnostics.iter().any(|known| {
            let at = known.span().start as usize;
            known.is_error() && (part.start..part.end).contains(&at)
        });
        if !explained {
            let explained = slips::explain(self.id, self.text, self.tokens, part, &mistake);
            self.diagnostics.push(explained);
        }
    }

    fn span(&self, start: usize, end: usize) -> Span {
        span(self.id, start, end)
    }
}

/// A span; files are small enough for its numbers, see [`FILE_BYTES_MAX`].
fn span(file: FileId, start: usize, end: usize) -> Span {
    Span { file, start: start as u32, end: end as u32 }
}

/// Where reading stopped, and what could have stood there.
struct Mistake {
    at: usize,
    expected: Vec<Rule>,
    /// The parser's own bound was reached before ours.
    too_deep: bool,
}

impl Mistake {
    fn new(part: Part, error: &grammar::Error) -> Mistake {
        // At its very start a part expects what it is made of.
        let inner = |rule: &Rule| match rule {
            Rule::file => Rule::item,
            Rule::clauses => Rule::clause,
            rule => *rule,
        };
        let expected = error.expected.iter().map(inner).collect();
        Mistake { at: part.start + error.at, expected, too_deep: error.too_deep }
    }
}

#[cfg(test)]
mod tests;
