//! Lists, and what sets and maps share with them: length, membership, walking in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::language::typed::{Expr, Function as F};
use crate::plan::Fault;
use crate::plan::eval::{Evaluator, arithmetic, contains, shown};
use crate::plan::functions::{Call, Evaluated};
use crate::value::{Decimal, Type, Value, text};

pub(super) fn call<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let collection = evaluator.argument(call, 0)?;
    match call.function {
        F::Len => return Ok(Value::Int(len(&collection) as i64)),
        F::IsEmpty => return Ok(Value::Bool(len(&collection) == 0)),
        F::Has => return Ok(Value::Bool(contains(&collection, &evaluator.argument(call, 1)?))),
        _ => {}
    }
    let items = items(collection);
    match call.function {
        F::First => Ok(items.first().cloned().unwrap_or(Value::None)),
        F::Last => Ok(items.last().cloned().unwrap_or(Value::None)),
        F::MinList => Ok(items.iter().min().cloned().unwrap_or(Value::None)),
        // Of equals the first, as `min` does.
        F::MaxList => Ok(items.iter().rev().max().cloned().unwrap_or(Value::None)),
        F::SumList => sum(evaluator, call, &items),
        F::AvgList => average(evaluator, call, &items),
        F::Fold => {
            let mut accumulator = evaluator.argument(call, 1)?.into_static();
            for item in items.iter() {
                accumulator = evaluator.apply(&call.arguments[2], &[&accumulator, item])?.into_static();
            }
            Ok(accumulator)
        }
        F::Join => join(evaluator, call, &items),
        F::Sorted | F::Reversed | F::Distinct | F::ToSet | F::ToList => Ok(rearranged(call.function, items)),
        F::Take | F::TakeLast | F::Drop => {
            let count = evaluator.int_argument(call, 1)?.max(0) as usize;
            Ok(part(call.function, &items, count))
        }
        F::Append => {
            let last = evaluator.argument(call, 1)?.into_static();
            Ok(Value::list(items.iter().cloned().chain([last]).collect()))
        }
        F::Map | F::Filter | F::Any | F::All | F::Find | F::CountIf => walk(evaluator, call, &items),
        _ => keyed(evaluator, call, &items),
    }
}

fn len(collection: &Value<'_>) -> usize {
    match collection {
        Value::List(items) => items.len(),
        Value::Set(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => 0,
    }
}

/// The elements of a list or set, in order.
pub(super) fn elements<'v>(collection: &'v Value<'_>) -> impl Iterator<Item = &'v Value<'static>> {
    let (list, set) = match collection {
        Value::List(items) => (Some(items.iter()), None),
        Value::Set(items) => (None, Some(items.iter())),
        _ => (None, None),
    };
    list.into_iter().flatten().chain(set.into_iter().flatten())
}

fn items(collection: Value<'_>) -> Arc<Vec<Value<'static>>> {
    match collection {
        Value::List(items) => items,
        other => Arc::new(elements(&other).cloned().collect()),
    }
}

fn sum<'a>(evaluator: &Evaluator<'_, 'a>, call: &Call<'a>, items: &[Value<'static>]) -> Evaluated<'a> {
    let zero = match call.expr.ty.required() {
        Type::Decimal(_) => Value::Decimal(Decimal::ZERO),
        Type::Float => Value::Float(0.0),
        Type::Duration => Value::Duration(0),
        _ => Value::Int(0),
    };
    items.iter().filter(|item| !item.is_none()).try_fold(zero, |total, item| {
        let added = arithmetic::add(&total, item);
        added.ok_or_else(|| evaluator.too_large(call, format!("the sum {} + {}", shown(&total), shown(item))))
    })
}

/// The mean, rounded as a division; none of an empty list.
fn average<'a>(evaluator: &Evaluator<'_, 'a>, call: &Call<'a>, items: &[Value<'static>]) -> Evaluated<'a> {
    if let Some(Value::Float(_)) = items.first() {
        let total: f64 = items.iter().map(|v| if let Value::Float(v) = v { *v } else { 0.0 }).sum();
        let mean = arithmetic::float(total / items.len() as f64);
        return mean.ok_or_else(|| evaluator.too_large(call, "the average".to_owned()));
    }
    let mut total = Decimal::ZERO;
    for item in items {
        let value = arithmetic::as_decimal(item).unwrap_or(Decimal::ZERO);
        let sum = total.checked_add(value);
        total = sum.ok_or_else(|| evaluator.too_large(call, format!("the sum {total} + {value}")))?;
    }
    if items.is_empty() {
        return Ok(Value::None);
    }
    let mean = total.divide(Decimal::from(items.len() as i64));
    mean.map(Value::Decimal).ok_or_else(|| evaluator.too_large(call, format!("{total} / {}", items.len())))
}

fn join<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, items: &[Value<'static>]) -> Evaluated<'a> {
    let separator = evaluator.argument(call, 1)?;
    let element = match call.arguments[0].ty.required() {
        Type::List(element) | Type::Set(element) => element,
        _ => &Type::None,
    };
    let mut joined = String::new();
    for (index, item) in items.iter().enumerate() {
        if let (Value::Text(separator), true) = (&separator, index > 0) {
            joined.push_str(separator.as_str());
        }
        text::write(item, element, &mut joined).expect("writing to a string cannot fail");
    }
    Ok(Value::text(joined))
}

fn rearranged<'a>(function: F, mut items: Arc<Vec<Value<'static>>>) -> Value<'a> {
    match function {
        F::Sorted => Arc::make_mut(&mut items).sort(),
        F::Reversed => Arc::make_mut(&mut items).reverse(),
        F::Distinct => {
            let mut seen = BTreeSet::new();
            Arc::make_mut(&mut items).retain(|item| seen.insert(item.clone()));
        }
        F::ToSet => return Value::set(items.iter().cloned()),
        _ => {}
    }
    Value::List(items)
}

fn part<'a>(function: F, items: &[Value<'static>], count: usize) -> Value<'a> {
    let count = count.min(items.len());
    Value::list(match function {
        F::Take => items[..count].to_vec(),
        F::TakeLast => items[items.len() - count..].to_vec(),
        _ => items[count..].to_vec(),
    })
}

