//! What follows an expression: `.field`, `?.field`, `[index]`, `.method(…)`, `!`.
//!
//! A chain is taken apart first, because `?.` skips all of what follows it (up to a `!`): `a?.b.c()` is none when `a` is,
//! and `.b.c()` is only reached with a value.

use std::sync::Arc;

use crate::language::ast::{self, Argument, Name};
use crate::language::check::context::{Checked, Context, Where, error_at};
use crate::language::check::facts::Fact;
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::resolve::{TypeDecl, suggest};
use crate::language::span::Span;
use crate::language::typed::{Envelope, ExprKind, Function};
use crate::value::Value;

/// One step of a chain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'e> {
    Field { name: &'e Name, optional: bool, span: Span },
    Index { index: &'e ast::Expr, span: Span },
    Method { name: &'e Name, arguments: &'e [Argument], optional: bool, span: Span },
    Unwrap { span: Span },
}

impl<'e> Step<'e> {
    /// The field, and whether it was `?.`.
    pub fn as_field(&self) -> Option<(&'e Name, bool)> {
        match self {
            Step::Field { name, optional, .. } => Some((name, *optional)),
            _ => None,
        }
    }

    fn is_optional(&self) -> bool {
        matches!(self, Step::Field { optional: true, .. } | Step::Method { optional: true, .. })
    }

    fn span(&self) -> Span {
        match self {
            Step::Field { span, .. } | Step::Index { span, .. } | Step::Method { span, .. } | Step::Unwrap { span } => {
                *span
            }
        }
    }

    fn required(self) -> Step<'e> {
        match self {
            Step::Field { name, span, .. } => Step::Field { name, optional: false, span },
            Step::Method { name, arguments, span, .. } => Step::Method { name, arguments, optional: false, span },
            other => other,
        }
    }
}

/// Takes a chain apart: its root, and the steps in the order they are taken.
pub(crate) fn take_apart(expr: &ast::Expr) -> (&ast::Expr, Vec<Step<'_>>) {
    use ast::ExprKind as E;
    let mut steps = Vec::new();
    let mut expr = expr;
    loop {
        let span = expr.span;
        expr = match &expr.kind {
            E::Field { base, name } => {
                steps.push(Step::Field { name, optional: false, span });
                base
            }
            E::OptionalField { base, name } => {
                steps.push(Step::Field { name, optional: true, span });
                base
            }
            E::Index { base, index } => {
                steps.push(Step::Index { index, span });
                base
            }
            E::Unwrap(base) => {
                steps.push(Step::Unwrap { span });
                base
            }
            E::Call { callee, arguments } => match &callee.kind {
                E::Field { base, name } => {
                    steps.push(Step::Method { name, arguments, optional: false, span });
                    base
                }
                E::OptionalField { base, name } => {
                    steps.push(Step::Method { name, arguments, optional: true, span });
                    base
                }
                _ => break,
            },
            _ => break,
        };
    }
    steps.reverse();
    (expr, steps)
}

impl Context<'_, '_> {
    /// Checks a chain from its root.
    pub fn chain(&mut self, expr: &ast::Expr) -> Checked {
        let (root, steps) = take_apart(expr);
        match &root.kind {
            ast::ExprKind::Payload(name) => self.payload(name.as_ref(), root.span, &steps),
            ast::ExprKind::Name(name) if &*name.text == "event" && self.local("event").is_none() => {
                self.envelope(root.span, &steps)
            }
            ast::ExprKind::TypeName(name) => self.member(name, &steps),
            ast::ExprKind::Name(_) => self.named_path(root, &steps),
            _ => {
                let base = self.expr(root, None);
                self.steps(base, &steps)
            }
        }
    }

    /// `customer.name` where something may be known about `customer` or `customer.name`.
    fn named_path(&mut self, root: &ast::Expr, steps: &[Step]) -> Checked {
        let mut value = self.expr(root, None);
        let mut steps = steps;
        let mut names = Vec::new();
        let fact: fn(usize, Vec<Arc<str>>) -> Fact = match &value.expr.kind {
            ExprKind::Local(_) => Fact::Local,
            ExprKind::State(_) => Fact::State,
            _ => return self.steps(value, steps),
        };
        let (ExprKind::Local(subject) | ExprKind::State(subject)) = value.expr.kind else { return value };
        while let [step @ Step::Field { name, .. }, rest @ ..] = steps {
            if value.ty.is_optional() || !matches!(self.inference.known(&value.ty), Ty::Record(_)) {
                break;
            }
            names.push(name.text.clone());
            value = self.step(value, step);
            if self.facts.is_some() && self.knows(&fact(subject, names.clone())) {
                let required = value.ty.required().clone();
                value = value.retyped(required);
            }
            steps = rest;
        }
        self.steps(value, steps)
    }

