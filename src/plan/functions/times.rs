//! Arithmetic on times, and the library's functions of times, against `jiff`.
//!
//! | operation | held against |
//! |---|---|
//! | `timestamp ± duration`, `date ± duration` | its civil times and dates, within years 0 to 9999 |
//! | `timestamp - timestamp`, `date - date` | its durations between civil times, its days between dates |
//! | `duration ± duration`, `duration * int`, `-duration`, `abs`, `sign` | 128-bit integers |
//! | `days hours minutes seconds milliseconds` of a duration | the whole units of its durations |
//! | `days(n) hours(n) minutes(n) seconds(n)` | 128-bit integers |
//! | `from_unix from_unix_ms unix unix_ms date(t)` | its civil times |
//! | `trunc(t, d)` | 128-bit integers; its rounding to seconds, minutes, hours and days |
//! | comparison | its order |
//!
//! Either side yields nothing only where the other does. How times are read and printed is tested in `value`.

use jiff::SignedDuration;
use jiff::Unit;
use jiff::civil::{Date, DateTime, DateTimeRound, date as day};
use proptest::prelude::*;

use super::time;
use crate::language::typed::{BinaryOp, Function as F};
use crate::plan::eval::arithmetic;
use crate::value::{Type, Value, date, duration, timestamp};

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number.max(ProptestConfig::default().cases), ..ProptestConfig::default() }
}

fn epoch() -> DateTime {
    day(1970, 1, 1).at(0, 0, 0, 0)
}

fn civil(micros: i64) -> DateTime {
    epoch().checked_add(SignedDuration::from_micros(micros)).expect("years 0 to 9999 are theirs too")
}

fn civil_date(days: i32) -> Date {
    civil(i64::from(days) * timestamp::DAY).date()
}

/// `time` later by microseconds. They take no longer steps than a range of years, so it goes in four.
fn moved(time: DateTime, micros: i128) -> Option<i64> {
    let step = micros / 4;
    let last = micros - 3 * step;
    let steps = [step, step, step, last].map(|step| SignedDuration::from_micros(step as i64));
    ours(steps.iter().try_fold(time, |time, step| time.checked_add(*step)).ok()?)
}

/// A time of theirs as ours, if it is in our range.
fn ours(time: DateTime) -> Option<i64> {
    let micros = time.duration_since(epoch()).as_nanos().div_euclid(1000);
    (0..=9999).contains(&time.year()).then_some(micros as i64)
}

fn in_i64(value: i128) -> Option<i64> {
    i64::try_from(value).ok()
}

fn op(op: BinaryOp, a: Value<'static>, b: Value<'static>, ty: Type) -> Option<Value<'static>> {
    arithmetic::binary(op, &a, &b, &ty)
}

