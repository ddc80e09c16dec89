//! Plans: what changes which hash, the canonical text, explain and documents.

use std::sync::Arc;

use insta::assert_snapshot;

use crate::event::Version;
use crate::language::codes;
use crate::language::span::{FileId, Span};
use crate::language::typed::*;
use crate::plan::eval::Scratch;
use crate::plan::explain::explain;
use crate::plan::fixture::{self, *};
use crate::plan::{Hashes, Row, lower, render};
use crate::value::{Decimal, Type, Value};

fn accounts() -> Projection {
    projection(vec![deposit(), add_to_channel()])
}

/// The names of the hashes that differ.
fn changed(before: Hashes, after: Hashes) -> Vec<&'static str> {
    [
        ("source", before.source != after.source),
        ("layout", before.layout != after.layout),
        ("fold", before.fold != after.fold),
        ("emit", before.emit != after.emit),
        ("options", before.options != after.options),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}

/// What an edit of the projection changes.
fn edit(edit: impl FnOnce(&mut Projection)) -> Vec<&'static str> {
    let mut edited = accounts();
    edit(&mut edited);
    changed(lower(accounts()).hashes, lower(edited).hashes)
}

#[test]
fn the_text_is_canonical() {
    assert_snapshot!(lower(accounts()).text);
}

#[test]
fn explain_shows_the_pipeline() {
    assert_snapshot!(explain(&lower(accounts())));
}

#[test]
fn each_part_changes_its_own_hash() {
    assert_eq!(edit(|p| p.topics[0].event_type = EventTypeFrom::Field("type".into())), ["source"]);
    assert_eq!(edit(|p| p.programs[0].filter = Some(constant(Value::Bool(false), Type::Bool))), ["source"]);
    assert_eq!(edit(|p| p.programs[0].key[0] = slot(CURRENCY, TEXT)), ["source"]);
    assert_eq!(edit(|p| p.state[COUNT].default = Some(Value::Int(1))), ["layout"]);
    assert_eq!(edit(|p| p.state[BIGGEST].ty = Type::Decimal(Some(3)).optional()), ["layout"]);
    assert_eq!(edit(|p| p.programs[0].body.push(stmt(StmtKind::Delete))), ["fold"]);
    assert_eq!(edit(|p| p.programs[0].body.swap(0, 1)), ["fold"]);
    assert_eq!(edit(|p| p.sinks[0].when = None), ["emit"]);
    assert_eq!(edit(|p| p.sinks[0].document.swap(0, 1)), ["emit"]);
    assert_eq!(edit(|p| p.on_error.eval = FaultAction::Skip), ["options"]);
    let batch = OptionValue::Constant(Value::Int(1));
    assert_eq!(edit(|p| p.sinks[0].options.all[1].value = batch), ["options"]);
    let container = OptionValue::Constant(Value::text("Other"));
    assert_eq!(edit(|p| p.sinks[0].options.all[0].value = container), ["emit"]);
}

#[test]
fn what_says_nothing_changes_nothing() {
    let none: [&str; 0] = [];
    assert_eq!(edit(|p| p.programs[0].declared_fields = Some(8)), none);
    assert_eq!(edit(|p| p.topics[0].declared.push("Unused".into())), none);
    assert_eq!(edit(|p| p.topics[0].name = "renamed".into()), none);
    assert_eq!(edit(|p| p.programs[0].event = "Renamed".into()), none);
    assert_eq!(edit(|p| p.key[0].name = "id".into()), none);
    assert_eq!(edit(|p| p.programs[0].body[0].span = Span { file: FileId(1), start: 2, end: 3 }), none);
    assert_eq!(edit(|p| p.sinks[0].options.all.reverse()), none);
}

#[test]
fn the_order_of_state_and_slots_is_no_part_of_the_meaning() {
    let reordered = edit(|p| {
        p.state.swap(BALANCE, COUNT);
        p.programs[0].slots.swap(ACCOUNT, AT);
        let text = |projection: &mut Projection| {
            let mut expr = |expr: &mut Expr| match &mut expr.kind {
                ExprKind::State(index @ (BALANCE | COUNT)) => *index = 1 - *index,
                ExprKind::Slot(index @ (ACCOUNT | AT)) => *index = ACCOUNT + AT - *index,
                _ => {}
            };
            let mut statement = |statement: &mut Stmt| {
                if let StmtKind::Assign { place, .. } = &mut statement.kind
                    && place.field <= COUNT
                {
                    place.field = 1 - place.field;
                }
            };
            super::walk::Visit { expr: &mut expr, statement: &mut statement }.projection(projection);
        };
        text(p);
    });
    assert_eq!(reordered, [""; 0]);
}

#[test]
fn the_numbers_of_locals_are_no_part_of_the_meaning() {
    let with = |number: usize| {
        let ty = Type::List(Arc::new(MONEY));
        let doubled = binary(BinaryOp::Add, local(number, MONEY), local(number, MONEY), MONEY);
        let lambda = expr(ExprKind::Lambda { parameters: vec![number], body: Box::new(doubled) }, MONEY);
        let list = expr(ExprKind::List(vec![slot(AMOUNT, MONEY)]), ty.clone());
        let sum = fixture::call(Function::SumList, vec![fixture::call(Function::Map, vec![list, lambda], ty)], MONEY);
        let bind = stmt(StmtKind::Let { local: 3 - number, value: sum });
        let use_it = assign(BALANCE, vec![], MONEY, AssignOp::Set, local(3 - number, MONEY));
        let mut projection = projection(vec![stmt(StmtKind::Touch), bind, use_it]);
        projection.programs[0].locals = 4;
        lower(projection)
    };
    assert_eq!(with(0).text, with(1).text);
    assert_eq!(with(0).hashes, with(1).hashes);
}

