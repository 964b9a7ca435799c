//! Scores to the nine digits that are published.

/// 10^0 to 10^22: the powers of ten that an `f64` holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Numbers of nine digits before the point.
const NINE_DIGITS: std::ops::Range<f64> = 1e8..1e9;

/// The number nearest to `x` among those with at most nine significant decimal digits; halfway between two, that with an even
/// last digit. As an `f64`, the nearest to that decimal, whose shortest decimal hence has at most nine digits.
///
/// Zero, infinities and NaN are left as they are. Greater numbers never become smaller than lesser ones, and what is rounded
/// stays as it is.
pub(crate) fn nine_digits(x: f64) -> f64 {
    match quickly(x.abs()) {
        Some(rounded) => rounded.copysign(x),
        // Too large or small, or too close to the middle between two decimals. The standard library rounds exactly.
        None => format!("{x:.8e}").parse().unwrap_or(x),
    }
}

/// For numbers from 1e-14 to 1e30, unless rounding could go either way.
fn quickly(x: f64) -> Option<f64> {
    if x == 0.0 || !x.is_finite() {
        return Some(x);
    }
    let mut exponent = 8 - estimated_exponent(x);
    let mut scaled = shifted(x, exponent)?;
    if scaled < NINE_DIGITS.start {
        exponent += 1;
        scaled = shifted(x, exponent)?;
    } else if scaled >= NINE_DIGITS.end {
        exponent -= 1;
        scaled = shifted(x, exponent)?;
    }
    let whole = scaled.floor();
    // `scaled` is the exact product but for its own last bit, which is worth 2^-23 at most.
    let from_middle = scaled - whole - 0.5;
    if from_middle.abs() <= 1.0 / 8_388_608.0 {
        return None;
    }
    // Both are exact, so this is the `f64` nearest to the decimal.
    shifted(if from_middle > 0.0 { whole + 1.0 } else { whole }, -exponent)
}

/// `x` · 10^`exponent`, rounded once.
fn shifted(x: f64, exponent: i32) -> Option<f64> {
    let power = *POWERS.get(exponent.unsigned_abs() as usize)?;
    Some(if exponent < 0 { x / power } else { x * power })
}

/// The exponent of ten of `x`, or one less or more.
#[allow(clippy::cast_possible_truncation, reason = "eleven bits")]
fn estimated_exponent(x: f64) -> i32 {
    let two = (x.to_bits() >> 52) as i32 - 1023;
    // log10(2) is a little above 1233 / 4096.
    (two * 1233) >> 12
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    /// By the standard library alone.
    fn naive(x: f64) -> f64 {
        format!("{x:.8e}").parse().unwrap()
    }

    fn digits(x: f64) -> usize {
        format!("{x:e}").split('e').next().unwrap().bytes().filter(u8::is_ascii_digit).count()
    }

    fn assert_rounds(x: f64, to: f64) {
        assert_eq!(nine_digits(x).to_bits(), to.to_bits(), "{x:e}: {:e}", nine_digits(x));
        assert_eq!(nine_digits(-x).to_bits(), (-to).to_bits(), "-{x:e}");
    }

    #[test]
    fn nine_digits_are_left() {
        assert_rounds(1.0 / 3.0, 0.333_333_333);
        assert_rounds(2.0 / 3.0, 0.666_666_667);
        assert_rounds(0.1 + 0.2, 0.3);
        assert_rounds(123_456_789.4, 123_456_789.0);
        assert_rounds(123_456_789_012.0, 123_456_789_000.0);
        assert_rounds(9.999_999_996, 10.0);
        assert_rounds(9.999_999_994, 9.999_999_99);
        assert_rounds(0.099_999_999_96, 0.1);
        for x in [0.0, 1.0, 42.0, 0.5, 1e8, 999_999_999.0, 1e9, 1e22, 1e23, f64::INFINITY] {
            assert_rounds(x, x);
        }
        assert!(nine_digits(f64::NAN).is_nan());
    }

    /// These are exact in binary, so they are halfway.
    #[test]
    fn halfway_the_last_digit_is_even() {
        assert_rounds(1_000_000_005.0, 1_000_000_000.0);
        assert_rounds(1_000_000_015.0, 1_000_000_020.0);
        assert_rounds(100_000_000.5, 100_000_000.0);
        assert_rounds(100_000_001.5, 100_000_002.0);
        // 1 + 2^-9 = 1.001953125 has ten digits.
        assert_rounds(1.001_953_125, 1.001_953_12);
        assert_rounds(1.005_859_375, 1.005_859_38);
    }

    #[test]
    fn the_smallest_and_largest_are_rounded_too() {
        assert_rounds(f64::MAX, 1.797_693_13e308);
        assert_rounds(f64::MIN_POSITIVE, 2.225_073_86e-308);
        assert_rounds(5e-324, 5e-324);
        assert_rounds(1.234_567_890_12e-310, 1.234_567_89e-310);
    }

    /// Of what is computed, nearly everything is rounded without any text.
    #[test]
    fn the_quick_way_is_the_usual_one() {
        let mut random = recsys_testkit::seed::random();
        let usual = |exponent: i32| (random.fraction() + 0.1) * 10f64.powi(exponent);
        let numbers: Vec<f64> = (-12..=12).cycle().take(10_000).map(usual).collect();
        let slow = numbers.iter().filter(|x| quickly(**x).is_none()).count();
        assert!(slow < 10, "{slow} of {}", numbers.len());
    }

    proptest! {
        #![proptest_config(cases(4096))]

        #[test]
        fn any_number_is_rounded_as_by_the_standard_library(
            x in prop_oneof![
                proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO,
                (0.1f64..1.0, -14i32..14).prop_map(|(x, exponent)| x * 10f64.powi(exponent)),
                // Close to a decimal of nine digits, or to the middle between two.
                (200_000_000u32..2_000_000_000, -12i32..12, -3i64..=3).prop_map(|(twice, exponent, away)| {
                    let close = f64::from(twice) / 2.0 * 10f64.powi(exponent);
                    f64::from_bits(close.to_bits().wrapping_add_signed(away))
                }),
                // Halfway in the tenth digit and later ones, exactly.
                (any::<u32>(), 0i32..12).prop_map(|(x, down)| f64::from(x) / f64::from(1 << down)),
            ]
        ) {
            let rounded = nine_digits(x);
            prop_assert_eq!(rounded.to_bits(), naive(x).to_bits(), "{:e}: {:e}", x, rounded);
            prop_assert!(digits(rounded) <= 9, "{:e}", rounded);
            prop_assert_eq!(nine_digits(rounded).to_bits(), rounded.to_bits());
        }

        #[test]
        fn order_is_kept(x in 0.0f64..1e3, more in 0.0f64..1e-6) {
            prop_assert!(nine_digits(x) <= nine_digits(x + more));
        }
    }
}
