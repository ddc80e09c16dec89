//! Syntax messages: the slips people make, each with its code and one fix, and what is said when none of them fits.
//!
//! Some slips are wrong wherever they stand and are found in the tokens (`&&`, `;`, single quotes); others only at the place
//! where reading stopped (`while`, a type in lower case); the rest are found while the tree is built.

use crate::language::codes;
use crate::language::diagnostic::{Diagnostic, near};
use crate::language::span::{FileId, Span};

use super::brackets::{ends_operand, is_field};
use super::expected::{in_words, starts_expression};
use super::grammar::Rule;
use super::parts::{CLAUSE_WORDS, ITEM_WORDS, Part};
use super::tokens::{Kind, Token, Tokens};
use super::{DEPTH_MAX, Mistake, span};

pub(super) fn too_deep(at: Span) -> Diagnostic {
    let message = format!("this is nested deeper than {DEPTH_MAX} levels");
    Diagnostic::error(codes::TOO_DEEP, message, at, "too deep here")
        .with_help("split it: give a part of it a name with `let` or `fn`")
        .with_note("brackets, operators in a row and `else if`s count together")
}

pub(super) fn unclosed(at: Span, bracket: &str) -> Diagnostic {
    let (bracket, partner) = match bracket.chars().last() {
        Some('(') => ("(", ")"),
        Some('[') => ("[", "]"),
        _ if bracket.ends_with("${") => ("${", "}"),
        _ => ("{", "}"),
    };
    Diagnostic::error(codes::UNCLOSED, format!("`{bracket}` is never closed"), at, "opened here")
        .with_help(format!("add the missing `{partner}`"))
}

pub(super) fn unmatched(at: Span, bracket: &str) -> Diagnostic {
    let bracket = bracket.chars().next().unwrap_or('}');
    Diagnostic::error(codes::UNMATCHED, format!("this `{bracket}` closes nothing"), at, "one too many")
        .with_help(format!("remove it, or add what it closes; look at the `{bracket}`s above"))
}

pub(super) fn interpolated_name(at: Span) -> Diagnostic {
    Diagnostic::error(codes::INTERPOLATED_NAME, "a name or a path must be plain text", at, "this would be computed")
        .with_help("write the text out")
}

pub(super) fn empty_path(at: Span) -> Diagnostic {
    Diagnostic::error(codes::IMPORT_MISSING, "this import names no file", at, "")
        .with_help("write the path of a `.proj` file, relative to this one")
}

pub(super) fn long_duration(at: Span) -> Diagnostic {
    Diagnostic::error(codes::BAD_NUMBER, "this duration is too long", at, "does not fit")
        .with_help("the longest is about 292,000 years; write a shorter one")
}

pub(super) fn chained_comparison(at: Span, fix: String) -> Diagnostic {
    Diagnostic::error(codes::CHAINED_COMPARISON, "comparisons do not chain", at, "two comparisons in a row")
        .with_help(fix)
}

pub(super) fn coalesce_needs_brackets(op: Span, right: Span, fix: String) -> Diagnostic {
    let message = "`??` with `+` or `-` on its right needs brackets";
    Diagnostic::error(codes::COALESCE_NEEDS_BRACKETS, message, op, "what is the other value?")
        .with_label(right, "all of this, or its first part")
        .with_help(fix)
}

pub(super) fn not_needs_brackets(at: Span) -> Diagnostic {
    Diagnostic::error(
        codes::SYNTAX,
        "`not` behind another operator needs brackets",
        at,
        "takes the whole comparison behind it",
    )
    .with_help("write `(not …)`")
}

/// Slips that are wrong wherever they stand.
pub(super) fn lexical(file: FileId, text: &str, tokens: &Tokens) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> =
        tokens.bad_escapes.iter().map(|&(start, end)| bad_escape(span(file, start, end))).collect();
    let word = |index: usize| tokens.list.get(index).map_or("", |token| &text[token.start..token.end]);
    let mut index = 0;
    while let Some(token) = tokens.list.get(index) {
        let at = span(file, token.start, token.end);
        let before = index.checked_sub(1).map_or("", word);
        index += 1;
        let slip = match token.kind {
            Kind::OpenText => Some(unclosed_text(at, text)),
            Kind::SingleQuoted => Some(single_quotes(at, &text[token.start..token.end])),
            Kind::Stray => Some(bad_character(at, &text[token.start..token.end])),
            Kind::Number => match bare_date(text, token, word(index)) {
                Some(end) => {
                    index = tokens.at_or_after(end);
                    Some(date_without_quotes(span(file, token.start, end), &text[token.start..end]))
                }
                None => None,
            },
            Kind::Mark => mark_slip(at, word(index - 1), before, is_field(index.checked_sub(3).map_or("", word))),
            Kind::Word => word_slip(at, word(index - 1), before, word(index)),
            _ => None,
        };
        if slip.as_ref().is_some_and(|slip| slip.code == codes::HASH_COMMENT) {
            // The rest of the line was meant as a comment.
            while tokens.list.get(index).is_some_and(|token| !token.leads) {
                index += 1;
            }
        }
        found.extend(slip);
    }
    found
}

