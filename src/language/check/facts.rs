//! What is known at a point of a handler: which optional values are there, which fields are set, whether the row exists.
//!
//! Facts come from conditions (`x != none`, `exists`), hold where the condition does, and go when a field is assigned.
//! Two ways that meet keep what both know.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::language::ast::{self, BinaryOp, ExprKind};
use crate::language::check::context::Context;

/// Something that is known to be there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// A payload path is not `none`.
    Payload(Vec<Arc<str>>),
    /// A local, or a field of one.
    Local(usize, Vec<Arc<str>>),
    /// A state field, or a field of a record in it.
    State(usize, Vec<Arc<str>>),
    /// `event.key`.
    EventKey,
    /// The row was there before this event.
    Exists,
}

/// All that is known at a point that is reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    pub present: BTreeSet<Fact>,
    /// State fields that this event has set.
    pub assigned: BTreeSet<usize>,
}

impl Facts {
    /// What is known after an assignment to a state field.
    pub fn assign(&mut self, field: usize, whole: bool) {
        self.present.retain(|fact| !matches!(fact, Fact::State(other, _) if *other == field));
        if whole {
            self.assigned.insert(field);
        }
    }

    #[must_use]
    pub fn with(mut self, facts: &[Fact]) -> Facts {
        self.present.extend(facts.iter().cloned());
        self
    }
}

/// What is known where two ways meet; a way that ends the event does not count.
pub(crate) fn meet(left: Option<Facts>, right: Option<Facts>) -> Option<Facts> {
    match (left, right) {
        (None, other) | (other, None) => other,
        (Some(left), Some(right)) => {
            let existed = |facts: &Facts| facts.present.contains(&Fact::Exists);
            // A row that was there has a value in every field already.
            let assigned = match (existed(&left), existed(&right)) {
                (true, false) => right.assigned,
                (false, true) => left.assigned,
                _ => left.assigned.intersection(&right.assigned).copied().collect(),
            };
            Some(Facts { present: left.present.intersection(&right.present).cloned().collect(), assigned })
        }
    }
}

/// What a condition says.
#[derive(Debug, Default)]
pub(crate) struct Says {
    pub when_true: Vec<Fact>,
    pub when_false: Vec<Fact>,
}

/// Reads the facts off a condition.
pub(crate) fn says(context: &Context, condition: &ast::Expr) -> Says {
    let mut negated = false;
    let mut expr = condition;
    loop {
        match &expr.kind {
            ExprKind::Bracketed(inner) => expr = inner,
            ExprKind::Not(inner) => {
                negated = !negated;
                expr = inner;
            }
            _ => break,
        }
    }
    let mut says = positive(context, expr);
    if negated {
        std::mem::swap(&mut says.when_true, &mut says.when_false);
    }
    says
}

fn positive(context: &Context, expr: &ast::Expr) -> Says {
    match &expr.kind {
        ExprKind::Name(name) if &*name.text == "exists" => Says { when_true: vec![Fact::Exists], ..Says::default() },
        ExprKind::Binary { op: op @ (BinaryOp::And | BinaryOp::Or), left, right, .. } => {
            joined(context, *op, left, right)
        }
        ExprKind::Binary { op: BinaryOp::NotEqual, left, right, .. } => {
            Says { when_true: compared_with_none(context, left, right), ..Says::default() }
        }
        ExprKind::Binary { op: BinaryOp::Equal, left, right, .. } => {
            Says { when_false: compared_with_none(context, left, right), ..Says::default() }
        }
        _ => Says::default(),
    }
}

/// A chain of one operator is walked without recursion, however long it is.
fn joined(context: &Context, op: BinaryOp, left: &ast::Expr, right: &ast::Expr) -> Says {
    let mut result = Says::default();
    let mut pending = vec![left, right];
    while let Some(expr) = pending.pop() {
        match &expr.kind {
            ExprKind::Binary { op: inner, left, right, .. } if *inner == op => pending.extend([&**left, &**right]),
            _ if op == BinaryOp::And => result.when_true.extend(says(context, expr).when_true),
            _ => result.when_false.extend(says(context, expr).when_false),
        }
    }
    result
}

fn compared_with_none(context: &Context, left: &ast::Expr, right: &ast::Expr) -> Vec<Fact> {
    match (&left.kind, &right.kind) {
        (_, ExprKind::None) => subject(context, left),
        (ExprKind::None, _) => subject(context, right),
        _ => Vec::new(),
    }
}

/// The facts of `expr` not being `none`: with `.a?.b` there, `.a` is there too.
pub(crate) fn subject(context: &Context, expr: &ast::Expr) -> Vec<Fact> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut expr = expr;
    let root = loop {
        match &expr.kind {
            ExprKind::Bracketed(inner) => expr = inner,
            ExprKind::Field { base, name } | ExprKind::OptionalField { base, name } => {
                names.push(name.text.clone());
                expr = base;
            }
            _ => break expr,
        }
    };
    names.reverse();
    match &root.kind {
        ExprKind::Payload(Some(name)) => {
            names.insert(0, name.text.clone());
            (1..=names.len()).map(|end| Fact::Payload(names[..end].to_vec())).collect()
        }
        ExprKind::Name(name) if &*name.text == "event" && names.len() == 1 && &*names[0] == "key" => {
            vec![Fact::EventKey]
        }
        ExprKind::Name(name) => prefixes(context, &name.text, &names),
        _ => Vec::new(),
    }
}

fn prefixes(context: &Context, root: &str, names: &[Arc<str>]) -> Vec<Fact> {
    let ends = 0..=names.len();
    if let Some(local) = context.local(root) {
        return ends.map(|end| Fact::Local(local.local, names[..end].to_vec())).collect();
    }
    match context.state.iter().find(|field| &*field.name.text == root) {
        Some(field) => ends.map(|end| Fact::State(field.index, names[..end].to_vec())).collect(),
        None => Vec::new(),
    }
}
