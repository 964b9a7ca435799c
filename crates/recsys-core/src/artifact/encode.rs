//! Encodes rows as text. A row takes less memory as text than as a value, and documents are long lists of rows.

use std::borrow::Cow;

use crate::encoding::json;
use crate::threads::ordered::Sink;

/// A row or a part of one.
pub(crate) trait Encode: Send + Sync {
    /// Appends the value as compact JSON. Hand-written, because documents are long lists of short objects whose field
    /// names never need an escape.
    fn push(&self, out: &mut Vec<u8>);
}

impl<R: Encode> Encode for &R {
    fn push(&self, out: &mut Vec<u8>) {
        R::push(self, out);
    }
}

impl Encode for Cow<'_, str> {
    fn push(&self, out: &mut Vec<u8>) {
        json::push_text(out, self);
    }
}

impl Encode for u64 {
    fn push(&self, out: &mut Vec<u8>) {
        json::push(out, self);
    }
}

impl Encode for f64 {
    fn push(&self, out: &mut Vec<u8>) {
        json::push(out, self);
    }
}

impl<R: Encode> Encode for Vec<R> {
    fn push(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        push_rows(out, self);
        out.push(b']');
    }
}

/// Appends rows separated by commas.
fn push_rows(out: &mut Vec<u8>, rows: &[impl Encode]) {
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        row.push(out);
    }
}

/// Encodes rows as a list of compact JSON without brackets.
pub(crate) struct Encoder<'a> {
    /// Takes the text, piece by piece.
    pub(super) out: &'a mut (dyn FnMut(&[u8]) + Send),
    /// Number of rows encoded so far.
    pub(super) rows: u64,
}

impl<R: Encode> Sink<R> for Encoder<'_> {
    type Part = (Vec<u8>, u64);

    fn part(rows: Vec<R>) -> (Vec<u8>, u64) {
        let mut text = Vec::new();
        push_rows(&mut text, &rows);
        (text, rows.len() as u64)
    }

    fn take(&mut self, (text, rows): (Vec<u8>, u64)) {
        if self.rows > 0 {
            (self.out)(b",");
        }
        (self.out)(&text);
        self.rows += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::ordered;

    struct Digits(u32);

    impl Encode for Digits {
        fn push(&self, out: &mut Vec<u8>) {
            out.extend_from_slice(self.0.to_string().as_bytes());
        }
    }

    #[test]
    fn rows_have_commas_between_them_wherever_a_part_ends() {
        for count in [0, 1, 63, 64, 65, 10_000] {
            let numbers: Vec<u32> = (0..count).collect();
            let mut text = Vec::new();
            let mut out = |part: &[u8]| text.extend_from_slice(part);
            let mut encoder = Encoder { out: &mut out, rows: 0 };
            ordered::map(&numbers, |number| Digits(*number), &mut encoder);
            assert_eq!(encoder.rows, u64::from(count));
            let expected: Vec<String> = numbers.iter().map(u32::to_string).collect();
            assert_eq!(String::from_utf8(text).unwrap(), expected.join(","));
        }
    }
}