fn mark_slip(at: Span, mark: &str, before: &str, field: bool) -> Option<Diagnostic> {
    let error = |code, message: &str, help: &str| Some(Diagnostic::error(code, message, at, "").with_help(help));
    match mark {
        "&&" => error(codes::AMPERSANDS, "`&&` is written `and`", "`and`"),
        "||" => error(codes::BARS, "`||` is written `or`", "`or`"),
        ";" => error(codes::SEMICOLON, "statements need no `;`", "remove it"),
        "===" => error(codes::TRIPLE_EQUALS, "`===` is written `==`", "`==`"),
        "!==" => error(codes::TRIPLE_EQUALS, "`!==` is written `!=`", "`!=`"),
        "<>" => error(codes::ANGLE_NOT_EQUAL, "`<>` is written `!=`", "`!=`"),
        "=+" => error(codes::SWAPPED_ASSIGNMENT, "`=+` is written `+=`", "`+=`"),
        "#" => error(codes::HASH_COMMENT, "comments start with `//`", "`//`"),
        "!" if !field && !ends_operand(before) => error(codes::BANG_BEFORE, "`!x` is written `not x`", "`not`"),
        _ => None,
    }
}

fn word_slip(at: Span, word: &str, before: &str, next: &str) -> Option<Diagnostic> {
    let value =
        matches!(before, "=" | "==" | "!=" | "??" | "??=" | ":" | "=>" | "(" | "[" | "," | "{" | "and" | "or" | "not");
    let absent =
        matches!(word, "null" | "nil" | "undefined") && value && next != ":" && !(before == "{" && next == "}");
    absent.then(|| Diagnostic::error(codes::NULL, format!("`{word}` is written `none`"), at, "").with_help("`none`"))
}

fn bad_escape(at: Span) -> Diagnostic {
    Diagnostic::error(codes::BAD_ESCAPE, "this escape is not known", at, "")
        .with_help(r#"the escapes are `\n \t \r \\ \" \$` and `\u{…}`; a backslash itself is `\\`"#)
}

fn unclosed_text(at: Span, text: &str) -> Diagnostic {
    let raw = text[at.start as usize..].starts_with("\"\"\"");
    let (message, help) = match raw {
        true => ("this text never ends", "end it with `\"\"\"`"),
        false => {
            ("this text does not end on its line", "end it with `\"`; a text over several lines stands in `\"\"\"`")
        }
    };
    let at = Span { end: if raw { at.start + 3 } else { at.end }, ..at };
    Diagnostic::error(codes::UNCLOSED_TEXT, message, at, "begins here").with_help(help)
}

fn single_quotes(at: Span, text: &str) -> Diagnostic {
    let help = format!("`\"{}\"`", text.trim_matches('\''));
    Diagnostic::error(codes::SINGLE_QUOTES, "text stands in double quotes", at, "").with_help(help)
}

fn bad_character(at: Span, text: &str) -> Diagnostic {
    let help = match text {
        "“" | "”" | "„" | "«" | "»" => "write `\"`",
        "’" | "‘" | "'" => "text stands in double quotes, and a text must end on its line",
        "`" => "backticks stand around a name, on one line",
        "−" | "–" | "—" => "write `-`",
        "×" => "write `*`",
        "≠" => "write `!=`",
        "≤" => "write `<=`",
        "≥" => "write `>=`",
        "\u{a0}" => "this is a non-breaking space; write a plain one",
        _ => "remove it; names are made of ASCII letters, digits and `_`, others stand in backticks",
    };
    let shown = text.escape_debug();
    Diagnostic::error(codes::BAD_CHARACTER, format!("`{shown}` has no meaning here"), at, "").with_help(help)
}

/// The end of `2026-01-01` or `2026-01-01T10:00:00Z` without quotes.
fn bare_date(text: &str, token: &Token, next: &str) -> Option<usize> {
    let year = &text[token.start..token.end];
    if year.len() != 4 || next != "-" {
        return None;
    }
    let length = text[token.start..]
        .bytes()
        .take(40)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'+'))
        .count();
    let run = text[token.start..token.start + length].trim_end_matches(['.', ':', '+', '-']);
    let bytes = run.as_bytes();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let date = [0, 1, 2, 3, 5, 6, 8, 9].into_iter().all(digit) && bytes[4] == b'-' && bytes[7] == b'-';
    let ends = bytes.get(10).is_none_or(|after| *after == b'T');
    (date && ends).then_some(token.start + run.len())
}

