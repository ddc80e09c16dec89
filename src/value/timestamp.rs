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
