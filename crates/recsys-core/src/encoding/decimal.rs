//! Plain decimals, exact to the last digit.

/// Maximum digits before the point in Postgres' `numeric`.
const MAX_WHOLE: i64 = 131_072;

/// Maximum digits after the point in Postgres' `numeric`.
const MAX_FRACTION: i64 = 16_383;

/// Parses an optional sign, digits with at most one point, and an optional exponent; returns the same number without an
/// exponent, a plus sign or superfluous zeros.
///
/// Equal numbers give equal texts, so the texts can be compared. Exponents are accepted because JSON writers use them for
/// very large and very small numbers.
///
/// # Errors
/// The predicate of an error message, such as "is not a decimal number …".
pub(crate) fn plain(text: &str) -> Result<String, &'static str> {
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
    // Position of the point relative to the first significant digit; may be negative or beyond the last.
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

/// Parses an exponent; saturates if it is out of range.
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