fn date_without_quotes(at: Span, written: &str) -> Diagnostic {
    let (what, mark) = if written.contains('T') { ("a timestamp", "t") } else { ("a date", "d") };
    Diagnostic::error(codes::BARE_DATE, format!("{what} is written in quotes"), at, "this would be a subtraction")
        .with_help(format!("`{mark}\"{written}\"`"))
}

/// Says why reading stopped where it did.
pub(super) fn explain(file: FileId, text: &str, tokens: &Tokens, part: Part, mistake: &Mistake) -> Diagnostic {
    let index = tokens.at_or_after(mistake.at);
    let Some(token) = tokens.list.get(index) else {
        return at_the_end(file, tokens, part, mistake);
    };
    let at = span(file, token.start, token.end);
    if mistake.too_deep {
        return too_deep(at);
    }
    let stop = Stop { tokens, text, index, at, expected: &mistake.expected };
    stop.misplaced_word()
        .or_else(|| stop.misplaced_mark())
        .or_else(|| stop.wrong_name())
        .unwrap_or_else(|| stop.plain())
}

fn at_the_end(file: FileId, tokens: &Tokens, part: Part, mistake: &Mistake) -> Diagnostic {
    let end = tokens.list.last().map_or(part.start, |token| token.end);
    let at = span(file, end.saturating_sub(1), end);
    if mistake.too_deep {
        return too_deep(at);
    }
    let message = match in_words(&mistake.expected) {
        Some(words) => format!("the file ends where {words} should follow"),
        None => "the file ends too early".to_owned(),
    };
    Diagnostic::error(codes::SYNTAX, message, at, "the end").with_help("finish what was begun here, or remove it")
}

/// Where reading stopped.
struct Stop<'t> {
    tokens: &'t Tokens,
    text: &'t str,
    index: usize,
    at: Span,
    expected: &'t [Rule],
}

