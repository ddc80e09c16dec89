//! TOML text → a tree with a line on every key, and a profile laid over it.

use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::control::config::ConfigError;
use crate::language::diagnostic::near;

/// Keys with their lines and values.
pub(super) type Table = BTreeMap<String, Node>;

/// What stands at a key.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub line: u32,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    /// A number or a truth value, as it was written: some options are passed through as text.
    Scalar(String),
    Table(Table),
    /// Nothing of ours takes one.
    Other(&'static str),
}

/// Reads the text.
pub(super) fn parse(file: &Path, text: &str) -> Result<Table, ConfigError> {
    let line = |at: usize| 1 + text[..at].bytes().filter(|byte| *byte == b'\n').count() as u32;
    match DeTable::parse(text) {
        Ok(table) => Ok(own(table.get_ref(), &line)),
        Err(error) => Err(ConfigError::Wrong {
            file: file.to_owned(),
            line: line(error.span().map_or(0, |span| span.start)),
            what: error.message().lines().collect::<Vec<_>>().join(", "),
        }),
    }
}

fn own(table: &DeTable<'_>, line: &dyn Fn(usize) -> u32) -> Table {
    let node = |at: usize, value: &DeValue<'_>| Node {
        line: line(at),
        value: match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => Value::Scalar(number.to_string()),
            DeValue::Float(number) => Value::Scalar(number.to_string()),
            DeValue::Boolean(truth) => Value::Scalar(truth.to_string()),
            DeValue::Datetime(_) => Value::Other("a time"),
            DeValue::Array(_) => Value::Other("a list"),
            DeValue::Table(table) => Value::Table(own(table, line)),
        },
    };
    table.iter().map(|(key, value)| (key.get_ref().to_string(), node(key.span().start, value.get_ref()))).collect()
}

/// Takes `[profiles]` out of the tree and lays the chosen one over the rest.
pub(super) fn apply_profile(file: &Path, root: &mut Table, name: Option<&str>) -> Result<(), ConfigError> {
    let profiles = root.remove("profiles");
    let Some(name) = name else { return Ok(()) };
    let mut profiles = match profiles {
        Some(Node { value: Value::Table(profiles), .. }) => profiles,
        _ => Table::new(),
    };
    match profiles.remove(name) {
        Some(Node { value: Value::Table(profile), .. }) => {
            lay_over(root, profile);
            Ok(())
        }
        Some(Node { line, .. }) => {
            Err(ConfigError::Wrong { file: file.to_owned(), line, what: format!("[profiles.{name}] must be a table") })
        }
        None => {
            let known = profiles.keys().map(String::as_str);
            let help = near(name, known).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(ConfigError::Missing { file: file.to_owned(), what: format!("there is no [profiles.{name}]{help}") })
        }
    }
}

/// Tables are merged key by key. A table that changes its `kind` is another thing altogether and replaces what was there:
/// the path of an event log means nothing to a broker.
fn lay_over(under: &mut Table, over: Table) {
    for (key, node) in over {
        match (under.get_mut(&key).map(|node| &mut node.value), node.value) {
            (Some(Value::Table(below)), Value::Table(above)) if !changes_kind(below, &above) => lay_over(below, above),
            (_, value) => {
                under.insert(key, Node { line: node.line, value });
            }
        }
    }
}

fn changes_kind(below: &Table, above: &Table) -> bool {
    let kind = |table: &Table| match table.get("kind") {
        Some(Node { value: Value::Text(kind), .. }) => Some(kind.clone()),
        _ => None,
    };
    kind(above).is_some_and(|above| kind(below).as_ref() != Some(&above))
}
