//! Operators: what they take and what they give.
//!
//! Decimals keep their scale as the rules say: `±` the larger, `*` the sum, `/` none. An int beside a decimal is one.

use crate::language::ast::{self, BinaryOp as Op};
use crate::language::check::context::{Checked, Context, error_at};
use crate::language::check::facts::says;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{Need, Ty};
use crate::language::span::Span;
use crate::language::typed::{BinaryOp, ExprKind};
use crate::value::Value;

/// Decimals have at most this many places.
const SCALE_MAX: u8 = 28;

impl Context<'_, '_> {
    pub fn binary(
        &mut self,
        op: Op,
        op_span: Span,
        left: &ast::Expr,
        right: &ast::Expr,
        want: Option<&Ty>,
        span: Span,
    ) -> Checked {
        match op {
            Op::And | Op::Or => self.logical(op, left, right, span),
            Op::Coalesce => self.coalesce(left, right, want, op_span, span),
            Op::In | Op::NotIn => self.membership(op, left, right, span),
            Op::Concat => self.concat(left, right, want, op_span, span),
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Remainder => {
                let left = self.expr(left, None);
                let right = self.expr(right, None);
                self.arithmetic(arithmetic_op(op), left, right, op_span, span)
            }
            _ => self.comparison(op, left, right, op_span, span),
        }
    }

    fn logical(&mut self, op: Op, left: &ast::Expr, right: &ast::Expr, span: Span) -> Checked {
        let checked = self.condition(left);
        let says = says(self, left);
        let before = self.facts.clone();
        let known = if op == Op::And { says.when_true } else { says.when_false };
        self.facts = self.facts.take().map(|facts| facts.with(&known));
        let other = self.condition(right);
        self.facts = before;
        let (left, right) = (Box::new(checked.expr), Box::new(other.expr));
        let kind = if op == Op::And { ExprKind::And(left, right) } else { ExprKind::Or(left, right) };
        self.node(kind, Ty::Bool, span)
    }

    fn coalesce(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        want: Option<&Ty>,
        op_span: Span,
        span: Span,
    ) -> Checked {
        let left = self.expr(left, want);
        let ty = self.inference.known(&left.ty);
        let inner = match &ty {
            Ty::Optional(inner) => (**inner).clone(),
            Ty::None => Ty::Never,
            Ty::Var(_) => {
                self.inference.allow_missing(&left.ty);
                left.ty.clone()
            }
            Ty::Error => ty.clone(),
            _ => {
                let message = format!("{} is never `none`, so `??` does nothing", self.describe(&left.expr));
                self.report(
                    Diagnostic::warning(codes::NEVER_NONE, message, op_span, "").with_help("take the `?? …` away"),
                );
                ty.clone()
            }
        };
        let right = self.expr(right, Some(&inner));
        let right_required = self.inference.known(&right.ty).required().clone();
        let adapts = right.as_constant().is_some() && self.convertible(&right.ty, &inner);
        let joined = if adapts { Some(inner.clone()) } else { self.join(&inner, &right_required, op_span) };
        let Some(joined) = joined else {
            let message = format!("both sides of `??` have one type, and these are `{inner}` and `{}`", right.ty);
            let diagnostic =
                Diagnostic::error(codes::BRANCHES, message, right.expr.span, format!("this is `{}`", right.ty))
                    .with_label(left.expr.span, format!("this is `{ty}`"));
            return self.wrong(diagnostic.with_help(format!("give a `{inner}` for the missing case")));
        };
        let result = if right.ty.is_optional() { joined.clone().optional() } else { joined.clone() };
        let left_want = if ty.is_optional() { joined.optional() } else { joined };
        let left = self.coerce(left, &left_want);
        let right = self.coerce(right, &result);
        if left.ty.is_error() || right.ty.is_error() {
            return error_at(span);
        }
        if !ty.is_optional() && !matches!(ty, Ty::Var(_)) {
            return left;
        }
        self.node(ExprKind::Coalesce(Box::new(left.expr), Box::new(right.expr)), result, span)
    }

