//! The registry: manifests, records and history, and the one way in which a manifest changes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::format::{V1, readable};
use super::history::{HistoryEntry, Reason};
use super::manifest::Manifest;
use super::record::Record;
use crate::artifact::Kind;
use crate::id::Scope;
use crate::storage::{Commit, Condition, Store, StoreError, Tag};

/// Lost races after which a swap gives up. Each one means that another publisher succeeded.
const MAX_ATTEMPTS: u32 = 100;

/// Why the registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not of its schema.
    #[error("{name} is not a {what}: {source}")]
    Document {
        /// The document.
        name: String,
        /// What it should be.
        what: &'static str,
        /// Where it departs from that.
        source: serde_json::Error,
    },
    /// The manifest says it is of something else.
    #[error("{name} is the manifest of {actual}; was it copied from there?")]
    Stranger {
        /// The manifest.
        name: String,
        /// What it says it is of.
        actual: Scope,
    },
    /// A record says that it is of something else than its name does.
    #[error("{0} is the record of another artifact; move it away")]
    OtherRecord(String),
    /// Other publishers were faster every time.
    #[error("{0} changed under every attempt to swap it; try again")]
    Contended(String),
}

/// Why, by whom and when a manifest is swapped.
#[derive(Debug, Clone)]
pub struct Change {
    /// Why.
    pub reason: Reason,
    /// User and host.
    pub by: String,
    /// When.
    pub now: Timestamp,
}

/// The registry in a store.
#[derive(Debug, Clone, Copy)]
pub struct Registry<'a> {
    store: &'a dyn Store,
}

impl<'a> Registry<'a> {
    /// The registry in `store`.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    /// What messages call the manifest of `scope`.
    pub fn name(&self, scope: &Scope) -> String {
        self.store.name(&Manifest::key(scope))
    }

    /// The current manifest, if there is one, and the tag of its state.
    pub fn manifest(&self, scope: &Scope) -> Result<Option<(Manifest, Tag)>, RegistryError> {
        let key = Manifest::key(scope);
        let Some((bytes, tag)) = self.store.read_tagged(&key)? else { return Ok(None) };
        let manifest: Manifest = self.parse(&key, "manifest", &bytes)?;
        let actual = Scope { tenant: manifest.tenant.clone(), surface: manifest.surface.clone() };
        if actual != *scope {
            return Err(RegistryError::Stranger { name: self.store.name(&key), actual });
        }
        Ok(Some((manifest, tag)))
    }

    /// The record of a version, if there is one.
    pub fn record(&self, scope: &Scope, kind: Kind, version: &str) -> Result<Option<Record>, RegistryError> {
        let key = Record::key(scope, kind, version);
        let Some(bytes) = self.store.read(&key)? else { return Ok(None) };
        let record: Record = self.parse(&key, "record", &bytes)?;
        let actual = record.artifact_key();
        if (actual.kind, &actual.scope, record.version.as_str()) != (kind, scope, version) {
            return Err(RegistryError::OtherRecord(self.store.name(&key)));
        }
        Ok(Some(record))
    }

    /// The tenants and surfaces that have a manifest.
    pub fn scopes(&self) -> Result<Vec<Scope>, RegistryError> {
        let keys = self.store.list("current")?;
        let scope = |key: &String| {
            let [_, tenant, surface, "manifest.json"] = key.split('/').collect::<Vec<_>>()[..] else {
                return None;
            };
            Some(Scope { tenant: tenant.parse().ok()?, surface: surface.parse().ok()? })
        };
        Ok(keys.iter().filter_map(scope).collect())
    }

    /// Every manifest that was current, newest first, at most `most` of them.
    ///
    /// The chain begins with the current manifest and follows `previous`; entries that nothing in it names
    /// are left out. It ends early where an entry is missing, as it is for a manifest that was current
    /// before there was a history.
    pub fn history(&self, scope: &Scope, most: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        let Some((current, _)) = self.manifest(scope)? else { return Ok(Vec::new()) };
        let keys = self.store.list(&HistoryEntry::folder(scope))?;
        let by_hash: BTreeMap<&str, &String> =
            keys.iter().filter_map(|key| Some((HistoryEntry::hash_in_key(key)?, key))).collect();
        let mut next = Some(current.hash());
        let mut entries = Vec::new();
        while let Some(key) = next.as_deref().and_then(|hash| by_hash.get(hash)) {
            if entries.len() == most {
                break;
            }
            let Some(bytes) = self.store.read(key)? else { break };
            let entry: HistoryEntry = self.parse(key, "history entry", &bytes)?;
            next.clone_from(&entry.previous);
            entries.push(entry);
        }
        Ok(entries)
    }

    fn parse<T: DeserializeOwned>(
        &self,
        key: &str,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<T, RegistryError> {
        let name = || self.store.name(key);
        serde_json::from_slice(bytes).map_err(|source| RegistryError::Document { name: name(), what, source })
    }

    /// Makes the pointers that `decide` returns current; `None` leaves everything as it is.
    ///
    /// `decide` sees the manifest that is replaced. It is asked again, with the new one, whenever another
    /// publisher was faster.
    pub fn swap<E: From<RegistryError>>(
        &self,
        scope: &Scope,
        change: &Change,
        mut decide: impl FnMut(Option<&Manifest>) -> Result<Option<BTreeMap<Kind, String>>, E>,
    ) -> Result<Option<Manifest>, E> {
        for _ in 0..MAX_ATTEMPTS {
            let (current, tag) = self.manifest(scope)?.unzip();
            let Some(pointers) = decide(current.as_ref())? else { return Ok(None) };
            let manifest = Manifest::following(current.as_ref(), scope, pointers, change.now);
            let previous = current.map(|current| current.hash());
            if self.replace(scope, change, &manifest, previous, tag)? {
                return Ok(Some(manifest));
            }
        }
        Err(RegistryError::Contended(self.name(scope)).into())
    }

    /// Writes the history entry, then the manifest if it is still in the state of `tag`.
    fn replace(
        &self,
        scope: &Scope,
        change: &Change,
        manifest: &Manifest,
        previous: Option<String>,
        tag: Option<Tag>,
    ) -> Result<bool, RegistryError> {
        let entry = HistoryEntry {
            v: V1,
            hash: manifest.hash(),
            previous,
            reason: change.reason,
            by: change.by.clone(),
            manifest: manifest.clone(),
        };
        self.store.put(&entry.key(scope), &readable(&entry), Condition::Absent)?;
        let condition = Condition::Still(tag);
        Ok(self.store.put(&Manifest::key(scope), &readable(manifest), condition)? == Commit::Written)
    }
}
