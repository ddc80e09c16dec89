//! Timestamps as microseconds since 1970, UTC: read from RFC 3339 text with any offset, printed with `Z`.
//!
//! A microsecond is the grain of the type: finer digits (.NET writes seven, Java and Go nine) are dropped toward the
//! past, so that order never turns round. Years 0 to 9999; leap seconds are no value.

use std::fmt;

use crate::value::date;

pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 86_400 * SECOND;
/// 0000-01-01T00:00:00Z.
pub const MIN: i64 = date::MIN as i64 * DAY;
/// 9999-12-31T23:59:59.999999Z.
pub const MAX: i64 = (date::MAX as i64 + 1) * DAY - 1;

/// Microseconds since 1970, if they are a time that can be printed.
pub fn in_range(micros: i64) -> Option<i64> {
    (MIN..=MAX).contains(&micros).then_some(micros)
}

/// Reads RFC 3339: `2026-01-01T10:00:00.25+01:00`.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (day, rest) = bytes.split_at_checked(10)?;
    let (time, rest) = rest.split_at_checked(9)?;
    let [b'T' | b't' | b' ', h0, h1, b':', m0, m1, b':', s0, s1] = *time else { return None };
    let day = date::parse_bytes(day)?;
    let (hour, minute) = (date::two_digits(h0, h1)?, date::two_digits(m0, m1)?);
    let second = date::two_digits(s0, s1)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, rest) = fraction(rest)?;
    let seconds = i64::from(day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - offset(rest)?;
    in_range(seconds * SECOND + micros)
}

/// `.25`, or nothing: microseconds and what follows.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = text else { return Some((0, text)) };
    let len = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(len);
    let shown = digits.iter().take(6);
    let micros = shown.fold(0, |sum, d| sum * 10 + i64::from(d - b'0')) * 10i64.pow(6 - len.min(6) as u32);
    (len > 0).then_some((micros, rest))
}

/// `Z` or `+hh:mm`: seconds to take away.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, hour, minute) = match *text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', h0, h1, b':', m0, m1] => (1, date::two_digits(h0, h1)?, date::two_digits(m0, m1)?),
        [b'-', h0, h1, b':', m0, m1] => (-1, date::two_digits(h0, h1)?, date::two_digits(m0, m1)?),
        _ => return None,
    };
    (hour <= 23 && minute <= 59).then(|| sign * i64::from(hour * 3600 + minute * 60))
}

/// Writes RFC 3339 with `Z`; a fraction only if there is one, without trailing zeros.
pub fn write(micros: i64, out: &mut impl fmt::Write) -> fmt::Result {
    let in_day = micros.rem_euclid(DAY);
    date::write(micros.div_euclid(DAY) as i32, out)?;
    let seconds = in_day / SECOND;
    write!(out, "T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    write_fraction(in_day % SECOND, out)?;
    out.write_char('Z')
}

/// `.25` for 250,000 microseconds; nothing for none.
pub(super) fn write_fraction(micros: i64, out: &mut impl fmt::Write) -> fmt::Result {
    if micros == 0 {
        return Ok(());
    }
    let (mut digits, mut width) = (micros, 6);
    while digits % 10 == 0 {
        digits /= 10;
        width -= 1;
    }
    write!(out, ".{digits:0width$}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(micros: i64) -> String {
        let mut out = String::new();
        write(micros, &mut out).unwrap();
        out
    }

    #[test]
    fn reads_offsets_and_fractions() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("1970-01-01t01:00:00.25+01:00"), Some(250_000));
        assert_eq!(parse("1969-12-31T19:00:00-05:00"), Some(0));
        assert_eq!(parse("1970-01-01 00:00:00.000001z"), Some(1));
        // Finer than a microsecond: dropped toward the past, before 1970 as well.
        assert_eq!(parse("1970-01-01T00:00:00.1234567Z"), Some(123_456));
        assert_eq!(parse("1969-12-31T23:59:59.999999999Z"), Some(-1));
        assert_eq!(parse("0000-01-01T00:00:00Z"), Some(MIN));
        assert_eq!(parse("9999-12-31T23:59:59.999999Z"), Some(MAX));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for wrong in [
            "",
            "2026-01-01",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00Z",
            "2026-01-01T24:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-01-01T10:60:00Z",
            "2016-12-31T23:59:60Z",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00+0100",
            "2026-01-01T10:00:00+24:00",
            "2026-01-01T10:00:00Z ",
            "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "2026-01-01X10:00:00Z",
            "２026-01-01T10:00:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn prints_without_trailing_zeros() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_767_225_600_250_000), "2026-01-01T00:00:00.25Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(text(MIN), "0000-01-01T00:00:00Z");
        assert_eq!(text(MAX), "9999-12-31T23:59:59.999999Z");
    }

    proptest! {
        #[test]
        fn printing_agrees(micros in MIN..=253_402_207_200_000_000) {
            let theirs = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(text(micros), theirs.to_string());
            prop_assert_eq!(parse(&text(micros)), Some(micros));
        }

        #[test]
        fn reading_agrees(
            (year, month, day) in (1i32..9999, 0u32..14, 0u32..33),
            (hour, minute, second) in (0u32..25, 0u32..61, 0u32..60),
            fraction in "(\\.[0-9]{1,9})?",
            offset in "Z|[+-][01][0-9]:[0-5][0-9]",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{offset}");
            // Theirs keeps nanoseconds, so floors what is before 1970 itself.
            let theirs = text.parse::<jiff::Timestamp>().ok();
            prop_assert_eq!(parse(&text), theirs.map(|t| t.as_nanosecond().div_euclid(1000) as i64), "{}", text);
        }
    }
}