impl<'t> Stop<'t> {
    fn word(&self, index: usize) -> &'t str {
        self.tokens.list.get(index).map_or("", |token| &self.text[token.start..token.end])
    }

    fn here(&self) -> &'t str {
        self.word(self.index)
    }

    fn before(&self) -> &'t str {
        self.index.checked_sub(1).map_or("", |before| self.word(before))
    }

    fn kind(&self) -> Kind {
        self.tokens.list[self.index].kind
    }

    fn expects(&self, rules: &[Rule]) -> bool {
        self.expected.iter().any(|rule| rules.contains(rule))
    }

    fn error(&self, code: &'static str, message: impl Into<String>, help: impl Into<String>) -> Option<Diagnostic> {
        Some(Diagnostic::error(code, message, self.at, "").with_help(help))
    }

    /// Words of other languages.
    fn misplaced_word(&self) -> Option<Diagnostic> {
        let next = self.word(self.index + 1);
        let (word, index) = match self.kind() {
            Kind::Word => (self.here(), self.index),
            // `var x` stops at `x`, because `var` could have been a place to assign to.
            _ => (self.before(), self.index.checked_sub(1)?),
        };
        let previous = self.before();
        let other_let = |word: &str| matches!(word, "var" | "mut" | "val" | "def" | "auto");
        match word {
            "while" | "for" | "foreach" | "loop" if index == self.index => self.loops(self.at),
            "return" if index == self.index => self.returns(self.at),
            _ if index != self.index => None,
            _ if matches!(previous, "while" | "for" | "foreach" | "loop") && !self.expects(&[Rule::EOI]) => {
                self.loops(self.span_of(self.index - 1))
            }
            _ if previous == "return" => self.returns(self.span_of(self.index - 1)),
            _ if previous == "const" && self.expects(&[Rule::set]) => {
                self.lets(self.span_of(self.index - 1), previous, word)
            }
            _ if other_let(word)
                && self.tokens.list.get(self.index + 1).is_some_and(|next| next.kind == Kind::Word) =>
            {
                self.lets(self.at, word, next)
            }
            _ if other_let(previous) => self.lets(self.span_of(self.index - 1), previous, word),
            _ => None,
        }
    }

    fn span_of(&self, index: usize) -> Span {
        let token = self.tokens.list[index];
        Span { start: token.start as u32, end: token.end as u32, ..self.at }
    }

    fn loops(&self, at: Span) -> Option<Diagnostic> {
        let help = "use `.map(x => …)`, `.filter(x => …)`, `.sum()` or `.fold(start, (sum, x) => …)` of a list";
        Some(Diagnostic::error(codes::LOOP, "there are no loops", at, "").with_help(help))
    }

    fn returns(&self, at: Span) -> Option<Diagnostic> {
        let help = "leave it out: the last expression is the result; a handler ends early with `skip`";
        Some(Diagnostic::error(codes::RETURN, "there is no `return`", at, "").with_help(help))
    }

    fn lets(&self, at: Span, word: &str, name: &str) -> Option<Diagnostic> {
        let help = format!("`let {name} = …`");
        Some(Diagnostic::error(codes::OTHER_LET, format!("`{word}` is written `let`"), at, "").with_help(help))
    }

    fn misplaced_mark(&self) -> Option<Diagnostic> {
        let before = self.before();
        match self.here() {
            "?" => self.error(codes::TERNARY, "there is no `? :`", "`if a { b } else { c }`"),
            "++" | "--" => {
                let op = &self.here()[..1];
                let help = format!("`{before} {op}= 1`");
                self.error(codes::INCREMENT, format!("there is no `{}`", self.here()), help)
            }
            "=" if ends_operand(before) && self.expects(&[Rule::infix]) => {
                self.error(codes::ASSIGNMENT_AS_CONDITION, "a comparison is written `==`", "`==`")
            }
            "/=" => self.error(codes::SYNTAX, "there is no `/=`", format!("`{before} = {before} / …`")),
            here if self.kind() == Kind::Number && here.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
                let help =
                    "numbers are `42`, `12.50`, `0.1f`; durations `1h30m`, `250ms`, `7d`; a name starts with a letter";
                self.error(codes::BAD_NUMBER, format!("`{here}` is neither a number nor a duration"), help)
            }
            _ => None,
        }
    }

    /// A name in the wrong case, a reserved word, or a word that means nothing here.
    fn wrong_name(&self) -> Option<Diagnostic> {
        let here = self.here();
        if self.kind() == Kind::Open && here == "{" && matches!(self.word(self.index.wrapping_sub(2)), "on" | "|") {
            return self.upper_case(self.before(), self.span_of(self.index - 1));
        }
        if self.kind() != Kind::Word {
            return None;
        }
        let upper = here.starts_with(|first: char| first.is_ascii_uppercase());
        let names =
            [Rule::ident, Rule::state_field, Rule::variant, Rule::place, Rule::stmt, Rule::parameter, Rule::key_part];
        if upper && self.expects(&names) {
            let help = format!("`{}`", snake_case(here));
            return self.error(
                codes::LOWER_CASE_NEEDED,
                format!("`{here}` names a value, and values are in snake_case"),
                help,
            );
        }
        if !upper && self.expects(&[Rule::type_name, Rule::event_pattern]) && !self.expects(&[Rule::type_expr]) {
            return self.upper_case(here, self.at);
        }
        if self.expects(&[Rule::ident, Rule::state_field, Rule::variant, Rule::parameter]) && is_reserved(here) {
            let help = format!("choose another name, or quote it: `` `{here}` ``");
            return self.error(codes::RESERVED_WORD, format!("`{here}` is a word of the language"), help);
        }
        self.unknown_word(here)
    }

    fn upper_case(&self, word: &str, at: Span) -> Option<Diagnostic> {
        let message = format!("`{word}` names a type or an event, and those are in PascalCase");
        let help = format!("`{}`", pascal_case(word));
        Some(Diagnostic::error(codes::UPPER_CASE_NEEDED, message, at, "").with_help(help))
    }

    fn unknown_word(&self, here: &str) -> Option<Diagnostic> {
        if self.expects(&[Rule::type_expr]) {
            let message = format!("`{here}` is no type");
            let help = match near_type(here) {
                Some(known) => format!("`{known}`"),
                None => "types are string, int, decimal, decimal(2), float, bool, timestamp, date, duration, uuid, json, list<T>, set<T>, map<K, V>, \
                         and records and enums in PascalCase".to_owned(),
            };
            return self.error(codes::SYNTAX, message, help);
        }
        let (code, what, known): (_, _, &[&str]) = match () {
            () if self.expects(&[Rule::clause]) => (codes::UNKNOWN_CLAUSE, "no clause of a projection", &CLAUSE_WORDS),
            () if self.expects(&[Rule::item]) => (codes::UNKNOWN_ITEM, "no declaration", &ITEM_WORDS),
            () => return None,
        };
        let help = match near(here, known.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None if code == codes::UNKNOWN_ITEM && CLAUSE_WORDS.contains(&here) => {
                "a clause stands inside a projection; is there a `}` too many above?".to_owned()
            }
            None => format!("these are known: {}", known.join(", ")),
        };
        self.error(code, format!("`{here}` is {what}"), help)
    }

    /// Nothing better is known: what stands here and what could.
    fn plain(&self) -> Diagnostic {
        let here = self.here();
        let shown: String = here.chars().take(40).collect();
        let wants_comma = self.expects(&[Rule::comma]) && self.expects(&[Rule::close_call, Rule::close_index]);
        if wants_comma && matches!(self.kind(), Kind::Word | Kind::Number | Kind::Text | Kind::Open | Kind::Quoted) {
            let message = format!("a comma is missing before `{shown}`");
            return Diagnostic::error(codes::SYNTAX, message, self.at, "").with_help(format!("`, {shown}`"));
        }
        if self.expects(&[Rule::kw_else]) && self.expected.len() == 1 {
            let message = "an `if` that gives a value needs an `else`";
            return Diagnostic::error(codes::SYNTAX, message, self.at, "`else` is missing before this")
                .with_help("`else { … }`, with `none` if there is no other value");
        }
        let (message, help) = match in_words(self.expected) {
            Some(words) => (format!("`{shown}` does not fit here"), format!("here may stand {words}")),
            None if self.expected.iter().any(|rule| starts_expression(*rule)) => {
                (format!("`{shown}` does not fit here"), "here may stand an expression".to_owned())
            }
            None => {
                (format!("`{shown}` does not fit here"), format!("look at what stands before it: `{}`", self.before()))
            }
        };
        Diagnostic::error(codes::SYNTAX, message, self.at, "not expected").with_help(help)
    }
}

