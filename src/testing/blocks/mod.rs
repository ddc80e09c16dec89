//! Runs a `test` block of a `.proj` file: its steps against the engine in memory.
//!
//! A test runs once as it is written. If a `given any_order` stands in it, it runs again for every other order its events
//! could come in (events of one topic keep theirs, since a log does), and the documents after the block must not depend on
//! the order. When they do, the failure names two orders that differ by two neighbours only.

mod compare;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use crate::language::span::Span;
use crate::language::typed::{
    Expect, ExpectDocument, ExpectRow, FaultClass, GivenEvent, Program, Step, StepKind, Test,
};
use crate::plan::{Plan, lower};
use crate::testing::driver::{Harness, HarnessOptions};

pub use compare::Difference;

use compare::{Listed, differences};
use orders::{Order, Orders, steps_between};

/// Why a test failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// The row, step or test that did not hold.
    pub span: Span,
    /// One sentence. Lower case, no full stop.
    pub message: String,
    /// Field by field, for a document that is not as expected.
    pub differences: Vec<Difference>,
    /// The order of the given events that fails, and the one beside it that does not.
    pub orders: Option<(Vec<Span>, Vec<Span>)>,
    /// Faults that were met, since they are the usual reason.
    pub faults: Vec<String>,
}

impl Failure {
    fn new(span: Span, message: impl Into<String>) -> Box<Failure> {
        let message = message.into();
        Box::new(Failure { span, message, differences: Vec::new(), orders: None, faults: Vec::new() })
    }
}

/// The tests of a program, with its projections ready to run.
pub struct Tests {
    plans: Vec<Arc<Plan>>,
    /// Of the orders that are drawn when there are too many to try all.
    seed: u64,
}

impl Tests {
    pub fn of(program: &Program, seed: u64) -> Tests {
        let plans = program.projections.iter().map(|projection| Arc::new(lower(projection.clone()))).collect();
        Tests { plans, seed }
    }

    /// Runs one test.
    pub fn run(&self, test: &Test) -> Result<(), Box<Failure>> {
        let plan = &self.plans[test.projection];
        let written = Order::as_written(test);
        let reference = Run::new(plan, test, &written).finish()?;
        for order in Orders::of(test, self.seed) {
            let outcome = Run::new(plan, test, &order).finish();
            if outcome.as_ref() != Ok(&reference) {
                return Err(self.nearest(test, &written, &order, &reference));
            }
        }
        Ok(())
    }

    /// Finds, on the way from one order to another, two neighbours that differ.
    fn nearest(&self, test: &Test, from: &Order, to: &Order, reference: &Seen) -> Box<Failure> {
        let plan = &self.plans[test.projection];
        let mut before = (from.clone(), reference.clone());
        for order in steps_between(from, to) {
            let outcome = Run::new(plan, test, &order).finish();
            let mut failure = match outcome {
                Ok(seen) if seen == before.1 => {
                    before = (order, seen);
                    continue;
                }
                Ok(seen) => depends(test, &before.1, &seen, plan),
                Err(failure) => failure,
            };
            failure.orders = Some((order.spans(test), before.0.spans(test)));
            return failure;
        }
        // The last order of the way was seen to differ, so the way has a step that does.
        Failure::new(test.span, "the documents depend on the order of events")
    }
}

/// What all sinks hold after each `given any_order`, without what the engine adds.
type Seen = Vec<BTreeMap<(usize, Arc<str>), Json>>;

/// Says which document differs between two orders.
fn depends(test: &Test, before: &Seen, after: &Seen, plan: &Plan) -> Box<Failure> {
    let nothing = BTreeMap::new();
    let pairs = before.iter().chain(std::iter::repeat(&nothing)).zip(after);
    for (before, after) in pairs {
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let Some(key) = keys.into_iter().find(|key| before.get(*key) != after.get(*key)) else { continue };
        let sink = &plan.projection.sinks[key.0].name;
        let mut failure = Failure::new(test.span, format!("`{}` in {sink} depends on the order of events", key.1));
        failure.differences = differences(before.get(key), after.get(key), Listed::All);
        return failure;
    }
    Failure::new(test.span, "the documents depend on the order of events")
}

