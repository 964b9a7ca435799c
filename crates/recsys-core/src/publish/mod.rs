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
//!
//! # From a build to the manifest
//!
//! An artifact is one type after the other:
//!
//! | type | what holds |
//! |---|---|
//! | [`Draft`](crate::artifact::Draft) | its rows are encoded and its version is known; the hash of its source may not be |
//! | [`Encoded`](crate::artifact::Encoded) | its document is complete, in memory |
//! | [`Staged`](crate::staging::Staged) | its document is handed on to a publisher, which has not checked anything yet |
//! | [`Checked`] | its document has passed every check that needs no other artifact |
//! | [`Stored`] | its blob is in place and intact; its document need not be in memory any more |
//! | [`PublishOutcome`] | its entry in the manifest, or why it has none |
//!
//! A [`Descriptor`] says what an artifact is, without its content, from [`Encoded`](crate::artifact::Encoded) on.

mod blob;
mod checked;
mod claims;
mod compare_and_swap;
mod error;
mod format;
mod garbage;
mod history;
mod hold;
mod judge;
mod lost;
mod manifest;
mod record;
mod registry;
mod rollback;
mod sweep;

pub use blob::{BlobBytes, BlobError, NamedBlob, read_blob};
pub use checked::{Checked, Stored, Unfit};
pub use claims::{Abandoned, ClaimsError, LeaseTimeouts, Remover, release, uptime};
pub use error::PublishError;
pub use format::V1;
pub use garbage::{Collection, Garbage, GarbageError, GarbageType, Keep};
pub use history::{HistoryEntry, LookupError, Reason, by_hash};
pub use hold::{Held, Hold, Holds, describe};
pub use judge::{Options, PublishOutcome, TopChange};
pub use manifest::{Manifest, is_from_the_future};
pub use record::Record;
pub use registry::{Change, Registry, RegistryError};
pub use rollback::{RollbackError, RollbackPlan, Target};
pub use sweep::Removed;

use judge::Judge;

use crate::artifact::Descriptor;
use crate::domain::id::Scope;
use crate::domain::limit::Limits;
use crate::encoding::json::readable;
use crate::storage::{Commit, Condition, MAX_ARTIFACT_BYTES, Pending, Store, StoreError, create_if_missing};
use crate::threads::parallel;

/// Outcome of a publish.
#[derive(Debug, Clone)]
pub struct Published {
    /// The fate of each artifact, in the order given.
    pub outcomes: Vec<PublishOutcome>,
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
    /// By whom and when the manifest is swapped.
    pub change: Change,
    /// What may be done beyond the safe default.
    pub options: Options,
}

/// A blob that is not visible yet. Dropping it discards it.
pub struct PreparedBlob<'a> {
    key: String,
    pending: Box<dyn Pending + 'a>,
    bytes: &'a [u8],
    /// Whether it was read back and is intact.
    has_arrived: bool,
}

