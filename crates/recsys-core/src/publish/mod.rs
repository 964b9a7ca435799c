//! Publishing: from staged artifacts to a manifest that names them.
//!
//! The order is always:
//!
//! 1. blobs, each only if absent;
//! 2. each blob read back and checked, before any record is written (on a local disk even before it has a name);
//! 3. records, each only if absent;
//! 4. a history entry with the new manifest and the hash of the one it replaces, read back;
//! 5. a check that no garbage collection claims what becomes current, and then that all of it is there;
//! 6. the manifest, only if it is still the one that was read; then a check that it has arrived.
//!
//! A crash before step 6 leaves the old manifest current. What else it leaves (blobs and records that no manifest
//! names, a history entry that no later entry names) is harmless, and is reused by the next attempt where possible.
//! Publishing deletes and rewrites nothing but the manifest.
//!
//! A publisher that loses step 6 to another one reads the new manifest, merges its own kinds into it and tries again,
//! so two publishers of different kinds both succeed.

mod blob;
mod checked;
mod claims;
mod compare_and_swap;
mod format;
mod garbage;
mod history;
mod hold;
mod lost;
mod manifest;
mod record;
mod registry;
mod rollback;
mod sweep;

use std::collections::BTreeMap;

use jiff::Timestamp;

pub use blob::{Blob, BlobBytes, BlobError, Of, read_blob};
pub use checked::{Candidate, Planned, Stored, Unfit};
pub use claims::{Abandoned, ClaimsError, LeaseTimeouts, Remover, release, uptime};
pub use format::V1;
pub use garbage::{Collection, Garbage, GarbageError, GarbageType, Keep};
pub use history::{HistoryEntry, LookupError, Reason, by_hash};
pub use hold::{Held, Hold, Holds, describe};
pub use manifest::{Manifest, is_from_the_future};
pub use record::Record;
pub use registry::{Change, Registry, RegistryError};
pub use rollback::{RollbackError, RollbackPlan, Target};
pub use sweep::Removed;

use crate::artifact::{ArtifactKey, Kind};
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::domain::limit::Limits;
use crate::domain::share::{Fraction, Move, Share};
use crate::encoding::json::readable;
use crate::storage::layout::{self, version_in};
use crate::storage::{Commit, Condition, MAX_ARTIFACT_BYTES, Pending, Store, StoreError, create_after_look};
use crate::threads::parallel;

/// Why a publish failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob, just written or already there, is not the artifact to publish.
    #[error("blob {uri} cannot be published: {problem}; move it away and publish again")]
    Blob {
        /// URI of the blob.
        uri: String,
        /// What is wrong with it.
        problem: Unfit,
    },
    /// A blob or record, just written or already there, is gone.
    #[error("{0} has vanished while it was published; publish again")]
    Vanished(String),
    /// The registry cannot be read, or its manifest cannot be swapped.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The artifact has no rows, but the current one has.
    #[error(
        "the new {kind} is empty and the current one is not; \
         if that is right, set validation.min_events to 0"
    )]
    Empty {
        /// Kind of the artifact.
        kind: Kind,
    },
    /// The first popularity has no rows: there was no event.
    #[error(
        "the new {kind} is empty, and nothing is current for {scope} yet; are tenant and surface right? if they are, and this \
         is right, too, set validation.min_events to 0"
    )]
    EmptyFirst {
        /// Kind of the artifact: popularity.
        kind: Kind,
        /// Its tenant and surface.
        scope: Box<Scope>,
    },
    /// Neither the record nor the blob of the current artifact can be read.
    #[error(
        "cannot tell the window of the current {kind} ({uri}): it has neither a record nor a blob; \
             pass --allow-older-window to replace it all the same"
    )]
    UnknownCurrent {
        /// Kind of the artifact.
        kind: Kind,
        /// URI of the current blob.
        uri: String,
    },
    /// The size of the artifact differs too much from that of the current one.
    #[error(
        "gate max_artifact_change refused {kind}: {}, more than {most} of what is current; blob and record are \
         stored and what is current stays; if this is right, pass --allow-large-change",
        .moves.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    )]
    Changed {
        /// Kind of the artifact.
        kind: Kind,
        /// The figures that changed too much.
        moves: Vec<Move>,
        /// The largest share by which they may change.
        most: Share,
    },
    /// Too many of the artifact's first items differ from those of the current one.
    #[error(
        "gate max_top_change refused {kind}: {changed} of the first {of} items are others than those of the current one{}, more \
         than {most} of them; blob and record are stored and what is current stays; if this is right, pass \
         --allow-large-change",
        named(.entered)
    )]
    TopChanged {
        /// Kind of the artifact.
        kind: Kind,
        /// Items that are new among the first. May be empty if there are fewer items than before.
        entered: Vec<String>,
        /// How many of the first items are not in both artifacts.
        changed: usize,
        /// How many first items were compared.
        of: usize,
        /// The largest share of the first items that may differ.
        most: Fraction,
    },
    /// The current artifact is not in this publisher's object store, so nothing can be compared.
    #[error(
        "cannot compare the new {kind} with the current one; pass --allow-large-change to publish all the same"
    )]
    Incomparable {
        /// Kind of the artifact.
        kind: Kind,
        /// Why the current artifact cannot be read.
        source: BlobError,
    },
    /// The current artifact is of another segment.
    #[error(
        "the current {kind} is of segment {current}, this one is of {new}; \
             pass --switch-segment to replace it"
    )]
    SegmentSwitch {
        /// Kind of the artifact.
        kind: Kind,
        /// Segment of the current artifact.
        current: String,
        /// Segment of the new artifact.
        new: String,
    },
}

