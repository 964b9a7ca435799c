//! Numbers in as few bytes as they need: seven bits to a byte, the lowest first.

/// Appends `number`.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    out.push(low_byte(number));
}

#[allow(clippy::cast_possible_truncation, reason = "the lowest seven bits")]
fn low_byte(number: u64) -> u8 {
    (number & 0x7f) as u8
}

/// Bytes of a block of ours, read from the front.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// The next number; what is beyond the end reads as 0, and the length of a block is known.
    #[inline]
    pub(crate) fn varint(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        while let Some((byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back() {
        let numbers: Vec<u64> =
            (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]).collect();
        let mut out = Vec::new();
        for number in &numbers {
            put_varint(&mut out, *number);
        }
        let mut bytes = Bytes(&out);
        assert_eq!(numbers.iter().map(|_| bytes.varint()).collect::<Vec<_>>(), numbers);
        assert!(bytes.0.is_empty());
    }
}
