//! RFC 3339 timestamps as nanoseconds since 1970-01-01T00:00:00Z.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::civil::DateTime;

/// Parses an RFC 3339 timestamp with any offset and at most nine fraction digits.
///
/// A leap second (`:60`, which RFC 3339 allows) counts as the second before it. A time out of the range of a signed
/// 64-bit nanosecond clock saturates; it lies outside every day, so no window includes it.
///
/// # Errors
/// The predicate of an error message, such as "is not an RFC 3339 timestamp …".
pub fn parse(text: &str) -> Result<i64, &'static str> {
    if let Some(ns) = plain_utc(text.as_bytes()) {
        return Ok(ns);
    }
    let Some(time) = instant(text)? else { return Ok(i64::MAX) };
    let ns = time.as_nanosecond();
    Ok(i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN } else { i64::MAX }))
}

/// A fast path for almost all timestamps: `2026-01-01T08:00:00Z`, with or without a fraction, from 1900 to 2199.
/// Everything else, including errors, is left to the library.
pub(crate) fn plain_utc(text: &[u8]) -> Option<i64> {
    let (clock, rest) = text.split_first_chunk::<19>()?;
    let [c1, c2, y1, y2, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *clock
    else {
        return None;
    };
    let two = |tens: u8, ones: u8| {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
    };
    let (year, month, day) = (two(c1, c2)? * 100 + two(y1, y2)?, two(m1, m2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(i1, i2)?, two(s1, s2)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        1..=12 => 31,
        _ => return None,
    };
    let is_valid =
        (1900..2200).contains(&year) && (1..=last).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !is_valid {
        return None;
    }
    let mut ns = 0;
    match rest {
        [b'Z'] => {}
        [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
            for place in 0..9 {
                let digit = digits.get(place).map_or(0, |digit| digit.wrapping_sub(b'0'));
                if digit > 9 {
                    return None;
                }
                ns = ns * 10 + i64::from(digit);
            }
        }
        _ => return None,
    }
    // Let years begin in March, so that the leap day is their last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000_000 + ns)
}

/// Parses an RFC 3339 timestamp by the rules of [`parse`]. `None` for the last hours of the year 9999, which are
/// beyond the library's range.
pub(crate) fn instant(text: &str) -> Result<Option<Timestamp>, &'static str> {
    const EXPECTED: &str = "is not an RFC 3339 timestamp such as 2026-01-01T08:00:00Z";
    // The library also accepts other notations (a blank for `T`, weeks, zone names), so check the format first.
    let (clock, rest) = text.split_at_checked(19).ok_or(EXPECTED)?;
    let shape = clock.bytes().map(|b| if b.is_ascii_digit() { b'd' } else { b.to_ascii_uppercase() });
    if !shape.eq(*b"dddd-dd-ddTdd:dd:dd") {
        return Err(EXPECTED);
    }
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 {
                return Err(EXPECTED);
            }
            if digits > 9 {
                return Err("has more than nine fraction digits");
            }
            &fraction[digits..]
        }
        None => rest,
    };
    let is_utc = zone.eq_ignore_ascii_case("Z");
    let is_offset = || {
        let shape = zone.bytes().map(|b| if b.is_ascii_digit() { b'd' } else { b });
        (shape.clone().eq(*b"+dd:dd") || shape.eq(*b"-dd:dd")) && zone[1..3] < *"24" && zone[4..] < *"60"
    };
    if !(is_utc || is_offset()) {
        return Err(EXPECTED);
    }
    match text.parse() {
        Ok(time) => Ok(Some(time)),
        Err(_) if clock.parse::<DateTime>().is_ok() => Ok(None),
        Err(_) => Err(EXPECTED),
    }
}

/// Writes `ns` in UTC with `Z` and no trailing zeros in the fraction.
pub fn write(ns: i64, out: &mut impl Write) -> io::Result<()> {
    let time = Timestamp::from_nanosecond(i128::from(ns)).map_err(io::Error::other)?;
    write!(out, "{time}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        write(parse(text).unwrap(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn any_offset_and_precision_becomes_utc_without_trailing_zeros() {
        assert_eq!(written("2026-01-01T02:00:00+02:00"), "2026-01-01T00:00:00Z");
        assert_eq!(written("2026-01-01T00:00:00.500Z"), "2026-01-01T00:00:00.5Z");
        assert_eq!(written("2026-01-01T00:00:00.000000001Z"), "2026-01-01T00:00:00.000000001Z");
        assert_eq!(written("2026-01-01T00:00:00.120000Z"), "2026-01-01T00:00:00.12Z");
        assert_eq!(written("2025-12-31T19:59:59-04:00"), "2025-12-31T23:59:59Z");
        assert_eq!(written("2026-01-01t00:00:00.000z"), "2026-01-01T00:00:00Z");
        assert_eq!(written("2016-12-31T23:59:60Z"), "2016-12-31T23:59:59Z");
        assert_eq!(written("2024-02-29T23:59:59.999999999-00:00"), "2024-02-29T23:59:59.999999999Z");
    }

    #[test]
    fn the_plain_notation_reads_as_the_library_reads_it() {
        let library = |text: &str| {
            let time: Timestamp = text.parse().unwrap();
            i64::try_from(time.as_nanosecond()).unwrap()
        };
        // Steps of a little more than a day visit every calendar day at varying hours.
        let (start, end) = (library("1900-01-01T00:00:00Z"), library("2200-01-01T00:00:00Z"));
        let mut texts = 0;
        for second in (start / 1_000_000_000..end / 1_000_000_000).step_by(86_400 + 3599) {
            let text = Timestamp::from_second(second).unwrap().to_string();
            assert_eq!(plain_utc(text.as_bytes()), Some(second * 1_000_000_000), "{text}");
            texts += 1;
        }
        assert!(texts > 100_000);
        for text in
            ["2026-01-01T00:00:00.5Z", "2024-02-29T23:59:59.123456789Z", "1969-12-31T23:59:59.000000001Z"]
        {
            assert_eq!(plain_utc(text.as_bytes()), Some(library(text)));
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:60Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1234567890Z",
            "2026-01-01T00:00:00.1x3Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01t00:00:00z",
            "2026-01-01T0/:00:00Z",
            "2026-01-01T0::00:00Z",
            "1899-01-01T00:00:00Z",
            "2200-01-01T00:00:00Z",
        ] {
            assert_eq!(plain_utc(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn other_notations_are_refused() {
        for bad in [
            "",
            "2026-01-01",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+02",
            "2026-01-01T00:00:00+0200",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+00:60",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T00:00:00.0000000001Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:61Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-01-01T00:00:00Z[UTC]",
            "2026-01-01T00:00:00ZZ",
            "２026-01-01T00:00:00Z",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_beyond_the_clock_become_its_ends() {
        assert_eq!(parse("0001-01-01T00:00:00Z"), Ok(i64::MIN));
        assert_eq!(parse("9999-12-30T00:00:00Z"), Ok(i64::MAX));
        // In range for RFC 3339, although the offset moves it beyond the four-digit years.
        assert_eq!(parse("9999-12-31T23:59:59-23:59"), Ok(i64::MAX));
        assert_eq!(parse("0000-01-01T00:00:00+23:59"), Ok(i64::MIN));
    }
}
