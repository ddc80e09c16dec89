//! Places: what assignments change, and the log that puts it back.
//!
//! Changes are made in place. A map entry is replaced inside its map, so `by_channel[k] += x` costs a search and not a
//! copy, as long as nobody else holds the map; what was there goes to the log, entry by entry.

use std::ops::Bound;
use std::sync::Arc;

use crate::language::codes;
use crate::language::span::Span;
use crate::language::typed::{AssignOp, Conversion, Expr, ExprKind};
use crate::plan::eval::expression::{range_of, shown};
use crate::plan::eval::{Context, arithmetic, fit};
use crate::plan::{Fault, Row};
use crate::value::{AsKey, Decimal, Type, Value};

/// A place with its keys evaluated.
pub(super) enum Target<'a> {
    Field(usize),
    /// An entry of a map in a field: the common case has no path to allocate.
    Entry(usize, Value<'a>),
    Path(usize, Vec<Step<'a>>),
}

#[derive(Debug, Clone)]
pub(super) enum Step<'a> {
    Field(usize),
    Entry(Value<'a>),
}

/// `op value`, for a place of this type.
pub(super) struct Change<'a> {
    pub op: AssignOp,
    pub value: Value<'a>,
    pub ty: &'a Type,
    pub span: Span,
}

/// What stood in a place before; `None` when the entry was not there.
#[derive(Debug)]
pub(super) enum Undo {
    Field(usize, Value<'static>),
    Entry(usize, Value<'static>, Option<Value<'static>>),
    Path(usize, Box<[Step<'static>]>, Option<Value<'static>>),
}

/// Puts everything back, the last change first.
pub(super) fn roll_back(undo: &mut Vec<Undo>, row: &mut Row) {
    for step in undo.drain(..).rev() {
        match step {
            Undo::Field(field, old) => row.fields[field] = old,
            Undo::Entry(field, key, old) => restore(&mut row.fields[field], &Step::Entry(key), old),
            Undo::Path(field, path, old) => {
                let (last, parents) = path.split_last().expect("a path has a step");
                let parent = descend(&mut row.fields[field], parents).expect("it was there when it was changed");
                restore(parent, last, old);
            }
        }
    }
}

fn restore(parent: &mut Value<'static>, step: &Step<'static>, old: Option<Value<'static>>) {
    match (parent, step, old) {
        (Value::Record(fields), Step::Field(index), Some(old)) => Arc::make_mut(fields)[*index] = old,
        (Value::Map(entries), Step::Entry(key), Some(old)) => {
            Arc::make_mut(entries).insert(key.clone(), old);
        }
        (Value::Map(entries), Step::Entry(key), None) => {
            Arc::make_mut(entries).remove(key);
        }
        (Value::Set(items), Step::Entry(key), Some(_)) => {
            Arc::make_mut(items).insert(key.clone());
        }
        _ => {}
    }
}

/// The value inside `root` that the steps lead to; `None` when an entry on the way is absent.
fn descend<'r>(root: &'r mut Value<'static>, steps: &[Step<'_>]) -> Option<&'r mut Value<'static>> {
    steps.iter().try_fold(root, |value, step| match (value, step) {
        (Value::Record(fields), Step::Field(index)) => Arc::make_mut(fields).get_mut(*index),
        (Value::Map(entries), Step::Entry(key)) => Arc::make_mut(entries).get_mut(key as &dyn AsKey),
        _ => None,
    })
}

