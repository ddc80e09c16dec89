//! How large a row may be, and a cheap look at whether it may have outgrown that.
//!
//! The limit is on the encoded row, and encoding a row after every event would cost more than folding it. So the common
//! path only sums up the lengths of its texts and collections, which is a lower bound, and encodes once per checkpoint. When
//! either is over the limit, the core folds again from the last checkpoint *with care*: then every row is encoded after
//! every event, and the event that broke the limit is found exactly.

use crate::value::{Type, Value};

/// The largest encoded row: 1 MiB.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;

/// A lower bound of the encoded size of a value, without looking into its elements.
pub(super) fn heap_bytes(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.as_str().len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(json) => json.len(),
        Value::List(list) => list.len(),
        Value::Set(set) => set.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    }
}

/// Whether values of this type can be of any size.
pub(super) fn can_grow(ty: &Type) -> bool {
    match ty.required() {
        Type::String(_) | Type::Bytes | Type::Json | Type::List(_) | Type::Set(_) | Type::Map(..) => true,
        Type::Record(record) => record.fields.iter().any(|field| can_grow(&field.ty)),
        _ => false,
    }
}
