//! `numbers.proj` in plain Rust.

use bigdecimal::{BigDecimal, RoundingMode, Signed, ToPrimitive, Zero};
use serde_json::json;

use super::Fold;
use super::event::{self, Event, TypeIn};
use super::exact;
use super::step::{self, Document, End, Plain, Rows, Shown, Step, decode, eval, key_text, step_or_fault};
use crate::recovery::random::Random;

pub fn folds() -> Vec<Box<dyn Fold>> {
    vec![
        Box::new(Ints { rows: Rows::new() }),
        Box::new(Decimals { rows: Rows::new() }),
        Box::new(Rounds { rows: Rows::new() }),
        Box::new(Floats { rows: Rows::new() }),
        Box::new(Aggregates { rows: Rows::new() }),
    ]
}

// ---- Events ----

/// An int: small, at an end, or anywhere; written as producers write them.
pub fn any_int(random: &mut Random) -> String {
    let value = match random.below(12) {
        0 => *random.pick(&[i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1, 1 << 53, -(1 << 53) - 1]),
        1 => random.next() as i64,
        2 => 0,
        _ => random.below(41) as i64 - 20,
    };
    match random.below(10) {
        0 => format!("{value}.0"),
        1 => format!("{value}e0"),
        2 if random.one_in(20) => "9223372036854775808".into(),
        3 if random.one_in(20) => "100000000000000000000000000000000000000000".into(),
        _ => value.to_string(),
    }
}

/// A decimal, as its JSON: of up to 28 places, near 0, halves, ends of what fits; as a number or a text.
fn any_decimal(random: &mut Random) -> String {
    let coefficient: i128 = match random.below(10) {
        0 => *random.pick(&[i128::MAX, i128::MIN, i128::MAX / 10, i128::MIN + 1, 10i128.pow(37), 5 * 10i128.pow(36)]),
        1 => (i128::from(random.next() as i64) << 20) + i128::from(random.next() as u32),
        2 => 0,
        3 => 10i128.pow(random.below(30) as u32) * (random.below(19) as i128 - 9),
        4 => (random.below(2001) as i128 - 1000) * 10 + 5,
        _ => random.below(20_001) as i128 - 10_000,
    };
    let scale = if random.one_in(3) { random.below(29) } else { random.below(4) };
    written(random, BigDecimal::new(coefficient.into(), scale as i64))
}

/// Money: mostly of two places, sometimes of more.
fn any_money(random: &mut Random) -> String {
    let cents = if random.one_in(15) { random.next() as i64 } else { random.below(200_001) as i64 - 100_000 };
    let scale = if random.one_in(15) { 3 } else { 2 };
    written(random, BigDecimal::new(cents.into(), scale))
}

fn written(random: &mut Random, number: BigDecimal) -> String {
    let text = number.to_plain_string();
    match random.below(5) {
        0 => format!("\"{text}\""),
        1 if text.contains('.') => format!("{text}0"),
        2 => {
            let (coefficient, scale) = number.into_bigint_and_exponent();
            format!("{coefficient}e{}", -scale)
        }
        _ => text,
    }
}

fn any_float(random: &mut Random) -> String {
    match random.below(8) {
        0 => {
            (*random.pick(&["1.7976931348623157e308", "-1.7e308", "5e-324", "1e-7", "1e16", "0.1", "-0.0"])).to_owned()
        }
        1 => "0".into(),
        2 => format!("{:e}", f64::from_bits(random.next() & 0x7fdf_ffff_ffff_ffff)),
        _ => format!("{}", (random.below(20_001) as f64 - 10_000.0) / 64.0),
    }
}

fn number_text(random: &mut Random) -> String {
    let texts =
        ["12", "-7.0", "x", "", "1e3", "99999999999999999999", "0.5", " 1", "-0", "1.50", "9223372036854775807"];
    json!(random.pick(&texts)).to_string()
}

