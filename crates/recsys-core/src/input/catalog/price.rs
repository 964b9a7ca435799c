//! A price as a plain decimal: the number that is written, to the last digit.

/// Digits before the point that Postgres' `numeric` holds.
const MAX_WHOLE: i64 = 131_072;

/// Digits after it.
const MAX_FRACTION: i64 = 16_383;

/// Reads an optional sign, digits with at most one point among or around them, and an optional exponent;
/// writes the same number without an exponent, a plus, or zeros that say nothing.
///
/// Two spellings of a number give the same text, so texts can be compared. An exponent is taken because that
/// is how JSON writers spell very large and very small numbers.
///
/// # Errors
/// The end of a sentence that says what was expected.
pub(super) fn normalised(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "is not a decimal number such as 1234.50";
    const TOO_LONG: &str = "has more than 131072 digits before the point or 16383 after it";
    let (minus, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent).ok_or(EXPECTED)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    let significant = digits.trim_start_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    // Where the point stands among the significant digits, before or behind them perhaps.
    let point = exponent.saturating_add(length(whole) - length(&digits[..zeros]));
    if point > MAX_WHOLE || length(significant).saturating_sub(point) > MAX_FRACTION {
        return Err(TOO_LONG);
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    Ok(match usize::try_from(point) {
        Err(_) | Ok(0) => format!("{minus}0.{}{significant}", zeros(-point)),
        Ok(at) if at < significant.len() => format!("{minus}{}.{}", &significant[..at], &significant[at..]),
        Ok(_) => format!("{minus}{significant}{}", zeros(point - length(significant))),
    })
}

/// An exponent; one beyond all bounds is as good as the bound.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Some(if text.starts_with('-') { -size } else { size })
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}