    fn membership(&mut self, op: Op, left: &ast::Expr, right: &ast::Expr, span: Span) -> Checked {
        let collection = self.expr(right, None);
        let element = match self.inference.known(&collection.ty) {
            Ty::List(element) | Ty::Set(element) | Ty::Map(element, _) => (*element).clone(),
            Ty::Error => return error_at(span),
            Ty::Var(_) => {
                let element = self.inference.fresh("an element");
                self.inference.unify(&collection.ty, &Ty::list(element.clone()), collection.expr.span);
                element
            }
            ty => {
                let message = format!("`in` looks into a list, a set or the keys of a map, and this is `{ty}`");
                let diagnostic =
                    Diagnostic::error(codes::OPERANDS, message, collection.expr.span, format!("this is `{ty}`"));
                return self.wrong(match ty {
                    Ty::Text(_) => diagnostic.with_help("for text inside text: `.contains(…)`"),
                    _ => diagnostic.with_help("write a list: `x in [a, b]`"),
                });
            }
        };
        let item = self.expr(left, Some(&element));
        let item_ty = self.inference.known(&item.ty);
        // A literal list takes the type of what is looked for, and the other way round.
        let joined = self.join(item_ty.required(), &element, span);
        let Some(joined) = joined else {
            let message = format!("a `{item_ty}` is never in a collection of `{element}`");
            let diagnostic = Diagnostic::error(codes::OPERANDS, message, span, format!("`{item_ty}` in `{element}`s"));
            return self.wrong(diagnostic.with_help("compare values of one type"));
        };
        let item = if item_ty.is_optional() { self.may_be_missing(item, &joined) } else { self.coerce(item, &joined) };
        let collection_ty = match self.inference.known(&collection.ty) {
            Ty::List(_) => Some(Ty::list(joined)),
            Ty::Set(_) => Some(Ty::set(joined)),
            _ => None,
        };
        let collection = match collection_ty {
            Some(ty) => self.coerce(collection, &ty),
            None => collection,
        };
        let op = if op == Op::In { BinaryOp::In } else { BinaryOp::NotIn };
        let kind = ExprKind::Binary { op, left: Box::new(item.expr), right: Box::new(collection.expr) };
        self.node(kind, Ty::Bool, span)
    }

    fn concat(&mut self, left: &ast::Expr, right: &ast::Expr, want: Option<&Ty>, op_span: Span, span: Span) -> Checked {
        let left = self.expr(left, want);
        let right = self.expr(right, want);
        let (a, b) = (self.inference.known(&left.ty), self.inference.known(&right.ty));
        let ty = match (&a, &b) {
            (Ty::Error, _) | (_, Ty::Error) => return error_at(span),
            (Ty::List(_), _) | (_, Ty::List(_)) => self.join(&a, &b, op_span),
            (Ty::Text(_), Ty::Text(_) | Ty::Var(_)) | (Ty::Var(_), Ty::Text(_) | Ty::Var(_)) => Some(Ty::TEXT),
            _ => None,
        };
        let Some(ty) = ty else {
            let (side, ty) = if matches!(a, Ty::Text(_)) { (right, b) } else { (left, a) };
            if ty.is_optional() {
                return self.may_be_missing(side, &Ty::TEXT);
            }
            let message = format!("`++` joins two texts or two lists, and this is `{ty}`");
            let diagnostic = Diagnostic::error(codes::OPERANDS, message, side.expr.span, format!("this is `{ty}`"));
            return self.wrong(diagnostic.with_help("put it into text: \"… ${…}\""));
        };
        let left = self.coerce(left, &ty);
        let right = self.coerce(right, &ty);
        let kind = ExprKind::Binary { op: BinaryOp::Concat, left: Box::new(left.expr), right: Box::new(right.expr) };
        self.node(kind, ty, span)
    }

