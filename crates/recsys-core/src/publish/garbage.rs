//! Garbage: blobs and records that nothing in the kept history names.
//!
//! Kept are: what the newest manifests name; what any manifest names that was current after a point in time; what the
//! history announces (a publish writes an entry before it swaps); and anything younger than that point in time, such as
//! the blobs of a running publish. [`Collection::remove`](super::sweep) deletes the rest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::claims::ClaimsError;
use super::history::HistoryEntry;
use super::registry::{Registry, RegistryError};
use crate::artifact::Kind;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::storage::layout::{self, version_in};
use crate::storage::{DocumentMeta, Store, StoreError};

/// Blobs of a kind without a record that pass for the rest of an interrupted publish.
const MOST_UNRECORDED: usize = 1;

/// Why garbage could not be found or removed.
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
    /// The history breaks off at the manifest of this hash, before the end of what is to be kept.
    #[error(
        "the history of {0} breaks off: there is no entry of the manifest {1:.12}, so what it names \
         cannot be kept"
    )]
    Gap(Scope, String),
    /// The registry names blobs of another object store.
    #[error(
        "the history of {scope} names {uri}, which is not in the object store {root}; registry_dir and \
         object_store_dir must be of the same environment, or the blobs of another one would be deleted"
    )]
    OtherStore {
        /// Tenant and surface.
        scope: Box<Scope>,
        /// URI of a blob that is to be kept.
        uri: String,
        /// URI of the object store.
        root: String,
    },
    /// The object store holds blobs of another registry.
    #[error(
        "{count} old blobs of {scope} in {root} have no record in {registry}: does another registry publish there, too? \
         if they are garbage all the same, pass --include-unrecorded"
    )]
    Unrecorded {
        /// Tenant and surface.
        scope: Box<Scope>,
        /// How many such blobs there are.
        count: usize,
        /// URI of the object store.
        root: String,
        /// URI of the registry.
        registry: String,
    },
}

impl GarbageError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Registry(error) => error.class(),
            Self::Claims(error) => error.class(),
            Self::Store(_) => None,
            Self::NoManifest(_) | Self::OtherStore { .. } => Some(Class::Usage),
            Self::Gap(..) | Self::Unrecorded { .. } => Some(Class::Refused),
        }
    }
}

/// What a collection keeps.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// The number of newest manifests, the current one included.
    pub manifests: usize,
    /// Also everything that was current or written after this time.
    pub since: Timestamp,
    /// Whether any number of blobs without a record is garbage.
    pub include_unrecorded: bool,
}

/// The type of a document.
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
    /// Blob or record.
    pub r#type: GarbageType,
    /// Kind of the artifact.
    pub kind: Kind,
    /// Version of the artifact.
    pub version: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last write.
    pub modified: Timestamp,
}

impl Garbage {
    /// Its key in the object store or registry.
    pub fn key(&self, scope: &Scope) -> String {
        match self.r#type {
            GarbageType::Blob => layout::blob(scope, self.kind, &self.version),
            GarbageType::Record => layout::record(scope, self.kind, &self.version),
        }
    }
}

/// The garbage of a tenant and surface, and what is kept.
#[derive(Debug, Clone)]
pub struct Collection {
    /// Number of manifests whose blobs are kept.
    pub kept_manifests: usize,
    /// The documents that nothing names: blobs, then records.
    pub garbage: Vec<Garbage>,
    pub(super) kept: Kept,
}

/// The documents of `scope` with names of the form `<kind>/<version>.json`. All others are left alone.
fn documents(of: GarbageType, store: &dyn Store, scope: &Scope) -> Result<Vec<Garbage>, StoreError> {
    let folder = match of {
        GarbageType::Blob => layout::blobs(scope),
        GarbageType::Record => layout::records(scope),
    };
    let document = |listed: DocumentMeta| {
        let (kind, version) = layout::kind_and_version(&folder, &listed.key)?;
        let (kind, version) = (kind.parse().ok()?, version.to_owned());
        Some(Garbage { r#type: of, kind, version, bytes: listed.bytes, modified: listed.modified })
    };
    Ok(store.list(&folder)?.into_iter().filter_map(document).collect())
}

impl Collection {
    /// Finds the garbage of `scope`. Removes nothing.
    pub fn find(
        registry_store: &dyn Store,
        objects: &dyn Store,
        scope: &Scope,
        keep: Keep,
    ) -> Result<Self, GarbageError> {
        // Listed first, so that documents written from here on are not in the lists.
        let mut blobs = documents(GarbageType::Blob, objects, scope)?;
        let mut records = documents(GarbageType::Record, registry_store, scope)?;
        let kept = Kept::find(&Registry::new(registry_store), scope, keep)?;
        let is_elsewhere =
            |(kind, uri): &&(Kind, String)| objects.uri(&layout::blob(scope, kind, version_in(uri))) != *uri;
        if let Some(uri) = kept.uris.iter().find(is_elsewhere) {
            let (uri, root) = (uri.1.clone(), objects.uri(""));
            return Err(GarbageError::OtherStore { scope: Box::new(scope.clone()), uri, root });
        }
        let kept_versions: BTreeSet<(Kind, &str)> =
            kept.uris.iter().map(|(kind, uri)| (*kind, version_in(uri))).collect();
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
        // A gap only matters if something would be deleted.
        if let Some(hash) = kept.gap.as_ref().filter(|_| !blobs.is_empty()) {
            return Err(GarbageError::Gap(scope.clone(), hash.clone()));
        }
        Ok(Self { kept_manifests: kept.manifests, garbage: blobs, kept })
    }
}

/// What is kept: the number of manifests, and what they and the announced ones name.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    manifests: usize,
    uris: BTreeSet<(Kind, String)>,
    /// The hash of a manifest that is to be kept but has no history entry.
    gap: Option<String>,
    /// The key of the current manifest's history entry; later announcements have greater keys.
    pub(super) current: String,
}

impl Kept {
    fn find(registry: &Registry<'_>, scope: &Scope, keep: Keep) -> Result<Self, GarbageError> {
        let mut uris = BTreeSet::new();
        let mut kept = 0;
        let mut current = None;
        let mut successor: Option<HistoryEntry> = None;
        registry.walk(scope, |entry| {
            // A manifest was current until its successor came.
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
        // The walk ended although more was to be kept.
        let gap = successor
            .filter(|oldest| kept < keep.manifests || oldest.manifest.updated_at > keep.since)
            .and_then(|oldest| oldest.previous);
        let mut young = registry.store().list(&layout::history(scope))?;
        // Announced after the current one: a swap that is about to happen, whatever the clocks say.
        young.retain(|listed| listed.modified > keep.since || listed.key > current);
        let young = registry.entries_among(scope, young)?.into_iter();
        uris.extend(young.flat_map(|entry| entry.manifest.current));
        Ok(Self { manifests: kept, uris, gap, current })
    }
}
