//! Times, durations and dates.

use crate::language::typed::Function as F;
use crate::plan::eval::{Evaluator, shown};
use crate::plan::functions::{Call, Evaluated};
use crate::value::{Value, duration, timestamp};

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let first = evaluator.argument(call, 0)?;
    if first.is_none() {
        return Ok(Value::None);
    }
    let result = match call.function {
        F::TruncTime => truncated(&first, &evaluator.argument(call, 1)?),
        function => plain(function, &first),
    };
    result.ok_or_else(|| evaluator.too_large(call, format!("the time made of {}", shown(&first))))
}

/// `None` when the result does not fit.
pub(super) fn plain<'a>(function: F, value: &Value<'_>) -> Option<Value<'a>> {
    let instant = |micros: i64| timestamp::in_range(micros).map(Value::Timestamp);
    Some(match (function, value) {
        (F::TimestampOfText, Value::Text(text)) => {
            timestamp::parse(text.as_str()).map_or(Value::None, Value::Timestamp)
        }
        (F::FromUnix, Value::Int(seconds)) => instant(seconds.checked_mul(timestamp::SECOND)?)?,
        (F::FromUnixMs, Value::Int(millis)) => instant(millis.checked_mul(1000)?)?,
        (F::Unix, Value::Timestamp(micros)) => Value::Int(micros.div_euclid(timestamp::SECOND)),
        (F::UnixMs, Value::Timestamp(micros)) => Value::Int(micros.div_euclid(1000)),
        (F::DateOf, Value::Timestamp(micros)) => Value::Date(micros.div_euclid(timestamp::DAY) as i32),
        (F::Days, Value::Duration(micros)) => Value::Int(micros / duration::DAY),
        (F::Hours, Value::Duration(micros)) => Value::Int(micros / duration::HOUR),
        (F::Minutes, Value::Duration(micros)) => Value::Int(micros / duration::MINUTE),
        (F::Seconds, Value::Duration(micros)) => Value::Int(micros / timestamp::SECOND),
        (F::Milliseconds, Value::Duration(micros)) => Value::Int(micros / 1000),
        (F::DurationOfDays, Value::Int(n)) => Value::Duration(n.checked_mul(duration::DAY)?),
        (F::DurationOfHours, Value::Int(n)) => Value::Duration(n.checked_mul(duration::HOUR)?),
        (F::DurationOfMinutes, Value::Int(n)) => Value::Duration(n.checked_mul(duration::MINUTE)?),
        (F::DurationOfSeconds, Value::Int(n)) => Value::Duration(n.checked_mul(timestamp::SECOND)?),
        _ => return None,
    })
}

/// The last multiple of a positive duration since 1970 that is not after the time.
pub(super) fn truncated<'a>(time: &Value<'_>, step: &Value<'_>) -> Option<Value<'a>> {
    match (time, step) {
        (Value::Timestamp(time), Value::Duration(step)) if *step > 0 => {
            timestamp::in_range(time - time.rem_euclid(*step)).map(Value::Timestamp)
        }
        _ => None,
    }
}
