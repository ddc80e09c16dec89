//! Conversions between types, and the contracts of `decimal(s)` and `string(n)`.

use crate::language::codes;
use crate::language::span::Span;
use crate::language::typed::Conversion;
use crate::plan::Fault;
use crate::plan::eval::Context;
use crate::value::{Decimal, RecordType, Type, Value, text};

/// Why a value cannot be held by a type, before it is known for which place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    code: &'static str,
    value: String,
    ty: String,
}

impl Misfit {
    /// `19.995 does not fit decimal(2)`.
    #[cold]
    pub fn fault(self, context: &Context<'_>, span: Span) -> Box<Fault> {
        context.fault(self.code, span, format!("{} does not fit {}", self.value, self.ty))
    }

    /// `19.995 does not fit total_balance: decimal(2)`.
    #[cold]
    pub fn fault_at(self, place: &str, context: &Context<'_>, span: Span) -> Box<Fault> {
        context.fault(self.code, span, format!("{} does not fit {place}: {}", self.value, self.ty))
    }
}

/// A conversion that check put into the tree.
pub(super) fn convert<'a>(
    value: Value<'a>,
    conversion: Conversion,
    from: &Type,
    to: &Type,
) -> Result<Value<'a>, Misfit> {
    match conversion {
        Conversion::IntToDecimal => Ok(match value {
            Value::Int(v) => Value::Decimal(Decimal::from(v)),
            other => other,
        }),
        Conversion::DecimalToScale(scale) => fit(value, &Type::Decimal(Some(scale))),
        Conversion::DecimalToPlain => Ok(value),
        Conversion::TextToLength(length) => fit(value, &Type::String(Some(length))),
        Conversion::Reshape => reshape(value, from, to),
    }
}

/// The value as a place of this type holds it, if it does: the contracts of `decimal(s)` and `string(n)`.
pub(crate) fn fit<'a>(value: Value<'a>, ty: &Type) -> Result<Value<'a>, Misfit> {
    match (&value, ty.required()) {
        (Value::Decimal(number), Type::Decimal(Some(scale))) if number.scale() != *scale => {
            let exact = number.rescale(*scale);
            exact.map(Value::Decimal).ok_or_else(|| misfit(codes::DECIMAL_FIT, &value, format!("decimal({scale})")))
        }
        (Value::Int(number), Type::Decimal(scale)) => {
            let exact = Decimal::from(*number).rescale(scale.unwrap_or(0));
            exact.map(Value::Decimal).ok_or_else(|| misfit(codes::DECIMAL_FIT, &value, "decimal".to_owned()))
        }
        (Value::Text(content), Type::String(Some(length))) => {
            let content = content.as_str();
            // Bytes are at least as many as characters, and are counted for free.
            if content.len() <= *length as usize || content.chars().count() <= *length as usize {
                return Ok(value);
            }
            Err(misfit(codes::CONTRACT, &value, format!("string({length})")))
        }
        _ => Ok(value),
    }
}

#[cold]
fn misfit(code: &'static str, value: &Value<'_>, ty: String) -> Misfit {
    let shown = text::of(value, &Type::None);
    let value = if matches!(value, Value::Text(_)) { format!("{shown:?}") } else { shown };
    Misfit { code, value, ty }
}

/// A value of one type as another that differs in the order of record fields, in optionality, or in contracts, at any
/// depth.
fn reshape<'a>(value: Value<'a>, from: &Type, to: &Type) -> Result<Value<'a>, Misfit> {
    let (from, to) = (from.required(), to.required());
    if from == to {
        return Ok(value);
    }
    let each = |items: &[Value<'static>], from: &Type, to: &Type| -> Result<Vec<Value<'static>>, Misfit> {
        items.iter().map(|item| reshape(item.clone(), from, to)).collect()
    };
    Ok(match (value, from, to) {
        (Value::List(items), Type::List(from), Type::List(to)) => Value::list(each(&items, from, to)?),
        (Value::Set(items), Type::Set(from), Type::Set(to)) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| reshape(item.clone(), from, to)).collect();
            Value::set(items?)
        }
        (Value::Map(entries), Type::Map(from_key, from), Type::Map(to_key, to)) => {
            let entries: Result<Vec<_>, Misfit> = entries
                .iter()
                .map(|(k, v)| Ok((reshape(k.clone(), from_key, to_key)?, reshape(v.clone(), from, to)?)))
                .collect();
            Value::map(entries?)
        }
        (Value::Record(fields), Type::Record(from), Type::Record(to)) => Value::record(record(&fields, from, to)?),
        (value, _, to) => fit(value, to)?,
    })
}

/// Fields are found by name; one that the source lacks is optional and none.
fn record(fields: &[Value<'static>], from: &RecordType, to: &RecordType) -> Result<Vec<Value<'static>>, Misfit> {
    let field = |name: &str| from.fields.iter().position(|field| *field.name == *name);
    let shaped = to.fields.iter().map(|target| match field(&target.name) {
        Some(index) => reshape(fields[index].clone(), &from.fields[index].ty, &target.ty),
        None => Ok(Value::None),
    });
    shaped.collect()
}
