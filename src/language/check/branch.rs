//! `if` and `match`, as expressions: what each way knows, what the ways have in common, whether all cases are there.

use crate::language::ast::{self, PatternKind};
use crate::language::check::context::{Checked, Context, error_at};
use crate::language::check::facts::{Fact, Facts, meet, says, subject};
use crate::language::codes;
use crate::language::diagnostic::Diagnostic;
use crate::language::infer::Ty;
use crate::language::resolve::{TypeDecl, suggest};
use crate::language::span::Span;
use crate::language::typed::{Arm, ExprKind, Pattern};
use crate::value::Value;

/// Which cases the arms of a `match` have met so far.
#[derive(Debug, Default)]
pub(crate) struct Cases {
    seen: Vec<Value<'static>>,
    none: bool,
    /// `_` or a name without a condition: everything is met.
    all: bool,
}

impl Context<'_, '_> {
    pub fn if_else(
        &mut self,
        condition: &ast::Expr,
        then: &ast::Expr,
        otherwise: &ast::Expr,
        want: Option<&Ty>,
        span: Span,
    ) -> Checked {
        let checked = self.condition(condition);
        let says = says(self, condition);
        let before = self.facts.clone();
        let then = self.under(before.clone(), &says.when_true, |context| context.expr(then, want));
        let otherwise = self.under(before.clone(), &says.when_false, |context| context.expr(otherwise, want));
        self.facts = before;
        let Some(ty) = self.common(&[&then, &otherwise], want) else { return error_at(span) };
        let then = self.coerce(then, &ty);
        let otherwise = self.coerce(otherwise, &ty);
        let kind = ExprKind::If {
            condition: Box::new(checked.expr),
            then: Box::new(then.expr),
            otherwise: Box::new(otherwise.expr),
        };
        self.node(kind, ty, span)
    }

    /// Checks something while more is known.
    fn under(&mut self, facts: Option<Facts>, known: &[Fact], inner: impl FnOnce(&mut Self) -> Checked) -> Checked {
        self.facts = facts.map(|facts| facts.with(known));
        inner(self)
    }

    /// The type that all ways have in common; says so when there is none.
    fn common(&mut self, ways: &[&Checked], want: Option<&Ty>) -> Option<Ty> {
        if let Some(want) = want {
            let want = self.inference.known(want);
            let open = matches!(want, Ty::Var(_) | Ty::Never | Ty::Error);
            if !open && ways.iter().all(|way| self.convertible(&self.inference.known(&way.ty), &want)) {
                return Some(want);
            }
        }
        let mut ty = ways.first()?.ty.clone();
        for way in &ways[1..] {
            match self.join(&ty, &way.ty, way.expr.span) {
                Some(joined) => ty = joined,
                None => {
                    let message = format!("all ways give one type, and these give `{ty}` and `{}`", way.ty);
                    self.report(
                        Diagnostic::error(codes::BRANCHES, message, way.expr.span, format!("this is `{}`", way.ty))
                            .with_label(ways[0].expr.span, format!("this is `{ty}`"))
                            .with_help("convert one of them, or give `none` for a missing case"),
                    );
                    return None;
                }
            }
        }
        Some(ty)
    }

    pub fn match_value(
        &mut self,
        subject_expr: &ast::Expr,
        arms: &[ast::Arm],
        want: Option<&Ty>,
        span: Span,
    ) -> Checked {
        let matched = self.expr(subject_expr, None);
        if matched.ty.is_error() {
            return error_at(span);
        }
        let mut cases = Cases::default();
        let before = self.facts.clone();
        let mut ways = Vec::new();
        for arm in arms {
            let locals = self.locals.len();
            let patterns = self.patterns(&arm.patterns, &matched, &cases);
            self.facts = before.clone().map(|facts| facts.with(&self.arm_facts(subject_expr, &arm.patterns, &cases)));
            let guard = arm.guard.as_ref().map(|guard| self.guard(guard));
            cases.add(&patterns, guard.is_some());
            let value = self.expr(&arm.value, want);
            ways.push((patterns, guard, value));
            self.locals.truncate(locals);
        }
        self.facts = before;
        self.check_exhaustive(&matched, &cases, span);
        let values: Vec<&Checked> = ways.iter().map(|(_, _, value)| value).collect();
        let Some(ty) = self.common(&values, want) else { return error_at(span) };
        let arms = ways.into_iter().map(|(patterns, guard, value)| Arm {
            patterns,
            guard: guard.map(|guard| guard.expr),
            value: self.coerce(value, &ty).expr,
        });
        let arms = arms.collect();
        self.node(ExprKind::Match { subject: Box::new(matched.expr), arms }, ty, span)
    }

