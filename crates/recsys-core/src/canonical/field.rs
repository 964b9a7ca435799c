//! The strings of one field, encoded as JSON.

use std::borrow::Cow;

use crate::columnar::dictionary::Strings;

/// The strings of one field.
pub(super) struct Field<'a> {
    /// Unquoted if no string needs an escape, otherwise quoted and escaped.
    strings: Cow<'a, Strings>,
    quote: bool,
}

impl<'a> Field<'a> {
    pub(super) fn new(strings: &'a Strings) -> Self {
        if strings.are_plain() {
            Self { strings: Cow::Borrowed(strings), quote: true }
        } else {
            Self { strings: Cow::Owned(strings.quoted()), quote: false }
        }
    }

    fn text(&self, id: u32) -> &[u8] {
        &self.strings.text().as_bytes()[self.strings.range(id)]
    }

    /// Whether the string with the number `id` is empty.
    pub(super) fn is_empty(&self, id: u32) -> bool {
        self.text(id).len() == if self.quote { 0 } else { 2 }
    }

    /// Writes `name` and the string with the number `id`. `name` ends with an opening quote, which is left out if the
    /// string has its own.
    pub(super) fn write<const N: usize>(&self, name: &[u8; N], id: u32, out: &mut Vec<u8>) {
        let text = self.text(id);
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
                let mut line = Vec::new();
                field.write(b",\"x\":\"", id, &mut line);
                assert_eq!(line, [b",\"x\":", &crate::encoding::json::to_vec(value)[..]].concat());
                assert_eq!(field.is_empty(id), value.is_empty());
            }
        }
    }
}
