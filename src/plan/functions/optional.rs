//! Optionals.

use crate::language::codes;
use crate::language::typed::Function as F;
use crate::plan::eval::{Evaluator, shown};
use crate::plan::functions::{Call, Evaluated};
use crate::value::Value;

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let value = evaluator.argument(call, 0)?;
    match (call.function, value) {
        (F::OrFault, Value::None) => {
            let why = evaluator.argument(call, 1)?;
            Err(evaluator.context.fault(codes::ABSENT, call.expr.span, shown(&why)))
        }
        (F::MapOptional, Value::None) => Ok(Value::None),
        (F::MapOptional, value) => evaluator.apply(&call.arguments[1], &[&value.into_static()]),
        (_, value) => Ok(value),
    }
}
