//! Compressed blocks in the temporary file, which any number of readers can read in any order.

use std::io;
use std::sync::Arc;

use zstd::bulk::{Compressor, Decompressor};

use super::temp_file::{Extent, TempFile};
use super::{Budget, Bytes};
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
                none => none.insert(Compressor::new(LEVEL)?),
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
            Decompressor::new()?.decompress_to_buffer(&file.read(packed)?, bytes)?;
            Ok(())
        };
        self.file.as_deref().map_or(Ok(()), &mut read).map_err(|source| self.budget.failed("read", source))
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
pub(crate) struct Entries {
    blocks: Blocks,
    next_block: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl Entries {
    pub(crate) fn new(blocks: Blocks) -> Self {
        Self { blocks, next_block: 0, bytes: Vec::new(), at: 0 }
    }

    /// Reads the next entry with `read`; `false` at the end.
    pub(crate) fn next(&mut self, read: impl FnOnce(&mut Bytes<'_>)) -> Result<bool, StoreError> {
        if self.at == self.bytes.len() {
            if self.next_block == self.blocks.len() {
                return Ok(false);
            }
            self.blocks.read(self.next_block, &mut self.bytes)?;
            self.next_block += 1;
            self.at = 0;
        }
        let mut rest = Bytes(&self.bytes[self.at..]);
        read(&mut rest);
        self.at = self.bytes.len() - rest.0.len();
        Ok(true)
    }
}
