//! A checked projection → its plan: the normal form that runs, its canonical text, and the hashes of that text.
//!
//! Normal form: state fields in the order of their names, constants folded. What only says how a file was written (the
//! order of fields, names of locals, spans) is then gone or has no part in the text, so that it changes no hash.

use std::sync::Arc;

use crate::language::typed::{Aggregate, Expr, ExprKind, FaultClass, Projection, StmtKind};
use crate::plan::eval::{Context, Evaluator, Regexes};
use crate::plan::text::Sections;
use crate::plan::walk::Visit;
use crate::plan::{Fingerprint, Hashes, Plan};
use crate::value::Value;

/// The plan of a checked projection.
pub fn lower(mut projection: Projection) -> Plan {
    sort_state(&mut projection);
    fold_constants(&mut projection);
    let sections = Sections::of(&projection);
    let hashes = Hashes {
        source: fingerprint(&sections.source),
        layout: fingerprint(&sections.layout),
        fold: fingerprint(&sections.fold),
        emit: fingerprint(&sections.emit),
        options: fingerprint(&sections.options),
    };
    Plan { text: sections.join(&projection.name).into(), projection, hashes }
}

fn fingerprint(section: &str) -> Fingerprint {
    Fingerprint(*blake3::hash(section.as_bytes()).as_bytes())
}

/// Puts state fields in the order of their names: a row holds its values in this order.
fn sort_state(projection: &mut Projection) {
    let mut order: Vec<usize> = (0..projection.state.len()).collect();
    order.sort_by(|a, b| projection.state[*a].name.cmp(&projection.state[*b].name));
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(new, old)| place[*old] = new);
    projection.state = order.iter().map(|old| projection.state[*old].clone()).collect();
    let mut expr = |expr: &mut Expr| {
        if let ExprKind::State(index) = &mut expr.kind {
            *index = place[*index];
        }
    };
    let mut statement = |statement: &mut crate::language::typed::Stmt| match &mut statement.kind {
        StmtKind::Aggregate { field, aggregate, .. } => {
            *field = place[*field];
            if let Aggregate::Avg { sum, count } = aggregate {
                (*sum, *count) = (place[*sum], place[*count]);
            }
        }
        StmtKind::Assign { place: target, .. } | StmtKind::Remove { place: target } => {
            target.field = place[target.field];
        }
        _ => {}
    };
    Visit { expr: &mut expr, statement: &mut statement }.projection(projection);
}

/// Replaces what depends on nothing by its value. What would fault stays, to fault where it stands.
fn fold_constants(projection: &mut Projection) {
    let names = Arc::new(projection.clone());
    let mut regexes = Regexes::default();
    let mut expr = |expr: &mut Expr| {
        if let ExprKind::If { condition, then, otherwise } = &mut expr.kind
            && let ExprKind::Constant(Value::Bool(condition)) = condition.kind
        {
            let branch = if condition { then } else { otherwise };
            let kind = branch.kind.clone();
            (expr.kind, expr.span) = (kind, branch.span);
        } else if depends_on_constants(&expr.kind)
            && let Some(value) = constant(expr, &names, &mut regexes)
        {
            expr.kind = ExprKind::Constant(value);
        }
    };
    Visit { expr: &mut expr, statement: &mut |_| {} }.projection(projection);
}

fn constant(expr: &Expr, projection: &Projection, regexes: &mut Regexes) -> Option<Value<'static>> {
    let context =
        Context { projection, program: None, view: None, key_text: "", exists: false, class: FaultClass::Eval };
    let mut evaluator = Evaluator { context: &context, state: &[], locals: &mut [], regexes };
    evaluator.eval(expr).ok().map(Value::into_static)
}

/// Whether an expression is made of constants alone. Children were folded before.
fn depends_on_constants(kind: &ExprKind) -> bool {
    let is_constant = |expr: &Expr| matches!(expr.kind, ExprKind::Constant(_));
    match kind {
        ExprKind::Negate(inner)
        | ExprKind::Not(inner)
        | ExprKind::Convert { value: inner, .. }
        | ExprKind::Field { base: inner, .. } => is_constant(inner),
        ExprKind::And(a, b)
        | ExprKind::Or(a, b)
        | ExprKind::Coalesce(a, b)
        | ExprKind::Binary { left: a, right: b, .. }
        | ExprKind::Index { base: a, index: b } => is_constant(a) && is_constant(b),
        ExprKind::Record(items) | ExprKind::List(items) | ExprKind::Set(items) | ExprKind::Interpolate(items) => {
            items.iter().all(is_constant)
        }
        // A header is read from the event, though its name is a constant.
        ExprKind::Call { function: crate::language::typed::Function::Header, .. } => false,
        ExprKind::Call { arguments, .. } => arguments.iter().all(is_constant),
        ExprKind::Map(entries) => entries.iter().all(|(k, v)| is_constant(k) && is_constant(v)),
        _ => false,
    }
}
