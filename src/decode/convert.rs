//! The text of a JSON value → what its slot's type makes of it.
//!
//! The value was scanned, so it is known to be grammatical; here it gets its meaning, or a fault that shows it. Numbers go
//! from their text to their type and never through a float that was not asked for. Scalars allocate nothing; lists,
//! records and maps are built by walking the value again with the type as the guide.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decode::scan::{LoneSurrogate, Malformed, Scanner, unescape};
use crate::language::codes;
use crate::value::decimal::DecimalError;
use crate::value::{Decimal, EnumType, RecordType, Slot, SlotBuffer, Type, Value, date, duration, timestamp, uuid};

/// A value that its slot cannot take.
#[derive(Debug)]
pub(super) struct Misfit {
    pub code: &'static str,
    /// Where inside the slot's value: `[2].price`, or nothing.
    pub path: String,
    /// What is wrong, to follow the name of the field: "is `5.5`, not an int".
    pub what: String,
}

/// Boxed, so that what fits is returned in few words.
pub(super) type Fit<T> = Result<T, Box<Misfit>>;

/// Fills a slot. `raw` is one JSON value and not `null`.
pub(super) fn into_slot(raw: &str, ty: &Type, buffer: &mut SlotBuffer) -> Fit<Slot> {
    match ty.required() {
        Type::String(length_max) => text_slot(raw, *length_max, buffer),
        Type::Json => Ok(buffer.push_value(Value::Json(raw.into()))),
        Type::Bytes | Type::List(_) | Type::Set(_) | Type::Map(..) | Type::Record(_) => {
            let value = nested(raw, ty.required())?;
            Ok(buffer.push_value(value))
        }
        scalar => scalar_slot(raw, scalar),
    }
}

/// Fills a slot of text from a text or from an integer, which stands for its digits.
pub(super) fn into_key_text(raw: &str, buffer: &mut SlotBuffer) -> Fit<Slot> {
    match raw.as_bytes()[0] {
        b'-' | b'0'..=b'9' => match whole(raw) {
            Some(number) => {
                use std::fmt::Write;
                let start = buffer.text.len() as u32;
                write!(buffer.text, "{number}").expect("writing to a string cannot fail");
                Ok(Slot::Text { start, end: buffer.text.len() as u32 })
            }
            None => Err(wrong(raw, "a text or an int")),
        },
        b'"' => text_slot(raw, None, buffer),
        _ => Err(wrong(raw, "a text or an int")),
    }
}

/// The slot of a constant, for a default.
pub(super) fn constant_slot(value: &Value<'static>, buffer: &mut SlotBuffer) -> Slot {
    match value {
        Value::None => Slot::None,
        Value::Bool(v) => Slot::Bool(*v),
        Value::Int(v) => Slot::Int(*v),
        Value::Decimal(v) => Slot::Decimal(*v),
        Value::Float(v) => Slot::Float(*v),
        Value::Text(v) => buffer.push_text(v.as_str()),
        Value::Timestamp(v) => Slot::Timestamp(*v),
        Value::Date(v) => Slot::Date(*v),
        Value::Duration(v) => Slot::Duration(*v),
        Value::Uuid(v) => Slot::Uuid(*v),
        Value::Enum(v) => Slot::Enum(*v),
        nested => buffer.push_value(nested.clone()),
    }
}

fn text_slot(raw: &str, length_max: Option<u32>, buffer: &mut SlotBuffer) -> Fit<Slot> {
    let inside = inside(raw).ok_or_else(|| wrong(raw, "a text"))?;
    let start = buffer.text.len();
    if inside.as_bytes().contains(&b'\\') {
        unescape(inside, &mut buffer.text).map_err(|LoneSurrogate| lone_surrogate(raw))?;
    } else {
        buffer.text.push_str(inside);
    }
    check_length(&buffer.text[start..], length_max)?;
    Ok(Slot::Text { start: start as u32, end: buffer.text.len() as u32 })
}

