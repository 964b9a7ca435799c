//! Finds misplaced quotes in CSV.
//!
//! By RFC 4180 only a separator or a line end may follow a closing quote; we also allow blanks in between. The
//! parser, however, treats any text there as part of the field, so that a quote that means inches can merge many rows
//! into one field.

use memchr::memchr;

/// Tracks quotes across the chunks of a record: where in a field the last chunk has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Quotes {
    /// Before the first byte of a field.
    #[default]
    Start,
    /// Inside an unquoted field. A quote here is an ordinary character.
    Unquoted,
    /// Between the quotes of a field.
    Quoted,
    /// Behind a quote in a quoted field: it either closes the field or is the first half of an escaped quote.
    Quote,
    /// In the blanks behind a closing quote.
    Closed,
}

impl Quotes {
    /// Scans the next chunk. Returns the position of the first stray byte behind a closing quote; do not call it
    /// again after that.
    pub(super) fn stray_text(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut next = 0;
        while let Some(byte) = bytes.get(next) {
            *self = match (*self, byte) {
                (Self::Quoted, _) => match memchr(b'"', &bytes[next..]) {
                    None => return None,
                    Some(before) => {
                        next += before;
                        Self::Quote
                    }
                },
                (Self::Unquoted, _) => match bytes[next..].iter().position(|byte| ends_field(*byte)) {
                    None => return None,
                    Some(before) => {
                        next += before;
                        Self::Start
                    }
                },
                (Self::Start | Self::Quote, b'"') => Self::Quoted,
                (Self::Start | Self::Quote | Self::Closed, byte) if ends_field(*byte) => Self::Start,
                (Self::Start, _) => Self::Unquoted,
                (Self::Quote | Self::Closed, b' ' | b'\t') => Self::Closed,
                (Self::Quote | Self::Closed, _) => return Some(next),
            };
            next += 1;
        }
        None
    }
}

fn ends_field(byte: u8) -> bool {
    matches!(byte, b',' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also checks that the result does not depend on where the text is cut.
    fn stray_text(text: &str) -> Option<usize> {
        let whole = Quotes::default().stray_text(text.as_bytes());
        for cut in 0..text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let mut quotes = Quotes::default();
            let in_head = quotes.stray_text(head);
            let found = in_head.or_else(|| quotes.stray_text(tail).map(|at| cut + at));
            assert_eq!(found, whole, "{text:?} cut at {cut}");
        }
        whole
    }

    #[test]
    fn behind_a_closing_quote_a_field_ends() {
        for text in [
            "\"a\",b\n",
            "\"a\"\r\n",
            "\"a\" \t,\"b\"",
            "\"\",\"\"\"\"",
            "\"a\n,b\",",
            "a\"b\"c,12\" d,\n",
            " \"a\"b",
        ] {
            assert_eq!(stray_text(text), None, "{text}");
        }
        for (text, at) in
            [("\"a\"b", 3), ("x,\"a\" b\n", 6), ("\"a\" \"b\"", 4), ("A,\"1\nB,\"2\n", 8), ("\"\"\"\"x", 4)]
        {
            assert_eq!(stray_text(text), Some(at), "{text}");
        }
    }
}
