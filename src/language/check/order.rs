//! Warns where the result may depend on which partition or topic is read first (`W0520`).
//!
//! One partition is read in order; several, and several topics, in no order that a replay would repeat. So two writes of
//! one field that may come in either order should commute: `+=` with `+=`, `min` with `min`, putting into a set.

use std::sync::Arc;

use crate::language::ast::{self, AssignOp, ExprKind, StmtKind};
use crate::language::check::Globals;
use crate::language::check::chain::{Step, take_apart};
use crate::language::check::projection::Clauses;
use crate::language::check::sources::Sources;
use crate::language::check::topic::payload_path;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::span::Span;

/// How a write changes its field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Add,
    Multiply,
    Least,
    Greatest,
    Insert,
    /// The same plain value, wherever it comes from.
    Plain(String),
    Replace,
}

#[derive(Debug, Clone)]
struct Write {
    field: Arc<str>,
    topic: usize,
    change: Change,
    span: Span,
}

impl Globals<'_> {
    pub fn warn_order(&mut self, clauses: &Clauses, sources: &Sources) {
        let writes = writes(clauses, sources);
        let mut crossing = Vec::new();
        for field in &clauses.state {
            let of_field: Vec<&Write> = writes.iter().filter(|write| write.field == field.name.text).collect();
            if let Some((first, second)) = across_topics(&of_field) {
                crossing.push(field.name.text.clone());
                self.report(between_topics(first, second, sources));
            }
        }
        for (index, topic) in sources.topics.iter().enumerate() {
            if keyed_by_record(clauses, topic.keyed_by.as_deref()) {
                continue;
            }
            let within = writes.iter().find(|write| {
                write.topic == index
                    && !crossing.contains(&write.field)
                    && writes.iter().any(|other| {
                        other.topic == index && other.field == write.field && !commute(&write.change, &other.change)
                    })
            });
            if let Some(write) = within {
                self.report(between_partitions(write, &topic.name.text, clauses));
            }
        }
    }
}

/// Whether all events of one key lie in one partition of the topic.
fn keyed_by_record(clauses: &Clauses, keyed_by: Option<&[Arc<str>]>) -> bool {
    clauses.key.iter().any(|part| {
        let path = payload_path(&part.value);
        let by_field = keyed_by.is_some() && path.as_deref() == keyed_by;
        let (root, steps) = take_apart(&part.value);
        let by_key = matches!(&root.kind, ExprKind::Name(name) if &*name.text == "event")
            && matches!(steps.first(), Some(Step::Field { name, .. }) if matches!(&*name.text, "key" | "partition"));
        by_field || by_key
    })
}

fn across_topics<'w>(writes: &[&'w Write]) -> Option<(&'w Write, &'w Write)> {
    for (index, first) in writes.iter().enumerate() {
        for second in &writes[index + 1..] {
            if first.topic != second.topic && !commute(&first.change, &second.change) {
                return Some((first, second));
            }
        }
    }
    None
}

fn commute(left: &Change, right: &Change) -> bool {
    left == right && *left != Change::Replace
}

fn between_topics(first: &Write, second: &Write, sources: &Sources) -> Diagnostic {
    let topic = |write: &Write| sources.topics[write.topic].name.text.clone();
    let message = "the result may depend on which topic is read first";
    let label = format!("`{}` set here, from topic `{}`", first.field, topic(first));
    let diagnostic = Diagnostic::warning(codes::ORDER, message, first.span, label);
    let diagnostic = if first.span == second.span {
        diagnostic.with_note(format!("and by the same words from topic `{}`", topic(second)))
    } else {
        diagnostic.with_label(second.span, format!("and here, from topic `{}`", topic(second)))
    };
    diagnostic.with_help(
        "keep each topic's fact in its own field and combine them in `as`, or use an update that commutes \
         (+=, min, max, set add); test with `given any_order { … }`",
    )
}

fn between_partitions(write: &Write, topic: &str, clauses: &Clauses) -> Diagnostic {
    let field = clauses.key.first().and_then(|part| payload_path(&part.value));
    let keyed = field.map_or(".field".to_owned(), |path| format!(".{}", path.join(".")));
    let message = "the result may depend on which partition is read first";
    let diagnostic =
        Diagnostic::warning(codes::ORDER, message, write.span, format!("the last one wins in `{}`", write.field));
    let diagnostic = match clauses.key.first() {
        Some(part) => diagnostic
            .with_label(part.value.span, format!("events of one key may lie in several partitions of `{topic}`")),
        None => diagnostic,
    };
    diagnostic.with_help(format!(
        "if producers use it as the record's key, say so in the topic: `keyed_by: {keyed}`; else use an update that commutes"
    ))
}