    /// Goes on from a value, step by step.
    pub fn steps(&mut self, mut value: Checked, steps: &[Step]) -> Checked {
        for (index, step) in steps.iter().enumerate() {
            let ty = self.inference.known(&value.ty);
            if ty.is_error() {
                return error_at(value.expr.span);
            }
            if step.is_optional() {
                match &ty {
                    Ty::Optional(inner) => {
                        let inner = (**inner).clone();
                        return self.chained(value, inner, &steps[index..]);
                    }
                    Ty::Var(_) => {
                        self.inference.allow_missing(&value.ty);
                        let rest = self.steps(value, &[&[step.required()], &steps[index + 1..]].concat());
                        let ty = rest.ty.clone().optional();
                        return rest.retyped(ty);
                    }
                    _ => self.never_missing(&value, step),
                }
            }
            value = self.step(value, step);
        }
        value
    }

    /// `base?.rest`: what follows, up to a `!`, is reached with a value only.
    pub fn chained(&mut self, base: Checked, inner: Ty, steps: &[Step]) -> Checked {
        let end = steps.iter().position(|step| matches!(step, Step::Unwrap { .. })).unwrap_or(steps.len());
        let (skipped, after) = steps.split_at(end);
        let span = skipped.last().map_or(base.expr.span, |step| base.expr.span.to(step.span()));
        let local = self.new_local();
        let hole = self.node(ExprKind::Local(local), inner, base.expr.span);
        let inside: Vec<Step> = match skipped.split_first() {
            Some((first, rest)) if !hole.ty.is_optional() => {
                std::iter::once(first.required()).chain(rest.iter().copied()).collect()
            }
            _ => skipped.to_vec(),
        };
        let rest = self.deeper(span, |context| context.steps(hole, &inside));
        if rest.ty.is_error() {
            return error_at(span);
        }
        let ty = rest.ty.clone().optional();
        let kind = ExprKind::Chain { base: Box::new(base.expr), local, rest: Box::new(rest.expr) };
        let value = self.node(kind, ty, span);
        self.steps(value, after)
    }

    fn never_missing(&mut self, value: &Checked, step: &Step) {
        let what = self.describe(&value.expr);
        let message = format!("{what} is never `none`, so `?.` does nothing");
        let span = step.as_field().map_or(step.span(), |(name, _)| name.span);
        self.report(Diagnostic::warning(codes::NEVER_NONE, message, span, "reached with `?.`").with_help("write `.`"));
    }

    fn step(&mut self, value: Checked, step: &Step) -> Checked {
        match step {
            Step::Field { name, span, .. } => self.field(value, name, *span),
            Step::Index { index, span } => self.index(value, index, *span),
            Step::Method { name, arguments, span, .. } => self.method(value, name, arguments, *span),
            Step::Unwrap { span } => self.unwrap(value, *span),
        }
    }

    fn field(&mut self, base: Checked, name: &Name, span: Span) -> Checked {
        let ty = self.inference.known(&base.ty);
        match &ty {
            Ty::Error => error_at(span),
            Ty::Record(record) => match record.field(&name.text) {
                Some((index, ty)) => {
                    let kind = ExprKind::Field { base: Box::new(base.expr), index };
                    self.node(kind, ty.clone(), span)
                }
                None => {
                    let message = format!("`{ty}` has no field `{}`", name.text);
                    let diagnostic = Diagnostic::error(codes::NO_FIELD, message, name.span, "not found");
                    let help = suggest(&name.text, "fields", record.names());
                    self.wrong(Diagnostic { help, ..diagnostic })
                }
            },
            Ty::Var(var) => match self.inference.field(*var, &name.text, name.span) {
                Some(field) => {
                    let kind = ExprKind::Field { base: Box::new(base.expr), index: 0 };
                    self.node(kind, field, span)
                }
                None => error_at(span),
            },
            Ty::Enum(_) if matches!(&*name.text, "name" | "text") => {
                let function = if &*name.text == "name" { Function::EnumName } else { Function::EnumText };
                self.node(ExprKind::Call { function, arguments: vec![base.expr] }, Ty::TEXT, span)
            }
            Ty::Optional(_) => self.optional_base(&base, &name.text, name.span),
            other => {
                let message = format!("`{other}` has no fields");
                let help = match other {
                    Ty::Json => "declare the event, so that its fields have types".to_owned(),
                    Ty::List(_) => "use `.map(x => x.…)` for every element, or `[0]?.…` for one".to_owned(),
                    Ty::Map(..) => format!("write `[\"{}\"]` for an entry", name.text),
                    _ => format!("call a function with brackets: `.{}()`", name.text),
                };
                self.wrong(Diagnostic::error(codes::NO_FIELD, message, name.span, "not found").with_help(help))
            }
        }
    }

