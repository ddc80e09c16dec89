//! Values, their types, and the exact arithmetic on them: what a field holds, what an expression yields.
//!
//! A [`Value`] may borrow text from the batch it was decoded from; a row and a document own theirs (`Value<'static>`).
//! Everything here is total and deterministic: no locale, no clock, no rounding that was not asked for.

pub mod decimal;
pub mod slot;
pub mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use decimal::Decimal;
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
