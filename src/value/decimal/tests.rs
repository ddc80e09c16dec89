//! Decimals against `bigdecimal`, which holds any number: what we return is what it returns, and we return nothing only
//! where its result has more digits than a decimal holds.
//!
//! | operation | held against |
//! |---|---|
//! | `+ - *` | its `+ - *` (`sums_and_products_are_exact`), at the bounds too (`at_the_bounds`) |
//! | `/` | its integers: long division, rounded half-even at 12 places (`quotients_…`) |
//! | `round` in seven modes, to 0–28 places | `with_scale_round` (`rounding_agrees`) |
//! | `floor ceil trunc` to an int | `with_scale_round` at 0 places (`whole_numbers_agree`) |
//! | negate, `abs`, `pow` | its `-`, `abs`, repeated `*` (`signs_and_powers_agree`) |
//! | rescale (the contract of `decimal(s)`) | digits beyond the places are zeros (`contracts_agree`) |
//! | order, equality, hash | its order (`order_equality_and_hash_go_by_value`) |
//! | text → decimal, JSON number → decimal | its parser (`parsing_agrees`, `text_reads_back`) |
//! | decimal → text, with and without places | its parser, and its plain digits (`printing_agrees`) |
//! | float → decimal, decimal → float | the exact value of the float (`floats_…`), the nearest float (`nearest_float…`) |
//! | int → decimal, decimal → int | `i128` (`whole_numbers_agree`) |
//!
//! Numbers crowd around what is special: 0, powers of ten, two and five and their neighbours, halves of the last place kept,
//! the ends of `i64` and `i128`. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` change how many and which; a failure prints its
//! numbers.

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
        any::<i128>(),
        special(),
        (-99i128..99, 0u32..36).prop_map(|(digits, zeros)| digits * 10i128.pow(zeros)),
        (0u32..120, 0u32..54).prop_map(|(two, five)| {
            2i128.pow(two).checked_mul(5i128.checked_pow(five).unwrap_or(1)).unwrap_or(2i128.pow(two))
        }),
    ];
    (coefficient, 0u8..=28).prop_map(|(coefficient, scale)| Decimal::new(coefficient, scale))
}

/// A number that something happens at, or one of its neighbours.
fn special() -> impl Strategy<Value = i128> {
    let at = prop_oneof![
        Just(0i128),
        Just(i128::MAX),
        Just(i128::MIN),
        Just(i128::from(i64::MAX)),
        Just(i128::from(i64::MIN)),
        (0u32..39).prop_map(|n| 10i128.pow(n)),
        (0u32..38).prop_map(|n| 5 * 10i128.pow(n)),
        (0u32..127).prop_map(|n| 1i128 << n),
        (0u32..54).prop_map(|n| 5i128.pow(n)),
        (1u32..38).prop_map(|n| i128::MAX / 10i128.pow(n)),
        (1u32..38, 1i128..10).prop_map(|(n, digit)| i128::MAX / 10i128.pow(n) / digit * 10i128.pow(n)),
    ];
    (at, -2i128..=2, any::<bool>()).prop_map(|(at, by, negative)| {
        let near = at.checked_add(by).unwrap_or(at);
        if negative { near.checked_neg().unwrap_or(near) } else { near }
    })
}

/// A pair whose sum, product or quotient lies near the end of what a decimal holds.
fn at_the_end() -> impl Strategy<Value = (Decimal, Decimal)> {
    let end = prop_oneof![Just(i128::MAX), Just(i128::MIN)];
    (end, any_decimal(), 0u8..=28, -3i128..=3, 0..3).prop_map(|(end, b, scale, by, operation)| {
        let c = b.coefficient();
        let a = match operation {
            0 => end.checked_sub(c),
            1 => end.checked_add(c),
            _ => end.checked_div(c),
        };
        let a = a.and_then(|a| a.checked_add(by)).unwrap_or(end);
        (Decimal::new(a, scale), b)
    })
}

fn any_float() -> impl Strategy<Value = f64> {
    let halves = (-4_000_000i64..4_000_000, 0i32..40).prop_map(|(whole, places)| whole as f64 / 2f64.powi(places));
    let large = special().prop_map(|whole| whole as f64);
    prop_oneof![any::<f64>(), halves, large].prop_filter("finite", |value| value.is_finite())
}

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number.max(ProptestConfig::default().cases), ..ProptestConfig::default() }
}

