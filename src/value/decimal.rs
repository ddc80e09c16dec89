//! Exact decimals: an `i128` coefficient over a power of ten, with arithmetic that is exact or says that it cannot be.
//!
//! Equality, order and hash go by numeric value (`1.0 == 1.00`); the scale is only how the number came about. Results
//! depend on the numeric values of the operands alone: where aligning scales would overflow, trailing zeros are taken off
//! first. Nothing rounds but [`Decimal::divide`] and [`Decimal::round`]; nothing goes through a binary float unless asked.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// `coefficient / 10^scale`.
///
/// The coefficient is kept as two halves so that the alignment is 8: a [`crate::value::Value`] is 32 bytes, not 48.
#[derive(Clone, Copy)]
pub struct Decimal {
    high: i64,
    low: u64,
    scale: u8,
}

/// Why a text is no decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalError {
    /// It is not written as a number.
    NotANumber,
    /// It is a number with more digits than a decimal holds.
    DoesNotFit,
}

/// How `round` treats what lies between two results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rounding {
    #[default]
    HalfEven,
    /// Away from zero.
    HalfUp,
    /// Toward zero.
    HalfDown,
    /// Away from zero.
    Up,
    /// Toward zero.
    Down,
    Floor,
    Ceil,
}

impl Rounding {
    /// The mode of that name in the language.
    pub fn by_name(name: &str) -> Option<Rounding> {
        Some(match name {
            "half_even" => Rounding::HalfEven,
            "half_up" => Rounding::HalfUp,
            "half_down" => Rounding::HalfDown,
            "up" => Rounding::Up,
            "down" => Rounding::Down,
            "floor" => Rounding::Floor,
            "ceil" => Rounding::Ceil,
            _ => return None,
        })
    }
}

const POWERS: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// `10^exponent`; `None` when an `i128` cannot hold it.
fn power(exponent: u32) -> Option<i128> {
    POWERS.get(exponent as usize).copied()
}

impl Decimal {
    pub const ZERO: Decimal = Decimal::new(0, 0);
    /// The most places a decimal has.
    pub const SCALE_MAX: u8 = 28;
    /// The places that division rounds to.
    pub const DIVISION_SCALE: u8 = 12;

    /// `coefficient / 10^scale`. Panics when the scale is above [`Decimal::SCALE_MAX`].
    pub const fn new(coefficient: i128, scale: u8) -> Decimal {
        assert!(scale <= Decimal::SCALE_MAX, "a scale is at most 28");
        Decimal { high: (coefficient >> 64) as i64, low: coefficient as u64, scale }
    }

    /// `coefficient / 10^scale`, if the scale is one: for bytes read back.
    pub fn from_parts(coefficient: i128, scale: u8) -> Option<Decimal> {
        (scale <= Decimal::SCALE_MAX).then(|| Decimal::new(coefficient, scale))
    }

    pub const fn coefficient(self) -> i128 {
        ((self.high as i128) << 64) | self.low as i128
    }

    pub const fn scale(self) -> u8 {
        self.scale
    }

    pub fn is_zero(self) -> bool {
        self.high == 0 && self.low == 0
    }

    pub fn is_negative(self) -> bool {
        self.high < 0
    }

    /// The same number with no trailing zeros after the point.
    pub fn normalized(self) -> Decimal {
        let (mut coefficient, mut scale) = (self.coefficient(), self.scale);
        if coefficient == 0 {
            return Decimal::ZERO;
        }
        while scale > 0 && coefficient % 10 == 0 {
            coefficient /= 10;
            scale -= 1;
        }
        Decimal::new(coefficient, scale)
    }

    /// The same number with exactly this scale; `None` when digits would be lost or it does not fit.
    pub fn rescale(self, scale: u8) -> Option<Decimal> {
        if scale == self.scale {
            return Some(self);
        }
        if scale > self.scale {
            let factor = power(u32::from(scale - self.scale))?;
            return Decimal::from_parts(self.coefficient().checked_mul(factor)?, scale);
        }
        let factor = power(u32::from(self.scale - scale))?;
        let (quotient, rest) = (self.coefficient() / factor, self.coefficient() % factor);
        (rest == 0).then(|| Decimal::new(quotient, scale))
    }

    pub fn checked_neg(self) -> Option<Decimal> {
        Some(Decimal::new(self.coefficient().checked_neg()?, self.scale))
    }

    pub fn checked_abs(self) -> Option<Decimal> {
        Some(Decimal::new(self.coefficient().checked_abs()?, self.scale))
    }

    /// The exact sum, with the larger scale; `None` when it does not fit.
    pub fn checked_add(self, other: Decimal) -> Option<Decimal> {
        self.sum(other, i128::checked_add)
    }

