//! A temporary file of compressed blocks, which any number of readers can read in any order.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use zstd::bulk::{Compressor, Decompressor};

use super::Budget;
use crate::interrupt;
use crate::storage::StoreError;

/// Temporary data is written once and read once or twice: speed counts for more than size.
const LEVEL: i32 = 1;

#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    packed: usize,
    unpacked: usize,
}

/// Blocks that are being written.
pub(crate) struct BlockWriter {
    budget: Budget,
    file: File,
    index: Vec<Block>,
    end: u64,
    compressor: Compressor<'static>,
}

impl BlockWriter {
    pub(crate) fn new(budget: &Budget) -> Result<Self, StoreError> {
        let file = budget.file()?;
        let compressor = Compressor::new(LEVEL).map_err(|source| budget.failed("write", source))?;
        Ok(Self { budget: budget.clone(), file, index: Vec::new(), end: 0, compressor })
    }

    /// Appends a block.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        interrupt::check()?;
        let written = self.compressor.compress(bytes).and_then(|packed| {
            self.file.write_all(&packed)?;
            Ok(packed.len())
        });
        let packed = written.map_err(|source| self.budget.failed("write", source))?;
        self.index.push(Block { offset: self.end, packed, unpacked: bytes.len() });
        self.end += packed as u64;
        Ok(())
    }

    pub(crate) fn finish(self) -> Blocks {
        Blocks { budget: self.budget, file: self.file, index: self.index }
    }
}

/// Blocks that can be read.
#[derive(Debug)]
pub(crate) struct Blocks {
    budget: Budget,
    file: File,
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
        let Block { offset, packed, unpacked } = self.index[number];
        bytes.clear();
        bytes.reserve(unpacked);
        let mut read = || -> io::Result<()> {
            let mut buffer = vec![0; packed];
            self.file.read_exact_at(&mut buffer, offset)?;
            Decompressor::new()?.decompress_to_buffer(&buffer, bytes)?;
            Ok(())
        };
        read().map_err(|source| self.budget.failed("read", source))
    }
}
