//! How deep a file is nested, counted over its tokens before the parser recurses into it.
//!
//! A level is a bracket of any kind, `${`, `<` of a generic type, or an `if` or `match` whose block has not begun (`if if if …`
//! nests without brackets). Operators in a row and `else if`s do not make the parser recurse; the tree builder counts them on
//! top, against the same bound.

use super::DEPTH_MAX;
use super::tokens::{Kind, Token, Tokens};

/// Returns the first token that is nested too deep.
pub(super) fn too_deep<'t>(text: &str, tokens: &'t Tokens) -> Option<&'t Token> {
    let mut levels = Levels { open: Vec::new(), waiting: vec![0], depth: 0 };
    let mut before = "";
    for (index, token) in tokens.list.iter().enumerate() {
        let word = &text[token.start..token.end];
        let next = tokens.list.get(index + 1).map_or("", |next| &text[next.start..next.end]);
        levels.step(token, word, before, next);
        if levels.depth > DEPTH_MAX {
            return Some(token);
        }
        // `.key` is a field, whatever the word means elsewhere.
        before = if token.kind == Kind::Word && is_field(before) { "field" } else { word };
    }
    None
}

struct Levels {
    /// Whether each open level is a `<`.
    open: Vec<bool>,
    /// For each level, and the top: `if`s and `match`es whose block has not begun.
    waiting: Vec<usize>,
    depth: usize,
}

impl Levels {
    fn step(&mut self, token: &Token, word: &str, before: &str, next: &str) {
        match token.kind {
            Kind::Open => {
                if word == "{" && ends_operand(before) {
                    self.settle();
                }
                self.down(false);
            }
            Kind::Close => self.up(),
            Kind::Text => {
                if word.starts_with('}') {
                    self.up();
                }
                if word.ends_with("${") {
                    self.down(false);
                }
            }
            Kind::Mark if word == "<" && matches!(before, "list" | "set" | "map") => self.down(true),
            Kind::Mark if word == ">" && self.open.last() == Some(&true) => self.up_once(),
            Kind::Mark if word == "=>" => self.settle(),
            // `.match` and `match:` are fields; the `if` of `delete if` has no block.
            Kind::Word if matches!(word, "if" | "match") && before != "." && next != ":" => {
                let guards = matches!(before, "delete" | "skip") && !token.leads;
                if !guards {
                    self.depth += 1;
                    *self.waiting.last_mut().expect("the top level is never closed") += 1;
                }
            }
            _ => {}
        }
    }

    fn down(&mut self, angle: bool) {
        self.open.push(angle);
        self.waiting.push(0);
        self.depth += 1;
    }

    /// A bracket closes, with every `<` that was none.
    fn up(&mut self) {
        while self.open.last() == Some(&true) {
            self.up_once();
        }
        self.up_once();
    }

    fn up_once(&mut self) {
        if self.open.pop().is_some() {
            let waiting = self.waiting.pop().expect("one entry for each level");
            self.depth -= 1 + waiting;
        }
    }

    /// The block of the last waiting `if` begins.
    fn settle(&mut self) {
        let waiting = self.waiting.last_mut().expect("the top level is never closed");
        if *waiting > 0 {
            *waiting -= 1;
            self.depth -= 1;
        }
    }
}

/// Whether the word behind a token is the name of a field, which may be any word: `.key`, `?.on`.
pub(super) fn is_field(before: &str) -> bool {
    matches!(before, "." | "?.")
}

/// Whether a token may be the last of an operand, so that a `{` behind it is a block and not a record.
pub(super) fn ends_operand(token: &str) -> bool {
    let word = !matches!(
        token,
        "if" | "match" | "not" | "and" | "or" | "in" | "else" | "as" | "when" | "let" | "where" | "key" | "on" | "by"
    );
    match token.chars().last() {
        Some(last) if last.is_ascii_alphanumeric() || last == '_' => word,
        Some(last) => matches!(last, ')' | ']' | '}' | '"' | '`' | '!' | '.' | '?') && !matches!(token, ".." | "??"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::scan;
    use super::*;

    fn is_too_deep(text: &str) -> bool {
        too_deep(text, &scan(text)).is_some()
    }

    #[test]
    fn every_kind_of_nesting_counts() {
        for (open, close) in
            [("(", ")"), ("{", "}"), ("[", "]"), ("\"${", "}\""), ("list<", ">"), ("if ", ""), ("if {} == ", "")]
        {
            assert!(is_too_deep(&open.repeat(DEPTH_MAX + 1)), "{open}");
            let closed = format!("{}{}", open.repeat(DEPTH_MAX - 1), close.repeat(DEPTH_MAX - 1));
            assert!(!is_too_deep(&closed), "{open}");
        }
    }

    #[test]
    fn what_stands_side_by_side_is_not_deep() {
        for text in [
            "if a { b = 1 } ",
            "delete if a\n",
            "x = if a { 1 } else { 2 } ",
            "a if b => {} ",
            ".match ",
            "{ match: 1 } ",
        ] {
            assert!(!is_too_deep(&text.repeat(DEPTH_MAX * 3)), "{text}");
        }
    }
}
