//! One event type of one projection → its program: filter, key, aggregates, handlers, in the order they run.

use std::sync::Arc;

use crate::language::ast;
use crate::language::check::Globals;
use crate::language::check::context::{Checked, Context, KeyInfo, Payload, StateInfo, Where};
use crate::language::check::facts::{Fact, Facts, meet, says};
use crate::language::check::projection::Clauses;
use crate::language::check::sources::{Sources, Unit};
use crate::language::check::state::{AggregateUse, hidden_of};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Need, Ty};
use crate::language::span::Span;
use crate::language::typed::{
    Aggregate, Arm, Envelope, EventProgram, Expr, ExprKind, Function, Pattern, Stmt, StmtKind,
};
use crate::value::Value;

/// What a program is checked against.
pub(crate) struct Surroundings<'c, 'a> {
    pub clauses: &'c Clauses<'a>,
    pub sources: &'c Sources<'a>,
    pub state: &'c [StateInfo],
    pub key: &'c [KeyInfo],
    pub inferring: bool,
}

/// What one pass over one event type found out.
pub(crate) struct Found {
    pub program: EventProgram,
    /// The types of the key parts as this event gives them.
    pub key: Vec<Ty>,
    /// The type of each state field's aggregate argument, where there is one.
    pub aggregates: Vec<Option<Ty>>,
}

/// Checks the program of one event type.
pub(crate) fn check_program(
    globals: &mut Globals,
    inference: &mut Inference,
    surroundings: &Surroundings,
    unit: &Unit,
) -> Found {
    let Surroundings { clauses, sources, .. } = surroundings;
    let mut context = Context::new(globals, inference, clauses.file, Where::Filter);
    context.inferring = surroundings.inferring;
    context.state = surroundings.state;
    context.key = surroundings.key;
    context.events = &sources.shapes;
    let shape = unit.shape.map(|shape| &sources.shapes[shape]);
    context.payload = shape.map_or(Payload::Tombstone, Payload::Event);
    let filter = match (clauses.filter, shape) {
        (Some(filter), Some(_)) => Some(context.filter(filter)),
        _ => None,
    };
    context.place = Where::Key;
    let keys = match shape {
        Some(_) => context.keys(clauses.key),
        None => context.tombstone_keys(clauses.key, unit, sources),
    };
    let key_types = keys.iter().map(|key| key.ty.clone()).collect();
    let keys = context.fitted_keys(keys);
    let mut body = Vec::new();
    let mut aggregates = vec![None; clauses.state.len()];
    if shape.is_some() {
        context.place = Where::Aggregate;
        for (index, field) in clauses.state.iter().enumerate() {
            if let Some(aggregate) = field.aggregate {
                let statement = context.aggregate(index, aggregate, clauses, &mut aggregates[index]);
                body.extend(statement);
            }
        }
    }
    let aggregated = !body.is_empty();
    context.place = Where::Handler;
    context.handlers(unit, clauses, aggregated, &mut body);
    let event: Arc<str> = shape.map_or("tombstone".into(), |shape| shape.name.clone());
    let program = EventProgram {
        topic: unit.topic,
        event,
        declared_fields: shape.filter(|shape| shape.declared).map(|shape| shape.fields.len()),
        filter: filter.map(|filter| filter.expr),
        key: keys.into_iter().map(|key| key.expr).collect(),
        body,
        locals: context.locals_used,
        slots: std::mem::take(&mut context.slots),
    };
    Found { program, key: key_types, aggregates }
}

impl Context<'_, '_> {
    fn filter(&mut self, filter: &ast::Expr) -> Checked {
        let checked = self.condition(filter);
        let says = says(self, filter);
        self.facts = self.facts.take().map(|facts| facts.with(&says.when_true));
        checked
    }

