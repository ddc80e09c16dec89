//! Handlers: blocks and their statements.

use crate::language::ast::{AssignOp, Block, Place, PlaceStep, Stmt, StmtArm, StmtKind};
use crate::language::span::Span;

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};

impl Builder<'_> {
    pub(super) fn block(&mut self, pair: Pair<'_>) -> Block {
        let span = self.span(&pair);
        let statements = self.deeper(1, span, |builder| Nodes::of(pair).map(|stmt| builder.stmt(stmt)).collect());
        Block { statements: statements.unwrap_or_default(), span }
    }

    fn stmt(&mut self, pair: Pair<'_>) -> Stmt {
        let span = self.span(&pair);
        let stmt = Nodes::of(pair).need_any();
        let kind = match stmt.as_rule() {
            Rule::let_stmt => StmtKind::Let(self.binding(stmt)),
            Rule::delete => StmtKind::Delete(self.same_line_guard(stmt)),
            Rule::skip => StmtKind::Skip(self.same_line_guard(stmt)),
            Rule::remove => StmtKind::Remove(self.place(Nodes::of(stmt).need(Rule::place))),
            Rule::if_stmt => return self.if_stmt(stmt),
            Rule::match_stmt => self.match_stmt(stmt),
            _ => self.assign(stmt),
        };
        Stmt { kind, span }
    }

    fn same_line_guard(&mut self, pair: Pair<'_>) -> Option<crate::language::ast::Expr> {
        let guard = Nodes::of(pair).accept(Rule::same_line_guard)?;
        Some(self.expr(Nodes::of(guard).need(Rule::expr)))
    }

    fn if_stmt(&mut self, pair: Pair<'_>) -> Stmt {
        let whole = self.span(&pair);
        let mut branches: Vec<(Span, Pair<'_>)> = Vec::new();
        let mut last = None;
        for child in Nodes::of(pair) {
            match child.as_rule() {
                Rule::if_branch => branches.push((self.span(&child), child)),
                _ => last = Some(child),
            }
        }
        let built = self.deeper(branches.len(), whole, |builder| {
            let mut otherwise = last.map(|block| builder.block(block));
            for (span, branch) in branches.into_iter().rev() {
                let mut nodes = Nodes::of(branch);
                let condition = builder.expr(nodes.need(Rule::expr));
                let then = builder.block(nodes.need(Rule::block));
                let span = Span { start: span.start, ..whole };
                let stmt = Stmt { kind: StmtKind::If { condition, then, otherwise }, span };
                otherwise = Some(Block { statements: vec![stmt], span });
            }
            otherwise
        });
        let chain = built.flatten().and_then(|mut block| block.statements.pop());
        // Too deep was reported; an empty `skip` keeps the place.
        chain.unwrap_or(Stmt { kind: StmtKind::Skip(None), span: whole })
    }

    fn match_stmt(&mut self, pair: Pair<'_>) -> StmtKind {
        let mut nodes = Nodes::of(pair);
        let subject = self.expr(nodes.need(Rule::expr));
        let arms = nodes.map(|arm| {
            let span = self.span(&arm);
            let mut nodes = Nodes::of(arm);
            let (patterns, guard) = self.arm_head(&mut nodes);
            StmtArm { patterns, guard, body: self.block(nodes.need(Rule::block)), span }
        });
        StmtKind::Match { subject, arms: arms.collect() }
    }

    fn assign(&mut self, pair: Pair<'_>) -> StmtKind {
        let mut nodes = Nodes::of(pair);
        let place = self.place(nodes.need(Rule::place));
        let op = nodes.need_any();
        let op_span = self.span(&op);
        let op = match op.as_rule() {
            Rule::add_to => AssignOp::Add,
            Rule::subtract_from => AssignOp::Subtract,
            Rule::multiply_by => AssignOp::Multiply,
            Rule::fill => AssignOp::Fill,
            _ => AssignOp::Set,
        };
        StmtKind::Assign { place, op, op_span, value: self.expr(nodes.need(Rule::expr)) }
    }

    fn place(&mut self, pair: Pair<'_>) -> Place {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let root = self.name(&nodes.need(Rule::ident));
        let steps = nodes.map(|step| match step.as_rule() {
            Rule::index => PlaceStep::Index(self.expr(Nodes::of(step).need(Rule::expr))),
            _ => PlaceStep::Field(self.name(&Nodes::of(step).need(Rule::field_name))),
        });
        Place { root, steps: steps.collect(), span }
    }
}