/// One run of a test in one order.
struct Run<'t> {
    harness: Harness,
    plan: &'t Arc<Plan>,
    test: &'t Test,
    order: &'t Order,
    /// Documents that were there at some time.
    once: BTreeSet<(usize, Arc<str>)>,
    seen: Seen,
}

impl<'t> Run<'t> {
    fn new(plan: &'t Arc<Plan>, test: &'t Test, order: &'t Order) -> Run<'t> {
        let harness = Harness::new(plan.clone(), HarnessOptions::default());
        Run { harness, plan, test, order, once: BTreeSet::new(), seen: Vec::new() }
    }

    fn finish(mut self) -> Result<Seen, Box<Failure>> {
        for (index, step) in self.test.steps.iter().enumerate() {
            self.step(index, step).map_err(|mut failure| {
                failure.faults = self.harness.faults().iter().map(|fault| fault.message.clone()).collect();
                failure.faults.dedup();
                failure
            })?;
        }
        self.rest();
        match self.harness.broken_laws().first() {
            Some(law) => Err(Failure::new(self.test.span, format!("the engine broke a law of its own: {law}"))),
            None => Ok(self.seen),
        }
    }

    fn step(&mut self, index: usize, step: &Step) -> Result<(), Box<Failure>> {
        match &step.kind {
            StepKind::Given { any_order, events } => self.given(index, *any_order, events),
            StepKind::Restart => {
                // Far enough that something is folded and not all of it is in a checkpoint.
                self.harness.advance();
                self.harness.advance();
                self.note();
                self.harness.restart();
            }
            StepKind::Redeliver(count) => {
                self.rest();
                self.harness.redeliver(*count);
            }
            StepKind::Expect(expect) => {
                self.rest();
                self.expect(step.span, expect)?;
            }
            StepKind::ExpectError { class, text } => {
                self.rest();
                self.expect_error(step.span, *class, text.as_deref())?;
            }
        }
        Ok(())
    }

    fn given(&mut self, index: usize, any_order: bool, events: &[GivenEvent]) {
        for event in self.order.events(index, events) {
            self.harness.give(event);
        }
        if any_order {
            self.rest();
            let documents = (0..self.plan.projection.sinks.len()).flat_map(|sink| {
                let live = live(&self.harness, sink);
                live.into_iter().map(move |(key, document)| ((sink, key), document))
            });
            self.seen.push(documents.collect());
        }
    }

    /// Lets everything happen that can.
    fn rest(&mut self) {
        self.harness.run_to_rest();
        self.note();
    }

    /// Remembers which documents there are.
    fn note(&mut self) {
        for sink in 0..self.plan.projection.sinks.len() {
            let held = self.harness.documents(sink).iter().filter(|(_, document)| document.body.is_some());
            self.once.extend(held.map(|(key, _)| (sink, key.clone())));
        }
    }

    fn expect(&self, at: Span, expect: &Expect) -> Result<(), Box<Failure>> {
        let live = live(&self.harness, expect.sink);
        for row in &expect.rows {
            self.expect_row(expect, row, live.get(row.key.as_str()))?;
        }
        if expect.exactly {
            let listed = |key: &str| {
                let fields = |row: &&ExpectRow| matches!(row.document, ExpectDocument::Fields(_)) && row.key == key;
                expect.rows.iter().any(|row| fields(&row))
            };
            if let Some((key, document)) = live.iter().find(|(key, _)| !listed(key)) {
                let mut failure = Failure::new(at, format!("`{key}` is in {} and was not expected", self.sink(expect)));
                failure.differences = differences(None, Some(document), Listed::All);
                return Err(failure);
            }
        }
        Ok(())
    }

    fn expect_row(&self, expect: &Expect, row: &ExpectRow, got: Option<&Json>) -> Result<(), Box<Failure>> {
        let (key, sink) = (&row.key, self.sink(expect));
        let held = self.harness.documents(expect.sink).contains_key(key.as_str());
        let was_there = held || self.once.contains(&(expect.sink, Arc::from(key.as_str())));
        match (&row.document, got) {
            (ExpectDocument::Fields(fields), Some(got)) => {
                let expected = Json::Object(fields.clone());
                let differences =
                    differences(Some(&expected), Some(&self.without_added(expect, fields, got)), listed(expect));
                if differences.is_empty() {
                    return Ok(());
                }
                let message = format!("`{key}` in {sink} is not as expected");
                let mut failure = Failure::new(row.span, message);
                failure.differences = differences;
                Err(failure)
            }
            (ExpectDocument::Fields(_), None) => {
                let keys: Vec<_> = live(&self.harness, expect.sink).into_keys().map(|key| format!("`{key}`")).collect();
                let there = if keys.is_empty() { "nothing".to_owned() } else { shortened(&keys) };
                Err(Failure::new(row.span, format!("`{key}` is not in {sink}; there is {there}")))
            }
            (ExpectDocument::Deleted | ExpectDocument::None, Some(got)) => {
                let mut failure = Failure::new(row.span, format!("`{key}` is in {sink} and should not be"));
                failure.differences = differences(None, Some(got), Listed::All);
                Err(failure)
            }
            (ExpectDocument::Deleted, None) if !was_there => Err(Failure::new(
                row.span,
                format!("`{key}` was never in {sink}, so it was not deleted; `none` says that"),
            )),
            (ExpectDocument::Deleted | ExpectDocument::None, None) => Ok(()),
        }
    }

    /// A document without the `id` that the engine gave it, unless the test lists one.
    fn without_added(&self, expect: &Expect, fields: &serde_json::Map<String, Json>, got: &Json) -> Json {
        let mut got = got.clone();
        let named = self.plan.projection.sinks[expect.sink].document.iter().any(|(name, _)| &**name == "id");
        if !named
            && !fields.contains_key("id")
            && let Some(fields) = got.as_object_mut()
        {
            fields.remove("id");
        }
        got
    }

    fn expect_error(&self, at: Span, class: FaultClass, text: Option<&str>) -> Result<(), Box<Failure>> {
        let text = text.unwrap_or_default();
        let met = self.harness.faults().iter().any(|fault| fault.class == class && fault.message.contains(text));
        let word = match class {
            FaultClass::Decode => "decode",
            FaultClass::Eval => "eval",
            FaultClass::Key => "key",
            FaultClass::Sink => "sink",
        };
        let wanted = if text.is_empty() { String::new() } else { format!(" with `{text}` in its message") };
        met.then_some(()).ok_or_else(|| Failure::new(at, format!("there was no {word} fault{wanted}")))
    }

    fn sink(&self, expect: &Expect) -> &str {
        &self.plan.projection.sinks[expect.sink].name
    }
}

fn listed(expect: &Expect) -> Listed {
    if expect.exactly { Listed::All } else { Listed::Some }
}

/// The documents of a sink, without `_proj`.
fn live(harness: &Harness, sink: usize) -> BTreeMap<Arc<str>, Json> {
    let documents = harness.documents(sink).iter().filter_map(|(key, document)| {
        let mut document: Json = serde_json::from_slice(document.body.as_deref()?).ok()?;
        document.as_object_mut()?.remove("_proj");
        Some((key.clone(), document))
    });
    documents.collect()
}

fn shortened(keys: &[String]) -> String {
    const SHOWN_MAX: usize = 5;
    match keys.len() > SHOWN_MAX {
        true => format!("{} and {} more", keys[..SHOWN_MAX].join(", "), keys.len() - SHOWN_MAX),
        false => keys.join(", "),
    }
}