    fn keys(&mut self, parts: &[ast::KeyPart]) -> Vec<Checked> {
        let mut keys = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let want = self.key[index].ty.clone();
            let value = self.expr(&part.value, Some(&want));
            let known = self.inference.known(&value.ty);
            self.inference.use_as_key(known.required());
            if !matches!(known, Ty::Error | Ty::Var(_)) && !known.required().is_scalar() && known != Ty::Json {
                let message = format!("a key is one word, and this is `{known}`");
                let diagnostic =
                    Diagnostic::error(codes::KEY_TYPE, message, value.expr.span, format!("this is `{known}`"));
                self.report(diagnostic.with_help("take a field of it, or several parts: `key a = .x, b = .y`"));
            }
            keys.push(value);
        }
        keys
    }

    /// The key's expressions as the types of the key, or optional ones: `none` is a fault of the event.
    fn fitted_keys(&mut self, keys: Vec<Checked>) -> Vec<Checked> {
        let mut fitted = Vec::new();
        for (index, key) in keys.into_iter().enumerate() {
            let want = self.key[index].ty.clone();
            let optional = self.inference.known(&key.ty).is_optional();
            fitted.push(self.coerce(key, &if optional { want.optional() } else { want }));
        }
        fitted
    }

    /// A tombstone has no payload: its key is the projection's if that reads the envelope, else the record's key.
    fn tombstone_keys(&mut self, parts: &[ast::KeyPart], unit: &Unit, sources: &Sources) -> Vec<Checked> {
        let span = parts.first().map_or_else(Span::default, |part| part.value.span);
        if parts.iter().all(|part| reads_envelope(&part.value)) {
            return self.keys(parts);
        }
        let topic = &sources.topics[unit.topic].name.text;
        if parts.len() != 1 {
            let message = format!("a tombstone of `{topic}` carries one key, and this projection has {}", parts.len());
            let diagnostic = Diagnostic::error(codes::TOMBSTONE_KEY, message, span, "made of several parts");
            self.report(diagnostic.with_help("make the key one part, or take its parts from `event.…`"));
            return Vec::new();
        }
        let ty = self.inference.known(&self.key[0].ty);
        match self.parsed_key(&ty, span) {
            Some(key) => vec![key],
            None => {
                let message = format!("the key of a tombstone is text, and no `{ty}` is read from that");
                let diagnostic = Diagnostic::error(codes::TOMBSTONE_KEY, message, span, format!("this is `{ty}`"));
                vec![
                    self.wrong(
                        diagnostic.with_help("use a string, int, decimal, uuid, timestamp, bool or enum as key"),
                    ),
                ]
            }
        }
    }

    /// `event.key`, read as a `ty`; none when it is not one.
    fn parsed_key(&mut self, ty: &Ty, span: Span) -> Option<Checked> {
        let key = self.node(ExprKind::Envelope(Envelope::Key), Ty::TEXT.optional(), span);
        let function = match ty {
            Ty::Text(_) | Ty::Var(_) | Ty::Error => return Some(key),
            Ty::Int => Function::IntOfText,
            Ty::Decimal(_) => Function::DecimalOfText,
            Ty::Uuid => Function::UuidOfText,
            Ty::Timestamp => Function::TimestampOfText,
            Ty::Bool => {
                return Some(self.key_among(key, ty, &[("true", Value::Bool(true)), ("false", Value::Bool(false))]));
            }
            Ty::Enum(members) => {
                let cases = members.members.iter().enumerate();
                let cases: Vec<_> = cases.map(|(index, (_, wire))| (&**wire, Value::Enum(index as u16))).collect();
                return Some(self.key_among(key, ty, &cases));
            }
            _ => return None,
        };
        let read = if let Ty::Decimal(_) = ty { Ty::DECIMAL } else { ty.clone() };
        let local = self.new_local();
        let hole = self.node(ExprKind::Local(local), Ty::TEXT, span);
        let rest = self.node(ExprKind::Call { function, arguments: vec![hole.expr] }, read.clone().optional(), span);
        let kind = ExprKind::Chain { base: Box::new(key.expr), local, rest: Box::new(rest.expr) };
        Some(self.node(kind, read.optional(), span))
    }

    fn key_among(&mut self, key: Checked, ty: &Ty, cases: &[(&str, Value<'static>)]) -> Checked {
        let span = key.expr.span;
        let result = ty.clone().optional();
        let mut arms: Vec<Arm> = Vec::new();
        for (text, value) in cases {
            let patterns = vec![Pattern::Constant(Value::text(*text))];
            arms.push(Arm { patterns, guard: None, value: self.constant(value.clone(), result.clone(), span).expr });
        }
        let none = self.constant(Value::None, result.clone(), span).expr;
        arms.push(Arm { patterns: vec![Pattern::Any], guard: None, value: none });
        self.node(ExprKind::Match { subject: Box::new(key.expr), arms }, result, span)
    }

    fn aggregate(
        &mut self,
        index: usize,
        aggregate: AggregateUse,
        clauses: &Clauses,
        found: &mut Option<Ty>,
    ) -> Option<Stmt> {
        let field = self.state[index].clone();
        let word = &*aggregate.name.text;
        let kind = match word {
            "count" => Aggregate::Count,
            "sum" => Aggregate::Sum,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "first" => Aggregate::First,
            "last" => Aggregate::Last,
            _ => {
                let (sum, count) = hidden_of(&clauses.state, index);
                Aggregate::Avg { sum, count }
            }
        };
        let argument = match aggregate.argument {
            None => {
                self.coerce_result(&Ty::Int, &field.ty, word, aggregate.span);
                None
            }
            Some(argument) => Some(self.aggregate_argument(argument, &field, kind, word, found)?),
        };
        if let Some(facts) = &mut self.facts {
            facts.assign(field.index, true);
        }
        Some(Stmt { kind: StmtKind::Aggregate { field: field.index, aggregate: kind, argument }, span: aggregate.span })
    }

    fn aggregate_argument(
        &mut self,
        argument: &ast::Expr,
        field: &StateInfo,
        kind: Aggregate,
        word: &str,
        found: &mut Option<Ty>,
    ) -> Option<Expr> {
        let want = field.ty.required().clone();
        let value = self.expr(argument, Some(&want));
        let ty = self.inference.known(&value.ty);
        if ty.is_error() {
            return None;
        }
        *found = Some(value.ty.clone());
        if let Ty::Var(_) = ty {
            self.inference.follow(&field.ty, &value.ty);
        }
        let (span, inner) = (value.expr.span, ty.required().clone());
        let suits = match kind {
            Aggregate::Sum => inner.is_number() || matches!(inner, Ty::Duration | Ty::Var(_)),
            Aggregate::Avg { .. } => matches!(inner, Ty::Int | Ty::Decimal(_) | Ty::Var(_)),
            Aggregate::Min | Aggregate::Max => inner.is_ordered(),
            _ => true,
        };
        if !suits {
            let message = format!("`{word}` does not go with `{inner}`");
            let diagnostic = Diagnostic::error(codes::ARGUMENTS, message, span, format!("this is `{inner}`"));
            self.report(diagnostic.with_help(match kind {
                _ if inner == Ty::Json => {
                    "say what it is: write the type of the field, as in `: int`, or declare the event"
                }
                Aggregate::Min | Aggregate::Max => "take a number, a text or a time",
                _ => "take a number",
            }));
            return None;
        }
        if ty.is_optional()
            && !matches!(kind, Aggregate::Sum)
            && !field.ty.is_optional()
            && !matches!(field.ty, Ty::Var(_))
        {
            let message = format!(
                "`{}` may never get a value, since {} may be missing",
                field.name.text,
                self.describe(&value.expr)
            );
            self.report(
                Diagnostic::error(codes::MAY_BE_MISSING, message, span, format!("this is `{ty}`"))
                    .with_label(field.name.span, format!("this is `{}`", field.ty))
                    .with_help(format!("write `{}: {}?`", field.name.text, field.ty)),
            );
            return None;
        }
        if matches!(kind, Aggregate::Sum | Aggregate::Avg { .. }) {
            self.need(&inner, Need::Decimal, span);
        }
        let want = match (kind, &want, &inner) {
            // The sum must fit its field, not each of its terms.
            (Aggregate::Sum, Ty::Decimal(_), Ty::Decimal(_)) => inner.clone(),
            (Aggregate::Avg { .. }, ..) => {
                self.coerce_result(&Ty::DECIMAL, &field.ty, word, span);
                Ty::DECIMAL
            }
            _ => want,
        };
        let want = if ty.is_optional() { want.optional() } else { want };
        let value = self.coerce(value, &want);
        (!value.ty.is_error()).then_some(value.expr)
    }

    /// What an aggregate always gives must be what its field says.
    fn coerce_result(&mut self, gives: &Ty, field: &Ty, word: &str, span: Span) {
        let field = self.inference.known(field);
        if *gives != *field.required() && !matches!(field, Ty::Error | Ty::Var(_)) {
            let message = format!("`{word}` gives `{gives}`, and the field is `{field}`");
            let diagnostic = Diagnostic::error(codes::MISMATCH, message, span, format!("this is `{gives}`"));
            self.report(diagnostic.with_help(format!("declare the field as `{gives}`, or leave its type out")));
        }
    }

    /// All handlers of the event, in file order, and whether each way through them leaves a complete row.
    fn handlers(&mut self, unit: &Unit, clauses: &Clauses, aggregated: bool, body: &mut Vec<Stmt>) {
        // ORDER: `untouched` is the way on which nothing has run yet: no row is made, so none need be complete.
        let mut untouched = (!aggregated).then(|| self.facts.clone()).flatten();
        let mut touched = if aggregated { self.facts.clone() } else { None };
        for handler in unit.handlers.iter().map(|index| clauses.handlers[*index]) {
            let before = meet(touched.clone(), untouched.clone());
            self.facts = before.clone();
            if before.is_none() {
                self.never_reached(handler);
            }
            let condition =
                handler.condition.as_ref().map(|condition| (self.condition(condition), says(self, condition)));
            if let Some((_, says)) = &condition {
                self.facts = self.facts.take().map(|facts| facts.with(&says.when_true));
            }
            let span = handler.body.span;
            let mut statements = vec![Stmt { kind: StmtKind::Touch, span }];
            statements.extend(self.block(&handler.body));
            let after = self.facts.take();
            match condition {
                Some((condition, says)) => {
                    touched = meet(touched.map(|facts| facts.with(&says.when_false)), after);
                    untouched = untouched.map(|facts| facts.with(&says.when_false));
                    let kind = StmtKind::If { condition: condition.expr, then: statements, otherwise: Vec::new() };
                    body.push(Stmt { kind, span });
                }
                None => {
                    touched = after;
                    untouched = None;
                    body.extend(statements);
                }
            }
        }
        self.check_complete(touched, unit, clauses);
    }

    fn never_reached(&mut self, handler: &ast::On) {
        let message = "this handler never runs: the ones before it end the event";
        self.report(
            Diagnostic::error(codes::UNREACHABLE, message, handler.body.span, "never runs")
                .with_help("put it before them, or give them a condition"),
        );
    }

    /// Definite assignment: a row made here has a value in every field that needs one.
    fn check_complete(&mut self, touched: Option<Facts>, unit: &Unit, clauses: &Clauses) {
        let Some(facts) = touched else { return };
        if facts.present.contains(&Fact::Exists) {
            return;
        }
        let needed = self.state.iter().filter(|field| field.default.is_none() && !field.ty.is_optional());
        let missing: Vec<StateInfo> = needed
            .filter(|field| !field.aggregate && !matches!(field.ty, Ty::Error | Ty::Var(_)))
            .filter(|field| !facts.assigned.contains(&field.index))
            .cloned()
            .collect();
        for field in missing {
            let name = &field.name.text;
            let handler = unit.handlers.last().map(|index| clauses.handlers[*index]);
            let event = match self.payload {
                Payload::Event(shape) => shape.name.clone(),
                _ => "tombstone".into(),
            };
            let message = format!("`{name}` has no value in a row that `{event}` creates");
            let span = handler.map_or(field.name.span, |handler| handler.body.span);
            let diagnostic =
                Diagnostic::error(codes::NOT_ASSIGNED, message, span, format!("does not set `{name}` on every way"))
                    .with_label(field.name.span, "has no default, and is not optional");
            self.report(diagnostic.with_help(format!(
                "give it a default, make it optional (`{name}: {}?`), or begin the handler with `skip if not exists`",
                field.ty
            )));
        }
    }
}

fn reads_envelope(expr: &ast::Expr) -> bool {
    let (root, steps) = super::chain::take_apart(expr);
    matches!(&root.kind, ast::ExprKind::Name(name) if &*name.text == "event") && !steps.is_empty()
}

/// The fields of every slot, for tests of what is decoded.
#[cfg(test)]
pub(crate) fn slot_paths(program: &EventProgram) -> Vec<String> {
    program.slots.iter().map(|slot| slot.path.join(".")).collect()
}
