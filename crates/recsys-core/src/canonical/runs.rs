//! Sorted runs of a day's events, and their merge.
//!
//! A run is self-contained: its rows, and their strings in byte order. Merging first merges the strings of all runs,
//! which maps the ids of each run to those of the common dictionaries. Then the rows can be merged by comparing ids
//! only, except for requests, which are compared as text.

use std::cmp::Ordering;
use std::sync::Arc;

use super::row::EventRow;
use super::row_file::{RowBlock, RowFile};
use super::rows::Names;
use crate::columnar::dictionary::{Dictionary, Strings, number};
use crate::columnar::spill::{
    BlockWriter, Blocks, Budget, EntryReader, Merge, Reservation, SortedRun, put_varint,
};
use crate::domain::stream::Stream;
use crate::input::lines::LinesError;
use crate::storage::StoreError;

const BLOCK_BYTES: usize = 1 << 16;

/// An upper bound for the memory that a merge needs per run: a block of rows, and the new ids of its strings. The
/// latter are few because the run fitted in a thread's share.
const RUN_BYTES: usize = 1 << 21;

/// Sorted rows and their strings in temporary files.
#[derive(Debug)]
pub(super) struct DiskRun {
    rows: RowFile,
    /// Of sessions, items, users and segments.
    strings: [Blocks; 4],
}

impl DiskRun {
    /// Writes sorted rows; their request ids index `requests`.
    pub(super) fn write(
        budget: &Budget,
        names: &Names,
        rows: &[EventRow],
        requests: &Strings,
    ) -> Result<Self, StoreError> {
        let mut file = RowFile::create(budget);
        rows.iter().try_for_each(|row| file.push(*row, row.request_in(requests)))?;
        Self::new(budget, names, file.finish()?)
    }

    fn new(budget: &Budget, names: &Names, rows: RowFile) -> Result<Self, StoreError> {
        let Names { sessions, items, users, segments } = names;
        let write = |strings| write_strings(budget, strings);
        Ok(Self { rows, strings: [write(sessions)?, write(items)?, write(users)?, write(segments)?] })
    }
}

/// Merges runs in the order of `stream`. Returns the rows, their strings and the number of repeated deliveries that were
/// dropped.
///
/// # Errors
/// A temporary file fails, or the distinct strings (`what` in messages) do not fit in memory.
pub(super) fn merge(
    stream: Stream,
    budget: &Budget,
    what: &str,
    mut runs: Vec<DiskRun>,
) -> Result<(RowFile, Names, u64), LinesError> {
    let fan_in = Budget::fan_in(budget.events_of(stream), RUN_BYTES);
    let mut duplicates = 0;
    loop {
        let rest = if runs.len() > fan_in { runs.split_off(fan_in) } else { Vec::new() };
        let (rows, names, dropped) = merge_once(stream, budget, budget.strings(what), runs)?;
        duplicates += dropped;
        if rest.is_empty() {
            return Ok((rows, names, duplicates));
        }
        runs = rest;
        runs.push(DiskRun::new(budget, &names, rows)?);
    }
}

fn merge_once(
    stream: Stream,
    budget: &Budget,
    mut reservation: Reservation<'_>,
    runs: Vec<DiskRun>,
) -> Result<(RowFile, Names, u64), LinesError> {
    let mut files = Vec::new();
    let mut strings: [Vec<Blocks>; 4] = Default::default();
    for run in runs {
        files.push(run.rows);
        strings.iter_mut().zip(run.strings).for_each(|(all, own)| all.push(own));
    }
    let [sessions, items, users, segments] = strings;
    let (sessions, session_ids) = merge_strings(sessions, &mut reservation)?;
    let (items, item_ids) = merge_strings(items, &mut reservation)?;
    let (users, user_ids) = merge_strings(users, &mut reservation)?;
    let (segments, segment_ids) = merge_strings(segments, &mut reservation)?;
    let names = Names { sessions, items, users, segments };
    let ids = session_ids.into_iter().zip(item_ids).zip(user_ids).zip(segment_ids);
    let runs = files.into_iter().zip(ids).map(|(file, (((sessions, items), users), segments))| {
        let block = file.block();
        RowRun { stream, file, next_block: 0, block, at: 0, ids: [sessions, items, users, segments] }
    });
    let mut merge = Merge::new(runs.collect())?;
    let mut merged = RowFile::create(budget);
    let mut last: Option<EventRow> = None;
    let mut last_request = String::new();
    let mut duplicates = 0;
    while let Some((_, run)) = merge.front() {
        let row = run.row();
        let request = row.request_in(&run.block.requests);
        // Request ids are only valid within a block, so compare the texts.
        let repeated = request.is_some_and(|request| {
            last.is_some_and(|last| {
                EventRow { request: row.request, ..last } == row && request == last_request
            })
        });
        if repeated {
            duplicates += 1;
        } else {
            merged.push(row, request)?;
            // Events without a request are never repeats, nor is an event that follows one.
            last = request.is_some().then_some(row);
            if let Some(request) = request.filter(|request| *request != last_request) {
                last_request.clear();
                last_request.push_str(request);
            }
        }
        merge.advance()?;
    }
    Ok((merged.finish()?, names, duplicates))
}

