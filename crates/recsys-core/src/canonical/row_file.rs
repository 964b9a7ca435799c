//! Rows in the temporary file.
//!
//! There are two parallel lists of blocks: the columns that every builder reads, and the rest, which only the
//! canonical file needs. The rest holds requests as text.

use super::row::{EventColumns, EventRow};
use crate::columnar::dictionary::{Strings, number};
use crate::columnar::spill::{BlockWriter, Blocks, Budget, ByteReader, Damaged, put_varint};
use crate::storage::StoreError;

const BLOCK_ROWS: usize = 1 << 13;

/// Limits blocks with long requests, because a merge holds a block of each run.
const REST_BYTES: usize = 1 << 17;

/// Rows in the order in which they were written.
#[derive(Debug)]
pub(super) struct RowFile {
    columns: Blocks,
    rest: Blocks,
    rows: usize,
}

/// Writes a [`RowFile`].
pub(super) struct RowWriter {
    columns: BlockWriter,
    rest: BlockWriter,
    rows: usize,
    block: [Vec<u32>; 4],
    block_rest: Vec<u8>,
    bytes: Vec<u8>,
    last_time: i64,
    last_request: String,
}

impl RowWriter {
    /// Adds a row. Its request is given as text; `row.request` is ignored.
    pub(super) fn push(&mut self, row: EventRow, request: Option<&str>) -> Result<(), StoreError> {
        let fields = [row.session, row.item, row.user, row.segment];
        self.block.iter_mut().zip(fields).for_each(|(column, field)| column.push(field));
        let rest = &mut self.block_rest;
        put_varint(rest, row.time.wrapping_sub(self.last_time).cast_unsigned());
        put_varint(rest, row.rank.wrapping_add(1).cast_unsigned());
        self.last_time = row.time;
        match request {
            None => put_varint(rest, 0),
            Some(request) if request == self.last_request => put_varint(rest, 1),
            Some(request) => {
                put_varint(rest, request.len() as u64 + 2);
                rest.extend_from_slice(request.as_bytes());
                self.last_request.clear();
                self.last_request.push_str(request);
            }
        }
        self.rows += 1;
        let is_full = self.block[0].len() == BLOCK_ROWS || self.block_rest.len() >= REST_BYTES;
        if is_full { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> Result<(), StoreError> {
        self.bytes.clear();
        for column in &mut self.block {
            self.bytes.extend(column.iter().flat_map(|id| id.to_le_bytes()));
            column.clear();
        }
        self.columns.write(&self.bytes)?;
        self.rest.write(&self.block_rest)?;
        self.block_rest.clear();
        self.last_time = 0;
        self.last_request.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<RowFile, StoreError> {
        if !self.block[0].is_empty() {
            self.write_block()?;
        }
        Ok(RowFile { columns: self.columns.finish(), rest: self.rest.finish(), rows: self.rows })
    }
}

impl RowFile {
    pub(super) fn create(budget: &Budget) -> RowWriter {
        RowWriter {
            columns: BlockWriter::new(budget),
            rest: BlockWriter::new(budget),
            rows: 0,
            block: Default::default(),
            block_rest: Vec::new(),
            bytes: Vec::new(),
            last_time: 0,
            last_request: String::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    pub(super) fn blocks(&self) -> usize {
        self.columns.len()
    }

    /// Reads the columns of a block into `ids`.
    pub(super) fn columns<'a>(
        &self,
        number: usize,
        bytes: &mut Vec<u8>,
        ids: &'a mut Vec<u32>,
    ) -> Result<EventColumns<'a>, StoreError> {
        self.columns.read(number, bytes)?;
        ids.clear();
        let (words, _) = bytes.as_chunks();
        ids.extend(words.iter().map(|word| u32::from_le_bytes(*word)));
        let (session, rest) = ids.split_at(ids.len() / 4);
        let (item, rest) = rest.split_at(session.len());
        let (user, segment) = rest.split_at(session.len());
        Ok(EventColumns { session, item, user, segment })
    }

    /// An empty block buffer.
    pub(super) fn block(&self) -> RowBlock {
        let capacity = self.rows.min(BLOCK_ROWS);
        RowBlock { rows: Vec::with_capacity(capacity), ..RowBlock::default() }
    }
}

/// The rows of one block; their request ids index `requests`.
#[derive(Debug, Default)]
pub(super) struct RowBlock {
    pub(super) rows: Vec<EventRow>,
    pub(super) requests: Strings,
    bytes: Vec<u8>,
    ids: Vec<u32>,
}

impl RowBlock {
    /// Reads a block of `file`, replacing the current content.
    pub(super) fn read(&mut self, file: &RowFile, block: usize) -> Result<(), StoreError> {
        let EventColumns { session, item, user, segment } =
            file.columns(block, &mut self.bytes, &mut self.ids)?;
        file.rest.read(block, &mut self.bytes)?;
        self.rows.clear();
        self.requests.clear();
        let ids = session.iter().zip(item).zip(user).zip(segment);
        let mut rest = ByteReader(&self.bytes);
        let mut time = 0i64;
        let read = || {
            for (((session, item), user), segment) in ids {
                time = time.wrapping_add(rest.varint()?.cast_signed());
                let rank = rest.varint()?.cast_signed().wrapping_sub(1);
                let request = match rest.length()? {
                    0 => 0,
                    1 => number(self.requests.len()),
                    length => {
                        let text = std::str::from_utf8(rest.take(length - 2)?).map_err(|_| Damaged)?;
                        self.requests.push(text);
                        number(self.requests.len())
                    }
                };
                let (session, item, user, segment) = (*session, *item, *user, *segment);
                self.rows.push(EventRow { time, session, request, rank, item, user, segment });
            }
            Ok(())
        };
        read().map_err(|Damaged| file.rest.damaged(block))
    }
}
