//! Counts the events that a re-ingested day gains and loses.
//!
//! Both files are sorted by time, and equal events are equal lines. So the two are read side by side, and the lines of
//! each moment are compared. Only one moment is in memory at a time, as hashes, because a whole day may have one time.

use std::io::{self, BufRead};

use crate::columnar::dictionary::StringHasher;
use crate::encoding::timestamp;

/// How a day's events differ from those of its previous file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// Number of new events.
    #[serde(rename = "in")]
    pub entered: u64,
    /// Number of events that are gone.
    #[serde(rename = "out")]
    pub left: u64,
}

/// Compares a sequence of lines with those of a file.
pub(super) struct LineDiff<R> {
    old: R,
    /// The next line of the file; empty at its end.
    next: Vec<u8>,
    next_ts: Option<i64>,
    /// The moment of the last line that was added; `None` before the first line, and for lines without a valid time.
    new_ts: Option<i64>,
    /// The hashes of the lines of that moment.
    new: Vec<u64>,
    /// Hashes of the file's lines of the same moment; a reused buffer.
    same: Vec<u64>,
    hash: StringHasher,
    changes: Changes,
}

impl<R: BufRead> LineDiff<R> {
    pub(super) fn new(old: R) -> io::Result<Self> {
        let mut diff = Self {
            old,
            next: Vec::new(),
            next_ts: None,
            new_ts: None,
            new: Vec::new(),
            same: Vec::new(),
            hash: StringHasher::default(),
            changes: Changes::default(),
        };
        diff.advance()?;
        Ok(diff)
    }

    /// Adds lines, which must continue the sequence.
    pub(super) fn push(&mut self, lines: &[u8]) -> io::Result<()> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            // Most lines have the time of the line before.
            let ts = time_of(line);
            if ts != self.new_ts {
                self.compare_moment()?;
                self.new_ts = ts;
            }
            self.new.push(self.hash.of_bytes(line));
        }
        Ok(())
    }

    /// The result, once all lines were added.
    pub(super) fn finish(mut self) -> io::Result<Changes> {
        self.compare_moment()?;
        while !self.next.is_empty() {
            self.changes.left += 1;
            self.advance()?;
        }
        Ok(self.changes)
    }

    /// Compares the current moment, which is now complete.
    fn compare_moment(&mut self) -> io::Result<()> {
        if self.new.is_empty() {
            return Ok(());
        }
        while !self.next.is_empty() && self.next_ts < self.new_ts {
            self.changes.left += 1;
            self.advance()?;
        }
        self.same.clear();
        while !self.next.is_empty() && self.next_ts == self.new_ts {
            self.same.push(self.hash.of_bytes(&self.next));
            self.advance()?;
        }
        if self.same != self.new {
            self.same.sort_unstable();
            self.new.sort_unstable();
            let common = common(&self.same, &self.new);
            self.changes.left += self.same.len() as u64 - common;
            self.changes.entered += self.new.len() as u64 - common;
        }
        self.new.clear();
        Ok(())
    }

    fn advance(&mut self) -> io::Result<()> {
        self.next.clear();
        self.old.read_until(b'\n', &mut self.next)?;
        if !self.next.is_empty() && !self.next.ends_with(b"\n") {
            self.next.push(b'\n');
        }
        self.next_ts = time_of(&self.next);
        Ok(())
    }
}

/// Size of the multiset intersection of two sorted lists.
fn common(left: &[u64], right: &[u64]) -> u64 {
    let (mut at, mut count) = (0, 0);
    for line in left {
        while right.get(at).is_some_and(|other| other < line) {
            at += 1;
        }
        if right.get(at) == Some(line) {
            (at, count) = (at + 1, count + 1);
        }
    }
    count
}

/// The time of a canonical line.
fn time_of(line: &[u8]) -> Option<i64> {
    const FIELD: &[u8] = b"\"ts\":\"";
    let start = memchr::memmem::find(line, FIELD)? + FIELD.len();
    let end = start + memchr::memchr(b'"', &line[start..])?;
    timestamp::parse(std::str::from_utf8(&line[start..end]).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[(u32, &str)]) -> Vec<u8> {
        let line = |(second, item): &(u32, &str)| {
            format!("{{\"v\":1,\"ts\":\"2026-01-01T00:00:{second:02}Z\",\"item_id\":\"{item}\"}}\n")
        };
        events.iter().map(line).collect::<String>().into_bytes()
    }

    fn changes(old: &[(u32, &str)], new: &[(u32, &str)]) -> (u64, u64) {
        let old = lines(old);
        let mut diff = LineDiff::new(&old[..]).unwrap();
        // The result must not depend on how the lines are split.
        let mut whole = LineDiff::new(&old[..]).unwrap();
        for event in new {
            diff.push(&lines(&[*event])).unwrap();
        }
        whole.push(&lines(new)).unwrap();
        let changes = diff.finish().unwrap();
        assert_eq!(whole.finish().unwrap(), changes);
        (changes.entered, changes.left)
    }

    #[test]
    fn events_that_came_and_went_are_counted() {
        let day = [(1, "a"), (1, "b"), (2, "a"), (5, "c"), (5, "c")];
        assert_eq!(changes(&day, &day), (0, 0));
        assert_eq!(changes(&[], &day), (5, 0));
        assert_eq!(changes(&day, &[]), (0, 5));
        assert_eq!(changes(&day, &day[1..4]), (0, 2));
        assert_eq!(changes(&day[..4], &day), (1, 0));
        assert_eq!(changes(&day, &[(0, "x"), (1, "b"), (1, "z"), (3, "a"), (5, "c"), (9, "y")]), (4, 3));
        assert_eq!(changes(&[(1, "a")], &[(2, "a")]), (1, 1));
    }

    #[test]
    fn a_file_without_an_end_of_line_counts_its_last_line() {
        let mut diff = LineDiff::new(&b"{\"ts\":\"2026-01-01T00:00:00Z\"}"[..]).unwrap();
        diff.push(b"{\"ts\":\"2026-01-01T00:00:00Z\"}\n").unwrap();
        assert_eq!(diff.finish().unwrap(), Changes::default());
    }
}
