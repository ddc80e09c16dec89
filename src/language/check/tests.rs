//! Small programs, checked: what is accepted and what comes of it, what is refused and with which words.

use super::*;
use crate::language::parse::parse;
use crate::language::span::FileId;
use crate::language::typed::{self, Aggregate, EventTypeFrom, Projection, StmtKind};
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

/// One topic with two events, and a projection with these clauses.
fn orders(clauses: &str) -> String {
    format!(
        r#"
record Line {{ sku: string, qty: int, price: decimal(2) }}
event Placed {{ id: string, at: timestamp, total: decimal(2), qty: int, note: string?, lines: list<Line>,
  by: {{ name: string, mail: string? }}? }}
event Closed {{ id: string }}
topic orders = "orders" {{ type: header("type"), events: Placed, Closed, keyed_by: .id }}
projection view {{
  from orders
  key .id
  {clauses}
  into cache
}}
"#
    )
}

#[test]
fn each_event_type_has_its_own_program_and_slots() {
    let text = orders("state { total: decimal(2) = 0 }\n on Placed { total += .total }\n on Closed { delete }");
    let projection = projection(&text);
    let slots = projection.programs.iter().map(super::event_program::slot_paths).collect::<Vec<_>>();
    assert_eq!(slots, [vec!["id", "total"], vec!["id"]]);
    assert_eq!(projection.topics[0].programs.len(), 2);
}

#[test]
fn an_event_that_is_only_skipped_is_not_decoded() {
    let text = orders("state { total: decimal(2) = 0 }\n on Placed { total += .total }\n on Closed { skip }");
    let projection = projection(&text);
    assert_eq!(projection.programs.len(), 1);
    assert_eq!(projection.topics[0].declared.len(), 2);
}

#[test]
fn a_path_through_an_optional_record_is_one_optional_slot() {
    let text = orders("state { mail: string? }\n on Placed { mail = .by?.mail }\n on Closed { skip }");
    let slots = projection(&text).programs.remove(0).slots;
    let slot = slots.iter().find(|slot| slot.path.len() == 2).expect("`by.mail` is a slot");
    assert_eq!(
        (slot.ty.clone(), slot.optional_at.as_slice()),
        (Type::String(None).optional(), [true, true].as_slice())
    );
}

#[test]
fn absence_is_narrowed_by_conditions() {
    let narrowed = [
        "if .note != none { note = .note.trim() }",
        "skip if .note == none\n note = .note.trim()",
        "if .note == none { skip } else { note = .note }\n note = .note",
        "if .by?.mail != none and .by.mail.len() > 3 { note = .by.name }",
        "let n = .note\n if n != none { note = n }",
        "match .note { none => {} text => { note = text } }",
    ];
    for body in narrowed {
        let text = orders(&format!("state {{ note: string = \"\" }}\n on Placed {{ {body} }}\n on Closed {{ skip }}"));
        assert_eq!(codes_of(&text), Vec::<&str>::new(), "{body}");
    }
    let wide = ["note = .note", "if .note == none { note = .note }", "if .note != none or .qty > 1 { note = .note }"];
    for body in wide {
        let text = orders(&format!("state {{ note: string = \"\" }}\n on Placed {{ {body} }}\n on Closed {{ skip }}"));
        assert_eq!(codes_of(&text), ["P0301"], "{body}");
    }
}

#[test]
fn a_state_field_is_narrowed_until_it_is_assigned() {
    let body = "if note != none { last = note\n note = .note\n last = note }";
    let state = "state { note: string?, last: string = \"\" }";
    assert_eq!(codes_of(&orders(&format!("{state}\n on Placed {{ {body} }}\n on Closed {{ skip }}"))), ["P0301"]);
}

#[test]
fn a_row_is_complete_on_every_way_that_creates_it() {
    let state = "state { at: timestamp, n: int = 0 }";
    let complete = [
        "on Placed { at = .at }\n on Closed { skip if not exists\n n += 1 }",
        "on Placed if .qty > 1 { at = .at }\n on Closed { skip }",
        "on Placed { if .qty > 1 { at = .at } else { skip } }\n on Closed { delete }",
        "on Placed { if exists { n += 1 } else { at = .at } }\n on Closed { skip }",
    ];
    for handlers in complete {
        assert_eq!(codes_of(&orders(&format!("{state}\n {handlers}"))), Vec::<&str>::new(), "{handlers}");
    }
    let lacking = [
        "on Placed { n += 1 }\n on Closed { skip }",
        "on Placed { at = .at }\n on Closed { n += 1 }",
        "on Placed if .qty > 1 { at = .at }\n on Placed { n += 1 }\n on Closed { skip }",
    ];
    for handlers in lacking {
        assert_eq!(codes_of(&orders(&format!("{state}\n {handlers}"))), ["P0403"], "{handlers}");
    }
}