pub fn next(random: &mut Random, offset: i64) -> Event {
    let header = TypeIn::Header("type");
    let numbers = |kind| Event::new("numbers", header, kind, offset);
    let id = json!(format!("n{}|", random.below(6))).to_string();
    let event = match random.below(11) {
        0..3 => numbers("Ints")
            .with("id", id)
            .with("a", any_int(random))
            .with("b", any_int(random))
            .with("t", number_text(random)),
        3..5 => numbers("Money")
            .with("id", id)
            .with("x", any_decimal(random))
            .with("y", if random.one_in(2) { any_money(random) } else { any_decimal(random) })
            .with("m", any_money(random))
            .with("n", (random.below(9) as i64 - 4).to_string())
            .with("t", number_text(random)),
        5..7 => numbers("Rounded").with("id", id).with("x", any_decimal(random)),
        7 => numbers("Floats")
            .with("id", id)
            .with("f", any_float(random))
            .with("g", any_float(random))
            .with("x", any_decimal(random)),
        8 if random.one_in(3) => numbers("Unknown").with("id", id),
        _ => measured(random, offset, id),
    };
    event.perhaps_broken(random, 12)
}

fn measured(random: &mut Random, offset: i64, id: String) -> Event {
    let mut event = Event::new("measures", TypeIn::Nowhere, "measures", offset).with("id", id);
    if !random.one_in(4) {
        event = event.with("v", any_money(random));
    }
    if !random.one_in(4) {
        event = event.with("n", any_int(random));
    }
    if !random.one_in(4) {
        event = event.with("s", json!(random.pick(&["", "a", "b", "é", "z", "\n"])).to_string());
    }
    if random.one_in(5) {
        event = event.with("skip", (*random.pick(&["true", "false", "null"])).to_owned());
    }
    let at = random.below(100);
    event.with("at", format!("\"2026-01-01T00:00:{:02}.{at}Z\"", at % 60))
}

// ---- What all share ----

fn id(event: &Event) -> Plain<String> {
    event.get("id", event::text)
}