impl PublishError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Vanished(_) => Some(Class::Transient),
            Self::Blob { problem, .. } => Some(problem.class()),
            Self::Registry(error) => error.class(),
            Self::Empty { .. } | Self::EmptyFirst { .. } | Self::Changed { .. } | Self::TopChanged { .. } => {
                Some(Class::Refused)
            }
            Self::UnknownCurrent { .. } | Self::Incomparable { .. } | Self::SegmentSwitch { .. } => {
                Some(Class::Usage)
            }
        }
    }
}

/// Names the first few items, for a message.
fn named(items: &[String]) -> String {
    const NAMED: usize = 3;
    let named: Vec<String> = items.iter().take(NAMED).map(|item| format!("{item:?}")).collect();
    match items.len() {
        0 => String::new(),
        count if count > NAMED => format!(" (new: {} and {} more)", named.join(", "), count - NAMED),
        _ => format!(" (new: {})", named.join(", ")),
    }
}

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

/// The stage of a publish at which it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is written yet.
    Plan,
    /// Blobs and records are in place.
    Swap,
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

/// Outcome of a publish.
#[derive(Debug, Clone)]
pub struct Published {
    /// The fate of each candidate, in the order given.
    pub fates: Vec<PublishOutcome>,
    /// Name of the manifest in messages.
    pub manifest: String,
    /// Whether the manifest was swapped.
    pub swapped: bool,
    /// The manifest that is current now, if any.
    pub current: Option<Manifest>,
    /// The holds on the kinds whose fate is [`PublishOutcome::Held`].
    pub held: Holds,
}

/// Publishes artifacts to an object store and a registry.
#[derive(Debug)]
pub struct Publisher<'a> {
    /// The store of blobs.
    pub objects: &'a dyn Store,
    /// The store of records, history and manifests.
    pub registry: &'a dyn Store,
    /// The limits that an artifact must meet.
    pub limits: &'a Limits,
    /// The publisher: user and host.
    pub by: String,
    /// The id of the run, if there is one.
    pub run_id: Option<String>,
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// The time of the swap.
    pub now: Timestamp,
    /// A manifest written more than a few minutes after this lies in the future: a clock is wrong.
    pub horizon: Timestamp,
    /// How long to wait for a garbage collection.
    pub timeouts: LeaseTimeouts,
    /// What may be done beyond the safe default.
    pub options: Options,
}

/// A blob that is not visible yet. Dropping it discards it.
pub struct Prepared<'a> {
    key: String,
    pending: Box<dyn Pending + 'a>,
    bytes: &'a [u8],
    /// Whether it was read back.
    has_arrived: bool,
}

fn blob_key(planned: &Planned) -> String {
    let Planned { key, version, .. } = planned;
    layout::blob(&key.scope, key.kind, version)
}

