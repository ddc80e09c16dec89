//! Sets, and what removes one element of a set or a map.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::language::typed::Function as F;
use crate::plan::eval::Evaluator;
use crate::plan::functions::list::elements;
use crate::plan::functions::{Call, Evaluated};
use crate::value::{AsKey, Value};

type Set = Arc<BTreeSet<Value<'static>>>;

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let first = evaluator.argument(call, 0)?;
    match (call.function, first) {
        (F::FilterSet, Value::Set(set)) => {
            let mut kept = BTreeSet::new();
            for item in set.iter() {
                if evaluator.holds(&call.arguments[1], &[item])? {
                    kept.insert(item.clone());
                }
            }
            Ok(Value::Set(Arc::new(kept)))
        }
        (F::MapSet, Value::Set(set)) => {
            let mut mapped = BTreeSet::new();
            for item in set.iter() {
                mapped.insert(evaluator.apply(&call.arguments[1], &[item])?.into_static());
            }
            Ok(Value::Set(Arc::new(mapped)))
        }
        (F::Without, Value::Map(mut entries)) => {
            let key = evaluator.argument(call, 1)?;
            if entries.contains_key(&key as &dyn AsKey) {
                Arc::make_mut(&mut entries).remove(&key as &dyn AsKey);
            }
            Ok(Value::Map(entries))
        }
        (function, Value::Set(set)) => Ok(Value::Set(combined(function, set, evaluator.argument(call, 1)?))),
        _ => Ok(Value::None),
    }
}

/// A set with one element or the elements of another more, fewer, or in common. One that does not change is not copied.
fn combined(function: F, mut set: Set, other: Value<'_>) -> Set {
    match function {
        F::SetAdd if !set.contains(&other as &dyn AsKey) => {
            Arc::make_mut(&mut set).insert(other.into_static());
        }
        F::Without if set.contains(&other as &dyn AsKey) => {
            Arc::make_mut(&mut set).remove(&other as &dyn AsKey);
        }
        F::Union => {
            let missing: Vec<_> = elements(&other).filter(|item| !set.contains(*item)).cloned().collect();
            if !missing.is_empty() {
                Arc::make_mut(&mut set).extend(missing);
            }
        }
        F::Minus => {
            let present: Vec<_> = elements(&other).filter(|item| set.contains(*item)).cloned().collect();
            if !present.is_empty() {
                let set = Arc::make_mut(&mut set);
                present.iter().for_each(|item| {
                    set.remove(item);
                });
            }
        }
        F::Intersect => {
            let common = elements(&other).filter(|item| set.contains(*item)).cloned().collect();
            return Arc::new(common);
        }
        _ => {}
    }
    set
}