/// The documents of a projection whose only sink shows the key and all fields, with these defaults.
fn shown<T>(
    projection: &str,
    sink: &str,
    version: u64,
    id: &str,
    row: Option<&Shown<T>>,
    fields: &[(&'static str, &str)],
) -> Vec<(String, Document)> {
    let text = row.map(|row| {
        let of = |(name, default): &(&'static str, &str)| {
            (*name, row.fields.get(name).cloned().unwrap_or_else(|| (*default).to_owned()))
        };
        step::document(projection, version, [("id", json!(id).to_string())].into_iter().chain(fields.iter().map(of)))
    });
    vec![(sink.to_owned(), Ok(text))]
}

fn quoted(int: i64) -> String {
    format!("\"{int}\"")
}

fn or_null<T>(value: Option<T>, json: impl FnOnce(T) -> String) -> String {
    value.map_or("null".into(), json)
}

fn checked(value: Option<i64>) -> Plain<i64> {
    value.map_or(eval("R0101"), Ok)
}

fn float_json(value: f64) -> String {
    format!("{:?}", value + 0.0)
}

fn finite(value: f64) -> Plain<f64> {
    if value.is_finite() { Ok(value) } else { eval("R0101") }
}

fn plain(number: &BigDecimal) -> String {
    exact::quoted(number, None)
}

/// A text as a number of the language: plain JSON, nothing else.
fn number_in(text: &str) -> Option<BigDecimal> {
    let bare = text.strip_prefix('-').unwrap_or(text);
    let known = bare.starts_with(|c: char| c.is_ascii_digit()) && !bare.ends_with('.');
    known.then(|| text.parse().ok()).flatten()
}

// ---- Ints ----

struct Ints {
    rows: Rows<Totals>,
}

#[derive(Clone)]
struct Totals {
    total: i64,
    left: i64,
    product: i64,
    largest: i64,
    smallest: i64,
}

impl Default for Totals {
    fn default() -> Totals {
        Totals { total: 0, left: 0, product: 1, largest: i64::MIN, smallest: i64::MAX }
    }
}

const INTS: &[(&str, &str)] = &[
    ("total", "\"0\""),
    ("left", "\"0\""),
    ("product", "\"1\""),
    ("quotient", "null"),
    ("modulo", "null"),
    ("rest", "null"),
    ("seventh", "\"0\""),
    ("odd", "\"0\""),
    ("ratio", "null"),
    ("quarter", "\"0\""),
    ("largest", ""),
    ("smallest", ""),
    ("clamped", "\"0\""),
    ("size", "\"0\""),
    ("sign", "\"0\""),
    ("negated", "\"0\""),
    ("parsed", "null"),
    ("wide", "\"0\""),
    ("nearly", "0.0"),
    ("text", "\"\""),
    ("order", "\"\""),
    ("sum", "\"0\""),
];

impl Fold for Ints {
    fn projection(&self) -> &'static str {
        "ints"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.kind != "Ints" {
            return Step::without_key(step::Said::Dropped);
        }
        step_or_fault(self.ints(event, version))
    }
}

impl Ints {
    fn ints(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        let (a, b) = (event.get("a", event::int)?, event.get("b", event::int)?);
        let t = event.get("t", event::text)?;
        let handler = |row: &mut Shown<Totals>, _: bool| {
            sums(row, a, b)?;
            quotients(row, a, b)?;
            bounds(row, a, b)?;
            row.set("negated", quoted(checked(b.checked_neg())?));
            let parsed = number_in(&t).and_then(|number| exact::whole(&number)).and_then(|whole| whole.to_i64());
            row.set("parsed", or_null(parsed, quoted));
            row.set("wide", quoted(a));
            row.set("nearly", float_json(a as f64));
            row.set("text", json!(b.to_string()).to_string());
            row.set(
                "order",
                json!(if a < b {
                    "<"
                } else if a == b {
                    "="
                } else {
                    ">"
                })
                .to_string(),
            );
            let sum = match a == b {
                true => b.checked_mul(3).and_then(|thrice| a.checked_sub(thrice)),
                false => a.checked_add(b),
            };
            row.set("sum", quoted(checked(sum)?));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| shown("ints", "cache", version, &id, row, INTS)))
    }
}

fn sums(row: &mut Shown<Totals>, a: i64, b: i64) -> Plain<()> {
    row.own.total = checked(row.own.total.checked_add(a))?;
    row.own.left = checked(row.own.left.checked_sub(b))?;
    row.own.product = checked(row.own.product.checked_mul(b))?;
    row.set("total", quoted(row.own.total));
    row.set("left", quoted(row.own.left));
    row.set("product", quoted(row.own.product));
    Ok(())
}

fn quotients(row: &mut Shown<Totals>, a: i64, b: i64) -> Plain<()> {
    let whole = |by: i64| if by == 0 { Ok(None) } else { checked(a.checked_div(by)).map(Some) };
    row.set("quotient", or_null(whole(b)?, quoted));
    let rest = (b != 0).then(|| (i128::from(a) % i128::from(b)) as i64);
    row.set("modulo", or_null(rest, quoted));
    row.set("rest", or_null(rest, quoted));
    row.set("seventh", or_null(whole(7)?, quoted));
    row.set("odd", quoted(a % 2));
    let quotient = |by: i64| exact::quotient(&BigDecimal::from(a), &BigDecimal::from(by));
    row.set("ratio", or_null(quotient(b)?, |ratio| plain(&ratio)));
    row.set("quarter", or_null(quotient(4)?, |quarter| plain(&quarter)));
    Ok(())
}