#[test]
fn decimals_keep_their_scale() {
    let scales = [
        ("total + 1", Type::Decimal(Some(2))),
        ("total * 0.125", Type::Decimal(Some(5))),
        ("total / 4", Type::Decimal(None)),
        ("total / total", Type::Decimal(None).optional()),
        ("round(total / 3, 1)", Type::Decimal(Some(1))),
        ("total ?? 0", Type::Decimal(Some(2))),
    ];
    for (expr, ty) in scales {
        let text = orders("state { total: decimal(2) = 0 }\n on Placed { total += .total }\n on Closed { skip }")
            .replace("into cache", &format!("into cache as {{ x: {expr} }}"));
        assert_eq!(projection(&text).sinks[0].document[0].1.ty, ty, "{expr}");
    }
}

#[test]
fn two_topics_that_set_one_field_are_warned_of() {
    let text = r#"
event Paid { id: string, at: timestamp }
event Sent { id: string, at: timestamp }
topic payments = "payments" { type: header("t"), events: Paid, keyed_by: .id }
topic parcels = "parcels" { type: header("t"), events: Sent, keyed_by: .id }
projection view {
  from payments, parcels
  key .id
  state { last: timestamp?, n: int = 0, latest: timestamp? }
  on Paid { n += 1  latest = max(latest ?? .at, .at) }
  on Sent { n += 1  latest = max(latest ?? .at, .at)  last = .at }
  into cache
}
"#;
    assert_eq!(codes_of(&text.replace("n += 1  latest", "last = .at  n += 1  latest")), ["W0520"]);
    assert_eq!(codes_of(&text.replace("latest = max(latest ?? .at, .at)", "")), Vec::<&str>::new());
}

#[test]
fn a_function_is_put_in_the_place_of_its_call() {
    let text = orders("state { total: decimal = 0 }\n on Placed { total = twice(.qty) }\n on Closed { skip }");
    let function = "fn twice(x: decimal) -> decimal { let y = x * 2  y }\n";
    projection(&format!("{function}{text}"));
    let many = "fn a(x: int) -> int = x + 1\nfn b(x: int) -> int = a(a(a(a(x))))\nfn c(x: int) -> int = b(b(b(b(b(b(x))))))\n\
                fn d(x: int) -> int = c(c(c(c(c(c(c(c(x))))))))\nfn e(x: int) -> int = d(d(d(d(d(d(d(d(d(d(x))))))))))\n";
    let text = orders("state { n: int = 0 }\n on Placed { n = e(.qty) }\n on Closed { skip }");
    let codes = codes_of(&format!("{many}{text}"));
    assert!(codes.contains(&codes::TOO_LARGE_INLINED) || codes.contains(&codes::TOO_DEEP), "{codes:?}");
}

#[test]
fn a_test_is_written_as_the_producer_and_the_sink_would() {
    let text = orders("state { total: decimal(2) = 0 }\n on Placed { total += .total }\n on Closed { skip }");
    let test = r#"
test "t" {
  given { @2m Placed { id: "a|b", at: t"2026-01-01T00:00:00Z", total: 3, qty: 1, lines: [{ sku: "s", qty: 1, price: 2.5 }] } }
  expect { "a|b" => { total: 3 } }
}
"#;
    let (program, diagnostics) = check_text(&format!("{text}{test}"));
    let program = program.unwrap_or_else(|| panic!("no errors: {diagnostics:#?}"));
    let steps = &program.tests[0].steps;
    let typed::StepKind::Given { events, .. } = &steps[0].kind else { panic!("first it gives") };
    let json = String::from_utf8(events[0].value.clone().expect("no tombstone")).expect("JSON is UTF-8");
    let expected =
        r#"{"id":"a|b","at":"2026-01-01T00:00:00Z","total":3.00,"qty":1,"lines":[{"sku":"s","qty":1,"price":2.50}]}"#;
    assert_eq!(json, expected);
    assert_eq!(events[0].headers, [("type".to_owned(), "Placed".to_owned())]);
    let typed::StepKind::Expect(expect) = &steps[1].kind else { panic!("then it expects") };
    assert_eq!(expect.rows[0].key, "a%7Cb");
    let typed::ExpectDocument::Fields(fields) = &expect.rows[0].document else { panic!("a document") };
    assert_eq!(fields["total"], serde_json::json!("3.00"));
}

#[test]
fn an_import_brings_the_names_of_its_file_and_no_others() {
    let (shared, _) = parse(FileId(1), "event Placed { id: string }\nenum Kind { card }");
    let (file, _) = parse(
        FileId(0),
        &MINIMAL
            .replace("topic", "import \"shared.proj\"\ntopic")
            .replace("transaction_count ", "kind: Kind = Kind.card  transaction_count "),
    );
    let files = [file, shared];
    let imports = Imports::from([(FileId(0), vec![FileId(1)]), (FileId(1), Vec::new())]);
    let (program, diagnostics) = check(&files, &imports);
    assert!(program.is_some(), "{diagnostics:#?}");
    let (program, _) = check(&files, &Imports::default());
    assert!(program.is_none(), "`Kind` is not visible without the import");
}
