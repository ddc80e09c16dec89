//! Values as JSON, by their types: what documents hold. The same value gives the same bytes, always.
//!
//! Absence is `null`; enums are their wire text; times are RFC 3339 and durations ISO 8601; sets are arrays and maps are
//! objects, in key order; bytes are base64; `json` passes through byte for byte. Decimals are strings or numbers, as
//! the sink wants them. An integer that a double cannot hold exactly is refused unless integers are written as text.

use crate::value::{Type, Value, text};

/// How a sink wants its decimals. A number has all its digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DecimalStyle {
    #[default]
    Text,
    /// `decimal(s)` as numbers, plain decimals, which a target cannot map to one scale, as text.
    ScaledNumbers,
    Numbers,
}

/// How a sink wants its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    pub decimals: DecimalStyle,
    /// Integers as strings.
    pub ints_as_text: bool,
    /// Integers as numbers, however large: whoever reads them takes them from their digits.
    pub ints_exact: bool,
    /// Fields of records that are `none` are left out.
    pub omit_none: bool,
}

impl DecimalStyle {
    fn is_text(self, ty: &Type) -> bool {
        match self {
            DecimalStyle::Text => true,
            DecimalStyle::ScaledNumbers => !matches!(ty, Type::Decimal(Some(_))),
            DecimalStyle::Numbers => false,
        }
    }
}

/// An integer outside ±2^53, which readers of JSON would round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntTooLarge(pub i64);

/// 2^53: doubles hold every integer up to it.
const INT_MAX: u64 = 1 << 53;

/// Appends the JSON of a value.
pub fn write(value: &Value<'_>, ty: &Type, style: Style, out: &mut Vec<u8>) -> Result<(), IntTooLarge> {
    match (value, ty.required()) {
        (Value::None, _) => out.extend_from_slice(b"null"),
        (Value::Bool(v), _) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        (Value::Int(v), _) if style.ints_as_text => scalar(&Value::Int(*v), ty, out, true),
        (Value::Int(v), _) if v.unsigned_abs() > INT_MAX && !style.ints_exact => return Err(IntTooLarge(*v)),
        (Value::Int(_) | Value::Float(_), ty) => scalar(value, ty, out, false),
        (Value::Decimal(_), ty) => scalar(value, ty, out, style.decimals.is_text(ty)),
        (Value::Text(v), _) => write_text(v.as_str(), out),
        (Value::Json(v), _) => out.extend_from_slice(v.as_bytes()),
        (Value::Enum(_), ty) => write_text(&text::of(value, ty), out),
        (Value::Timestamp(_) | Value::Date(_) | Value::Duration(_) | Value::Uuid(_), ty) => {
            scalar(value, ty, out, true)
        }
        (Value::Bytes(v), _) => base64(v, out),
        (Value::List(items), Type::List(element)) => array(items.iter(), element, style, out)?,
        (Value::Set(items), Type::Set(element)) => array(items.iter(), element, style, out)?,
        (Value::Map(entries), Type::Map(key, element)) => {
            let entries = entries.iter().map(|(k, v)| (text::of(k, key), v, &**element));
            object(entries, Style { omit_none: false, ..style }, style, out)?;
        }
        (Value::Record(values), Type::Record(record)) => {
            let fields = record.fields.iter().zip(values.iter());
            object(fields.map(|(field, value)| (&*field.name, value, &field.ty)), style, style, out)?;
        }
        (Value::List(_) | Value::Set(_) | Value::Map(_) | Value::Record(_), _) => {
            unreachable!("a checked value has the shape of its type")
        }
    }
    Ok(())
}

fn scalar(value: &Value<'_>, ty: &Type, out: &mut Vec<u8>, quoted: bool) {
    let mut sink = Appended(out);
    let quote = if quoted { "\"" } else { "" };
    let mut written = std::fmt::Write::write_str(&mut sink, quote);
    written = written.and_then(|()| text::write(value, ty, &mut sink));
    written.and_then(|()| std::fmt::Write::write_str(&mut sink, quote)).expect("appending to memory cannot fail");
}

/// Lets formatting append to bytes.
struct Appended<'a>(&'a mut Vec<u8>);

impl std::fmt::Write for Appended<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Appends a JSON string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is always JSON");
}

