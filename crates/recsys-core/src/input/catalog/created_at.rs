//! Parses the creation time of an item.

use jiff::Timestamp;

use crate::encoding::timestamp;

/// Parses an RFC 3339 timestamp, or a date as midnight UTC.
///
/// # Errors
/// The predicate of an error message, such as "is neither a date …".
pub(super) fn parse(text: &str) -> Result<Timestamp, &'static str> {
    let shape = text.bytes().map(|b| if b.is_ascii_digit() { b'd' } else { b });
    let time = if shape.eq(*b"dddd-dd-dd") {
        timestamp::instant(&format!("{text}T00:00:00Z"))
    } else {
        timestamp::instant(text)
    };
    match time {
        Ok(time) => time.ok_or("is later than 9999-12-30T22:00:00Z, where the calendar ends here"),
        Err(_) => Err("is neither a date such as 2026-01-01 nor a timestamp such as 2026-01-01T08:00:00Z"),
    }
}
