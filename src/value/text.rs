//! Scalars as text: what interpolation, keys, map keys and messages show. The same text as in a document, without quotes.

use std::fmt;

use crate::value::{Type, Value, date, duration, timestamp, uuid};

/// Writes a scalar of this type. What is no scalar is shown as in a message: never in a key or a document.
pub fn write(value: &Value<'_>, ty: &Type, out: &mut impl fmt::Write) -> fmt::Result {
    match (value, ty.required()) {
        (Value::None, _) => out.write_str("none"),
        (Value::Bool(v), _) => out.write_str(if *v { "true" } else { "false" }),
        (Value::Int(v), _) => write!(out, "{v}"),
        (Value::Decimal(v), Type::Decimal(places)) => v.write(*places, out),
        (Value::Decimal(v), _) => v.write(None, out),
        (Value::Float(v), _) => write_float(*v, out),
        (Value::Text(v), _) => out.write_str(v.as_str()),
        (Value::Timestamp(v), _) => timestamp::write(*v, out),
        (Value::Date(v), _) => date::write(*v, out),
        (Value::Duration(v), _) => duration::write(*v, out),
        (Value::Uuid(v), _) => uuid::write(*v, out),
        (Value::Json(v), _) => out.write_str(v),
        (Value::Enum(member), Type::Enum(ty)) => {
            out.write_str(ty.members.get(usize::from(*member)).map_or("?", |(_, wire)| wire))
        }
        (Value::Enum(member), _) => write!(out, "#{member}"),
        (Value::Bytes(v), _) => write!(out, "{} bytes", v.len()),
        (Value::List(v), _) => write!(out, "a list of {}", v.len()),
        (Value::Set(v), _) => write!(out, "a set of {}", v.len()),
        (Value::Map(v), _) => write!(out, "a map of {}", v.len()),
        (Value::Record(_), _) => out.write_str("a record"),
    }
}

/// The text of a scalar.
pub fn of(value: &Value<'_>, ty: &Type) -> String {
    let mut text = String::new();
    write(value, ty, &mut text).expect("writing to a string cannot fail");
    text
}

/// The shortest digits that read back as the same float, as JSON has them; `-0` is `0.0`.
pub(super) fn write_float(value: f64, out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, "{:?}", value + 0.0)
}