fn bounds(row: &mut Shown<Totals>, a: i64, b: i64) -> Plain<()> {
    row.own.largest = row.own.largest.max(a);
    row.own.smallest = row.own.smallest.min(b);
    row.set("largest", quoted(row.own.largest));
    row.set("smallest", quoted(row.own.smallest));
    row.set("clamped", quoted(if b < -5 { b } else { a.clamp(-5, b) }));
    row.set("size", quoted(checked(a.checked_abs())?));
    row.set("sign", quoted(b.signum()));
    Ok(())
}

// ---- Decimals ----

struct Decimals {
    rows: Rows<Sums>,
}

#[derive(Clone)]
struct Sums {
    total: BigDecimal,
    cents: BigDecimal,
    product: BigDecimal,
    sign: i64,
}

impl Default for Sums {
    fn default() -> Sums {
        Sums { total: BigDecimal::zero(), cents: BigDecimal::zero(), product: 1.into(), sign: 0 }
    }
}

const DECIMALS: &[(&str, &str)] = &[
    ("total", "\"0\""),
    ("cents", "\"0.00\""),
    ("product", "\"1\""),
    ("sum", "\"0\""),
    ("difference", "\"0\""),
    ("times", "\"0\""),
    ("thrice", "\"0.00\""),
    ("quotient", "null"),
    ("third", "\"0\""),
    ("rounded", "null"),
    ("least", "\"0\""),
    ("most", "\"0\""),
    ("between", "\"0\""),
    ("size", "\"0\""),
    ("negated", "\"0\""),
    ("sign", "\"0\""),
    ("cube", "\"0\""),
    ("parsed", "null"),
    ("exact", "\"0.0000\""),
    ("text", "\"\""),
    ("same", "false"),
    ("more", "false"),
    ("any", "false"),
];

impl Fold for Decimals {
    fn projection(&self) -> &'static str {
        "decimals"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        match event.kind {
            "Money" => step_or_fault(self.money(event, version)),
            "Rounded" => step_or_fault(self.cube(event, version)),
            _ => Step::without_key(step::Said::Dropped),
        }
    }
}

impl Decimals {
    fn cube(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let (id, x) = (id(event)?, event.get("x", event::decimal)?);
        let handler = |row: &mut Shown<Sums>, _: bool| {
            row.set("cube", plain(&exact::result(&x * &x * &x)?));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| decimal_documents(version, &id, row)))
    }

    fn money(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let (id, x) = (id(event)?, event.get("x", event::decimal)?);
        let m = event.get("m", |raw| event::scaled(raw, 2))?;
        let y = event.get("y", event::decimal)?;
        let (n, t) = (event.get("n", event::int)?, event.get("t", event::text)?);
        let handler = |row: &mut Shown<Sums>, _: bool| {
            decimal_sums(row, &x, &y, &m, n)?;
            let quotient = exact::quotient(&x, &y)?;
            row.set("quotient", or_null(quotient.as_ref(), plain));
            row.set("third", or_null(exact::quotient(&y, &3.into())?, |third| plain(&third)));
            let rounded = quotient.map(|quotient| exact::rounded(&quotient, 2, RoundingMode::HalfEven)).transpose()?;
            row.set("rounded", or_null(rounded, |rounded| exact::quoted(&rounded, Some(2))));
            row.set("least", plain((&x).min(&y)));
            row.set("most", plain((&x).max(&m)));
            row.set("between", plain((&BigDecimal::zero()).max(&x).min(&y)));
            row.set("size", plain(&exact::result(x.abs())?));
            row.set("negated", plain(&exact::result(-&y)?));
            row.own.sign = if x.is_zero() {
                0
            } else if x.is_negative() {
                -1
            } else {
                1
            };
            row.set("sign", quoted(row.own.sign));
            let parsed = number_in(&t).filter(exact::holds);
            row.set("parsed", or_null(parsed, |parsed| plain(&parsed)));
            row.set("exact", exact::quoted(&exact::contract(x.clone(), 4)?, Some(4)));
            let text = format!("{} {} {}", exact::text(&x, None), exact::text(&m, Some(2)), exact::text(&y, None));
            row.set("text", json!(text).to_string());
            row.set("same", (x == y).to_string());
            row.set("more", (x > m).to_string());
            let half = BigDecimal::new(5.into(), 1);
            row.set("any", ([&y, &m, &half].contains(&&x) || ![1, 2, 3].contains(&n)).to_string());
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| decimal_documents(version, &id, row)))
    }
}

