//! The one order of values: total, and the same on every machine. Sorting, sets, map keys and `==` all go by it.
//!
//! Numbers by value, text by UTF-8 bytes, enums by declaration, times by the clock, `none` before anything, lists and
//! records element by element. Values of different types never meet in a checked program; they order by kind.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::value::{Text, Value};

impl Value<'_> {
    fn kind(&self) -> u8 {
        match self {
            Value::None => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Decimal(_) => 3,
            Value::Float(_) => 4,
            Value::Text(_) => 5,
            Value::Timestamp(_) => 6,
            Value::Date(_) => 7,
            Value::Duration(_) => 8,
            Value::Uuid(_) => 9,
            Value::Bytes(_) => 10,
            Value::Json(_) => 11,
            Value::Enum(_) => 12,
            Value::List(_) => 13,
            Value::Set(_) => 14,
            Value::Map(_) => 15,
            Value::Record(_) => 16,
        }
    }
}

/// The float with `-0` as `0`.
fn plain(value: f64) -> f64 {
    value + 0.0
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::None, Value::None) => Ordering::Equal,
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => plain(*a).total_cmp(&plain(*b)),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            (Value::Date(a), Value::Date(b)) => a.cmp(b),
            (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Json(a), Value::Json(b)) => a.cmp(b),
            (Value::Enum(a), Value::Enum(b)) => a.cmp(b),
            (Value::List(a), Value::List(b)) | (Value::Record(a), Value::Record(b)) => a.cmp(b),
            (Value::Set(a), Value::Set(b)) => a.cmp(b),
            (Value::Map(a), Value::Map(b)) => a.cmp(b),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Enum(a), Value::Enum(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            _ => self.cmp(other) == Ordering::Equal,
        }
    }
}

impl Eq for Value<'_> {}

impl Hash for Value<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        match self {
            Value::None => {}
            Value::Bool(v) => v.hash(state),
            Value::Int(v) | Value::Timestamp(v) | Value::Duration(v) => v.hash(state),
            Value::Decimal(v) => v.hash(state),
            Value::Float(v) => plain(*v).to_bits().hash(state),
            Value::Text(v) => v.as_str().hash(state),
            Value::Date(v) => v.hash(state),
            Value::Uuid(v) => v.hash(state),
            Value::Bytes(v) => v.hash(state),
            Value::Json(v) => v.hash(state),
            Value::Enum(v) => v.hash(state),
            Value::List(v) | Value::Record(v) => v.hash(state),
            Value::Set(v) => v.hash(state),
            Value::Map(v) => v.hash(state),
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

/// A value that a set or map of owned values can be searched for, borrowed text and all: `map.get(&key as &dyn AsKey)`.
pub trait AsKey {
    fn key(&self) -> &Value<'_>;
}

impl AsKey for Value<'_> {
    fn key(&self) -> &Value<'_> {
        self
    }
}

impl<'a> Borrow<dyn AsKey + 'a> for Value<'static> {
    fn borrow(&self) -> &(dyn AsKey + 'a) {
        self
    }
}

impl PartialEq for dyn AsKey + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for dyn AsKey + '_ {}

impl PartialOrd for dyn AsKey + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for dyn AsKey + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}