    pub fn optional_base(&mut self, base: &Checked, word: &str, span: Span) -> Checked {
        let what = self.describe(&base.expr);
        let message = format!("{what} may be missing, so `.{word}` may not be reached");
        self.wrong(
            Diagnostic::error(codes::MAY_BE_MISSING, message, span, format!("read from a `{}`", base.ty))
                .with_help(format!("write `?.{word}`, or give a value for the missing case with `??`")),
        )
    }

    fn index(&mut self, base: Checked, index: &ast::Expr, span: Span) -> Checked {
        let ty = self.inference.known(&base.ty);
        let (want, element) = match &ty {
            Ty::List(element) => (Ty::Int, (**element).clone()),
            Ty::Map(key, value) => ((**key).clone(), (**value).clone()),
            Ty::Optional(_) => return self.optional_base(&base, "[…]", span),
            Ty::Error => return error_at(span),
            Ty::Var(_) => return self.index_of_unknown(base, index, span),
            other => {
                let message = format!("`{other}` has no entries to take with `[…]`");
                let diagnostic = Diagnostic::error(codes::MISMATCH, message, span, "a list or a map is needed here");
                return self.wrong(diagnostic.with_help("`[…]` takes an entry of a map or an element of a list"));
            }
        };
        let index = self.expr_as(index, &want);
        let kind = ExprKind::Index { base: Box::new(base.expr), index: Box::new(index.expr) };
        self.node(kind, element.optional(), span)
    }

    fn index_of_unknown(&mut self, base: Checked, index: &ast::Expr, span: Span) -> Checked {
        let index = self.expr(index, None);
        let element = self.inference.fresh("[…]");
        let ty =
            if index.ty == Ty::Int { Ty::list(element.clone()) } else { Ty::map(index.ty.clone(), element.clone()) };
        self.inference.unify(&base.ty, &ty, span);
        let kind = ExprKind::Index { base: Box::new(base.expr), index: Box::new(index.expr) };
        self.node(kind, element.optional(), span)
    }

    fn unwrap(&mut self, base: Checked, span: Span) -> Checked {
        match self.inference.known(&base.ty) {
            Ty::Optional(inner) => self.node(ExprKind::Unwrap(Box::new(base.expr)), (*inner).clone(), span),
            Ty::Var(var) => {
                self.inference.allow_missing(&base.ty);
                self.node(ExprKind::Unwrap(Box::new(base.expr)), Ty::Var(var), span)
            }
            Ty::Error => base,
            _ => {
                let message = format!("{} is never `none`, so `!` does nothing", self.describe(&base.expr));
                self.report(Diagnostic::warning(codes::NEVER_NONE, message, span, "").with_help("take the `!` away"));
                base
            }
        }
    }

    /// `Status.paid`.
    fn member(&mut self, name: &Name, steps: &[Step]) -> Checked {
        let decl = self.globals.names.scope(self.file).types.get(&*name.text).copied();
        let [Step::Field { name: member, span, .. }, rest @ ..] = steps else {
            return self.type_as_value(name);
        };
        let Some(TypeDecl::Enum { name: declared, .. }) = decl else { return self.type_as_value(name) };
        let ty = self.globals.enum_type(declared);
        let Some(index) = ty.members.iter().position(|(known, _)| *known == member.text) else {
            let message = format!("enum `{}` has no member `{}`", name.text, member.text);
            let diagnostic = Diagnostic::error(codes::NO_MEMBER, message, member.span, "not found");
            let help = suggest(&member.text, "members", ty.members.iter().map(|(name, _)| &**name));
            return self.wrong(Diagnostic { help, ..diagnostic });
        };
        let value = self.constant(Value::Enum(index as u16), Ty::Enum(ty), name.span.to(*span));
        self.steps(value, rest)
    }