fn scalar_slot(raw: &str, ty: &Type) -> Fit<Slot> {
    match ty {
        Type::Bool => match raw {
            "true" => Ok(Slot::Bool(true)),
            "false" => Ok(Slot::Bool(false)),
            _ => Err(wrong(raw, "true or false")),
        },
        Type::Int => int(raw).map(Slot::Int),
        Type::Decimal(places) => decimal(raw, *places).map(Slot::Decimal),
        Type::Float => float(raw).map(Slot::Float),
        Type::Timestamp => {
            parsed(raw, "a timestamp such as \"2026-01-01T10:00:00Z\"", timestamp::parse).map(Slot::Timestamp)
        }
        Type::Date => parsed(raw, "a date such as \"2026-01-31\"", date::parse).map(Slot::Date),
        Type::Duration => parsed(raw, "a duration such as \"PT1H30M\"", duration::parse).map(Slot::Duration),
        Type::Uuid => parsed(raw, "a UUID", uuid::parse).map(Slot::Uuid),
        Type::Enum(members) => member(raw, members).map(Slot::Enum),
        Type::None => Err(wrong(raw, "null")),
        _ => unreachable!("types with nested values are not scalars"),
    }
}

/// A list, set, map or record, or a scalar among its parts.
fn nested(raw: &str, ty: &Type) -> Fit<Value<'static>> {
    match ty {
        Type::Optional(_) | Type::None if raw == "null" => Ok(Value::None),
        Type::Optional(inner) => nested(raw, inner),
        _ if raw == "null" => Err(misfit(codes::MISSING_FIELD, "is null".into())),
        Type::String(length_max) => {
            let text = text_of(raw)?.ok_or_else(|| wrong(raw, "a text"))?;
            check_length(&text, *length_max)?;
            Ok(Value::text(&*text))
        }
        Type::Json => Ok(Value::Json(raw.into())),
        Type::Bytes => {
            let text = text_of(raw)?.and_then(|text| from_base64(&text));
            text.map(|bytes| Value::Bytes(bytes.into())).ok_or_else(|| wrong(raw, "bytes as base64 text"))
        }
        Type::List(element) => elements(raw, element, "a list").map(Value::list),
        Type::Set(element) => elements(raw, element, "a list").map(Value::set),
        Type::Map(key, value) => map(raw, key, value),
        Type::Record(record) => record_of(raw, record),
        scalar => scalar_slot(raw, scalar).map(|slot| SlotBuffer::default().value(slot).into_static()),
    }
}

fn elements(raw: &str, element: &Type, expected: &str) -> Fit<Vec<Value<'static>>> {
    let mut scanner = Scanner::new(raw.as_bytes());
    if !scanner.take(b'[') {
        return Err(wrong(raw, expected));
    }
    let (mut found, mut first) = (Vec::new(), true);
    while scanned(scanner.element(&mut first)) {
        let item = &raw[scanned(scanner.value(1)).range()];
        let value = nested(item, element).map_err(|misfit| misfit.inside(&format!("[{}]", found.len())))?;
        found.push(value);
    }
    Ok(found)
}

fn map(raw: &str, key: &Type, value: &Type) -> Fit<Value<'static>> {
    let mut last: BTreeMap<Value<'static>, (String, &str)> = BTreeMap::new();
    for member in members(raw)? {
        let (name, item) = member?;
        let name = name.into_owned();
        // A key is read as the text that stands for it, so it takes the way of a JSON string.
        let quoted = serde_json::to_string(&name).expect("text is always JSON");
        let as_key = match key {
            Type::Int | Type::Bool => nested(&name, key),
            _ => nested(&quoted, key),
        };
        last.insert(as_key.map_err(|misfit| misfit.inside(&format!("[{quoted}]")))?, (quoted, item));
    }
    let mut entries = BTreeMap::new();
    for (key, (name, item)) in last {
        entries.insert(key, nested(item, value).map_err(|misfit| misfit.inside(&format!("[{name}]")))?);
    }
    Ok(Value::Map(Arc::new(entries)))
}

