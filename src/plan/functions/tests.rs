//! The library, one line a rule.

use std::sync::Arc;

use crate::language::typed::*;
use crate::plan::fixture::{binary, call, constant, decimal, int, local, projection, record, text};
use crate::plan::{Row, eval};
use crate::value::{Decimal, EnumType, Type, Value};

use Function as F;

const TEXT: Type = Type::String(None);
const PLAIN: Type = Type::Decimal(None);

fn result(expr: &Expr) -> Result<Value<'static>, Box<crate::plan::Fault>> {
    let projection = projection(vec![]);
    let context = eval::row_context(&projection, "a1");
    let row = Row::fresh(&projection.state);
    let (mut locals, mut regexes) = (vec![Value::None; 8], eval::Regexes::default());
    let mut evaluator =
        eval::Evaluator { context: &context, state: &row.fields, locals: &mut locals, regexes: &mut regexes };
    evaluator.eval(expr).map(Value::into_static)
}

fn value(function: F, arguments: Vec<Expr>, ty: Type) -> Value<'static> {
    result(&call(function, arguments, ty)).unwrap()
}

fn code(function: F, arguments: Vec<Expr>, ty: Type) -> &'static str {
    result(&call(function, arguments, ty)).unwrap_err().code
}

fn number(text: &str) -> Value<'static> {
    Value::Decimal(Decimal::parse(text).unwrap())
}

fn words(words: &[&str]) -> Value<'static> {
    Value::list(words.iter().map(|word| Value::text(*word)).collect())
}

fn list(items: Value<'static>) -> Expr {
    constant(items, Type::List(Arc::new(TEXT)))
}

fn ints(items: &[i64]) -> Expr {
    let items = items.iter().map(|item| Value::Int(*item)).collect();
    constant(Value::list(items), Type::List(Arc::new(Type::Int)))
}

fn set(items: &[i64]) -> Expr {
    constant(Value::set(items.iter().map(|item| Value::Int(*item))), Type::Set(Arc::new(Type::Int)))
}

fn lambda(parameters: &[usize], body: Expr) -> Expr {
    let ty = body.ty.clone();
    Expr { kind: ExprKind::Lambda { parameters: parameters.to_vec(), body: Box::new(body) }, ty, span: body_span() }
}

fn body_span() -> crate::language::span::Span {
    crate::language::span::Span::default()
}

fn item(index: usize) -> Expr {
    local(index, Type::Int)
}

#[test]
fn rounding_gives_the_scale_it_was_asked_for() {
    let round = |x: &str, n, mode: &str| value(F::Round, vec![decimal(x), int(n), text(mode)], PLAIN);
    assert_eq!(round("2.345", 2, "half_even"), number("2.34"));
    assert_eq!(round("2.345", 2, "half_up"), number("2.35"));
    assert_eq!(value(F::Round, vec![decimal("2.355"), int(2)], PLAIN), number("2.36"));
    assert_eq!(value(F::Round, vec![constant(Value::None, PLAIN.optional()), int(2)], PLAIN), Value::None);
    assert_eq!(value(F::Floor, vec![decimal("-1.5")], Type::Int), Value::Int(-2));
    assert_eq!(value(F::Ceil, vec![decimal("-1.5")], Type::Int), Value::Int(-1));
    assert_eq!(value(F::Trunc, vec![decimal("-1.5")], Type::Int), Value::Int(-1));
    assert_eq!(code(F::Floor, vec![decimal("1e20")], Type::Int), "R0101");
}

#[test]
fn whole_division_goes_toward_zero() {
    let ty = || Type::Int.optional();
    assert_eq!(value(F::Div, vec![int(-7), int(2)], ty()), Value::Int(-3));
    assert_eq!(value(F::Mod, vec![int(-7), int(2)], ty()), Value::Int(-1));
    assert_eq!(value(F::Div, vec![int(1), int(0)], ty()), Value::None);
    assert_eq!(value(F::Mod, vec![int(i64::MIN), int(-1)], ty()), Value::Int(0));
    assert_eq!(code(F::Div, vec![int(i64::MIN), int(-1)], ty()), "R0101");
    assert_eq!(result(&binary(BinaryOp::Remainder, int(-7), int(4), ty())), Ok(Value::Int(-3)));
}

