use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use bigdecimal::{BigDecimal, RoundingMode, Zero, num_bigint::BigInt};
use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap()
}

fn exact(value: Decimal) -> BigDecimal {
    BigDecimal::new(value.coefficient().into(), i64::from(value.scale()))
}

fn hash(value: Decimal) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether a decimal can hold this number: at most 28 places and a coefficient of 127 bits, zeros at the end left out.
fn holdable(value: &BigDecimal) -> bool {
    let (coefficient, scale) = value.normalized().into_bigint_and_exponent();
    let whole = if scale < 0 { coefficient * num_power(-scale) } else { coefficient };
    scale <= 28 && i128::try_from(whole).is_ok()
}

fn num_power(exponent: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap())
}

/// Small and huge coefficients, and those with many zeros at the end.
fn any_decimal() -> impl Strategy<Value = Decimal> {
    let coefficient = prop_oneof![
        (-1000i128..1000),
        any::<i64>().prop_map(i128::from),
        (i128::MIN + 1..=i128::MAX),
        (-99i128..99, 0u32..36).prop_map(|(digits, zeros)| digits * 10i128.pow(zeros)),
        (0u32..120, 0u32..54).prop_map(|(two, five)| {
            2i128.pow(two).checked_mul(5i128.checked_pow(five).unwrap_or(1)).unwrap_or(2i128.pow(two))
        }),
    ];
    (coefficient, 0u8..=28).prop_map(|(coefficient, scale)| Decimal::new(coefficient, scale))
}

/// The checked result: right if there is one, and missing only if no decimal can hold it.
fn agrees(ours: Option<Decimal>, theirs: &BigDecimal) -> Result<(), TestCaseError> {
    match ours {
        Some(ours) => prop_assert_eq!(exact(ours), theirs.clone()),
        None => prop_assert!(!holdable(theirs), "{} can be held", theirs),
    }
    Ok(())
}