fn is_reserved(word: &str) -> bool {
    matches!(
        word,
        "if" | "else"
            | "match"
            | "let"
            | "and"
            | "or"
            | "not"
            | "in"
            | "none"
            | "true"
            | "false"
            | "delete"
            | "remove"
            | "skip"
            | "as"
            | "when"
    )
}

/// The type that a word of another language stands for.
fn near_type(word: &str) -> Option<&'static str> {
    let known = match word {
        "text" | "str" | "varchar" | "char" => "string",
        "integer" | "long" | "bigint" | "number" | "i64" | "int64" => "int",
        "boolean" => "bool",
        "double" | "real" | "f64" => "float",
        "money" | "numeric" => "decimal(2)",
        "datetime" | "instant" | "time" => "timestamp",
        "array" | "vec" => "list<…>",
        "dict" | "object" | "hashmap" => "map<…, …>",
        _ => "",
    };
    let types = [
        "string",
        "int",
        "decimal",
        "float",
        "bool",
        "timestamp",
        "date",
        "duration",
        "uuid",
        "bytes",
        "json",
        "list",
        "set",
        "map",
    ];
    match known {
        "" => near(word, types),
        known => Some(known),
    }
}

fn snake_case(word: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in word.chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn pascal_case(word: &str) -> String {
    let upper = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    word.split('_').filter(|part| !part.is_empty()).map(upper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_their_case() {
        assert_eq!(snake_case("TotalBalance"), "total_balance");
        assert_eq!(pascal_case("order_placed"), "OrderPlaced");
    }

    #[test]
    fn types_of_other_languages_are_known() {
        assert_eq!(near_type("boolean"), Some("bool"));
        assert_eq!(near_type("strng"), Some("string"));
        assert_eq!(near_type("xyz"), None);
    }
}
