//! Cuts a file that does not fit the grammar into parts that can be read alone: declarations, and clauses of projections.
//!
//! The cut follows brackets and layout. A word that opens a declaration at the start of a line opens one even inside a
//! bracket, and so does a clause word in the column of its projection's clauses: then the bracket above it was never closed.
//! Layout means nothing to the grammar; it is a hint only here, where the text is known to be wrong.

use crate::language::diagnostic::Diagnostic;
use crate::language::span::FileId;

use super::slips;
use super::tokens::{Kind, Token, Tokens};

/// A range of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub start: usize,
    pub end: usize,
}

/// A declaration; for a projection with its clauses.
#[derive(Debug)]
pub(super) struct ItemPart {
    pub part: Part,
    pub clauses: Vec<Part>,
}

/// A bracket without a partner.
#[derive(Debug, Clone, Copy)]
pub(super) struct BracketFault {
    unclosed: bool,
    token: Token,
}

impl BracketFault {
    pub fn diagnostic(&self, file: FileId, text: &str) -> Diagnostic {
        let Token { start, end, .. } = self.token;
        let span = super::span(file, start, end);
        match self.unclosed {
            true => slips::unclosed(span, &text[start..end]),
            false => slips::unmatched(span, &text[start..end]),
        }
    }
}

/// Words that open a declaration.
pub(super) const ITEM_WORDS: [&str; 10] =
    ["import", "param", "const", "enum", "record", "event", "topic", "fn", "projection", "test"];

/// Words that open a clause.
pub(super) const CLAUSE_WORDS: [&str; 13] =
    ["from", "where", "key", "dedupe", "window", "lookup", "state", "on", "let", "emit", "into", "on_error", "replay"];

/// Cuts a file into its declarations, and says which brackets have no partner.
pub(super) fn split(text: &str, tokens: &Tokens) -> (Vec<ItemPart>, Vec<BracketFault>) {
    let mut cutter =
        Cutter { text, list: &tokens.list, open: Vec::new(), items: Vec::new(), current: None, faults: Vec::new() };
    for index in 0..tokens.list.len() {
        cutter.step(index);
    }
    cutter.finish_item(text.len());
    (cutter.items, cutter.faults)
}

/// The declaration that is being cut.
struct Current {
    start: usize,
    projection: bool,
    /// The column in which the clauses of the projection stand.
    column: Option<usize>,
    clauses: Vec<usize>,
    /// The tokens of the outermost brackets that were closed last.
    closed: Option<(usize, usize)>,
}

struct Cutter<'t> {
    text: &'t str,
    list: &'t [Token],
    /// Tokens of the open brackets.
    open: Vec<usize>,
    items: Vec<ItemPart>,
    current: Option<Current>,
    faults: Vec<BracketFault>,
}

