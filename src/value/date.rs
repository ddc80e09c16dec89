//! Dates as days since 1970-01-01: the proleptic Gregorian calendar, years 0 to 9999, read and printed as `YYYY-MM-DD`.

use std::fmt;

/// 0000-01-01.
pub const MIN: i32 = -719_528;
/// 9999-12-31.
pub const MAX: i32 = 2_932_896;

/// The day of a year, month and day of the month; `None` when there is no such day.
pub fn from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    let known = (0..=9999).contains(&year) && (1..=12).contains(&month);
    (known && day >= 1 && day <= month_days(year, month)).then(|| days_of(year, month, day))
}

/// Days of a month.
pub fn month_days(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Counts from a year that begins in March, so that the leap day is the last of it.
fn days_of(year: i32, month: u32, day: u32) -> i32 {
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let century_cycle = year.div_euclid(400);
    let year_in_cycle = year.rem_euclid(400);
    let day_of_year = (153 * month as i32 + 2) / 5 + day as i32 - 1;
    century_cycle * 146_097 + year_in_cycle * 365 + year_in_cycle / 4 - year_in_cycle / 100 + day_of_year - 719_468
}

/// Year, month and day of the month.
pub fn to_civil(days: i32) -> (i32, u32, u32) {
    let shifted = i64::from(days) + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_in_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_in_cycle + year_in_cycle / 4 - year_in_cycle / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let year = (cycle * 400 + year_in_cycle) as i32 + i32::from(month >= 10);
    (year, if month < 10 { month as u32 + 3 } else { month as u32 - 9 }, day)
}

/// Reads `YYYY-MM-DD`.
pub fn parse(text: &str) -> Option<i32> {
    parse_bytes(text.as_bytes())
}

/// Reads the bytes of `YYYY-MM-DD`: ten, or they are no date.
pub(super) fn parse_bytes(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let (high, low) = (two_digits(y0, y1)?, two_digits(y2, y3)?);
    from_civil((high * 100 + low) as i32, two_digits(m0, m1)?, two_digits(d0, d1)?)
}

pub(super) fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Writes `YYYY-MM-DD`.
pub fn write(days: i32, out: &mut impl fmt::Write) -> fmt::Result {
    let (year, month, day) = to_civil(days);
    write!(out, "{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_its_own() {
        let mut expected = (0, 1, 1);
        for days in MIN..=MAX {
            assert_eq!(to_civil(days), expected, "day {days}");
            let (year, month, day) = expected;
            assert_eq!(from_civil(year, month, day), Some(days));
            expected = if day < month_days(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
        assert_eq!(expected, (10_000, 1, 1));
    }

    #[test]
    fn reads_and_prints() {
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2024-02-29"), Some(19_782));
        let mut text = String::new();
        write(19_782, &mut text).unwrap();
        assert_eq!(text, "2024-02-29");
        for wrong in ["2023-02-29", "2024-2-29", "2024-13-01", "2024-00-01", "2024-01-00", "24-01-01", "2024/01/01", ""]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