    fn type_as_value(&mut self, name: &Name) -> Checked {
        let scope = self.globals.names.scope(self.file);
        let enums = scope.types.values().filter(|decl| matches!(decl, TypeDecl::Enum { .. }));
        let (message, help) = match scope.types.get(&*name.text) {
            Some(_) => {
                (format!("`{}` is no value", name.text), Some("a member of an enum is written `Type.member`".into()))
            }
            None => {
                let help = suggest(&name.text, "enums here", enums.map(|decl| &*decl.name().text));
                (format!("there is no `{}` here", name.text), help)
            }
        };
        let diagnostic = Diagnostic::error(codes::UNKNOWN_NAME, message, name.span, "a value is needed here");
        self.wrong(Diagnostic { help, ..diagnostic })
    }

    /// `event.timestamp` and its like.
    fn envelope(&mut self, root: Span, steps: &[Step]) -> Checked {
        let names = "`event.key`, `.timestamp`, `.offset`, `.partition`, `.topic`, `.type`, `.id`, `.headers[\"…\"]`";
        let [Step::Field { name, span, .. }, rest @ ..] = steps else {
            let message = "`event` is no value by itself";
            let diagnostic = Diagnostic::error(codes::UNKNOWN_NAME, message, root, "a part of it is needed");
            return self.wrong(diagnostic.with_help(format!("there are {names}")));
        };
        if !self.place.sees_payload() {
            let message = format!("{} does not see the event", self.place.words());
            let diagnostic = Diagnostic::error(codes::PAYLOAD_NOT_HERE, message, *span, "a part of the event");
            return self.wrong(diagnostic.with_help("keep it in the state, and use the state field here"));
        }
        let (part, ty) = match &*name.text {
            "key" if self.facts.is_some() && self.knows(&Fact::EventKey) => (Envelope::Key, Ty::TEXT),
            "key" => (Envelope::Key, Ty::TEXT.optional()),
            "timestamp" => (Envelope::Timestamp, Ty::Timestamp),
            "offset" => (Envelope::Offset, Ty::Int),
            "partition" => (Envelope::Partition, Ty::Int),
            "topic" => (Envelope::Topic, Ty::TEXT),
            "type" => (Envelope::Type, Ty::TEXT),
            "id" => (Envelope::Id, Ty::TEXT),
            "headers" => return self.header(*span, rest),
            "before" => return self.not_yet(codes::NO_BEFORE, "`event.before` is not supported yet", *span),
            "version" => return self.not_yet(codes::NO_VERSIONS, "event versions are not supported yet", *span),
            other => {
                let message = format!("`event` has no `{other}`");
                let diagnostic = Diagnostic::error(codes::NO_FIELD, message, name.span, "not found");
                return self.wrong(diagnostic.with_help(format!("there are {names}")));
            }
        };
        let value = self.node(ExprKind::Envelope(part), ty, *span);
        self.steps(value, rest)
    }

    fn header(&mut self, span: Span, steps: &[Step]) -> Checked {
        let [Step::Index { index, span }, rest @ ..] = steps else {
            let diagnostic =
                Diagnostic::error(codes::UNKNOWN_NAME, "a header is taken by its name", span, "which one?");
            return self.wrong(diagnostic.with_help("write `event.headers[\"name\"]`"));
        };
        let place = std::mem::replace(&mut self.place, Where::Constant);
        let name = self.expr_as(index, &Ty::TEXT);
        self.place = place;
        if name.ty.is_error() {
            return error_at(*span);
        }
        if name.as_constant().is_none() {
            let message = "the name of a header is known before any event is";
            let diagnostic = Diagnostic::error(codes::NOT_CONSTANT, message, name.expr.span, "not a constant");
            return self.wrong(diagnostic.with_help("write the name as text in quotes"));
        }
        let kind = ExprKind::Call { function: Function::Header, arguments: vec![name.expr] };
        let value = self.node(kind, Ty::TEXT.optional(), *span);
        self.steps(value, rest)
    }

    pub fn not_yet(&mut self, code: &'static str, message: &str, span: Span) -> Checked {
        let diagnostic = Diagnostic::error(code, message, span, "not built yet");
        self.wrong(diagnostic.with_help("take it out until it is built"))
    }
}