fn decimal_sums(row: &mut Shown<Sums>, x: &BigDecimal, y: &BigDecimal, m: &BigDecimal, n: i64) -> Plain<()> {
    row.own.total = exact::result(&row.own.total + x)?;
    row.own.cents = exact::contract(exact::result(&row.own.cents + m)?, 2)?;
    row.own.cents = exact::contract(exact::result(&row.own.cents - y)?, 2)?;
    row.own.product = exact::result(&row.own.product * m)?;
    row.set("total", plain(&row.own.total));
    row.set("cents", exact::quoted(&row.own.cents, Some(2)));
    row.set("product", plain(&row.own.product));
    row.set("sum", plain(&exact::result(x + y)?));
    row.set("difference", plain(&exact::result(x - m)?));
    row.set("times", plain(&exact::result(x * y)?));
    row.set("thrice", exact::quoted(&exact::contract(exact::result(m * BigDecimal::from(n))?, 2)?, Some(2)));
    Ok(())
}

fn decimal_documents(version: u64, id: &str, row: Option<&Shown<Sums>>) -> Vec<(String, Document)> {
    let mut documents = shown("decimals", "cosmos", version, id, row, DECIMALS);
    let id = json!(id).to_string();
    let positive = row.filter(|row| row.own.cents > BigDecimal::zero()).map(|row| {
        let fields = [
            ("id", id.clone()),
            ("cents", exact::text(&row.own.cents, Some(2))),
            ("total", plain(&row.own.total)),
            ("sign", row.own.sign.to_string()),
        ];
        step::document("decimals", version, fields)
    });
    let numbers = row.map(|row| {
        let fields = [
            ("id", id.clone()),
            ("cents", exact::text(&row.own.cents, Some(2))),
            ("total", exact::text(&row.own.total, None)),
        ];
        step::document("decimals", version, fields)
    });
    documents.extend([("elasticsearch".to_owned(), Ok(positive)), ("numbers".to_owned(), Ok(numbers))]);
    documents
}

// ---- Rounding ----

struct Rounds {
    rows: Rows<()>,
}

const ROUNDS: &[(&str, &str)] = &[
    ("half_even", ""),
    ("half_up", ""),
    ("half_down", ""),
    ("up", ""),
    ("down", ""),
    ("lower", ""),
    ("higher", ""),
    ("many", ""),
    ("floored", ""),
    ("ceiled", ""),
    ("cut", ""),
];

impl Fold for Rounds {
    fn projection(&self) -> &'static str {
        "rounding"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.kind != "Rounded" {
            return Step::without_key(step::Said::Dropped);
        }
        step_or_fault(self.rounded(event, version))
    }
}

impl Rounds {
    fn rounded(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let (id, x) = (id(event)?, event.get("x", event::decimal)?);
        let handler = |row: &mut Shown<()>, _: bool| {
            for (field, scale, mode) in [
                ("half_even", 2, RoundingMode::HalfEven),
                ("half_up", 1, RoundingMode::HalfUp),
                ("half_down", 0, RoundingMode::HalfDown),
                ("up", 3, RoundingMode::Up),
                ("down", 2, RoundingMode::Down),
                ("lower", 2, RoundingMode::Floor),
                ("higher", 2, RoundingMode::Ceiling),
                ("many", 28, RoundingMode::HalfEven),
            ] {
                row.set(field, exact::quoted(&exact::rounded(&x, scale, mode)?, Some(scale)));
            }
            for (field, mode) in
                [("floored", RoundingMode::Floor), ("ceiled", RoundingMode::Ceiling), ("cut", RoundingMode::Down)]
            {
                row.set(field, quoted(exact::to_int(x.with_scale_round(0, mode))?));
            }
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| shown("rounding", "cache", version, &id, row, ROUNDS)))
    }
}

