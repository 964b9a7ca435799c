//! Garbage: blobs and records that nothing in the kept history names.
//!
//! What is kept: what the newest manifests name, what any manifest names that was current after a point in time, what
//! the history announces (a publish that is about to swap has written an entry), and what is itself younger than that
//! point: the blobs of a publish that is running. [`Collection::remove`](super::sweep) deletes the rest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::blob::version_in;
use super::claims::ClaimsError;
use super::history::HistoryEntry;
use super::registry::{Registry, RegistryError};
use crate::artifact::Kind;
use crate::domain::id::Scope;
use crate::encoding::hash::is_sha256;
use crate::storage::{Listed, Store, StoreError};
use crate::threads::parallel;

/// Blobs of a kind without a record that are taken for what an interrupted publish has left.
const MOST_UNRECORDED: usize = 1;

/// Why garbage could not be told or removed.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another collection is in the way.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
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
    /// The registry names blobs of another object store.
    #[error(
        "the history of {scope} names {uri}, which is not in the object store {root}; registry_dir and \
         object_store_dir must be of the same environment, or the blobs of another one would be deleted"
    )]
    OtherStore {
        /// Whose history.
        scope: Box<Scope>,
        /// An address that is kept.
        uri: String,
        /// The object store.
        root: String,
    },
    /// The object store holds blobs of another registry.
    #[error(
        "{count} old blobs of {scope} in {root} have no record in {registry}: does another registry publish there, too? \
         if they are garbage all the same, pass --include-unrecorded"
    )]
    Unrecorded {
        /// Whose blobs.
        scope: Box<Scope>,
        /// How many there are.
        count: usize,
        /// The object store.
        root: String,
        /// The registry.
        registry: String,
    },
}

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// So many manifests, the current one included.
    pub manifests: usize,
    /// And what was current or written after this.
    pub since: Timestamp,
    /// Whether any number of blobs without a record is garbage.
    pub include_unrecorded: bool,
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
    /// Its size.
    pub bytes: u64,
    /// When it was last written.
    pub modified: Timestamp,
}

