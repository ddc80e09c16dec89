//! Test blocks: their steps, given events and expected documents.

use crate::language::ast::{ExpectRow, ExpectedDocument, Expr, Given, GivenKind, Step, StepKind, Test};

use super::grammar::{Pair, Rule};
use super::nodes::{Builder, Nodes};

impl Builder<'_> {
    pub(super) fn test(&mut self, pair: Pair<'_>) -> Test {
        let mut nodes = Nodes::of(pair);
        let name = self.plain_text(nodes.need(Rule::string));
        let projection = nodes.accept(Rule::ident).map(|name| self.name(&name));
        Test { name, projection, steps: nodes.map(|step| self.step(step)).collect() }
    }

    fn step(&mut self, pair: Pair<'_>) -> Step {
        let span = self.span(&pair);
        let step = Nodes::of(pair).need_any();
        let rule = step.as_rule();
        let mut nodes = Nodes::of(step);
        let kind = match rule {
            Rule::given => StepKind::Given {
                any_order: nodes.accept(Rule::any_order).is_some(),
                topic: nodes.accept(Rule::ident).map(|name| self.name(&name)),
                events: nodes.map(|event| self.given_event(event)).collect(),
            },
            Rule::advance => StepKind::Advance(self.primary(nodes.need(Rule::duration))),
            Rule::restart => StepKind::Restart,
            // More than there are is the same as all.
            Rule::redeliver => {
                StepKind::Redeliver(nodes.need(Rule::integer).as_str().replace('_', "").parse().unwrap_or(u64::MAX))
            }
            Rule::expect => StepKind::Expect {
                exactly: nodes.accept(Rule::exactly).is_some(),
                sink: nodes.accept(Rule::ident).map(|name| self.name(&name)),
                rows: nodes.map(|row| self.expect_row(row)).collect(),
            },
            Rule::expect_error => StepKind::ExpectError {
                class: self.name(&nodes.need(Rule::fault_class)),
                text: nodes.accept(Rule::string).map(|text| self.plain_text(text)),
            },
            _ => StepKind::ExpectSnapshot { name: nodes.accept(Rule::string).map(|name| self.plain_text(name)) },
        };
        Step { kind, span }
    }

    fn given_event(&mut self, pair: Pair<'_>) -> Given {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let at = nodes.accept(Rule::at).map(|at| self.at(at));
        let event = nodes.need_any();
        let kind = match event.as_rule() {
            Rule::raw => GivenKind::Raw(self.plain_text(Nodes::of(event).need(Rule::string))),
            Rule::tombstone => GivenKind::Tombstone(self.expr(Nodes::of(event).need(Rule::expr))),
            Rule::record => GivenKind::Anonymous(self.record(event)),
            _ => {
                let event = self.event_pattern(event);
                GivenKind::Event { event, value: self.record(nodes.need(Rule::record)) }
            }
        };
        Given { at, kind, span }
    }

    fn at(&mut self, pair: Pair<'_>) -> Expr {
        let value = Nodes::of(pair).need_any();
        match value.as_rule() {
            Rule::record => self.record(value),
            _ => self.primary(value),
        }
    }

    fn expect_row(&mut self, pair: Pair<'_>) -> ExpectRow {
        let span = self.span(&pair);
        let mut nodes = Nodes::of(pair);
        let key = self.expr(nodes.need(Rule::expr));
        let document = nodes.need_any();
        let document = match document.as_rule() {
            Rule::deleted => ExpectedDocument::Deleted,
            Rule::none => ExpectedDocument::None,
            _ => ExpectedDocument::Fields(self.record(document)),
        };
        ExpectRow { key, document, span }
    }
}