    /// The exact difference, with the larger scale; `None` when it does not fit.
    pub fn checked_sub(self, other: Decimal) -> Option<Decimal> {
        self.sum(other, i128::checked_sub)
    }

    fn sum(self, other: Decimal, op: fn(i128, i128) -> Option<i128>) -> Option<Decimal> {
        let aligned = |a: Decimal, b: Decimal| {
            let scale = a.scale.max(b.scale);
            let sum = op(a.rescale(scale)?.coefficient(), b.rescale(scale)?.coefficient())?;
            Some(Decimal::new(sum, scale))
        };
        aligned(self, other).or_else(|| aligned(self.normalized(), other.normalized()))
    }

    /// The exact product, with the sum of the scales; `None` when it does not fit.
    pub fn checked_mul(self, other: Decimal) -> Option<Decimal> {
        let scale = self.scale + other.scale;
        match self.coefficient().checked_mul(other.coefficient()) {
            Some(product) if scale <= Decimal::SCALE_MAX => Some(Decimal::new(product, scale)),
            _ => self.long_mul(other),
        }
    }

    /// The product where the plain way overflows: pairs of the factors 2 and 5 are taken out of both sides first.
    fn long_mul(self, other: Decimal) -> Option<Decimal> {
        let (a, b) = (self.normalized(), other.normalized());
        let (mut x, mut y, mut scale) = (a.coefficient(), b.coefficient(), a.scale + b.scale);
        if x == 0 || y == 0 {
            return Some(Decimal::ZERO);
        }
        while scale > 0 {
            if x % 2 == 0 && y % 5 == 0 {
                (x, y) = (x / 2, y / 5);
            } else if x % 5 == 0 && y % 2 == 0 {
                (x, y) = (x / 5, y / 2);
            } else if x % 10 == 0 {
                x /= 10;
            } else if y % 10 == 0 {
                y /= 10;
            } else {
                break;
            }
            scale -= 1;
        }
        Decimal::from_parts(x.checked_mul(y)?, scale)
    }

    /// The quotient, rounded half-even at 12 places. `None` when it does not fit. The divisor is not zero.
    pub fn divide(self, divisor: Decimal) -> Option<Decimal> {
        let negative = self.is_negative() != divisor.is_negative();
        let (a, b) = (self.normalized(), divisor.normalized());
        if b.is_zero() {
            return None;
        }
        let fit = |quotient: u128, scale: u8| {
            let magnitude = i128::try_from(quotient).ok()?;
            Some(Decimal::new(if negative { -magnitude } else { magnitude }, scale))
        };
        if let Some(quotient) = Quotient::at(a, b, Decimal::DIVISION_SCALE)
            && let Some(rounded) = quotient.half_even()
            && let Some(result) = fit(rounded, Decimal::DIVISION_SCALE)
        {
            return Some(result);
        }
        // Too many digits for 12 places, but a result with fewer places may be exact.
        (0..Decimal::DIVISION_SCALE).rev().find_map(|scale| {
            let quotient = Quotient::at(a, b, scale)?;
            (quotient.rest == Rest::Zero).then(|| fit(quotient.floor, scale)).flatten()
        })
    }

    /// Rounded to `scale` places, with exactly that scale. `None` when it does not fit.
    pub fn round(self, scale: u8, mode: Rounding) -> Option<Decimal> {
        if scale >= self.scale {
            return if scale > Decimal::SCALE_MAX { None } else { self.rescale(scale) };
        }
        let factor = power(u32::from(self.scale - scale))?;
        let coefficient = self.coefficient();
        let (quotient, rest) = (coefficient / factor, coefficient % factor);
        let half = rest.abs().cmp(&(factor / 2));
        let away = match mode {
            _ if rest == 0 => false,
            Rounding::HalfEven => half == Ordering::Greater || (half == Ordering::Equal && quotient % 2 != 0),
            Rounding::HalfUp => half != Ordering::Less,
            Rounding::HalfDown => half == Ordering::Greater,
            Rounding::Up => true,
            Rounding::Down => false,
            Rounding::Floor => coefficient < 0,
            Rounding::Ceil => coefficient > 0,
        };
        Some(Decimal::new(quotient + if away { coefficient.signum() } else { 0 }, scale))
    }

    /// Rounded to a whole number; `None` when an `i64` cannot hold it.
    pub fn to_whole(self, mode: Rounding) -> Option<i64> {
        i64::try_from(self.round(0, mode)?.coefficient()).ok()
    }

