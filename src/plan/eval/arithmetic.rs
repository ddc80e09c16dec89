//! Arithmetic on values: exact and checked. `None` means that the result does not fit its type.

use std::sync::Arc;

use crate::language::typed::BinaryOp;
use crate::value::{Decimal, Text, Type, Value, date, timestamp};

/// `a op b`, giving `ty`. Comparisons are not arithmetic.
pub(crate) fn binary<'a>(op: BinaryOp, a: &Value<'a>, b: &Value<'a>, ty: &Type) -> Option<Value<'a>> {
    match op {
        BinaryOp::Add => add(a, b),
        BinaryOp::Subtract => subtract(a, b, ty),
        BinaryOp::Multiply => multiply(a, b),
        BinaryOp::Divide => divide(a, b),
        BinaryOp::Remainder => remainder(a, b),
        BinaryOp::Concat => Some(concat(a, b)),
        _ => unreachable!("comparisons are evaluated as conditions"),
    }
}

pub(crate) fn negate(value: &Value<'_>) -> Option<Value<'static>> {
    Some(match value {
        Value::Int(v) => Value::Int(v.checked_neg()?),
        Value::Decimal(v) => Value::Decimal(v.checked_neg()?),
        Value::Float(v) => Value::Float(-v),
        Value::Duration(v) => Value::Duration(v.checked_neg()?),
        _ => return None,
    })
}

pub(crate) fn add<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b)?),
        (Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_add(*b)?),
        (Value::Float(a), Value::Float(b)) => float(a + b)?,
        (Value::Timestamp(a), Value::Duration(b)) | (Value::Duration(a), Value::Timestamp(b)) => {
            Value::Timestamp(timestamp::in_range(a.checked_add(*b)?)?)
        }
        (Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_add(*b)?),
        (Value::Date(a), Value::Duration(b)) | (Value::Duration(b), Value::Date(a)) => shift_date(*a, *b)?,
        (Value::Decimal(a), Value::Int(b)) | (Value::Int(b), Value::Decimal(a)) => {
            Value::Decimal(a.checked_add(Decimal::from(*b))?)
        }
        _ => return None,
    })
}

pub(crate) fn subtract<'a>(a: &Value<'_>, b: &Value<'_>, ty: &Type) -> Option<Value<'a>> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(*b)?),
        (Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_sub(*b)?),
        (Value::Float(a), Value::Float(b)) => float(a - b)?,
        (Value::Timestamp(a), Value::Timestamp(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_sub(*b)?)
        }
        (Value::Timestamp(a), Value::Duration(b)) => Value::Timestamp(timestamp::in_range(a.checked_sub(*b)?)?),
        (Value::Date(a), Value::Duration(b)) => shift_date(*a, b.checked_neg()?)?,
        (Value::Date(a), Value::Date(b)) => {
            let days = i64::from(*a) - i64::from(*b);
            if matches!(ty.required(), Type::Duration) {
                Value::Duration(days * timestamp::DAY)
            } else {
                Value::Int(days)
            }
        }
        (Value::Decimal(a), Value::Int(b)) => Value::Decimal(a.checked_sub(Decimal::from(*b))?),
        (Value::Int(a), Value::Decimal(b)) => Value::Decimal(Decimal::from(*a).checked_sub(*b)?),
        _ => return None,
    })
}

pub(crate) fn multiply<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    Some(match (a, b) {
        (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_mul(*b)?),
        (Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_mul(*b)?),
        (Value::Float(a), Value::Float(b)) => float(a * b)?,
        (Value::Duration(a), Value::Int(b)) | (Value::Int(a), Value::Duration(b)) => {
            Value::Duration(a.checked_mul(*b)?)
        }
        (Value::Decimal(a), Value::Int(b)) | (Value::Int(b), Value::Decimal(a)) => {
            Value::Decimal(a.checked_mul(Decimal::from(*b))?)
        }
        _ => return None,
    })
}

/// `none` when the divisor is zero; of ints a decimal.
pub(crate) fn divide<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    if let (Value::Float(a), Value::Float(b)) = (a, b) {
        return if *b == 0.0 { Some(Value::None) } else { float(a / b) };
    }
    match (as_decimal(a), as_decimal(b)) {
        (Some(_), Some(b)) if b.is_zero() => Some(Value::None),
        (Some(a), Some(b)) => a.divide(b).map(Value::Decimal),
        _ => Some(Value::None),
    }
}

/// What whole division toward zero leaves, with the sign of `a`; `none` when the divisor is zero.
pub(crate) fn remainder<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    match (a, b) {
        (_, Value::Int(0)) => Some(Value::None),
        (Value::Int(a), Value::Int(b)) => Some(Value::Int(a.checked_rem(*b).unwrap_or(0))),
        _ => Some(Value::None),
    }
}

/// Whole division toward zero; `none` when the divisor is zero.
pub(crate) fn whole_division<'a>(a: &Value<'_>, b: &Value<'_>) -> Option<Value<'a>> {
    match (a, b) {
        (_, Value::Int(0)) => Some(Value::None),
        (Value::Int(a), Value::Int(b)) => a.checked_div(*b).map(Value::Int),
        _ => Some(Value::None),
    }
}

fn concat<'a>(a: &Value<'a>, b: &Value<'a>) -> Value<'a> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            let mut joined = String::with_capacity(a.len() + b.len());
            joined.push_str(a);
            joined.push_str(b);
            Value::Text(Text::Shared(joined.into()))
        }
        (Value::List(a), Value::List(b)) => Value::List(Arc::new(a.iter().chain(b.iter()).cloned().collect())),
        _ => Value::None,
    }
}

fn shift_date<'a>(day: i32, by: i64) -> Option<Value<'a>> {
    let shifted = i64::from(day) + by.div_euclid(timestamp::DAY);
    let day = i32::try_from(shifted).ok()?;
    (date::MIN..=date::MAX).contains(&day).then_some(Value::Date(day))
}

/// A float that is a number.
pub(crate) fn float<'a>(value: f64) -> Option<Value<'a>> {
    value.is_finite().then_some(Value::Float(value))
}

pub(crate) fn as_decimal(value: &Value<'_>) -> Option<Decimal> {
    match value {
        Value::Int(v) => Some(Decimal::from(*v)),
        Value::Decimal(v) => Some(*v),
        _ => None,
    }
}
