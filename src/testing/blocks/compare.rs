//! Two documents → what differs, field by field.

use serde_json::Value as Json;

/// A field that is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// `customer.name`, `lines[0].qty`; empty for the whole document.
    pub path: String,
    /// As JSON; `None`: not expected to be there.
    pub expected: Option<String>,
    /// As JSON; `None`: not there.
    pub got: Option<String>,
}

/// What an expectation lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    /// All fields, at every depth.
    All,
    /// Those that matter; others are free.
    Some,
}

/// Compares what was expected with what is there.
pub(super) fn differences(expected: Option<&Json>, got: Option<&Json>, listed: Listed) -> Vec<Difference> {
    let mut found = Vec::new();
    compare(String::new(), expected, got, listed, &mut found);
    found
}

/// Documents nest no deeper than programs may, so this may recurse.
fn compare(path: String, expected: Option<&Json>, got: Option<&Json>, listed: Listed, found: &mut Vec<Difference>) {
    match (expected, got) {
        (Some(Json::Object(expected)), Some(Json::Object(got))) => {
            let free = got.keys().filter(|name| listed == Listed::All && !expected.contains_key(*name));
            for name in expected.keys().chain(free) {
                let dot = if path.is_empty() { "" } else { "." };
                compare(format!("{path}{dot}{name}"), expected.get(name), got.get(name), listed, found);
            }
        }
        (Some(Json::Array(expected)), Some(Json::Array(got))) if expected.len() == got.len() => {
            for (index, (expected, got)) in expected.iter().zip(got).enumerate() {
                compare(format!("{path}[{index}]"), Some(expected), Some(got), listed, found);
            }
        }
        // `omit_none` leaves out what is null.
        (Some(Json::Null), None) => {}
        (expected, got) if expected == got => {}
        (Some(Json::Number(expected)), Some(Json::Number(got))) if expected.as_f64() == got.as_f64() => {}
        (expected, got) => {
            let (expected, got) = (expected.map(Json::to_string), got.map(Json::to_string));
            found.push(Difference { path, expected, got });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths(expected: Json, got: Json, listed: Listed) -> Vec<String> {
        differences(Some(&expected), Some(&got), listed).into_iter().map(|difference| difference.path).collect()
    }

    #[test]
    fn listed_fields_are_compared_at_every_depth() {
        let got = json!({ "a": 1, "b": { "c": 2, "d": 3 }, "l": [{ "x": 1, "y": 2 }] });
        assert_eq!(paths(json!({ "b": { "c": 2 }, "l": [{ "x": 1 }] }), got.clone(), Listed::Some), [] as [&str; 0]);
        assert_eq!(paths(json!({ "b": { "c": 3 }, "l": [{ "x": 2 }] }), got.clone(), Listed::Some), ["b.c", "l[0].x"]);
        assert_eq!(paths(json!({ "b": { "c": 2 }, "l": [] }), got, Listed::All), ["b.d", "l", "a"]);
    }

    #[test]
    fn numbers_compare_by_value_and_null_as_missing() {
        assert_eq!(paths(json!({ "a": 1.0, "b": null }), json!({ "a": 1 }), Listed::All), [] as [&str; 0]);
        assert_eq!(paths(json!({ "a": "1" }), json!({ "a": 1 }), Listed::All), ["a"]);
    }
}
