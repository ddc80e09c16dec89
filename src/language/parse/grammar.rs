//! The parser that pest makes from the grammar file. `Rule` does not leave `parse`.

use pest::Parser;
use pest::error::{ErrorVariant, InputLocation};

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/projection.pest"]
struct ProjectionParser;

pub(super) type Pair<'t> = pest::iterators::Pair<'t, Rule>;
pub(super) type Pairs<'t> = pest::iterators::Pairs<'t, Rule>;

/// How far reading came.
pub(super) struct Error {
    /// Bytes from the start of the text.
    pub at: usize,
    /// What could have stood there.
    pub expected: Vec<Rule>,
    /// The parser stopped by itself rather than at a mistake.
    pub too_deep: bool,
}

/// Reads all of a text by one rule.
pub(super) fn read(rule: Rule, text: &str) -> Result<Pair<'_>, Error> {
    match ProjectionParser::parse(rule, text) {
        Ok(mut pairs) => Ok(pairs.next().expect("a rule that was read is one pair")),
        Err(error) => {
            let at = match error.location {
                InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
            };
            let (expected, too_deep) = match error.variant {
                ErrorVariant::ParsingError { positives, .. } => (positives, false),
                ErrorVariant::CustomError { .. } => (Vec::new(), true),
            };
            Err(Error { at, expected, too_deep })
        }
    }
}

impl Rule {
    /// Words and marks that stand at the end of the grammar: they say nothing that their place does not.
    pub(super) fn is_mark(self) -> bool {
        self >= Rule::open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_marks_stand_last() {
        for rule in Rule::all_rules() {
            let name = format!("{rule:?}");
            let mark = name.starts_with("kw_")
                || ["open", "close", "comma", "colon", "bar", "equals", "arrow", "result"].contains(&name.as_str())
                || (name.starts_with("open_") || name.starts_with("close_"));
            assert_eq!(rule.is_mark(), mark, "{name}");
        }
    }
}
