//! A value of one type where another is needed: the few implicit conversions, and what to say about the rest.
//!
//! Only these are implicit: int to decimal, a decimal to another scale (a contract, checked when it runs), text to a
//! bounded length, `T` to `T?`, and the same inside collections and records. Constants are converted here and now.

use std::sync::Arc;

use crate::language::check::context::{Checked, Context, error_at};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::{RecordTy, Ty};
use crate::language::span::Span;
use crate::language::typed::{BinaryOp, Conversion, Expr, ExprKind, Function};
use crate::value::{Decimal, Value};

impl Context<'_, '_> {
    /// The value as a `want`; says what is wrong when it cannot be one.
    pub fn coerce(&mut self, checked: Checked, want: &Ty) -> Checked {
        let from = self.inference.known(&checked.ty);
        let want = self.inference.known(want);
        match (&from, &want) {
            (Ty::Error, _) | (_, Ty::Error) => Checked { ty: want, ..checked },
            (Ty::Var(_), _) | (_, Ty::Var(_)) => {
                self.inference.unify(&from, &want, checked.expr.span);
                checked.retyped(want)
            }
            _ if from == want => checked.retyped(want),
            (Ty::None, Ty::Optional(_)) | (Ty::Never, _) => checked.retyped(want),
            (Ty::Optional(inner), Ty::Optional(wanted)) => self.coerce_inside(checked, inner, wanted),
            (_, Ty::Optional(wanted)) => self.coerce(checked, wanted).retyped(want),
            (Ty::Optional(_) | Ty::None, _) => self.may_be_missing(checked, &want),
            _ => self.convert(checked, &from, &want),
        }
    }

    fn coerce_inside(&mut self, checked: Checked, inner: &Ty, wanted: &Ty) -> Checked {
        if same_representation(inner, wanted) {
            return checked.retyped(wanted.clone().optional());
        }
        let span = checked.expr.span;
        let local = self.new_local();
        let hole = self.node(ExprKind::Local(local), inner.clone(), span);
        let rest = self.coerce(hole, wanted);
        let kind = ExprKind::Chain { base: Box::new(checked.expr), local, rest: Box::new(rest.expr) };
        self.node(kind, wanted.clone().optional(), span)
    }

    fn convert(&mut self, checked: Checked, from: &Ty, want: &Ty) -> Checked {
        match (from, want) {
            (Ty::Int, Ty::Decimal(scale)) => self.int_to_decimal(checked, *scale),
            (Ty::Int, Ty::Float) if checked.as_constant().is_some() => int_constant_to_float(checked),
            (Ty::Decimal(_), Ty::Decimal(Some(scale))) => self.at_scale(checked, *scale),
            (Ty::Decimal(_), Ty::Decimal(None)) => self.wrap(checked, Conversion::DecimalToPlain, Ty::DECIMAL),
            (Ty::Text(_), Ty::Text(None)) => checked.retyped(Ty::TEXT),
            (Ty::Text(Some(have)), Ty::Text(Some(most))) if have <= most => checked.retyped(want.clone()),
            (Ty::Text(_), Ty::Text(Some(most))) => self.at_length(checked, *most),
            (Ty::Record(record), Ty::Map(..) | Ty::Set(_)) if record.fields.is_empty() => {
                let kind = if let Ty::Map(..) = want { ExprKind::Map(Vec::new()) } else { ExprKind::Set(Vec::new()) };
                self.node(kind, want.clone(), checked.expr.span)
            }
            (Ty::List(a), Ty::List(b)) => self.elements(checked, Function::Map, a, b, want),
            (Ty::Set(a), Ty::Set(b)) => self.elements(checked, Function::MapSet, a, b, want),
            (Ty::Map(k, a), Ty::Map(l, b)) if same_representation(k, l) => {
                self.elements(checked, Function::MapValues, a, b, want)
            }
            (Ty::Record(a), Ty::Record(b)) if same_names(a, b) => self.reshape(checked, a, b),
            _ => {
                let diagnostic = self.mismatch(&checked, want);
                self.wrong(diagnostic)
            }
        }
    }

    fn wrap(&mut self, checked: Checked, conversion: Conversion, ty: Ty) -> Checked {
        let span = checked.expr.span;
        if let (Some(Value::Decimal(_)), Conversion::DecimalToPlain) = (checked.as_constant(), conversion) {
            return checked.retyped(ty);
        }
        self.node(ExprKind::Convert { conversion, value: Box::new(checked.expr) }, ty, span)
    }

