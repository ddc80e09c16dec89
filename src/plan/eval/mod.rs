//! Typed trees → their meaning: what one event does to one row.
//!
//! This walks the trees as they are and is the reference for anything faster. Values are copied or borrowed from the
//! batch, state is read by copy (heap values by a reference count), and a fault or a `skip` puts the row back exactly, from
//! a log of what was replaced. Nothing is allocated for an event that changes no text, list, set, map or record.
//! It reads no clock, no environment and no other row.

pub(crate) mod arithmetic;
mod convert;
mod expression;
mod place;
mod scalar;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use regex::Regex;

use crate::event::Record;
use crate::language::codes;
use crate::language::span::Span;
use crate::language::typed::{EventProgram, FaultClass, Into, Projection};
use crate::plan::{Fault, Row, key};
use crate::value::{Slot, SlotBuffer, Value};

pub(crate) use convert::fit;
pub(crate) use expression::{Evaluator, contains, range_of, shown};
use place::Undo;

/// An event as a program sees it.
#[derive(Debug, Clone, Copy)]
pub struct EventView<'a> {
    pub record: Record<'a>,
    /// The wire name of its type.
    pub event_type: &'a str,
    /// In the order of [`EventProgram::slots`].
    pub slots: &'a [Slot],
    pub buffer: &'a SlotBuffer,
}

/// What an event did to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// No handler and no aggregate ran: there is a row only if there was one.
    Untouched,
    /// The row exists, changed or not.
    Touched,
    /// The row is gone; what it holds now means nothing.
    Deleted,
    /// `skip`: the row is as it was.
    Skipped,
}

/// Memory that evaluations share, one per thread.
#[derive(Debug, Default)]
pub struct Scratch {
    undo: Vec<Undo>,
    pub(crate) regexes: Regexes,
}

/// The regular expressions of a program, each compiled once.
pub(crate) type Regexes = HashMap<Box<str>, Regex>;

/// What an evaluation can see beside state and locals.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub projection: &'a Projection,
    pub program: Option<&'a EventProgram>,
    pub view: Option<&'a EventView<'a>>,
    pub key_text: &'a str,
    pub exists: bool,
    /// The class of a fault here.
    pub class: FaultClass,
}

impl Context<'_> {
    #[cold]
    pub fn fault(&self, code: &'static str, span: Span, message: String) -> Box<Fault> {
        Box::new(Fault { code, class: self.class, message, span: Some(span) })
    }
}

/// Whether `where` lets the event pass.
pub fn filter(
    projection: &Projection,
    program: &EventProgram,
    view: EventView<'_>,
    scratch: &mut Scratch,
) -> Result<bool, Box<Fault>> {
    let Some(filter) = &program.filter else { return Ok(true) };
    let context = event_context(projection, program, &view, FaultClass::Eval);
    with_locals(scratch, program.locals, |locals, scratch| {
        Evaluator { context: &context, state: &[], locals, regexes: &mut scratch.regexes }.test(filter)
    })
}

/// Appends the text of the event's key.
pub fn key(
    projection: &Projection,
    program: &EventProgram,
    view: EventView<'_>,
    scratch: &mut Scratch,
    out: &mut String,
) -> Result<(), Box<Fault>> {
    let context = event_context(projection, program, &view, FaultClass::Key);
    let start = out.len();
    let written = with_locals(scratch, program.locals, |locals, scratch| {
        let mut evaluator = Evaluator { context: &context, state: &[], locals, regexes: &mut scratch.regexes };
        for (index, (part, expr)) in projection.key.iter().zip(&program.key).enumerate() {
            let value = evaluator.eval(expr)?;
            if value.is_none() {
                let message = format!("the key part `{}` is none", part.name);
                return Err(context.fault(codes::NO_KEY, expr.span, message));
            }
            key::write_part(index, &value, &part.ty, out);
        }
        Ok(())
    });
    if written.is_err() {
        out.truncate(start);
    }
    written
}

/// Runs the event's aggregates and handlers on its row. After a fault or a `skip` the row is as it was.
pub fn fold<'a>(
    projection: &'a Projection,
    program: &'a EventProgram,
    view: EventView<'a>,
    key_text: &'a str,
    row: &mut Row,
    exists: bool,
    scratch: &mut Scratch,
) -> Result<Effect, Box<Fault>> {
    let context = Context { key_text, exists, ..event_context(projection, program, &view, FaultClass::Eval) };
    with_locals(scratch, program.locals, |locals, scratch| statement::run(&context, row, locals, scratch))
}

/// Whether the row has a document in this sink.
pub fn member(
    sink: &Into,
    projection: &Projection,
    key_text: &str,
    row: &Row,
    scratch: &mut Scratch,
) -> Result<bool, Box<Fault>> {
    let Some(when) = &sink.when else { return Ok(true) };
    let context = row_context(projection, key_text);
    with_locals(scratch, sink.locals, |locals, scratch| {
        Evaluator { context: &context, state: &row.fields, locals, regexes: &mut scratch.regexes }.test(when)
    })
}

fn event_context<'a>(
    projection: &'a Projection,
    program: &'a EventProgram,
    view: &'a EventView<'a>,
    class: FaultClass,
) -> Context<'a> {
    Context { projection, program: Some(program), view: Some(view), key_text: "", exists: false, class }
}

/// The context of `as`, `when` and sink options: key and state, no event.
pub(crate) fn row_context<'a>(projection: &'a Projection, key_text: &'a str) -> Context<'a> {
    Context { projection, program: None, view: None, key_text, exists: true, class: FaultClass::Sink }
}

/// Lends room for locals to one evaluation: on the stack unless there are very many.
pub(crate) fn with_locals<'a, T>(
    scratch: &mut Scratch,
    count: usize,
    evaluate: impl FnOnce(&mut [Value<'a>], &mut Scratch) -> T,
) -> T {
    match count {
        0 => evaluate(&mut [], scratch),
        1..=4 => evaluate(&mut [const { Value::None }; 4], scratch),
        5..=16 => evaluate(&mut [const { Value::None }; 16], scratch),
        many => evaluate(&mut vec![Value::None; many], scratch),
    }
}