fn record_of(raw: &str, record: &RecordType) -> Fit<Value<'static>> {
    let mut last: Vec<Option<&str>> = vec![None; record.fields.len()];
    for member in members(raw)? {
        let Ok((name, item)) = member else { continue };
        if let Some(index) = record.fields.iter().position(|field| *field.name == *name) {
            last[index] = Some(item);
        }
    }
    let mut values = Vec::with_capacity(last.len());
    for (field, item) in record.fields.iter().zip(last) {
        let value = match item {
            None if field.ty.is_optional() => Ok(Value::None),
            None => Err(misfit(codes::MISSING_FIELD, "is missing".into())),
            Some(item) => nested(item, &field.ty),
        };
        values.push(value.map_err(|misfit| misfit.inside(&format!(".{}", field.name)))?);
    }
    Ok(Value::record(values))
}

/// The members of an object: key and raw value.
fn members(raw: &str) -> Fit<impl Iterator<Item = Fit<(Cow<'_, str>, &str)>>> {
    let mut scanner = Scanner::new(raw.as_bytes());
    if !scanner.take(b'{') {
        return Err(wrong(raw, "an object"));
    }
    let mut first = true;
    Ok(std::iter::from_fn(move || {
        let key = scanned(scanner.member(&mut first))?;
        let item = &raw[scanned(scanner.value(1)).range()];
        let name = unescaped(&raw[key.inside.range()], key.escaped).map_err(|LoneSurrogate| lone_surrogate(raw));
        Some(name.map(|name| (name, item)))
    }))
}

/// The value of the last member of that name in an object; the outer `None` when `raw` is no object.
pub(super) fn last_member<'a>(raw: &'a str, name: &str) -> Option<Option<&'a str>> {
    let members = members(raw).ok()?;
    let named = members.filter_map(|member| member.ok().filter(|(key, _)| key == name));
    Some(named.last().map(|(_, item)| item))
}

/// Takes what the scanner says of a value that it has passed before.
fn scanned<T>(result: Result<T, Malformed>) -> T {
    result.expect("the document was scanned whole")
}

fn int(raw: &str) -> Fit<i64> {
    let bytes = raw.as_bytes();
    if bytes.len() <= 18 && bytes.iter().all(u8::is_ascii_digit) {
        return Ok(bytes.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')));
    }
    if !matches!(bytes[0], b'-' | b'0'..=b'9') {
        return Err(wrong(raw, "an int"));
    }
    let Some(number) = whole(raw) else { return Err(wrong(raw, "an int")) };
    let does_not_fit = |_| misfit(codes::OVERFLOW, format!("is {}, which does not fit an int", shortened(raw)));
    i64::try_from(number).map_err(does_not_fit)
}

/// A number that has no fraction, whatever way it is written.
fn whole(raw: &str) -> Option<i128> {
    match Decimal::parse(raw) {
        Ok(number) => number.rescale(0).map(Decimal::coefficient),
        // It has more digits than a decimal holds, so more than an int does; unless it is tiny, and then it is not whole.
        Err(DecimalError::DoesNotFit) if !raw.contains(['.', 'e', 'E']) => Some(i128::MAX),
        Err(_) => None,
    }
}

fn decimal(raw: &str, places: Option<u8>) -> Fit<Decimal> {
    let text = match raw.as_bytes()[0] {
        b'-' | b'0'..=b'9' => Cow::Borrowed(raw),
        _ => text_of(raw)?.ok_or_else(|| wrong(raw, "a decimal"))?,
    };
    let does_not_fit =
        |limit: String| misfit(codes::DECIMAL_FIT, format!("is {}, which does not fit {limit}", shortened(raw)));
    let number = match Decimal::parse(&text) {
        Ok(number) => number,
        Err(DecimalError::NotANumber) => return Err(wrong(raw, "a decimal")),
        Err(DecimalError::DoesNotFit) => return Err(does_not_fit("a decimal".into())),
    };
    let Some(places) = places else { return Ok(number) };
    number.rescale(places).ok_or_else(|| does_not_fit(format!("decimal({places})")))
}

fn float(raw: &str) -> Fit<f64> {
    if !matches!(raw.as_bytes()[0], b'-' | b'0'..=b'9') {
        return Err(wrong(raw, "a float"));
    }
    let number: Option<f64> = raw.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| wrong(raw, "a number that a float holds"))
}

