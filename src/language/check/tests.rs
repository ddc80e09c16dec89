//! Small programs, checked: what is accepted and what comes of it, what is refused and with which words.

use super::*;
use crate::language::parse::parse;
use crate::language::span::FileId;
use crate::language::typed::{Aggregate, EventTypeFrom, Projection, StmtKind};
use crate::value::Type;

/// Parses and checks one file.
fn check_text(text: &str) -> (Option<Program>, Vec<Diagnostic>) {
    let (file, slips) = parse(FileId(0), text);
    assert!(slips.is_empty(), "it parses: {slips:?}");
    check(&[file], &Imports::default())
}

/// The only projection of a text without errors.
fn projection(text: &str) -> Projection {
    let (program, diagnostics) = check_text(text);
    let mut program = program.unwrap_or_else(|| panic!("no errors: {diagnostics:#?}"));
    program.projections.remove(0)
}

/// The codes of all messages, in file order.
fn codes_of(text: &str) -> Vec<&'static str> {
    check_text(text).1.iter().map(|diagnostic| diagnostic.code).collect()
}

const MINIMAL: &str = r#"
topic transactions = "transactions"

projection account_summary {
  from transactions
  key .account_id
  state {
    total_balance: decimal  = sum(.amount)
    transaction_count       = count()
    last_updated: timestamp = last(.timestamp)
  }
  into cosmos { container: "TransactionViews" }
}
"#;

#[test]
fn the_smallest_projection_gets_its_types_from_use() {
    let projection = projection(MINIMAL);
    assert_eq!(projection.topics[0].event_type, EventTypeFrom::Single);
    let slots: Vec<_> =
        projection.programs[0].slots.iter().map(|slot| (slot.path.join("."), slot.ty.clone())).collect();
    let expected = [
        ("account_id".to_owned(), Type::String(None)),
        ("amount".to_owned(), Type::Decimal(None)),
        ("timestamp".to_owned(), Type::Timestamp),
    ];
    assert_eq!(slots, expected);
    assert!(projection.programs[0].slots[0].text_or_int, "a key and nothing else");
    let body = &projection.programs[0].body;
    assert!(matches!(body[0].kind, StmtKind::Aggregate { aggregate: Aggregate::Sum, .. }));
    assert_eq!(projection.sinks[0].document.len(), 4);
}

#[test]
fn a_topic_that_is_not_keyed_warns_where_the_last_one_wins() {
    assert_eq!(codes_of(MINIMAL), ["W0520"]);
    let keyed = MINIMAL.replace("\"transactions\"\n", "\"transactions\" { keyed_by: .account_id }\n");
    assert_eq!(codes_of(&keyed), Vec::<&str>::new());
}
