//! How large a row may be, and a look at whether it may have outgrown that.
//!
//! The limit is on the encoded row, and whether an event breaks it must not depend on batches or checkpoints. So every row
//! that can grow is looked at after every event; but by an upper bound that costs little, and only a row above it is
//! encoded. Undoing an event after the fact needs the row as it was, which the common path does not keep: when the limit
//! is broken, the core folds again from the last checkpoint *with care*, and then the event is found and undone.

use crate::plan::Row;
use crate::value::{Type, Value};

/// The largest encoded row: 1 MiB.
pub(crate) const ROW_BYTES_MAX: usize = 1 << 20;

/// No scalar takes more bytes than this, the length of a text or a collection included.
const SCALAR_BYTES_MAX: usize = 18;

/// An upper bound of the encoded size of these fields of a row.
pub(super) fn bound(row: &Row, growable: &[usize]) -> usize {
    growable.iter().map(|field| value_bound(&row.fields[*field])).sum::<usize>() + row.fields.len() * SCALAR_BYTES_MAX
}

fn value_bound(value: &Value<'_>) -> usize {
    let own = match value {
        Value::Text(text) => text.as_str().len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Json(json) => json.len(),
        Value::List(list) => elements_bound(list.len(), list.iter()),
        Value::Set(set) => elements_bound(set.len(), set.iter()),
        Value::Map(map) => elements_bound(map.len(), map.keys()) + elements_bound(map.len(), map.values()),
        Value::Record(fields) => fields.iter().map(value_bound).sum(),
        _ => 0,
    };
    own + SCALAR_BYTES_MAX
}

/// Elements of one type: numbers need not be looked at one by one.
fn elements_bound<'v>(len: usize, mut elements: impl Iterator<Item = &'v Value<'static>> + Clone) -> usize {
    match elements.clone().find(|element| !matches!(element, Value::None)) {
        Some(Value::Text(_) | Value::Bytes(_) | Value::Json(_) | Value::List(_) | Value::Set(_)) => {}
        Some(Value::Map(_) | Value::Record(_)) => {}
        _ => return len * SCALAR_BYTES_MAX,
    }
    // Beyond the limit it does not matter how far.
    let mut sum = 0;
    while sum <= ROW_BYTES_MAX
        && let Some(element) = elements.next()
    {
        sum += value_bound(element);
    }
    sum
}

/// Whether values of this type can be of any size.
pub(super) fn can_grow(ty: &Type) -> bool {
    match ty.required() {
        Type::String(_) | Type::Bytes | Type::Json | Type::List(_) | Type::Set(_) | Type::Map(..) => true,
        Type::Record(record) => record.fields.iter().any(|field| can_grow(&field.ty)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::language::typed::StateField;
    use crate::state::rows;
    use crate::value::{Decimal, Text};

    fn encoded(values: Vec<Value<'static>>, types: Vec<Type>) -> (usize, usize) {
        let fields: Vec<StateField> =
            types.into_iter().map(|ty| StateField { name: "f".into(), ty, default: None, hidden: false }).collect();
        let growable: Vec<usize> = (0..fields.len()).filter(|index| can_grow(&fields[*index].ty)).collect();
        let row = Row { fields: values.into(), time: Some(crate::event::EventTime(i64::MIN)) };
        let mut bytes = Vec::new();
        rows::encode(&row, &fields, &mut bytes);
        (bytes.len(), bound(&row, &growable))
    }

    proptest! {
        #[test]
        fn the_bound_is_above_the_encoded_size(
            texts in prop::collection::vec(".{0,40}", 0..40),
            ints in prop::collection::vec(any::<i64>(), 0..40),
            coefficients in prop::collection::vec(any::<i128>(), 0..40),
        ) {
            let text = |text: &String| Value::Text(Text::Shared(text.as_str().into()));
            let list = |values: Vec<Value<'static>>| Value::List(Arc::new(values));
            let of = |ty: Type| Type::List(Arc::new(ty));
            let strings = || Type::String(None);
            let map = texts.iter().zip(&ints).map(|(key, value)| (text(key), Value::Int(*value))).collect();
            let values = vec![
                list(texts.iter().map(text).collect()),
                list(ints.iter().map(|v| Value::Int(*v)).collect()),
                list(coefficients.iter().map(|v| Value::Decimal(Decimal::new(*v, 3))).collect()),
                list(vec![list(texts.iter().map(text).collect())]),
                Value::Map(Arc::new(map)),
                Value::None,
                Value::Decimal(Decimal::new(i128::MAX, 28)),
            ];
            let types = vec![
                of(strings()),
                of(Type::Int),
                of(Type::Decimal(None)),
                of(of(strings())),
                Type::Map(Arc::new(strings()), Arc::new(Type::Int)),
                strings().optional(),
                Type::Decimal(None),
            ];
            let (len, bound) = encoded(values, types);
            prop_assert!(len <= bound, "{len} bytes, bound {bound}");
        }
    }
}