/// Assigns, and notes in the log what was there.
pub(super) fn assign<'a>(
    context: &Context<'a>,
    row: &mut Row,
    undo: &mut Vec<Undo>,
    target: Target<'a>,
    change: Change<'a>,
) -> Result<(), Box<Fault>> {
    match target {
        Target::Field(field) => {
            let place = &mut row.fields[field];
            if let Some(new) = changed(place, &change, || name(context, field, &[]), context)? {
                undo.push(Undo::Field(field, std::mem::replace(place, new)));
            }
        }
        Target::Entry(field, key) => {
            let Value::Map(entries) = &mut row.fields[field] else {
                return Err(absent(context, field, &[Step::Entry(key)], change.span));
            };
            let named = |key: &Value<'a>| name(context, field, &[Step::Entry(key.clone())]);
            let bound = Bound::Included(&key as &dyn AsKey);
            let mut found = Arc::make_mut(entries).range_mut::<dyn AsKey, _>((bound, bound));
            if let Some((stored, place)) = found.next() {
                if let Some(new) = changed(place, &change, || named(&key), context)? {
                    undo.push(Undo::Entry(field, stored.clone(), Some(std::mem::replace(place, new))));
                }
            } else if let Some(new) = changed(&Value::None, &change, || named(&key), context)? {
                let key = key.into_static();
                Arc::make_mut(entries).insert(key.clone(), new);
                undo.push(Undo::Entry(field, key, None));
            }
        }
        Target::Path(field, path) => assign_inside(context, row, undo, (field, path), change)?,
    }
    Ok(())
}

fn assign_inside<'a>(
    context: &Context<'a>,
    row: &mut Row,
    undo: &mut Vec<Undo>,
    (field, path): (usize, Vec<Step<'a>>),
    change: Change<'a>,
) -> Result<(), Box<Fault>> {
    let (last, parents) = path.split_last().expect("a path has a step");
    let parent = descend(&mut row.fields[field], parents);
    let old = match (parent, last) {
        (Some(Value::Record(fields)), Step::Field(index)) => {
            let place = &mut Arc::make_mut(fields)[*index];
            let Some(new) = changed(place, &change, || name(context, field, &path), context)? else { return Ok(()) };
            Some(std::mem::replace(place, new))
        }
        (Some(Value::Map(entries)), Step::Entry(key)) => {
            let entries = Arc::make_mut(entries);
            let current = entries.get(key as &dyn AsKey).unwrap_or(&Value::None);
            let Some(new) = changed(current, &change, || name(context, field, &path), context)? else { return Ok(()) };
            entries.insert(key.clone().into_static(), new)
        }
        _ => return Err(absent(context, field, &path, change.span)),
    };
    let path = path.into_iter().map(Step::into_static).collect();
    undo.push(Undo::Path(field, path, old));
    Ok(())
}

/// Takes an entry out of a map (or an element out of a set); what is not there is gone already.
pub(super) fn remove<'a>(row: &mut Row, undo: &mut Vec<Undo>, target: Target<'a>) {
    let (field, mut path) = match target {
        Target::Field(_) => return,
        Target::Entry(field, key) => (field, vec![Step::Entry(key)]),
        Target::Path(field, path) => (field, path),
    };
    let Some(Step::Entry(key)) = path.pop() else { return };
    let removed = match descend(&mut row.fields[field], &path) {
        Some(Value::Map(entries)) if entries.contains_key(&key as &dyn AsKey) => {
            Arc::make_mut(entries).remove_entry(&key as &dyn AsKey)
        }
        Some(Value::Set(items)) if items.contains(&key as &dyn AsKey) => {
            Arc::make_mut(items).take(&key as &dyn AsKey).map(|key| (key, Value::None))
        }
        _ => None,
    };
    let Some((key, old)) = removed else { return };
    if path.is_empty() {
        undo.push(Undo::Entry(field, key, Some(old)));
    } else {
        let steps = path.into_iter().map(Step::into_static).chain([Step::Entry(key)]).collect();
        undo.push(Undo::Path(field, steps, Some(old)));
    }
}

