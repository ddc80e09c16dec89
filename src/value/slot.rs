//! Slots: typed places that decoding fills, small enough to copy and owned by no lifetime.
//!
//! A decoded event is a run of [`Slot`]s; their text and nested values lie in the [`SlotBuffer`] of the chunk, so that a
//! thread may decode and another fold, and nothing is allocated per event.

use std::ops::Range;

use crate::value::{Decimal, Text, Value};

/// A decoded field.
#[derive(Debug, Clone, Copy)]
pub enum Slot {
    None,
    Bool(bool),
    Int(i64),
    Decimal(Decimal),
    Float(f64),
    Timestamp(i64),
    Date(i32),
    Duration(i64),
    Uuid(u128),
    Enum(u16),
    /// A range of [`SlotBuffer::text`].
    Text {
        start: u32,
        end: u32,
    },
    /// An index into [`SlotBuffer::values`].
    Nested(u32),
}

/// Where the text and the nested values of many events lie.
#[derive(Debug, Default)]
pub struct SlotBuffer {
    pub text: String,
    pub values: Vec<Value<'static>>,
}

impl SlotBuffer {
    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.values.clear();
    }

    /// Appends text and returns its slot.
    pub fn push_text(&mut self, text: &str) -> Slot {
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Slot::Text { start, end: self.text.len() as u32 }
    }

    /// Appends a nested value and returns its slot.
    pub fn push_value(&mut self, value: Value<'static>) -> Slot {
        self.values.push(value);
        Slot::Nested(self.values.len() as u32 - 1)
    }

    /// The text in a range.
    pub fn str(&self, range: Range<u32>) -> &str {
        &self.text[range.start as usize..range.end as usize]
    }

    /// What a slot holds; text is borrowed.
    pub fn value(&self, slot: Slot) -> Value<'_> {
        match slot {
            Slot::None => Value::None,
            Slot::Bool(v) => Value::Bool(v),
            Slot::Int(v) => Value::Int(v),
            Slot::Decimal(v) => Value::Decimal(v),
            Slot::Float(v) => Value::Float(v),
            Slot::Timestamp(v) => Value::Timestamp(v),
            Slot::Date(v) => Value::Date(v),
            Slot::Duration(v) => Value::Duration(v),
            Slot::Uuid(v) => Value::Uuid(v),
            Slot::Enum(v) => Value::Enum(v),
            Slot::Text { start, end } => Value::Text(Text::Borrowed(self.str(start..end))),
            Slot::Nested(index) => self.values[index as usize].clone(),
        }
    }
}