fn parsed<T>(raw: &str, expected: &str, parse: fn(&str) -> Option<T>) -> Fit<T> {
    text_of(raw)?.and_then(|text| parse(&text)).ok_or_else(|| wrong(raw, expected))
}

fn member(raw: &str, ty: &EnumType) -> Fit<u16> {
    let text = text_of(raw)?.ok_or_else(|| wrong(raw, &format!("the text of a {}", ty.name)))?;
    let index = ty.members.iter().position(|(_, wire)| **wire == *text);
    index.map(|index| index as u16).ok_or_else(|| {
        misfit(codes::CONTRACT, format!("is {}, which no member of {} stands for", shortened(raw), ty.name))
    })
}

fn check_length(text: &str, length_max: Option<u32>) -> Fit<()> {
    let Some(length_max) = length_max else { return Ok(()) };
    if text.len() <= length_max as usize || text.chars().count() <= length_max as usize {
        return Ok(());
    }
    Err(misfit(codes::CONTRACT, format!("is {:?}, longer than string({length_max})", shortened(text))))
}

/// The inside of a JSON text.
fn inside(raw: &str) -> Option<&str> {
    raw.strip_prefix('"')?.strip_suffix('"')
}

/// What a JSON text stands for; `None` when the value is no text.
fn text_of(raw: &str) -> Fit<Option<Cow<'_, str>>> {
    let Some(inside) = inside(raw) else { return Ok(None) };
    let escaped = inside.as_bytes().contains(&b'\\');
    unescaped(inside, escaped).map(Some).map_err(|LoneSurrogate| lone_surrogate(raw))
}

/// The characters of a text's inside.
pub(super) fn unescaped(inside: &str, escaped: bool) -> Result<Cow<'_, str>, LoneSurrogate> {
    if !escaped {
        return Ok(Cow::Borrowed(inside));
    }
    let mut text = String::with_capacity(inside.len());
    unescape(inside, &mut text)?;
    Ok(Cow::Owned(text))
}

/// Standard base64, with its padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in digits.as_bytes().chunks(4) {
        let mut bits = 0u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        let count = group.len() * 6 / 8;
        let spare = group.len() * 6 - count * 8;
        if bits & ((1 << spare) - 1) != 0 {
            return None;
        }
        bytes.extend_from_slice(&(bits >> spare).to_be_bytes()[4 - count..]);
    }
    Some(bytes)
}

impl Misfit {
    /// The same, seen from the value around it.
    fn inside(mut self: Box<Self>, step: &str) -> Box<Misfit> {
        self.path.insert_str(0, step);
        self
    }
}

#[cold]
fn misfit(code: &'static str, what: String) -> Box<Misfit> {
    Box::new(Misfit { code, path: String::new(), what })
}

#[cold]
pub(super) fn wrong(raw: &str, expected: &str) -> Box<Misfit> {
    misfit(codes::WRONG_JSON_TYPE, format!("is {}, not {expected}", shortened(raw)))
}

#[cold]
fn lone_surrogate(raw: &str) -> Box<Misfit> {
    misfit(codes::WRONG_JSON_TYPE, format!("is {}, whose escapes stand for no character", shortened(raw)))
}

/// A value for a message: cut where it gets long.
pub(super) fn shortened(raw: &str) -> Cow<'_, str> {
    const SHOWN_MAX: usize = 60;
    match raw.char_indices().nth(SHOWN_MAX) {
        None => Cow::Borrowed(raw),
        Some((at, _)) => Cow::Owned(format!("{}…", &raw[..at])),
    }
}