/// What asks a lambda about each element.
fn walk<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, items: &[Value<'static>]) -> Evaluated<'a> {
    let lambda = &call.arguments[1];
    if call.function == F::Map {
        let mapped: Result<Vec<_>, Box<Fault>> =
            items.iter().map(|item| Ok(evaluator.apply(lambda, &[item])?.into_static())).collect();
        return Ok(Value::list(mapped?));
    }
    let mut kept = Vec::new();
    for item in items {
        match (call.function, evaluator.holds(lambda, &[item])?) {
            (F::Any, true) => return Ok(Value::Bool(true)),
            (F::All, false) => return Ok(Value::Bool(false)),
            (F::Find, true) => return Ok(item.clone()),
            (F::Filter | F::CountIf, true) => kept.push(item.clone()),
            _ => {}
        }
    }
    Ok(match call.function {
        F::Any => Value::Bool(false),
        F::All => Value::Bool(true),
        F::Find => Value::None,
        F::CountIf => Value::Int(kept.len() as i64),
        _ => Value::list(kept),
    })
}

/// What makes a key of each element.
fn keyed<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, items: &[Value<'static>]) -> Evaluated<'a> {
    let keys = keys(evaluator, &call.arguments[1], items)?;
    let pairs = keys.into_iter().zip(items.iter().cloned());
    Ok(match call.function {
        F::SortBy => {
            let mut pairs: Vec<_> = pairs.collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::list(pairs.into_iter().map(|(_, item)| item).collect())
        }
        F::DistinctBy => {
            let mut seen = BTreeSet::new();
            Value::list(pairs.filter(|(key, _)| seen.insert(key.clone())).map(|(_, item)| item).collect())
        }
        F::GroupBy => {
            let mut groups: BTreeMap<Value<'static>, Vec<Value<'static>>> = BTreeMap::new();
            pairs.for_each(|(key, item)| groups.entry(key).or_default().push(item));
            Value::map(groups.into_iter().map(|(key, items)| (key, Value::list(items))))
        }
        F::Tally => {
            let mut counts: BTreeMap<Value<'static>, i64> = BTreeMap::new();
            pairs.for_each(|(key, _)| *counts.entry(key).or_default() += 1);
            Value::map(counts.into_iter().map(|(key, count)| (key, Value::Int(count))))
        }
        F::ToMap => {
            let (keys, items): (Vec<_>, Vec<_>) = pairs.unzip();
            let values = self::keys(evaluator, &call.arguments[2], &items)?;
            Value::map(keys.into_iter().zip(values))
        }
        _ => unreachable!("no other function of lists"),
    })
}

fn keys<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    lambda: &'a Expr,
    items: &[Value<'static>],
) -> Result<Vec<Value<'static>>, Box<Fault>> {
    items.iter().map(|item| Ok(evaluator.apply(lambda, &[item])?.into_static())).collect()
}
