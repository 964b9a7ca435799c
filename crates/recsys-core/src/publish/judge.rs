//! Which artifacts become current: the rules for each kind, from the holds to the size of a change.

use std::collections::BTreeMap;

use super::blob::{BlobBytes, BlobError, read_blob};
use super::error::PublishError;
use super::hold::Holds;
use super::manifest::Manifest;
use super::registry::Registry;
use crate::artifact::{ArtifactKey, Descriptor, Kind};
use crate::domain::id::Scope;
use crate::domain::share::{Fraction, Move, Share};
use crate::storage::Store;
use crate::storage::layout::version_in;

/// How much the first items of an artifact may differ from those of the current one.
#[derive(Debug, Clone, Copy)]
pub struct TopChange {
    /// The largest share of them that may differ.
    pub most: Fraction,
    /// How many items count as the first.
    pub of: usize,
}

/// What a publish may do beyond the safe default.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A kind may move to a window that ends before the current one.
    pub allow_older_window: bool,
    /// A kind may move to another segment.
    pub switch_segment: bool,
    /// An empty artifact may replace one with rows, or be the first popularity.
    pub allow_empty: bool,
    /// How much rows and bytes may differ from the current artifact of the same kind and segment; `None` is no limit.
    pub max_change: Option<Share>,
    /// How much its first items may differ; `None` is no limit.
    pub max_top_change: Option<TopChange>,
}

/// Outcome of publishing one artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishOutcome {
    /// The manifest names it now.
    Published,
    /// The manifest named it already.
    AlreadyCurrent,
    /// Blob and record are stored; the manifest names a newer window.
    OlderWindow,
    /// Blob and record are stored; the same publish has a newer window of the kind.
    Superseded,
    /// Blob and record are stored; an operator holds the current artifact.
    Held,
}

/// Compares artifacts with what is current.
pub(super) struct Judge<'a> {
    pub(super) objects: &'a dyn Store,
    pub(super) registry: Registry<'a>,
    pub(super) options: Options,
    pub(super) scope: &'a Scope,
}