proptest! {
    #[test]
    fn sums_and_products_are_exact(a in any_decimal(), b in any_decimal()) {
        agrees(a.checked_add(b), &(exact(a) + exact(b)))?;
        agrees(a.checked_sub(b), &(exact(a) - exact(b)))?;
        agrees(a.checked_mul(b), &(exact(a) * exact(b)))?;
    }

    #[test]
    fn quotients_are_rounded_half_even_at_twelve_places(a in any_decimal(), b in any_decimal()) {
        prop_assume!(!b.is_zero());
        // The quotient's exact digits, cut: more than any operand needs, with a mark for what was cut off.
        let (x, y) = (exact(a), exact(b));
        let (p, ps) = x.into_bigint_and_exponent();
        let (q, qs) = y.into_bigint_and_exponent();
        let shift = 12 + qs - ps;
        let (numerator, divisor) = if shift >= 0 { (p * num_power(shift), q) } else { (p, q * num_power(-shift)) };
        let whole = &numerator / &divisor;
        let rest = &numerator % &divisor;
        let twice = rest.magnitude() * 2u32;
        let up = match twice.cmp(divisor.magnitude()) {
            Ordering::Less => false,
            Ordering::Equal => whole.bit(0),
            Ordering::Greater => true,
        };
        let negative = a.is_negative() != b.is_negative();
        let expected = BigDecimal::new(whole + if up { if negative { -1 } else { 1 } } else { 0 }, 12);
        match a.divide(b) {
            Some(ours) => prop_assert_eq!(exact(ours), expected),
            // Rounded to 12 places it may need more digits than there are; an exact one with fewer places is found.
            None => prop_assert!(!holdable(&expected) || !rest.is_zero()),
        }
    }

    #[test]
    fn rounding_agrees(a in any_decimal(), scale in 0u8..=28) {
        for (mode, theirs) in [
            (Rounding::HalfEven, RoundingMode::HalfEven),
            (Rounding::HalfUp, RoundingMode::HalfUp),
            (Rounding::HalfDown, RoundingMode::HalfDown),
            (Rounding::Up, RoundingMode::Up),
            (Rounding::Down, RoundingMode::Down),
            (Rounding::Floor, RoundingMode::Floor),
            (Rounding::Ceil, RoundingMode::Ceiling),
        ] {
            let expected = exact(a).with_scale_round(i64::from(scale), theirs);
            if let Some(ours) = a.round(scale, mode) {
                prop_assert_eq!(exact(ours), expected, "{:?}", mode);
                prop_assert_eq!(ours.scale(), scale);
            } else {
                let (coefficient, _) = expected.with_scale(i64::from(scale)).into_bigint_and_exponent();
                prop_assert!(i128::try_from(coefficient).is_err());
            }
        }
    }

    #[test]
    fn order_equality_and_hash_go_by_value(a in any_decimal(), b in any_decimal(), scale in 0u8..=28) {
        prop_assert_eq!(a.cmp(&b), exact(a).cmp(&exact(b)));
        if let Some(same) = a.rescale(scale) {
            prop_assert_eq!(same, a);
            prop_assert_eq!(hash(same), hash(a));
        }
        prop_assert_eq!(hash(a.normalized()), hash(a));
    }

    #[test]
    fn text_reads_back(a in any_decimal()) {
        let text = a.to_string();
        prop_assert_eq!(exact(a), BigDecimal::from_str(&text).unwrap());
        prop_assert_eq!(Decimal::parse(&text).unwrap(), a);
        prop_assert!(!text.contains('.') || !text.ends_with('0'), "{}", text);
    }

    #[test]
    fn parsing_agrees(text in r"-?[0-9]{1,45}(\.[0-9]{1,45})?([eE][+-]?[0-9]{1,2})?") {
        let theirs = BigDecimal::from_str(&text).unwrap();
        match Decimal::parse(&text) {
            Ok(ours) => prop_assert_eq!(exact(ours), theirs),
            Err(error) => {
                prop_assert_eq!(error, DecimalError::DoesNotFit);
                prop_assert!(!holdable(&theirs), "{} can be held", text);
            }
        }
    }

    #[test]
    fn floats_round_from_their_exact_value(value in any::<f64>().prop_filter("finite", |v| v.is_finite()), scale in 0u8..=28) {
        let theirs = BigDecimal::try_from(value).unwrap().with_scale_round(i64::from(scale), RoundingMode::HalfEven);
        match Decimal::from_float(value, scale) {
            Some(ours) => prop_assert_eq!(exact(ours), theirs),
            None => prop_assert!(theirs.into_bigint_and_exponent().0.bits() >= 127),
        }
    }
}

#[test]
fn prints_the_places_it_is_asked_for() {
    let print = |text: &str, places: Option<u8>| {
        let mut out = String::new();
        decimal(text).write(places, &mut out).unwrap();
        out
    };
    assert_eq!(print("1.5", Some(2)), "1.50");
    assert_eq!(print("1.500", Some(2)), "1.50");
    assert_eq!(print("-0.05", Some(2)), "-0.05");
    assert_eq!(print("7", Some(2)), "7.00");
    assert_eq!(print("-0.00", Some(2)), "0.00");
    assert_eq!(print("-0", None), "0");
    assert_eq!(print("1.2300", None), "1.23");
    assert_eq!(print("100", None), "100");
    assert_eq!(print("1e3", None), "1000");
    // Never a digit less than there is.
    assert_eq!(print("1.005", Some(2)), "1.005");
}

