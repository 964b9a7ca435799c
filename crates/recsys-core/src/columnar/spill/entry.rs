//! What a block holds: numbers in as few bytes as they need, and bytes. Whatever cannot be read is an error, never a value.

use integer_encoding::VarInt;

/// Appends `number`, in at most ten bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: u64) {
    let mut bytes = [0; 10];
    let length = number.encode_var(&mut bytes);
    out.extend_from_slice(&bytes[..length]);
}

/// A block does not hold what was written to it.
#[derive(Debug, thiserror::Error)]
#[error("it does not hold what was written to it")]
pub(crate) struct Damaged;

/// The bytes of a block, read from the front.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ByteReader<'a>(pub(crate) &'a [u8]);

impl<'a> ByteReader<'a> {
    /// The next number.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        let (number, length) = u64::decode_var(self.0).ok_or(Damaged)?;
        self.0 = &self.0[length..];
        Ok(number)
    }

    /// The next number, which is one of bytes.
    pub(crate) fn length(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.varint()?).map_err(|_| Damaged)
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_and_none_that_is_cut() {
        let numbers = (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit]).chain([u64::MAX]);
        for number in numbers {
            let mut out = Vec::new();
            put_varint(&mut out, number);
            let mut bytes = ByteReader(&out);
            assert_eq!(bytes.varint().unwrap(), number);
            assert!(bytes.0.is_empty());
            for length in 0..out.len() {
                assert!(ByteReader(&out[..length]).varint().is_err(), "{number} in {length} bytes");
            }
        }
        assert!(ByteReader(b"ab").take(3).is_err());
    }
}