impl Garbage {
    /// Its key in the object store or registry.
    pub fn key(&self, scope: &Scope) -> String {
        let Self { kind, version, .. } = self;
        format!("{}/{kind}/{version}.json", folder(self.r#type, scope))
    }
}

/// The folder of blobs in an object store, or of records in a registry.
fn folder(of: GarbageType, scope: &Scope) -> String {
    match of {
        GarbageType::Blob => scope.prefix(),
        GarbageType::Record => format!("records/{}", scope.prefix()),
    }
}

/// The garbage of a tenant and surface.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Manifests whose blobs are kept.
    pub kept_manifests: usize,
    /// What nothing names: blobs first.
    pub garbage: Vec<Garbage>,
    pub(super) kept: Kept,
}

/// The documents of `scope` that are named `<kind>/<version>.json`. Others are not touched.
fn documents(of: GarbageType, store: &dyn Store, scope: &Scope) -> Result<Vec<Garbage>, StoreError> {
    let folder = folder(of, scope);
    let document = |listed: Listed| {
        let (kind, file) = listed.key.strip_prefix(&folder)?.strip_prefix('/')?.split_once('/')?;
        let version = file.strip_suffix(".json").filter(|version| is_sha256(version))?.to_owned();
        let Listed { bytes, modified, .. } = listed;
        Some(Garbage { r#type: of, kind: kind.parse().ok()?, version, bytes, modified })
    };
    Ok(store.list(&folder)?.into_iter().filter_map(document).collect())
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
        let mut blobs = documents(GarbageType::Blob, objects, scope)?;
        let mut records = documents(GarbageType::Record, registry_store, scope)?;
        let kept = Kept::find(registry_store, &registry, scope, keep)?;
        if let Some(uri) = kept.uris.iter().find(|(kind, uri)| {
            let key = format!("{}/{kind}/{}.json", scope.prefix(), version_in(uri));
            objects.uri(&key) != *uri
        }) {
            let (uri, root) = (uri.1.clone(), objects.uri(""));
            return Err(GarbageError::OtherStore { scope: Box::new(scope.clone()), uri, root });
        }
        let kept_versions: BTreeSet<(Kind, &str)> = kept.versions().collect();
        let is_garbage = |document: &Garbage| {
            document.modified <= keep.since
                && !kept_versions.contains(&(document.kind, document.version.as_str()))
        };
        blobs.retain(is_garbage);
        if !keep.include_unrecorded {
            let recorded: BTreeSet<(Kind, &str)> =
                records.iter().map(|record| (record.kind, record.version.as_str())).collect();
            let is_unrecorded = |blob: &&Garbage| !recorded.contains(&(blob.kind, blob.version.as_str()));
            let count = blobs.iter().filter(is_unrecorded).count();
            let of_kind =
                |kind: &Kind| blobs.iter().filter(is_unrecorded).filter(|blob| blob.kind == *kind).count();
            if Kind::ALL.iter().any(|kind| of_kind(kind) > MOST_UNRECORDED) {
                let (root, registry) = (objects.uri(""), registry_store.uri(""));
                let scope = Box::new(scope.clone());
                return Err(GarbageError::Unrecorded { scope, count, root, registry });
            }
        }
        records.retain(is_garbage);
        drop(kept_versions);
        blobs.append(&mut records);
        // Where nothing would be deleted, nothing that should be kept is in danger.
        if let Some(hash) = kept.gap.as_ref().filter(|_| !blobs.is_empty()) {
            return Err(GarbageError::Gap { scope: scope.clone(), hash: hash.clone() });
        }
        Ok(Self { kept_manifests: kept.manifests, garbage: blobs, kept })
    }
}

/// What is kept: how many manifests, and what they and the announced ones name.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    manifests: usize,
    uris: BTreeSet<(Kind, String)>,
    /// The hash of a manifest that is to be kept, and is not in the history.
    gap: Option<String>,
    /// The key of the current manifest's history entry: what is announced from here on has a greater one.
    pub(super) current: String,
}

impl Kept {
    fn find(
        store: &dyn Store,
        registry: &Registry<'_>,
        scope: &Scope,
        keep: Keep,
    ) -> Result<Self, GarbageError> {
        let mut uris = BTreeSet::new();
        let mut kept = 0;
        let mut current = None;
        let mut successor: Option<HistoryEntry> = None;
        registry.walk(scope, |entry| {
            // A manifest was current until the one after it came.
            let was_current =
                successor.as_ref().is_none_or(|successor| successor.manifest.updated_at > keep.since);
            if kept >= keep.manifests && !was_current {
                successor = None;
                return false;
            }
            kept += 1;
            uris.extend(entry.manifest.current.clone());
            current.get_or_insert_with(|| entry.key(scope));
            successor = Some(entry);
            true
        })?;
        let Some(current) = current else { return Err(GarbageError::NoManifest(registry.name(scope))) };
        // The walk has ended by itself, although more was to be kept.
        let gap = successor
            .filter(|oldest| kept < keep.manifests || oldest.manifest.updated_at > keep.since)
            .and_then(|oldest| oldest.previous);
        let young = store.list(&HistoryEntry::folder(scope))?.into_iter();
        // Announced since the current one: of a swap that is about to happen, whatever the clocks say.
        let is_young = |listed: &Listed| listed.modified > keep.since || listed.key > current;
        let is_entry = |listed: &Listed| HistoryEntry::hash_in_key(&listed.key).is_some();
        let young: Vec<Listed> = young.filter(|listed| is_entry(listed) && is_young(listed)).collect();
        let young = parallel::try_map(&young, |listed| registry.entry(scope, &listed.key))?;
        uris.extend(young.into_iter().flatten().flat_map(|entry| entry.manifest.current));
        Ok(Self { manifests: kept, uris, gap, current })
    }

    fn versions(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.uris.iter().map(|(kind, uri)| (*kind, version_in(uri)))
    }
}
