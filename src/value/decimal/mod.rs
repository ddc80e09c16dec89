//! Exact decimals: an `i128` coefficient over a power of ten, with arithmetic that is exact or says that it cannot be.
//!
//! Equality, order and hash go by numeric value (`1.0 == 1.00`); the scale is only how the number came about. Results
//! depend on the numeric values of the operands alone: where aligning scales would overflow, trailing zeros are taken off
//! first. Nothing rounds but [`Decimal::divide`] and [`Decimal::round`]; nothing goes through a binary float unless asked.

mod divide;
#[cfg(test)]
mod tests;
mod text;

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

pub use text::DecimalError;

/// `coefficient / 10^scale`.
///
/// The coefficient is kept as two halves so that the alignment is 8: a [`crate::value::Value`] is 32 bytes, not 48.
#[derive(Clone, Copy)]
pub struct Decimal {
    high: i64,
    low: u64,
    scale: u8,
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
        aligned(self, other).or_else(|| Decimal::long_sum(self.normalized(), other.normalized(), op))
    }

    /// The sum where an aligned operand overflows, though the result may fit: the finer side is parted at the coarser scale.
    #[cold]
    fn long_sum(a: Decimal, b: Decimal, op: fn(i128, i128) -> Option<i128>) -> Option<Decimal> {
        let (x, y) = (a.coefficient(), b.coefficient());
        // Parted at the last digit, sides of one scale cannot overflow before they are joined.
        let places = u32::from(a.scale.abs_diff(b.scale)).max(1);
        let factor = power(places)?;
        let (whole, rest) = match a.scale.cmp(&b.scale) {
            Ordering::Equal => {
                let last = op(x % 10, y % 10)?;
                (op(x / 10, y / 10)? + last / 10, last % 10)
            }
            Ordering::Greater => (op(x / factor, y)?, x % factor),
            Ordering::Less => (op(x, y / factor)?, op(0, y % factor)?),
        };
        Parted { whole, rest, places }.join(a.scale.max(b.scale))
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
}

/// `whole * 10^places + rest`, which may be too large for an `i128`. The rest is smaller than one of the whole.
struct Parted {
    whole: i128,
    rest: i128,
    places: u32,
}

impl Parted {
    /// The number over `10^scale`, with fewer places where that makes it fit.
    fn join(mut self, mut scale: u8) -> Option<Decimal> {
        loop {
            if let Some(coefficient) = self.coefficient() {
                return Some(Decimal::new(coefficient, scale));
            }
            scale = scale.checked_sub(1)?;
            self = self.tenth()?;
        }
    }

    fn coefficient(&self) -> Option<i128> {
        let (mut whole, mut rest, factor) = (self.whole, self.rest, power(self.places)?);
        if whole.signum() * rest.signum() < 0 {
            // With equal signs no step is larger than the result.
            rest += whole.signum() * factor;
            whole -= whole.signum();
        }
        whole.checked_mul(factor)?.checked_add(rest)
    }

    /// A tenth of it, if that is a whole number.
    fn tenth(self) -> Option<Parted> {
        let Parted { whole, rest, places } = self;
        match places {
            0 => (whole % 10 == 0).then_some(Parted { whole: whole / 10, rest, places }),
            _ => (rest % 10 == 0).then(|| Parted { whole, rest: rest / 10, places: places - 1 }),
        }
    }
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
        let scale = self.scale.max(other.scale);
        if let (Some(a), Some(b)) = (self.rescale(scale), other.rescale(scale)) {
            return a.coefficient().cmp(&b.coefficient());
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
