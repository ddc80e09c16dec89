//! Times as text against `jiff`: dates, timestamps and durations, over all that each type holds.
//!
//! | operation | held against |
//! |---|---|
//! | day ↔ year, month, day; days of a month | every date there is (`every_date_is_theirs`) |
//! | text → date | its dates, for every day and for days that do not exist (`dates_are_read_alike`) |
//! | text → timestamp: offsets, fractions of 1–12 digits, `T t space`, `Z z` | its civil times, less the offset (`timestamps_are_read_alike`) |
//! | timestamp → text | its civil times, to both ends of the range (`timestamps_are_printed_alike`) |
//! | text → duration: weeks to seconds, fractions | the units of its spans (`durations_are_read_alike`) |
//! | duration → text | its own ISO 8601 (`durations_are_printed_alike`) |
//!
//! What is no time at all, and where theirs is laxer than ours, is listed where each type lives. Arithmetic on times is
//! tested where it is defined, in `plan`. Random cases crowd at the ends of the range, around 1970 and at leap days;
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change how many and which.

use jiff::civil::{Date, DateTime, date as day};
use jiff::{SignedDuration, Span};
use proptest::prelude::*;

use crate::value::{date, duration, timestamp};

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number.max(ProptestConfig::default().cases), ..ProptestConfig::default() }
}

fn epoch() -> DateTime {
    day(1970, 1, 1).at(0, 0, 0, 0)
}

/// Microseconds since 1970, rounded toward the past.
fn micros_of(time: DateTime) -> i128 {
    time.duration_since(epoch()).as_nanos().div_euclid(1000)
}

/// The civil time of a timestamp of ours.
fn civil(micros: i64) -> DateTime {
    epoch().checked_add(SignedDuration::from_micros(micros)).expect("years 0 to 9999 are theirs too")
}

fn printed<T>(value: T, write: impl FnOnce(T, &mut String) -> std::fmt::Result) -> String {
    let mut text = String::new();
    write(value, &mut text).unwrap();
    text
}

/// Timestamps at ends, around 1970, at midnights and months, and anywhere.
fn any_timestamp() -> impl Strategy<Value = i64> {
    let near = prop_oneof![
        Just(timestamp::MIN),
        Just(timestamp::MAX),
        Just(0i64),
        (date::MIN..=date::MAX).prop_map(|day| i64::from(day) * timestamp::DAY),
        (0i32..=9999).prop_map(|year| i64::from(date::from_civil(year, 3, 1).unwrap()) * timestamp::DAY),
    ];
    let special = (near, -2_000_000i64..2_000_000).prop_map(|(at, by)| at + by);
    let whole = (timestamp::MIN / 1_000_000..timestamp::MAX / 1_000_000).prop_map(|seconds| seconds * 1_000_000);
    prop_oneof![special, whole, timestamp::MIN..=timestamp::MAX]
        .prop_map(|micros| micros.clamp(timestamp::MIN, timestamp::MAX))
}

fn any_duration() -> impl Strategy<Value = i64> {
    let unit = prop_oneof![Just(1i64), Just(timestamp::SECOND), Just(duration::MINUTE), Just(duration::HOUR)];
    let whole = (unit, -100_000i64..100_000, -1i64..=1).prop_map(|(unit, count, by)| unit * count + by);
    prop_oneof![whole, any::<i64>(), Just(i64::MAX), Just(i64::MIN), Just(0)]
}

/// `(number of digits, digits)` of a fraction, so that zeros come often.
fn fraction() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "\\.[0-9]{1,12}", "\\.[09]{1,9}", "\\.0{1,6}[0-9]{0,3}"]
}

#[test]
fn every_date_is_theirs() {
    let mut theirs: Date = day(0, 1, 1);
    for days in date::MIN..=date::MAX {
        let (year, month, day) = (theirs.year(), theirs.month(), theirs.day());
        assert_eq!(date::to_civil(days), (i32::from(year), month as u32, day as u32), "day {days}");
        assert_eq!(date::from_civil(i32::from(year), month as u32, day as u32), Some(days));
        if day == 1 {
            assert_eq!(date::month_days(i32::from(year), month as u32), theirs.days_in_month() as u32);
        }
        let Ok(next) = theirs.tomorrow() else {
            assert_eq!(days, date::MAX);
            break;
        };
        theirs = next;
    }
    assert_eq!(theirs, day(9999, 12, 31));
}

