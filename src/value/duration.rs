//! Durations as microseconds, read and printed as ISO 8601 (`PT1H30M`).
//!
//! They are exact lengths, so hours are the largest unit printed: a day of ISO 8601 may be 23 hours long. Read, a day is
//! 24 hours and a week seven of them; months and years have no length and are refused.

use std::fmt;

use crate::value::timestamp::{SECOND, write_fraction};

pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Reads ISO 8601: `P7D`, `PT1H30M`, `-PT0.5S`.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (sign, mut rest) = match bytes {
        [b'-', b'P', rest @ ..] => (-1, rest),
        [b'P', rest @ ..] => (1, rest),
        _ => return None,
    };
    let (mut total, mut units, mut last_unit) = (0i64, 0, 0);
    let mut in_time = false;
    while let Some(first) = rest.first() {
        if *first == b'T' && !in_time {
            (in_time, rest) = (true, &rest[1..]);
            // A `T` with nothing after it promises a time that is not there.
            if rest.is_empty() {
                return None;
            }
            continue;
        }
        let (whole, fraction, unit, after) = component(rest)?;
        let (order, size) = match (unit, in_time) {
            (b'W', false) => (1, 7 * DAY),
            (b'D', false) => (2, DAY),
            (b'H', true) => (3, HOUR),
            (b'M', true) => (4, MINUTE),
            (b'S', true) => (5, SECOND),
            _ => return None,
        };
        if order <= last_unit || (fraction != 0 && order != 5) {
            return None;
        }
        // Signed from the start: the lowest duration has no positive counterpart.
        total = total.checked_add((sign * whole).checked_mul(size)?)?.checked_add(sign * fraction)?;
        (last_unit, units, rest) = (order, units + 1, after);
    }
    (units > 0).then_some(total)
}

/// `12.5S`: the whole part, the fraction in millionths, the unit, and what follows.
fn component(text: &[u8]) -> Option<(i64, i64, u8, &[u8])> {
    let len = text.iter().position(|b| !b.is_ascii_digit())?;
    let (digits, rest) = text.split_at(len);
    let whole = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => {
            let len = rest.iter().position(|b| !b.is_ascii_digit()).filter(|len| (1..=6).contains(len))?;
            let value: i64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
            (value * 10i64.pow(6 - len as u32), &rest[len..])
        }
        _ => (0, rest),
    };
    let (unit, rest) = rest.split_first()?;
    Some((whole, fraction, *unit, rest))
}

/// Writes ISO 8601.
pub fn write(micros: i64, out: &mut impl fmt::Write) -> fmt::Result {
    if micros == 0 {
        return out.write_str("PT0S");
    }
    if micros < 0 {
        out.write_char('-')?;
    }
    let total = micros.unsigned_abs();
    let (second, minute, hour) = (SECOND as u64, MINUTE as u64, HOUR as u64);
    out.write_str("PT")?;
    if total >= hour {
        write!(out, "{}H", total / hour)?;
    }
    if total % hour >= minute {
        write!(out, "{}M", total % hour / minute)?;
    }
    if !total.is_multiple_of(minute) {
        write!(out, "{}", total % minute / second)?;
        write_fraction((total % second) as i64, out)?;
        out.write_char('S')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: i64) -> String {
        let mut out = String::new();
        write(micros, &mut out).unwrap();
        out
    }

    #[test]
    fn prints_exact_lengths() {
        assert_eq!(text(0), "PT0S");
        assert_eq!(text(HOUR + 30 * MINUTE), "PT1H30M");
        assert_eq!(text(7 * DAY), "PT168H");
        assert_eq!(text(-250_000), "-PT0.25S");
        assert_eq!(text(HOUR + 1), "PT1H0.000001S");
        assert_eq!(text(i64::MIN), "-PT2562047788H54.775808S");
    }

    #[test]
    fn reads_what_it_prints_and_days() {
        for micros in [0, 1, -1, SECOND, MINUTE, HOUR, DAY, i64::MAX, i64::MIN, 123_456_789_012] {
            assert_eq!(parse(&text(micros)), Some(micros), "{micros}");
        }
        assert_eq!(parse("P1W2DT3H"), Some(9 * DAY + 3 * HOUR));
        for wrong in
            ["", "P", "PT", "P1DT", "P1Y", "P1M", "PT1D", "PT1S1M", "PT0.5M", "1H", "PT1.S", "PT9999999999999H"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
