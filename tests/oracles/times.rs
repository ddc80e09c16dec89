//! `times.proj` in plain Rust, over `jiff`.

use jiff::civil::{Date, DateTime, date};
use jiff::{SignedDuration, Unit};
use serde_json::json;

use super::Fold;
use super::event::{self, Event, TypeIn};
use super::step::{self, Document, End, Plain, Rows, Said, Shown, Step, decode, eval, key_text, step_or_fault};
use crate::recovery::random::Random;

pub fn folds() -> Vec<Box<dyn Fold>> {
    vec![Box::new(Times { rows: Rows::new() })]
}

const HOUR: i64 = 3_600_000_000;

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

// ---- Events ----

fn any_timestamp(random: &mut Random) -> String {
    let special = [
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00Z",
        "1969-12-31T23:59:59.9999999Z",
        "2024-02-29T23:30:00.25+01:30",
        "2000-02-29t00:00:00-23:59",
        "1900-02-29T00:00:00Z",
        "2026-01-01 10:00:00z",
        "2026-01-01T10:00:00",
        "0000-01-01T00:00:00+00:01",
        "2016-12-31T23:59:60Z",
    ];
    if random.one_in(5) {
        return json!(random.pick(&special)).to_string();
    }
    let (year, month) = (1 + random.below(9998), 1 + random.below(12));
    let (day, hour, minute, second) = (1 + random.below(28), random.below(24), random.below(60), random.below(60));
    let fraction = match random.below(4) {
        0 => String::new(),
        1 => format!(".{}", random.below(1000)),
        _ => format!(".{:09}", random.below(1_000_000_000)),
    };
    let offset = match random.below(3) {
        0 => format!("{}{:02}:{:02}", if random.one_in(2) { '+' } else { '-' }, random.below(24), random.below(60)),
        _ => "Z".to_owned(),
    };
    json!(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}")).to_string()
}

/// A duration, as its microseconds and as JSON of the same length.
fn any_duration(random: &mut Random) -> String {
    let micros: i64 = match random.below(8) {
        0 => *random.pick(&[0, 1, -1, i64::MAX, i64::MIN, 24 * HOUR, -24 * HOUR, HOUR]),
        1 => random.next() as i64,
        2 => (random.below(2_000_001) as i64 - 1_000_000) * HOUR,
        _ => random.next() as i64 % (400 * 24 * HOUR),
    };
    let written = match (random.below(4), micros) {
        (0, 0..) => {
            let (days, rest) = (micros / (24 * HOUR), micros % (24 * HOUR));
            format!("P{days}DT{}M{}.{:06}S", rest / 60_000_000, rest / 1_000_000 % 60, rest % 1_000_000)
        }
        (1, _) if random.one_in(6) => (*random.pick(&["P1M", "PT", "1h", "P1DT"])).to_owned(),
        _ => SignedDuration::from_micros(micros).to_string(),
    };
    json!(written).to_string()
}

fn any_date(random: &mut Random) -> String {
    let special = ["0000-01-01", "9999-12-31", "2024-02-29", "2023-02-29", "1970-01-01"];
    let day = format!("{:04}-{:02}-{:02}", random.below(10_000), 1 + random.below(12), 1 + random.below(31));
    json!(if random.one_in(4) { (*random.pick(&special)).to_owned() } else { day }).to_string()
}