    pub fn arithmetic(&mut self, op: BinaryOp, left: Checked, right: Checked, op_span: Span, span: Span) -> Checked {
        let (a, b) = (self.inference.known(&left.ty), self.inference.known(&right.ty));
        if a.is_error() || b.is_error() {
            return error_at(span);
        }
        if a.is_optional() || b.is_optional() {
            let (side, other) = if a.is_optional() { (left, b) } else { (right, a) };
            let other = if other.is_optional() { Ty::DECIMAL } else { other };
            return self.may_be_missing(side, &other);
        }
        if matches!(a, Ty::Var(_)) || matches!(b, Ty::Var(_)) {
            return self.open_arithmetic(op, left, right, span);
        }
        let divisor = right.as_constant().is_some_and(not_zero);
        // An int literal is what the other side is.
        let (a, b) = match (&a, &b) {
            (Ty::Float, Ty::Int) if right.as_constant().is_some() => (Ty::Float, Ty::Float),
            (Ty::Int, Ty::Float) if left.as_constant().is_some() => (Ty::Float, Ty::Float),
            _ => (a, b),
        };
        let Some((result, left_want, right_want)) = result_type(op, &a, &b) else {
            let word = spelled(op);
            let message = format!("`{word}` does not go with `{a}` and `{b}`");
            let diagnostic = Diagnostic::error(codes::OPERANDS, message, op_span, format!("`{a}` {word} `{b}`"));
            return self.wrong(diagnostic.with_help(arithmetic_help(op, &a, &b)));
        };
        let left = self.coerce(left, &left_want);
        let right = self.coerce(right, &right_want);
        let partial = matches!(op, BinaryOp::Divide | BinaryOp::Remainder);
        let result = if partial && !divisor { result.optional() } else { result };
        let kind = ExprKind::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) };
        self.node(kind, result, span)
    }

    /// Arithmetic with a field of which only use tells the type: a number, unless the other side says otherwise.
    fn open_arithmetic(&mut self, op: BinaryOp, left: Checked, right: Checked, span: Span) -> Checked {
        let (a, b) = (self.inference.known(&left.ty), self.inference.known(&right.ty));
        let result = match (&a, &b) {
            _ if op == BinaryOp::Divide => {
                self.need(&a, Need::Decimal, span);
                self.need(&b, Need::Decimal, span);
                let constant = right.as_constant().is_some_and(not_zero);
                if constant { Ty::DECIMAL } else { Ty::DECIMAL.optional() }
            }
            (Ty::Var(x), Ty::Var(y)) => {
                self.need(&a, Need::Number, span);
                self.need(&b, Need::Number, span);
                self.inference.result_of(*x, *y)
            }
            (Ty::Var(_), Ty::Int) => {
                self.need(&a, Need::WholeLiteral, span);
                a.clone()
            }
            (Ty::Int, Ty::Var(_)) => {
                self.need(&b, Need::WholeLiteral, span);
                b.clone()
            }
            (Ty::Timestamp, Ty::Var(_)) if op == BinaryOp::Subtract => {
                self.inference.unify(&b, &Ty::Timestamp, span);
                Ty::Duration
            }
            (Ty::Var(_), Ty::Timestamp) if op == BinaryOp::Subtract => {
                self.inference.unify(&a, &Ty::Timestamp, span);
                Ty::Duration
            }
            (Ty::Var(_), Ty::Duration) if op != BinaryOp::Multiply => {
                self.inference.unify(&a, &Ty::Timestamp, span);
                Ty::Timestamp
            }
            _ => {
                self.need(&a, Need::Decimal, span);
                self.need(&b, Need::Decimal, span);
                Ty::DECIMAL
            }
        };
        let kind = ExprKind::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) };
        self.node(kind, result, span)
    }

    pub fn need(&mut self, ty: &Ty, need: Need, span: Span) {
        if let Ty::Var(var) = ty {
            self.inference.need_number(*var, need, span);
        }
    }

    fn comparison(&mut self, op: Op, left: &ast::Expr, right: &ast::Expr, op_span: Span, span: Span) -> Checked {
        let ast_right = right;
        let left = self.expr(left, None);
        let right = self.expr(right, Some(&left.ty.clone()));
        let (a, b) = (self.inference.known(&left.ty), self.inference.known(&right.ty));
        if a.is_error() || b.is_error() {
            return error_at(span);
        }
        let equality = matches!(op, Op::Equal | Op::NotEqual);
        if equality && (a == Ty::None || b == Ty::None) {
            return self.none_comparison(op, left, right, op_span, span);
        }
        if !equality && (a.is_optional() || b.is_optional()) {
            let (side, other) = if a.is_optional() { (left, b) } else { (right, a) };
            return self.may_be_missing(side, &other.required().clone());
        }
        let joined = self.comparable(&left, &right, span);
        let Some(joined) = joined else {
            let message = format!("`{a}` and `{b}` are never compared");
            let diagnostic = Diagnostic::error(codes::OPERANDS, message, op_span, format!("`{a}` with `{b}`"));
            return self.wrong(diagnostic.with_help(comparison_help(&a, &b, ast_right)));
        };
        if !equality && !joined.is_ordered() {
            let message = format!("`{joined}` has no order");
            let diagnostic = Diagnostic::error(codes::OPERANDS, message, op_span, "asks which is larger");
            return self.wrong(diagnostic.with_help("compare with `==` or `!=`, or compare a field of it"));
        }
        let side = |ty: &Ty| if ty.is_optional() { joined.clone().optional() } else { joined.clone() };
        let (left_want, right_want) = (side(&a), side(&b));
        let left = self.coerce(left, &left_want);
        let right = self.coerce(right, &right_want);
        let kind = ExprKind::Binary { op: comparison_op(op), left: Box::new(left.expr), right: Box::new(right.expr) };
        self.node(kind, Ty::Bool, span)
    }

    fn comparable(&mut self, left: &Checked, right: &Checked, span: Span) -> Option<Ty> {
        let (a, b) = (self.inference.known(&left.ty), self.inference.known(&right.ty));
        let (a, b) = (a.required().clone(), b.required().clone());
        match (&a, &b) {
            // A number literal is what the other side is.
            (Ty::Float, Ty::Int) if right.as_constant().is_some() => Some(Ty::Float),
            (Ty::Int, Ty::Float) if left.as_constant().is_some() => Some(Ty::Float),
            (Ty::Decimal(_), Ty::Decimal(_)) if a != b => Some(Ty::DECIMAL),
            (Ty::Decimal(_), Ty::Int) | (Ty::Int, Ty::Decimal(_)) => Some(Ty::DECIMAL),
            _ => self.join(&a, &b, span),
        }
    }

    fn none_comparison(&mut self, op: Op, left: Checked, right: Checked, op_span: Span, span: Span) -> Checked {
        for side in [&left, &right] {
            match self.inference.known(&side.ty) {
                Ty::Var(_) => self.inference.allow_missing(&side.ty),
                ty if !ty.is_optional() => {
                    let message = format!("{} is never `none`, so this is always the same", self.describe(&side.expr));
                    let diagnostic = Diagnostic::warning(codes::NEVER_NONE, message, op_span, "");
                    self.report(diagnostic.with_help("take the comparison away"));
                }
                _ => {}
            }
        }
        let kind = ExprKind::Binary { op: comparison_op(op), left: Box::new(left.expr), right: Box::new(right.expr) };
        self.node(kind, Ty::Bool, span)
    }

    pub fn negate(&mut self, inner: &ast::Expr, span: Span) -> Checked {
        if let ast::ExprKind::Int(digits) = &inner.kind
            && let Ok(value) = format!("-{digits}").parse()
        {
            // The least int has no positive counterpart.
            return self.constant(Value::Int(value), Ty::Int, span);
        }
        let inner = self.expr(inner, None);
        let ty = self.inference.known(&inner.ty);
        match (&ty, inner.as_constant()) {
            (Ty::Error, _) => return error_at(span),
            (Ty::Int, Some(Value::Int(value))) => return self.constant(Value::Int(-*value), ty, span),
            (Ty::Decimal(_), Some(Value::Decimal(value))) => {
                if let Some(negative) = value.checked_neg() {
                    return self.constant(Value::Decimal(negative), ty, span);
                }
            }
            (Ty::Float, Some(Value::Float(value))) => return self.constant(Value::Float(-*value), ty, span),
            (Ty::Duration, Some(Value::Duration(value))) => {
                return self.constant(Value::Duration(value.saturating_neg()), ty, span);
            }
            (Ty::Int | Ty::Decimal(_) | Ty::Float | Ty::Duration, _) => {}
            (Ty::Var(_), _) => self.need(&ty, Need::WholeLiteral, span),
            (Ty::Optional(_), _) => return self.may_be_missing(inner, &Ty::DECIMAL),
            _ => {
                let message = format!("`-` goes before a number, and this is `{ty}`");
                let diagnostic = Diagnostic::error(codes::OPERANDS, message, span, format!("this is `{ty}`"));
                return self.wrong(diagnostic.with_help("take the `-` away"));
            }
        }
        self.node(ExprKind::Negate(Box::new(inner.expr)), ty, span)
    }
}

