//! The reference evaluator against folds written here in plain Rust.
//!
//! Each `.proj` file of this folder has a fold beside it that knows nothing of the crate: integers of 64 bits, `bigdecimal`,
//! `jiff` and the standard library, text by hand. Both hear the same events, made from a seed and full of edges: missing
//! fields, nulls, values of another kind, numbers at the ends of their types, empty texts, keys that repeat, rows that are
//! deleted and made again. After every event both must agree on what became of it (dropped, filtered, skipped, folded,
//! deleted, or a fault of this class and code), on its key, and on the documents of that key in every sink, byte by byte.
//!
//! | file | what it is about |
//! |---|---|
//! | `numbers` | operators and functions on ints, decimals and floats; rounding; aggregates; `where`; sinks' number styles |
//! | `texts` | functions of text, enums, ids, bytes and JSON; `match`; interpolation; the envelope; composite keys; tombstones |
//! | `times` | timestamps, dates, durations |
//! | `collections` | lists, sets, maps, records, optionals; every assignment to every kind of place; `delete`, `skip` |
//!
//! [`nothing_is_left_out`] holds that the four files together use every kind of statement and expression and every function
//! of the language. `PROJECTOR_TEST_SEED` tells a run again; `PROJECTOR_TEST_EVENTS` makes it longer.

mod collections;
mod engine;
mod event;
mod exact;
mod numbers;
mod step;
mod texts;
mod times;

use std::collections::BTreeSet;

use engine::Engine;
use event::Event;
use step::Step;

use crate::recovery::random::{Random, seed};

/// A fold in plain Rust.
trait Fold {
    /// The projection it is a fold of.
    fn projection(&self) -> &'static str;

    fn hear(&mut self, event: &Event, version: u64) -> Step;
}

/// Lets the crate and the plain folds hear the same events.
fn compare(file: &str, mut folds: Vec<Box<dyn Fold>>, next: impl Fn(&mut Random, i64) -> Event) {
    let seed = seed(file);
    let mut random = Random::new(seed);
    let events = std::env::var("PROJECTOR_TEST_EVENTS").map_or(6_000, |n| n.parse().expect("a number of events"));
    let plans = engine::plans(file);
    let mut names: Vec<&str> = plans.iter().map(|plan| &*plan.projection.name).collect();
    names.sort_unstable();
    let mut folded: Vec<&str> = folds.iter().map(|fold| fold.projection()).collect();
    folded.sort_unstable();
    assert_eq!(names, folded, "every projection has its fold");
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut engines: Vec<Engine> = folds
        .iter()
        .map(|fold| Engine::new(plans.iter().find(|plan| *plan.projection.name == *fold.projection()).unwrap().clone()))
        .collect();
    for number in 0..events {
        let event = next(&mut random, number);
        for (engine, fold) in engines.iter_mut().zip(&mut folds) {
            let version = number as u64 + 1;
            let (theirs, ours) = (engine.hear(&event, version), fold.hear(&event, version));
            let name = fold.projection();
            assert_eq!(theirs, ours, "`{name}` with PROJECTOR_TEST_SEED={seed} at event {number}: {event:?}");
            seen.insert(format!("{name} {:?}", ours.said));
        }
    }
    println!("{file}: {events} events, seen {seen:#?}");
    for fold in &folds {
        let touched = format!("{} Touched", fold.projection());
        assert!(seen.contains(&touched), "{} is never touched", fold.projection());
    }
}

#[test]
fn numbers() {
    compare("numbers.proj", numbers::folds(), numbers::next);
}

#[test]
fn texts() {
    compare("texts.proj", texts::folds(), texts::next);
}

#[test]
fn times() {
    compare("times.proj", times::folds(), times::next);
}

#[test]
fn collections() {
    compare("collections.proj", collections::folds(), collections::next);
}

/// The variants of an enum, from its source.
fn variants(source: &str, name: &str) -> Vec<String> {
    let start = source.find(&format!("pub enum {name} {{")).unwrap_or_else(|| panic!("there is an enum {name}"));
    let body = &source[start..];
    let body = &body[..body.find("\n}").expect("it ends")];
    let lines = body.lines().filter_map(|line| line.strip_prefix("    "));
    let first = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    first.map(|line| line.chars().take_while(char::is_ascii_alphanumeric).collect()).collect()
}

#[test]
fn nothing_is_left_out() {
    let typed = include_str!("../../src/language/typed.rs");
    let library = include_str!("../../src/language/library/mod.rs");
    let types = include_str!("../../src/value/types.rs");
    let files = ["numbers.proj", "texts.proj", "times.proj", "collections.proj"];
    let programs: String =
        files.iter().flat_map(|file| engine::plans(file)).map(|plan| format!("{:?}", plan.projection)).collect();
    let words: BTreeSet<&str> = programs.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    // What the checker makes of no program.
    let never = ["Headers", "None", "Reshape"];
    let mut left_out = Vec::new();
    for (source, name) in [
        (typed, "EventTypeFrom"),
        (typed, "StmtKind"),
        (typed, "Aggregate"),
        (typed, "Pattern"),
        (typed, "PlaceStep"),
        (typed, "AssignOp"),
        (typed, "ExprKind"),
        (typed, "Envelope"),
        (typed, "BinaryOp"),
        (typed, "Conversion"),
        (library, "Function"),
        (types, "Type"),
    ] {
        let variants = variants(source, name);
        assert!(variants.len() > 1, "{name} has variants");
        let missing = variants.into_iter().filter(|variant| !words.contains(&**variant));
        left_out
            .extend(missing.filter(|variant| !never.contains(&&**variant)).map(|variant| format!("{name}::{variant}")));
    }
    assert!(left_out.is_empty(), "no file here uses {left_out:?}");
}
