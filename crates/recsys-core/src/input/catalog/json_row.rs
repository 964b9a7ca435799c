//! A row of a JSON Lines catalogue: an object. Unknown fields are ignored, and `null` means absent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::encoding::json::{self, Text};
use crate::input::event::{LineFault, Type, fault};

/// The fields that every reader of a catalogue needs, unprocessed.
#[derive(Deserialize)]
#[serde(remote = "Self")]
pub(super) struct JsonRow<'a> {
    #[serde(borrow)]
    pub(super) item_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) tags: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    pub(super) namespace: Option<Text<'a>>,
    /// See [`available`].
    #[serde(borrow)]
    pub(super) available: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) image_url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) category: Option<Text<'a>>,
}

json::object!(JsonRow<'a>);

/// `price` and `available` are missing here: they may be of several types, and [`price`] and [`available`] check them.
const FIELDS: [(&str, Type); 7] = [
    ("item_id", Type::Text),
    ("tags", Type::Texts),
    ("namespace", Type::Text),
    ("created_at", Type::Text),
    ("title", Type::Text),
    ("image_url", Type::Text),
    ("category", Type::Text),
];

/// The availability as text: a boolean or a number as written, or the content of a string.
pub(super) fn available(value: &RawValue) -> Result<Cow<'_, str>, String> {
    match value.get().as_bytes().first() {
        Some(b'"') => parse(value.get()).map(|Text(available)| available),
        Some(b't' | b'f' | b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(value.get())),
        _ => {
            Err("field `available` is neither true nor false, nor a string or number that says so".to_owned())
        }
    }
}

#[derive(Deserialize)]
struct Price<'a> {
    #[serde(borrow)]
    price: Option<&'a RawValue>,
}

/// The price in a row that is a good [`JsonRow`], as written: a number keeps all its digits. Empty if absent.
pub(super) fn price(line: &str) -> Result<Cow<'_, str>, String> {
    let Price { price: Some(price) } = parse(line)? else { return Ok(Cow::Borrowed("")) };
    match price.get().as_bytes().first() {
        Some(b'"') => parse(price.get()).map(|Text(price)| price),
        Some(b'-' | b'0'..=b'9') => Ok(Cow::Borrowed(price.get())),
        _ => Err("field `price` is neither a number nor a string".to_owned()),
    }
}

#[derive(Deserialize)]
struct CreatedAt<'a> {
    #[serde(borrow)]
    created_at: Option<Text<'a>>,
}

/// The date in a row that is a good [`JsonRow`], as written. Empty if absent.
pub(super) fn created_at(line: &str) -> Result<Cow<'_, str>, String> {
    let CreatedAt { created_at } = parse(line)?;
    Ok(created_at.map(|Text(time)| time).unwrap_or_default())
}

#[derive(Deserialize)]
struct Presence {
    price: Option<IgnoredAny>,
    created_at: Option<IgnoredAny>,
}

/// Whether a row that is a good [`JsonRow`] has a price, and a date.
pub(super) fn has(line: &str) -> Result<(bool, bool), String> {
    let Presence { price, created_at } = parse(line)?;
    Ok((price.is_some(), created_at.is_some()))
}

/// The distinct field names of a row, sorted.
pub(super) fn fields(line: &str) -> Result<Vec<String>, String> {
    let fields: BTreeMap<String, &RawValue> = parse(line)?;
    Ok(fields.into_keys().collect())
}

/// Parses a line, or a value of it.
///
/// # Errors
/// A message with the fault and its column.
pub(super) fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| {
        let LineFault { reason, .. } = fault(json, &error, &FIELDS);
        format!("{reason} (column {})", error.column())
    })
}
