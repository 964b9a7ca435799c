//! Compressed blocks with checksums in the temporary file, which any number of readers can read in any order.

use std::io;
use std::sync::Arc;

use integer_encoding::VarInt;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use super::Budget;
use super::temp_file::{Extent, TempFile};
use crate::storage::StoreError;
use crate::threads::interrupt;

/// Temporary data is written once and read once or twice: speed counts for more than size.
const LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy)]
struct Block {
    packed: Extent,
    unpacked_bytes: u32,
}

/// Blocks that are being written.
pub(crate) struct BlockWriter {
    blocks: Blocks,
    /// Made for the first block: of many runs some columns are empty.
    compressor: Option<Compressor<'static>>,
}

impl BlockWriter {
    pub(crate) fn new(budget: &Budget) -> Self {
        Self { blocks: Blocks { budget: budget.clone(), file: None, index: Vec::new() }, compressor: None }
    }

    /// Appends a block.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        interrupt::check()?;
        let Self { blocks: Blocks { budget, file, index }, compressor } = self;
        let file = match file {
            Some(file) => file,
            none => none.insert(budget.file()?),
        };
        let written = (|| {
            let compressor = match compressor {
                Some(compressor) => compressor,
                none => {
                    let mut new = Compressor::new(LEVEL)?;
                    new.set_parameter(CParameter::ChecksumFlag(true))?;
                    none.insert(new)
                }
            };
            let unpacked_bytes = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            Ok(Block { packed: file.write(&compressor.compress(bytes)?)?, unpacked_bytes })
        })();
        index.push(written.map_err(|source| budget.failed("write", source))?);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Blocks {
        self.blocks.index.shrink_to_fit();
        self.blocks
    }
}

/// Blocks that can be read. Their space is given back when they are dropped.
#[derive(Debug)]
pub(crate) struct Blocks {
    budget: Budget,
    /// None as long as there is no block.
    file: Option<Arc<TempFile>>,
    index: Vec<Block>,
}

impl Blocks {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// Reads the block with a number into `bytes`, whose content it replaces.
    pub(crate) fn read(&self, number: usize, bytes: &mut Vec<u8>) -> Result<(), StoreError> {
        interrupt::check()?;
        let Block { packed, unpacked_bytes } = self.index[number];
        bytes.clear();
        bytes.reserve(unpacked_bytes as usize);
        let mut read = |file: &TempFile| {
            let read_bytes = Decompressor::new()?.decompress_to_buffer(&file.read(packed)?, bytes)?;
            if read_bytes == unpacked_bytes as usize { Ok(()) } else { Err(io::Error::other(Damaged)) }
        };
        self.file.as_deref().map_or(Ok(()), &mut read).map_err(|source| self.failed(number, source))
    }

    /// The error of a block that does not hold what was written to it.
    pub(crate) fn damaged(&self, number: usize) -> StoreError {
        self.failed(number, io::Error::other(Damaged))
    }

    fn failed(&self, number: usize, source: io::Error) -> StoreError {
        let offset = self.index[number].packed.offset;
        let mut error = self.budget.failed("read", source);
        error.target = format!("{}, the block at byte {offset}", error.target);
        error
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            file.give_back(self.index.iter().map(|block| block.packed));
        }
    }
}

/// Blocks that are read from the first to the last, an entry at a time. No entry spans two blocks.
#[derive(Debug)]
pub(crate) struct EntryReader {
    blocks: Blocks,
    next_block: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl EntryReader {
    pub(crate) fn new(blocks: Blocks) -> Self {
        Self { blocks, next_block: 0, bytes: Vec::new(), at: 0 }
    }

    /// Reads the next entry with `read`; `false` at the end.
    pub(crate) fn next(
        &mut self,
        read: impl FnOnce(&mut ByteReader<'_>) -> Result<(), Damaged>,
    ) -> Result<bool, StoreError> {
        if self.at == self.bytes.len() {
            if self.next_block == self.blocks.len() {
                return Ok(false);
            }
            self.blocks.read(self.next_block, &mut self.bytes)?;
            self.next_block += 1;
            self.at = 0;
        }
        let mut rest = ByteReader(&self.bytes[self.at..]);
        read(&mut rest).map_err(|Damaged| self.damaged())?;
        self.at = self.bytes.len() - rest.0.len();
        Ok(true)
    }

    /// The error of an entry that is not what was written; there was one.
    pub(crate) fn damaged(&self) -> StoreError {
        self.blocks.damaged(self.next_block - 1)
    }
}

/// Appends `number` to what a block will hold, in at most ten bytes.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: u64) {
    let mut bytes = [0; 10];
    let length = number.encode_var(&mut bytes);
    out.extend_from_slice(&bytes[..length]);
}

/// A block does not hold what was written to it.
#[derive(Debug, thiserror::Error)]
#[error("it does not hold what was written to it")]
pub(crate) struct Damaged;

/// The bytes of a block, read from the front. Whatever cannot be read is an error, never a value.
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

    /// Writes two blocks and reads them back as entries.
    fn numbers(blocks: Blocks) -> Result<Vec<u64>, StoreError> {
        let mut entries = EntryReader::new(blocks);
        let mut numbers = Vec::new();
        while entries.next(|entry| entry.varint().map(|number| numbers.push(number)))? {}
        Ok(numbers)
    }

    #[test]
    fn a_byte_that_flips_is_an_error_that_names_the_file_and_never_another_number() {
        let folder = tempfile::tempdir().unwrap();
        let budget = Budget::new(0, folder.path());
        let written: Vec<u64> = (0..40).map(|number| number * number * 977).collect();
        let write = || {
            let mut writer = BlockWriter::new(&budget);
            for numbers in written.chunks(20) {
                let mut bytes = Vec::new();
                for number in numbers {
                    put_varint(&mut bytes, *number);
                }
                writer.write(&bytes).unwrap();
            }
            writer.finish()
        };
        let packed: Vec<Extent> = write().index.iter().map(|block| block.packed).collect();
        let mut errors = 0;
        for Extent { offset, bytes } in packed {
            for at in offset..offset + u64::from(bytes) {
                for bit in 0..8 {
                    // Written anew, at the places of those before.
                    let blocks = write();
                    budget.file().unwrap().flip(at, 1 << bit);
                    match numbers(blocks) {
                        // A frame has a bit that means nothing.
                        Ok(numbers) => assert_eq!(numbers, written, "bit {bit} of byte {at}"),
                        Err(error) => {
                            let text = format!("{error:#}");
                            assert!(text.contains(&folder.path().display().to_string()), "{text}");
                            assert!(text.contains(&format!("the block at byte {offset}")), "{text}");
                            errors += 1;
                        }
                    }
                }
            }
        }
        assert!(errors > 8 * 40, "{errors}");
    }
}
