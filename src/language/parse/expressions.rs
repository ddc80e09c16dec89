//! Expressions: the flat row of operands and operators of the grammar becomes a tree by precedence.

use std::iter::Peekable;

use crate::language::ast::{BinaryOp, Expr, ExprKind};
use crate::language::span::Span;

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};
use super::slips;

/// How tight an operator binds; a right operand binds one tighter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Not,
    Comparison,
    Coalesce,
    Sum,
    Product,
    Operand,
}

impl Level {
    fn tighter(self) -> Level {
        match self {
            Level::Or => Level::And,
            Level::And => Level::Not,
            Level::Not => Level::Comparison,
            Level::Comparison => Level::Coalesce,
            Level::Coalesce => Level::Sum,
            Level::Sum => Level::Product,
            Level::Product | Level::Operand => Level::Operand,
        }
    }
}

fn level(op: BinaryOp) -> Level {
    match op {
        BinaryOp::Or => Level::Or,
        BinaryOp::And => Level::And,
        BinaryOp::Equal
        | BinaryOp::NotEqual
        | BinaryOp::Less
        | BinaryOp::LessOrEqual
        | BinaryOp::Greater
        | BinaryOp::GreaterOrEqual
        | BinaryOp::In
        | BinaryOp::NotIn => Level::Comparison,
        BinaryOp::Coalesce => Level::Coalesce,
        BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Concat => Level::Sum,
        BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Remainder => Level::Product,
    }
}

fn binary_op(rule: Rule) -> BinaryOp {
    match rule {
        Rule::coalesce => BinaryOp::Coalesce,
        Rule::concat => BinaryOp::Concat,
        Rule::add => BinaryOp::Add,
        Rule::subtract => BinaryOp::Subtract,
        Rule::multiply => BinaryOp::Multiply,
        Rule::divide => BinaryOp::Divide,
        Rule::remainder => BinaryOp::Remainder,
        Rule::equal => BinaryOp::Equal,
        Rule::not_equal => BinaryOp::NotEqual,
        Rule::less_or_equal => BinaryOp::LessOrEqual,
        Rule::greater_or_equal => BinaryOp::GreaterOrEqual,
        Rule::less => BinaryOp::Less,
        Rule::greater => BinaryOp::Greater,
        Rule::and => BinaryOp::And,
        Rule::or => BinaryOp::Or,
        Rule::not_in => BinaryOp::NotIn,
        _ => BinaryOp::In,
    }
}

/// What a row of operands adds to the depth of the tree.
fn adds_depth(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::infix
            | Rule::not
            | Rule::minus
            | Rule::opt_field
            | Rule::dot_field
            | Rule::index
            | Rule::call
            | Rule::bang
    )
}

/// What is left of a row of operands and operators.
pub(super) type Row<'t> = Peekable<Nodes<'t>>;

impl Builder<'_> {
    pub(super) fn expr(&mut self, pair: Pair<'_>) -> Expr {
        let span = self.span(&pair);
        let levels = 1 + pair.clone().into_inner().filter(|child| adds_depth(child.as_rule())).count();
        let built = self.deeper(levels, span, |builder| {
            let mut row = Nodes::of(pair).peekable();
            builder.climb(&mut row, Level::Or)
        });
        built.unwrap_or_else(|| self.error_expr(span))
    }

    /// Reads an operand and what follows it as long as operators bind at least as tight as `least`.
    fn climb(&mut self, row: &mut Row<'_>, least: Level) -> Expr {
        let left = self.prefixed(row, least);
        self.operators(row, left, least)
    }

    fn operators(&mut self, row: &mut Row<'_>, mut left: Expr, least: Level) -> Expr {
        let mut compared: Option<Span> = None;
        while let Some(infix) = row.next_if(|next| next.as_rule() == Rule::infix && level(op_of(next)) >= least) {
            let op = op_of(&infix);
            let op_span = self.span(&infix);
            let right = self.climb(row, level(op).tighter());
            if op == BinaryOp::Coalesce {
                self.check_coalesce(&left, op_span, &right);
            }
            if level(op) == Level::Comparison
                && let Some(middle) = compared.replace(right.span)
            {
                self.report_chain(&left, middle, op_span, &right);
            }
            let span = left.span.to(right.span);
            left = Expr { kind: ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) }, span };
        }
        left
    }

    /// `a ?? 0 + b` reads as one thing and means another: it needs brackets.
    fn check_coalesce(&mut self, left: &Expr, op: Span, right: &Expr) {
        if let ExprKind::Binary { op: BinaryOp::Add | BinaryOp::Subtract, left: value, .. } = &right.kind {
            let (first, second) = (self.source(left.span), self.source(right.span));
            let (value, rest) = (self.source(value.span), self.source(Span { start: value.span.end, ..right.span }));
            let help = format!("`{first} ?? ({second})` or `({first} ?? {value}){rest}`");
            self.report(slips::coalesce_needs_brackets(op, right.span, help));
        }
    }

    fn report_chain(&mut self, left: &Expr, middle: Span, op: Span, right: &Expr) {
        let [first, middle, op, last] = [left.span, middle, op, right.span].map(|span| self.source(span));
        let help = format!("`{first} and {middle} {op} {last}`");
        self.report(slips::chained_comparison(left.span.to(right.span), help));
    }

    /// `not`s and `-`s, then an operand. A `-` binds to the operand, a `not` takes the whole comparison behind it.
    fn prefixed(&mut self, row: &mut Row<'_>, least: Level) -> Expr {
        let mut prefixes: Vec<(Rule, Span)> = Vec::new();
        while let Some(prefix) = row.next_if(|next| matches!(next.as_rule(), Rule::not | Rule::minus)) {
            prefixes.push((prefix.as_rule(), self.span(&prefix)));
        }
        let nots = prefixes.iter().take_while(|(rule, _)| *rule == Rule::not).count();
        let misplaced = prefixes.iter().skip(nots).find(|(rule, _)| *rule == Rule::not);
        if let Some((_, span)) = misplaced.or(prefixes.first().filter(|_| nots > 0 && least > Level::Not)) {
            self.report(slips::not_needs_brackets(*span));
        }
        let mut value = self.operand(row);
        for (_, span) in prefixes.drain(nots..).rev() {
            let span = span.to(value.span);
            value = Expr { kind: ExprKind::Negate(Box::new(value)), span };
        }
        if nots > 0 {
            value = self.operators(row, value, Level::Comparison);
        }
        for (_, span) in prefixes.into_iter().rev() {
            let span = span.to(value.span);
            value = Expr { kind: ExprKind::Not(Box::new(value)), span };
        }
        value
    }
}

fn op_of(infix: &Pair<'_>) -> BinaryOp {
    infix.clone().into_inner().next().map_or(BinaryOp::In, |op| binary_op(op.as_rule()))
}