struct RowRun {
    stream: Stream,
    file: RowFile,
    next_block: usize,
    block: RowBlock,
    /// Index of the front row, plus one.
    at: usize,
    /// The new ids of its sessions, items, users and segments.
    ids: [Vec<u32>; 4],
}

impl RowRun {
    fn row(&self) -> EventRow {
        self.block.rows[self.at - 1]
    }

    fn request(&self) -> Option<&str> {
        self.row().request_in(&self.block.requests)
    }
}

impl SortedRun for RowRun {
    fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.row(), other.row());
        let order = (a.time, a.session).cmp(&(b.time, b.session));
        let order = order.then_with(|| self.request().cmp(&other.request()));
        order.then_with(|| a.in_order_after_request(&b, self.stream))
    }

    fn advance(&mut self) -> Result<bool, StoreError> {
        if self.at == self.block.rows.len() {
            if self.next_block == self.file.blocks() {
                return Ok(false);
            }
            self.block.read(&self.file, self.next_block)?;
            self.next_block += 1;
            self.at = 0;
            let optional = |ids: &[u32], id: u32| if id == 0 { 0 } else { ids[id as usize - 1] + 1 };
            let [sessions, items, users, segments] = &self.ids;
            for row in &mut self.block.rows {
                row.session = sessions[row.session as usize];
                row.item = items[row.item as usize];
                row.user = optional(users, row.user);
                row.segment = optional(segments, row.segment);
            }
        }
        self.at += 1;
        Ok(true)
    }
}

/// Writes sorted strings, front-coded: the length of the prefix shared with the previous one, and the rest.
fn write_strings(budget: &Budget, strings: &Strings) -> Result<Blocks, StoreError> {
    let mut blocks = BlockWriter::new(budget);
    let mut bytes = Vec::new();
    let mut last: &[u8] = b"";
    for text in strings.iter().map(str::as_bytes) {
        let shared = last.iter().zip(text).take_while(|(a, b)| a == b).count();
        put_varint(&mut bytes, shared as u64);
        put_varint(&mut bytes, (text.len() - shared) as u64);
        bytes.extend_from_slice(&text[shared..]);
        last = text;
        if bytes.len() >= BLOCK_BYTES {
            blocks.write(&bytes)?;
            bytes.clear();
        }
    }
    if !bytes.is_empty() {
        blocks.write(&bytes)?;
    }
    Ok(blocks.finish())
}

/// Merges all strings into one dictionary. Returns it with the new ids of each part's strings.
fn merge_strings(
    parts: Vec<Blocks>,
    reservation: &mut Reservation<'_>,
) -> Result<(Arc<Dictionary>, Vec<Vec<u32>>), LinesError> {
    let mut renumbered = vec![Vec::new(); parts.len()];
    let runs =
        parts.into_iter().map(|blocks| StringRun { entries: EntryReader::new(blocks), text: Vec::new() });
    let mut merge = Merge::new(runs.collect())?;
    let mut dictionary = Dictionary::default();
    while let Some((part, run)) = merge.front() {
        let text = std::str::from_utf8(&run.text).map_err(|_| run.entries.damaged())?;
        if dictionary.is_empty() || dictionary.get(number(dictionary.len() - 1)) != text {
            reservation.add(Strings::bytes_of(text))?;
            dictionary.push_last(text);
        }
        renumbered[part].push(number(dictionary.len() - 1));
        merge.advance()?;
    }
    Ok((Arc::new(dictionary), renumbered))
}

struct StringRun {
    entries: EntryReader,
    text: Vec<u8>,
}

impl SortedRun for StringRun {
    fn order(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }

    fn advance(&mut self) -> Result<bool, StoreError> {
        self.entries.next(|entry| {
            let (shared, own) = (entry.length()?, entry.length()?);
            self.text.truncate(shared);
            self.text.extend_from_slice(entry.take(own)?);
            Ok(())
        })
    }
}
