//! Garbage: blobs and records that nothing in the kept history names.
//!
//! What is kept: what the newest manifests name, what any manifest names that was current after a point in
//! time, what any history entry names that was written after it (a publish that is about to swap has written
//! one), and whatever is itself younger than that: the blobs of a publish that is running. One that makes old
//! blobs current again is kept apart from a collection by its [lease].

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::blob::version_in;
use super::history::HistoryEntry;
use super::lease;
use super::registry::{Registry, RegistryError};
use crate::artifact::Kind;
use crate::hash::is_sha256;
use crate::id::Scope;
use crate::parallel;
use crate::storage::{Listed, Store, StoreError};

/// Documents removed under one lease.
const BATCH: usize = 100;

/// Why garbage could not be told or removed.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no manifest.
    #[error("{0} does not exist; without it nobody can tell what is garbage")]
    NoManifest(String),
    /// Part of the history that is to be kept cannot be read.
    #[error(
        "the history of {scope} breaks off: there is no entry of the manifest {hash:.12}, so what it names \
         cannot be kept"
    )]
    Gap {
        /// Whose history.
        scope: Scope,
        /// The hash of the manifest whose entry is missing.
        hash: String,
    },
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// So many manifests, the current one included.
    pub manifests: usize,
    /// And whatever was current or written after this.
    pub since: Timestamp,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageType {
    /// A blob of the object store.
    Blob,
    /// A record of the registry.
    Record,
}

/// A document that nothing names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Garbage {
    /// What it is.
    pub r#type: GarbageType,
    /// Of which kind.
    pub kind: Kind,
    /// Of which version.
    pub version: String,
    /// Where it is.
    pub uri: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
    /// Its key in the store.
    #[serde(skip)]
    key: String,
}

/// The garbage of a tenant and surface.
#[derive(Debug, Clone, Serialize)]
pub struct Collection {
    /// Manifests whose blobs are kept.
    pub kept_manifests: usize,
    /// What nothing names: blobs first.
    pub garbage: Vec<Garbage>,
}

/// Kind and version of what lies below `folder` as `<kind>/<version>.json`. Anything else is nobody's garbage.
fn named<'a>(folder: &str, key: &'a str) -> Option<(Kind, &'a str)> {
    let (kind, file) = key.strip_prefix(folder)?.strip_prefix('/')?.split_once('/')?;
    let version = file.strip_suffix(".json").filter(|version| is_sha256(version))?;
    Some((kind.parse().ok()?, version))
}

impl Collection {
    /// Finds the garbage of `scope`. Nothing is removed.
    pub fn find(
        registry_store: &dyn Store,
        objects: &dyn Store,
        scope: &Scope,
        keep: Keep,
    ) -> Result<Self, GarbageError> {
        let registry = Registry::new(registry_store);
        // What there is comes first: what is written from here on is not in the lists.
        let blob_folder = scope.prefix();
        let record_folder = format!("records/{blob_folder}");
        let blobs = objects.list(&blob_folder)?;
        let records = registry_store.list(&record_folder)?;
        let (kept_manifests, versions) = kept(registry_store, &registry, scope, keep)?;
        let garbage = |listed: Listed, folder: &str, r#type, store: &dyn Store| {
            let (kind, version) = named(folder, &listed.key)?;
            let version = version.to_owned();
            let is_old = listed.modified <= keep.since;
            let garbage = is_old && !versions.contains(&(kind, version.clone()));
            let Listed { key, bytes, modified } = listed;
            garbage.then(|| Garbage { r#type, kind, version, uri: store.uri(&key), bytes, modified, key })
        };
        let blobs =
            blobs.into_iter().filter_map(|blob| garbage(blob, &blob_folder, GarbageType::Blob, objects));
        let records = records
            .into_iter()
            .filter_map(|record| garbage(record, &record_folder, GarbageType::Record, registry_store));
        Ok(Self { kept_manifests, garbage: blobs.chain(records).collect() })
    }

    /// Removes the garbage, in the name of `by`. Returns what was removed: what has come into use in the
    /// meantime stays.
    pub fn remove(
        &self,
        registry: &dyn Store,
        objects: &dyn Store,
        scope: &Scope,
        keep: Keep,
        by: &str,
    ) -> Result<Vec<Garbage>, GarbageError> {
        let mut removed = Vec::with_capacity(self.garbage.len());
        // Publishers wait while a batch is removed, and get their turn after it.
        for batch in self.garbage.chunks(BATCH) {
            removed.extend(lease::hold(registry, scope, by, |is_held| {
                let now: BTreeSet<Garbage> =
                    Self::find(registry, objects, scope, keep)?.garbage.into_iter().collect();
                let batch: Vec<&Garbage> = batch.iter().filter(|garbage| now.contains(garbage)).collect();
                let gone = parallel::try_map(&batch, |garbage| match garbage.r#type {
                    _ if !is_held() => Ok(false),
                    GarbageType::Blob => objects.remove(&garbage.key),
                    GarbageType::Record => registry.remove(&garbage.key),
                })?;
                let gone = batch.into_iter().zip(gone).filter(|(_, gone)| *gone);
                Ok::<_, GarbageError>(gone.map(|(garbage, _)| garbage.clone()).collect::<Vec<_>>())
            })?);
        }
        Ok(removed)
    }
}

/// How many manifests are kept, and the versions that they name.
fn kept(
    store: &dyn Store,
    registry: &Registry<'_>,
    scope: &Scope,
    keep: Keep,
) -> Result<(usize, BTreeSet<(Kind, String)>), GarbageError> {
    let chain = registry.history(scope, usize::MAX)?;
    if chain.is_empty() {
        return Err(GarbageError::NoManifest(registry.name(scope)));
    }
    // A manifest was current until the one after it came.
    let was_current = |at: usize| at == 0 || chain[at - 1].manifest.updated_at > keep.since;
    let count = (0..chain.len()).take_while(|at| *at < keep.manifests || was_current(*at)).count();
    if count == chain.len()
        && (count < keep.manifests || was_current(count))
        && let Some(HistoryEntry { previous: Some(hash), .. }) = chain.last()
    {
        return Err(GarbageError::Gap { scope: scope.clone(), hash: hash.clone() });
    }
    let young = store.list(&HistoryEntry::folder(scope))?.into_iter();
    // Announced since the current one: of a swap that is about to happen, whatever the clocks say.
    let current = &chain[0].key(scope);
    let is_young = |listed: &Listed| listed.modified > keep.since || listed.key > *current;
    let is_entry = |listed: &Listed| HistoryEntry::hash_in_key(&listed.key).is_some();
    let young: Vec<Listed> = young.filter(|listed| is_entry(listed) && is_young(listed)).collect();
    let young = parallel::try_map(&young, |listed| registry.entry(scope, &listed.key))?;
    let entries = chain[..count].iter().chain(young.iter().flatten());
    let pointers = entries.flat_map(|entry| &entry.manifest.current);
    Ok((count, pointers.map(|(kind, uri)| (*kind, version_in(uri).to_owned())).collect()))
}
