//! Values, their types, and the exact arithmetic on them: what a field holds, what an expression yields.
//!
//! A [`Value`] may borrow text from the batch it was decoded from; a row and a document own theirs (`Value<'static>`).
//! Everything here is total and deterministic: no locale, no clock, no rounding that was not asked for.

pub mod date;
pub mod decimal;
pub mod duration;
pub mod json;
pub mod key;
mod order;
pub mod slot;
#[cfg(test)]
mod tests;
pub mod text;
pub mod timestamp;
pub mod types;
pub mod uuid;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use decimal::Decimal;
pub use order::AsKey;
pub use slot::{Slot, SlotBuffer};
pub use types::{EnumType, RecordField, RecordType, Type};

/// A value of the language. Its [`Type`] is known from where it stands; the value itself carries only what it must.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    /// Never NaN, never infinite.
    Float(f64),
    Text(Text<'a>),
    /// Microseconds since 1970, UTC.
    Timestamp(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds.
    Duration(i64),
    Uuid(u128),
    Bytes(Arc<[u8]>),
    /// JSON text, passed through as it came.
    Json(Arc<str>),
    /// Index into [`EnumType::members`].
    Enum(u16),
    List(Arc<Vec<Value<'static>>>),
    Set(Arc<BTreeSet<Value<'static>>>),
    Map(Arc<BTreeMap<Value<'static>, Value<'static>>>),
    /// Fields in the order of the [`RecordType`].
    Record(Arc<Vec<Value<'static>>>),
}

/// Text that is either borrowed from the batch being folded or shared.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Text<'_> {
    pub fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Shared(text) => text,
        }
    }
}

impl<'a> Value<'a> {
    /// Text that shares nothing with a batch.
    pub fn text(text: impl Into<Arc<str>>) -> Value<'static> {
        Value::Text(Text::Shared(text.into()))
    }

    /// Text that stays where it is.
    pub fn borrowed(text: &'a str) -> Value<'a> {
        Value::Text(Text::Borrowed(text))
    }

    pub fn list(items: Vec<Value<'static>>) -> Value<'static> {
        Value::List(Arc::new(items))
    }

    pub fn set(items: impl IntoIterator<Item = Value<'static>>) -> Value<'static> {
        Value::Set(Arc::new(items.into_iter().collect()))
    }

    pub fn map(entries: impl IntoIterator<Item = (Value<'static>, Value<'static>)>) -> Value<'static> {
        Value::Map(Arc::new(entries.into_iter().collect()))
    }

    /// Fields in the order of the record type.
    pub fn record(fields: Vec<Value<'static>>) -> Value<'static> {
        Value::Record(Arc::new(fields))
    }

    pub fn is_none(&self) -> bool {
        matches!(self, Value::None)
    }

    /// The value for longer than its batch: borrowed text is copied, everything else moves.
    pub fn into_static(self) -> Value<'static> {
        match self {
            Value::Text(Text::Borrowed(text)) => Value::text(text),
            Value::Text(Text::Shared(text)) => Value::Text(Text::Shared(text)),
            Value::None => Value::None,
            Value::Bool(v) => Value::Bool(v),
            Value::Int(v) => Value::Int(v),
            Value::Decimal(v) => Value::Decimal(v),
            Value::Float(v) => Value::Float(v),
            Value::Timestamp(v) => Value::Timestamp(v),
            Value::Date(v) => Value::Date(v),
            Value::Duration(v) => Value::Duration(v),
            Value::Uuid(v) => Value::Uuid(v),
            Value::Bytes(v) => Value::Bytes(v),
            Value::Json(v) => Value::Json(v),
            Value::Enum(v) => Value::Enum(v),
            Value::List(v) => Value::List(v),
            Value::Set(v) => Value::Set(v),
            Value::Map(v) => Value::Map(v),
            Value::Record(v) => Value::Record(v),
        }
    }
}
