use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::language::codes;
use crate::language::typed::*;
use crate::plan::fixture::{self, *};
use crate::value::{Decimal, Type};

const KEY: &str = "a1";

fn run(projection: &Projection, row: &mut Row, event: &Event) -> Result<Effect, Box<Fault>> {
    fold(projection, &projection.programs[0], event.view(), KEY, row, true, &mut Scratch::default())
}

fn fresh(projection: &Projection) -> Row {
    Row::fresh(&projection.state)
}

fn money(text: &str) -> Value<'static> {
    Value::Decimal(Decimal::parse(text).unwrap())
}

/// A row after these statements have seen one event of 19.95.
fn after(body: Vec<Stmt>) -> (Result<Effect, Box<Fault>>, Row) {
    let projection = projection(body);
    let mut row = fresh(&projection);
    let result = run(&projection, &mut row, &Event::new("19.95", "NOK", "card", 5));
    (result, row)
}

/// The value of an expression over one event and a fresh row.
fn value(expr: Expr) -> Result<Value<'static>, Box<Fault>> {
    let projection = projection(vec![]);
    let event = Event::new("19.95", "NOK", "card", 5);
    let view = event.view();
    let context = event_context(&projection, &projection.programs[0], &view, FaultClass::Eval);
    let mut locals = vec![Value::None; 8];
    let row = fresh(&projection);
    let mut regexes = Regexes::default();
    let mut evaluator = Evaluator { context: &context, state: &row.fields, locals: &mut locals, regexes: &mut regexes };
    evaluator.eval(&expr).map(Value::into_static)
}

#[test]
fn a_handler_adds_counts_and_keeps_the_largest() {
    let projection = projection(vec![deposit(), add_to_channel()]);
    let mut row = fresh(&projection);
    for (amount, at) in [("10.10", 1), ("0.20", 2), ("5", 3)] {
        assert_eq!(run(&projection, &mut row, &Event::new(amount, "NOK", "card", at)), Ok(Effect::Touched));
    }
    assert_eq!(row.fields[BALANCE], money("15.30"));
    assert_eq!(row.fields[COUNT], Value::Int(3));
    assert_eq!(row.fields[BIGGEST], money("10.10"));
    assert_eq!(row.fields[UPDATED], Value::Timestamp(3));
    assert_eq!(row.fields[BY_CHANNEL], Value::map([(Value::text("card"), money("15.30"))]));
}

#[test]
fn an_event_no_handler_wants_leaves_the_row_untouched() {
    let projection = projection(vec![deposit()]);
    let mut row = fresh(&projection);
    assert_eq!(run(&projection, &mut row, &Event::new("10", "EUR", "card", 1)), Ok(Effect::Untouched));
    assert_eq!(row.fields, fresh(&projection).fields);
}

#[test]
fn an_entered_handler_makes_a_row_even_if_nothing_changes() {
    let nothing = stmt(StmtKind::If {
        condition: constant(Value::Bool(false), Type::Bool),
        then: vec![stmt(StmtKind::Delete)],
        otherwise: vec![],
    });
    let (effect, _) = after(vec![stmt(StmtKind::Touch), nothing]);
    assert_eq!(effect, Ok(Effect::Touched));
}

#[test]
fn delete_ends_the_event_and_skip_undoes_it() {
    let count = || assign(COUNT, vec![], Type::Int, AssignOp::Add, int(1));
    let (effect, row) = after(vec![stmt(StmtKind::Touch), count(), stmt(StmtKind::Skip), count()]);
    assert_eq!(effect, Ok(Effect::Skipped));
    assert_eq!(row.fields[COUNT], Value::Int(0));
    let (effect, row) = after(vec![stmt(StmtKind::Touch), stmt(StmtKind::Delete), count()]);
    assert_eq!(effect, Ok(Effect::Deleted));
    assert_eq!(row.fields[COUNT], Value::Int(0));
}

#[test]
fn a_contract_names_the_place_and_the_operand() {
    let projection = projection(vec![deposit()]);
    let mut row = fresh(&projection);
    let fault = run(&projection, &mut row, &Event::new("19.995", "NOK", "card", 1)).unwrap_err();
    assert_eq!(fault.to_string(), "fault[R0102]: 19.995 does not fit balance: decimal(2)");
    assert_eq!(fault.class, FaultClass::Eval);
    let (fault, _) = after(vec![assign(
        BY_CHANNEL,
        vec![PlaceStep::Entry(slot(CHANNEL, TEXT))],
        MONEY,
        AssignOp::Set,
        expr(ExprKind::Convert { conversion: Conversion::DecimalToScale(2), value: Box::new(decimal("0.001")) }, MONEY),
    )]);
    assert_eq!(fault.unwrap_err().message, "0.001 does not fit by_channel[\"card\"]: decimal(2)");
}

