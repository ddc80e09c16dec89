//! Row → bytes → row, directed by the types of the projection's state fields.
//!
//! First the time of the row, then a bitmap that says which fields are `none`, then the others in order: numbers in fixed widths, text and collections with
//! their length in front. The bytes name neither types nor fields: the layout hash of the checkpoint says what they mean, and
//! a row is only ever read by the types it was written by. Equal rows are equal bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::event::EventTime;
use crate::language::typed::StateField;
use crate::plan::Row;
use crate::state::bytes::{BytesError, Reader, put_bytes, put_count, put_option};
use crate::value::{Decimal, Text, Type, Value};

/// Why bytes are not a row of these fields.
#[derive(Debug, thiserror::Error)]
#[error("a row cannot be read")]
pub struct RowError {
    #[from]
    source: BytesError,
}

/// Set in the first byte of a decimal whose coefficient needs all 16 bytes.
const WIDE: u8 = 0x80;

/// Appends the bytes of a row. INVARIANT: each value is of its field's type or `none`.
pub fn encode(row: &Row, fields: &[StateField], out: &mut Vec<u8>) {
    put_option(out, row.time, |out, time| out.extend_from_slice(&time.0.to_le_bytes()));
    put_fields(out, &row.fields, fields.iter().map(|field| &field.ty));
}

/// The row that [`encode`] was given with the same fields.
pub fn decode(bytes: &[u8], fields: &[StateField]) -> Result<Row, RowError> {
    let mut reader = Reader::new(bytes);
    let time = reader.option(|reader| Ok(EventTime(i64::from_le_bytes(reader.array()?))))?;
    let values = read_fields(&mut reader, fields.len(), fields.iter().map(|field| &field.ty))?;
    reader.end()?;
    Ok(Row { fields: values.into_boxed_slice(), time })
}

fn put_fields<'t>(out: &mut Vec<u8>, values: &[Value<'_>], types: impl ExactSizeIterator<Item = &'t Type>) {
    assert_eq!(values.len(), types.len(), "a value for each field");
    let bitmap = out.len();
    out.resize(bitmap + bitmap_bytes(values.len()), 0);
    for (index, (value, ty)) in values.iter().zip(types).enumerate() {
        match value {
            Value::None => out[bitmap + index / 8] |= 1 << (index % 8),
            value => put_value(out, value, ty.required()),
        }
    }
}

fn put_value(out: &mut Vec<u8>, value: &Value<'_>, ty: &Type) {
    match (value, ty) {
        (Value::Bool(v), Type::Bool) => out.push(u8::from(*v)),
        (Value::Int(v), Type::Int) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Decimal(v), Type::Decimal(_)) => put_decimal(out, *v),
        (Value::Float(v), Type::Float) => out.extend_from_slice(&v.to_bits().to_le_bytes()),
        (Value::Text(v), Type::String(_)) => put_bytes(out, v.as_str().as_bytes()),
        (Value::Timestamp(v), Type::Timestamp) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Date(v), Type::Date) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Duration(v), Type::Duration) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Uuid(v), Type::Uuid) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::Bytes(v), Type::Bytes) => put_bytes(out, v),
        (Value::Json(v), Type::Json) => put_bytes(out, v.as_bytes()),
        (Value::Enum(v), Type::Enum(_)) => out.extend_from_slice(&v.to_le_bytes()),
        (Value::List(v), Type::List(ty)) => put_elements(out, v.iter(), ty),
        (Value::Set(v), Type::Set(ty)) => put_elements(out, v.iter(), ty),
        (Value::Map(v), Type::Map(key, item)) => {
            put_count(out, v.len() as u64);
            for (k, i) in v.iter() {
                put_element(out, k, key);
                put_element(out, i, item);
            }
        }
        (Value::Record(v), Type::Record(ty)) => put_fields(out, v, ty.fields.iter().map(|field| &field.ty)),
        (value, ty) => unreachable!("the checker let {value:?} into a field of {ty:?}"),
    }
}