impl Publisher<'_> {
    /// Makes those checks of [`Self::finish`] that need no stored blob, before anything is written. All artifacts are
    /// of `scope`.
    pub fn plan<'d>(
        &self,
        scope: &Scope,
        artifacts: impl IntoIterator<Item = &'d Descriptor>,
    ) -> Result<(), PublishError> {
        let registry = Registry::new(self.registry).at(self.change.horizon);
        let (current, _) = registry.manifest(scope)?.unzip();
        let holds = registry.holds(scope)?;
        // Large changes are refused at the swap: the blobs are stored by then, and people can look at them.
        let options = Options { max_change: None, max_top_change: None, ..self.options.clone() };
        let (_, outcomes) = self.judge(scope, options).judge(current.as_ref(), &holds, artifacts)?;
        if outcomes.contains(&PublishOutcome::Published) {
            registry.check_store()?;
        }
        Ok(())
    }

    fn judge<'a>(&'a self, scope: &'a Scope, options: Options) -> Judge<'a> {
        Judge { objects: self.objects, registry: Registry::new(self.registry), options, scope }
    }

    /// Writes a blob and reads it back, as far as the store can do so invisibly, before its document has passed every check.
    pub fn prepare<'p>(
        &'p self,
        artifact: &Descriptor,
        bytes: &'p [u8],
    ) -> Result<PreparedBlob<'p>, PublishError> {
        let key = artifact.blob_key();
        let mut pending = self.objects.prepare(&key, bytes)?;
        let has_arrived = pending.has_arrived(bytes)?;
        Ok(PreparedBlob { key, pending, bytes, has_arrived })
    }

    /// Puts the blob of a checked document in place, reads it back unless that is done already, and checks it.
    ///
    /// This makes nothing current; [`Self::finish`] does. A range of days is stored day by day, so that only one day's
    /// documents need to be in memory.
    pub fn store(&self, prepared: PreparedBlob<'_>, checked: &Checked) -> Result<Stored, PublishError> {
        let PreparedBlob { key, pending, bytes, has_arrived } = prepared;
        // The bytes that were read back are the ones that were checked.
        let is_known = has_arrived
            && key == checked.descriptor.blob_key()
            && std::ptr::eq(bytes, checked.bytes.as_ref());
        let commit = match pending.commit(Condition::Absent) {
            // The server does not support conditions; a blob of the same name has the same content.
            Err(error) if error.is_unsupported() => create_if_missing(self.objects, &key, bytes)?,
            commit => commit?,
        };
        if commit == Commit::Written
            && is_known
            && self.objects.stat(&key)?.is_some_and(|listed| listed.bytes == checked.descriptor.bytes)
        {
            return Ok(Stored::new(checked));
        }
        self.read_back(checked)
    }

    /// Checks the stored blob, which may be an earlier build of the same content.
    fn read_back(&self, checked: &Checked) -> Result<Stored, PublishError> {
        let Descriptor { key, build, .. } = &checked.descriptor;
        let blob = checked.descriptor.blob_key();
        // These bytes were checked before.
        if self.objects.holds(&blob, &checked.bytes)? {
            return Ok(Stored::new(checked));
        }
        let bytes = self.objects.read_at_most(&blob, MAX_ARTIFACT_BYTES)?;
        let bytes = bytes.ok_or_else(|| PublishError::Vanished(self.objects.uri(&blob)))?;
        let earlier = Checked::new(key, &build.version, bytes.into(), self.limits)
            .map_err(|problem| PublishError::Blob { uri: self.objects.uri(&blob), problem })?;
        Ok(Stored::new(&earlier))
    }

    /// Writes the records of stored artifacts and makes them current, with one swap.
    ///
    /// # Errors
    /// After any error, the manifest is wholly the old one or wholly the new one.
    pub fn finish(&self, scope: &Scope, stored: &[Stored]) -> Result<Published, PublishError> {
        let artifacts: Vec<&Descriptor> = stored.iter().map(Stored::descriptor).collect();
        parallel::try_map(&artifacts, |artifact| self.write_record(artifact))?;
        self.swap(scope, &artifacts)
    }

    fn write_record(&self, artifact: &Descriptor) -> Result<(), PublishError> {
        let key = artifact.record_key();
        let record = Record::new(artifact.clone(), self.objects.uri(&artifact.blob_key()));
        if self.registry.put(&key, &readable(&record), Condition::Absent)? == Commit::Refused {
            // Written by an earlier publish: time and place may differ, the artifact may not.
            let Descriptor { key: of, build, .. } = artifact;
            Registry::new(self.registry).record(&of.scope, of.kind, &build.version)?;
            vanished(self.registry, &key)?.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    fn swap(&self, scope: &Scope, artifacts: &[&Descriptor]) -> Result<Published, PublishError> {
        let registry = Registry::new(self.registry).at(self.change.horizon);
        let (mut outcomes, mut seen, mut held) = (Vec::new(), None, Holds::new());
        let judge = self.judge(scope, self.options.clone());
        let decide = |current: Option<&Manifest>| {
            // Read after the manifest and before it is replaced: see `hold`.
            held = registry.holds(scope)?;
            let pointers;
            (pointers, outcomes) = judge.judge(current, &held, artifacts.iter().copied())?;
            let of_kind = |kind| artifacts.iter().zip(&outcomes).filter(move |(it, _)| it.key.kind == kind);
            held.retain(|kind, _| of_kind(*kind).any(|(_, outcome)| *outcome == PublishOutcome::Held));
            seen = current.cloned();
            Ok::<_, PublishError>(outcomes.contains(&PublishOutcome::Published).then_some(pointers))
        };
        let confirm = |manifest: &Manifest| {
            let is_named = |artifact: &&&Descriptor| {
                let uri = manifest.current.get(&artifact.key.kind);
                uri.is_some_and(|uri| *uri == self.objects.uri(&artifact.blob_key()))
            };
            let gone =
                parallel::try_map(artifacts.iter().filter(is_named).collect::<Vec<_>>(), |artifact| {
                    match vanished(self.objects, &artifact.blob_key())? {
                        None => vanished(self.registry, &artifact.record_key()),
                        gone => Ok(gone),
                    }
                })?;
            Ok(gone.into_iter().flatten().next())
        };
        let manifest = registry.swap(scope, Reason::Publish, &self.change, decide, confirm)?;
        let swapped = manifest.is_some();
        Ok(Published { outcomes, manifest: registry.name(scope), swapped, current: manifest.or(seen), held })
    }
}

/// The error to report if a document that was written or found is gone.
fn vanished(store: &dyn Store, key: &str) -> Result<Option<PublishError>, StoreError> {
    Ok(store.stat(key)?.is_none().then(|| PublishError::Vanished(store.uri(key))))
}