    /// The power by a whole exponent, exact. `None` when it does not fit, and for a negative exponent.
    pub fn power(self, exponent: i64) -> Option<Decimal> {
        let mut exponent = u64::try_from(exponent).ok()?;
        let (mut base, mut result) = (self, Decimal::new(1, 0));
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result.checked_mul(base)?;
            }
            exponent >>= 1;
            if exponent > 0 {
                base = base.checked_mul(base)?;
            }
        }
        Some(result)
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
            coefficient = coefficient.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        let up = match rest.as_bytes().split_first() {
            Some((b'5', others)) => others.iter().any(|d| *d != b'0') || coefficient % 2 != 0,
            Some((first, _)) => *first > b'5',
            None => false,
        };
        coefficient = coefficient.checked_add(i128::from(up))?;
        Some(Decimal::new(if value < 0.0 { -coefficient } else { coefficient }, scale))
    }

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
}

/// Formatting a `u64` is several times faster than a `u128`.
fn write_integer(value: u128, out: &mut impl fmt::Write) -> fmt::Result {
    match u64::try_from(value) {
        Ok(small) => write!(out, "{small}"),
        Err(_) => write!(out, "{value}"),
    }
}

/// What a division leaves, against half of the divisor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Zero,
    BelowHalf,
    Half,
    AboveHalf,
}

struct Quotient {
    floor: u128,
    rest: Rest,
}

impl Quotient {
    /// `|a| / |b| * 10^scale`, whole part and rest. `None` when the whole part does not fit.
    fn at(a: Decimal, b: Decimal, scale: u8) -> Option<Quotient> {
        let (numerator, divisor) = (a.coefficient().unsigned_abs(), b.coefficient().unsigned_abs());
        let shift = i32::from(scale) + i32::from(b.scale) - i32::from(a.scale);
        if shift < 0 {
            return Some(Quotient::shifted_down(numerator, divisor, shift.unsigned_abs()));
        }
        let factor = power(shift.unsigned_abs())?.unsigned_abs();
        if let Some(scaled) = numerator.checked_mul(factor) {
            let rest = scaled % divisor;
            return Some(Quotient { floor: scaled / divisor, rest: Rest::of(rest, divisor) });
        }
        let (mut floor, mut rest) = (numerator / divisor, numerator % divisor);
        for _ in 0..shift {
            let mut digit = 0;
            let mut sum = 0u128;
            // Ten times the rest, a divisor at a time: both are below 2^127, so the sum never overflows.
            for _ in 0..10 {
                sum += rest;
                if sum >= divisor {
                    sum -= divisor;
                    digit += 1;
                }
            }
            floor = floor.checked_mul(10)?.checked_add(digit)?;
            rest = sum;
        }
        Some(Quotient { floor, rest: Rest::of(rest, divisor) })
    }

    /// `numerator / (divisor * 10^places)` without forming the product.
    fn shifted_down(numerator: u128, divisor: u128, places: u32) -> Quotient {
        let (quotient, rest) = (numerator / divisor, numerator % divisor);
        let factor = power(places).expect("scales differ by at most 28").unsigned_abs();
        let low = quotient % factor;
        let rest = match low.cmp(&(factor / 2)) {
            Ordering::Less if low == 0 && rest == 0 => Rest::Zero,
            Ordering::Less => Rest::BelowHalf,
            Ordering::Equal if rest == 0 => Rest::Half,
            Ordering::Equal | Ordering::Greater => Rest::AboveHalf,
        };
        Quotient { floor: quotient / factor, rest }
    }

    fn half_even(self) -> Option<u128> {
        let up = self.rest == Rest::AboveHalf || (self.rest == Rest::Half && self.floor % 2 == 1);
        self.floor.checked_add(u128::from(up))
    }
}

impl Rest {
    fn of(rest: u128, divisor: u128) -> Rest {
        if rest == 0 {
            return Rest::Zero;
        }
        match rest.cmp(&(divisor - rest)) {
            Ordering::Less => Rest::BelowHalf,
            Ordering::Equal => Rest::Half,
            Ordering::Greater => Rest::AboveHalf,
        }
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

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal::new(i128::from(value), 0)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Decimal) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let (a, b) = (self.coefficient(), other.coefficient());
        if self.scale == other.scale || a.signum() != b.signum() {
            return a.cmp(&b);
        }
        let (p, q) = (POWERS[usize::from(self.scale)], POWERS[usize::from(other.scale)]);
        // A fraction at 28 places is below 10^28 and always fits.
        let fraction = |rest: i128, scale: u8| rest * POWERS[usize::from(Decimal::SCALE_MAX - scale)];
        (a / p).cmp(&(b / q)).then_with(|| fraction(a % p, self.scale).cmp(&fraction(b % q, other.scale)))
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let exact = self.normalized();
        exact.coefficient().hash(state);
        exact.scale.hash(state);
    }
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
