//! What the artifacts of a window are built from: which canonical data, and its hash.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use recsys_core::artifact::Kind;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::{Day, Window};
use recsys_core::encoding::hash::HashWriter;

use crate::pipeline::context::Context;

/// The canonical data that a kind is built from.
pub(crate) fn streams(ctx: &Context, kind: Kind) -> &'static [Stream] {
    if kind.weighs() && ctx.config.weights.count_outcomes() {
        &[Stream::Exposures, Stream::Outcomes]
    } else {
        &[Stream::Exposures]
    }
}

/// The SHA-256 of the canonical bytes of a window, stream by stream and day by day.
#[derive(Debug)]
pub(crate) struct WindowHash {
    pub(crate) hash: String,
    /// That of each file.
    pub(crate) files: BTreeMap<(Stream, Day), String>,
}

/// Kinds of the same window and streams have the same source: it is read once.
#[derive(Debug, Default)]
pub(crate) struct WindowHashes(BTreeMap<(Window, &'static [Stream]), WindowHash>);

impl WindowHashes {
    /// The hash of what `kind` is built from.
    pub(crate) fn get(&mut self, ctx: &Context, kind: Kind, window: Window) -> anyhow::Result<&WindowHash> {
        let streams = streams(ctx, kind);
        let entry = match self.0.entry((window, streams)) {
            Entry::Occupied(entry) => return Ok(entry.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let mut hash = HashWriter::default();
        let mut files = BTreeMap::new();
        for stream in streams {
            let days = ctx.canonical().of(*stream).hash_window(window, &mut hash)?;
            files.extend(days.into_iter().map(|(day, own)| ((*stream, day), own)));
        }
        Ok(entry.insert(WindowHash { hash: hash.finish(), files }))
    }
}
