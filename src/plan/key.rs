//! Key text, read back: the parts of a key from one string ([`crate::value::key`] writes it).
//!
//! Parts are joined by `|`; inside a part `|` and `%` are percent-encoded, in single keys too, so that the text names
//! exactly one key. It orders rows, names documents and stands in URLs. Each part is the text a document would show.

use std::borrow::Cow;

use crate::language::typed::KeyPart;
use crate::value::{Decimal, Type, Value, date, duration, timestamp, uuid};

pub(super) use crate::value::key::Escaped;
pub use crate::value::key::write_key;
pub(crate) use crate::value::key::write_part;

/// Reads a key text back; `None` when it is not one of these parts.
pub fn parse_key(key_text: &str, parts: &[KeyPart]) -> Option<Vec<Value<'static>>> {
    if key_text.split('|').count() != parts.len() {
        return None;
    }
    (0..parts.len()).map(|index| part(key_text, index, &parts[index].ty).map(Value::into_static)).collect()
}

/// One part of a key text. Text without encoded characters is borrowed.
pub(crate) fn part<'a>(key_text: &'a str, index: usize, ty: &Type) -> Option<Value<'a>> {
    let raw = key_text.split('|').nth(index)?;
    let text = if raw.contains('%') { Cow::Owned(raw.replace("%7C", "|").replace("%25", "%")) } else { raw.into() };
    Some(match ty.required() {
        Type::String(_) => match text {
            Cow::Borrowed(text) => Value::borrowed(text),
            Cow::Owned(text) => Value::text(text),
        },
        Type::Int => Value::Int(text.parse().ok()?),
        Type::Decimal(_) => Value::Decimal(Decimal::parse(&text).ok()?),
        Type::Float => Value::Float(text.parse().ok().filter(|v: &f64| v.is_finite())?),
        Type::Bool => Value::Bool(text.parse().ok()?),
        Type::Timestamp => Value::Timestamp(timestamp::parse(&text)?),
        Type::Date => Value::Date(date::parse(&text)?),
        Type::Duration => Value::Duration(duration::parse(&text)?),
        Type::Uuid => Value::Uuid(uuid::parse(&text)?),
        Type::Enum(ty) => {
            let member = ty.members.iter().position(|(_, wire)| **wire == *text)?;
            Value::Enum(u16::try_from(member).ok()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::value::EnumType;

    fn parts(types: &[Type]) -> Vec<KeyPart> {
        types.iter().map(|ty| KeyPart { name: "part".into(), ty: ty.clone() }).collect()
    }

    fn key(values: &[Value<'_>], types: &[Type]) -> String {
        let mut out = String::new();
        write_key(values, types, &mut out);
        out
    }

    #[test]
    fn separators_inside_a_part_are_encoded() {
        let two = [Type::String(None), Type::String(None)];
        assert_eq!(key(&[Value::borrowed("a"), Value::borrowed("b")], &two), "a|b");
        assert_eq!(key(&[Value::borrowed("a|b")], &two[..1]), "a%7Cb");
        assert_eq!(key(&[Value::borrowed("50%7C")], &two[..1]), "50%257C");
        assert_eq!(key(&[Value::borrowed(""), Value::borrowed("")], &two), "|");
    }

    #[test]
    fn every_scalar_reads_back() {
        let status = Type::Enum(Arc::new(EnumType {
            name: "Status".into(),
            members: vec![("open".into(), "OPEN|1".into()), ("closed".into(), "CLOSED".into())],
        }));
        for (value, ty, text) in [
            (Value::Int(-5), Type::Int, "-5"),
            (Value::Decimal(Decimal::new(150, 2)), Type::Decimal(None), "1.5"),
            (Value::Decimal(Decimal::new(15, 1)), Type::Decimal(Some(2)), "1.50"),
            (Value::Bool(true), Type::Bool, "true"),
            (Value::Timestamp(1_500_000), Type::Timestamp, "1970-01-01T00:00:01.5Z"),
            (Value::Date(0), Type::Date, "1970-01-01"),
            (Value::Duration(1_000_000), Type::Duration, "PT1S"),
            (Value::Uuid(1), Type::Uuid, "00000000-0000-0000-0000-000000000001"),
            (Value::Enum(0), status.clone(), "OPEN%7C1"),
            (Value::Float(1.5), Type::Float, "1.5"),
        ] {
            let written = key(std::slice::from_ref(&value), std::slice::from_ref(&ty));
            assert_eq!(written, text);
            assert_eq!(parse_key(&written, &parts(&[ty])), Some(vec![value]));
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(parse_key("a", &parts(&[Type::Int])), None);
        assert_eq!(parse_key("1|2", &parts(&[Type::Int])), None);
        assert_eq!(parse_key("1", &parts(&[Type::Int, Type::Int])), None);
    }

    proptest! {
        #[test]
        fn texts_round_trip_and_never_collide(a in "[a|%7C25]{0,6}", b in "[a|%7C25]{0,6}", c in "[a|%7C25]{0,6}", d in "[a|%7C25]{0,6}") {
            let types = [Type::String(None), Type::String(None)];
            let first = key(&[Value::borrowed(&a), Value::borrowed(&b)], &types);
            let second = key(&[Value::borrowed(&c), Value::borrowed(&d)], &types);
            prop_assert_eq!(first == second, (&a, &b) == (&c, &d));
            prop_assert_eq!(parse_key(&first, &parts(&types)), Some(vec![Value::text(a), Value::text(b)]));
        }
    }
}
