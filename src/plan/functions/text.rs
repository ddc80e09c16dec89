//! Text, enums and ids.

use std::fmt::Write as _;

use regex::Regex;

use crate::language::codes;
use crate::language::typed::Function as F;
use crate::plan::Fault;
use crate::plan::eval::{Evaluator, Regexes};
use crate::plan::functions::{Call, Evaluated};
use crate::value::{Text, Type, Value, text, uuid};

/// The longest text that padding makes, in characters.
const PADDED_MAX: i64 = 65_536;

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    if call.function == F::Header {
        return header(evaluator, call);
    }
    let first = evaluator.argument(call, 0)?;
    let ty = &call.arguments[0].ty;
    match (call.function, &first) {
        (F::TextOf, _) => return Ok(text_of(first, ty)),
        (F::EnumName | F::EnumText, Value::Enum(member)) => return Ok(enum_text(call.function, *member, ty)),
        (_, Value::Text(_)) => {}
        _ => return Ok(Value::None),
    }
    let Value::Text(value) = first else { unreachable!("matched above") };
    let content = value.as_str();
    Ok(match call.function {
        F::TextLen => Value::Int(content.chars().count() as i64),
        F::Lower => Value::text(content.to_lowercase()),
        F::Upper => Value::text(content.to_uppercase()),
        F::Trim => trimmed(&value, str::trim),
        F::TrimStart => trimmed(&value, str::trim_start),
        F::TrimEnd => trimmed(&value, str::trim_end),
        F::Words => Value::list(content.split_whitespace().map(Value::text).collect()),
        F::UuidOfText => uuid::parse(content).map_or(Value::None, Value::Uuid),
        F::Hash => Value::text(hash(content)),
        F::Mask => Value::text(mask(content, evaluator.argument(call, 1)?)),
        F::Slice => {
            let (start, end) = (evaluator.int_argument(call, 1)?, evaluator.argument(call, 2)?);
            slice(&value, start, &end)
        }
        F::PadStart | F::PadEnd => return pad(evaluator, call, content),
        F::Matches => Value::Bool(regex(evaluator.regexes, &pattern(call))?.is_match(content)),
        _ => with_text(evaluator, call, content)?,
    })
}

/// Functions of two texts and more.
fn with_text<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, content: &str) -> Evaluated<'a> {
    let Value::Text(other) = evaluator.argument(call, 1)? else { return Ok(Value::None) };
    let other = other.as_str();
    Ok(match call.function {
        F::StartsWith => Value::Bool(content.starts_with(other)),
        F::EndsWith => Value::Bool(content.ends_with(other)),
        F::TextContains => Value::Bool(content.contains(other)),
        // Nothing separates nothing.
        F::Split if other.is_empty() => Value::list(vec![Value::text(content)]),
        F::Split => Value::list(content.split(other).map(Value::text).collect()),
        F::Replace if other.is_empty() => Value::text(content),
        F::Replace => match evaluator.argument(call, 2)? {
            Value::Text(to) => Value::text(content.replace(other, to.as_str())),
            _ => Value::None,
        },
        _ => unreachable!("no other function of text"),
    })
}

fn header<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let name = call.arguments.last().expect("check gives the header's name");
    match evaluator.eval(name)? {
        Value::Text(name) => evaluator.header(name.as_str(), call.expr),
        _ => Ok(Value::None),
    }
}

/// Text is its own text.
fn text_of<'a>(value: Value<'a>, ty: &Type) -> Value<'a> {
    match value {
        Value::Text(_) | Value::None => value,
        other => Value::text(text::of(&other, ty)),
    }
}

fn enum_text<'a>(function: F, member: u16, ty: &Type) -> Value<'a> {
    let Type::Enum(ty) = ty.required() else { return Value::None };
    let (name, wire) = &ty.members[usize::from(member)];
    Value::text(if function == F::EnumName { name.clone() } else { wire.clone() })
}

/// Trimmed text is a part of what it was: borrowed text stays borrowed.
fn trimmed<'a>(value: &Text<'a>, trim: fn(&str) -> &str) -> Value<'a> {
    match value {
        Text::Borrowed(content) => Value::borrowed(trim(content)),
        Text::Shared(content) => Value::text(trim(content)),
    }
}

/// By characters, from `start` to before `end`; both clamp.
fn slice<'a>(value: &Text<'a>, start: i64, end: &Value<'_>) -> Value<'a> {
    let start = start.max(0) as usize;
    let end = match end {
        Value::Int(end) => (*end).max(0) as usize,
        _ => usize::MAX,
    };
    let byte = |content: &str, index: usize| content.char_indices().nth(index).map_or(content.len(), |(at, _)| at);
    let range = |content: &str| {
        let from = byte(content, start);
        from..byte(content, end).max(from)
    };
    match value {
        Text::Borrowed(content) => Value::borrowed(&content[range(content)]),
        Text::Shared(content) => Value::text(&content[range(content)]),
    }
}

fn pad<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, content: &str) -> Evaluated<'a> {
    let width = evaluator.int_argument(call, 1)?;
    if width > PADDED_MAX {
        let message = format!("padding to {width} characters is more than {PADDED_MAX}");
        return Err(evaluator.context.fault(codes::TOO_MANY, call.expr.span, message));
    }
    let filler = match evaluator.argument(call, 2)? {
        Value::Text(filler) if !filler.as_str().is_empty() => filler.as_str().to_owned(),
        _ => " ".to_owned(),
    };
    let missing = (width.max(0) as usize).saturating_sub(content.chars().count());
    let padding: String = filler.chars().cycle().take(missing).collect();
    let padded = if call.function == F::PadStart { padding + content } else { content.to_owned() + &padding };
    Ok(Value::text(padded))
}

/// The first 16 bytes of BLAKE3, in hexadecimal.
fn hash(content: &str) -> String {
    let hash = blake3::hash(content.as_bytes());
    hash.as_bytes()[..16].iter().fold(String::with_capacity(32), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    })
}

/// All but the last characters as `*`.
fn mask(content: &str, keep: Value<'_>) -> String {
    let keep = match keep {
        Value::Int(keep) => keep.max(0) as usize,
        _ => 4,
    };
    let hidden = content.chars().count().saturating_sub(keep);
    content.chars().enumerate().map(|(index, c)| if index < hidden { '*' } else { c }).collect()
}

/// The constant text of a regular expression.
fn pattern(call: &Call<'_>) -> String {
    match call.arguments.get(1).map(|argument| &argument.kind) {
        Some(crate::language::typed::ExprKind::Constant(Value::Text(pattern))) => pattern.as_str().to_owned(),
        _ => unreachable!("check gives a constant here"),
    }
}

/// A regular expression, compiled once for each thread.
fn regex<'r>(regexes: &'r mut Regexes, pattern: &str) -> Result<&'r Regex, Box<Fault>> {
    if !regexes.contains_key(pattern) {
        let regex = Regex::new(pattern).expect("check compiled it");
        regexes.insert(pattern.into(), regex);
    }
    Ok(&regexes[pattern])
}