    fn int_to_decimal(&mut self, checked: Checked, scale: Option<u8>) -> Checked {
        let span = checked.expr.span;
        let whole = match checked.as_constant() {
            Some(Value::Int(value)) => self.constant(Value::Decimal(Decimal::from(*value)), Ty::Decimal(Some(0)), span),
            _ => self.wrap(checked, Conversion::IntToDecimal, Ty::Decimal(Some(0))),
        };
        match scale {
            Some(0) => whole,
            Some(scale) => self.at_scale(whole, scale),
            None => self.wrap(whole, Conversion::DecimalToPlain, Ty::DECIMAL),
        }
    }

    fn at_scale(&mut self, checked: Checked, scale: u8) -> Checked {
        let span = checked.expr.span;
        let ty = Ty::Decimal(Some(scale));
        let Some(Value::Decimal(value)) = checked.as_constant() else {
            return self.wrap(checked, Conversion::DecimalToScale(scale), ty);
        };
        match value.rescale(scale) {
            Some(value) => self.constant(Value::Decimal(value), ty, span),
            None => {
                let message = format!("`{value}` does not fit `{ty}`");
                self.wrong(
                    Diagnostic::error(codes::BAD_LITERAL, message, span, format!("needs more than {scale} places"))
                        .with_help(format!("write it with {scale} places, or `round(…, {scale})`")),
                )
            }
        }
    }

    fn at_length(&mut self, checked: Checked, most: u32) -> Checked {
        let (span, ty) = (checked.expr.span, Ty::Text(Some(most)));
        match checked.as_constant() {
            Some(Value::Text(text)) if text.as_str().chars().count() > most as usize => {
                let message = format!("this text is longer than `{ty}` allows");
                self.wrong(
                    Diagnostic::error(codes::BAD_LITERAL, message, span, format!("more than {most} characters"))
                        .with_help("shorten it, or raise the bound in the type"),
                )
            }
            Some(_) => checked.retyped(ty),
            None => self.wrap(checked, Conversion::TextToLength(most), ty),
        }
    }

    /// Converts each element with a lambda of its own.
    fn elements(&mut self, checked: Checked, function: Function, from: &Ty, to: &Ty, want: &Ty) -> Checked {
        if same_representation(from, to) {
            return checked.retyped(want.clone());
        }
        if !self.convertible(from, to) {
            let diagnostic = self.mismatch(&checked, want);
            return self.wrong(diagnostic);
        }
        let span = checked.expr.span;
        let local = self.new_local();
        let element = self.node(ExprKind::Local(local), from.clone(), span);
        let body = self.coerce(element, to);
        let lambda = ExprKind::Lambda { parameters: vec![local], body: Box::new(body.expr) };
        let lambda = self.node(lambda, to.clone(), span).expr;
        self.node(ExprKind::Call { function, arguments: vec![checked.expr, lambda] }, want.clone(), span)
    }

    fn reshape(&mut self, checked: Checked, from: &Arc<RecordTy>, to: &Arc<RecordTy>) -> Checked {
        let want = Ty::Record(to.clone());
        if same_representation(&Ty::Record(from.clone()), &want) {
            return checked.retyped(want);
        }
        let span = checked.expr.span;
        let local = self.new_local();
        let fields = to.fields.iter().map(|(name, ty)| {
            let (index, have) = from.field(name).expect("both have the same names");
            let base = Box::new(self.node(ExprKind::Local(local), Ty::Record(from.clone()), span).expr);
            let field = self.node(ExprKind::Field { base, index }, have.clone(), span);
            self.coerce(field, ty).expr
        });
        let fields: Vec<Expr> = fields.collect();
        let body = self.node(ExprKind::Record(fields), want.clone(), span);
        let kind = ExprKind::Let { local, value: Box::new(checked.expr), body: Box::new(body.expr) };
        self.node(kind, want, span)
    }

    /// Whether [`Context::coerce`] would find a way, for types without variables.
    pub fn convertible(&self, from: &Ty, to: &Ty) -> bool {
        match (from, to) {
            _ if from == to => true,
            (Ty::Error | Ty::Never | Ty::Var(_), _) | (_, Ty::Error | Ty::Var(_)) => true,
            (Ty::None, Ty::Optional(_)) => true,
            (Ty::Optional(a), Ty::Optional(b)) => self.convertible(a, b),
            (a, Ty::Optional(b)) => self.convertible(a, b),
            (Ty::Int, Ty::Decimal(_)) | (Ty::Decimal(_), Ty::Decimal(_)) | (Ty::Text(_), Ty::Text(_)) => true,
            (Ty::List(a), Ty::List(b)) | (Ty::Set(a), Ty::Set(b)) => self.convertible(a, b),
            (Ty::Map(k, a), Ty::Map(l, b)) => same_representation(k, l) && self.convertible(a, b),
            (Ty::Record(a), Ty::Record(b)) => {
                same_names(a, b)
                    && b.fields
                        .iter()
                        .all(|(name, ty)| a.field(name).is_some_and(|(_, have)| self.convertible(have, ty)))
            }
            _ => false,
        }
    }