/// What a place holds after `op value`; `None` when it stays as it is.
#[inline(never)]
fn changed<'a>(
    current: &Value<'static>,
    change: &Change<'a>,
    place: impl Fn() -> String,
    context: &Context<'a>,
) -> Result<Option<Value<'static>>, Box<Fault>> {
    let Change { op, value, ty, span } = change;
    let result = match op {
        AssignOp::Fill if !current.is_none() => return Ok(None),
        AssignOp::Set | AssignOp::Fill => {
            // The same text again: nothing to copy.
            if matches!(value, Value::Text(_)) && value == current {
                return Ok(None);
            }
            return match fit(value.clone(), ty) {
                Ok(fitting) => Ok(Some(fitting.into_static())),
                Err(misfit) => Err(misfit.fault_at(&place(), context, *span)),
            };
        }
        AssignOp::Add if current.is_none() => Some(value.clone()),
        AssignOp::Add => arithmetic::add(current, value),
        AssignOp::Subtract if current.is_none() => arithmetic::negate(value),
        AssignOp::Subtract => arithmetic::subtract(current, value, ty),
        AssignOp::Multiply if current.is_none() => arithmetic::multiply(&zero(value), value),
        AssignOp::Multiply => arithmetic::multiply(current, value),
    };
    let Some(result) = result else {
        let sign = op_text(*op);
        let message = format!("{} {sign} {} does not fit {}: {}", shown(current), shown(value), place(), range_of(ty));
        return Err(context.fault(codes::OVERFLOW, *span, message));
    };
    match fit(result, ty) {
        Ok(fitting) => Ok(Some(fitting.into_static())),
        Err(misfit) => {
            // What the author sees in the event is the operand, so it is named if it is at fault.
            let misfit = fit(value.clone(), ty).err().unwrap_or(misfit);
            Err(misfit.fault_at(&place(), context, *span))
        }
    }
}

/// The value without a conversion that only enforces the contract of the place it goes to: assigning checks it anyway and
/// can name the place.
pub(super) fn without_contract<'a>(value: &'a Expr, place: &Type) -> &'a Expr {
    match (&value.kind, place.required()) {
        (ExprKind::Convert { conversion: Conversion::DecimalToScale(a), value: inner }, Type::Decimal(Some(b)))
            if a == b =>
        {
            inner
        }
        (ExprKind::Convert { conversion: Conversion::TextToLength(a), value: inner }, Type::String(Some(b)))
            if a == b =>
        {
            inner
        }
        _ => value,
    }
}

/// The zero of a value's kind: a missing number counts as it.
fn zero(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Decimal(_) => Value::Decimal(Decimal::ZERO),
        Value::Float(_) => Value::Float(0.0),
        Value::Duration(_) => Value::Duration(0),
        _ => Value::Int(0),
    }
}

fn op_text(op: AssignOp) -> &'static str {
    match op {
        AssignOp::Set => "=",
        AssignOp::Add => "+",
        AssignOp::Subtract => "-",
        AssignOp::Multiply => "*",
        AssignOp::Fill => "??",
    }
}

/// The place in the author's words: `by_channel["card"]`.
fn name(context: &Context<'_>, field: usize, steps: &[Step<'_>]) -> String {
    let root = &context.projection.state[field];
    let (mut name, mut ty) = (root.name.to_string(), &root.ty);
    for step in steps {
        match (step, ty.required()) {
            (Step::Field(index), Type::Record(record)) => {
                name.push('.');
                name.push_str(&record.fields[*index].name);
                ty = &record.fields[*index].ty;
            }
            (Step::Entry(key), Type::Map(key_ty, entry)) => {
                let key = crate::value::text::of(key, key_ty);
                name.push_str(&format!("[{key:?}]"));
                ty = entry;
            }
            _ => name.push_str("[…]"),
        }
    }
    name
}

/// An entry on the way to the place is not there.
#[cold]
fn absent(context: &Context<'_>, field: usize, path: &[Step<'_>], span: Span) -> Box<Fault> {
    let parents = path.len().saturating_sub(1).max(1);
    let message = format!("there is no `{}` to change", name(context, field, &path[..parents]));
    context.fault(codes::ABSENT, span, message)
}

impl Step<'_> {
    fn into_static(self) -> Step<'static> {
        match self {
            Step::Field(index) => Step::Field(index),
            Step::Entry(key) => Step::Entry(key.into_static()),
        }
    }
}