impl Judge<'_> {
    /// The new pointers and the fate of each artifact, in the order given.
    pub(super) fn judge<'d>(
        &self,
        current: Option<&Manifest>,
        holds: &Holds,
        artifacts: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Result<(BTreeMap<Kind, String>, Vec<PublishOutcome>), PublishError> {
        let old = current.map(|manifest| &manifest.current);
        let mut pointers = old.cloned().unwrap_or_default();
        let mut outcomes = Vec::new();
        // The newest artifact of each kind, with its index.
        let mut newest: BTreeMap<Kind, (usize, &Descriptor)> = BTreeMap::new();
        for (number, new) in artifacts.into_iter().enumerate() {
            outcomes.push(PublishOutcome::Superseded);
            let entry = newest.entry(new.key.kind).or_insert((number, new));
            if new.key.window.end() >= entry.1.key.window.end() {
                *entry = (number, new);
            }
        }
        for (kind, (number, new)) in newest {
            let uri = self.objects.uri(&new.blob_key());
            outcomes[number] = match old.and_then(|old| old.get(&kind)) {
                Some(old) if *old == uri => PublishOutcome::AlreadyCurrent,
                _ if holds.contains_key(&kind) => PublishOutcome::Held,
                Some(old) => self.judge_move(new, old)?,
                // Any event gives popularity a row; the other kinds may be empty.
                None if new.rows == 0 && kind == Kind::Popularity && !self.options.allow_empty => {
                    return Err(PublishError::EmptyFirst(Box::new(self.scope.clone())));
                }
                None => PublishOutcome::Published,
            };
            if outcomes[number] == PublishOutcome::Published {
                pointers.insert(kind, uri);
            }
        }
        Ok((pointers, outcomes))
    }

    /// Whether a kind may move from the artifact at `old` to `new`.
    fn judge_move(&self, new: &Descriptor, old: &str) -> Result<PublishOutcome, PublishError> {
        let kind = new.key.kind;
        let Some(current) = self.current_key(kind, old)? else {
            if self.options.allow_older_window {
                return Ok(PublishOutcome::Published);
            }
            return Err(PublishError::UnknownCurrent(kind, old.to_owned()));
        };
        let is_same_segment = current.segment == new.key.segment;
        if !is_same_segment && !self.options.switch_segment {
            return Err(PublishError::SegmentSwitch {
                kind,
                current: current.segment_folder().to_owned(),
                new: new.key.segment_folder().to_owned(),
            });
        }
        if new.key.window.end() < current.window.end() && !self.options.allow_older_window {
            return Ok(PublishOutcome::OlderWindow);
        }
        if new.rows == 0 && !self.options.allow_empty && self.has_rows(kind, old)? {
            return Err(PublishError::Empty(kind));
        }
        // Artifacts of different segments cannot be compared.
        if is_same_segment {
            self.judge_size(new, old)?;
            self.judge_top(new, old)?;
        }
        Ok(PublishOutcome::Published)
    }

    /// The key of a kind's current artifact: from its record, or else from the blob itself.
    fn current_key(&self, kind: Kind, uri: &str) -> Result<Option<ArtifactKey>, PublishError> {
        if let Some(record) = self.registry.record(self.scope, kind, version_in(uri))? {
            return Ok(Some(record.artifact_key()));
        }
        match read_blob(self.objects, self.scope, kind, uri) {
            Ok(blob) => Ok(Some(blob.key)),
            Err(BlobError::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Whether the current artifact of a kind has rows. One in another object store counts as having some; one that is
    /// gone or damaged does not.
    fn has_rows(&self, kind: Kind, uri: &str) -> Result<bool, PublishError> {
        match intact(kind, read_blob(self.objects, self.scope, kind, uri)) {
            Err(PublishError::Incomparable(..)) => Ok(true),
            blob => Ok(blob?.is_some_and(|blob| blob.rows > 0)),
        }
    }

    /// Refuses an artifact whose rows or bytes differ too much from those of the current one.
    fn judge_size(&self, new: &Descriptor, old: &str) -> Result<(), PublishError> {
        let kind = new.key.kind;
        let Some(most) = self.options.max_change else { return Ok(()) };
        let Some(current) = intact(kind, read_blob(self.objects, self.scope, kind, old))? else {
            return Ok(());
        };
        let rows = Move { what: kind.rows_of().as_str(), before: current.rows, after: new.rows };
        let bytes = Move { what: "bytes", before: current.bytes, after: new.bytes };
        let moves: Vec<Move> = [rows, bytes].into_iter().filter(|number| number.exceeds(most)).collect();
        if moves.is_empty() { Ok(()) } else { Err(PublishError::Changed(kind, moves, most)) }
    }

    /// Refuses an artifact if too many of its first items differ from those of the current one.
    fn judge_top(&self, new: &Descriptor, old: &str) -> Result<(), PublishError> {
        let kind = new.key.kind;
        let Some(TopChange { most, of }) = self.options.max_top_change else { return Ok(()) };
        let Some(before) = self.top(kind, old, of)? else { return Ok(()) };
        let after = self.top(kind, &self.objects.uri(&new.blob_key()), of)?.unwrap_or_default();
        let entered: Vec<String> = after.iter().filter(|item| !before.contains(item)).cloned().collect();
        // The share is of the longer list: an added item is a change, too.
        let compared = before.len().max(after.len());
        let kept = after.len() - entered.len();
        #[allow(clippy::cast_precision_loss, reason = "so few numbers are exact")]
        let change = if compared == 0 { 0.0 } else { 1.0 - kept as f64 / compared as f64 };
        if before.is_empty() || change <= f64::from(most) {
            return Ok(());
        }
        Err(PublishError::TopChanged { kind, entered, changed: compared - kept, of: compared, most })
    }

    /// The first items of a published artifact; `None` if it is gone or damaged.
    fn top(&self, kind: Kind, uri: &str, count: usize) -> Result<Option<Vec<String>>, PublishError> {
        let read = BlobBytes::read(self.objects, self.scope, kind, uri, None);
        let top = read.and_then(|bytes| {
            let artifact = bytes.artifact()?;
            Ok(artifact.payload.outline().top(count).into_iter().map(str::to_owned).collect())
        });
        intact(kind, top)
    }
}

/// What was read of the current artifact of a kind; `None` if it is gone or damaged.
fn intact<T>(kind: Kind, read: Result<T, BlobError>) -> Result<Option<T>, PublishError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(BlobError::Store(error)) => Err(error.into()),
        Err(source @ BlobError::Elsewhere { .. }) => Err(PublishError::Incomparable(kind, source)),
        Err(BlobError::Missing(..) | BlobError::Damaged(..) | BlobError::Other(..)) => Ok(None),
    }
}
