//! Documents → the texts of their columns, and rows → documents again.
//!
//! Every value crosses as text and is cast by the server to the type of its column, so that one way serves all types and all
//! digits arrive. What PostgreSQL writes differently is put right here: bytes (hex, not base64), durations, the year 0,
//! and arrays.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::columns::Table;
use crate::event::Version;
use crate::plan::key::parse_key;
use crate::sinks::{DocumentBody, DocumentWrite};
use crate::value::{Decimal, Type, Value, date, duration, json, text, timestamp, uuid};

/// The texts of a row, in the order of the columns; `None` is NULL.
pub(super) type Cells<'a> = Vec<Option<Cow<'a, str>>>;

/// A write as the statements take it.
pub(super) struct Item<'a> {
    /// Of the primary key, in its order.
    pub key: Vec<String>,
    /// `None` for a delete.
    pub cells: Option<Cells<'a>>,
    pub version: Version,
}

/// Encodes a write for a table whose columns have these types (as the server calls them).
pub(super) fn item<'a>(table: &Table, types: &[String], write: &'a DocumentWrite) -> Result<Item<'a>, String> {
    let cells = match &write.body {
        DocumentBody::Document(body) => Some(cells(table, types, body)?),
        DocumentBody::Delete => None,
    };
    Ok(Item { key: key(table, types, &write.key)?, cells, version: write.version })
}

/// The primary key of a key text.
pub(super) fn key(table: &Table, types: &[String], key_text: &str) -> Result<Vec<String>, String> {
    let parts = parse_key(key_text, &table.key).ok_or_else(|| format!("`{key_text}` is no key of this projection"))?;
    let shown = table.primary_key.iter().map(|column| {
        let text = text::of(&parts[column.part], &table.key[column.part].ty);
        scalar(&text, &types[column.column]).into_owned()
    });
    Ok(shown.collect())
}

fn cells<'a>(table: &Table, types: &[String], body: &'a [u8]) -> Result<Cells<'a>, String> {
    let Fields(fields) =
        serde_json::from_slice(body).map_err(|error| format!("the document cannot be read: {error}"))?;
    // They come in the order of the columns, and those that are `none` may be left out.
    let mut next = 0;
    let columns = table.columns.iter().zip(types);
    let each = columns.map(|(column, ty)| {
        let is_it = |(name, _): &&(Cow<'a, str>, &'a RawValue)| *name == *column.name;
        match fields.get(next).filter(is_it).or_else(|| fields.iter().find(is_it)) {
            Some((_, json)) => {
                next += 1;
                cell(json, ty)
            }
            None => Ok(None),
        }
    });
    each.collect()
}

/// The fields of a document, in its order.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields<'de>, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a document")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some((Text(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Text that is borrowed from the document where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// JSON as the text of a column of this type.
fn cell<'a>(json: &'a RawValue, ty: &str) -> Result<Option<Cow<'a, str>>, String> {
    let raw = json.get();
    if raw == "null" {
        return Ok(None);
    }
    if ["json", "jsonb"].contains(&ty) {
        return Ok(Some(raw.into()));
    }
    match (raw.as_bytes()[0], ty.strip_suffix("[]")) {
        (b'[', Some(element)) => array(raw, element).map(|array| Some(array.into())),
        (b'"', _) => {
            let Text(text) = serde_json::from_str(raw).map_err(|error| error.to_string())?;
            Ok(Some(match scalar(&text, ty) {
                Cow::Owned(text) => text.into(),
                Cow::Borrowed(_) => text,
            }))
        }
        _ => Ok(Some(raw.into())),
    }
}

/// A JSON array as PostgreSQL writes arrays.
fn array(json: &str, element: &str) -> Result<String, String> {
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let mut out = String::from("{");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match cell(item, element)? {
            None => out.push_str("NULL"),
            Some(text) => {
                out.push('"');
                for c in text.chars() {
                    if ['"', '\\'].contains(&c) {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    Ok(out)
}

/// A text of a document as the text of a value of this type.
fn scalar<'t>(text: &'t str, ty: &str) -> Cow<'t, str> {
    match ty {
        "bytea" => base64(text).map_or(text.into(), |bytes| hex(&bytes).into()),
        "interval" => duration::parse(text).map_or(text.into(), |micros| interval(micros).into()),
        // There is no year 0 in their calendar: it is the first before Christ.
        "date" | "timestamp with time zone" if text.starts_with("0000-") => format!("0001{} BC", &text[4..]).into(),
        _ => text.into(),
    }
}

/// Hours, minutes and seconds: days would be another length of time to PostgreSQL.
fn interval(micros: i64) -> String {
    let (sign, total) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let seconds = total / 1_000_000;
    format!("{sign}{}:{:02}:{:02}.{:06}", seconds / 3600, seconds / 60 % 60, seconds % 60, total % 1_000_000)
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::from("\\x");
    for byte in bytes {
        write!(out, "{byte:02x}").expect("writing to a string cannot fail");
    }
    out
}

/// Reads standard base64 with padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let padding = group.iter().rev().take_while(|c| **c == b'=').count();
        let mut bits = 0u32;
        for c in group {
            let digit = match c {
                b'A'..=b'Z' => c - b'A',
                b'a'..=b'z' => c - b'a' + 26,
                b'0'..=b'9' => c - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' => 0,
                _ => return None,
            };
            bits = bits << 6 | u32::from(digit);
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding.min(2)]);
    }
    (text.len().is_multiple_of(4)).then_some(out)
}

