//! One table of the configuration, taken apart key by key: what is left at the end is an unknown key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::control::config::tree::{Node, Table, Value};
use crate::control::config::{ConfigError, Environment, Secret, expand, units};
use crate::language::diagnostic::near;

/// A table, with what has been asked of it so far.
pub(super) struct Section<'a> {
    file: &'a Path,
    env: Environment<'a>,
    /// As in the file's `[…]`; empty for the file itself.
    name: String,
    line: u32,
    table: Table,
    asked: Vec<String>,
    /// Lines of keys already taken, for errors found later.
    lines: BTreeMap<String, u32>,
}

impl<'a> Section<'a> {
    pub fn root(file: &'a Path, table: Table, env: Environment<'a>) -> Section<'a> {
        Section { file, env, name: String::new(), line: 1, table, asked: Vec::new(), lines: BTreeMap::new() }
    }

    /// The keys not yet taken.
    pub fn keys(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Takes a table.
    pub fn section(&mut self, key: &str) -> Result<Option<Section<'a>>, ConfigError> {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        let Some(Node { line, value }) = self.take(key) else { return Ok(None) };
        let Value::Table(table) = value else {
            return Err(self.wrong(line, format!("`{name}` must be a table: write [{name}]")));
        };
        Ok(Some(Section { name, line, ..Section::root(self.file, table, self.env) }))
    }

    /// Takes a table, an empty one when there is none.
    pub fn section_or_empty(&mut self, key: &str) -> Result<Section<'a>, ConfigError> {
        let empty = Section { name: key.to_owned(), ..Section::root(self.file, Table::new(), self.env) };
        Ok(self.section(key)?.unwrap_or(empty))
    }

    /// Takes a string, its references put in.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        Ok(self.written(key)?.map(|written| written.text))
    }

    /// Takes a string that must be there.
    pub fn required(&mut self, key: &str) -> Result<String, ConfigError> {
        match self.text(key)? {
            Some(text) => Ok(text),
            None => Err(self.wrong(self.line, format!("[{}] needs `{key}`", self.name))),
        }
    }

    /// Takes a string that is never shown.
    pub fn secret(&mut self, key: &str) -> Result<Option<Secret>, ConfigError> {
        Ok(self.text(key)?.map(Secret::new))
    }

    /// Takes a path; a relative one counts from the file's folder.
    pub fn path(&mut self, key: &str) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.text(key)?.map(|path| self.relative(&path)))
    }

    /// A path as seen from the file's folder.
    pub fn relative(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Takes `true` or `false`.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        let word = match self.table.get(key) {
            Some(Node { value: Value::Scalar(word), .. }) => word.parse().ok(),
            _ => None,
        };
        let Some(flag) = word else {
            return self.converted(key, "`true` or `false`", |text| text.parse().ok());
        };
        self.take(key);
        Ok(Some(flag))
    }

    pub fn bytes(&mut self, key: &str) -> Result<Option<u64>, ConfigError> {
        self.converted(key, "a size such as `256MiB`", units::bytes)
    }

    pub fn duration(&mut self, key: &str) -> Result<Option<Duration>, ConfigError> {
        self.converted(key, "a duration such as `200ms` or `30s`", units::duration)
    }

    pub fn address(&mut self, key: &str) -> Result<Option<SocketAddr>, ConfigError> {
        self.converted(key, "an address such as `127.0.0.1:7070`", |text| {
            text.replacen("localhost:", "127.0.0.1:", 1).parse().ok()
        })
    }

    /// Takes every key that is left as text, for what is passed through.
    pub fn rest(&mut self) -> Result<BTreeMap<String, Secret>, ConfigError> {
        let mut rest = BTreeMap::new();
        for key in self.keys() {
            let value = match self.table.get(&key) {
                Some(Node { value: Value::Scalar(text), .. }) => Some(Secret::new(text.clone())),
                _ => self.secret(&key)?,
            };
            self.table.remove(&key);
            rest.extend(value.map(|value| (key, value)));
        }
        Ok(rest)
    }

    /// Ends the section: a key nobody took is an error.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some((key, node)) = self.table.first_key_value() else { return Ok(()) };
        let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
        let known = self.asked.iter().map(String::as_str);
        let help = match near(key, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", self.asked.join(", ")),
        };
        Err(self.wrong(node.line, format!("unknown key `{key}`{place}; {help}")))
    }

    /// An error about the value of a key that was taken.
    pub fn wrong_key(&self, key: &str, what: String) -> ConfigError {
        self.wrong(self.lines.get(key).copied().unwrap_or(self.line), what)
    }

    fn converted<T>(
        &mut self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(written) = self.written(key)? else { return Ok(None) };
        let Some(value) = convert(&written.text) else {
            // What a variable held may be a secret put in the wrong place.
            let shown = if written.literal { format!(", and `{}` is not", written.text) } else { String::new() };
            return Err(self.wrong_key(key, format!("`{key}` must be {wanted}{shown}")));
        };
        Ok(Some(value))
    }

    fn written(&mut self, key: &str) -> Result<Option<Written>, ConfigError> {
        let Some(Node { line, value }) = self.take(key) else { return Ok(None) };
        let what = match value {
            Value::Text(text) => {
                let literal = !text.contains("${");
                let text =
                    expand::expand(&text, self.env).map_err(|why| self.wrong(line, format!("`{key}`: {why}")))?;
                return Ok(Some(Written { text, literal }));
            }
            Value::Scalar(text) => format!("`{key}` must be text: write \"{text}\""),
            Value::Table(_) => format!("`{key}` must be text, not a table"),
            Value::Other(kind) => format!("`{key}` must be text, not {kind}"),
        };
        Err(self.wrong(line, what))
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        self.asked.push(key.to_owned());
        let node = self.table.remove(key)?;
        self.lines.insert(key.to_owned(), node.line);
        Some(node)
    }

    fn wrong(&self, line: u32, what: String) -> ConfigError {
        ConfigError::Wrong { file: self.file.to_owned(), line, what }
    }
}

/// A string of the file.
struct Written {
    text: String,
    /// It has no reference to a variable or a file: it may be shown.
    literal: bool,
}
