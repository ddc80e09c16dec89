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
        let rounded = Quotient::at(a, b, Decimal::DIVISION_SCALE).and_then(Quotient::half_even);
        rounded
            .and_then(|magnitude| signed(magnitude, Decimal::DIVISION_SCALE, negative))
            .or_else(|| long_quotient(a, b, negative))
    }
}

fn signed(magnitude: u128, scale: u8, negative: bool) -> Option<Decimal> {
    let coefficient = if negative { 0i128.checked_sub_unsigned(magnitude) } else { i128::try_from(magnitude).ok() };
    Some(Decimal::new(coefficient?, scale))
}

/// The quotient where 12 places have too many digits: rounded all the same, and then freed of the zeros at its end.
#[cold]
fn long_quotient(a: Decimal, b: Decimal, negative: bool) -> Option<Decimal> {
    let (numerator, divisor) = (a.coefficient().unsigned_abs(), b.coefficient().unsigned_abs());
    // Negative only where many places are cut off, and then the plain way fits.
    let shift = u8::try_from(i32::from(Decimal::DIVISION_SCALE) + i32::from(b.scale) - i32::from(a.scale)).ok()?;
    let mut whole = numerator / divisor;
    let mut rest = numerator % divisor;
    let mut digits: Vec<u8> = Vec::with_capacity(usize::from(shift));
    for _ in 0..shift {
        let digit;
        (digit, rest) = next_digit(rest, divisor);
        digits.push(digit);
    }
    let odd = digits.last().map_or(whole % 2, |last| u128::from(last % 2)) == 1;
    let rest = Rest::of(rest, divisor);
    if rest == Rest::AboveHalf || (rest == Rest::Half && odd) {
        let nines = digits.iter().rev().take_while(|digit| **digit == 9).count();
        let (kept, carried) = digits.split_at_mut(shift as usize - nines);
        carried.fill(0);
        match kept.last_mut() {
            Some(last) => *last += 1,
            None => whole = whole.checked_add(1)?,
        }
    }
    let mut scale = Decimal::DIVISION_SCALE;
    while scale > 0 && digits.last().map_or(whole % 10 == 0, |last| *last == 0) {
        if digits.pop().is_none() {
            whole /= 10;
        }
        scale -= 1;
    }
    let push = |number: u128, digit: &u8| number.checked_mul(10)?.checked_add(u128::from(*digit));
    signed(digits.iter().try_fold(whole, push)?, scale, negative)
}

/// Ten times the rest over the divisor, and what is left. Both are at most 2^127, so nothing overflows.
fn next_digit(rest: u128, divisor: u128) -> (u8, u128) {
    let (mut digit, mut sum) = (0, 0u128);
    for _ in 0..10 {
        sum += rest;
        if sum >= divisor {
            sum -= divisor;
            digit += 1;
        }
    }
    (digit, sum)
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
            let digit;
            (digit, rest) = next_digit(rest, divisor);
            floor = floor.checked_mul(10)?.checked_add(u128::from(digit))?;
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
