//! Walks every expression and statement of a projection, the innermost first.

use crate::language::typed::{Expr, ExprKind, OptionValue, PlaceStep, Projection, Stmt, StmtKind};

/// What is done at each node.
pub(super) struct Visit<'v> {
    pub expr: &'v mut dyn FnMut(&mut Expr),
    pub statement: &'v mut dyn FnMut(&mut Stmt),
}

/// Whether an expression reads the state of a row.
pub(crate) fn reads_state(expr: &Expr) -> bool {
    let mut found = false;
    let mut look = |expr: &mut Expr| found |= matches!(expr.kind, ExprKind::State(_));
    Visit { expr: &mut look, statement: &mut |_| {} }.expr(&mut expr.clone());
    found
}

impl Visit<'_> {
    pub fn projection(&mut self, projection: &mut Projection) {
        for program in &mut projection.programs {
            program.filter.iter_mut().chain(&mut program.key).for_each(|expr| self.expr(expr));
            self.block(&mut program.body);
        }
        for sink in &mut projection.sinks {
            sink.when.iter_mut().for_each(|expr| self.expr(expr));
            sink.document.iter_mut().for_each(|(_, expr)| self.expr(expr));
            sink.options.id.iter_mut().for_each(|expr| self.expr(expr));
            sink.options.all.iter_mut().for_each(|option| self.option(&mut option.value));
        }
    }

    fn option(&mut self, option: &mut OptionValue) {
        match option {
            OptionValue::Constant(_) => {}
            OptionValue::Expr(expr) => self.expr(expr),
            OptionValue::Block(entries) => entries.iter_mut().for_each(|(_, value)| self.option(value)),
            OptionValue::List(values) => values.iter_mut().for_each(|value| self.option(value)),
        }
    }

    fn block(&mut self, statements: &mut [Stmt]) {
        statements.iter_mut().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &mut Stmt) {
        match &mut statement.kind {
            StmtKind::Aggregate { argument, .. } => argument.iter_mut().for_each(|expr| self.expr(expr)),
            StmtKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.block(then);
                self.block(otherwise);
            }
            StmtKind::Match { subject, arms } => {
                self.expr(subject);
                for arm in arms {
                    arm.guard.iter_mut().for_each(|expr| self.expr(expr));
                    self.block(&mut arm.body);
                }
            }
            StmtKind::Let { value, .. } => self.expr(value),
            StmtKind::Assign { place, value, .. } => {
                self.steps(&mut place.steps);
                self.expr(value);
            }
            StmtKind::Remove { place } => self.steps(&mut place.steps),
            StmtKind::Delete | StmtKind::Skip | StmtKind::Touch => {}
        }
        (self.statement)(statement);
    }

    fn steps(&mut self, steps: &mut [PlaceStep]) {
        for step in steps {
            if let PlaceStep::Entry(key) = step {
                self.expr(key);
            }
        }
    }

    fn expr(&mut self, expr: &mut Expr) {
        match &mut expr.kind {
            ExprKind::Constant(_)
            | ExprKind::Slot(_)
            | ExprKind::Envelope(_)
            | ExprKind::Key(_)
            | ExprKind::State(_)
            | ExprKind::Local(_)
            | ExprKind::Exists => {}
            ExprKind::Negate(inner)
            | ExprKind::Not(inner)
            | ExprKind::Unwrap(inner)
            | ExprKind::Field { base: inner, .. }
            | ExprKind::Convert { value: inner, .. }
            | ExprKind::Lambda { body: inner, .. } => self.expr(inner),
            ExprKind::And(a, b)
            | ExprKind::Or(a, b)
            | ExprKind::Coalesce(a, b)
            | ExprKind::Binary { left: a, right: b, .. }
            | ExprKind::Chain { base: a, rest: b, .. }
            | ExprKind::Index { base: a, index: b }
            | ExprKind::Let { value: a, body: b, .. } => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::If { condition, then, otherwise } => {
                self.expr(condition);
                self.expr(then);
                self.expr(otherwise);
            }
            ExprKind::Match { subject, arms } => {
                self.expr(subject);
                for arm in arms {
                    arm.guard.iter_mut().for_each(|guard| self.expr(guard));
                    self.expr(&mut arm.value);
                }
            }
            ExprKind::Record(items)
            | ExprKind::List(items)
            | ExprKind::Set(items)
            | ExprKind::Interpolate(items)
            | ExprKind::Call { arguments: items, .. } => items.iter_mut().for_each(|item| self.expr(item)),
            ExprKind::Map(entries) => entries.iter_mut().for_each(|(key, value)| {
                self.expr(key);
                self.expr(value);
            }),
        }
        (self.expr)(expr);
    }
}
