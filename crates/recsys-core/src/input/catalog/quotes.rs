//! Where quotes may stand in CSV.
//!
//! By RFC 4180 only a separator or a line end follows the quote that closes a field; blanks before those are let pass. The
//! parser takes whatever follows for a part of the field. Then a quote that means inches makes one field of many rows.

use memchr::memchr;

/// Where the reader stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// At the first byte of a field.
    #[default]
    Start,
    /// In a field without quotes around it. A quote in it is a character like any other.
    Unquoted,
    /// Between the quotes of a field.
    Quoted,
    /// Behind a quote in such a field: it closes the field, or is the first of two.
    Quote,
    /// Among the blanks behind a quote that has closed the field.
    Closed,
}

/// Follows the bytes of records.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    at: At,
}

impl Quotes {
    /// Goes on through `bytes`. Returns the first byte of text behind a closing quote, after which there is nothing more to
    /// follow.
    pub(super) fn stray_text(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut next = 0;
        while let Some(byte) = bytes.get(next) {
            self.at = match (self.at, byte) {
                (At::Quoted, _) => match memchr(b'"', &bytes[next..]) {
                    None => return None,
                    Some(before) => {
                        next += before;
                        At::Quote
                    }
                },
                (At::Unquoted, _) => match bytes[next..].iter().position(|byte| ends_field(*byte)) {
                    None => return None,
                    Some(before) => {
                        next += before;
                        At::Start
                    }
                },
                (At::Start | At::Quote, b'"') => At::Quoted,
                (At::Start | At::Quote | At::Closed, byte) if ends_field(*byte) => At::Start,
                (At::Start, _) => At::Unquoted,
                (At::Quote | At::Closed, b' ' | b'\t') => At::Closed,
                (At::Quote | At::Closed, _) => return Some(next),
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

    /// However the text is cut.
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
