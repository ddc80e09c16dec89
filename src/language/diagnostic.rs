//! What the passes say about a file: one sentence, the exact words it is about, and one fix.
//!
//! The passes build their messages with named constructors that stand beside them (those of `parse` in `parse::slips` and
//! `parse::expected`), so that a pass reads as logic. How a diagnostic looks is up to [`render`](super::render).

use crate::language::span::Span;

/// Whether a file with this diagnostic may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    Error,
    Warning,
}

/// One message about the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// One of [`codes`](super::codes).
    pub code: &'static str,
    /// One sentence that names the author's things. Lower case, no full stop.
    pub message: String,
    /// The first is the place of the mistake; others give the reason. A label may be empty.
    pub labels: Vec<(Span, String)>,
    /// A fix that can be acted on.
    pub help: Option<String>,
    /// Why the rule is there, or what was assumed.
    pub note: Option<String>,
}

impl Diagnostic {
    /// An error at `span`, with a label that says what stands there.
    pub fn error(code: &'static str, message: impl Into<String>, span: Span, label: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code,
            message: message.into(),
            labels: vec![(span, label.into())],
            help: None,
            note: None,
        }
    }

    /// A warning at `span`.
    pub fn warning(code: &'static str, message: impl Into<String>, span: Span, label: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message, span, label) }
    }

    /// Points at a second place: the reason.
    #[must_use]
    pub fn with_label(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.labels.push((span, label.into()));
        self
    }

    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn with_note(mut self, note: impl Into<String>) -> Diagnostic {
        self.note = Some(note.into());
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The place of the mistake.
    pub fn span(&self) -> Span {
        self.labels.first().map(|(span, _)| *span).unwrap_or_default()
    }
}

/// Returns the candidate that `word` was most likely meant to be: at most a third of its letters differ.
pub fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = word.chars().take(NEAR_LETTERS_MAX).collect();
    let allowed = letters.len() / 3;
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (distance(&letters, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Longer words are compared by their beginning, so that a message never costs more than a moment.
const NEAR_LETTERS_MAX: usize = 64;

/// Edits between two words: letters put in, taken out, changed, or two neighbours swapped.
fn distance(word: &[char], other: &str) -> usize {
    let other: Vec<char> = other.chars().take(NEAR_LETTERS_MAX).collect();
    let mut before: Vec<usize> = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, letter) in word.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, candidate) in other.iter().enumerate() {
            let changed = last[j] + usize::from(letter != candidate);
            let mut least = changed.min(row[j] + 1).min(last[j + 1] + 1);
            if i > 0 && j > 0 && *letter == other[j - 1] && word[i - 1] == *candidate {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        assert_eq!(near("ammount", ["account_id", "amount", "at"]), Some("amount"));
        assert_eq!(near("amuont", ["amount"]), Some("amount"));
        assert_eq!(near("fron", ["from", "for"]), Some("from"));
    }

    #[test]
    fn a_name_that_is_too_far_is_not() {
        assert_eq!(near("at", ["as"]), None);
        assert_eq!(near("total", ["currency"]), None);
    }
}
