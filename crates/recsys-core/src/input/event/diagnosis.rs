//! Explains why a line could not be parsed, in JSON terms.
//!
//! Only lines that have failed are parsed again here.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::LineFault;
use crate::encoding::json::{Text, type_in_words};

/// The type required of a field, unless it is `null`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    Text,
    Whole,
    Number,
    Texts,
}

impl Type {
    fn takes(self, value: &str) -> bool {
        fn is_of_type<'a, T: Deserialize<'a>>(value: &'a str) -> bool {
            // For errors inside a string, the library's own message is the best.
            serde_json::from_str::<Option<T>>(value).err().is_none_or(|error| !error.is_data())
        }
        match self {
            Self::Text => is_of_type::<Text<'_>>(value),
            Self::Texts => is_of_type::<Vec<Text<'_>>>(value),
            Self::Whole => serde_json::from_str::<Option<i64>>(value).is_ok(),
            Self::Number => serde_json::from_str::<Option<f64>>(value).is_ok(),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Whole => "a whole number",
            Self::Number => "a number that a double can hold",
            Self::Texts => "a list of strings",
        }
    }
}

/// Explains `error`, which the JSON library returned for `line`; `fields` are the expected fields and their types.
pub(crate) fn fault(line: &str, error: &serde_json::Error, fields: &[(&str, Type)]) -> LineFault {
    let reason = unseen(line, error.column()).or_else(|| wrong_type(line, fields)).unwrap_or_else(|| {
        let reason = error.to_string();
        if reason.starts_with("control character") {
            return "a tab or another control character stands in a text; it must be escaped, a tab as \\t"
                .to_owned();
        }
        type_in_words(reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason))
    });
    // The library reports column 0 for an error about the line as a whole.
    LineFault { column: Some(error.column().max(1)), ..LineFault::new(reason) }
}

/// Names an invisible character at which the library stopped.
fn unseen(line: &str, column: usize) -> Option<String> {
    let rest = line.get(column.saturating_sub(1)..)?;
    let before = line.get(column.saturating_sub(2)..)?;
    [rest, before].iter().find_map(|text| match text.chars().next()? {
        '\u{feff}' => {
            Some("a byte order mark (U+FEFF) stands here, as where files were put together".to_owned())
        }
        '\0' => {
            Some("a zero byte (U+0000) stands here, as where a file was cut while it was written".to_owned())
        }
        // Blanks between values.
        '\t' | '\r' => None,
        control @ '\u{1}'..='\u{1f}' => Some(format!(
            "a control character (U+{:04X}) stands here; it must be escaped",
            u32::from(control)
        )),
        _ => None,
    })
}

/// The first field of a wrong type, or a line that is not an object.
fn wrong_type(line: &str, fields: &[(&str, Type)]) -> Option<String> {
    let whole = line.trim_start_matches([' ', '\t', '\r']);
    if !whole.starts_with('{') {
        serde_json::from_str::<&RawValue>(line).ok()?;
        return Some(format!("the line is {}; it must be an object", shown(whole)));
    }
    let ObjectFields(entries) = serde_json::from_str(line).ok()?;
    entries.into_iter().find_map(|(name, value)| {
        let (_, expected) = fields.iter().find(|(field, _)| *field == name)?;
        let value = value.get();
        let expected = (!expected.takes(value)).then(|| expected.in_words())?;
        Some(format!("field `{name}` is {}; it must be {expected}", shown(value)))
    })
}

/// Displays a value, and its type where the value does not show it.
fn shown(value: &str) -> Cow<'_, str> {
    match value.as_bytes().first() {
        Some(b'"') => format!("the string {value}").into(),
        Some(b'[') => "a list".into(),
        Some(b'{') => "an object".into(),
        _ => value.into(),
    }
}

/// The fields of an object in their order, with unparsed values.
struct ObjectFields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for ObjectFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    entries.push((name, value));
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_map(FieldsVisitor).map(Self)
    }
}