#[test]
fn constants_are_folded_before_hashing() {
    let sum = |expr: Expr| lower(projection(vec![assign(COUNT, vec![], Type::Int, AssignOp::Add, expr)]));
    let written = binary(BinaryOp::Multiply, int(60), int(60), Type::Int);
    assert_eq!(sum(written).hashes, sum(int(3600)).hashes);
    // What would fault stays where it stands.
    let overflow = binary(BinaryOp::Multiply, int(i64::MAX), int(2), Type::Int);
    assert!(sum(overflow).text.contains("(9223372036854775807 * 2)"));
    let condition = constant(Value::Bool(false), Type::Bool);
    let branches = (Box::new(int(1)), Box::new(int(2)));
    let choice = ExprKind::If { condition: Box::new(condition), then: branches.0, otherwise: branches.1 };
    assert_eq!(sum(expr(choice, Type::Int)).hashes, sum(int(2)).hashes);
}

fn row(projection: &Projection, values: &[(&str, Value<'static>)]) -> Row {
    let mut row = Row::fresh(&projection.state);
    for (name, value) in values {
        let index = projection.state.iter().position(|field| *field.name == **name).unwrap();
        row.fields[index] = value.clone();
    }
    row
}

fn document(projection: &Projection, key: &str, row: &Row) -> Result<String, Box<super::Fault>> {
    let mut out = Vec::new();
    let sink = &projection.sinks[0];
    render::document(projection, sink, key, row, Version(7), &mut Scratch::default(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_document_has_its_id_first_and_its_mark_last() {
    let projection = lower(accounts()).projection;
    let row = row(
        &projection,
        &[
            ("balance", Value::Decimal(Decimal::new(1530, 2))),
            ("count", Value::Int(3)),
            ("by_channel", Value::map([(Value::text("card"), Value::Decimal(Decimal::new(5, 0)))])),
            ("updated", Value::Timestamp(0)),
        ],
    );
    assert_eq!(
        document(&projection, "a1", &row).unwrap(),
        concat!(
            r#"{"id":"a1","account_id":"a1","balance":"15.30","count":3,"by_channel":{"card":"5.00"},"#,
            r#""updated":"1970-01-01T00:00:00Z","_proj":{"p":"accounts","v":7}}"#
        )
    );
}

#[test]
fn ids_are_escaped_for_the_target_and_templates_part_by_part() {
    let mut projection = lower(accounts()).projection;
    projection.sinks[0].document.truncate(1);
    let row = Row::fresh(&projection.state);
    let id = |projection: &Projection, key: &str| {
        let document: serde_json::Value = serde_json::from_str(&document(projection, key, &row).unwrap()).unwrap();
        (document["id"].as_str().unwrap().to_owned(), document["account_id"].as_str().unwrap().to_owned())
    };
    assert_eq!(id(&projection, "a/b#%7C"), ("a%2Fb%23%7C".to_owned(), "a/b#|".to_owned()));
    let parts = vec![text("n|"), expr(ExprKind::Key(0), TEXT)];
    projection.sinks[0].options.id = Some(expr(ExprKind::Interpolate(parts), TEXT));
    assert_eq!(id(&projection, "a%7Cb").0, "n|a%7Cb");
    // The first character of what ends a part is escaped in it.
    let parts = vec![expr(ExprKind::Key(0), TEXT), text("-é"), expr(ExprKind::Key(0), TEXT)];
    projection.sinks[0].options.id = Some(expr(ExprKind::Interpolate(parts), TEXT));
    assert_eq!(id(&projection, "a-b").0, "a%2Db-éa-b");
    // A document that names an id has it once, as it stands there, and is asked for by that.
    projection.sinks[0].options.id = Some(expr(ExprKind::Key(0), TEXT));
    projection.sinks[0].document.push(("id".into(), expr(ExprKind::Key(0), TEXT)));
    assert_eq!(id(&projection, "a%7C1").0, "a|1");
    assert_eq!(document(&projection, "a1", &row).unwrap().matches("\"id\"").count(), 1);
    let asked = render::cosmos_document_id(&projection, &projection.sinks[0], "a%7C1", &mut Scratch::default());
    assert_eq!(asked.unwrap(), "a|1");
}

#[test]
fn an_int_past_two_to_the_53_is_a_fault_of_the_sink() {
    let mut projection = lower(accounts()).projection;
    let past = row(&projection, &[("count", Value::Int((1 << 53) + 1))]);
    let fault = document(&projection, "a1", &past).unwrap_err();
    assert_eq!((fault.code, fault.class), (codes::OVERFLOW, FaultClass::Sink));
    projection.sinks[0].options.ints_as_text = true;
    assert!(document(&projection, "a1", &past).unwrap().contains(r#""count":"9007199254740993""#));
}

#[test]
fn none_is_null_or_left_out() {
    let mut projection = lower(accounts()).projection;
    let fresh = Row::fresh(&projection.state);
    assert!(document(&projection, "a1", &fresh).unwrap().contains(r#""updated":null"#));
    projection.sinks[0].options.omit_none = true;
    assert!(!document(&projection, "a1", &fresh).unwrap().contains("updated"));
}