    /// `.reason` may be missing, but `string` is needed here.
    pub fn may_be_missing(&mut self, checked: Checked, want: &Ty) -> Checked {
        let span = checked.expr.span;
        let what = self.describe(&checked.expr);
        let diagnostic = match division(&checked.expr) {
            Some(_) => {
                let message = format!("dividing may give `none` (when the divisor is 0), and `{want}` is needed here");
                Diagnostic::error(codes::DIVISION_MAY_BE_NONE, message, span, format!("this is `{}`", checked.ty))
                    .with_help("say what zero means:  … ?? 0")
            }
            None => {
                let message = format!("{what} may be missing, but `{want}` is needed here");
                let subject = if what == "this" { "…".into() } else { what.replace('`', "") };
                Diagnostic::error(codes::MAY_BE_MISSING, message, span, format!("this is `{}`", checked.ty))
                    .with_help(format!("give a value for the missing case:  {subject} ?? {}", example(want)))
            }
        };
        self.wrong(diagnostic)
    }

    fn mismatch(&self, checked: &Checked, want: &Ty) -> Diagnostic {
        let what = self.describe(&checked.expr);
        let message = match &*what {
            "this" => format!("`{want}` is needed here"),
            what => format!("{what} is `{}`, and `{want}` is needed here", checked.ty),
        };
        let diagnostic =
            Diagnostic::error(codes::MISMATCH, message, checked.expr.span, format!("this is `{}`", checked.ty));
        let help = how_to_convert(&checked.ty, want).map_or_else(
            || format!("give a value of type `{want}`, or change the type of what takes it"),
            str::to_owned,
        );
        diagnostic.with_help(help)
    }

    /// The type of two values that may stand for each other: branches, sides of `??`, elements of a list.
    pub fn join(&mut self, left: &Ty, right: &Ty, span: Span) -> Option<Ty> {
        let (left, right) = (self.inference.known(left), self.inference.known(right));
        Some(match (&left, &right) {
            _ if left == right => left,
            (Ty::Error, _) | (_, Ty::Error) => Ty::Error,
            (Ty::Never, _) => right,
            (_, Ty::Never) => left,
            (Ty::Var(_), Ty::Int) => {
                self.need_whole(&left, span);
                left
            }
            (Ty::Int, Ty::Var(_)) => {
                self.need_whole(&right, span);
                right
            }
            (Ty::None, other) | (other, Ty::None) => other.clone().optional(),
            (Ty::Optional(a), b) | (b, Ty::Optional(a)) => self.join(a, &b.required().clone(), span)?.optional(),
            (Ty::Var(_), _) | (_, Ty::Var(_)) => {
                self.inference.unify(&left, &right, span);
                if let Ty::Var(_) = left { right } else { left }
            }
            (Ty::Int, Ty::Decimal(_)) => right,
            (Ty::Decimal(_), Ty::Int) => left,
            (Ty::Decimal(a), Ty::Decimal(b)) => Ty::Decimal((*a).zip(*b).map(|(a, b)| a.max(b))),
            (Ty::Text(_), Ty::Text(_)) => Ty::TEXT,
            (Ty::List(a), Ty::List(b)) => Ty::list(self.join(a, b, span)?),
            (Ty::Set(a), Ty::Set(b)) => Ty::set(self.join(a, b, span)?),
            (Ty::Map(k, a), Ty::Map(l, b)) => Ty::map(self.join(k, l, span)?, self.join(a, b, span)?),
            (Ty::Record(a), other @ (Ty::Map(..) | Ty::Set(_))) if a.fields.is_empty() => other.clone(),
            (other @ (Ty::Map(..) | Ty::Set(_)), Ty::Record(b)) if b.fields.is_empty() => other.clone(),
            (Ty::Record(a), Ty::Record(b)) if same_names(a, b) => {
                let mut fields = Vec::new();
                for (name, ty) in &a.fields {
                    let (_, other) = b.field(name)?;
                    fields.push((name.clone(), self.join(ty, other, span)?));
                }
                Ty::record(fields)
            }
            _ => return None,
        })
    }