impl Cutter<'_> {
    fn word(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |token| &self.text[token.start..token.end])
    }

    fn step(&mut self, index: usize) {
        let token = self.list[index];
        if self.opens_item(index) {
            self.finish_item(token.start);
            let projection = self.word(index) == "projection";
            self.current =
                Some(Current { start: token.start, projection, column: None, clauses: Vec::new(), closed: None });
        } else if self.current.is_none() {
            // Text before the first declaration is a part of its own, so that it is reported.
            self.current =
                Some(Current { start: 0, projection: false, column: None, clauses: Vec::new(), closed: None });
        } else {
            self.clause(index);
        }
        match token.kind {
            Kind::Open => self.open.push(index),
            Kind::Close => self.close(index),
            Kind::Text => {
                let word = self.word(index);
                let (closes, opens) = (word.starts_with('}'), word.ends_with("${"));
                if closes {
                    self.close(index);
                }
                if opens {
                    self.open.push(index);
                }
            }
            _ => {}
        }
    }

    fn opens_item(&self, index: usize) -> bool {
        let token = self.list[index];
        let word = self.word(index);
        let first_column = token.start == 0 || self.text[..token.start].ends_with('\n');
        let before = index.checked_sub(1).map(|before| self.list[before]);
        let attribute = |at: usize| self.word(at) == "@" && first_column;
        if attribute(index) && self.open.is_empty() {
            return true;
        }
        let named = matches!(self.list.get(index + 1), Some(next) if matches!(next.kind, Kind::Word | Kind::Text | Kind::Quoted));
        if token.kind != Kind::Word || !named {
            return false;
        }
        let known = ITEM_WORDS.contains(&word);
        match self.open.is_empty() {
            true if known => {
                let after_attribute = self.current.as_ref().is_some_and(|current| {
                    self.text[current.start..token.start].starts_with('@')
                        && !self.text[current.start..token.start].contains('{')
                });
                let free = token.leads || before.is_some_and(|before| matches!(before.kind, Kind::Close | Kind::Text));
                free && !after_attribute
            }
            true => {
                first_column && token.leads && !matches!(word, "upcast" | "else" | "and" | "or" | "not" | "in" | "if")
            }
            false => first_column && known,
        }
    }

    fn clause(&mut self, index: usize) {
        let token = self.list[index];
        let known = CLAUSE_WORDS.contains(&self.word(index));
        let first = self.open.len() == 1 && self.open[0] + 1 == index;
        let after_block = known
            && index > 0
            && self.list[index - 1].kind == Kind::Close
            && !matches!(self.word(index), "key" | "from");
        if token.kind != Kind::Word || !(token.leads || first || after_block) {
            return;
        }
        let line = self.text[..token.start].rfind('\n').map_or(0, |at| at + 1);
        let column = token.start - line;
        let Some(current) = self.current.as_mut().filter(|current| current.projection) else { return };
        let aligned = token.leads && current.column == Some(column);
        let starts = match self.open.len() {
            0 if known && aligned => {
                // Something closed the projection too early: it goes on here.
                let Some((opened, closed)) = current.closed.take() else { return };
                self.faults.push(BracketFault { unclosed: false, token: self.list[closed] });
                self.open.push(opened);
                true
            }
            0 => false,
            1 => known || aligned || current.column.is_none(),
            _ if known && aligned => {
                let innermost = self.open[self.open.len() - 1];
                self.faults.push(BracketFault { unclosed: true, token: self.list[innermost] });
                self.open.truncate(1);
                true
            }
            _ => false,
        };
        if starts {
            current.column = current.column.or(token.leads.then_some(column));
            current.clauses.push(token.start);
        }
    }

    fn close(&mut self, index: usize) {
        let closing = self.word(index).chars().next().unwrap_or('}');
        let partner = |open: &usize| {
            let word = self.word(*open);
            match closing {
                ')' => word == "(",
                ']' => word == "[",
                // A text goes on after its own `${` only.
                _ if self.list[index].kind == Kind::Text => word.ends_with("${"),
                _ => word == "{",
            }
        };
        match self.open.iter().rposition(partner) {
            Some(at) => {
                if let Some(unclosed) = self.open.get(at + 1) {
                    self.faults.push(BracketFault { unclosed: true, token: self.list[*unclosed] });
                }
                let opened = self.open[at];
                self.open.truncate(at);
                if let Some(current) = self.current.as_mut().filter(|_| at == 0) {
                    current.closed = Some((opened, index));
                }
            }
            None => self.faults.push(BracketFault { unclosed: false, token: self.list[index] }),
        }
    }

    fn finish_item(&mut self, end: usize) {
        if let Some(innermost) = self.open.last() {
            self.faults.push(BracketFault { unclosed: true, token: self.list[*innermost] });
        }
        self.open.clear();
        let Some(current) = self.current.take() else { return };
        let clauses_end = current.closed.map_or(end, |(_, closed)| self.list[closed].start);
        let ends = current.clauses.iter().skip(1).copied().chain([clauses_end]);
        let clauses = current.clauses.iter().zip(ends).map(|(start, end)| Part { start: *start, end: end.max(*start) });
        self.items.push(ItemPart { part: Part { start: current.start, end }, clauses: clauses.collect() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::scan;
    use super::*;

    fn cut(text: &str) -> (Vec<(String, usize)>, usize) {
        let (items, faults) = split(text, &scan(text));
        let items = items.iter().map(|item| {
            let first = text[item.part.start..item.part.end].split_whitespace().take(2).collect::<Vec<_>>().join(" ");
            (first, item.clauses.len())
        });
        (items.collect(), faults.len())
    }

    #[test]
    fn declarations_and_clauses_are_found() {
        let text =
            "topic a = \"a\"\n@x projection p {\n  from a\n  on X {\n    key = 1\n  }\n  wher .x\n}\nenum E { a }";
        let expected = [("topic a", 0), ("@x projection", 0), ("enum E", 0)];
        let (items, faults) = cut(text);
        assert_eq!(items[0].0, expected[0].0);
        assert_eq!((items.len(), faults), (3, 0));
        assert_eq!(cut(&text.replace("@x ", "")).0[1], ("projection p".to_owned(), 3));
    }

    #[test]
    fn a_missing_brace_costs_one_clause() {
        let (items, faults) =
            cut("projection p {\n  from a\n  on X {\n    b = 1\n  on Y { b = 2 }\n}\ntopic a = \"a\"");
        assert_eq!(items, [("projection p".to_owned(), 3), ("topic a".to_owned(), 0)]);
        assert_eq!(faults, 1);
    }

    #[test]
    fn a_brace_too_many_does_not_end_the_projection() {
        let (items, faults) = cut("projection p {\n  from a\n  on X { b = 1 } }\n  on Y { b = 2 }\n}\n");
        assert_eq!(items, [("projection p".to_owned(), 3)]);
        assert_eq!(faults, 1);
    }
}
