//! Statements → changes of one row, all or nothing.

use crate::language::codes;
use crate::language::typed::{Aggregate, AssignOp, Expr, Place, PlaceStep, Stmt, StmtArm, StmtKind};
use crate::plan::eval::place::{self, Change, Target};
use crate::plan::eval::{Context, Effect, Evaluator, Regexes, Scratch, arithmetic};
use crate::plan::{Fault, Row};
use crate::value::{Decimal, Value};

/// How a run of statements ended.
enum Flow {
    Next,
    Delete,
    Skip,
}

struct Handler<'e, 'a> {
    context: &'e Context<'a>,
    row: &'e mut Row,
    locals: &'e mut [Value<'a>],
    undo: &'e mut Vec<place::Undo>,
    regexes: &'e mut Regexes,
    touched: bool,
}

/// Runs a program's body. After a fault or a `skip` the row is as it was.
pub(super) fn run<'a>(
    context: &Context<'a>,
    row: &mut Row,
    locals: &mut [Value<'a>],
    scratch: &mut Scratch,
) -> Result<Effect, Box<Fault>> {
    let body = &context.program.expect("a fold has a program").body;
    let Scratch { undo, regexes, .. } = scratch;
    undo.clear();
    let mut handler = Handler { context, row, locals, undo, regexes, touched: false };
    let flow = handler.block(body);
    let touched = handler.touched;
    match flow {
        Ok(Flow::Next) if touched => Ok(Effect::Touched),
        Ok(Flow::Next) => Ok(Effect::Untouched),
        Ok(Flow::Delete) => Ok(Effect::Deleted),
        Ok(Flow::Skip) => {
            place::roll_back(undo, row);
            Ok(Effect::Skipped)
        }
        Err(fault) => {
            place::roll_back(undo, row);
            Err(fault)
        }
    }
}

impl<'a> Handler<'_, 'a> {
    fn evaluator(&mut self) -> Evaluator<'_, 'a> {
        Evaluator { context: self.context, state: &self.row.fields, locals: self.locals, regexes: self.regexes }
    }

    fn block(&mut self, statements: &'a [Stmt]) -> Result<Flow, Box<Fault>> {
        for statement in statements {
            match self.statement(statement)? {
                Flow::Next => {}
                end => return Ok(end),
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &'a Stmt) -> Result<Flow, Box<Fault>> {
        match &statement.kind {
            StmtKind::Touch => self.touched = true,
            StmtKind::Aggregate { field, aggregate, argument } => {
                self.touched = true;
                self.aggregate(*field, *aggregate, argument.as_ref(), statement)?;
            }
            StmtKind::If { condition, then, otherwise } => {
                let branch = if self.evaluator().test(condition)? { then } else { otherwise };
                return self.block(branch);
            }
            StmtKind::Match { subject, arms } => return self.matched(subject, arms),
            StmtKind::Let { local, value } => self.locals[*local] = self.evaluator().eval(value)?,
            StmtKind::Assign { place, op, value } => self.assign(place, *op, value)?,
            StmtKind::Remove { place } => {
                let target = self.target(place.field, &place.steps)?;
                place::remove(self.row, self.undo, target);
            }
            StmtKind::Delete => return Ok(Flow::Delete),
            StmtKind::Skip => return Ok(Flow::Skip),
        }
        Ok(Flow::Next)
    }

    fn assign(&mut self, place: &'a Place, op: AssignOp, value: &'a Expr) -> Result<(), Box<Fault>> {
        if place.steps.is_empty()
            && let Some(plain) = self.evaluator().plain_change(place.field, op, value)
        {
            let old = plain.replace(&mut self.row.fields[place.field]);
            self.undo.push(place::Undo::Field(place.field, old));
            return Ok(());
        }
        let target = self.target(place.field, &place.steps)?;
        let value = self.evaluator().eval(place::without_contract(value, &place.ty))?;
        let change = Change { op, value, ty: &place.ty, span: place.span };
        place::assign(self.context, self.row, self.undo, target, change)
    }

    fn matched(&mut self, subject: &'a Expr, arms: &'a [StmtArm]) -> Result<Flow, Box<Fault>> {
        let subject = self.evaluator().eval(subject)?;
        for arm in arms {
            if self.evaluator().arm_matches(&subject, &arm.patterns, arm.guard.as_ref())? {
                return self.block(&arm.body);
            }
        }
        Ok(Flow::Next)
    }

    /// The place's keys, evaluated.
    fn target(&mut self, field: usize, steps: &'a [PlaceStep]) -> Result<Target<'a>, Box<Fault>> {
        Ok(match steps {
            [] => Target::Field(field),
            [PlaceStep::Entry(key)] => Target::Entry(field, self.evaluator().eval(key)?),
            steps => {
                let mut path = Vec::with_capacity(steps.len());
                for step in steps {
                    path.push(match step {
                        PlaceStep::Field(index) => place::Step::Field(*index),
                        PlaceStep::Entry(key) => place::Step::Entry(self.evaluator().eval(key)?),
                    });
                }
                Target::Path(field, path)
            }
        })
    }

    fn aggregate(
        &mut self,
        field: usize,
        aggregate: Aggregate,
        argument: Option<&'a Expr>,
        statement: &Stmt,
    ) -> Result<(), Box<Fault>> {
        let ty = &self.context.projection.state[field].ty;
        let value = match argument {
            None => Value::Int(1),
            Some(argument) => match self.evaluator().eval(place::without_contract(argument, ty))? {
                Value::None => return Ok(()),
                value => value,
            },
        };
        let current = &self.row.fields[field];
        let op = match aggregate {
            Aggregate::Count => return self.set(field, AssignOp::Add, Value::Int(1), statement),
            Aggregate::Sum => AssignOp::Add,
            Aggregate::First => AssignOp::Fill,
            Aggregate::Last => AssignOp::Set,
            Aggregate::Min if current.is_none() || value < *current => AssignOp::Set,
            Aggregate::Max if current.is_none() || value > *current => AssignOp::Set,
            Aggregate::Min | Aggregate::Max => return Ok(()),
            Aggregate::Avg { sum, count } => {
                self.set(sum, AssignOp::Add, value, statement)?;
                self.set(count, AssignOp::Add, Value::Int(1), statement)?;
                let mean = self.mean(sum, count, statement)?;
                return self.set(field, AssignOp::Set, Value::Decimal(mean), statement);
            }
        };
        self.set(field, op, value, statement)
    }

    fn set(&mut self, field: usize, op: AssignOp, value: Value<'a>, statement: &Stmt) -> Result<(), Box<Fault>> {
        let ty = &self.context.projection.state[field].ty;
        let change = Change { op, value, ty, span: statement.span };
        place::assign(self.context, self.row, self.undo, Target::Field(field), change)
    }

    fn mean(&self, sum: usize, count: usize, statement: &Stmt) -> Result<Decimal, Box<Fault>> {
        let sum = arithmetic::as_decimal(&self.row.fields[sum]).unwrap_or(Decimal::ZERO);
        let count = arithmetic::as_decimal(&self.row.fields[count]).unwrap_or(Decimal::ZERO);
        sum.divide(count).ok_or_else(|| {
            let message = format!("the average {sum} / {count} does not fit a decimal");
            self.context.fault(codes::OVERFLOW, statement.span, message)
        })
    }
}