    /// A variable that stands beside a whole number is a number.
    pub fn need_whole(&mut self, ty: &Ty, span: Span) {
        if let Ty::Var(var) = ty {
            self.inference.need_number(*var, crate::language::infer::Need::WholeLiteral, span);
        }
    }
}

fn int_constant_to_float(checked: Checked) -> Checked {
    match checked.as_constant() {
        Some(Value::Int(value)) => {
            let kind = ExprKind::Constant(Value::Float(*value as f64));
            Checked { expr: Expr { kind, ..checked.expr }, ty: Ty::Float }.retyped(Ty::Float)
        }
        _ => error_at(checked.expr.span),
    }
}

/// Whether a value of one type is a value of the other as it stands.
pub(crate) fn same_representation(from: &Ty, to: &Ty) -> bool {
    match (from, to) {
        _ if from == to => true,
        (Ty::Never, _) | (Ty::Text(_), Ty::Text(None)) | (Ty::None, Ty::Optional(_)) => true,
        (Ty::Text(Some(have)), Ty::Text(Some(most))) => have <= most,
        (Ty::Optional(a), Ty::Optional(b)) | (Ty::List(a), Ty::List(b)) | (Ty::Set(a), Ty::Set(b)) => {
            same_representation(a, b)
        }
        (a, Ty::Optional(b)) if !a.is_optional() => same_representation(a, b),
        (Ty::Map(k, a), Ty::Map(l, b)) => same_representation(k, l) && same_representation(a, b),
        (Ty::Record(a), Ty::Record(b)) => {
            a.fields.len() == b.fields.len()
                && a.fields.iter().zip(&b.fields).all(|((n, x), (m, y))| n == m && same_representation(x, y))
        }
        _ => false,
    }
}

fn same_names(a: &RecordTy, b: &RecordTy) -> bool {
    a.fields.len() == b.fields.len() && a.names().all(|name| b.field(name).is_some())
}

/// The division whose result may be `none`, seen through conversions.
fn division(expr: &Expr) -> Option<&Expr> {
    match &expr.kind {
        ExprKind::Binary { op: BinaryOp::Divide | BinaryOp::Remainder, .. } => Some(expr),
        ExprKind::Call { function: Function::Div | Function::Mod, .. } => Some(expr),
        ExprKind::Call { function: Function::Round, arguments } => arguments.first().and_then(division),
        ExprKind::Chain { base, rest, .. } => match rest.kind {
            ExprKind::Call { function: Function::Round, .. } => division(base),
            _ => None,
        },
        _ => None,
    }
}

fn example(ty: &Ty) -> &'static str {
    match ty {
        Ty::Int | Ty::Decimal(_) => "0",
        Ty::Text(_) => "\"…\"",
        Ty::Bool => "false",
        Ty::List(_) => "[]",
        Ty::Set(_) | Ty::Map(..) => "{}",
        _ => "…",
    }
}

fn how_to_convert(from: &Ty, want: &Ty) -> Option<&'static str> {
    Some(match (from, want) {
        (Ty::Decimal(_), Ty::Int) => {
            "convert it: round(…, 0) keeps it a decimal; floor(…), ceil(…) and trunc(…) give an int"
        }
        (Ty::Enum(_), Ty::Text(_)) => "take its text: `.text` (as in documents) or `.name` (the member)",
        (Ty::Text(_), Ty::Enum(_)) => "name the member: `Type.member`",
        (from, Ty::Text(_)) if from.is_scalar() => "convert it: \"${…}\" or string(…)",
        (Ty::Text(_), Ty::Int) => "convert it: int(…) gives an `int?`",
        (Ty::Text(_), Ty::Decimal(_)) => "convert it: decimal(…) gives a `decimal?`",
        (Ty::Text(_), Ty::Timestamp) => "convert it: timestamp(…) gives a `timestamp?`, or write t\"…\"",
        (Ty::Timestamp, Ty::Date) => "convert it: date(…)",
        (Ty::Float, Ty::Decimal(_)) => "convert it: decimal(…, 2) says how many places",
        (Ty::Decimal(_) | Ty::Int, Ty::Float) => "convert it: float(…)",
        (Ty::Set(_), Ty::List(_)) => "convert it: .to_list() or .sorted()",
        (Ty::List(_), Ty::Set(_)) => "convert it: .to_set()",
        (Ty::Decimal(_), Ty::Text(_)) => "convert it: string(…)",
        _ => return None,
    })
}