    pub fn guard(&mut self, guard: &ast::Expr) -> Checked {
        let checked = self.condition(guard);
        let says = says(self, guard);
        self.facts = self.facts.take().map(|facts| facts.with(&says.when_true));
        checked
    }

    /// What an arm knows of its subject: it is there, once `none` was met or another value is.
    pub fn arm_facts(&self, subject_expr: &ast::Expr, patterns: &[ast::Pattern], cases: &Cases) -> Vec<Fact> {
        let is_none = |pattern: &ast::Pattern| matches!(&pattern.kind, PatternKind::Literal(expr) if matches!(expr.kind, ast::ExprKind::None));
        let open = |pattern: &ast::Pattern| matches!(pattern.kind, PatternKind::Any | PatternKind::Bind(_));
        if patterns.iter().any(|pattern| is_none(pattern) || (open(pattern) && !cases.none)) {
            return Vec::new();
        }
        subject(self, subject_expr)
    }

    /// Checks the patterns of one arm and declares the name they bind.
    pub fn patterns(&mut self, patterns: &[ast::Pattern], subject: &Checked, cases: &Cases) -> Vec<Pattern> {
        patterns.iter().map(|pattern| self.pattern(pattern, subject, cases, patterns.len() == 1)).collect()
    }

    fn pattern(&mut self, pattern: &ast::Pattern, subject: &Checked, cases: &Cases, alone: bool) -> Pattern {
        let ty = self.inference.known(&subject.ty);
        if cases.all {
            let diagnostic =
                Diagnostic::error(codes::UNREACHABLE, "this case is met before", pattern.span, "never reached");
            let help = match (&pattern.kind, ty.required()) {
                (PatternKind::Bind(name), Ty::Enum(members))
                    if members.members.iter().any(|(known, _)| *known == name.text) =>
                {
                    format!("a bare name stands for any value: write `{}.{}`", members.name, name.text)
                }
                _ => "put it before the case that takes everything, or take it out".into(),
            };
            self.report(diagnostic.with_help(help));
        }
        match &pattern.kind {
            PatternKind::Any => Pattern::Any,
            PatternKind::Bind(name) => {
                if !alone {
                    let diagnostic =
                        Diagnostic::error(codes::PATTERN, "a name stands alone in its case", name.span, "binds a name");
                    self.report(diagnostic.with_help("write `_` here"));
                }
                let bound = if cases.none { ty.required().clone() } else { ty };
                Pattern::Bind(self.declare(name, bound))
            }
            PatternKind::Literal(expr) => self.literal_pattern(expr, subject, cases),
            PatternKind::Member { ty: name, member } => self.member_pattern(name, member.as_ref(), &ty, cases),
        }
    }

    fn literal_pattern(&mut self, expr: &ast::Expr, subject: &Checked, cases: &Cases) -> Pattern {
        let ty = self.inference.known(&subject.ty);
        let value = self.expr(expr, Some(&ty));
        if value.ty == Ty::None {
            match &ty {
                Ty::Var(_) => self.inference.allow_missing(&subject.ty),
                ty if !ty.is_optional() => {
                    let diagnostic = Diagnostic::error(codes::PATTERN, "this is never `none`", expr.span, "never met");
                    self.report(diagnostic.with_help("take the case out"));
                }
                _ => {}
            }
            return self.constant_pattern(Value::None, expr.span, cases);
        }
        let value = self.coerce(value, ty.required());
        match value.as_constant() {
            _ if value.ty.is_error() => Pattern::Any,
            Some(constant) => {
                let constant = constant.clone();
                self.constant_pattern(constant, expr.span, cases)
            }
            None => {
                let diagnostic =
                    Diagnostic::error(codes::PATTERN, "a case is a plain value", expr.span, "not a plain value");
                self.report(diagnostic.with_help("bind a name and compare after `if`: `x if x == … => …`"));
                Pattern::Any
            }
        }
    }

