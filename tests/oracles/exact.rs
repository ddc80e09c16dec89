//! Decimals of the language as any big number that fits: what holds, what is rounded, how it is shown.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode, Signed, Zero};
use serde_json::json;

use super::step::{Plain, eval};

/// The whole number that a number is.
pub fn whole(number: &BigDecimal) -> Option<BigInt> {
    let whole = number.with_scale_round(0, RoundingMode::Down);
    (whole == *number).then(|| whole.into_bigint_and_exponent().0)
}

/// Whether a decimal with this many places holds a number.
pub fn holds_at(number: &BigDecimal, scale: i64) -> bool {
    let cut = number.with_scale_round(scale, RoundingMode::Down);
    cut == *number && i128::try_from(cut.into_bigint_and_exponent().0).is_ok()
}

/// Whether a plain decimal holds a number.
pub fn holds(number: &BigDecimal) -> bool {
    let scale = number.normalized().into_bigint_and_exponent().1;
    holds_at(number, scale.max(0)) && scale <= 28
}

/// The result of arithmetic.
pub fn result(number: BigDecimal) -> Plain<BigDecimal> {
    if holds(&number) { Ok(number) } else { eval("R0101") }
}

/// What is stored in a `decimal(s)`.
pub fn contract(number: BigDecimal, scale: i64) -> Plain<BigDecimal> {
    if holds_at(&number, scale) { Ok(number) } else { eval("R0102") }
}

/// Rounded half-even at 12 places; none when the divisor is 0.
pub fn quotient(a: &BigDecimal, b: &BigDecimal) -> Plain<Option<BigDecimal>> {
    if b.is_zero() {
        return Ok(None);
    }
    let ((p, ps), (q, qs)) = (a.clone().into_bigint_and_exponent(), b.clone().into_bigint_and_exponent());
    let shift = 12 + qs - ps;
    let ten = |exponent: i64| BigInt::from(10).pow(u32::try_from(exponent).expect("a few places"));
    let (numerator, divisor) = if shift >= 0 { (p * ten(shift), q) } else { (p, q * ten(-shift)) };
    let (cut, rest): (BigInt, BigInt) = (&numerator / &divisor, &numerator % &divisor);
    let up = match (rest.magnitude() * 2u32).cmp(divisor.magnitude()) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => cut.bit(0),
        std::cmp::Ordering::Greater => true,
    };
    let away = if numerator.is_negative() == divisor.is_negative() { 1 } else { -1 };
    result(BigDecimal::new(cut + if up { away } else { 0 }, 12)).map(Some)
}

pub fn rounded(number: &BigDecimal, scale: i64, mode: RoundingMode) -> Plain<BigDecimal> {
    let rounded = number.with_scale_round(scale, mode);
    if holds_at(&rounded, scale) { Ok(rounded) } else { eval("R0101") }
}

pub fn to_int(number: BigDecimal) -> Plain<i64> {
    whole(&number).and_then(|whole| i64::try_from(whole).ok()).map_or(eval("R0101"), Ok)
}

/// As text shows it: `None` for a plain decimal.
pub fn text(number: &BigDecimal, scale: Option<i64>) -> String {
    match scale {
        Some(scale) => number.with_scale(scale).to_plain_string(),
        None => number.normalized().to_plain_string(),
    }
}

/// As a document shows it.
pub fn quoted(number: &BigDecimal, scale: Option<i64>) -> String {
    json!(text(number, scale)).to_string()
}
