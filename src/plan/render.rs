//! Row → document: the JSON that a sink stores for a key. The same row and version give the same bytes.
//!
//! Fields come in the order of `as`, `_proj` last. Cosmos documents begin with `id` unless they name one. What a target
//! adds for itself (`ttl`, an id outside the document) is the sink's. Where Redis keeps no document but a member of a set,
//! it is written where the member goes: `{"key": …, "member": …, "score": …, "_proj": …}`.

use std::fmt::{self, Write};

use crate::event::Version;
use crate::language::codes;
use crate::language::typed::{Expr, ExprKind, Into, Projection, SinkKind};
use crate::plan::eval::{Evaluator, Scratch, row_context, with_locals};
use crate::plan::key::Escaped;
use crate::plan::{Fault, Row};
use crate::value::json::{self, IntTooLarge, Style};
use crate::value::{Decimal, Value, text};

/// Appends the document of a row as this sink would store it. After a fault `out` is as it was.
pub fn document(
    projection: &Projection,
    sink: &Into,
    key_text: &str,
    row: &Row,
    version: Version,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Box<Fault>> {
    let start = out.len();
    let context = row_context(projection, key_text);
    let written = with_locals(scratch, sink.locals, |locals, scratch| {
        let regexes = &mut scratch.regexes;
        let mut evaluator = Evaluator { context: &context, state: &row.fields, locals, regexes };
        out.push(b'{');
        if sink.kind == SinkKind::Cosmos && !sink.document.iter().any(|(name, _)| **name == *"id") {
            let id = cosmos_id(sink, key_text, &mut evaluator)?;
            out.extend_from_slice(b"\"id\":");
            json::write_text(&id, out);
            out.push(b',');
        }
        match sink.kind {
            SinkKind::Redis if sink.options.redis_kind().is_member() => {
                membership(projection, sink, key_text, &mut evaluator, out)?;
            }
            _ => fields(sink, &mut evaluator, out)?,
        }
        mark(&projection.name, version, out);
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// The fields of `as`, each followed by a comma.
fn fields<'a>(sink: &'a Into, evaluator: &mut Evaluator<'_, 'a>, out: &mut Vec<u8>) -> Result<(), Box<Fault>> {
    let style = Style {
        decimals: sink.options.decimals,
        ints_as_text: sink.options.ints_as_text,
        ints_exact: sink.kind == SinkKind::Postgres,
        omit_none: sink.options.omit_none,
    };
    for (name, expr) in &sink.document {
        let value = evaluator.eval(expr)?;
        if style.omit_none && value.is_none() {
            continue;
        }
        json::write_text(name, out);
        out.push(b':');
        json::write(&value, &expr.ty, style, out).map_err(|IntTooLarge(int)| {
            let message =
                format!("{int} in `{name}` is past 2^53, which readers of JSON round; write `ints: \"string\"`");
            evaluator.context.fault(codes::OVERFLOW, expr.span, message)
        })?;
        out.push(b',');
    }
    Ok(())
}

/// Where a member of a Redis set goes: `key`, `member` and, in a sorted set, `score`.
fn membership<'a>(
    projection: &Projection,
    sink: &'a Into,
    key_text: &str,
    evaluator: &mut Evaluator<'_, 'a>,
    out: &mut Vec<u8>,
) -> Result<(), Box<Fault>> {
    let key = match sink.options.expr("key") {
        Some(expr) => identity(expr, evaluator)?,
        None => projection.name.to_string(),
    };
    let member = match sink.options.expr("member") {
        Some(expr) => identity(expr, evaluator)?,
        None => key_text.to_owned(),
    };
    for (name, text) in [("key", key), ("member", member)] {
        json::write_text(name, out);
        out.push(b':');
        json::write_text(&text, out);
        out.push(b',');
    }
    if let Some(expr) = sink.options.expr("score") {
        let value = evaluator.eval(expr)?;
        let score = score(&value).ok_or_else(|| {
            let message = format!(
                "{} cannot be a score: scores in Redis are doubles, and a double does not hold all its digits",
                text::of(&value, &expr.ty)
            );
            evaluator.context.fault(codes::OVERFLOW, expr.span, message)
        })?;
        out.extend_from_slice(format!("\"score\":{score},").as_bytes());
    }
    Ok(())
}

/// A number as a double. None when it would come back as another number: scores keep the order of the numbers they are of.
fn score(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(int) => {
            let double = *int as f64;
            (double as i128 == i128::from(*int)).then_some(double)
        }
        Value::Decimal(decimal) => {
            let double = decimal.to_float();
            (Decimal::parse(&double.to_string()) == Ok(*decimal)).then_some(double)
        }
        // `-0` and `0` are one score.
        Value::Float(float) => Some(float + 0.0),
        _ => None,
    }
}

/// The key of a set that holds the member of a key text; an option that is a function of the key alone.
pub fn redis_set_of(
    projection: &Projection,
    sink: &Into,
    key_text: &str,
    scratch: &mut Scratch,
) -> Result<String, Box<Fault>> {
    match sink.options.expr("key") {
        Some(expr) => with_key(projection, sink, key_text, scratch, |evaluator| identity(expr, evaluator)),
        None => Ok(projection.name.to_string()),
    }
}

/// `_proj`: whose document it is, and its version.
fn mark(projection: &str, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"_proj\":{\"p\":");
    json::write_text(projection, out);
    out.extend_from_slice(format!(",\"v\":{version}}}}}").as_bytes());
}