    fn member_pattern(&mut self, name: &ast::Name, member: Option<&ast::Name>, ty: &Ty, cases: &Cases) -> Pattern {
        let decl = self.globals.names.scope(self.file).types.get(&*name.text).copied();
        let (Some(member), Some(TypeDecl::Enum { name: declared, .. })) = (member, decl) else {
            let diagnostic =
                Diagnostic::error(codes::PATTERN, "a case of an enum names its member", name.span, "no member");
            self.report(diagnostic.with_help("write `Type.member`"));
            return Pattern::Any;
        };
        let members = self.globals.enum_type(declared);
        let Some(index) = members.members.iter().position(|(known, _)| *known == member.text) else {
            let message = format!("enum `{}` has no member `{}`", name.text, member.text);
            let help = suggest(&member.text, "members", members.members.iter().map(|(name, _)| &**name));
            let diagnostic = Diagnostic::error(codes::NO_MEMBER, message, member.span, "not found");
            self.report(Diagnostic { help, ..diagnostic });
            return Pattern::Any;
        };
        let span = name.span.to(member.span);
        let value = self.constant(Value::Enum(index as u16), Ty::Enum(members), span);
        let value = self.coerce(value, ty.required());
        if value.ty.is_error() {
            return Pattern::Any;
        }
        self.constant_pattern(Value::Enum(index as u16), span, cases)
    }

    fn constant_pattern(&mut self, value: Value<'static>, span: Span, cases: &Cases) -> Pattern {
        if cases.seen.contains(&value) {
            let diagnostic = Diagnostic::error(codes::UNREACHABLE, "this case is met before", span, "never reached");
            self.report(diagnostic.with_help("take it out"));
        }
        Pattern::Constant(value)
    }

    pub fn check_exhaustive(&mut self, subject: &Checked, cases: &Cases, span: Span) {
        let ty = self.inference.known(&subject.ty);
        if cases.all || matches!(ty, Ty::Var(_) | Ty::Error) {
            return;
        }
        let mut missing: Vec<String> = Vec::new();
        match ty.required() {
            Ty::Enum(members) => {
                for (index, (member, _)) in members.members.iter().enumerate() {
                    if !cases.seen.contains(&Value::Enum(index as u16)) {
                        missing.push(format!("{}.{member}", members.name));
                    }
                }
            }
            Ty::Bool => {
                for value in [true, false] {
                    if !cases.seen.contains(&Value::Bool(value)) {
                        missing.push(value.to_string());
                    }
                }
            }
            _ => missing.push("_".into()),
        }
        if ty.is_optional() && !cases.none && missing != ["_"] {
            missing.push("none".into());
        }
        if missing.is_empty() {
            return;
        }
        let message = format!("this `match` has no case for `{}`", missing.join("`, `"));
        let help = format!("add it:  {} => …", if missing.len() > 3 { "_".into() } else { missing.join(" | ") });
        self.report(
            Diagnostic::error(codes::NOT_EXHAUSTIVE, message, span, format!("`{ty}` has more cases")).with_help(help),
        );
    }

    /// What holds after ways that meet again.
    pub fn meet_facts(&mut self, ways: Vec<Option<Facts>>) {
        self.facts = ways.into_iter().fold(None, meet);
    }
}

impl Cases {
    /// Notes what an arm meets; one with a condition may still let its cases pass.
    pub fn add(&mut self, patterns: &[Pattern], guarded: bool) {
        if guarded {
            return;
        }
        for pattern in patterns {
            match pattern {
                Pattern::Any | Pattern::Bind(_) => self.all = true,
                Pattern::Constant(value) => {
                    self.none |= value.is_none();
                    self.seen.push(value.clone());
                }
            }
        }
    }
}