pub fn next(random: &mut Random, offset: i64) -> Event {
    let of = |kind| Event::new("clock", TypeIn::Header("type"), kind, offset);
    let id = json!(format!("t{}", random.below(4))).to_string();
    if random.one_in(4) {
        let n = match random.below(4) {
            0 => random.next() as i64,
            _ => random.below(2_000_001) as i64 - 1_000_000,
        };
        let s = match random.below(4) {
            0 => {
                *random.pick(&[-62_167_219_200, -62_167_219_201, 253_402_300_799, 253_402_300_800, i64::MAX, i64::MIN])
            }
            _ => random.next() as i64 % 62_167_219_200,
        };
        let event = of("Units").with("id", id).with("n", n.to_string()).with("s", s.to_string());
        return event.perhaps_broken(random, 12);
    }
    let near = any_timestamp(random);
    let text = if random.one_in(3) { json!("not a time").to_string() } else { any_timestamp(random) };
    let event = of("Timed")
        .with("id", id)
        .with("t", near.clone())
        .with("u", if random.one_in(4) { near } else { any_timestamp(random) })
        .with("d", any_duration(random))
        .with("e", any_duration(random))
        .with("day", any_date(random))
        .with("n", (random.below(2001) as i64 - 1000).to_string())
        .with("text", text);
    event.perhaps_broken(random, 15)
}

// ---- Reading ----

/// Microseconds since 1970.
fn micros_of(time: DateTime) -> i64 {
    time.duration_since(epoch()).as_nanos().div_euclid(1000) as i64
}

fn civil(micros: i64) -> DateTime {
    epoch().checked_add(SignedDuration::from_micros(micros)).expect("it is in range")
}

/// An instant, if it is one of the years 0 to 9999.
fn in_years(micros: i128) -> Option<i64> {
    let (first, last) = (date(0, 1, 1).at(0, 0, 0, 0), date(9999, 12, 31).at(23, 59, 59, 999_999_999));
    (i128::from(micros_of(first))..=i128::from(micros_of(last))).contains(&micros).then_some(micros as i64)
}

/// Splits the offset off and lets theirs read the rest.
fn timestamp_of(text: &str) -> Option<i64> {
    let at = text.get(19..)?.find(['Z', 'z', '+', '-'])? + 19;
    let (time, offset) = text.split_at(at);
    let seconds = match offset.as_bytes() {
        [b'Z' | b'z'] => 0,
        [sign, _, _, b':', _, _] => {
            let (hours, minutes) = (offset[1..3].parse::<i128>().ok()?, offset[4..6].parse::<i128>().ok()?);
            let seconds = (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)?;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    if text.get(17..19)? == "60" {
        return None;
    }
    let time: DateTime = time.parse().ok()?;
    in_years(time.duration_since(epoch()).as_nanos().div_euclid(1000) - seconds * 1_000_000)
}

fn timestamp(raw: &str) -> Plain<i64> {
    timestamp_of(&event::text(raw)?).map_or(decode("R0103"), Ok)
}

fn duration(raw: &str) -> Plain<i64> {
    let text = event::text(raw)?;
    // Written here with days and minutes past their usual bounds, or by theirs.
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, &*text),
    };
    let Some(rest) = rest.strip_prefix('P') else { return decode("R0103") };
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let mut total: i128 = 0;
    let mut take = |part: &str, unit: char, size: i128| -> Option<String> {
        let Some((number, rest)) = part.split_once(unit) else { return Some(part.to_owned()) };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        total += whole.parse::<i128>().ok()? * size;
        if !fraction.is_empty() {
            total += format!("{fraction:0<6}").parse::<i128>().ok()?;
        }
        Some(rest.to_owned())
    };
    let mut read = || -> Option<()> {
        let left = take(days, 'D', 24 * i128::from(HOUR))?;
        let mut parts = time.unwrap_or_default().to_owned();
        if !left.is_empty() || time == Some("") {
            return None;
        }
        for (unit, size) in [('H', HOUR), ('M', 60_000_000), ('S', 1_000_000)] {
            parts = take(&parts, unit, size.into())?;
        }
        parts.is_empty().then_some(())
    };
    let known = read().is_some();
    let total = if negative { -total } else { total };
    match i64::try_from(total) {
        Ok(micros) if known => Ok(micros),
        _ => decode("R0103"),
    }
}

fn day(raw: &str) -> Plain<Date> {
    let text = event::text(raw)?;
    text.parse().ok().filter(|_| text.len() == 10).map_or(decode("R0103"), Ok)
}

