//! Constants: expressions that are a value already, evaluated here.
//!
//! Literals, other constants, collections of them, arithmetic on numbers, joined text. What needs more than that is not a
//! constant; `plan` folds what stands in handlers.

use crate::language::ast::{self, Name};
use crate::language::check::Globals;
use crate::language::check::context::{Context, Where};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Inference, Ty};
use crate::language::resolve::ValueDecl;
use crate::language::span::FileId;
use crate::language::typed::{BinaryOp, Conversion, Expr, ExprKind};
use crate::value::{Decimal, Type, Value, text};

/// Constants made of constants made of constants: more than this is refused.
const CHAIN_MAX: usize = 64;

impl<'a> Globals<'a> {
    /// The value of a declared constant; `None` when there was a mistake, which was said.
    pub fn constant(&mut self, name: &'a Name) -> Option<(Value<'static>, Ty)> {
        if let Some(known) = self.constants.get(&name.span) {
            return known.clone();
        }
        if self.evaluating.contains(&name.span) || self.evaluating.len() >= CHAIN_MAX {
            let message = format!("the value of `{}` needs itself", name.text);
            self.report(
                Diagnostic::error(codes::CONST_CYCLE, message, name.span, "part of a circle of constants")
                    .with_help("give one of them a plain value"),
            );
            return None;
        }
        let file = name.span.file;
        let Some(ValueDecl::Const { ty, value, .. }) = self.names.scope(file).values.get(&*name.text).copied() else {
            return None;
        };
        self.evaluating.push(name.span);
        let ty = ty.map(|ty| self.type_of(ty, file));
        let result = self.evaluate(value, ty.as_ref(), file);
        self.evaluating.pop();
        self.constants.insert(name.span, result.clone());
        result
    }

    /// Evaluates an expression that must be a constant.
    pub fn evaluate(&mut self, expr: &ast::Expr, want: Option<&Ty>, file: FileId) -> Option<(Value<'static>, Ty)> {
        let mut inference = Inference::default();
        let mut context = Context::new(self, &mut inference, file, Where::Constant);
        let checked = match want {
            Some(want) => context.expr_as(expr, want),
            None => context.expr(expr, None),
        };
        if checked.ty.is_error() {
            return None;
        }
        match fold(&checked.expr) {
            Some(value) => Some((value, checked.ty)),
            None => {
                let message = "the value is known before any event is";
                self.report(
                    Diagnostic::error(codes::NOT_CONSTANT, message, expr.span, "not a constant")
                        .with_help("write a literal, or literals joined by `+ - * ++`"),
                );
                None
            }
        }
    }

    /// A key of a map that was written as a field's name.
    pub fn key_from_name(&mut self, name: &Name, key: &Ty) -> Option<Value<'static>> {
        match parse_scalar(&name.text, key) {
            Some(value) => Some(value),
            None => {
                let message = format!("`{}` is no `{key}`, which the keys of this map are", name.text);
                self.report(
                    Diagnostic::error(codes::MISMATCH, message, name.span, "not such a key")
                        .with_help("quote the name with backticks if it has other characters"),
                );
                None
            }
        }
    }
}

/// Reads the text of a scalar, as it stands in keys and documents.
pub(crate) fn parse_scalar(written: &str, ty: &Ty) -> Option<Value<'static>> {
    Some(match ty.required() {
        Ty::Text(_) => Value::text(written),
        Ty::Int => Value::Int(written.parse().ok()?),
        Ty::Decimal(_) => Value::Decimal(Decimal::parse(written).ok()?),
        Ty::Bool => Value::Bool(written.parse().ok()?),
        Ty::Timestamp => Value::Timestamp(crate::value::timestamp::parse(written)?),
        Ty::Date => Value::Date(crate::value::date::parse(written)?),
        Ty::Uuid => Value::Uuid(crate::value::uuid::parse(written)?),
        Ty::Enum(members) => {
            let index = members.members.iter().position(|(_, wire)| &**wire == written)?;
            Value::Enum(index as u16)
        }
        _ => return None,
    })
}

/// The value of an expression without names; `None` when it is not that simple.
pub(crate) fn fold(expr: &Expr) -> Option<Value<'static>> {
    Some(match &expr.kind {
        ExprKind::Constant(value) => value.clone(),
        ExprKind::Record(fields) => Value::record(fold_all(fields)?),
        ExprKind::List(items) => Value::list(fold_all(items)?),
        ExprKind::Set(items) => Value::set(fold_all(items)?),
        ExprKind::Map(entries) => {
            let entry = |(key, value): &(Expr, Expr)| Some((fold(key)?, fold(value)?));
            Value::map(entries.iter().map(entry).collect::<Option<Vec<_>>>()?)
        }
        ExprKind::Interpolate(parts) => {
            let part = |part: &Expr| Some(text::of(&fold(part)?, &part.ty));
            Value::text(parts.iter().map(part).collect::<Option<String>>()?)
        }
        ExprKind::Convert { conversion, value } => convert(*conversion, fold(value)?)?,
        ExprKind::Binary { op, left, right } => binary(*op, fold(left)?, fold(right)?, &expr.ty)?,
        _ => return None,
    })
}

fn fold_all(exprs: &[Expr]) -> Option<Vec<Value<'static>>> {
    exprs.iter().map(fold).collect()
}

fn convert(conversion: Conversion, value: Value<'static>) -> Option<Value<'static>> {
    Some(match (conversion, value) {
        (Conversion::IntToDecimal, Value::Int(value)) => Value::Decimal(Decimal::from(value)),
        (Conversion::DecimalToScale(scale), Value::Decimal(value)) => Value::Decimal(value.rescale(scale)?),
        (Conversion::DecimalToPlain, value) => value,
        (Conversion::TextToLength(most), Value::Text(value)) => {
            (value.as_str().chars().count() <= most as usize).then_some(Value::Text(value))?
        }
        _ => return None,
    })
}

fn binary(op: BinaryOp, left: Value<'static>, right: Value<'static>, ty: &Type) -> Option<Value<'static>> {
    Some(match (op, left, right) {
        (BinaryOp::Add, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(b)?),
        (BinaryOp::Subtract, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_sub(b)?),
        (BinaryOp::Multiply, Value::Int(a), Value::Int(b)) => Value::Int(a.checked_mul(b)?),
        (BinaryOp::Add, Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_add(b)?),
        (BinaryOp::Subtract, Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_sub(b)?),
        (BinaryOp::Multiply, Value::Decimal(a), Value::Decimal(b)) => Value::Decimal(a.checked_mul(b)?),
        (BinaryOp::Divide, Value::Decimal(a), Value::Decimal(b)) if !ty.is_optional() => Value::Decimal(a.divide(b)?),
        (BinaryOp::Add, Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_add(b)?),
        (BinaryOp::Subtract, Value::Duration(a), Value::Duration(b)) => Value::Duration(a.checked_sub(b)?),
        (BinaryOp::Multiply, Value::Duration(a), Value::Int(b)) => Value::Duration(a.checked_mul(b)?),
        (BinaryOp::Multiply, Value::Int(a), Value::Duration(b)) => Value::Duration(a.checked_mul(b)?),
        (BinaryOp::Concat, Value::Text(a), Value::Text(b)) => Value::text(format!("{}{}", a.as_str(), b.as_str())),
        (BinaryOp::Concat, Value::List(a), Value::List(b)) => Value::list(a.iter().chain(b.iter()).cloned().collect()),
        _ => return None,
    })
}