/// The quotient of the exact digits, rounded half-even at 12 places.
fn quotient(a: Decimal, b: Decimal) -> BigDecimal {
    let (p, ps) = exact(a).into_bigint_and_exponent();
    let (q, qs) = exact(b).into_bigint_and_exponent();
    let shift = 12 + qs - ps;
    let (numerator, divisor) = if shift >= 0 { (p * num_power(shift), q) } else { (p, q * num_power(-shift)) };
    let whole = &numerator / &divisor;
    let rest = &numerator % &divisor;
    let up = match (rest.magnitude() * 2u32).cmp(divisor.magnitude()) {
        Ordering::Less => false,
        Ordering::Equal => whole.bit(0),
        Ordering::Greater => true,
    };
    let away = if a.is_negative() == b.is_negative() { 1 } else { -1 };
    BigDecimal::new(whole + if up { away } else { 0 }, 12)
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
    #![proptest_config(cases(10_000))]

    #[test]
    fn sums_and_products_are_exact(a in any_decimal(), b in any_decimal()) {
        agrees(a.checked_add(b), &(exact(a) + exact(b)))?;
        agrees(a.checked_sub(b), &(exact(a) - exact(b)))?;
        agrees(a.checked_mul(b), &(exact(a) * exact(b)))?;
    }

    #[test]
    fn quotients_are_rounded_half_even_at_twelve_places(a in any_decimal(), b in any_decimal()) {
        if !b.is_zero() {
            agrees(a.divide(b), &quotient(a, b))?;
        }
    }

    #[test]
    fn quotients_with_few_digits_are_exact(a in any_decimal(), b in special(), scale in 0u8..=28) {
        let b = Decimal::new(b, scale);
        if let Some(product) = a.checked_mul(b).filter(|_| !b.is_zero()) {
            agrees(product.divide(b), &quotient(product, b))?;
        }
    }

    #[test]
    fn at_the_bounds((a, b) in at_the_end()) {
        for (a, b) in [(a, b), (b, a)] {
            agrees(a.checked_add(b), &(exact(a) + exact(b)))?;
            agrees(a.checked_sub(b), &(exact(a) - exact(b)))?;
            agrees(a.checked_mul(b), &(exact(a) * exact(b)))?;
            if !b.is_zero() {
                agrees(a.divide(b), &quotient(a, b))?;
            }
        }
    }

    #[test]
    fn signs_and_powers_agree(a in any_decimal(), exponent in 0i64..12) {
        agrees(a.checked_neg(), &-exact(a))?;
        agrees(a.checked_abs(), &exact(a).abs())?;
        prop_assert_eq!(a.is_negative(), exact(a) < BigDecimal::zero());
        prop_assert_eq!(a.is_zero(), exact(a).is_zero());
        let theirs = (0..exponent).fold(BigDecimal::from(1), |product, _| product * exact(a));
        agrees(a.power(exponent), &theirs)?;
        prop_assert_eq!(a.power(-1 - exponent), None);
    }

    #[test]
    fn whole_numbers_agree(a in any_decimal(), int in any::<i64>()) {
        for (mode, theirs) in [
            (Rounding::Floor, RoundingMode::Floor),
            (Rounding::Ceil, RoundingMode::Ceiling),
            (Rounding::Down, RoundingMode::Down),
        ] {
            let (whole, _) = exact(a).with_scale_round(0, theirs).into_bigint_and_exponent();
            prop_assert_eq!(a.to_whole(mode), i64::try_from(whole).ok());
        }
        prop_assert_eq!(exact(Decimal::from(int)), BigDecimal::from(int));
        prop_assert_eq!(Decimal::from(int).to_whole(Rounding::Down), Some(int));
    }

    #[test]
    fn contracts_agree(a in any_decimal(), scale in 0u8..=28) {
        let theirs = exact(a).with_scale_round(i64::from(scale), RoundingMode::Down);
        let digits = i128::try_from(theirs.clone().into_bigint_and_exponent().0).ok();
        let kept = (theirs == exact(a)).then_some(digits).flatten();
        prop_assert_eq!(a.rescale(scale).map(Decimal::coefficient), kept);
        prop_assert!(a.rescale(scale).is_none_or(|same| same.scale() == scale));
    }

    #[test]
    fn printing_agrees(a in any_decimal(), places in 0u8..=28) {
        let mut text = String::new();
        a.write(Some(places), &mut text).unwrap();
        let fraction = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        prop_assert_eq!(fraction, usize::from(places.max(a.normalized().scale())));
        prop_assert_eq!(BigDecimal::from_str(&text).unwrap(), exact(a));
        prop_assert_eq!(a.to_string(), exact(a).normalized().to_plain_string());
    }

    #[test]
    fn nearest_float_is_that_of_the_text(a in any_decimal()) {
        let float = a.to_float();
        let distance = |float: f64| (BigDecimal::try_from(float).unwrap() - exact(a)).abs();
        for other in [float.next_down(), float.next_up()] {
            prop_assert!(distance(float) <= distance(other), "{} is nearer to {}", other, a);
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
    fn floats_round_from_their_exact_value(value in any_float(), scale in 0u8..=28) {
        let theirs = BigDecimal::try_from(value).unwrap().with_scale_round(i64::from(scale), RoundingMode::HalfEven);
        match Decimal::from_float(value, scale) {
            Some(ours) => prop_assert_eq!(exact(ours), theirs),
            None => prop_assert!(i128::try_from(theirs.into_bigint_and_exponent().0).is_err()),
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

#[test]
fn a_quotient_is_rounded_before_its_zeros_go() {
    // With 12 places it has 42 digits; rounded, it ends in twelve zeros.
    let divisor = decimal("1.0000000000000000000000000001");
    assert_eq!(decimal("1e30").divide(divisor).unwrap().to_string(), "999999999999999999999999999900");
    assert_eq!(Decimal::new(i128::MIN, 0).divide(Decimal::from(1)), Some(Decimal::new(i128::MIN, 0)));
    assert_eq!(Decimal::new(i128::MIN, 0).divide(Decimal::from(-1)), None);
}

#[test]
fn the_lowest_number_is_a_number_like_others() {
    let lowest = Decimal::new(i128::MIN, 27);
    let near = Decimal::new(-10, 28);
    assert_eq!(near.checked_sub(lowest), Some(Decimal::new(i128::MAX, 27)));
    assert_eq!(Decimal::new(2, 1).checked_sub(Decimal::new(i128::MIN, 1)), Some(Decimal::new(i128::MAX / 10 + 1, 0)));
    assert_eq!(Decimal::from_float(-(2f64.powi(127)), 0), Some(Decimal::new(i128::MIN, 0)));
    assert_eq!(Decimal::from_float(2f64.powi(127), 0), None);
}