// ---- Showing ----

fn time_text(micros: i64) -> String {
    format!("{}Z", civil(micros))
}

fn time(micros: i64) -> String {
    json!(time_text(micros)).to_string()
}

fn length_text(micros: i64) -> String {
    SignedDuration::from_micros(micros).to_string()
}

fn length(micros: i64) -> String {
    json!(length_text(micros)).to_string()
}

fn quoted(int: i64) -> String {
    format!("\"{int}\"")
}

fn fits(value: i128) -> Plain<i64> {
    i64::try_from(value).or(eval("R0101"))
}

fn instant(value: i128) -> Plain<i64> {
    in_years(value).map_or(eval("R0101"), Ok)
}

// ---- The fold ----

struct Times {
    rows: Rows<Own>,
}

#[derive(Clone, Default)]
struct Own {
    long: i64,
    first: Option<i64>,
}

const ZERO: &str = "\"PT0S\"";
const FIELDS: &[(&str, &str)] = &[
    ("t", "null"),
    ("later", "null"),
    ("earlier", "null"),
    ("moved", "null"),
    ("between", "null"),
    ("long", ZERO),
    ("left", ZERO),
    ("times", ZERO),
    ("negated", ZERO),
    ("days", "\"0\""),
    ("hours", "\"0\""),
    ("minutes", "\"0\""),
    ("seconds", "\"0\""),
    ("millis", "\"0\""),
    ("unix", "\"0\""),
    ("unix_ms", "\"0\""),
    ("hour", "null"),
    ("step", "null"),
    ("date", "null"),
    ("day", "null"),
    ("tomorrow", "null"),
    ("before", "null"),
    ("apart", "\"0\""),
    ("parsed", "null"),
    ("first", "null"),
    ("order", "false"),
    ("later_day", "false"),
    ("text", "\"\""),
    ("of_days", ZERO),
    ("of_hours", ZERO),
    ("of_minutes", ZERO),
    ("of_seconds", ZERO),
    ("from_unix", "null"),
    ("from_unix_ms", "null"),
];

/// What `Timed` carries.
struct Timed {
    t: i64,
    u: i64,
    d: i64,
    e: i64,
    day: Date,
    n: i64,
    text: String,
}

impl Fold for Times {
    fn projection(&self) -> &'static str {
        "times"
    }

    fn hear(&mut self, event: &Event, version: u64) -> Step {
        match event.kind {
            "Timed" => step_or_fault(self.timed(event, version)),
            "Units" => step_or_fault(self.units(event, version)),
            _ => Step::without_key(Said::Dropped),
        }
    }
}

impl Times {
    fn timed(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let timed = Timed {
            t: event.get("t", timestamp)?,
            d: event.get("d", duration)?,
            u: event.get("u", timestamp)?,
            e: event.get("e", duration)?,
            n: event.get("n", event::int)?,
            day: event.get("day", day)?,
            text: event.get("text", event::text)?,
        };
        let handler = |row: &mut Shown<Own>, _: bool| {
            moves(row, &timed)?;
            units(row, timed.d);
            cuts(row, &timed)?;
            days(row, &timed)?;
            row.set("parsed", timestamp_of(&timed.text).map_or("null".into(), time));
            let first = row.own.first.map_or(timed.t, |first| first.min(timed.t));
            row.own.first = Some(first);
            row.set("first", time(first));
            row.set("order", (civil(timed.t) < civil(timed.u)).to_string());
            row.set("later_day", (timed.day >= date(2000, 1, 1)).to_string());
            let text = format!("{} {} {}", time_text(timed.t), length_text(timed.d), timed.day);
            row.set("text", json!(text).to_string());
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| documents(version, &id, row)))
    }

    fn units(&mut self, event: &Event, version: u64) -> Plain<Step> {
        let id = event.get("id", event::text)?;
        let (n, s) = (event.get("n", event::int)?, event.get("s", event::int)?);
        let handler = |row: &mut Shown<Own>, _: bool| {
            for (field, seconds) in [("of_days", 86_400), ("of_hours", 3600), ("of_minutes", 60), ("of_seconds", 1)] {
                row.set(field, length(fits(i128::from(n) * seconds * 1_000_000)?));
            }
            row.set("from_unix", time(instant(i128::from(s) * 1_000_000)?));
            row.set("from_unix_ms", time(instant(i128::from(s) * 1000)?));
            Ok(End::Touched)
        };
        Ok(self.rows.fold(key_text(&[&id]), handler, |_, row| documents(version, &id, row)))
    }
}