#[test]
fn numbers_have_bounds_signs_and_texts() {
    assert_eq!(value(F::Abs, vec![int(-3)], Type::Int), Value::Int(3));
    assert_eq!(code(F::Abs, vec![int(i64::MIN)], Type::Int), "R0101");
    assert_eq!(value(F::Sign, vec![decimal("-0.5")], Type::Int), Value::Int(-1));
    assert_eq!(value(F::Clamp, vec![int(9), int(1), int(5)], Type::Int), Value::Int(5));
    assert_eq!(value(F::MinOf, vec![decimal("1.5"), decimal("1.50")], PLAIN), number("1.5"));
    assert_eq!(value(F::Pow, vec![decimal("1.1"), int(2)], PLAIN), number("1.21"));
    assert_eq!(code(F::Pow, vec![decimal("10"), int(40)], PLAIN), "R0101");
    assert_eq!(value(F::IntOfText, vec![text("12.0")], Type::Int.optional()), Value::Int(12));
    assert_eq!(value(F::IntOfText, vec![text("12.5")], Type::Int.optional()), Value::None);
    assert_eq!(value(F::DecimalOfText, vec![text("x")], PLAIN.optional()), Value::None);
    let float = constant(Value::Float(0.1), Type::Float);
    assert_eq!(value(F::DecimalOfFloat, vec![float, int(2)], PLAIN), number("0.1"));
    assert_eq!(value(F::FloatOfDecimal, vec![decimal("0.1")], Type::Float), Value::Float(0.1));
}

#[test]
fn text_goes_by_characters() {
    assert_eq!(value(F::TextLen, vec![text("blåbær")], Type::Int), Value::Int(6));
    assert_eq!(value(F::Slice, vec![text("blåbær"), int(2), int(99)], TEXT), Value::text("åbær"));
    assert_eq!(value(F::Slice, vec![text("blåbær"), int(-1), int(3)], TEXT), Value::text("blå"));
    assert_eq!(value(F::Slice, vec![text("blåbær"), int(4), int(2)], TEXT), Value::text(""));
    assert_eq!(value(F::PadStart, vec![text("7"), int(3), text("0")], TEXT), Value::text("007"));
    assert_eq!(value(F::PadEnd, vec![text("é"), int(3)], TEXT), Value::text("é  "));
    assert_eq!(code(F::PadEnd, vec![text("x"), int(1 << 40)], TEXT), "R0106");
    assert_eq!(value(F::Mask, vec![text("4000123412341234"), int(4)], TEXT), Value::text("************1234"));
    assert_eq!(value(F::Upper, vec![text("straße")], TEXT), Value::text("STRASSE"));
}

#[test]
fn text_is_taken_apart_and_joined() {
    let ty = || Type::List(Arc::new(TEXT));
    assert_eq!(value(F::Split, vec![text("a,,b"), text(",")], ty()), words(&["a", "", "b"]));
    assert_eq!(value(F::Split, vec![text("ab"), text("")], ty()), words(&["ab"]));
    assert_eq!(value(F::Words, vec![text("  a \n b ")], ty()), words(&["a", "b"]));
    assert_eq!(value(F::Join, vec![list(words(&["a", "b"])), text(", ")], TEXT), Value::text("a, b"));
    assert_eq!(value(F::Join, vec![ints(&[1, 2]), text("-")], TEXT), Value::text("1-2"));
    assert_eq!(value(F::Replace, vec![text("aXbX"), text("X"), text("")], TEXT), Value::text("ab"));
    assert_eq!(value(F::Trim, vec![text(" a ")], TEXT), Value::text("a"));
    assert_eq!(value(F::TextContains, vec![text("abc"), text("bc")], Type::Bool), Value::Bool(true));
    assert_eq!(value(F::StartsWith, vec![text("abc"), text("bc")], Type::Bool), Value::Bool(false));
    assert_eq!(value(F::Matches, vec![text("ab12"), text(r"^\w+\d$")], Type::Bool), Value::Bool(true));
    assert_eq!(value(F::Hash, vec![text("")], TEXT), Value::text("af1349b9f5f9a1a6a0404dea36dcc949"));
}

#[test]
fn scalars_and_enums_have_texts() {
    let ty = Type::Enum(Arc::new(EnumType { name: "S".into(), members: vec![("shipped".into(), "SHIPPED".into())] }));
    let shipped = || constant(Value::Enum(0), ty.clone());
    assert_eq!(value(F::EnumName, vec![shipped()], TEXT), Value::text("shipped"));
    assert_eq!(value(F::EnumText, vec![shipped()], TEXT), Value::text("SHIPPED"));
    assert_eq!(value(F::TextOf, vec![shipped()], TEXT), Value::text("SHIPPED"));
    let money = constant(number("1.5"), Type::Decimal(Some(2)));
    assert_eq!(value(F::TextOf, vec![money], TEXT), Value::text("1.50"));
    assert_eq!(value(F::UuidOfText, vec![text("nope")], Type::Uuid.optional()), Value::None);
}