/// (result, type of the left side, type of the right side), for known types.
pub(crate) fn result_type(op: BinaryOp, a: &Ty, b: &Ty) -> Option<(Ty, Ty, Ty)> {
    use BinaryOp::{Add, Divide, Multiply, Remainder, Subtract};
    let same = |ty: Ty| (ty.clone(), ty.clone(), ty);
    Some(match (op, a, b) {
        (Remainder, Ty::Int, Ty::Int) | (Add | Subtract | Multiply, Ty::Int, Ty::Int) => same(Ty::Int),
        (Divide, Ty::Int | Ty::Decimal(_), Ty::Int | Ty::Decimal(_)) => same(Ty::DECIMAL),
        (Add | Subtract | Multiply | Divide, Ty::Float, Ty::Float) => same(Ty::Float),
        (Add | Subtract, Ty::Int | Ty::Decimal(_), Ty::Int | Ty::Decimal(_)) => {
            same(Ty::Decimal(scale_of(a).zip(scale_of(b)).map(|(a, b)| a.max(b))))
        }
        (Multiply, Ty::Int | Ty::Decimal(_), Ty::Int | Ty::Decimal(_)) => {
            let scale = scale_of(a).zip(scale_of(b)).map(|(a, b)| a + b).filter(|scale| *scale <= SCALE_MAX);
            let side = |ty: &Ty| if *ty == Ty::Int { Ty::Decimal(Some(0)) } else { ty.clone() };
            (Ty::Decimal(scale), side(a), side(b))
        }
        (Subtract, Ty::Timestamp, Ty::Timestamp) => (Ty::Duration, Ty::Timestamp, Ty::Timestamp),
        (Subtract, Ty::Date, Ty::Date) => (Ty::Int, Ty::Date, Ty::Date),
        (Add | Subtract, Ty::Timestamp | Ty::Date, Ty::Duration) => (a.clone(), a.clone(), Ty::Duration),
        (Add, Ty::Duration, Ty::Timestamp | Ty::Date) => (b.clone(), Ty::Duration, b.clone()),
        (Add | Subtract, Ty::Duration, Ty::Duration) => same(Ty::Duration),
        (Multiply, Ty::Duration, Ty::Int) | (Multiply, Ty::Int, Ty::Duration) => (Ty::Duration, a.clone(), b.clone()),
        _ => return None,
    })
}