fn put_elements<'v>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = &'v Value<'static>>, ty: &Type) {
    put_count(out, values.len() as u64);
    for value in values {
        put_element(out, value, ty);
    }
}

/// An element of a collection: an optional one says first whether it is there.
fn put_element(out: &mut Vec<u8>, value: &Value<'_>, ty: &Type) {
    if ty.is_optional() {
        out.push(u8::from(!matches!(value, Value::None)));
        if matches!(value, Value::None) {
            return;
        }
    }
    put_value(out, value, ty.required());
}

fn put_decimal(out: &mut Vec<u8>, value: Decimal) {
    match i64::try_from(value.coefficient()) {
        Ok(narrow) => {
            out.push(value.scale());
            out.extend_from_slice(&narrow.to_le_bytes());
        }
        Err(_) => {
            out.push(value.scale() | WIDE);
            out.extend_from_slice(&value.coefficient().to_le_bytes());
        }
    }
}

fn read_fields<'t>(
    reader: &mut Reader<'_>,
    len: usize,
    types: impl Iterator<Item = &'t Type>,
) -> Result<Vec<Value<'static>>, BytesError> {
    let bitmap = reader.take(bitmap_bytes(len))?;
    let is_none = |index: usize| bitmap[index / 8] & (1 << (index % 8)) != 0;
    types
        .enumerate()
        .map(|(index, ty)| if is_none(index) { Ok(Value::None) } else { read_value(reader, ty.required()) })
        .collect()
}

fn read_value(reader: &mut Reader<'_>, ty: &Type) -> Result<Value<'static>, BytesError> {
    Ok(match ty {
        Type::Bool => match reader.byte()? {
            byte @ (0 | 1) => Value::Bool(byte == 1),
            _ => return Err(BytesError::Value("bool")),
        },
        Type::Int => Value::Int(i64::from_le_bytes(reader.array()?)),
        Type::Decimal(_) => Value::Decimal(read_decimal(reader)?),
        Type::Float => Value::Float(f64::from_bits(u64::from_le_bytes(reader.array()?))),
        Type::String(_) => Value::Text(Text::Shared(reader.str()?.into())),
        Type::Timestamp => Value::Timestamp(i64::from_le_bytes(reader.array()?)),
        Type::Date => Value::Date(i32::from_le_bytes(reader.array()?)),
        Type::Duration => Value::Duration(i64::from_le_bytes(reader.array()?)),
        Type::Uuid => Value::Uuid(u128::from_le_bytes(reader.array()?)),
        Type::Bytes => Value::Bytes(reader.bytes()?.into()),
        Type::Json => Value::Json(reader.str()?.into()),
        Type::Enum(ty) => match u16::from_le_bytes(reader.array()?) {
            member if usize::from(member) < ty.members.len() => Value::Enum(member),
            _ => return Err(BytesError::Value("enum member")),
        },
        Type::List(ty) => Value::List(Arc::new(read_elements(reader, ty)?)),
        Type::Set(ty) => Value::Set(Arc::new(read_elements::<BTreeSet<_>>(reader, ty)?)),
        Type::Map(key, item) => {
            let pairs = (0..reader.elements()?).map(|_| Ok((read_element(reader, key)?, read_element(reader, item)?)));
            Value::Map(Arc::new(pairs.collect::<Result<BTreeMap<_, _>, BytesError>>()?))
        }
        Type::Record(ty) => {
            let types = ty.fields.iter().map(|field| &field.ty);
            Value::Record(Arc::new(read_fields(reader, ty.fields.len(), types)?))
        }
        Type::Optional(_) | Type::None => return Err(BytesError::Value("none")),
    })
}

fn read_elements<C: FromIterator<Value<'static>>>(reader: &mut Reader<'_>, ty: &Type) -> Result<C, BytesError> {
    (0..reader.elements()?).map(|_| read_element(reader, ty)).collect()
}