// ---- Floats ----

struct Floats {
    rows: Rows<Reals>,
}

#[derive(Clone)]
struct Reals {
    sum: f64,
    product: f64,
}

impl Default for Reals {
    fn default() -> Reals {
        Reals { sum: 0.0, product: 1.0 }
    }
}

const FLOATS: &[(&str, &str)] = &[
    ("sum", ""),
    ("product", ""),
    ("quotient", ""),
    ("halved", ""),
    ("most", ""),
    ("size", ""),
    ("sign", ""),
    ("negated", ""),
    ("exact", ""),
    ("cents", ""),
    ("nearly", ""),
    ("text", ""),
    ("less", ""),
];

impl Fold for Floats {
    fn projection(&self) -> &'static str {
        "floats"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.kind != "Floats" {
            return Step::without_key(step::Said::Dropped);
        }
        step_or_fault(self.floats(event, version))
    }
}

impl Floats {
    fn floats(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = id(event)?;
        let (f, g) = (event.get("f", event::float)?, event.get("g", event::float)?);
        let x = event.get("x", event::decimal)?;
        let handler = |row: &mut Shown<Reals>, _: bool| {
            row.own.sum = finite(row.own.sum + f)?;
            row.own.product = finite(row.own.product * g)?;
            row.set("sum", float_json(row.own.sum));
            row.set("product", float_json(row.own.product));
            let quotient = if g == 0.0 { None } else { Some(finite(f / g)?) };
            row.set("quotient", or_null(quotient, float_json));
            row.set("halved", float_json(finite(f / 2.0 - g)?));
            row.set("most", float_json(f.max(g)));
            row.set("size", float_json(g.abs()));
            row.set("sign", if f == 0.0 { "0".into() } else { (f.signum() as i64).to_string() });
            row.set("negated", float_json(-f));
            let exactly = |float: f64, scale: i64| {
                let value = BigDecimal::try_from(float).expect("it is finite");
                exact::rounded(&value, scale, RoundingMode::HalfEven)
            };
            row.set("exact", plain(&exactly(f, 6)?));
            row.set("cents", exact::quoted(&exactly(g, 2)?, Some(2)));
            row.set("nearly", float_json(x.to_plain_string().parse().expect("a number")));
            row.set("text", json!(float_json(f)).to_string());
            row.set("less", (f < g).to_string());
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| shown("floats", "cache", version, &id, row, FLOATS)))
    }
}

// ---- Aggregates ----

struct Aggregates {
    rows: Rows<Tallies>,
}

#[derive(Clone, Default)]
struct Tallies {
    events: i64,
    total: BigDecimal,
    number: i64,
    least: Option<BigDecimal>,
    most: Option<i64>,
    smallest_text: Option<String>,
    first_text: Option<String>,
    opened: Option<String>,
    latest: Option<String>,
    values: Mean,
    numbers: Mean,
    handled: i64,
}

#[derive(Clone, Default)]
struct Mean {
    sum: BigDecimal,
    count: i64,
}

impl Mean {
    fn add(&mut self, value: BigDecimal) -> Plain<BigDecimal> {
        self.sum = exact::result(&self.sum + value)?;
        self.count += 1;
        Ok(exact::quotient(&self.sum, &self.count.into())?.expect("the count is not 0"))
    }
}

