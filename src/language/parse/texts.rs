//! Literals: texts and their parts, numbers, durations.

use crate::language::ast::{ExprKind, StringPart, Text};
use crate::language::span::Span;

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};
use super::slips;
use super::tokens::braced_character;

impl Builder<'_> {
    /// The parts of a text; a plain one has at most one.
    pub(super) fn string(&mut self, pair: Pair<'_>) -> Vec<StringPart> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        for child in Nodes::of(pair) {
            match child.as_rule() {
                Rule::text | Rule::raw_text => plain.push_str(child.as_str()),
                Rule::escape => plain.extend(escaped(child.as_str())),
                _ => {
                    if !plain.is_empty() {
                        parts.push(StringPart::Text(std::mem::take(&mut plain)));
                    }
                    let expr = Nodes::of(child).need(Rule::expr);
                    parts.push(StringPart::Expr(self.expr(expr)));
                }
            }
        }
        if !plain.is_empty() {
            parts.push(StringPart::Text(plain));
        }
        parts
    }

    /// A text used as a name or a path; empty if it would have to be computed.
    pub(super) fn plain_text(&mut self, pair: Pair<'_>) -> Text {
        let span = self.span(&pair);
        let mut value = String::new();
        for part in self.string(pair) {
            match part {
                StringPart::Text(text) => value.push_str(&text),
                StringPart::Expr(expr) => {
                    self.report(slips::interpolated_name(expr.span));
                    return Text { value: String::new(), span };
                }
            }
        }
        Text { value, span }
    }

    pub(super) fn literal(&mut self, pair: Pair<'_>) -> ExprKind {
        let digits = || pair.as_str().replace('_', "");
        match pair.as_rule() {
            Rule::integer => ExprKind::Int(digits()),
            Rule::decimal => ExprKind::Decimal(digits()),
            Rule::float => ExprKind::Float(digits().trim_end_matches('f').to_owned()),
            Rule::duration => ExprKind::Duration(self.duration(&pair)),
            Rule::timestamp => ExprKind::Timestamp(quoted(pair.as_str())),
            Rule::date => ExprKind::Date(quoted(pair.as_str())),
            Rule::true_literal => ExprKind::Bool(true),
            Rule::false_literal => ExprKind::Bool(false),
            Rule::none => ExprKind::None,
            _ => ExprKind::String(self.string(pair)),
        }
    }

    /// Microseconds of `1h30m`; reports one that does not fit.
    pub(super) fn duration(&mut self, pair: &Pair<'_>) -> i64 {
        let span: Span = self.span(pair);
        microseconds(pair.as_str()).unwrap_or_else(|| {
            self.report(slips::long_duration(span));
            0
        })
    }
}

/// What stands between the quotes of `t"…"`.
fn quoted(literal: &str) -> String {
    literal[1..].trim_matches('"').to_owned()
}

/// The character of `\n` or `\u{1F600}`.
fn escaped(escape: &str) -> Option<char> {
    match &escape[1..] {
        "n" => Some('\n'),
        "t" => Some('\t'),
        "r" => Some('\r'),
        code if code.starts_with('u') => braced_character(&code[1..]),
        other => other.chars().next(),
    }
}

fn microseconds(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit: i64 = match &rest[..letters] {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => 604_800_000_000,
        };
        rest = &rest[letters..];
        total = total.checked_add(count.checked_mul(unit)?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up() {
        assert_eq!(microseconds("1h30m"), Some(5_400_000_000));
        assert_eq!(microseconds("250ms"), Some(250_000));
        assert_eq!(microseconds("1w1d"), Some(691_200_000_000));
        assert_eq!(microseconds("99999999999999d"), None);
    }

    #[test]
    fn escapes_are_their_characters() {
        assert_eq!(escaped(r"\u{1F600}"), Some('😀'));
        assert_eq!(escaped(r"\$"), Some('$'));
        assert_eq!(escaped(r"\u{d800}"), None);
    }
}