fn scale_of(ty: &Ty) -> Option<u8> {
    match ty {
        Ty::Int => Some(0),
        Ty::Decimal(scale) => *scale,
        _ => None,
    }
}

fn not_zero(value: &Value) -> bool {
    match value {
        Value::Int(value) => *value != 0,
        Value::Decimal(value) => !value.is_zero(),
        Value::Float(value) => *value != 0.0,
        _ => false,
    }
}

fn arithmetic_op(op: Op) -> BinaryOp {
    match op {
        Op::Subtract => BinaryOp::Subtract,
        Op::Multiply => BinaryOp::Multiply,
        Op::Divide => BinaryOp::Divide,
        Op::Remainder => BinaryOp::Remainder,
        _ => BinaryOp::Add,
    }
}

fn comparison_op(op: Op) -> BinaryOp {
    match op {
        Op::NotEqual => BinaryOp::NotEqual,
        Op::Less => BinaryOp::Less,
        Op::LessOrEqual => BinaryOp::LessOrEqual,
        Op::Greater => BinaryOp::Greater,
        Op::GreaterOrEqual => BinaryOp::GreaterOrEqual,
        _ => BinaryOp::Equal,
    }
}

fn spelled(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Remainder => "%",
        _ => "+",
    }
}

fn arithmetic_help(op: BinaryOp, a: &Ty, b: &Ty) -> &'static str {
    match (op, a, b) {
        (BinaryOp::Add, Ty::Text(_), _) | (BinaryOp::Add, _, Ty::Text(_)) => {
            "texts are joined with `++`, or \"${…} ${…}\""
        }
        (BinaryOp::Add, Ty::List(_), _) => "lists are joined with `++`",
        (BinaryOp::Add, Ty::Set(_), _) => "a set with one more is `.add(…)`, with many `.union(…)`",
        (_, Ty::Float, Ty::Decimal(_) | Ty::Int) | (_, Ty::Decimal(_) | Ty::Int, Ty::Float) => {
            "convert one side: `float(…)`, or `decimal(…, 2)`"
        }
        (_, Ty::Timestamp, Ty::Timestamp) => "the time between two timestamps is `-`",
        (BinaryOp::Remainder, ..) => "`%` takes two ints",
        _ => "convert one side, so that both are numbers",
    }
}

fn comparison_help(a: &Ty, b: &Ty, right: &ast::Expr) -> String {
    match (a.required(), b.required()) {
        (Ty::Enum(members), Ty::Text(_)) => match &right.kind {
            ast::ExprKind::String(_) => format!("name the member: `{}.{}`, or compare `.text`", members.name, "…"),
            _ => "compare its `.text`".into(),
        },
        (Ty::Text(_), Ty::Enum(_)) => "compare with the enum's `.text`".into(),
        (Ty::Timestamp, Ty::Text(_)) => "write a timestamp: t\"2026-01-31T10:00:00Z\"".into(),
        (Ty::Timestamp, Ty::Date) => "compare dates: date(…)".into(),
        (Ty::Uuid, Ty::Text(_)) => "compare text: string(…)".into(),
        _ => "convert one side to the type of the other".into(),
    }
}