#[test]
fn overflow_is_a_fault_with_the_numbers() {
    let big = assign(COUNT, vec![], Type::Int, AssignOp::Set, int(i64::MAX));
    let (fault, row) = after(vec![big, assign(COUNT, vec![], Type::Int, AssignOp::Add, int(1))]);
    let fault = fault.unwrap_err();
    assert_eq!(fault.code, codes::OVERFLOW);
    assert_eq!(fault.message, "9223372036854775807 + 1 does not fit count: an int (64 bits)");
    assert_eq!(row.fields[COUNT], Value::Int(0));
}

/// 38 digits, the last of them a zero once it is added: less than a `decimal(2)` holds, if one place would do.
#[test]
fn a_sum_that_fits_with_fewer_places_breaks_the_contract() {
    let near = assign(BALANCE, vec![], MONEY, AssignOp::Set, decimal("1701411834604692317316873037158841057.20"));
    for written in ["0.10", "0.1"] {
        let add = assign(BALANCE, vec![], MONEY, AssignOp::Add, decimal(written));
        let (fault, _) = after(vec![near.clone(), add]);
        assert_eq!(fault.unwrap_err().code, codes::DECIMAL_FIT, "{written}");
    }
}

#[test]
fn a_missing_number_counts_as_zero() {
    let entry = |op, value| {
        after(vec![assign(BY_CHANNEL, vec![PlaceStep::Entry(text("x"))], MONEY, op, value)]).1.fields[BY_CHANNEL]
            .clone()
    };
    let map = |value| Value::map([(Value::text("x"), value)]);
    assert_eq!(entry(AssignOp::Add, decimal("1.5")), map(money("1.5")));
    assert_eq!(entry(AssignOp::Subtract, decimal("1.5")), map(money("-1.5")));
    assert_eq!(entry(AssignOp::Multiply, decimal("1.5")), map(money("0")));
    assert_eq!(entry(AssignOp::Fill, decimal("1.5")), map(money("1.5")));
}

#[test]
fn a_field_of_an_absent_entry_cannot_be_set() {
    let set_amount = || {
        let steps = vec![PlaceStep::Entry(text("h1")), PlaceStep::Field(0)];
        assign(HOLDS, steps, MONEY, AssignOp::Add, decimal("1"))
    };
    let (fault, _) = after(vec![set_amount()]);
    assert_eq!(fault.unwrap_err().to_string(), "fault[R0104]: there is no `holds[\"h1\"]` to change");
    let hold = expr(ExprKind::Record(vec![decimal("2"), constant(Value::None, Type::None)]), record(&[]));
    let put = assign(HOLDS, vec![PlaceStep::Entry(text("h1"))], record(&[]), AssignOp::Set, hold);
    let (_, row) = after(vec![put, set_amount()]);
    assert_eq!(row.fields[HOLDS], Value::map([(Value::text("h1"), Value::record(vec![money("3"), Value::None]))]));
}

#[test]
fn aggregates_skip_what_is_none() {
    let sum = |field, aggregate, argument| stmt(StmtKind::Aggregate { field, aggregate, argument });
    let none = || constant(Value::None, MONEY.optional());
    let (effect, row) = after(vec![
        sum(COUNT, Aggregate::Count, None),
        sum(BALANCE, Aggregate::Sum, Some(none())),
        sum(BIGGEST, Aggregate::Max, Some(slot(AMOUNT, MONEY))),
        sum(UPDATED, Aggregate::First, Some(slot(AT, Type::Timestamp))),
    ]);
    assert_eq!(effect, Ok(Effect::Touched));
    assert_eq!(row.fields[COUNT], Value::Int(1));
    assert_eq!(row.fields[BALANCE], money("0"));
    assert_eq!(row.fields[BIGGEST], money("19.95"));
    assert_eq!(row.fields[UPDATED], Value::Timestamp(5));
}

#[test]
fn averages_stand_on_hidden_fields() {
    let mut projection = projection(vec![stmt(StmtKind::Aggregate {
        field: BIGGEST,
        aggregate: Aggregate::Avg { sum: BALANCE, count: COUNT },
        argument: Some(slot(AMOUNT, MONEY)),
    })]);
    projection.state[BIGGEST].ty = Type::Decimal(None);
    let mut row = fresh(&projection);
    for amount in ["1", "2", "2"] {
        run(&projection, &mut row, &Event::new(amount, "NOK", "card", 1)).unwrap();
    }
    assert_eq!(row.fields[BIGGEST], money("1.666666666667"));
}

