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
    references: Vec<StringRef>,
}

/// An inline string, or its position.
#[derive(Clone, Copy)]
pub(super) enum StringRef {
    /// A short string, stored inline.
    Inline { length: u8, text: [u8; INLINE_BYTES] },
    /// A position in the text of all strings.
    Offset { length: u32, start: usize },
}

/// As many as fit without making `StringRef` larger than `Offset` does.
const INLINE_BYTES: usize = 14;

impl StringRef {
    /// Stands for an absent string; its text is empty.
    pub(super) const NONE: Self = Self::Inline { length: 0, text: [0; INLINE_BYTES] };
}

impl<'a> Field<'a> {
    pub(super) fn new(strings: &'a Strings) -> Self {
        let (strings, quote) = if strings.are_plain() {
            (Cow::Borrowed(strings), true)
        } else {
            (Cow::Owned(strings.quoted()), false)
        };
        let mut start = 0;
        let reference = |string: &str| {
            let string = string.as_bytes();
            let mut text = [0; INLINE_BYTES];
            let reference = match u8::try_from(string.len()) {
                Ok(length) if string.len() <= INLINE_BYTES => {
                    text[..string.len()].copy_from_slice(string);
                    StringRef::Inline { length, text }
                }
                _ => StringRef::Offset { length: number(string.len()), start },
            };
            start += string.len();
            reference
        };
        let references = strings.iter().map(reference).collect();
        Self { strings, quote, references }
    }

    /// The string with the number `id`.
    pub(super) fn get(&self, id: u32) -> StringRef {
        self.references[id as usize]
    }

    /// The text of a string.
    pub(super) fn text<'b>(&'b self, reference: &'b StringRef) -> &'b [u8] {
        match reference {
            StringRef::Inline { length, text } => &text[..usize::from(*length)],
            StringRef::Offset { length, start } => {
                &self.strings.text().as_bytes()[*start..][..*length as usize]
            }
        }
    }

    /// Touches the string to bring it into the cache, unless it is inline.
    pub(super) fn fetch(&self, reference: &StringRef) {
        if let StringRef::Offset { start, .. } = reference {
            black_box(self.strings.text().as_bytes()[*start]);
        }
    }

    /// Whether `text` of this field is the empty string, quoted or not.
    pub(super) fn is_empty(&self, text: &[u8]) -> bool {
        text.len() == if self.quote { 0 } else { 2 }
    }

    /// Writes `name` and the string. `name` ends with an opening quote, which is left out if the string has its own.
    pub(super) fn write<const N: usize>(&self, name: &[u8; N], reference: &StringRef, out: &mut Vec<u8>) {
        let text = self.text(reference);
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
                let reference = field.get(id);
                field.fetch(&reference);
                let mut line = Vec::new();
                field.write(b",\"x\":\"", &reference, &mut line);
                assert_eq!(line, [b",\"x\":", &crate::encoding::json::to_vec(value)[..]].concat());
                assert_eq!(field.is_empty(field.text(&reference)), value.is_empty());
            }
            assert_eq!(field.text(&StringRef::NONE), b"");
        }
        assert_eq!(size_of::<StringRef>(), 16);
    }
}
