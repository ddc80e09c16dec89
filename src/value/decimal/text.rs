//! Decimals ↔ text and floats.

use std::fmt;

use super::{Decimal, POWERS, power};

/// Why a text is no decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// It is not written as a number.
    NotANumber,
    /// It is a number with more digits than a decimal holds.
    DoesNotFit,
}

impl Decimal {
    /// Reads `-12.50` or `1.5e3`. The scale is as written, less zeros that would not fit.
    pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
        let number = Digits::split(text.as_bytes()).ok_or(DecimalError::NotANumber)?;
        number.decimal().ok_or(DecimalError::DoesNotFit)
    }

    /// Writes the number with exactly `places` places (all that are not zero, should there be more), or, with `None`,
    /// without trailing zeros. Never an exponent; `-0` is `0`.
    pub fn write(self, places: Option<u8>, out: &mut impl fmt::Write) -> fmt::Result {
        let exact = match places {
            Some(places) if places == self.scale => self,
            _ => self.normalized(),
        };
        if self.is_negative() {
            out.write_char('-')?;
        }
        let coefficient = exact.coefficient().unsigned_abs();
        let factor = POWERS[usize::from(exact.scale)].unsigned_abs();
        write_integer(coefficient / factor, out)?;
        let width = places.unwrap_or(0).max(exact.scale);
        if width == 0 {
            return Ok(());
        }
        out.write_char('.')?;
        if exact.scale > 0 {
            write!(out, "{:0width$}", coefficient % factor, width = usize::from(exact.scale))?;
        }
        (exact.scale..width).try_for_each(|_| out.write_char('0'))
    }

    /// The nearest float.
    pub fn to_float(self) -> f64 {
        // Through text: it is correctly rounded, which a division of two floats is not.
        self.to_string().parse().unwrap_or(0.0)
    }

    /// A float rounded half-even to `scale` places, from its exact binary value. `None` when it does not fit.
    pub fn from_float(value: f64, scale: u8) -> Option<Decimal> {
        if !value.is_finite() || scale > Decimal::SCALE_MAX {
            return None;
        }
        // 1074 places write any float exactly; the digits past the point are then rounded once.
        let text = format!("{value:.1074}");
        let (whole, fraction) = text.split_once('.')?;
        let (kept, rest) = fraction.split_at(usize::from(scale));
        let mut coefficient = 0i128;
        for digit in whole.bytes().chain(kept.bytes()).filter(u8::is_ascii_digit) {
            let digit = i128::from(digit - b'0');
            coefficient = coefficient.checked_mul(10)?.checked_add(if value < 0.0 { -digit } else { digit })?;
        }
        let up = match rest.as_bytes().split_first() {
            Some((b'5', others)) => others.iter().any(|d| *d != b'0') || coefficient % 2 != 0,
            Some((first, _)) => *first > b'5',
            None => false,
        };
        let away = if value < 0.0 { -1 } else { 1 };
        coefficient = coefficient.checked_add(if up { away } else { 0 })?;
        Some(Decimal::new(coefficient, scale))
    }
}

/// Formatting a `u64` is several times faster than a `u128`.
fn write_integer(value: u128, out: &mut impl fmt::Write) -> fmt::Result {
    match u64::try_from(value) {
        Ok(small) => write!(out, "{small}"),
        Err(_) => write!(out, "{value}"),
    }
}

/// A number's text, taken apart.
struct Digits<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Digits<'a> {
    fn split(text: &'a [u8]) -> Option<Digits<'a>> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (whole, rest) = split_digits(rest)?;
        let (fraction, rest) = match rest {
            [b'.', rest @ ..] => split_digits(rest)?,
            _ => (&[][..], rest),
        };
        let exponent = match rest {
            [] => 0,
            [b'e' | b'E', rest @ ..] => exponent(rest)?,
            _ => return None,
        };
        Some(Digits { negative, whole, fraction, exponent })
    }

    fn decimal(&self) -> Option<Decimal> {
        let digits = self.whole.iter().chain(self.fraction);
        if self.exponent == 0 && self.fraction.len() <= 28 && self.whole.len() + self.fraction.len() <= 18 {
            let coefficient = digits.fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            let signed = if self.negative { -coefficient } else { coefficient };
            return Some(Decimal::new(i128::from(signed), self.fraction.len() as u8));
        }
        // Trailing zeros stand for a higher exponent, so that only significant digits have to fit.
        let count = self.whole.len() + self.fraction.len();
        let zeros = digits.clone().rev().take_while(|d| **d == b'0').count();
        let mut coefficient = 0i128;
        for digit in digits.take(count - zeros) {
            let digit = i128::from(digit - b'0');
            coefficient = coefficient.checked_mul(10)?.checked_add(if self.negative { -digit } else { digit })?;
        }
        if coefficient == 0 {
            return Some(Decimal::ZERO);
        }
        let exponent = self.exponent.checked_sub(self.fraction.len() as i64)?.checked_add(zeros as i64)?;
        if exponent >= 0 {
            let factor = power(u32::try_from(exponent).ok()?)?;
            return Some(Decimal::new(coefficient.checked_mul(factor)?, 0));
        }
        Decimal::from_parts(coefficient, u8::try_from(-exponent).ok()?)
    }
}

fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, rest) = split_digits(digits)?;
    // A million is far past anything that fits, and far from overflowing the sums it is used in.
    let value = digits.iter().fold(0i64, |sum, d| (sum * 10 + i64::from(d - b'0')).min(1_000_000_000_000));
    rest.is_empty().then_some(if negative { -value } else { value })
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(None, f)
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}e-{}", self.coefficient(), self.scale)
    }
}