#[test]
fn times_are_cut_and_converted() {
    let at = |micros| constant(Value::Timestamp(micros), Type::Timestamp);
    let hour = 3_600_000_000;
    let step = |micros| constant(Value::Duration(micros), Type::Duration);
    assert_eq!(value(F::TruncTime, vec![at(hour + 5), step(hour)], Type::Timestamp), Value::Timestamp(hour));
    assert_eq!(value(F::TruncTime, vec![at(-1), step(hour)], Type::Timestamp), Value::Timestamp(-hour));
    assert_eq!(code(F::TruncTime, vec![at(0), step(0)], Type::Timestamp), "R0101");
    assert_eq!(value(F::FromUnix, vec![int(1)], Type::Timestamp), Value::Timestamp(1_000_000));
    assert_eq!(code(F::FromUnixMs, vec![int(i64::MAX)], Type::Timestamp), "R0101");
    assert_eq!(value(F::UnixMs, vec![at(-1)], Type::Int), Value::Int(-1));
    assert_eq!(value(F::Hours, vec![step(-hour - 1)], Type::Int), Value::Int(-1));
    assert_eq!(value(F::DurationOfHours, vec![int(2)], Type::Duration), Value::Duration(2 * hour));
    assert_eq!(value(F::DateOf, vec![at(-1)], Type::Date), Value::Date(-1));
    assert_eq!(value(F::TimestampOfText, vec![text("soon")], Type::Timestamp.optional()), Value::None);
}

#[test]
fn lists_are_walked_in_order() {
    let ty = || Type::List(Arc::new(Type::Int));
    let odd = || {
        let rest = binary(BinaryOp::Remainder, item(0), int(2), Type::Int);
        lambda(&[0], binary(BinaryOp::Equal, rest, int(1), Type::Bool))
    };
    let list = || ints(&[3, 1, 2, 3]);
    let of = |items: &[i64]| Value::list(items.iter().map(|item| Value::Int(*item)).collect());
    assert_eq!(value(F::Filter, vec![list(), odd()], ty()), of(&[3, 1, 3]));
    assert_eq!(value(F::CountIf, vec![list(), odd()], Type::Int), Value::Int(3));
    assert_eq!(value(F::Find, vec![list(), odd()], Type::Int.optional()), Value::Int(3));
    assert_eq!(value(F::Any, vec![list(), odd()], Type::Bool), Value::Bool(true));
    assert_eq!(value(F::All, vec![list(), odd()], Type::Bool), Value::Bool(false));
    assert_eq!(value(F::Sorted, vec![list()], ty()), of(&[1, 2, 3, 3]));
    assert_eq!(value(F::Distinct, vec![list()], ty()), of(&[3, 1, 2]));
    assert_eq!(value(F::Reversed, vec![list()], ty()), of(&[3, 2, 1, 3]));
    assert_eq!(value(F::TakeLast, vec![list(), int(2)], ty()), of(&[2, 3]));
    assert_eq!(value(F::Drop, vec![list(), int(9)], ty()), of(&[]));
    assert_eq!(value(F::Append, vec![list(), int(9)], ty()), of(&[3, 1, 2, 3, 9]));
    assert_eq!(value(F::SumList, vec![list()], Type::Int), Value::Int(9));
    assert_eq!(value(F::SumList, vec![ints(&[])], PLAIN), number("0"));
    assert_eq!(code(F::SumList, vec![ints(&[i64::MAX, 1])], Type::Int), "R0101");
    assert_eq!(value(F::AvgList, vec![ints(&[1, 2])], PLAIN.optional()), number("1.5"));
    assert_eq!(value(F::AvgList, vec![ints(&[])], PLAIN.optional()), Value::None);
    assert_eq!(value(F::MaxList, vec![list()], Type::Int.optional()), Value::Int(3));
    assert_eq!(value(F::First, vec![ints(&[])], Type::Int.optional()), Value::None);
    let sum = lambda(&[0, 1], binary(BinaryOp::Add, item(0), item(1), Type::Int));
    assert_eq!(value(F::Fold, vec![list(), int(10), sum], Type::Int), Value::Int(19));
}

#[test]
fn elements_are_grouped_by_what_a_lambda_says() {
    let rest = || lambda(&[0], binary(BinaryOp::Remainder, item(0), int(2), Type::Int));
    let of = |items: &[i64]| Value::list(items.iter().map(|item| Value::Int(*item)).collect());
    let list = || ints(&[4, 3, 2, 1]);
    let ty = || Type::List(Arc::new(Type::Int));
    // Stable: equals stay in their order.
    assert_eq!(value(F::SortBy, vec![list(), rest()], ty()), of(&[4, 2, 3, 1]));
    assert_eq!(value(F::DistinctBy, vec![list(), rest()], ty()), of(&[4, 3]));
    let groups = value(F::GroupBy, vec![list(), rest()], Type::None);
    assert_eq!(groups, Value::map([(Value::Int(0), of(&[4, 2])), (Value::Int(1), of(&[3, 1]))]));
    let tally = value(F::Tally, vec![list(), rest()], Type::None);
    assert_eq!(tally, Value::map([(Value::Int(0), Value::Int(2)), (Value::Int(1), Value::Int(2))]));
    let map = value(F::ToMap, vec![list(), rest(), lambda(&[0], item(0))], Type::None);
    assert_eq!(map, Value::map([(Value::Int(0), Value::Int(2)), (Value::Int(1), Value::Int(1))]));
}

