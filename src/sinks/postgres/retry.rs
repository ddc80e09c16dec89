//! An error of the server or of the way to it → what it means for what was asked.

use std::fmt::Write;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

/// What an error says about a transaction whose commit was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A value is at fault: some document of the batch can never be written.
    Data,
    /// The server has too much to do.
    Busy,
    /// It may succeed later, on this session.
    Later,
    /// The table is not as it was when it was looked at, or may not be written.
    Shape,
    /// The session is of no more use.
    Broken,
}

pub(super) fn classify(error: &Error) -> Class {
    match error.as_db_error() {
        Some(error) => class_of(error.code().code()),
        None => Class::Broken,
    }
}

fn class_of(code: &str) -> Class {
    match code {
        "0A000" | "26000" => Class::Shape,
        // 25006: it has become a standby.
        "25006" => Class::Broken,
        _ => match &code[..code.len().min(2)] {
            // P0: a trigger of the user's said no. 54: a key is too long for an index.
            "21" | "22" | "23" | "44" | "54" | "P0" => Class::Data,
            "40" | "55" => Class::Later,
            "53" => Class::Busy,
            "42" | "3F" | "3D" => Class::Shape,
            "57" if code == "57014" => Class::Later,
            "08" | "57" | "58" | "XX" | "25" => Class::Broken,
            _ => Class::Later,
        },
    }
}

/// Whether what was asked of the claims failed because a table is not what it was. A claim of a table that is gone has no oid.
pub(super) fn is_of_shape(error: &Error) -> bool {
    let is_null = error.as_db_error().is_some_and(|error| error.code().code() == "23502");
    is_null || classify(error) == Class::Shape
}

/// Whether a value itself is refused, whatever it is for.
pub(super) fn is_value(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| error.code().code().starts_with("22"))
}

/// Whether an error that a commit was answered with says surely that nothing was written.
pub(super) fn is_surely_undone(error: &Error) -> bool {
    let code = error.as_db_error().map_or("", |error| error.code().code());
    // 40003 says that nobody knows.
    code != "40003" && ["21", "22", "23", "40", "44", "54", "P0"].iter().any(|class| code.starts_with(class))
}

/// An error as a person reads it: what the server said, and of what.
pub(super) fn text(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => server_text(error),
        None => {
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                let _ = write!(text, ": {error}");
                cause = error.source();
            }
            text
        }
    }
}

fn server_text(error: &DbError) -> String {
    let mut text = error.message().to_owned();
    for (what, name) in [("column", error.column()), ("constraint", error.constraint())] {
        if let Some(name) = name.filter(|name| !error.message().contains(*name)) {
            let _ = write!(text, ", {what} `{name}`");
        }
    }
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        let _ = write!(text, "; {}", more.trim_end_matches('.'));
    }
    let _ = write!(text, " ({})", error.code().code());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_values_are_blamed_for_what_they_did() {
        for (code, class) in [
            ("22003", Class::Data),
            ("22021", Class::Data),
            ("23502", Class::Data),
            ("23505", Class::Data),
            ("P0001", Class::Data),
            ("40001", Class::Later),
            ("40P01", Class::Later),
            ("55P03", Class::Later),
            ("57014", Class::Later),
            ("53300", Class::Busy),
            ("53100", Class::Busy),
            ("42P01", Class::Shape),
            ("42703", Class::Shape),
            ("42501", Class::Shape),
            ("57P01", Class::Broken),
            ("57P03", Class::Broken),
            ("25006", Class::Broken),
            ("25P03", Class::Broken),
            ("08006", Class::Broken),
            ("XX000", Class::Broken),
        ] {
            assert_eq!(class_of(code), class, "{code}");
        }
    }
}