#[test]
fn keys_are_text_and_a_none_part_is_a_fault() {
    let mut projection = projection(vec![]);
    let event = Event::new("1", "a|b", "card", 1);
    projection.key.push(KeyPart { name: "currency".into(), ty: TEXT });
    projection.programs[0].key.push(slot(CURRENCY, TEXT));
    let mut out = String::from("kept ");
    key(&projection, &projection.programs[0], event.view(), &mut Scratch::default(), &mut out).unwrap();
    assert_eq!(out, "kept a1|a%7Cb");
    projection.programs[0].key[1] = constant(Value::None, TEXT.optional());
    let mut out = String::from("kept ");
    let fault = key(&projection, &projection.programs[0], event.view(), &mut Scratch::default(), &mut out).unwrap_err();
    assert_eq!((fault.code, fault.class), (codes::NO_KEY, FaultClass::Key));
    assert_eq!(fault.message, "the key part `currency` is none");
    assert_eq!(out, "kept ");
}

#[test]
fn the_envelope_is_the_records() {
    let envelope = |envelope, ty| value(expr(ExprKind::Envelope(envelope), ty)).unwrap();
    assert_eq!(envelope(Envelope::Key, TEXT.optional()), Value::text("a1"));
    assert_eq!(envelope(Envelope::Timestamp, Type::Timestamp), Value::Timestamp(5));
    assert_eq!(envelope(Envelope::Offset, Type::Int), Value::Int(7));
    assert_eq!(envelope(Envelope::Partition, Type::Int), Value::Int(3));
    assert_eq!(envelope(Envelope::Topic, TEXT), Value::text("bank.transactions"));
    assert_eq!(envelope(Envelope::Type, TEXT), Value::text("Deposited"));
    assert_eq!(envelope(Envelope::Id, TEXT), Value::text("bank.transactions-3-7"));
    let header = |name| value(fixture::call(Function::Header, vec![text(name)], TEXT.optional())).unwrap();
    assert_eq!(header("type"), Value::text("Deposited"));
    assert_eq!(header("other"), Value::None);
}

#[test]
fn division_is_optional_and_unwrapping_none_a_fault() {
    let divide = |a: &str, b: &str| binary(BinaryOp::Divide, decimal(a), decimal(b), Type::Decimal(None).optional());
    assert_eq!(value(divide("1", "3")), Ok(money("0.333333333333")));
    assert_eq!(value(divide("1", "0")), Ok(Value::None));
    let unwrapped = |inner| value(expr(ExprKind::Unwrap(Box::new(inner)), MONEY));
    assert_eq!(unwrapped(divide("1", "2")), Ok(money("0.5")));
    let fault = unwrapped(state(BIGGEST, MONEY.optional())).unwrap_err();
    assert_eq!(fault.to_string(), "fault[R0104]: `!` on `biggest`, which is none");
}

#[test]
fn matches_bind_and_guard() {
    let subject = || Box::new(int(7));
    let arm = |patterns, guard, value| Arm { patterns, guard, value };
    let big = binary(BinaryOp::Greater, local(0, Type::Int), int(5), Type::Bool);
    let arms = vec![
        arm(vec![Pattern::Constant(Value::Int(1)), Pattern::Constant(Value::Int(2))], None, text("small")),
        arm(vec![Pattern::Bind(0)], Some(big), text("big")),
        arm(vec![Pattern::Any], None, text("other")),
    ];
    assert_eq!(value(expr(ExprKind::Match { subject: subject(), arms }, TEXT)), Ok(Value::text("big")));
}

#[test]
fn a_chain_stops_at_none() {
    let chain = |base| {
        let rest = Box::new(expr(ExprKind::Field { base: Box::new(local(0, Type::None)), index: 0 }, MONEY));
        value(expr(ExprKind::Chain { base: Box::new(base), local: 0, rest }, MONEY.optional()))
    };
    assert_eq!(chain(constant(Value::None, Type::None)), Ok(Value::None));
    let hold = expr(ExprKind::Record(vec![decimal("2")]), record(&[("amount", MONEY)]));
    assert_eq!(chain(hold), Ok(money("2")));
}

#[test]
fn reshaping_goes_by_field_name_at_every_depth() {
    let from = Type::List(Arc::new(record(&[("b", Type::Int), ("a", Type::Decimal(None))])));
    let to = Type::List(Arc::new(record(&[("a", MONEY), ("b", Type::Int.optional()), ("c", TEXT.optional())])));
    let item = |amount| Value::record(vec![Value::Int(1), money(amount)]);
    let reshape = |amount| {
        let list = constant(Value::list(vec![item(amount)]), from.clone());
        let conversion = Conversion::Reshape;
        value(expr(ExprKind::Convert { conversion, value: Box::new(list) }, to.clone()))
    };
    let shaped = Value::record(vec![money("2.5"), Value::Int(1), Value::None]);
    assert_eq!(reshape("2.5"), Ok(Value::list(vec![shaped])));
    assert_eq!(reshape("2.555").unwrap_err().message, "2.555 does not fit decimal(2)");
}

