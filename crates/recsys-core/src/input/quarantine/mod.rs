//! Keeps bad input instead of dropping it: a file per day holds the lines that break a rule.
//!
//! Bad lines are collected in [`BadLineWriter`] while files are read, and then replace the day's quarantine file as a whole.
//! The same input gives the same bytes, and a day without bad lines has no such file.

mod bad_lines;
mod bounds;

pub(crate) use bad_lines::Chunk;
pub use bad_lines::{BadLineWriter, BadLines};
pub(crate) use bounds::Seen;
pub use bounds::{Bounds, ExceededBound};

use crate::domain::class::class;
use crate::domain::id::Scope;
use crate::domain::share::Share;
use crate::domain::stream::Stream;
use crate::domain::window::Day;
use crate::storage::{Condition, Replaced, Store, StoreError, layout};

/// The position of a line. The derived order is that of the files and their lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The index of the file.
    pub(crate) file: usize,
    /// The line, counted from 1.
    pub(crate) line: u64,
    /// Offset of the line's first byte in the decompressed file, counted from 0.
    pub(crate) byte_offset: u64,
}

/// Too many lines of a day are bad.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "gate max_invalid_ratio refused {day}: {invalid} of {lines} lines are invalid ({percent:.1} %), more than {max}; \
     they are in {quarantine}, the first is {first}; correct them, or raise validation.max_invalid_ratio if the day \
     is right without them",
    percent = ratio(*.invalid, *.lines) * 100.0
)]
pub struct TooManyInvalid {
    /// The refused day.
    pub day: Day,
    /// Number of lines that break a rule.
    pub invalid: u64,
    /// Number of lines that are not blank.
    pub lines: u64,
    /// The allowed share of invalid lines.
    pub max: Share,
    /// The name of the quarantine file.
    pub quarantine: String,
    /// Place and fault of the first invalid line.
    pub first: String,
}

class!(TooManyInvalid => Refused);

/// Reading was stopped because too many lines of a day are bad.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "gate {gate} refused {day}: reading was stopped at {name}:{line}, because {why}; the {invalid} that were read until \
     then are in {quarantine}, the first is {first}; correct them, or raise validation.{gate} if the day is right without \
     them",
    gate = .why.gate()
)]
pub struct Stopped {
    /// The refused day.
    pub day: Day,
    /// The file that was being read.
    pub name: String,
    /// The next line to be read in that file.
    pub line: u64,
    /// The limit that was exceeded.
    pub why: ExceededBound,
    /// Number of bad lines read so far.
    pub invalid: u64,
    /// The name of the quarantine file, which holds those lines.
    pub quarantine: String,
    /// Place and fault of the first of them.
    pub first: String,
}

class!(Stopped => Refused);

/// The share of `lines` that is invalid.
#[allow(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
pub fn ratio(invalid: u64, lines: u64) -> f64 {
    if invalid == 0 { 0.0 } else { invalid as f64 / lines as f64 }
}

/// The quarantine files of one tenant and surface.
#[derive(Debug, Clone, Copy)]
pub struct Quarantine<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
    stream: Stream,
}

impl<'a> Quarantine<'a> {
    /// The quarantine files for the events of `scope` in `stream`; `store` is that of canonical data.
    pub fn new(store: &'a dyn Store, scope: &'a Scope, stream: Stream) -> Self {
        Self { store, scope, stream }
    }

    fn key(&self, day: Day) -> String {
        layout::quarantine(self.scope, self.stream, day)
    }

    /// The name of a day's file in messages.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// Replaces the quarantine file of a day with these lines, or removes it if there are none.
    pub fn replace(&self, day: Day, lines: Option<&BadLines>) -> Result<Replaced, StoreError> {
        let key = self.key(day);
        let Some(lines) = lines.filter(|lines| lines.lines() > 0) else {
            return Ok(if self.store.remove(&key)? { Replaced::Removed } else { Replaced::Empty });
        };
        let mut pending = self.store.begin(&key)?;
        lines.for_each_block(|bytes| {
            let failed = |source| StoreError { action: "write", target: self.store.name(&key), source };
            pending.write_all(bytes).map_err(failed)
        })?;
        Ok(pending.commit(Condition::Always)?.into())
    }
}
