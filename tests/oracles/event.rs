//! Events for both sides: the JSON a producer would write, and what a reader without the crate makes of it.
//!
//! The plain side reads with `serde_json`, `bigdecimal` and `jiff`. Where several fields are out of
//! order the first that the program uses is the fault: those of `where`, of the key, of the aggregates and handlers.

use std::str::FromStr;

use bigdecimal::BigDecimal;
use serde_json::value::RawValue;

use super::exact;
use super::step::{Plain, decode};
use crate::recovery::random::Random;

/// Where an event tells its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeIn {
    Header(&'static str),
    Field(&'static str),
    Nowhere,
}

#[derive(Debug, Clone)]
pub struct Event {
    pub topic: &'static str,
    pub partition: i32,
    pub offset: i64,
    pub time: Option<i64>,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
    pub kind: &'static str,
    pub type_in: TypeIn,
    pub tombstone: bool,
    /// JSON by name; a field that is missing is not here.
    pub fields: Vec<(&'static str, String)>,
}

impl Event {
    pub fn new(topic: &'static str, type_in: TypeIn, kind: &'static str, offset: i64) -> Event {
        let mut headers = Vec::new();
        if let TypeIn::Header(name) = type_in {
            headers.push((name.to_owned(), kind.to_owned()));
        }
        let (key, time) = (Some(b"k".to_vec()), Some(offset * 1000));
        Event { topic, partition: 0, offset, time, key, headers, kind, type_in, tombstone: false, fields: Vec::new() }
    }

    pub fn with(mut self, name: &'static str, json: String) -> Event {
        self.fields.push((name, json));
        self
    }

    /// Perhaps puts one field out of order: takes it away, or gives it a value of another kind.
    pub fn perhaps_broken(mut self, random: &mut Random, one_in: usize) -> Event {
        if random.one_in(one_in) && !self.fields.is_empty() {
            let at = random.below(self.fields.len());
            match random.below(3) {
                0 => drop(self.fields.remove(at)),
                1 => self.fields[at].1 = "null".into(),
                _ => {
                    let other = ["{}", "[]", "true", "\"no such thing\"", "0.5", "\"\\ud800\"", "1e999", "[[1]]"];
                    self.fields[at].1 = (*random.pick(&other)).to_owned();
                }
            }
        }
        self
    }

    /// The value of the record.
    pub fn json(&self) -> Option<String> {
        if self.tombstone {
            return None;
        }
        let mut members: Vec<String> = self.fields.iter().map(|(name, json)| format!("\"{name}\": {json}")).collect();
        if let TypeIn::Field(name) = self.type_in {
            members.insert(members.len() / 2, format!("\"{name}\":\"{}\"", self.kind));
        }
        Some(format!("{{{}}}", members.join(", ")))
    }

    fn raw(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().rfind(|(field, _)| *field == name);
        found.map(|(_, json)| &**json).filter(|json| *json != "null")
    }

    /// A required field.
    pub fn get<T>(&self, name: &str, read: impl FnOnce(&str) -> Plain<T>) -> Plain<T> {
        self.raw(name).map_or(decode("R0108"), read)
    }

    /// An optional field.
    pub fn find<T>(&self, name: &str, read: impl FnOnce(&str) -> Plain<T>) -> Plain<Option<T>> {
        self.raw(name).map(read).transpose()
    }
}

pub fn int(raw: &str) -> Plain<i64> {
    if !raw.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) || raw.contains("e999") {
        return decode("R0103");
    }
    let number = BigDecimal::from_str(raw).expect("JSON numbers are numbers");
    match exact::whole(&number) {
        None => decode("R0103"),
        Some(whole) => i64::try_from(whole).or(decode("R0101")),
    }
}

pub fn decimal(raw: &str) -> Plain<BigDecimal> {
    if raw == "1e999" {
        return decode("R0102");
    }
    let text = match raw.as_bytes()[0] {
        b'"' => text(raw)?,
        b'-' | b'0'..=b'9' => raw.to_owned(),
        _ => return decode("R0103"),
    };
    let Ok(number) = BigDecimal::from_str(&text) else { return decode("R0103") };
    if exact::holds(&number) { Ok(number) } else { decode("R0102") }
}

pub fn scaled(raw: &str, scale: i64) -> Plain<BigDecimal> {
    let number = decimal(raw)?;
    if exact::holds_at(&number, scale) { Ok(number) } else { decode("R0102") }
}

pub fn float(raw: &str) -> Plain<f64> {
    if !raw.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return decode("R0103");
    }
    let number: f64 = raw.parse().expect("JSON numbers are numbers");
    if number.is_finite() { Ok(number) } else { decode("R0103") }
}

pub fn text(raw: &str) -> Plain<String> {
    serde_json::from_str(raw).or(decode("R0103"))
}

pub fn short_text(raw: &str, length: usize) -> Plain<String> {
    let text = text(raw)?;
    if text.chars().count() <= length { Ok(text) } else { decode("R0107") }
}

pub fn boolean(raw: &str) -> Plain<bool> {
    serde_json::from_str(raw).or(decode("R0103"))
}

pub fn list<T>(raw: &str, read: impl Fn(&str) -> Plain<T>) -> Plain<Vec<T>> {
    let Ok(items) = serde_json::from_str::<Vec<Box<RawValue>>>(raw) else { return decode("R0103") };
    let one = |item: &str| if item == "null" { decode("R0108") } else { read(item) };
    items.iter().map(|item| one(item.get())).collect()
}

/// The members of an object, the last of equal names; `None` where a value is null.
pub fn object(raw: &str) -> Plain<Vec<(String, Option<String>)>> {
    let Ok(members) = serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(raw) else {
        return decode("R0103");
    };
    let value = |raw: Box<RawValue>| Some(raw.get().to_owned()).filter(|raw| raw != "null");
    Ok(members.into_iter().map(|(name, raw)| (name, value(raw))).collect())
}

/// A member of an object that was read.
pub fn member<T>(
    object: &[(String, Option<String>)],
    name: &str,
    read: impl FnOnce(&str) -> Plain<T>,
) -> Plain<Option<T>> {
    let found = object.iter().find(|(member, _)| member == name).and_then(|(_, raw)| raw.as_deref());
    found.map(read).transpose()
}

pub fn required<T>(found: Option<T>) -> Plain<T> {
    found.map_or(decode("R0108"), Ok)
}
