//! Maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::language::typed::Function as F;
use crate::plan::Fault;
use crate::plan::eval::Evaluator;
use crate::plan::functions::{Call, Evaluated};
use crate::value::Value;

type Entries = Arc<BTreeMap<Value<'static>, Value<'static>>>;

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let Value::Map(mut entries) = evaluator.argument(call, 0)? else { return Ok(Value::None) };
    Ok(match call.function {
        F::Put => {
            let (key, value) = (evaluator.argument(call, 1)?, evaluator.argument(call, 2)?);
            Arc::make_mut(&mut entries).insert(key.into_static(), value.into_static());
            Value::Map(entries)
        }
        F::Keys => Value::list(entries.keys().cloned().collect()),
        F::Values => Value::list(entries.values().cloned().collect()),
        F::Entries => {
            let pair = |(k, v): (&Value<'static>, &Value<'static>)| Value::record(vec![k.clone(), v.clone()]);
            Value::list(entries.iter().map(pair).collect())
        }
        F::Merge => Value::Map(merged(evaluator, call, entries)?),
        F::MapValues => {
            let mut mapped = BTreeMap::new();
            for (key, value) in entries.iter() {
                mapped.insert(key.clone(), evaluator.apply(&call.arguments[1], &[value])?.into_static());
            }
            Value::Map(Arc::new(mapped))
        }
        F::FilterMap => {
            let mut kept = BTreeMap::new();
            for (key, value) in entries.iter() {
                if evaluator.holds(&call.arguments[1], &[key, value])? {
                    kept.insert(key.clone(), value.clone());
                }
            }
            Value::Map(Arc::new(kept))
        }
        _ => unreachable!("no other function of maps"),
    })
}

/// The entries of both; of common keys the argument's, or what the lambda makes of the two.
fn merged<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, mut entries: Entries) -> Result<Entries, Box<Fault>> {
    let Value::Map(other) = evaluator.argument(call, 1)? else { return Ok(entries) };
    for (key, theirs) in other.iter() {
        let value = match (call.arguments.get(2), entries.get(key)) {
            (Some(lambda), Some(ours)) => evaluator.apply(lambda, &[ours, theirs])?.into_static(),
            _ => theirs.clone(),
        };
        Arc::make_mut(&mut entries).insert(key.clone(), value);
    }
    Ok(entries)
}
