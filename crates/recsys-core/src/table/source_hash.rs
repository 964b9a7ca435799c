//! Which canonical data a window is built from: the hash of its bytes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::canonical::Canonical;
use crate::domain::stream::Stream;
use crate::domain::window::{Day, Window};
use crate::encoding::hash::HashWriter;
use crate::storage::StoreError;

/// The SHA-256 of the canonical bytes of a window, stream by stream and day by day.
#[derive(Debug)]
pub struct SourceHash {
    /// The hash of all bytes.
    pub hash: String,
    /// That of each file.
    pub(super) files: BTreeMap<(Stream, Day), String>,
}

/// The hashes of windows. Artifacts of the same window and streams have the same source: it is read once.
#[derive(Debug)]
pub struct SourceHashes<'a> {
    canonical: Canonical<'a>,
    known: BTreeMap<(Window, &'static [Stream]), SourceHash>,
}

impl<'a> SourceHashes<'a> {
    /// The hashes of what lies in `canonical` now.
    pub fn new(canonical: Canonical<'a>) -> Self {
        Self { canonical, known: BTreeMap::new() }
    }

    /// The hash of `streams` in a window.
    pub fn get(&mut self, streams: &'static [Stream], window: Window) -> Result<&SourceHash, StoreError> {
        let entry = match self.known.entry((window, streams)) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let mut hash = HashWriter::default();
        let mut files = BTreeMap::new();
        for stream in streams {
            let days = self.canonical.of(*stream).hash_window(window, &mut hash)?;
            files.extend(days.into_iter().map(|(day, own)| ((*stream, day), own)));
        }
        Ok(entry.insert(SourceHash { hash: hash.finish(), files }))
    }
}