fn writes(clauses: &Clauses, sources: &Sources) -> Vec<Write> {
    let mut writes = Vec::new();
    for unit in sources.units.iter().filter(|unit| unit.wanted) {
        if unit.shape.is_some() {
            for field in &clauses.state {
                let Some(aggregate) = field.aggregate else { continue };
                let change = match &*aggregate.name.text {
                    "min" => Change::Least,
                    "max" => Change::Greatest,
                    "first" | "last" => Change::Replace,
                    _ => Change::Add,
                };
                writes.push(Write { field: field.name.text.clone(), topic: unit.topic, change, span: aggregate.span });
            }
        }
        for handler in &unit.handlers {
            in_block(&clauses.handlers[*handler].body, unit.topic, &mut writes);
        }
    }
    writes
}

fn in_block(block: &ast::Block, topic: usize, writes: &mut Vec<Write>) {
    let mut blocks = vec![block];
    while let Some(block) = blocks.pop() {
        for statement in &block.statements {
            match &statement.kind {
                StmtKind::If { then, otherwise, .. } => {
                    blocks.push(then);
                    blocks.extend(otherwise);
                }
                StmtKind::Match { arms, .. } => blocks.extend(arms.iter().map(|arm| &arm.body)),
                StmtKind::Assign { place, op, value, .. } => {
                    let change = change(place, *op, value);
                    writes.push(Write { field: place.root.text.clone(), topic, change, span: statement.span });
                }
                StmtKind::Remove(place) => {
                    let change = Change::Replace;
                    writes.push(Write { field: place.root.text.clone(), topic, change, span: statement.span });
                }
                StmtKind::Let(_) | StmtKind::Delete(_) | StmtKind::Skip(_) => {}
            }
        }
    }
}

fn change(place: &ast::Place, op: AssignOp, value: &ast::Expr) -> Change {
    match op {
        AssignOp::Add | AssignOp::Subtract => Change::Add,
        AssignOp::Multiply => Change::Multiply,
        AssignOp::Fill => Change::Replace,
        AssignOp::Set if !place.steps.is_empty() => Change::Replace,
        AssignOp::Set => whole_change(&place.root.text, value),
    }
}

/// `x = max(x, …)`, `x = x.add(…)`, a plain value; anything else replaces.
fn whole_change(field: &str, value: &ast::Expr) -> Change {
    if let Some(plain) = plain(value) {
        return Change::Plain(plain);
    }
    let ExprKind::Call { callee, arguments } = &value.kind else { return Change::Replace };
    let itself = |expr: &ast::Expr| matches!(&expr.kind, ExprKind::Name(name) if &*name.text == field);
    let (function, over_itself) = match &callee.kind {
        ExprKind::Name(name) => {
            (name, arguments.iter().any(|argument| itself(&argument.value)) || filled(field, arguments))
        }
        ExprKind::Field { base, name } => (name, itself(base)),
        _ => return Change::Replace,
    };
    match &*function.text {
        "min" if over_itself => Change::Least,
        "max" if over_itself => Change::Greatest,
        "add" | "union" if over_itself => Change::Insert,
        _ => Change::Replace,
    }
}

/// `max(x ?? .a, .a)`: the first value stands for a missing one.
fn filled(field: &str, arguments: &[ast::Argument]) -> bool {
    let [first, second] = arguments else { return false };
    let ExprKind::Binary { op: ast::BinaryOp::Coalesce, left, right, .. } = &first.value.kind else { return false };
    let itself = matches!(&left.kind, ExprKind::Name(name) if &*name.text == field);
    itself && payload_path(right).is_some() && payload_path(right) == payload_path(&second.value)
}

fn plain(value: &ast::Expr) -> Option<String> {
    Some(match &value.kind {
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::None => "none".into(),
        ExprKind::Int(digits) | ExprKind::Decimal(digits) => digits.clone(),
        ExprKind::String(_) => super::topic::text(value)?,
        ExprKind::Field { base, name } => match &base.kind {
            ExprKind::TypeName(ty) => format!("{}.{}", ty.text, name.text),
            _ => return None,
        },
        _ => return None,
    })
}
