//! Compact JSON, the only form in which documents are hashed.
//!
//! There are no spaces. `"`, `\`, backspace, form feed, line feed, carriage return and tab are two-character escapes;
//! other characters below U+0020, and `<`, `>`, `&`, U+2028 and U+2029, are `\u` with four lower-case hex digits;
//! everything else is UTF-8. A number without a fraction prints as an integer, any other as the shortest decimal that
//! reads back the same.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use super::decimal;

/// Text that borrows from its source unless it contains escapes.
///
/// A newtype, because serde always copies for `Option<Cow<str>>`.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Rewords a serde message about a wrong type from Rust terms to JSON terms.
pub fn type_in_words(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let found = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| found.strip_prefix(kind))
        .unwrap_or(found);
    let found = match found.split_once(' ').map_or(found, |(kind, _)| kind) {
        "sequence" => "a list",
        "map" => "an object",
        "unit" => "null",
        _ => found,
    };
    format!("it is {found}; it must be {}", expected_in_words(expected))
}

/// An error of a document in JSON terms, with its position.
pub fn error_in_words(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((message, place)) => format!("{} at line {place}", type_in_words(message)),
        None => type_in_words(&message),
    }
}

/// Rewords what serde expects in JSON terms.
pub fn expected_in_words(expected: &str) -> &str {
    match expected {
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number of 0 or more",
        "a nonzero u8" | "a nonzero u16" | "a nonzero u32" | "a nonzero u64" | "a nonzero usize" => {
            "a whole number of 1 or more"
        }
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

struct Compact;

impl Formatter for Compact {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        // The library handles its own escapes, so they never get here. Most fragments are plain, and scanning bytes
        // is cheaper than scanning characters; 0xe2 begins U+2028 and U+2029, among others.
        let mut rest = fragment;
        while rest.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xe2)) {
            let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) else { break };
            let (plain, special) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let (escape, length): (&[u8], _) = match special.as_bytes() {
                [b'<', ..] => (b"\\u003c", 1),
                [b'>', ..] => (b"\\u003e", 1),
                [b'&', ..] => (b"\\u0026", 1),
                [_, _, 0xa8, ..] => (b"\\u2028", 3),
                _ => (b"\\u2029", 3),
            };
            out.write_all(escape)?;
            rest = &special[length..];
        }
        out.write_all(rest.as_bytes())
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        // Baseline scores are counts, and integers print much faster than fractions.
        #[allow(clippy::cast_possible_truncation, reason = "compared with the value it came from")]
        let whole = value as i64;
        #[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "exact below 2^53")]
        if whole.unsigned_abs() < 1 << 53 && whole as f64 == value {
            return self.write_i64(out, whole);
        }
        // If two shortest decimals are equally near, the library prints the same one as other languages; the standard
        // library does not.
        let mut shortest = Vec::new();
        CompactFormatter.write_f64(&mut shortest, value)?;
        if memchr::memchr(b'e', &shortest).is_none() && !shortest.ends_with(b".0") {
            return out.write_all(&shortest);
        }
        let shortest = std::str::from_utf8(&shortest).map_err(io::Error::other)?;
        out.write_all(decimal::plain(shortest).map_err(io::Error::other)?.as_bytes())
    }
}

/// Implements `Deserialize` (and `Serialize` with `and Serialize`) for a struct that derives them with
/// `#[serde(remote = "Self")]`, and only accepts an object. The derive alone would also accept a list of the field
/// values, which the contract does not allow and no other reader accepts.
macro_rules! object {
    ($name:ident $(<$lifetime:lifetime>)? and Serialize) => {
        $crate::encoding::json::object!($name $(<$lifetime>)?);

        impl $(<$lifetime>)? serde::Serialize for $name $(<$lifetime>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    };
    ($name:ident $(<$lifetime:lifetime>)?) => {
        impl<'de $(: $lifetime, $lifetime)?> serde::Deserialize<'de> for $name $(<$lifetime>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor<T>(std::marker::PhantomData<T>);

                impl<'de $(: $lifetime, $lifetime)?> serde::de::Visitor<'de>
                    for ObjectVisitor<$name $(<$lifetime>)?>
                {
                    type Value = $name $(<$lifetime>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<M: serde::de::MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                        <$name>::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use object;

/// Implements `Serialize` and `Deserialize` for a type by its text, which `Display` writes and `FromStr` reads.
macro_rules! text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use text;

/// Bytes that may begin an escaped character; 0xe2 begins U+2028 and U+2029, among others.
const IS_SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = matches!(byte, 0..=0x1f | 0x22 | 0x5c | 0x3c | 0x3e | 0x26 | 0xe2);
        byte += 1;
    }
    special
};

/// Whether `text` needs no escapes in compact JSON.
pub(crate) fn is_plain(text: &str) -> bool {
    // Looking up all bytes of a chunk is faster than a branch per byte.
    text.as_bytes()
        .chunks(64)
        .all(|bytes| !bytes.iter().fold(false, |special, byte| special | IS_SPECIAL[usize::from(*byte)]))
}

/// Appends `text` as compact JSON.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        push(out, text);
    }
}

/// Appends `value` as compact JSON.
///
/// # Panics
/// When a `Serialize` implementation of this crate fails; none does.
pub(crate) fn push(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    write(value, out).expect("writing to memory");
}

/// Writes `value` as compact JSON.
pub fn write(value: &(impl Serialize + ?Sized), out: impl Write) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Compact)).map_err(io::Error::from)
}

/// `value` as compact JSON.
pub fn to_vec(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, value);
    out
}

/// A document for human readers: indented, with a final line end.
///
/// # Panics
/// When `document` has a map whose keys are no text.
pub fn readable(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("keys are text");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    fn text(value: &impl Serialize) -> String {
        String::from_utf8(to_vec(value)).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_the_contract_says() {
        assert_eq!(
            text(&"\"\\\u{8}\u{c}\n\r\t\0\u{1f}<b>&\u{2028}\u{2029}\u{7f}é文\u{2027}\u{a8}😀"),
            "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\\u003cb\\u003e\\u0026\\u2028\\u2029\u{7f}é文\u{2027}\u{a8}😀\""
        );
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        assert_eq!(
            text(&[1.0, 0.0, -0.0, 2.5, 0.1, 1e21, -3.0, 1e-7]),
            "[1,0,0,2.5,0.1,1000000000000000000000,-3,0.0000001]"
        );
        assert_eq!(text(&[1.0f64 / 3.0, -1.5e-7, 1e300, 12e-5]).len(), 18 + 11 + 301 + 7 + 5);
        assert_eq!(text(&[-1.5e-7, 12e-5, 1.25e22]), "[-0.00000015,0.00012,12500000000000000000000]");
        // Halfway between two shortest decimals: the even one.
        assert_eq!(
            text(&[981_405_774_141_567.0 + 0.25, 1.0 + 1.0 / 131_072.0]),
            "[981405774141567.2,1.0000076293945312]"
        );
        assert_eq!(text(&[1.0f64 / 3.0]), "[0.3333333333333333]");
        assert_eq!(text(&u64::MAX), "18446744073709551615");
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn any_string_reads_back(value in any::<String>()) {
            let bytes = to_vec(&value);
            prop_assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), value);
        }

        #[test]
        fn any_number_reads_back(value in proptest::num::f64::NORMAL) {
            let read: f64 = serde_json::from_slice(&to_vec(&value)).unwrap();
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}
