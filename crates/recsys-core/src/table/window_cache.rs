//! Canonical days in memory: those that were just ingested, and those that a window reaches back to.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::events::TableError;
use super::source_hash::{SourceHash, SourceHashes};
use crate::canonical::DayRows;
use crate::columnar::spill::Budget;
use crate::domain::stream::Stream;
use crate::domain::window::{Day, Window};

/// The days that windows are built from. Each is read once, however many windows reach back to it.
#[derive(Debug, Default)]
pub struct WindowCache {
    days: BTreeMap<(Day, Stream), Cached>,
}

#[derive(Debug)]
struct Cached {
    /// The events; none when the day has no canonical file.
    rows: Option<DayRows>,
    /// The hash of the day's file, once it is known.
    hash: Option<String>,
    /// Whether the day came in this process, and not from a canonical file.
    is_new: bool,
}

impl WindowCache {
    /// Keeps a day that was just ingested, and whose file may still be on its way to the disk.
    pub fn insert_new(&mut self, rows: &DayRows) {
        let kept = (!rows.is_empty()).then(|| rows.clone());
        self.days.insert((rows.day, rows.stream), Cached { rows: kept, hash: None, is_new: true });
    }

    /// Reads the days of a window that are not kept yet: `read` gives the events of a day and the hash of its canonical file,
    /// or `None` if it has none.
    ///
    /// # Errors
    /// Those of `read` and of [`Self::keep_to`].
    pub fn load<E: From<TableError>>(
        &mut self,
        stream: Stream,
        window: Window,
        budget: &Budget,
        mut read: impl FnMut(Day) -> Result<Option<(DayRows, String)>, E>,
    ) -> Result<(), E> {
        for day in window.days() {
            if let Entry::Vacant(entry) = self.days.entry((day, stream)) {
                let (rows, hash) = read(day)?.unzip();
                entry.insert(Cached { rows, hash, is_new: false });
                self.keep_to(budget)?;
            }
        }
        Ok(())
    }

    /// Notes the hash of a day's file, if the day is kept.
    pub fn set_hash(&mut self, stream: Stream, day: Day, hash: &str) {
        if let Some(cached) = self.days.get_mut(&(day, stream)) {
            cached.hash = Some(hash.to_owned());
        }
    }

    /// Whether a day came in this process.
    pub fn is_new(&self, day: Day) -> bool {
        self.days.get(&(day, Stream::Exposures)).is_some_and(|cached| cached.is_new)
    }

    /// The days of a window that is kept as a whole.
    pub fn rows(&self, stream: Stream, window: Window) -> impl Iterator<Item = (Day, Option<&DayRows>)> {
        window.days().map(move |day| (day, self.days[&(day, stream)].rows.as_ref()))
    }

    /// Takes out the days before `day`. To drop them takes a while, so the caller chooses the thread.
    #[must_use]
    pub fn take_before(&mut self, day: Day) -> Self {
        let days = self.days.split_off(&(day, Stream::Exposures));
        std::mem::replace(self, Self { days })
    }

    /// Moves the events of days to the temporary file, the earliest first, until the rest fits in memory. Their distinct
    /// strings stay, and must fit.
    ///
    /// # Errors
    /// The strings do not fit, or the temporary file cannot be written.
    pub fn keep_to(&mut self, budget: &Budget) -> Result<(), TableError> {
        let days = || self.days.values().filter_map(|cached| cached.rows.as_ref());
        let strings = days().map(DayRows::strings_bytes).sum();
        budget.strings("the distinct strings of the days of a window").add(strings)?;
        let mut bytes: usize = days().map(DayRows::bytes_in_memory).sum();
        for rows in self.days.values_mut().filter_map(|cached| cached.rows.as_mut()) {
            if bytes <= budget.events() {
                break;
            }
            let own = rows.bytes_in_memory();
            if own > 0 {
                *rows = rows.spilled(budget)?;
                bytes -= own;
            }
        }
        Ok(())
    }

    /// The hash of the canonical bytes that a window was built from. That of one day's exposures may be known; others are
    /// read again, and must still be what is kept.
    ///
    /// # Errors
    /// A file cannot be read, or has changed.
    pub fn source_hash(
        &self,
        hashes: &mut SourceHashes<'_>,
        streams: &'static [Stream],
        window: Window,
    ) -> Result<String, TableError> {
        if streams == [Stream::Exposures]
            && window.days().count() == 1
            && let Some(Cached { hash: Some(hash), .. }) = self.days.get(&(window.start(), Stream::Exposures))
        {
            return Ok(hash.clone());
        }
        let SourceHash { hash, files } = hashes.get(streams, window)?;
        for stream in streams {
            let changed = |day: &Day| match &self.days[&(*day, *stream)] {
                Cached { rows: Some(_), hash, .. } => hash.as_ref() != files.get(&(*stream, *day)),
                Cached { rows: None, .. } => files.contains_key(&(*stream, *day)),
            };
            if let Some(day) = window.days().find(changed) {
                return Err(TableError::Changed(day));
            }
        }
        Ok(hash.clone())
    }
}
