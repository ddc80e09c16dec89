//! What one event did to one projection, as both sides tell it, and the bookkeeping of the plain side: rows, roll-back, documents.

use std::collections::BTreeMap;

use serde_json::json;

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Dropped,
    Filtered,
    Untouched,
    Touched,
    Skipped,
    Deleted,
    /// Class and code.
    Fault(&'static str, String),
}

/// The document of a sink: its text, none, or the code of the fault that keeps it from being written.
pub type Document = Result<Option<String>, String>;

/// What an event did, and what its key's documents are after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub said: Said,
    pub key: Option<String>,
    pub documents: Vec<(String, Document)>,
}

impl Step {
    pub fn without_key(said: Said) -> Step {
        Step { said, key: None, documents: Vec::new() }
    }
}

/// A fault of the plain side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    pub class: &'static str,
    pub code: &'static str,
}

pub type Plain<T> = Result<T, Wrong>;

pub fn decode<T>(code: &'static str) -> Plain<T> {
    Err(Wrong { class: "decode", code })
}

pub fn eval<T>(code: &'static str) -> Plain<T> {
    Err(Wrong { class: "eval", code })
}

/// How a handler ended.
pub enum End {
    Touched,
    Untouched,
    Skip,
    Delete,
}

/// A row of the plain side: the JSON of every field that was ever set, and what else its fold needs to know.
#[derive(Debug, Clone, Default)]
pub struct Shown<T> {
    pub fields: BTreeMap<&'static str, String>,
    pub own: T,
}

impl<T> Shown<T> {
    pub fn set(&mut self, field: &'static str, json: String) {
        self.fields.insert(field, json);
    }
}

/// The rows of a projection.
pub struct Rows<T> {
    pub rows: BTreeMap<String, Shown<T>>,
}

impl<T: Clone + Default> Rows<T> {
    pub fn new() -> Rows<T> {
        Rows { rows: BTreeMap::new() }
    }

    /// Runs a handler on the row of a key: all or nothing. `documents` shows what is left of the row.
    pub fn fold(
        &mut self,
        key: String,
        handler: impl FnOnce(&mut Shown<T>, bool) -> Plain<End>,
        documents: impl FnOnce(&str, Option<&Shown<T>>) -> Vec<(String, Document)>,
    ) -> Step {
        let before = self.rows.get(&key).cloned();
        let mut row = before.clone().unwrap_or_default();
        let said = match handler(&mut row, before.is_some()) {
            Ok(End::Touched) => Said::Touched,
            Ok(End::Untouched) => Said::Untouched,
            Ok(End::Skip) => Said::Skipped,
            Ok(End::Delete) => Said::Deleted,
            Err(wrong) => Said::Fault(wrong.class, wrong.code.to_owned()),
        };
        match said {
            Said::Touched => drop(self.rows.insert(key.clone(), row)),
            Said::Deleted => drop(self.rows.remove(&key)),
            _ => {}
        }
        let documents = documents(&key, self.rows.get(&key));
        Step { said, key: Some(key), documents }
    }
}

/// Either a step of its own, or the fault that comes before there is a key.
pub fn step_or_fault(step: Plain<Step>) -> Step {
    step.unwrap_or_else(|wrong| Step::without_key(Said::Fault(wrong.class, wrong.code.to_owned())))
}

/// `{"a":1,…,"_proj":{…}}` of a list of fields and their JSON.
pub fn document<'f>(projection: &str, version: u64, fields: impl IntoIterator<Item = (&'f str, String)>) -> String {
    let mut out = String::from("{");
    for (name, json) in fields {
        out += &format!("{}:{json},", json!(name));
    }
    out + &format!(r#""_proj":{{"p":"{projection}","v":{version}}}}}"#)
}

/// The parts of a key as one text.
pub fn key_text(parts: &[&str]) -> String {
    let escaped: Vec<String> = parts.iter().map(|part| part.replace('%', "%25").replace('|', "%7C")).collect();
    escaped.join("|")
}