#[test]
fn sets_combine() {
    let of = |items: &[i64]| Value::set(items.iter().map(|item| Value::Int(*item)));
    let ty = || Type::Set(Arc::new(Type::Int));
    assert_eq!(value(F::SetAdd, vec![set(&[1]), int(2)], ty()), of(&[1, 2]));
    assert_eq!(value(F::Without, vec![set(&[1, 2]), int(2)], ty()), of(&[1]));
    assert_eq!(value(F::Union, vec![set(&[1]), ints(&[2, 2])], ty()), of(&[1, 2]));
    assert_eq!(value(F::Minus, vec![set(&[1, 2]), ints(&[2, 3])], ty()), of(&[1]));
    assert_eq!(value(F::Intersect, vec![set(&[1, 2]), set(&[2, 3])], ty()), of(&[2]));
    assert_eq!(value(F::Has, vec![set(&[1]), int(1)], Type::Bool), Value::Bool(true));
    assert_eq!(value(F::Len, vec![set(&[1, 2])], Type::Int), Value::Int(2));
    assert_eq!(value(F::IsEmpty, vec![set(&[])], Type::Bool), Value::Bool(true));
    let double = lambda(&[0], binary(BinaryOp::Multiply, item(0), int(2), Type::Int));
    assert_eq!(value(F::MapSet, vec![set(&[1, 2]), double], ty()), of(&[2, 4]));
}

#[test]
fn maps_are_merged_and_taken_apart() {
    let entry = |key: &str, value| (Value::text(key), Value::Int(value));
    let ty = || Type::Map(Arc::new(TEXT), Arc::new(Type::Int));
    let map = |entries: &[(&str, i64)]| Value::map(entries.iter().map(|(key, value)| entry(key, *value)));
    let of = |entries: &[(&str, i64)]| constant(map(entries), ty());
    let ab = || of(&[("a", 1), ("b", 2)]);
    assert_eq!(value(F::Put, vec![ab(), text("a"), int(9)], ty()), map(&[("a", 9), ("b", 2)]));
    assert_eq!(value(F::Without, vec![ab(), text("a")], ty()), map(&[("b", 2)]));
    assert_eq!(value(F::Keys, vec![ab()], Type::None), words(&["a", "b"]));
    assert_eq!(value(F::Merge, vec![ab(), of(&[("b", 5)])], ty()), map(&[("a", 1), ("b", 5)]));
    let sum = lambda(&[0, 1], binary(BinaryOp::Add, item(0), item(1), Type::Int));
    assert_eq!(value(F::Merge, vec![ab(), of(&[("b", 5)]), sum], ty()), map(&[("a", 1), ("b", 7)]));
    let large = lambda(&[0, 1], binary(BinaryOp::Greater, item(1), int(1), Type::Bool));
    assert_eq!(value(F::FilterMap, vec![ab(), large], ty()), map(&[("b", 2)]));
    let double = lambda(&[0], binary(BinaryOp::Multiply, item(0), int(2), Type::Int));
    assert_eq!(value(F::MapValues, vec![ab(), double], ty()), map(&[("a", 2), ("b", 4)]));
    // A lambda of two parameters takes a pair apart.
    let pair = record(&[("key", TEXT), ("value", Type::Int)]);
    let entries = call(F::Entries, vec![ab()], Type::List(Arc::new(pair)));
    let keys = lambda(&[0, 1], local(0, TEXT));
    assert_eq!(value(F::Map, vec![entries, keys], Type::List(Arc::new(TEXT))), words(&["a", "b"]));
}

#[test]
fn optionals_are_mapped_or_fault_with_the_authors_words() {
    let none = || constant(Value::None, Type::Int.optional());
    let double = || lambda(&[0], binary(BinaryOp::Multiply, item(0), int(2), Type::Int));
    assert_eq!(value(F::MapOptional, vec![int(2), double()], Type::Int.optional()), Value::Int(4));
    assert_eq!(value(F::MapOptional, vec![none(), double()], Type::Int.optional()), Value::None);
    let fault = result(&call(F::OrFault, vec![none(), text("no price")], Type::Int)).unwrap_err();
    assert_eq!(fault.to_string(), "fault[R0104]: no price");
}