const AGGREGATES: &[(&str, &str)] = &[
    ("events", ""),
    ("total", "\"0.00\""),
    ("number", "\"0\""),
    ("least", "null"),
    ("most", "null"),
    ("smallest_text", "null"),
    ("first_text", "null"),
    ("last_text", "null"),
    ("opened", ""),
    ("latest", ""),
    ("average", "null"),
    ("mean", "null"),
    ("handled", "\"0\""),
];

impl Fold for Aggregates {
    fn projection(&self) -> &'static str {
        "aggregates"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        if event.topic != "measures" {
            return Step::without_key(step::Said::Dropped);
        }
        step_or_fault(self.measured(event, version))
    }
}

impl Aggregates {
    fn measured(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let skip = event.find("skip", event::boolean)?.unwrap_or(false);
        let id = id(event)?;
        let v = event.find("v", |raw| event::scaled(raw, 2))?;
        let n = event.find("n", event::int)?;
        let s = event.find("s", event::text)?;
        let at = event.get("at", event::text)?;
        if at.len() < 20 {
            return decode("R0103");
        }
        if skip {
            return Ok(Step::without_key(step::Said::Filtered));
        }
        let handler = |row: &mut Shown<Tallies>, _: bool| {
            aggregate_numbers(row, &v, n)?;
            aggregate_others(row, &s, &at);
            if let Some(v) = &v {
                let mean = row.own.values.add(v.clone())?;
                row.set("average", plain(&mean));
            }
            if let Some(n) = n {
                let mean = row.own.numbers.add(n.into())?;
                row.set("mean", plain(&mean));
            }
            row.own.handled += i64::from(v.is_some());
            row.set("handled", quoted(row.own.handled));
            Ok(End::Touched)
        };
        let key = key_text(&[&id]);
        Ok(self.rows.fold(key, handler, |_, row| shown("aggregates", "cache", version, &id, row, AGGREGATES)))
    }
}

fn aggregate_numbers(row: &mut Shown<Tallies>, v: &Option<BigDecimal>, n: Option<i64>) -> Plain<()> {
    row.own.events += 1;
    row.set("events", quoted(row.own.events));
    if let Some(v) = v {
        row.own.total = exact::contract(exact::result(&row.own.total + v)?, 2)?;
        row.set("total", exact::quoted(&row.own.total, Some(2)));
        let least = row.own.least.take().map_or(v.clone(), |least| least.min(v.clone()));
        row.set("least", exact::quoted(&least, Some(2)));
        row.own.least = Some(least);
    }
    if let Some(n) = n {
        row.own.number = checked(row.own.number.checked_add(n))?;
        row.set("number", quoted(row.own.number));
        let most = row.own.most.map_or(n, |most| most.max(n));
        row.set("most", quoted(most));
        row.own.most = Some(most);
    }
    Ok(())
}

fn aggregate_others(row: &mut Shown<Tallies>, s: &Option<String>, at: &str) {
    if let Some(s) = s {
        let smallest = row.own.smallest_text.take().map_or(s.clone(), |smallest| smallest.min(s.clone()));
        row.set("smallest_text", json!(smallest).to_string());
        row.own.smallest_text = Some(smallest);
        let first = row.own.first_text.get_or_insert_with(|| s.clone()).clone();
        row.set("first_text", json!(first).to_string());
        row.set("last_text", json!(s).to_string());
    }
    // Both times are of one length and so are ordered as text.
    let at = trimmed(at);
    let opened = row.own.opened.get_or_insert_with(|| at.clone()).clone();
    row.set("opened", json!(opened).to_string());
    let instant = |text: &str| text.parse::<jiff::Timestamp>().expect("a time");
    let latest = match row.own.latest.take() {
        Some(latest) if instant(&latest) >= instant(&at) => latest,
        _ => at,
    };
    row.set("latest", json!(latest).to_string());
    row.own.latest = Some(latest);
}

/// The time without zeros at its end.
fn trimmed(at: &str) -> String {
    at.parse::<jiff::Timestamp>().expect("a time").to_string()
}