fn array<'a, 'v: 'a>(
    items: impl Iterator<Item = &'a Value<'v>>,
    element: &Type,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), IntTooLarge> {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, element, style, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Appends an object. `own` says whether its own absent fields are left out, `style` how the values inside are written.
fn object<'a, 'v: 'a>(
    fields: impl Iterator<Item = (impl AsRef<str>, &'a Value<'v>, &'a Type)>,
    own: Style,
    style: Style,
    out: &mut Vec<u8>,
) -> Result<(), IntTooLarge> {
    out.push(b'{');
    let mut first = true;
    for (name, value, ty) in fields {
        if own.omit_none && value.is_none() {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_text(name.as_ref(), out);
        out.push(b':');
        write(value, ty, style, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Standard base64 with padding, in quotes.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |sum, b| sum << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(group >> (18 - 6 * place) & 63) as usize];
            out.push(if place > chunk.len() { b'=' } else { digit });
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::value::{Decimal, EnumType, RecordField, RecordType};

    fn json(value: &Value<'_>, ty: &Type, style: Style) -> String {
        let mut out = Vec::new();
        write(value, ty, style, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn plain(value: &Value<'_>, ty: &Type) -> String {
        json(value, ty, Style::default())
    }

    #[test]
    fn scalars_have_one_text() {
        let status = Type::Enum(Arc::new(EnumType {
            name: "Status".into(),
            members: vec![("open".into(), "OPEN".into()), ("closed".into(), "CLOSED".into())],
        }));
        for (value, ty, text) in [
            (Value::None, Type::Int.optional(), "null"),
            (Value::Bool(true), Type::Bool, "true"),
            (Value::Int(-3), Type::Int.optional(), "-3"),
            (Value::Decimal(Decimal::new(15, 1)), Type::Decimal(Some(2)), r#""1.50""#),
            (Value::Decimal(Decimal::new(150, 2)), Type::Decimal(None), r#""1.5""#),
            (Value::Float(1e300), Type::Float, "1e300"),
            (Value::Float(-0.0), Type::Float, "0.0"),
            (Value::borrowed("a\"\n\u{1}é"), Type::String(None), "\"a\\\"\\n\\u0001é\""),
            (Value::Timestamp(0), Type::Timestamp, r#""1970-01-01T00:00:00Z""#),
            (Value::Date(0), Type::Date, r#""1970-01-01""#),
            (Value::Duration(90_000_000), Type::Duration, r#""PT1M30S""#),
            (Value::Uuid(1), Type::Uuid, r#""00000000-0000-0000-0000-000000000001""#),
            (Value::Bytes(Arc::from(*b"ab")), Type::Bytes, r#""YWI=""#),
            (Value::Json(r#"{"b": 1.50}"#.into()), Type::Json, r#"{"b": 1.50}"#),
            (Value::Enum(1), status, r#""CLOSED""#),
        ] {
            assert_eq!(plain(&value, &ty), text);
        }
    }

    #[test]
    fn styles_change_numbers_and_absence() {
        let numbers = Style { decimals: DecimalStyle::Numbers, ints_as_text: true, ..Style::default() };
        let scaled = Style { decimals: DecimalStyle::ScaledNumbers, ..Style::default() };
        let decimal = Value::Decimal(Decimal::new(15, 1));
        assert_eq!(json(&decimal, &Type::Decimal(Some(2)), numbers), "1.50");
        assert_eq!(json(&decimal, &Type::Decimal(None), numbers), "1.5");
        assert_eq!(json(&decimal, &Type::Decimal(Some(2)).optional(), scaled), "1.50");
        assert_eq!(json(&decimal, &Type::Decimal(None), scaled), r#""1.5""#);
        assert_eq!(json(&decimal, &Type::Decimal(Some(2)), Style::default()), r#""1.50""#);
        assert_eq!(json(&Value::Int(i64::MAX), &Type::Int, numbers), r#""9223372036854775807""#);
        let mut out = Vec::new();
        assert_eq!(write(&Value::Int(1 << 53), &Type::Int, Style::default(), &mut out), Ok(()));
        let past = (1 << 53) + 1;
        assert_eq!(write(&Value::Int(-past), &Type::Int, Style::default(), &mut out), Err(IntTooLarge(-past)));
        assert_eq!(
            json(&Value::Int(-past), &Type::Int, Style { ints_exact: true, ..Style::default() }),
            "-9007199254740993"
        );
    }

    #[test]
    fn collections_come_in_key_order() {
        let text = || Arc::new(Type::String(None));
        let set = Value::set([Value::text("b"), Value::text("a")]);
        assert_eq!(plain(&set, &Type::Set(text())), r#"["a","b"]"#);
        let map = Value::map([(Value::Int(10), Value::None), (Value::Int(9), Value::text("x"))]);
        let ty = Type::Map(Arc::new(Type::Int), Arc::new(Type::String(None).optional()));
        assert_eq!(plain(&map, &ty), r#"{"9":"x","10":null}"#);
    }

    #[test]
    fn records_leave_out_what_is_none_when_asked() {
        let field = |name: &str, ty: Type| RecordField { name: name.into(), ty };
        let inner = RecordType { name: None, fields: vec![field("x", Type::Int.optional())] };
        let fields =
            vec![field("b", Type::Int.optional()), field("a", Type::List(Arc::new(Type::Record(Arc::new(inner)))))];
        let ty = Type::Record(Arc::new(RecordType { name: None, fields }));
        let value = Value::record(vec![Value::None, Value::list(vec![Value::record(vec![Value::None])])]);
        assert_eq!(plain(&value, &ty), r#"{"b":null,"a":[{"x":null}]}"#);
        assert_eq!(json(&value, &ty, Style { omit_none: true, ..Style::default() }), r#"{"a":[{}]}"#);
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(plain(&Value::Bytes(bytes.as_bytes().into()), &Type::Bytes), format!("\"{text}\""));
        }
    }
}