#[test]
fn reads_exponents_and_refuses_what_is_no_number() {
    assert_eq!(decimal("1.5e3"), Decimal::from(1500));
    assert_eq!(decimal("15e-1"), Decimal::new(15, 1));
    assert_eq!(decimal("1e-28"), Decimal::new(1, 28));
    assert_eq!(decimal("0e999999999999999999999"), Decimal::ZERO);
    assert_eq!(decimal("1.00000000000000000000000000000000000000000000"), Decimal::from(1));
    for text in ["", "-", ".", ".5", "5.", "1e", "1e+", "+1", " 1", "1 ", "0x1", "1_000", "NaN", "1.2.3", "--1"] {
        assert_eq!(Decimal::parse(text), Err(DecimalError::NotANumber), "{text:?}");
    }
    for text in ["1e-29", "1e39", "170141183460469231731687303715884105728", "1e9999999999999999999"] {
        assert_eq!(Decimal::parse(text), Err(DecimalError::DoesNotFit), "{text:?}");
    }
    assert_eq!(decimal("170141183460469231731687303715884105727").coefficient(), i128::MAX);
    assert_eq!(decimal("-170141183460469231731687303715884105728").coefficient(), i128::MIN);
}

#[test]
fn divides_by_the_rules() {
    assert_eq!(decimal("1").divide(decimal("3")).unwrap().to_string(), "0.333333333333");
    assert_eq!(decimal("2").divide(decimal("3")).unwrap().to_string(), "0.666666666667");
    assert_eq!(decimal("-2").divide(decimal("3")).unwrap().to_string(), "-0.666666666667");
    assert_eq!(decimal("1").divide(decimal("8e12")).unwrap().to_string(), "0");
    assert_eq!(decimal("1").divide(decimal("2e12")).unwrap().to_string(), "0");
    assert_eq!(decimal("3").divide(decimal("2e12")).unwrap().to_string(), "0.000000000002");
    // 12 places would not fit, and are not needed.
    assert_eq!(decimal("1e30").divide(decimal("1")).unwrap(), decimal("1e30"));
    assert_eq!(decimal("1").divide(Decimal::ZERO), None);
}

#[test]
fn scales_follow_the_rules() {
    assert_eq!(decimal("1.5").checked_add(decimal("1.25")).unwrap().scale(), 2);
    assert_eq!(decimal("1.5").checked_mul(decimal("1.25")).unwrap().scale(), 3);
    assert_eq!(decimal("1.5").power(3).unwrap(), decimal("3.375"));
    assert_eq!(decimal("10").power(38), Some(decimal("1e38")));
    assert_eq!(decimal("10").power(39), None);
    assert_eq!(decimal("2").power(-1), None);
    assert_eq!(decimal("2.5").to_whole(Rounding::HalfEven), Some(2));
    assert_eq!(decimal("1e30").to_whole(Rounding::Down), None);
}

#[test]
fn a_sum_fits_though_an_aligned_operand_does_not() {
    let a = Decimal::new(32_683_175_501_813_970_801_188_311_787_661_885_961, 24);
    let b = Decimal::new(20_282_409_603_651_670_423_947_251_286_016, 17);
    let difference = Decimal::new(-170_140_920_534_702_733_438_284_201_072_498_114_039, 24);
    assert_eq!(a.checked_sub(b).map(Decimal::coefficient), Some(difference.coefficient()));
    assert_eq!(b.checked_sub(a).map(Decimal::coefficient), Some(-difference.coefficient()));
    assert_eq!(a.checked_add(b), None);
    // Twice the largest number that ends in 5, over ten: the last digit is 0 and goes.
    let half = Decimal::new(i128::MAX / 10 * 10 - 5, 1);
    let twice = half.checked_add(half).expect("it fits without its last digit");
    assert_eq!((twice.coefficient(), twice.scale()), (i128::MAX / 10 * 2 - 1, 0));
}

#[test]
fn a_quotient_fits_though_its_scaling_does_not() {
    let quotient = Decimal::new(1024, 0).divide(Decimal::new(562_949_953_421_312, 27)).expect("it fits");
    assert_eq!((quotient.coefficient(), quotient.scale()), (1_818_989_403_545_856_475_830_078_125, 12));
}
