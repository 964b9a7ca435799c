//! The strings of one field, encoded as JSON.
//!
//! Neighbours in time have little in common, so looking up a string usually misses the cache. Short strings are
//! stored inline in the index and cost one miss, longer ones cost two.

use std::borrow::Cow;
use std::hint::black_box;

use crate::columnar::dictionary::{Strings, number};

/// The strings of one field.
pub(super) struct Field<'a> {
    /// Unquoted if no string needs an escape, otherwise quoted and escaped.
    strings: Cow<'a, Strings>,
    quote: bool,
    places: Vec<Place>,
}

/// An inline string, or its position.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// A short string, stored inline.
    Here { length: u8, text: [u8; HERE_BYTES] },
    /// A position in the text of all strings.
    There { length: u32, start: usize },
}

/// As many as fit without making `Place` larger than `There` does.
const HERE_BYTES: usize = 14;

impl Place {
    /// Stands for an absent string; its text is empty.
    pub(super) const NONE: Self = Self::Here { length: 0, text: [0; HERE_BYTES] };
}

impl<'a> Field<'a> {
    pub(super) fn new(strings: &'a Strings) -> Self {
        let (strings, quote) = if strings.are_plain() {
            (Cow::Borrowed(strings), true)
        } else {
            (Cow::Owned(strings.quoted()), false)
        };
        let mut start = 0;
        let place = |string: &str| {
            let string = string.as_bytes();
            let mut text = [0; HERE_BYTES];
            let place = match u8::try_from(string.len()) {
                Ok(length) if string.len() <= HERE_BYTES => {
                    text[..string.len()].copy_from_slice(string);
                    Place::Here { length, text }
                }
                _ => Place::There { length: number(string.len()), start },
            };
            start += string.len();
            place
        };
        let places = strings.iter().map(place).collect();
        Self { strings, quote, places }
    }

    /// The place of the string with the number `id`.
    pub(super) fn place(&self, id: u32) -> Place {
        self.places[id as usize]
    }

    /// The string at a place.
    pub(super) fn text<'b>(&'b self, place: &'b Place) -> &'b [u8] {
        match place {
            Place::Here { length, text } => &text[..usize::from(*length)],
            Place::There { length, start } => &self.strings.text().as_bytes()[*start..][..*length as usize],
        }
    }

    /// Touches the string to bring it into the cache, unless it is inline.
    pub(super) fn fetch(&self, place: &Place) {
        if let Place::There { start, .. } = place {
            black_box(self.strings.text().as_bytes()[*start]);
        }
    }

    /// Whether `text` of this field is the empty string, quoted or not.
    pub(super) fn is_empty(&self, text: &[u8]) -> bool {
        text.len() == if self.quote { 0 } else { 2 }
    }

    /// Writes `name` and the string. `name` ends with an opening quote, which is left out if the string has its own.
    pub(super) fn write<const N: usize>(&self, name: &[u8; N], place: &Place, out: &mut Vec<u8>) {
        let text = self.text(place);
        if self.quote {
            out.extend_from_slice(name);
            out.extend_from_slice(text);
            out.push(b'"');
        } else {
            out.extend_from_slice(&name[..N - 1]);
            out.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Strings {
        let mut strings = Strings::default();
        for value in values {
            strings.push(value);
        }
        strings
    }

    #[test]
    fn a_string_is_found_whatever_its_length() {
        let values: Vec<String> =
            (0..40).flat_map(|length| ["a".repeat(length), "é".repeat(length)]).collect();
        for more in [&[][..], &["\"", "<é>", "\u{1}"]] {
            let values: Vec<&str> = values.iter().map(String::as_str).chain(more.iter().copied()).collect();
            let strings = strings(&values);
            let field = Field::new(&strings);
            for (id, value) in (0..).zip(&values) {
                let place = field.place(id);
                field.fetch(&place);
                let mut line = Vec::new();
                field.write(b",\"x\":\"", &place, &mut line);
                assert_eq!(line, [b",\"x\":", &crate::encoding::json::to_vec(value)[..]].concat());
                assert_eq!(field.is_empty(field.text(&place)), value.is_empty());
            }
            assert_eq!(field.text(&Place::NONE), b"");
        }
        assert_eq!(size_of::<Place>(), 16);
    }
}