/// What a column holds, as the server shows it.
pub(super) enum Shown {
    Null,
    Scalar(String),
    Array(Vec<Option<String>>),
}

/// The document of a row, as it was written.
pub(super) fn document(table: &Table, types: &[String], cells: Vec<Shown>, mark: (&str, Version)) -> Vec<u8> {
    let mut out = b"{".to_vec();
    for ((column, ty), cell) in table.columns.iter().zip(types).zip(cells) {
        if table.style.omit_none && matches!(cell, Shown::Null) {
            continue;
        }
        json::write_text(&column.name, &mut out);
        out.push(b':');
        write_cell(cell, &column.ty, ty, table.style, &mut out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"_proj\":{\"p\":");
    json::write_text(mark.0, &mut out);
    out.extend_from_slice(format!(",\"v\":{}}}}}", mark.1).as_bytes());
    out
}

fn write_cell(cell: Shown, ty: &Type, sql: &str, style: json::Style, out: &mut Vec<u8>) {
    match (cell, ty.required()) {
        (Shown::Null, _) => out.extend_from_slice(b"null"),
        (Shown::Scalar(text), _) if ["json", "jsonb"].contains(&sql) => out.extend_from_slice(text.as_bytes()),
        (Shown::Scalar(text), ty) => write_scalar(&text, ty, style, out),
        (Shown::Array(items), Type::List(element)) => {
            out.push(b'[');
            for (index, item) in items.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                match item {
                    None => out.extend_from_slice(b"null"),
                    Some(text) => write_scalar(&text, element.required(), style, out),
                }
            }
            out.push(b']');
        }
        (Shown::Array(_), _) => out.extend_from_slice(b"null"),
    }
}

/// Somebody may have changed the row: what is no value of its type is shown as text.
fn write_scalar(text: &str, ty: &Type, style: json::Style, out: &mut Vec<u8>) {
    match value(text, ty) {
        Some(value) if json::write(&value, ty, style, out).is_ok() => {}
        _ => json::write_text(text, out),
    }
}

fn value(text: &str, ty: &Type) -> Option<Value<'static>> {
    Some(match ty {
        Type::Bool => Value::Bool(text.parse().ok()?),
        Type::Int => Value::Int(text.parse().ok()?),
        Type::Decimal(_) => Value::Decimal(Decimal::parse(text).ok()?),
        Type::Float => Value::Float(text.parse().ok().filter(|v: &f64| v.is_finite())?),
        Type::Timestamp => {
            Value::Timestamp(timestamp::parse(&in_our_calendar(text.strip_suffix("+00").unwrap_or(text), "Z"))?)
        }
        Type::Date => Value::Date(date::parse(&in_our_calendar(text, ""))?),
        Type::Duration => Value::Duration(duration::parse(text).or_else(|| micros(text))?),
        Type::Uuid => Value::Uuid(uuid::parse(text)?),
        Type::Bytes => Value::Bytes(Arc::from(bytes(text)?)),
        // Their text is the document's.
        Type::String(_) | Type::Enum(_) => return None,
        _ => return None,
    })
}

/// The year before 1 is called 1 BC.
fn in_our_calendar(text: &str, zone: &str) -> String {
    match text.strip_suffix(" BC").and_then(|text| text.strip_prefix("0001")) {
        Some(rest) => format!("0000{}{zone}", rest.strip_suffix("+00").unwrap_or(rest)),
        None => format!("{text}{zone}"),
    }
}

/// Reads `-1:30:00.25`.
fn micros(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let whole = [(hours, 3600), (minutes, 60), (seconds, 1)];
    let mut total = 0i128;
    for (digits, factor) in whole {
        total += i128::from(digits.parse::<u64>().ok()?) * factor;
    }
    let fraction: i128 = format!("{fraction:0<6}").parse().ok()?;
    i64::try_from(sign * (total * 1_000_000 + fraction)).ok()
}

/// Reads `\x00ff`.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?;
    let pairs = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    pairs.collect()
}
