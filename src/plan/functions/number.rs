//! Numbers: rounding, bounds and conversions.

use crate::language::typed::Function as F;
use crate::plan::eval::{Evaluator, arithmetic, shown};
use crate::plan::functions::{Call, Evaluated};
use crate::value::{Decimal, Value, decimal::Rounding};

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let first = evaluator.argument(call, 0)?;
    let result = match call.function {
        F::MinOf => return Ok(first.min(evaluator.argument(call, 1)?)),
        F::MaxOf => return Ok(first.max(evaluator.argument(call, 1)?)),
        F::Clamp => {
            let (low, high) = (evaluator.argument(call, 1)?, evaluator.argument(call, 2)?);
            return Ok(first.max(low).min(high));
        }
        F::Sign => return Ok(Value::Int(sign(&first))),
        F::Round => {
            let places = evaluator.int_argument(call, 1)?;
            let mode = rounding(&evaluator.argument(call, 2)?);
            round(&first, places, mode)
        }
        F::Pow => {
            let exponent = evaluator.int_argument(call, 1)?;
            arithmetic::as_decimal(&first).and_then(|base| base.power(exponent)).map(Value::Decimal)
        }
        F::Div => arithmetic::whole_division(&first, &evaluator.argument(call, 1)?),
        F::Mod => arithmetic::remainder(&first, &evaluator.argument(call, 1)?),
        F::DecimalOfFloat => {
            let places = evaluator.int_argument(call, 1)?;
            decimal_of_float(&first, places)
        }
        _ => plain(call.function, &first),
    };
    result.ok_or_else(|| evaluator.too_large(call, format!("{}({})", name(call.function), shown(&first))))
}

/// Functions of one number or text; `None` when the result does not fit.
fn plain<'a>(function: F, value: &Value<'a>) -> Option<Value<'a>> {
    Some(match (function, value) {
        (F::Abs, Value::Int(v)) => Value::Int(v.checked_abs()?),
        (F::Abs, Value::Decimal(v)) => Value::Decimal(v.checked_abs()?),
        (F::Abs, Value::Float(v)) => Value::Float(v.abs()),
        (F::Abs, Value::Duration(v)) => Value::Duration(v.checked_abs()?),
        (F::Floor, _) => whole(value, Rounding::Floor)?,
        (F::Ceil, _) => whole(value, Rounding::Ceil)?,
        (F::Trunc, _) => whole(value, Rounding::Down)?,
        (F::IntOfText, Value::Text(text)) => {
            let number = Decimal::parse(text.as_str()).ok().and_then(|n| n.rescale(0));
            number.and_then(|n| i64::try_from(n.coefficient()).ok()).map_or(Value::None, Value::Int)
        }
        (F::DecimalOfText, Value::Text(text)) => Decimal::parse(text.as_str()).map_or(Value::None, Value::Decimal),
        (F::DecimalOfInt, value) => Value::Decimal(arithmetic::as_decimal(value)?),
        (F::FloatOfInt, Value::Int(v)) => Value::Float(*v as f64),
        (F::FloatOfDecimal, Value::Decimal(v)) => Value::Float(v.to_float()),
        _ => value.clone(),
    })
}

fn whole<'a>(value: &Value<'_>, mode: Rounding) -> Option<Value<'a>> {
    match value {
        Value::Int(v) => Some(Value::Int(*v)),
        Value::Float(v) => Decimal::from_float(*v, Decimal::DIVISION_SCALE)?.to_whole(mode).map(Value::Int),
        value => arithmetic::as_decimal(value)?.to_whole(mode).map(Value::Int),
    }
}

/// A value that is none stays none, so that `round(a / b, 2)` of an optional is one.
fn round<'a>(value: &Value<'a>, places: i64, mode: Rounding) -> Option<Value<'a>> {
    if value.is_none() {
        return Some(Value::None);
    }
    let places = u8::try_from(places).ok()?;
    arithmetic::as_decimal(value)?.round(places, mode).map(Value::Decimal)
}

fn rounding(mode: &Value<'_>) -> Rounding {
    match mode {
        Value::Text(name) => Rounding::by_name(name.as_str()).unwrap_or_default(),
        _ => Rounding::default(),
    }
}

fn decimal_of_float<'a>(value: &Value<'_>, places: i64) -> Option<Value<'a>> {
    let Value::Float(value) = value else { return None };
    Decimal::from_float(*value, u8::try_from(places).ok()?).map(Value::Decimal)
}

fn sign(value: &Value<'_>) -> i64 {
    match value {
        Value::Int(v) | Value::Duration(v) => v.signum(),
        Value::Decimal(v) => v.coefficient().signum() as i64,
        Value::Float(v) if *v == 0.0 => 0,
        Value::Float(v) => v.signum() as i64,
        _ => 0,
    }
}

fn name(function: F) -> &'static str {
    match function {
        F::Abs => "abs",
        F::Round => "round",
        F::Floor => "floor",
        F::Ceil => "ceil",
        F::Trunc => "trunc",
        F::Div => "div",
        F::Mod => "mod",
        F::Pow => "pow",
        _ => "decimal",
    }
}