fn moves(row: &mut Shown<Own>, timed: &Timed) -> Plain<()> {
    let (t, d, e) = (i128::from(timed.t), i128::from(timed.d), i128::from(timed.e));
    row.set("t", time(timed.t));
    row.set("later", time(instant(t + d)?));
    row.set("earlier", time(instant(t - d)?));
    row.set("moved", time(instant(t + 5_400_000_000)?));
    row.set("between", length(fits(civil(timed.t).duration_since(civil(timed.u)).as_micros())?));
    row.own.long = fits(i128::from(row.own.long) + d)?;
    row.set("long", length(row.own.long));
    row.set("left", length(fits(d - e)?));
    row.set("times", length(fits(d * i128::from(timed.n))?));
    row.set("negated", length(fits(-e)?));
    Ok(())
}

fn units(row: &mut Shown<Own>, d: i64) {
    let theirs = SignedDuration::from_micros(d);
    row.set("days", quoted(theirs.as_hours() / 24));
    row.set("hours", quoted(theirs.as_hours()));
    row.set("minutes", quoted(theirs.as_mins()));
    row.set("seconds", quoted(theirs.as_secs()));
    row.set("millis", quoted(theirs.as_millis() as i64));
}

fn cuts(row: &mut Shown<Own>, timed: &Timed) -> Plain<()> {
    let since = civil(timed.t).duration_since(epoch()).as_nanos();
    row.set("unix", quoted(since.div_euclid(1_000_000_000) as i64));
    row.set("unix_ms", quoted(since.div_euclid(1_000_000) as i64));
    let hour = civil(timed.t).with().minute(0).second(0).subsec_nanosecond(0).build().expect("an hour");
    row.set("hour", time(micros_of(hour)));
    if timed.d <= 0 {
        return eval("R0101");
    }
    row.set("step", time(instant(i128::from(timed.t) - i128::from(timed.t).rem_euclid(timed.d.into()))?));
    Ok(())
}

fn days(row: &mut Shown<Own>, timed: &Timed) -> Plain<()> {
    let shown = |day: Date| json!(day.to_string()).to_string();
    row.set("date", shown(civil(timed.t).date()));
    row.set("day", shown(timed.day));
    let midnight = i128::from(micros_of(timed.day.at(0, 0, 0, 0)));
    let moved = |by: i128| Ok(shown(civil(instant(midnight + by)?).date()));
    row.set("tomorrow", moved(24 * i128::from(HOUR))?);
    row.set("before", moved(-i128::from(timed.d))?);
    let apart = timed.day.since((Unit::Day, date(2024, 2, 29))).expect("days between dates").get_days();
    row.set("apart", quoted(apart.into()));
    Ok(())
}

fn documents(version: u64, id: &str, row: Option<&Shown<Own>>) -> Vec<(String, Document)> {
    let text = row.map(|row| {
        let of = |(name, default): &(&'static str, &str)| {
            (*name, row.fields.get(name).cloned().unwrap_or_else(|| (*default).to_owned()))
        };
        step::document("times", version, [("id", json!(id).to_string())].into_iter().chain(FIELDS.iter().map(of)))
    });
    vec![("cache".to_owned(), Ok(text))]
}