fn function(function: F, value: Value<'static>) -> Option<Value<'static>> {
    time::plain(function, &value)
}

fn any_timestamp() -> impl Strategy<Value = i64> {
    let ends = prop_oneof![Just(timestamp::MIN), Just(timestamp::MAX), Just(0i64)];
    let near = (ends, -3_000_000i64..3_000_000).prop_map(|(at, by)| at.saturating_add(by));
    let midnight = (date::MIN..=date::MAX, -1i64..=1).prop_map(|(day, by)| i64::from(day) * timestamp::DAY + by);
    prop_oneof![near, midnight, timestamp::MIN..=timestamp::MAX]
        .prop_map(|micros| micros.clamp(timestamp::MIN, timestamp::MAX))
}

fn any_duration() -> impl Strategy<Value = i64> {
    let units = [1, 1000, timestamp::SECOND, duration::MINUTE, duration::HOUR, duration::DAY, 366 * duration::DAY];
    let whole = (prop::sample::select(units.to_vec()), -10_000i64..10_000, -1i64..=1)
        .prop_map(|(unit, count, by)| unit * count + by);
    let span = timestamp::MAX - timestamp::MIN;
    prop_oneof![whole, any::<i64>(), -span..span, Just(span), Just(-span), Just(i64::MIN), Just(i64::MAX)]
}

fn any_date() -> impl Strategy<Value = i32> {
    prop_oneof![Just(date::MIN), Just(date::MAX), Just(0), date::MIN..=date::MAX]
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn timestamps_move_alike(t in any_timestamp(), d in any_duration()) {
        use BinaryOp::{Add, Subtract};
        let later = moved(civil(t), d.into()).map(Value::Timestamp);
        let earlier = moved(civil(t), -i128::from(d)).map(Value::Timestamp);
        prop_assert_eq!(op(Add, Value::Timestamp(t), Value::Duration(d), Type::Timestamp), later.clone());
        prop_assert_eq!(op(Add, Value::Duration(d), Value::Timestamp(t), Type::Timestamp), later);
        prop_assert_eq!(op(Subtract, Value::Timestamp(t), Value::Duration(d), Type::Timestamp), earlier);
    }

    #[test]
    fn timestamps_lie_apart_alike(a in any_timestamp(), b in any_timestamp()) {
        let between = civil(a).duration_since(civil(b)).as_micros();
        let theirs = in_i64(between).map(Value::Duration);
        prop_assert_eq!(op(BinaryOp::Subtract, Value::Timestamp(a), Value::Timestamp(b), Type::Duration), theirs);
        prop_assert_eq!(Value::Timestamp(a).cmp(&Value::Timestamp(b)), civil(a).cmp(&civil(b)));
    }

    #[test]
    fn dates_move_alike(days in any_date(), d in any_duration()) {
        use BinaryOp::{Add, Subtract};
        let midnight = civil_date(days).at(0, 0, 0, 0);
        let date = |micros: i64| Value::Date(micros.div_euclid(timestamp::DAY) as i32);
        let (later, earlier) = (moved(midnight, d.into()).map(date), moved(midnight, -i128::from(d)).map(date));
        prop_assert_eq!(op(Add, Value::Date(days), Value::Duration(d), Type::Date), later.clone());
        prop_assert_eq!(op(Add, Value::Duration(d), Value::Date(days), Type::Date), later);
        prop_assert_eq!(op(Subtract, Value::Date(days), Value::Duration(d), Type::Date), earlier);
    }

    #[test]
    fn dates_lie_apart_alike(a in any_date(), b in any_date()) {
        let days = civil_date(a).since((Unit::Day, civil_date(b))).unwrap().get_days();
        let ours = op(BinaryOp::Subtract, Value::Date(a), Value::Date(b), Type::Int);
        prop_assert_eq!(ours, Some(Value::Int(i64::from(days))));
        prop_assert_eq!(Value::Date(a).cmp(&Value::Date(b)), civil_date(a).cmp(&civil_date(b)));
    }

    #[test]
    fn durations_add_up(a in any_duration(), b in any_duration(), n in prop_oneof![-100i64..100, any::<i64>()]) {
        let (x, y) = (i128::from(a), i128::from(b));
        let duration = |value: i128| in_i64(value).map(Value::Duration);
        let both = |operation| op(operation, Value::Duration(a), Value::Duration(b), Type::Duration);
        prop_assert_eq!(both(BinaryOp::Add), duration(x + y));
        prop_assert_eq!(both(BinaryOp::Subtract), duration(x - y));
        let product = op(BinaryOp::Multiply, Value::Duration(a), Value::Int(n), Type::Duration);
        prop_assert_eq!(product, duration(x * i128::from(n)));
        prop_assert_eq!(arithmetic::negate(&Value::Duration(a)), duration(-x));
    }

    #[test]
    fn durations_have_the_same_units(d in any_duration(), n in prop_oneof![-100i64..100, any::<i64>()]) {
        let theirs = SignedDuration::from_micros(d);
        let whole = |of: F| function(of, Value::Duration(d));
        prop_assert_eq!(whole(F::Days), Some(Value::Int(theirs.as_hours() / 24)));
        prop_assert_eq!(whole(F::Hours), Some(Value::Int(theirs.as_hours())));
        prop_assert_eq!(whole(F::Minutes), Some(Value::Int(theirs.as_mins())));
        prop_assert_eq!(whole(F::Seconds), Some(Value::Int(theirs.as_secs())));
        prop_assert_eq!(whole(F::Milliseconds), in_i64(theirs.as_millis()).map(Value::Int));
        for (of, seconds) in
            [(F::DurationOfDays, 86_400), (F::DurationOfHours, 3600), (F::DurationOfMinutes, 60), (F::DurationOfSeconds, 1)]
        {
            let theirs = in_i64(i128::from(n) * seconds * 1_000_000).map(Value::Duration);
            prop_assert_eq!(function(of, Value::Int(n)), theirs);
        }
    }

    #[test]
    fn unix_times_are_alike(t in any_timestamp(), n in prop_oneof![-400_000_000_000i64..400_000_000_000, any::<i64>()]) {
        let since = civil(t).duration_since(epoch()).as_nanos();
        prop_assert_eq!(function(F::Unix, Value::Timestamp(t)), in_i64(since.div_euclid(1_000_000_000)).map(Value::Int));
        prop_assert_eq!(function(F::UnixMs, Value::Timestamp(t)), in_i64(since.div_euclid(1_000_000)).map(Value::Int));
        let at = |length: SignedDuration| epoch().checked_add(length).ok().and_then(ours).map(Value::Timestamp);
        prop_assert_eq!(function(F::FromUnix, Value::Int(n)), at(SignedDuration::from_secs(n)));
        prop_assert_eq!(function(F::FromUnixMs, Value::Int(n)), at(SignedDuration::from_millis(n)));
        let date = civil(t).date().since((Unit::Day, day(1970, 1, 1))).unwrap().get_days();
        prop_assert_eq!(function(F::DateOf, Value::Timestamp(t)), Some(Value::Date(date)));
    }

    #[test]
    fn times_are_cut_alike(t in any_timestamp(), d in any_duration()) {
        let cut = |step: i64| time::truncated(&Value::Timestamp(t), &Value::Duration(step));
        let theirs = i128::from(t) - if d > 0 { i128::from(t).rem_euclid(i128::from(d)) } else { 0 };
        let known = d > 0 && (i128::from(timestamp::MIN)..=i128::from(timestamp::MAX)).contains(&theirs);
        prop_assert_eq!(cut(d), known.then_some(Value::Timestamp(theirs as i64)));
        for (unit, step) in [
            (Unit::Second, timestamp::SECOND),
            (Unit::Minute, duration::MINUTE),
            (Unit::Hour, duration::HOUR),
            (Unit::Day, duration::DAY),
        ] {
            let floor = DateTimeRound::new().smallest(unit).mode(jiff::RoundMode::Floor);
            prop_assert_eq!(cut(step), civil(t).round(floor).ok().and_then(ours).map(Value::Timestamp));
        }
    }
}
