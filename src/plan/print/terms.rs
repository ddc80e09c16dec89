//! The words of canonical text: names, types, constants, operators.

use crate::language::typed::{BinaryOp, Envelope, Function};
use crate::value::{Type, Value, json, text};

/// `lines[].sku`, with names that are no words in quotes.
pub(in crate::plan) fn path_text(path: &[std::sync::Arc<str>]) -> String {
    let is_word = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let shown = path.iter().map(|name| if is_word(name) { name.to_string() } else { quoted(name) });
    shown.collect::<Vec<_>>().join(".")
}

/// `?` at each step that may be absent, `.` at the others; nothing when none may.
pub(in crate::plan) fn optional_text(optional_at: &[bool]) -> String {
    if optional_at.iter().any(|optional| *optional) {
        let marks: String = optional_at.iter().map(|optional| if *optional { '?' } else { '.' }).collect();
        return format!(" {marks}");
    }
    String::new()
}

pub(in crate::plan) fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    json::write_text(text, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// A type in canonical form: record fields in order, enums with their members, no declared names.
pub(in crate::plan) fn type_text(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".into(),
        Type::Int => "int".into(),
        Type::Decimal(None) => "decimal".into(),
        Type::Decimal(Some(scale)) => format!("decimal({scale})"),
        Type::Float => "float".into(),
        Type::String(None) => "string".into(),
        Type::String(Some(length)) => format!("string({length})"),
        Type::Timestamp => "timestamp".into(),
        Type::Date => "date".into(),
        Type::Duration => "duration".into(),
        Type::Uuid => "uuid".into(),
        Type::Bytes => "bytes".into(),
        Type::Json => "json".into(),
        Type::List(element) => format!("list<{}>", type_text(element)),
        Type::Set(element) => format!("set<{}>", type_text(element)),
        Type::Map(key, value) => format!("map<{}, {}>", type_text(key), type_text(value)),
        Type::Record(record) => {
            let fields = record
                .fields
                .iter()
                .map(|field| format!("{}: {}", path_text(std::slice::from_ref(&field.name)), type_text(&field.ty)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::Enum(ty) => {
            let members = ty
                .members
                .iter()
                .map(|(name, wire)| if name == wire { name.to_string() } else { format!("{name} = {}", quoted(wire)) });
            format!("enum({})", members.collect::<Vec<_>>().join(", "))
        }
        Type::Optional(inner) => format!("{}?", type_text(inner)),
        Type::None => "none".into(),
    }
}

/// A constant: text and times in quotes, decimals with their value, enums by wire text.
pub(in crate::plan) fn constant_text(value: &Value<'_>, ty: &Type) -> String {
    let ty = ty.required();
    let all = |items: &mut dyn Iterator<Item = &Value<'static>>, element: &Type| -> String {
        items.map(|item| constant_text(item, element)).collect::<Vec<_>>().join(", ")
    };
    match (value, ty) {
        (Value::Text(text), _) => quoted(text.as_str()),
        (Value::Decimal(number), _) => format!("{number}d"),
        (Value::Float(_), _) => format!("{}f", text::of(value, ty)),
        (Value::Timestamp(_), _) => format!("t{}", quoted(&text::of(value, ty))),
        (Value::Date(_), _) => format!("d{}", quoted(&text::of(value, ty))),
        (Value::Enum(_), _) => format!("#{}", quoted(&text::of(value, ty))),
        (Value::Json(json), _) => format!("json {json}"),
        (Value::Bytes(bytes), _) => format!("bytes {bytes:?}"),
        (Value::List(items), Type::List(element)) => format!("[{}]", all(&mut items.iter(), element)),
        (Value::List(items), _) => format!("[{}]", all(&mut items.iter(), &Type::None)),
        (Value::Set(items), Type::Set(element)) => format!("set{{{}}}", all(&mut items.iter(), element)),
        (Value::Map(entries), Type::Map(key, element)) => {
            let entries =
                entries.iter().map(|(k, v)| format!("{} => {}", constant_text(k, key), constant_text(v, element)));
            format!("map{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        (Value::Record(values), Type::Record(record)) => {
            let fields = record.fields.iter().zip(values.iter());
            let fields = fields.map(|(field, value)| format!("{}: {}", field.name, constant_text(value, &field.ty)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        _ => text::of(value, ty),
    }
}

/// `SumList` → `sum_list`.
pub(super) fn function_text(function: Function) -> String {
    let mut name = String::new();
    for c in format!("{function:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

pub(super) fn binary_text(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Remainder => "%",
        BinaryOp::Concat => "++",
        BinaryOp::Equal => "==",
        BinaryOp::NotEqual => "!=",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterOrEqual => ">=",
        BinaryOp::In => "in",
        BinaryOp::NotIn => "not in",
    }
}

pub(super) fn envelope_text(envelope: Envelope) -> &'static str {
    match envelope {
        Envelope::Key => "event.key",
        Envelope::Timestamp => "event.timestamp",
        Envelope::Offset => "event.offset",
        Envelope::Partition => "event.partition",
        Envelope::Topic => "event.topic",
        Envelope::Type => "event.type",
        Envelope::Id => "event.id",
        Envelope::Headers => "event.headers",
    }
}
