//! Projections: clauses, sinks, what faults do.

use crate::language::ast::{
    Clause, ClauseKind, ErrorAction, ErrorActionKind, EventPattern, Into, KeyPart, On, Projection, StateField,
};

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};

impl Builder<'_> {
    pub(super) fn projection(&mut self, pair: Pair<'_>) -> Projection {
        let mut nodes = Nodes::of(pair);
        let name = self.name(&nodes.need(Rule::ident));
        Projection { name, clauses: nodes.map(|clause| self.clause(clause)).collect() }
    }

    /// A run of clauses without their projection.
    pub(super) fn clauses(&mut self, pair: Pair<'_>) -> Vec<Clause> {
        Nodes::of(pair).filter(|pair| pair.as_rule() == Rule::clause).map(|clause| self.clause(clause)).collect()
    }

    fn clause(&mut self, pair: Pair<'_>) -> Clause {
        let span = self.span(&pair);
        let clause = Nodes::of(pair).need_any();
        let rule = clause.as_rule();
        let mut nodes = Nodes::of(clause.clone());
        let kind = match rule {
            Rule::from => ClauseKind::From(nodes.map(|name| self.name(&name)).collect()),
            Rule::where_clause => ClauseKind::Where(self.expr(nodes.need(Rule::expr))),
            Rule::key_clause => ClauseKind::Key(nodes.map(|part| self.key_part(part)).collect()),
            Rule::dedupe => {
                let by = self.expr(nodes.need(Rule::expr));
                ClauseKind::Dedupe { by, within: self.primary(nodes.need(Rule::duration)) }
            }
            Rule::window => ClauseKind::Window(span),
            Rule::lookup => ClauseKind::Lookup { name: self.name(&nodes.need(Rule::ident)) },
            Rule::state => ClauseKind::State(nodes.map(|field| self.state_field(field)).collect()),
            Rule::on => ClauseKind::On(self.on(nodes)),
            Rule::let_stmt => ClauseKind::Let(self.binding(clause)),
            Rule::emit => ClauseKind::Emit { when: self.when(&mut nodes) },
            Rule::into => ClauseKind::Into(self.sink(clause)),
            Rule::on_error => ClauseKind::OnError(nodes.map(|rule| self.error_rule(rule)).collect()),
            _ => ClauseKind::Replay(self.options(nodes.need(Rule::options))),
        };
        Clause { kind, span }
    }

    fn key_part(&mut self, pair: Pair<'_>) -> KeyPart {
        let mut nodes = Nodes::of(pair);
        KeyPart {
            name: nodes.accept(Rule::ident).map(|name| self.name(&name)),
            ty: self.optional_type(&mut nodes),
            value: self.expr(nodes.need(Rule::expr)),
        }
    }

    fn state_field(&mut self, pair: Pair<'_>) -> StateField {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let attributes = self.attributes(&mut nodes);
        let name = self.name(&nodes.need(Rule::ident));
        let ty = self.optional_type(&mut nodes);
        StateField { name, ty, init: self.optional_expr(&mut nodes), attributes, span }
    }

    fn on(&mut self, mut nodes: Nodes<'_>) -> On {
        let mut events = Vec::new();
        while let Some(pattern) = nodes.accept(Rule::event_pattern) {
            events.push(self.event_pattern(pattern));
        }
        let each = nodes.accept(Rule::each).map(|each| {
            let mut nodes = Nodes::of(each);
            let name = self.name(&nodes.need(Rule::ident));
            (name, self.expr(nodes.need(Rule::expr)))
        });
        let key = self.optional_expr(&mut nodes);
        let condition = nodes.accept(Rule::guard).map(|guard| self.expr(Nodes::of(guard).need(Rule::expr)));
        On { events, each, key, condition, body: self.block(nodes.need(Rule::block)) }
    }

    pub(super) fn event_pattern(&mut self, pair: Pair<'_>) -> EventPattern {
        let pattern = Nodes::of(pair).need_any();
        match pattern.as_rule() {
            Rule::any_event => EventPattern::Any(self.span(&pattern)),
            Rule::string => EventPattern::Wire(self.plain_text(pattern)),
            Rule::type_name => EventPattern::Event(self.name(&pattern)),
            _ => {
                let mut nodes = Nodes::of(pattern);
                let topic = self.name(&nodes.need(Rule::ident));
                EventPattern::Change { topic, change: self.name(&nodes.need(Rule::field_name)) }
            }
        }
    }

    fn when(&mut self, nodes: &mut Nodes<'_>) -> Option<crate::language::ast::Expr> {
        let when = nodes.accept(Rule::when)?;
        Some(self.expr(Nodes::of(when).need(Rule::expr)))
    }

    fn sink(&mut self, pair: Pair<'_>) -> Into {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let sink = self.name(&nodes.need(Rule::ident));
        let via = nodes.accept(Rule::via).map(|via| self.name(&Nodes::of(via).need(Rule::ident)));
        let when = self.when(&mut nodes);
        let document = nodes.accept(Rule::document).map(|document| self.record(Nodes::of(document).need(Rule::record)));
        let options = nodes.accept(Rule::options).map(|options| self.options(options)).unwrap_or_default();
        Into { sink, via, when, document, options, span }
    }

    fn error_rule(&mut self, pair: Pair<'_>) -> (crate::language::ast::Name, ErrorAction) {
        let mut nodes = Nodes::of(pair);
        let class = self.name(&nodes.need(Rule::fault_class));
        let action = nodes.need(Rule::error_action);
        let span = self.span(&action);
        let mut nodes = Nodes::of(action);
        let action = match nodes.accept(Rule::retry) {
            Some(retry) => {
                let arguments = Nodes::of(retry).need(Rule::arguments);
                let arguments = self.arguments(arguments);
                let then = nodes.accept(Rule::last_action).map(|then| Box::new(self.last_action(then)));
                ErrorAction { kind: ErrorActionKind::Retry { arguments, then }, span }
            }
            None => self.last_action(nodes.need(Rule::last_action)),
        };
        (class, action)
    }

    fn last_action(&mut self, pair: Pair<'_>) -> ErrorAction {
        let span = self.span(&pair);
        let action = Nodes::of(pair).need_any();
        let rule = action.as_rule();
        let mut nodes = Nodes::of(action);
        let kind = match rule {
            Rule::fail => {
                let arguments = nodes.accept(Rule::arguments).map(|pair| self.arguments(pair)).unwrap_or_default();
                ErrorActionKind::Fail(arguments)
            }
            Rule::dead_letter => ErrorActionKind::DeadLetter(self.name(&nodes.need(Rule::ident))),
            _ => ErrorActionKind::Skip,
        };
        ErrorAction { kind, span }
    }
}
