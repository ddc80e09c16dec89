//! The meaning of the library: one function each for the names of `language::library`.
//!
//! Every function is total but for faults, pure, and the same on every machine: text by characters or UTF-8 bytes and never
//! by locale, order by the one order of values.

mod list;
mod map;
mod number;
mod optional;
mod set;
#[cfg(test)]
mod tests;
mod text;
mod time;
#[cfg(test)]
mod times;

use crate::language::codes;
use crate::language::typed::{Expr, ExprKind, Function};
use crate::plan::Fault;
use crate::plan::eval::Evaluator;
use crate::value::Value;

/// A call: its arguments, its own expression (for type and place).
pub(crate) struct Call<'a> {
    pub function: Function,
    pub arguments: &'a [Expr],
    pub expr: &'a Expr,
}

type Evaluated<'a> = Result<Value<'a>, Box<Fault>>;

/// Evaluates a call.
pub(crate) fn call<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    function: Function,
    arguments: &'a [Expr],
    expr: &'a Expr,
) -> Evaluated<'a> {
    use Function as F;
    let call = Call { function, arguments, expr };
    match function {
        F::Abs
        | F::Sign
        | F::MinOf
        | F::MaxOf
        | F::Clamp
        | F::Round
        | F::Floor
        | F::Ceil
        | F::Trunc
        | F::Div
        | F::Mod
        | F::Pow
        | F::IntOfText
        | F::DecimalOfText
        | F::DecimalOfInt
        | F::DecimalOfFloat
        | F::FloatOfInt
        | F::FloatOfDecimal => number::call(evaluator, &call),
        F::TextLen
        | F::Lower
        | F::Upper
        | F::Trim
        | F::TrimStart
        | F::TrimEnd
        | F::StartsWith
        | F::EndsWith
        | F::TextContains
        | F::Split
        | F::Words
        | F::Replace
        | F::Slice
        | F::PadStart
        | F::PadEnd
        | F::Matches
        | F::TextOf
        | F::EnumName
        | F::EnumText
        | F::UuidOfText
        | F::Hash
        | F::Mask
        | F::Header => text::call(evaluator, &call),
        F::TimestampOfText
        | F::FromUnix
        | F::FromUnixMs
        | F::Unix
        | F::UnixMs
        | F::TruncTime
        | F::Days
        | F::Hours
        | F::Minutes
        | F::Seconds
        | F::Milliseconds
        | F::DurationOfDays
        | F::DurationOfHours
        | F::DurationOfMinutes
        | F::DurationOfSeconds
        | F::DateOf => time::call(evaluator, &call),
        F::Len
        | F::IsEmpty
        | F::First
        | F::Last
        | F::Has
        | F::Map
        | F::Filter
        | F::Any
        | F::All
        | F::Find
        | F::CountIf
        | F::Fold
        | F::SumList
        | F::MinList
        | F::MaxList
        | F::AvgList
        | F::Sorted
        | F::SortBy
        | F::Reversed
        | F::Distinct
        | F::DistinctBy
        | F::Take
        | F::TakeLast
        | F::Drop
        | F::Append
        | F::Join
        | F::GroupBy
        | F::ToMap
        | F::ToSet
        | F::ToList
        | F::Tally => list::call(evaluator, &call),
        F::SetAdd | F::Union | F::Minus | F::Intersect | F::FilterSet | F::MapSet | F::Without => {
            set::call(evaluator, &call)
        }
        F::Put | F::Keys | F::Values | F::Entries | F::Merge | F::MapValues | F::FilterMap => {
            map::call(evaluator, &call)
        }
        F::OrFault | F::MapOptional => optional::call(evaluator, &call),
    }
}

impl<'a> Evaluator<'_, 'a> {
    /// The value of an argument. What the checker did not ask for is none.
    fn argument(&mut self, call: &Call<'a>, index: usize) -> Evaluated<'a> {
        match call.arguments.get(index) {
            Some(argument) => self.eval(argument),
            None => Ok(Value::None),
        }
    }

    fn int_argument(&mut self, call: &Call<'a>, index: usize) -> Result<i64, Box<Fault>> {
        match self.argument(call, index)? {
            Value::Int(value) => Ok(value),
            _ => unreachable!("check gives an int here"),
        }
    }

    /// Calls a lambda with values for its parameters. One element for two parameters is a pair, taken apart.
    fn apply(&mut self, lambda: &'a Expr, values: &[&Value<'static>]) -> Evaluated<'a> {
        let ExprKind::Lambda { parameters, body } = &lambda.kind else {
            unreachable!("check gives a lambda here");
        };
        let missing = parameters.len().saturating_sub(values.len());
        if let (Some((Value::Record(pair), first)), true) = (values.split_last(), missing > 0) {
            let whole = first.iter().copied().chain(pair.iter());
            for (parameter, value) in parameters.iter().zip(whole) {
                self.locals[*parameter] = value.clone();
            }
        } else {
            for (parameter, value) in parameters.iter().zip(values) {
                self.locals[*parameter] = (*value).clone();
            }
        }
        self.eval(body)
    }

    /// Calls a lambda that is a condition.
    fn holds(&mut self, lambda: &'a Expr, values: &[&Value<'static>]) -> Result<bool, Box<Fault>> {
        Ok(matches!(self.apply(lambda, values)?, Value::Bool(true)))
    }

    /// A result that its type cannot hold.
    #[cold]
    fn too_large(&self, call: &Call<'a>, what: String) -> Box<Fault> {
        let range = crate::plan::eval::range_of(&call.expr.ty);
        self.context.fault(codes::OVERFLOW, call.expr.span, format!("{what} does not fit {range}"))
    }
}