fn read_element(reader: &mut Reader<'_>, ty: &Type) -> Result<Value<'static>, BytesError> {
    if ty.is_optional() {
        return Ok(reader.option(|reader| read_value(reader, ty.required()))?.unwrap_or(Value::None));
    }
    read_value(reader, ty)
}

fn read_decimal(reader: &mut Reader<'_>) -> Result<Decimal, BytesError> {
    let head = reader.byte()?;
    let coefficient = if head & WIDE == 0 {
        i64::from_le_bytes(reader.array()?).into()
    } else {
        i128::from_le_bytes(reader.array()?)
    };
    Decimal::from_parts(coefficient, head & !WIDE).ok_or(BytesError::Value("decimal"))
}

/// At least one byte, so that no element of a collection is empty and a count of elements can be checked.
fn bitmap_bytes(fields: usize) -> usize {
    fields.div_ceil(8).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

    use super::*;
    use crate::value::{EnumType, RecordField, RecordType};

    fn field(ty: Type) -> StateField {
        StateField { name: "field".into(), ty, default: None, hidden: false }
    }

    fn round_trip(fields: &[StateField], row: &Row) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(row, fields, &mut bytes);
        let back = decode(&bytes, fields).unwrap();
        assert_eq!(back.time, row.time);
        // `Debug` sees what `==` does not: the scale of a decimal, the sign of a zero.
        assert_eq!(format!("{:?}", back.fields), format!("{:?}", row.fields));
        let mut again = Vec::new();
        encode(&back, fields, &mut again);
        assert_eq!(again, bytes);
        bytes
    }

    fn scalar() -> impl Strategy<Value = Type> {
        let members = vec![("A".into(), "a".into()), ("B".into(), "b".into()), ("C".into(), "c".into())];
        prop::sample::select(vec![
            Type::Bool,
            Type::Int,
            Type::Decimal(Some(2)),
            Type::Decimal(None),
            Type::Float,
            Type::String(None),
            Type::Timestamp,
            Type::Date,
            Type::Duration,
            Type::Uuid,
            Type::Bytes,
            Type::Json,
            Type::Enum(Arc::new(EnumType { name: "Letter".into(), members })),
        ])
    }

    fn any_type() -> impl Strategy<Value = Type> {
        scalar().prop_recursive(3, 12, 4, |inner| {
            let record = prop::collection::vec(inner.clone(), 0..4).prop_map(|types| {
                let fields = types.into_iter().map(|ty| RecordField { name: "field".into(), ty }).collect();
                Type::Record(Arc::new(RecordType { name: None, fields }))
            });
            prop_oneof![
                inner.clone().prop_map(|ty| Type::List(Arc::new(ty))),
                inner.clone().prop_map(|ty| Type::Set(Arc::new(ty))),
                (scalar(), inner.clone()).prop_map(|(key, item)| Type::Map(Arc::new(key), Arc::new(item))),
                inner.prop_map(Type::optional),
                record,
            ]
        })
    }

    fn value_of(ty: &Type) -> BoxedStrategy<Value<'static>> {
        match ty {
            Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            Type::Int => any::<i64>().prop_map(Value::Int).boxed(),
            Type::Decimal(_) => {
                let coefficient = prop_oneof![any::<i64>().prop_map(i128::from), any::<i128>()];
                (coefficient, 0..=28u8).prop_map(|(c, scale)| Value::Decimal(Decimal::new(c, scale))).boxed()
            }
            Type::Float => (prop::num::f64::NORMAL | prop::num::f64::ZERO).prop_map(Value::Float).boxed(),
            Type::String(_) => any::<String>().prop_map(|v| Value::Text(Text::Shared(v.into()))).boxed(),
            Type::Timestamp => any::<i64>().prop_map(Value::Timestamp).boxed(),
            Type::Date => any::<i32>().prop_map(Value::Date).boxed(),
            Type::Duration => any::<i64>().prop_map(Value::Duration).boxed(),
            Type::Uuid => any::<u128>().prop_map(Value::Uuid).boxed(),
            Type::Bytes => any::<Vec<u8>>().prop_map(|v| Value::Bytes(v.into())).boxed(),
            Type::Json => any::<i64>().prop_map(|v| Value::Json(format!("[{v}]").into())).boxed(),
            Type::Enum(ty) => (0..ty.members.len() as u16).prop_map(Value::Enum).boxed(),
            Type::List(ty) => prop::collection::vec(value_of(ty), 0..4).prop_map(|v| Value::List(Arc::new(v))).boxed(),
            Type::Set(ty) => {
                let set = prop::collection::vec(value_of(ty), 0..4);
                set.prop_map(|v| Value::Set(Arc::new(v.into_iter().collect()))).boxed()
            }
            Type::Map(key, item) => {
                let map = prop::collection::vec((value_of(key), value_of(item)), 0..4);
                map.prop_map(|v| Value::Map(Arc::new(v.into_iter().collect()))).boxed()
            }
            Type::Record(ty) => {
                let values: Vec<_> = ty.fields.iter().map(|field| value_of(&field.ty)).collect();
                values.prop_map(|v| Value::Record(Arc::new(v))).boxed()
            }
            Type::Optional(ty) => prop_oneof![Just(Value::None), value_of(ty)].boxed(),
            Type::None => Just(Value::None).boxed(),
        }
    }

    fn fields_and_row() -> impl Strategy<Value = (Vec<StateField>, Row)> {
        prop::collection::vec(any_type(), 0..10).prop_flat_map(|types| {
            // A field without a default holds `none` until a handler sets it, whatever its type.
            let values: Vec<_> =
                types.iter().map(|ty| prop_oneof![1 => Just(Value::None), 4 => value_of(ty)]).collect();
            let fields: Vec<_> = types.into_iter().map(field).collect();
            (Just(fields), values, any::<Option<i64>>())
                .prop_map(|(fields, values, time)| (fields, Row { fields: values.into(), time: time.map(EventTime) }))
        })
    }

    /// Prints its seed when it fails; set `SEED` to that number to see it again.
    fn runner() -> (TestRunner, u64) {
        let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand_seed);
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        (TestRunner::new_with_rng(Config { cases: 400, failure_persistence: None, ..Config::default() }, rng), seed)
    }

    fn rand_seed() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    }

    #[test]
    fn every_row_comes_back() {
        let (mut runner, seed) = runner();
        let result = runner.run(&fields_and_row(), |(fields, row)| {
            round_trip(&fields, &row);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
    }

    #[test]
    fn a_row_cut_off_anywhere_or_too_long_is_an_error() {
        let (mut runner, seed) = runner();
        let result = runner.run(&fields_and_row(), |(fields, row)| {
            let mut bytes = round_trip(&fields, &row);
            for len in 0..bytes.len() {
                prop_assert!(decode(&bytes[..len], &fields).is_err());
            }
            bytes.push(0);
            prop_assert!(decode(&bytes, &fields).is_err());
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
    }

    #[test]
    fn any_bytes_are_a_row_or_an_error() {
        let (mut runner, seed) = runner();
        let inputs = (prop::collection::vec(any_type(), 0..6), any::<Vec<u8>>());
        let result = runner.run(&inputs, |(types, bytes)| {
            let fields: Vec<_> = types.into_iter().map(field).collect();
            let _ = decode(&bytes, &fields);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
    }

    #[test]
    fn rows_are_small() {
        let fields = [Type::Int, Type::Decimal(Some(2)), Type::String(None), Type::Int.optional()].map(field);
        let text = Value::Text(Text::Shared("open".into()));
        let values = [Value::Int(3), Value::Decimal(Decimal::new(1250, 2)), text, Value::None];
        let row = Row { fields: values.into(), time: Some(EventTime(1)) };
        assert_eq!(round_trip(&fields, &row).len(), 9 + 1 + 8 + 9 + 5);
    }
}