#[test]
fn dates_and_times_add_up() {
    let day = 86_400_000_000;
    let op = |op, a, b, ty: Type| value(binary(op, constant(a, ty.clone()), constant(b, ty.clone()), ty));
    use BinaryOp::{Add, Multiply, Subtract};
    assert_eq!(op(Subtract, Value::Date(10), Value::Date(3), Type::Int), Ok(Value::Int(7)));
    assert_eq!(op(Add, Value::Date(10), Value::Duration(-1), Type::Date), Ok(Value::Date(9)));
    assert_eq!(op(Subtract, Value::Timestamp(9), Value::Timestamp(4), Type::Duration), Ok(Value::Duration(5)));
    assert_eq!(op(Multiply, Value::Duration(day), Value::Int(2), Type::Duration), Ok(Value::Duration(2 * day)));
    let past = op(Add, Value::Timestamp(crate::value::timestamp::MAX), Value::Duration(1), Type::Timestamp);
    assert_eq!(past.unwrap_err().code, codes::OVERFLOW);
}

#[test]
fn the_filter_and_the_membership_are_conditions() {
    let mut projection = projection(vec![deposit()]);
    let event = Event::new("1", "NOK", "card", 1);
    let mut scratch = Scratch::default();
    let filtered = |projection: &Projection| {
        filter(projection, &projection.programs[0], event.view(), &mut Scratch::default()).unwrap()
    };
    assert!(filtered(&projection));
    projection.programs[0].filter = Some(binary(BinaryOp::Equal, slot(CURRENCY, TEXT), text("EUR"), Type::Bool));
    assert!(!filtered(&projection));
    let mut row = fresh(&projection);
    assert_eq!(member(&projection.sinks[0], &projection, KEY, &row, &mut scratch), Ok(false));
    run(&projection, &mut row, &event).unwrap();
    assert_eq!(member(&projection.sinks[0], &projection, KEY, &row, &mut scratch), Ok(true));
}

/// Any change of the row, told by a number.
fn step(choice: u8, key: u8) -> Stmt {
    let name = ["a", "b", "c"][usize::from(key % 3)];
    let entry = || PlaceStep::Entry(text(name));
    let hold = || expr(ExprKind::Record(vec![decimal("2"), text(name)]), record(&[]));
    match choice % 9 {
        0 => deposit(),
        1 => add_to_channel(),
        2 => assign(BY_CHANNEL, vec![entry()], MONEY, AssignOp::Add, decimal("1")),
        3 => stmt(StmtKind::Remove {
            place: Place { field: BY_CHANNEL, steps: vec![entry()], ty: MONEY, span: Span::default() },
        }),
        4 => assign(BY_CHANNEL, vec![], by_channel(), AssignOp::Set, constant(Value::map([]), by_channel())),
        5 => assign(HOLDS, vec![entry()], record(&[]), AssignOp::Set, hold()),
        6 => assign(HOLDS, vec![entry(), PlaceStep::Field(0)], MONEY, AssignOp::Add, decimal("1")),
        7 => assign(UPDATED, vec![], Type::Timestamp, AssignOp::Fill, slot(AT, Type::Timestamp)),
        _ => stmt(StmtKind::Remove {
            place: Place { field: HOLDS, steps: vec![entry()], ty: MONEY, span: Span::default() },
        }),
    }
}

proptest! {
    /// Whatever an event did before it failed or was skipped, its row is as it was; a copy held elsewhere never changes.
    #[test]
    fn a_fault_or_a_skip_leaves_no_trace(
        before in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12),
        during in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12),
        skip in any::<bool>(),
    ) {
        let event = Event::new("1.25", "NOK", "b", 9);
        let mut row = fresh(&projection(vec![]));
        for (choice, key) in before {
            // A step may fault by itself: then it must leave no trace either.
            let _ = run(&projection(vec![step(choice, key)]), &mut row, &event);
        }
        let copy = row.clone();
        let deep: Vec<String> = row.fields.iter().map(|field| format!("{field:?}")).collect();
        let mut body: Vec<Stmt> = during.iter().map(|(choice, key)| step(*choice, *key)).collect();
        body.push(if skip { stmt(StmtKind::Skip) } else { assign(COUNT, vec![], Type::Int, AssignOp::Add, int(i64::MAX)) });
        body.push(assign(COUNT, vec![], Type::Int, AssignOp::Add, int(i64::MAX)));
        let result = run(&projection(body), &mut row, &event);
        prop_assert!(matches!(result, Ok(Effect::Skipped) | Err(_)));
        let now = |row: &Row| row.fields.iter().map(|field| format!("{field:?}")).collect::<Vec<_>>();
        prop_assert_eq!(now(&row), deep.clone());
        prop_assert_eq!(now(&copy), deep);
    }
}
