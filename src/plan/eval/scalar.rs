//! Short ways to plain numbers, texts and times.
//!
//! Most of what handlers compute are sums and comparisons of slots, state and constants. Read by their types they stay in
//! registers; made into a [`Value`] each is written and read back several times, which costs more than the arithmetic
//! (measured: a third of a fold). `None` always means "take the long way", where faults are made; nothing is decided here.

use std::cmp::Ordering;

use crate::language::typed::{AssignOp, BinaryOp, Expr, ExprKind, Function};
use crate::plan::eval::Evaluator;
use crate::value::{Decimal, Slot, Type, Value};

impl<'a> Evaluator<'_, 'a> {
    fn filled(&self, index: usize) -> Option<Slot> {
        self.context.view?.slots.get(index).copied()
    }

    pub(super) fn int(&self, expr: &Expr) -> Option<i64> {
        match &expr.kind {
            ExprKind::Constant(Value::Int(v)) => Some(*v),
            ExprKind::Slot(index) => match self.filled(*index)? {
                Slot::Int(v) => Some(v),
                _ => None,
            },
            ExprKind::State(index) => match &self.state[*index] {
                Value::Int(v) => Some(*v),
                _ => None,
            },
            ExprKind::Binary { op: BinaryOp::Add, left, right } => self.int(left)?.checked_add(self.int(right)?),
            ExprKind::Binary { op: BinaryOp::Subtract, left, right } => self.int(left)?.checked_sub(self.int(right)?),
            ExprKind::Binary { op: BinaryOp::Multiply, left, right } => self.int(left)?.checked_mul(self.int(right)?),
            _ => None,
        }
    }

    pub(super) fn decimal(&self, expr: &Expr) -> Option<Decimal> {
        match &expr.kind {
            ExprKind::Constant(Value::Decimal(v)) => Some(*v),
            ExprKind::Slot(index) => match self.filled(*index)? {
                Slot::Decimal(v) => Some(v),
                _ => None,
            },
            ExprKind::State(index) => match &self.state[*index] {
                Value::Decimal(v) => Some(*v),
                _ => None,
            },
            ExprKind::Coalesce(left, right) if self.is_none(left) => self.decimal(right),
            ExprKind::Coalesce(left, _) => self.decimal(left),
            ExprKind::Binary { op, left, right } => {
                let (a, b) = (self.decimal(left)?, self.decimal(right)?);
                match op {
                    BinaryOp::Add => a.checked_add(b),
                    BinaryOp::Subtract => a.checked_sub(b),
                    BinaryOp::Multiply => a.checked_mul(b),
                    _ => None,
                }
            }
            ExprKind::Call { function: Function::MaxOf, arguments } => {
                let (a, b) = (self.decimal(arguments.first()?)?, self.decimal(arguments.get(1)?)?);
                Some(a.max(b))
            }
            ExprKind::Call { function: Function::MinOf, arguments } => {
                let (a, b) = (self.decimal(arguments.first()?)?, self.decimal(arguments.get(1)?)?);
                Some(a.min(b))
            }
            _ => None,
        }
    }

    /// Whether a slot or a state field is none.
    fn is_none(&self, expr: &Expr) -> bool {
        match &expr.kind {
            ExprKind::Slot(index) => matches!(self.filled(*index), Some(Slot::None)),
            ExprKind::State(index) => self.state[*index].is_none(),
            _ => false,
        }
    }

    pub(super) fn text<'t>(&'t self, expr: &'t Expr) -> Option<&'t str> {
        match &expr.kind {
            ExprKind::Constant(Value::Text(v)) => Some(v.as_str()),
            ExprKind::Slot(index) => match self.filled(*index)? {
                Slot::Text { start, end } => Some(self.context.view?.buffer.str(start..end)),
                _ => None,
            },
            ExprKind::State(index) => match &self.state[*index] {
                Value::Text(v) => Some(v.as_str()),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn timestamp(&self, expr: &Expr) -> Option<i64> {
        match &expr.kind {
            ExprKind::Constant(Value::Timestamp(v)) => Some(*v),
            ExprKind::Slot(index) => match self.filled(*index)? {
                Slot::Timestamp(v) => Some(v),
                _ => None,
            },
            ExprKind::State(index) => match &self.state[*index] {
                Value::Timestamp(v) => Some(*v),
                _ => None,
            },
            _ => None,
        }
    }

    /// How two plain scalars of one type compare.
    pub(super) fn plain_order(&self, left: &Expr, right: &Expr) -> Option<Ordering> {
        Some(match &left.ty {
            Type::Int => self.int(left)?.cmp(&self.int(right)?),
            Type::Decimal(_) => self.decimal(left)?.cmp(&self.decimal(right)?),
            Type::String(_) => self.text(left)?.cmp(self.text(right)?),
            Type::Timestamp => self.timestamp(left)?.cmp(&self.timestamp(right)?),
            _ => return None,
        })
    }

    /// What a state field holds after a plain assignment.
    pub(super) fn plain_change(&self, field: usize, op: AssignOp, value: &Expr) -> Option<Plain> {
        Some(match (&self.state[field], op) {
            (Value::Int(a), AssignOp::Add) => Plain::Int(a.checked_add(self.int(value)?)?),
            (Value::Int(a), AssignOp::Subtract) => Plain::Int(a.checked_sub(self.int(value)?)?),
            (Value::Int(_), AssignOp::Set) => Plain::Int(self.int(value)?),
            (Value::Timestamp(_), AssignOp::Set) => Plain::Timestamp(self.timestamp(value)?),
            (Value::Decimal(a), _) => {
                let b = self.decimal(value)?;
                let new = match op {
                    AssignOp::Add => a.checked_add(b)?,
                    AssignOp::Subtract => a.checked_sub(b)?,
                    AssignOp::Set => b,
                    _ => return None,
                };
                // With the scale that the field has now, the result keeps the contract that the field keeps now.
                Plain::Decimal(Some(new).filter(|new| new.scale() == a.scale())?)
            }
            _ => return None,
        })
    }
}

/// A new value for a field that holds one of the same kind.
pub(super) enum Plain {
    Int(i64),
    Timestamp(i64),
    Decimal(Decimal),
}

impl Plain {
    /// Puts it into the field and returns what was there.
    #[inline]
    pub fn replace(self, place: &mut Value<'static>) -> Value<'static> {
        match (place, self) {
            (Value::Int(place), Plain::Int(new)) => Value::Int(std::mem::replace(place, new)),
            (Value::Timestamp(place), Plain::Timestamp(new)) => Value::Timestamp(std::mem::replace(place, new)),
            (Value::Decimal(place), Plain::Decimal(new)) => Value::Decimal(std::mem::replace(place, new)),
            _ => unreachable!("the field held a value of this kind"),
        }
    }
}