impl Publisher<'_> {
    /// Makes those checks of [`Self::finish`] that need no stored blob, before anything is written. All artifacts are
    /// of `scope`.
    pub fn plan<'p>(
        &self,
        scope: &Scope,
        planned: impl IntoIterator<Item = &'p Planned>,
    ) -> Result<(), PublishError> {
        let (current, _) = Registry::new(self.registry).at(self.horizon).manifest(scope)?.unzip();
        let holds = Registry::new(self.registry).holds(scope)?;
        let (_, fates) = self.judge(scope, current.as_ref(), &holds, planned, Stage::Plan)?;
        if fates.contains(&PublishOutcome::Published) {
            Registry::new(self.registry).check_store()?;
        }
        Ok(())
    }

    /// Writes a blob and reads it back, as far as the store can do so invisibly, before its artifact has passed every
    /// check.
    pub fn prepare<'p>(&'p self, planned: &Planned, bytes: &'p [u8]) -> Result<Prepared<'p>, PublishError> {
        let key = blob_key(planned);
        let mut pending = self.objects.prepare(&key, bytes)?;
        let has_arrived = pending.has_arrived(bytes)?;
        Ok(Prepared { key, pending, bytes, has_arrived })
    }

    /// Puts the blob of a candidate in place, reads it back unless that is done already, and checks it.
    ///
    /// This makes nothing current; [`Self::finish`] does. A range of days is stored day by day, so that only one day's
    /// documents need to be in memory.
    pub fn store(&self, prepared: Prepared<'_>, candidate: &Candidate) -> Result<Stored, PublishError> {
        let Prepared { key, pending, bytes, has_arrived } = prepared;
        let planned = Planned::from(candidate);
        // The bytes that were read back are the ones that were checked.
        let is_known =
            has_arrived && key == blob_key(&planned) && std::ptr::eq(bytes, candidate.bytes.as_ref());
        let commit = match pending.commit(Condition::Absent) {
            // The server does not support conditions; a blob of the same name has the same content.
            Err(error) if error.is_unsupported() => create_after_look(self.objects, &key, bytes)?,
            commit => commit?,
        };
        if commit == Commit::Written
            && is_known
            && self.objects.stat(&key)?.is_some_and(|listed| listed.bytes == planned.bytes)
        {
            return Ok(Stored { planned, build: candidate.build.clone() });
        }
        self.read_back(candidate)
    }

    /// Writes the records of stored candidates and makes them current, with one swap.
    ///
    /// # Errors
    /// After any error, the manifest is wholly the old one or wholly the new one.
    pub fn finish(&self, scope: &Scope, stored: &[Stored]) -> Result<Published, PublishError> {
        parallel::try_map(stored, |stored| self.write_record(stored))?;
        self.swap(scope, stored)
    }

    fn uri(&self, planned: &Planned) -> String {
        self.objects.uri(&blob_key(planned))
    }

    /// Checks the stored blob, which may be an earlier build of the same content.
    fn read_back(&self, candidate: &Candidate) -> Result<Stored, PublishError> {
        let stored =
            |candidate: &Candidate| Stored { planned: candidate.into(), build: candidate.build.clone() };
        let key = blob_key(&candidate.into());
        // These bytes were checked before.
        if self.objects.holds(&key, &candidate.bytes)? {
            return Ok(stored(candidate));
        }
        let bytes = self.objects.read_at_most(&key, MAX_ARTIFACT_BYTES)?;
        let bytes = bytes.ok_or_else(|| PublishError::Vanished(self.objects.uri(&key)))?;
        let earlier = Candidate::check(&candidate.key, &candidate.build.version, bytes.into(), self.limits)
            .map_err(|problem| PublishError::Blob { uri: self.objects.uri(&key), problem })?;
        Ok(stored(&earlier))
    }

    fn write_record(&self, stored: &Stored) -> Result<(), PublishError> {
        let Stored { planned, build } = stored;
        let (scope, kind) = (&planned.key.scope, planned.key.kind);
        let record = Record::new(planned.key.clone(), build.clone(), planned.bytes, self.uri(planned));
        let key = layout::record(scope, kind, &record.version);
        if self.registry.put(&key, &readable(&record), Condition::Absent)? == Commit::Refused {
            // Written by an earlier publish: time and place may differ, the artifact may not.
            Registry::new(self.registry).record(scope, kind, &record.version)?;
            Self::vanished(self.registry, &key)?.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// The error to report if a document that was written or found is gone.
    fn vanished(store: &dyn Store, key: &str) -> Result<Option<PublishError>, StoreError> {
        Ok(store.stat(key)?.is_none().then(|| PublishError::Vanished(store.uri(key))))
    }

    /// The key of a kind's current artifact: from its record, or else from the blob itself.
    fn current_key(&self, scope: &Scope, kind: Kind, uri: &str) -> Result<Option<ArtifactKey>, PublishError> {
        if let Some(record) = Registry::new(self.registry).record(scope, kind, version_in(uri))? {
            return Ok(Some(record.artifact_key()));
        }
        match read_blob(self.objects, scope, kind, uri) {
            Ok(blob) => Ok(Some(blob.key)),
            Err(BlobError::Store(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// The new pointers and the fate of each candidate.
    fn judge<'p>(
        &self,
        scope: &Scope,
        current: Option<&Manifest>,
        holds: &Holds,
        candidates: impl IntoIterator<Item = &'p Planned>,
        stage: Stage,
    ) -> Result<(BTreeMap<Kind, String>, Vec<PublishOutcome>), PublishError> {
        let none = BTreeMap::new();
        let old = current.map_or(&none, |manifest| &manifest.current);
        let mut pointers = old.clone();
        let mut fates = Vec::new();
        // The newest candidate of each kind, with its index.
        let mut newest: BTreeMap<Kind, (usize, &Planned)> = BTreeMap::new();
        for (number, candidate) in candidates.into_iter().enumerate() {
            fates.push(PublishOutcome::Superseded);
            let entry = newest.entry(candidate.key.kind).or_insert((number, candidate));
            if candidate.key.window.end() >= entry.1.key.window.end() {
                *entry = (number, candidate);
            }
        }
        for (kind, (number, candidate)) in newest {
            let uri = self.uri(candidate);
            fates[number] = match old.get(&kind) {
                Some(old) if *old == uri => PublishOutcome::AlreadyCurrent,
                _ if holds.contains_key(&kind) => PublishOutcome::Held,
                Some(old) => self.judge_move(scope, candidate, old, stage)?,
                // Any event gives popularity a row; the other kinds may be empty.
                None if candidate.rows == 0 && kind == Kind::Popularity && !self.options.allow_empty => {
                    return Err(PublishError::EmptyFirst { kind, scope: Box::new(scope.clone()) });
                }
                None => PublishOutcome::Published,
            };
            if fates[number] == PublishOutcome::Published {
                pointers.insert(kind, uri);
            }
        }
        Ok((pointers, fates))
    }

    /// Whether a kind may move from the artifact at `old` to `candidate`.
    fn judge_move(
        &self,
        scope: &Scope,
        candidate: &Planned,
        old: &str,
        stage: Stage,
    ) -> Result<PublishOutcome, PublishError> {
        let kind = candidate.key.kind;
        let Some(current) = self.current_key(scope, kind, old)? else {
            if self.options.allow_older_window {
                return Ok(PublishOutcome::Published);
            }
            return Err(PublishError::UnknownCurrent { kind, uri: old.to_owned() });
        };
        if current.segment != candidate.key.segment && !self.options.switch_segment {
            return Err(PublishError::SegmentSwitch {
                kind,
                current: current.segment_folder().to_owned(),
                new: candidate.key.segment_folder().to_owned(),
            });
        }
        if candidate.key.window.end() < current.window.end() && !self.options.allow_older_window {
            return Ok(PublishOutcome::OlderWindow);
        }
        if candidate.rows == 0 && !self.options.allow_empty && self.has_rows(scope, kind, old)? {
            return Err(PublishError::Empty { kind });
        }
        // Artifacts of different segments cannot be compared.
        let comparable = stage == Stage::Swap && current.segment == candidate.key.segment;
        if let Some(most) = self.options.max_change.filter(|_| comparable) {
            let moves = self.moves(scope, candidate, old)?;
            let moves: Vec<Move> = moves.into_iter().filter(|number| number.exceeds(most)).collect();
            if !moves.is_empty() {
                return Err(PublishError::Changed { kind, moves, most });
            }
        }
        if let Some(allowed) = self.options.max_top_change.filter(|_| comparable) {
            self.judge_top(scope, candidate, old, allowed)?;
        }
        Ok(PublishOutcome::Published)
    }

    /// Refuses an artifact if too many of its first items differ from those of the current one.
    fn judge_top(
        &self,
        scope: &Scope,
        candidate: &Planned,
        old: &str,
        allowed: TopChange,
    ) -> Result<(), PublishError> {
        let TopChange { most, of } = allowed;
        let kind = candidate.key.kind;
        let Some(before) = self.top(scope, kind, old, of)? else { return Ok(()) };
        let after = self.top(scope, kind, &self.uri(candidate), of)?.unwrap_or_default();
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
    fn top(
        &self,
        scope: &Scope,
        kind: Kind,
        uri: &str,
        count: usize,
    ) -> Result<Option<Vec<String>>, PublishError> {
        let read = BlobBytes::read(self.objects, scope, kind, uri, None);
        let top = read.and_then(|bytes| {
            let artifact = bytes.artifact()?;
            Ok(artifact.payload.outline().top(count).into_iter().map(str::to_owned).collect())
        });
        match top {
            Ok(top) => Ok(Some(top)),
            Err(BlobError::Store(error)) => Err(error.into()),
            Err(source @ BlobError::Elsewhere { .. }) => Err(PublishError::Incomparable { kind, source }),
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. } | BlobError::Other { .. }) => Ok(None),
        }
    }

    /// Rows and bytes of the current artifact and its successor; empty if the current one is gone or damaged.
    fn moves(&self, scope: &Scope, candidate: &Planned, old: &str) -> Result<Vec<Move>, PublishError> {
        let kind = candidate.key.kind;
        let current = match read_blob(self.objects, scope, kind, old) {
            Ok(current) => current,
            Err(BlobError::Store(error)) => return Err(error.into()),
            Err(source @ BlobError::Elsewhere { .. }) => {
                return Err(PublishError::Incomparable { kind, source });
            }
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. } | BlobError::Other { .. }) => {
                return Ok(Vec::new());
            }
        };
        let rows =
            Move { what: kind.rows_of().as_str(), before: current.rows as u64, after: candidate.rows as u64 };
        Ok(vec![rows, Move { what: "bytes", before: current.bytes, after: candidate.bytes }])
    }

    /// Whether the current artifact of a kind has rows. One in another object store counts as having some; one that is
    /// gone or damaged does not.
    fn has_rows(&self, scope: &Scope, kind: Kind, uri: &str) -> Result<bool, PublishError> {
        match read_blob(self.objects, scope, kind, uri) {
            Ok(blob) => Ok(blob.rows > 0),
            Err(BlobError::Store(error)) => Err(error.into()),
            Err(BlobError::Elsewhere { .. }) => Ok(true),
            Err(BlobError::Missing { .. } | BlobError::Damaged { .. } | BlobError::Other { .. }) => Ok(false),
        }
    }

    fn swap(&self, scope: &Scope, candidates: &[Stored]) -> Result<Published, PublishError> {
        let registry = Registry::new(self.registry).at(self.horizon);
        let (mut fates, mut seen, mut held) = (Vec::new(), None, Holds::new());
        let Self { by, run_id, note, now, horizon, timeouts, .. } = self;
        let change = Change {
            reason: Reason::Publish,
            by: by.clone(),
            run_id: run_id.clone(),
            note: note.clone(),
            now: *now,
            horizon: *horizon,
            timeouts: *timeouts,
        };
        let decide = |current: Option<&Manifest>| {
            // Read after the manifest and before it is replaced: see `hold`.
            held = registry.holds(scope)?;
            let planned = candidates.iter().map(|stored| &stored.planned);
            let (pointers, judged) = self.judge(scope, current, &held, planned.clone(), Stage::Swap)?;
            let is_held = |kind: &Kind| {
                planned
                    .clone()
                    .zip(&judged)
                    .any(|(planned, fate)| (planned.key.kind, *fate) == (*kind, PublishOutcome::Held))
            };
            held.retain(|kind, _| is_held(kind));
            fates = judged;
            seen = current.cloned();
            Ok::<_, PublishError>(fates.contains(&PublishOutcome::Published).then_some(pointers))
        };
        let confirm = |manifest: &Manifest| {
            let planned = candidates.iter().map(|stored| &stored.planned);
            let named =
                planned.filter(|planned| manifest.current.get(&planned.key.kind) == Some(&self.uri(planned)));
            let gone = parallel::try_map(named.collect::<Vec<_>>(), |planned| {
                let record = layout::record(scope, planned.key.kind, &planned.version);
                match Self::vanished(self.objects, &blob_key(planned))? {
                    None => Self::vanished(self.registry, &record),
                    gone => Ok(gone),
                }
            })?;
            Ok(gone.into_iter().flatten().next())
        };
        let manifest = registry.swap(scope, &change, decide, confirm)?;
        let swapped = manifest.is_some();
        Ok(Published { fates, manifest: registry.name(scope), swapped, current: manifest.or(seen), held })
    }
}
