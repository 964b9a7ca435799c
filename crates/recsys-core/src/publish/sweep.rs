//! Removes garbage in batches: claim a batch, check again what is named, delete the rest, give the claims back.
//!
//! [Claims](super::claims) explains why no blob that a manifest names is deleted. A removal that fails leaves some
//! garbage, and claims on versions whose deletion may still happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::claims::{Abandoned, Claims, Collector, Remover};
use super::garbage::{Collection, Garbage, GarbageError, GarbageType};
use super::registry::Registry;
use crate::artifact::Kind;
use crate::domain::id::Scope;
use crate::storage::Store;
use crate::storage::layout::{self, version_in};
use crate::threads::parallel;

/// Versions claimed at a time: few enough that a dead collection blocks little, and enough that claiming takes little
/// time compared with deleting.
const BATCH: usize = 1000;

/// Outcome of a removal.
#[derive(Debug)]
pub struct Removed {
    /// The documents that were deleted. Documents that came into use in the meantime stay.
    pub garbage: Vec<Garbage>,
    /// Claims left by collections that have died.
    pub abandoned: Vec<Abandoned>,
}

/// A version and its documents, blob first: an interruption leaves at most a record without a blob.
type Version<'a> = ((Kind, String), Vec<&'a Garbage>);

impl Collection {
    /// Removes the garbage.
    ///
    /// # Errors
    /// Documents that were deleted before the failure are gone.
    pub fn remove(
        &self,
        registry: &dyn Store,
        objects: &dyn Store,
        scope: &Scope,
        remover: &Remover,
    ) -> Result<Removed, GarbageError> {
        let mut versions: BTreeMap<(Kind, String), Vec<&Garbage>> = BTreeMap::new();
        for garbage in &self.garbage {
            versions.entry((garbage.kind, garbage.version.clone())).or_default().push(garbage);
        }
        let versions: Vec<Version<'_>> = versions.into_iter().collect();
        let claims = Claims::new(registry, scope, remover.timeouts);
        if versions.is_empty() && claims.is_empty()? {
            return Ok(Removed { garbage: Vec::new(), abandoned: Vec::new() });
        }
        Registry::new(registry).check_store()?;
        let collector = claims.begin(remover)?;
        let sweep = Sweep {
            registry,
            objects,
            scope,
            collector: &collector,
            unsettled: Mutex::default(),
            has_failed: AtomicBool::new(false),
        };
        let outcome = sweep.remove(self, &versions);
        let unsettled = sweep.unsettled.into_inner();
        let ended = collector.end(&unsettled);
        let garbage = outcome?;
        ended?;
        Ok(Removed { garbage, abandoned: claims.abandoned()? })
    }
}

struct Sweep<'a> {
    registry: &'a dyn Store,
    objects: &'a dyn Store,
    scope: &'a Scope,
    collector: &'a Collector<'a>,
    /// Versions whose deletion may still happen.
    unsettled: Mutex<Vec<(Kind, String)>>,
    /// Set when a deletion has failed; no other one is started then.
    has_failed: AtomicBool,
}

impl Sweep<'_> {
    fn remove(
        &self,
        collection: &Collection,
        versions: &[Version<'_>],
    ) -> Result<Vec<Garbage>, GarbageError> {
        let mut gone = Vec::new();
        for batch in versions.chunks(BATCH) {
            let mut claimed: Vec<(Kind, String)> = batch.iter().map(|(version, _)| version.clone()).collect();
            self.collector.claim(&claimed)?;
            let named = self.named_since(&collection.kept.current)?;
            if claimed.iter().any(|version| named.contains(version)) {
                // A publisher that has announced them waits for these claims.
                claimed.retain(|version| !named.contains(version));
                self.collector.claim(&claimed)?;
            }
            let batch: Vec<&Version<'_>> =
                batch.iter().filter(|(version, _)| !named.contains(version)).collect();
            let removed = parallel::try_map(batch, |(_, documents)| self.remove_version(documents))?;
            gone.extend(removed.into_iter().flatten());
        }
        gone.sort();
        Ok(gone)
    }

    /// The versions named by the manifest and by all history entries since the entry `before`.
    ///
    /// A pending swap has an entry whose key is greater than that of the manifest that it replaces.
    fn named_since(&self, before: &str) -> Result<BTreeSet<(Kind, String)>, GarbageError> {
        let registry = Registry::new(self.registry);
        let current = registry.manifest(self.scope)?;
        let (current, _) = current.ok_or_else(|| GarbageError::NoManifest(registry.name(self.scope)))?;
        let replaced = layout::history_entry(self.scope, current.updated_at, &current.hash());
        let after = before.min(replaced.as_str());
        let listed = self.registry.list_after(&layout::history(self.scope), after)?;
        let entries = registry.entries_among(self.scope, listed)?;
        let manifests = entries.into_iter().map(|entry| entry.manifest).chain([current]);
        let pointers = manifests.flat_map(|manifest| manifest.current);
        Ok(pointers.map(|(kind, uri)| (kind, version_in(&uri).to_owned())).collect())
    }

    /// Deletes the documents of a version. Returns those that existed.
    fn remove_version(&self, documents: &[&Garbage]) -> Result<Vec<Garbage>, GarbageError> {
        let mut gone = Vec::new();
        for garbage in documents {
            if self.has_failed.load(Ordering::Relaxed) {
                break;
            }
            self.collector.check().inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))?;
            let store = match garbage.r#type {
                GarbageType::Blob => self.objects,
                GarbageType::Record => self.registry,
            };
            let removed = store.remove(&garbage.key(self.scope)).inspect_err(|error| {
                self.has_failed.store(true, Ordering::Relaxed);
                // A failed look, which comes before the deletion, has deleted nothing.
                if error.action == "remove" && error.may_still_happen() {
                    let version = (garbage.kind, garbage.version.clone());
                    self.unsettled.lock().push(version);
                }
            })?;
            if removed {
                gone.push((*garbage).clone());
            }
        }
        Ok(gone)
    }
}
