//! Division: long division of coefficients, rounded half-even, without ever forming a product that overflows.

use std::cmp::Ordering;

use super::{Decimal, power};

impl Decimal {
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
        let scaled = power(shift.unsigned_abs()).and_then(|factor| numerator.checked_mul(factor.unsigned_abs()));
        if let Some(scaled) = scaled {
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
