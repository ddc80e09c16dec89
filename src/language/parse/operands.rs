//! Operands: literals, names, calls, records, lists, `if`, `match`, lambdas and patterns.

use crate::language::ast::{Argument, Arm, Body, Expr, ExprKind, Let, Name, Pattern, PatternKind, RecordPart};
use crate::language::span::Span;

use super::expressions::Row;
use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};

impl Builder<'_> {
    /// A primary and all that follows it: `.a?.b[0](c)!`.
    pub(super) fn operand(&mut self, row: &mut Row<'_>) -> Expr {
        let primary = row.next().expect("the grammar puts an operand here");
        let mut base = self.primary(primary);
        while let Some(step) = row.next_if(|next| is_postfix(next.as_rule())) {
            base = self.postfix(base, step);
        }
        base
    }

    fn postfix(&mut self, base: Expr, step: Pair<'_>) -> Expr {
        let span = base.span.to(self.span(&step));
        let base = Box::new(base);
        let rule = step.as_rule();
        let mut nodes = Nodes::of(step);
        let kind = match rule {
            Rule::dot_field => ExprKind::Field { base, name: self.name(&nodes.need(Rule::field_name)) },
            Rule::opt_field => ExprKind::OptionalField { base, name: self.name(&nodes.need(Rule::field_name)) },
            Rule::index => ExprKind::Index { base, index: Box::new(self.expr(nodes.need(Rule::expr))) },
            Rule::call => {
                let arguments = nodes.accept(Rule::arguments).map(|pair| self.arguments(pair)).unwrap_or_default();
                ExprKind::Call { callee: base, arguments }
            }
            _ => ExprKind::Unwrap(base),
        };
        Expr { kind, span }
    }

    pub(super) fn primary(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::if_expr => return self.if_expr(pair),
            Rule::match_expr => self.match_expr(pair),
            Rule::record => self.record_kind(pair),
            Rule::list => {
                let items = Nodes::of(pair).filter(|child| child.as_rule() == Rule::expr);
                ExprKind::List(items.map(|item| self.expr(item)).collect())
            }
            Rule::bracketed => ExprKind::Bracketed(Box::new(self.expr(Nodes::of(pair).need(Rule::expr)))),
            Rule::payload => ExprKind::Payload(Nodes::of(pair).accept(Rule::field_name).map(|name| self.name(&name))),
            Rule::name => ExprKind::Name(self.name(&pair)),
            Rule::type_name => ExprKind::TypeName(self.name(&pair)),
            _ => self.literal(pair),
        };
        Expr { kind, span }
    }

    /// `{ … }` as an expression.
    pub(super) fn record(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let built = self.deeper(1, span, |builder| Expr { kind: builder.record_kind(pair), span });
        built.unwrap_or_else(|| self.error_expr(span))
    }

    fn record_kind(&mut self, pair: Pair<'_>) -> ExprKind {
        let mut parts = Vec::new();
        for part in Nodes::of(pair) {
            parts.push(match part.as_rule() {
                Rule::spread => {
                    let mut row = Nodes::of(part).peekable();
                    RecordPart::Spread(self.operand(&mut row))
                }
                Rule::shorthand => {
                    let name = self.name(&Nodes::of(part).need(Rule::ident));
                    let value = Expr { kind: ExprKind::Name(name.clone()), span: name.span };
                    RecordPart::Field { name, value }
                }
                _ => {
                    let mut nodes = Nodes::of(part);
                    let key = nodes.need_any();
                    let name = self.record_key(key);
                    RecordPart::Field { name, value: self.expr(nodes.need(Rule::expr)) }
                }
            });
        }
        ExprKind::Record(parts)
    }

    fn record_key(&mut self, key: Pair<'_>) -> Name {
        match key.as_rule() {
            Rule::string => {
                let text = self.plain_text(key);
                Name { text: text.value.into(), span: text.span }
            }
            _ => self.name(&key),
        }
    }

    fn if_expr(&mut self, pair: Pair<'_>) -> Expr {
        let whole = self.span(&pair);
        let mut branches: Vec<(Span, Pair<'_>)> = Vec::new();
        let mut last = None;
        for child in Nodes::of(pair) {
            match child.as_rule() {
                Rule::expr_branch => branches.push((self.span(&child), child)),
                _ => last = Some(child),
            }
        }
        let last = last.expect("the grammar puts an `else` here");
        let built = self.deeper(branches.len(), whole, |builder| {
            let mut otherwise = builder.expr(last);
            for (span, branch) in branches.into_iter().rev() {
                let mut nodes = Nodes::of(branch);
                let condition = Box::new(builder.expr(nodes.need(Rule::expr)));
                let then = Box::new(builder.expr(nodes.need(Rule::expr)));
                let span = Span { start: span.start, ..whole };
                otherwise = Expr { kind: ExprKind::If { condition, then, otherwise: Box::new(otherwise) }, span };
            }
            otherwise
        });
        built.unwrap_or_else(|| self.error_expr(whole))
    }

    fn match_expr(&mut self, pair: Pair<'_>) -> ExprKind {
        let mut nodes = Nodes::of(pair);
        let subject = Box::new(self.expr(nodes.need(Rule::expr)));
        let arms = nodes.map(|arm| {
            let span = self.span(&arm);
            let mut nodes = Nodes::of(arm);
            let (patterns, guard) = self.arm_head(&mut nodes);
            Arm { patterns, guard, value: self.expr(nodes.need(Rule::expr)), span }
        });
        ExprKind::Match { subject, arms: arms.collect() }
    }

    /// Patterns and the guard of an arm.
    pub(super) fn arm_head(&mut self, nodes: &mut Nodes<'_>) -> (Vec<Pattern>, Option<Expr>) {
        let mut patterns = Vec::new();
        while let Some(pattern) = nodes.accept(Rule::pattern) {
            patterns.push(self.pattern(pattern));
        }
        let guard = nodes.accept(Rule::guard).map(|guard| self.expr(Nodes::of(guard).need(Rule::expr)));
        (patterns, guard)
    }

    fn pattern(&mut self, pair: Pair<'_>) -> Pattern {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let first = nodes.need_any();
        let kind = match first.as_rule() {
            Rule::any_value => PatternKind::Any,
            Rule::ident => PatternKind::Bind(self.name(&first)),
            Rule::member => {
                let mut nodes = Nodes::of(first);
                let ty = self.name(&nodes.need(Rule::type_name));
                PatternKind::Member { ty, member: nodes.accept(Rule::field_name).map(|name| self.name(&name)) }
            }
            Rule::minus => {
                let value = Box::new(self.primary(nodes.need_any()));
                PatternKind::Literal(Expr { kind: ExprKind::Negate(value), span })
            }
            _ => PatternKind::Literal(self.primary(first)),
        };
        Pattern { kind, span }
    }

    pub(super) fn argument(&mut self, pair: Pair<'_>) -> Argument {
        let mut nodes = Nodes::of(pair);
        let name = nodes.accept(Rule::field_name).map(|name| self.name(&name));
        let value = nodes.need_any();
        let value = match value.as_rule() {
            Rule::lambda => self.lambda(value),
            _ => self.expr(value),
        };
        Argument { name, value }
    }

    fn lambda(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let parameters = Nodes::of(nodes.need(Rule::lambda_head)).map(|name| self.name(&name)).collect();
        let body = nodes.need_any();
        let built = self.deeper(1, span, |builder| match body.as_rule() {
            Rule::lambda_body => builder.body(body),
            _ => Body { lets: Vec::new(), value: builder.expr(body) },
        });
        match built {
            Some(body) => Expr { kind: ExprKind::Lambda { parameters, body: Box::new(body) }, span },
            None => self.error_expr(span),
        }
    }

    /// `let`s and a value.
    pub(super) fn body(&mut self, pair: Pair<'_>) -> Body {
        let mut nodes = Nodes::of(pair);
        let mut lets = Vec::new();
        while let Some(binding) = nodes.accept(Rule::let_stmt) {
            lets.push(self.binding(binding));
        }
        Body { lets, value: self.expr(nodes.need(Rule::expr)) }
    }

    pub(super) fn binding(&mut self, pair: Pair<'_>) -> Let {
        let mut nodes = Nodes::of(pair);
        Let {
            name: self.name(&nodes.need(Rule::ident)),
            ty: nodes.accept(Rule::type_expr).map(|ty| self.type_expr(ty)),
            value: self.expr(nodes.need(Rule::expr)),
        }
    }
}

fn is_postfix(rule: Rule) -> bool {
    matches!(rule, Rule::opt_field | Rule::dot_field | Rule::index | Rule::call | Rule::bang)
}