proptest! {
    #![proptest_config(cases(20_000))]

    #[test]
    fn dates_are_read_alike(year in 0i16..=9999, month in 0i8..=13, day in 0i8..=32) {
        let text = format!("{year:04}-{month:02}-{day:02}");
        let theirs = Date::new(year, month, day).ok();
        prop_assert_eq!(text.parse::<Date>().ok(), theirs);
        let ours = date::parse(&text);
        prop_assert_eq!(ours, theirs.map(|theirs| micros_of(theirs.at(0, 0, 0, 0)).div_euclid(86_400_000_000) as i32));
        if let Some(days) = ours {
            prop_assert_eq!(printed(days, date::write), theirs.unwrap().to_string());
        }
    }

    #[test]
    fn timestamps_are_printed_alike(micros in any_timestamp()) {
        let text = printed(micros, timestamp::write);
        prop_assert_eq!(&text, &format!("{}Z", civil(micros)));
        prop_assert_eq!(timestamp::parse(&text), Some(micros));
    }

    #[test]
    fn timestamps_are_read_alike(
        (year, month, day) in (prop_oneof![Just(0i16), Just(9999), 0i16..=9999], 0i8..=13, 0i8..=32),
        (hour, minute, second) in (0i8..=24, 0i8..=60, 0i8..=60),
        fraction in fraction(),
        (sign, hours, minutes) in (-1i64..=1, 0i64..=24, prop_oneof![Just(0i64), 0i64..=60]),
        (between, zulu) in (prop_oneof![Just('T'), Just('t'), Just(' ')], prop_oneof![Just("Z"), Just("z")]),
    ) {
        let offset = match sign {
            0 => zulu.to_owned(),
            _ => format!("{}{hours:02}:{minutes:02}", if sign < 0 { '-' } else { '+' }),
        };
        let text = format!("{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
        let known_offset = sign == 0 || (hours <= 23 && minutes <= 59);
        // Of the fraction they hold nine digits; the rest is below what either keeps.
        let nanos: i32 = format!("{:0<9.9}", fraction.trim_start_matches('.')).parse().unwrap();
        let theirs = DateTime::new(year, month, day, hour, minute, second, nanos).ok().filter(|_| known_offset);
        let theirs = theirs.map(|time| micros_of(time) - i128::from(sign * (hours * 3600 + minutes * 60) * 1_000_000));
        let range = micros_of(self::day(0, 1, 1).at(0, 0, 0, 0))..=micros_of(self::day(9999, 12, 31).at(23, 59, 59, 999_999_999));
        let theirs = theirs.filter(|micros| range.contains(micros));
        prop_assert_eq!(timestamp::parse(&text).map(i128::from), theirs, "{}", text);
        // Their own parser agrees wherever it can hold the instant.
        if let (Ok(instant), Some(ours)) = (text.parse::<jiff::Timestamp>(), theirs)
            && fraction.len() <= 10
        {
            prop_assert_eq!(instant.as_nanosecond().div_euclid(1000), ours, "{}", text);
        }
    }

    #[test]
    fn durations_are_printed_alike(micros in any_duration()) {
        let text = printed(micros, duration::write);
        prop_assert_eq!(&text, &SignedDuration::from_micros(micros).to_string());
        prop_assert_eq!(duration::parse(&text), Some(micros));
    }

    #[test]
    fn durations_are_read_alike(
        negative in any::<bool>(),
        (weeks, days) in (prop::option::of(0u32..100_000), prop::option::of(0u32..1_000_000)),
        (hours, minutes) in (prop::option::of(0u64..100_000_000), prop::option::of(0u64..10_000_000_000)),
        seconds in prop::option::of((0u64..600_000_000_000, "(\\.[0-9]{1,6})?")),
    ) {
        let part = |count: Option<String>, unit: &str| count.map_or(String::new(), |count| count + unit);
        let plain = |count: Option<u64>| count.map(|count| count.to_string());
        let time = part(plain(hours), "H") + &part(plain(minutes), "M")
            + &part(seconds.clone().map(|(whole, fraction)| format!("{whole}{fraction}")), "S");
        let date = part(weeks.map(|n| n.to_string()), "W") + &part(days.map(|n| n.to_string()), "D");
        let text = format!("{}P{date}{}{time}", if negative { "-" } else { "" }, if time.is_empty() { "" } else { "T" });
        let ours = duration::parse(&text);
        if date.is_empty() && time.is_empty() {
            prop_assert_eq!(ours, None);
            return Ok(());
        }
        let span: Span = match text.parse() {
            Ok(span) => span,
            // Their units have limits of their own.
            Err(_) => return Ok(()),
        };
        let of = |count: i64, micros: i128| i128::from(count) * micros;
        let hours = i128::from(span.get_days()) * 24 + i128::from(span.get_weeks()) * 168 + i128::from(span.get_hours());
        let theirs = hours * 3_600_000_000 + of(span.get_minutes(), 60_000_000) + of(span.get_seconds(), 1_000_000)
            + of(span.get_milliseconds(), 1000) + of(span.get_microseconds(), 1);
        prop_assert_eq!(ours, i64::try_from(theirs).ok(), "{}", text);
    }

    #[test]
    fn whatever_is_read_is_one_of_theirs(text in "[-+]?P?T?[0-9.,:TZPWDHMS +-]{0,24}") {
        if let Some(micros) = timestamp::parse(&text) {
            prop_assert_eq!(text.parse::<jiff::Timestamp>().map(|t| t.as_nanosecond().div_euclid(1000)).ok(), Some(i128::from(micros)));
        }
        if let Some(days) = date::parse(&text) {
            let (year, month, day) = date::to_civil(days);
            prop_assert_eq!(text.parse::<Date>().ok(), Date::new(year as i16, month as i8, day as i8).ok());
        }
        if duration::parse(&text).is_some() {
            prop_assert!(text.parse::<Span>().is_ok(), "{}", text);
        }
    }
}