/// The id of a document in its target: the key text, or what the option `id` makes of the key. Keys that differ have ids that
/// differ. What the target does not allow in an id is not escaped yet.
pub fn document_id(
    projection: &Projection,
    sink: &Into,
    key_text: &str,
    scratch: &mut Scratch,
) -> Result<String, Box<Fault>> {
    with_key(projection, sink, key_text, scratch, |evaluator| id(sink, key_text, evaluator))
}

/// The id of a Cosmos document, escaped as it stands in the document.
pub fn cosmos_document_id(
    projection: &Projection,
    sink: &Into,
    key_text: &str,
    scratch: &mut Scratch,
) -> Result<String, Box<Fault>> {
    with_key(projection, sink, key_text, scratch, |evaluator| cosmos_id(sink, key_text, evaluator))
}

/// What an option that is a function of the key alone is for a key: a partition key, a routing value.
pub fn of_key(
    projection: &Projection,
    sink: &Into,
    expr: &Expr,
    key_text: &str,
    scratch: &mut Scratch,
) -> Result<Value<'static>, Box<Fault>> {
    with_key(projection, sink, key_text, scratch, |evaluator| evaluator.eval(expr).map(Value::into_static))
}

fn with_key<'a, T>(
    projection: &'a Projection,
    sink: &'a Into,
    key_text: &'a str,
    scratch: &mut Scratch,
    with: impl FnOnce(&mut Evaluator<'_, 'a>) -> Result<T, Box<Fault>>,
) -> Result<T, Box<Fault>> {
    let context = row_context(projection, key_text);
    with_locals(scratch, sink.locals, |locals, scratch| {
        let regexes = &mut scratch.regexes;
        with(&mut Evaluator { context: &context, state: &[], locals, regexes })
    })
}

fn cosmos_id<'a>(sink: &'a Into, key_text: &str, evaluator: &mut Evaluator<'_, 'a>) -> Result<String, Box<Fault>> {
    if let Some(expr) = &sink.options.id
        && sink.document.iter().any(|(name, _)| **name == *"id")
    {
        // The document shows it as its author wrote it, and is asked for by what it shows.
        let id = evaluator.eval(expr)?;
        return Ok(text::of(&id, &expr.ty));
    }
    let id = id(sink, key_text, evaluator)?;
    let mut escaped = String::with_capacity(id.len());
    ForCosmos(&mut escaped).write_str(&id).expect("writing to a string cannot fail");
    // An id is the last part of a URL, where these would be parts to leave out.
    Ok(if escaped == "." || escaped == ".." { escaped.replace('.', "%2E") } else { escaped })
}

fn id<'a>(sink: &'a Into, key_text: &str, evaluator: &mut Evaluator<'_, 'a>) -> Result<String, Box<Fault>> {
    match &sink.options.id {
        None => Ok(key_text.to_owned()),
        Some(expr) => identity(expr, evaluator),
    }
}

/// A text that names something. Parts of a template are escaped, with the first character of what stands behind each, so that
/// the end of a part can always be told and different keys never have one name.
fn identity<'a>(expr: &'a Expr, evaluator: &mut Evaluator<'_, 'a>) -> Result<String, Box<Fault>> {
    let mut id = String::new();
    let parts = match &expr.kind {
        ExprKind::Interpolate(parts) => parts.as_slice(),
        _ => std::slice::from_ref(expr),
    };
    for (index, part) in parts.iter().enumerate() {
        let value = evaluator.eval(part)?;
        let written = match part.kind {
            // What stands in the template is the author's.
            ExprKind::Constant(_) => text::write(&value, &part.ty, &mut id),
            _ => {
                let separator = parts.get(index + 1).and_then(first_character);
                text::write(&value, &part.ty, &mut InTemplate { out: &mut id, separator })
            }
        };
        written.expect("writing to a string cannot fail");
    }
    Ok(id)
}

/// What a text of a template begins with.
fn first_character(part: &Expr) -> Option<char> {
    match &part.kind {
        ExprKind::Constant(Value::Text(text)) => text.as_str().chars().next(),
        _ => None,
    }
}

/// Writes a part of a template, with the character encoded that ends it.
struct InTemplate<'a> {
    out: &'a mut String,
    separator: Option<char>,
}

impl Write for InTemplate<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if Some(c) == self.separator && c != '|' && c != '%' {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().try_for_each(|byte| write!(self.out, "%{byte:02X}"))?;
            } else {
                Escaped(self.out).write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Encodes what Cosmos DB does not allow in an id.
struct ForCosmos<'a>(&'a mut String);

impl Write for ForCosmos<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '/' => self.0.push_str("%2F"),
                '\\' => self.0.push_str("%5C"),
                '?' => self.0.push_str("%3F"),
                '#' => self.0.push_str("%23"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}
