//! The registry: manifests, records and history, and the one way in which a manifest changes.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::format::V1;
use super::history::{HistoryEntry, Reason};
use super::lease;
use super::manifest::Manifest;
use super::record::Record;
use crate::artifact::Kind;
use crate::id::Scope;
use crate::interrupt;
use crate::json::readable;
use crate::storage::{Commit, Condition, Conditions, Listed, Store, StoreError, Tag};

/// Lost races after which a swap gives up. Each one means that another publisher succeeded.
const MAX_ATTEMPTS: usize = 100;

/// Why the registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not of its schema.
    #[error("{name} is not a {what}: {source}; {remedy}", remedy = remedy(what))]
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
    /// Two publishers could overwrite each other's manifest, and neither would notice.
    #[error(
        "{0} accepts conditional writes and ignores the condition, so that publishers can undo each other's \
         changes; use another store for registry_dir, or, if there is never more than one publisher at a time, \
         set registry.concurrency to last-write-wins"
    )]
    Unconditional(String),
    /// A server that refuses what it should accept.
    #[error(
        "{0} refuses conditional writes whose condition holds, so that nothing can be published there safely; use \
         another store for registry_dir, or, if there is never more than one publisher at a time, set \
         registry.concurrency to last-write-wins"
    )]
    Broken(String),
    /// The answer to a swap is lost, and nobody can look.
    #[error(
        "cannot tell whether {name} was changed: {source}; look at its `history` before anything is rolled back again"
    )]
    Unknown {
        /// The manifest.
        name: String,
        /// What happened to the write.
        source: StoreError,
    },
    /// A history entry does not hold what its name says.
    #[error("history entry {0} was changed: its manifest is not the one that its hash names; move it away")]
    ChangedEntry(String),
    /// A document that was refused because it is there is not there.
    #[error("{0} cannot be written: the store says that it is there, and then that it is not; try again")]
    Unsettled(String),
    /// There is a history and no manifest.
    #[error(
        "{0} is missing, and its history is not; put the `manifest` of the newest entry in its place before anything \
         else is published"
    )]
    Lost(String),
    /// Somebody else collects garbage.
    #[error("{0} was taken by another collection of garbage; try again when it has ended")]
    Leased(String),
    /// Other publishers were faster every time.
    #[error("{0} changed under every attempt to swap it; try again")]
    Contended(String),
}

/// What to do about a document that cannot be read.
fn remedy(what: &str) -> &'static str {
    match what {
        "manifest" => "put the `manifest` of the newest entry of its history in its place",
        "record" => "move it away; the next publish of the artifact writes it anew",
        _ => "move it away; what was current before it is then out of reach",
    }
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

    /// The record of a version, if there is one. One of another format, which another implementation has
    /// written, tells nothing here; the blob itself says what it is of.
    pub fn record(&self, scope: &Scope, kind: Kind, version: &str) -> Result<Option<Record>, RegistryError> {
        let key = Record::key(scope, kind, version);
        let Some(bytes) = self.store.read(&key)? else { return Ok(None) };
        let record: Record = match self.parse(&key, "record", &bytes) {
            Err(RegistryError::Document { source, .. }) if source.classify() == Category::Data => {
                return Ok(None);
            }
            record => record?,
        };
        let actual = record.artifact_key();
        if (actual.kind, &actual.scope, record.version.as_str()) != (kind, scope, version) {
            return Err(RegistryError::OtherRecord(self.store.name(&key)));
        }
        Ok(Some(record))
    }

    /// The tenants and surfaces that have a manifest.
    pub fn scopes(&self) -> Result<Vec<Scope>, RegistryError> {
        let keys = self.store.list("current")?;
        let scope = |listed: &Listed| {
            let [_, tenant, surface, "manifest.json"] = listed.key.split('/').collect::<Vec<_>>()[..] else {
                return None;
            };
            Some(Scope { tenant: tenant.parse().ok()?, surface: surface.parse().ok()? })
        };
        Ok(keys.iter().filter_map(scope).collect())
    }

    /// Every manifest that was current, newest first, at most `most` of them.
    ///
    /// The chain begins with the current manifest and follows `previous`; entries that nothing in it names
    /// are left out. It ends early where an entry is missing. A current manifest without an entry gets the
    /// one that the next swap will write.
    pub fn history(&self, scope: &Scope, most: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        let Some((current, _)) = self.manifest(scope)? else { return Ok(Vec::new()) };
        let keys = self.store.list(&HistoryEntry::folder(scope))?;
        // Each entry is taken once: those changed by hand could lead around in circles.
        let mut by_hash: BTreeMap<&str, &str> = keys
            .iter()
            .filter_map(|listed| Some((HistoryEntry::hash_in_key(&listed.key)?, listed.key.as_str())))
            .collect();
        let mut entries = Vec::new();
        let mut next = Some(current.hash());
        if !by_hash.contains_key(current.hash().as_str()) {
            let entry = adoption(scope, current, &keys);
            next.clone_from(&entry.previous);
            entries.push(entry);
        }
        while entries.len() < most
            && let Some(key) = next.as_deref().and_then(|hash| by_hash.remove(hash))
        {
            let Some(entry) = self.entry(scope, key)? else { break };
            next.clone_from(&entry.previous);
            entries.push(entry);
        }
        entries.truncate(most);
        Ok(entries)
    }

    /// The history entry of `scope` with a key, if there is one.
    pub(super) fn entry(&self, scope: &Scope, key: &str) -> Result<Option<HistoryEntry>, RegistryError> {
        let Some(bytes) = self.store.read(key)? else { return Ok(None) };
        let entry: HistoryEntry = self.parse(key, "history entry", &bytes)?;
        let HistoryEntry { hash, manifest, .. } = &entry;
        let is_of_scope = (&manifest.tenant, &manifest.surface) == (&scope.tenant, &scope.surface);
        if !is_of_scope || *hash != manifest.hash() || HistoryEntry::hash_in_key(key) != Some(hash) {
            return Err(RegistryError::ChangedEntry(self.store.name(key)));
        }
        Ok(Some(entry))
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

    /// Refuses a store in which a swap is no swap.
    pub fn check_store(&self) -> Result<(), RegistryError> {
        match self.store.conditions()? {
            Conditions::Honoured => Ok(()),
            Conditions::Ignored => Err(RegistryError::Unconditional(self.store.name(""))),
            Conditions::Broken => Err(RegistryError::Broken(self.store.name(""))),
        }
    }

    /// Makes the pointers that `decide` returns current; `None` leaves everything as it is.
    ///
    /// `decide` sees the manifest that is replaced. It is asked again, with the new one, whenever another
    /// publisher was faster. `confirm` sees the new one when the history announces it: what it finds to be there
    /// is there until the swap, because no garbage is collected in between.
    pub fn swap<E: From<RegistryError>>(
        &self,
        scope: &Scope,
        change: &Change,
        mut decide: impl FnMut(Option<&Manifest>) -> Result<Option<BTreeMap<Kind, String>>, E>,
        confirm: impl Fn(&Manifest) -> Result<(), E>,
    ) -> Result<Option<Manifest>, E> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(2))
            .with_max_delay(Duration::from_millis(500))
            .with_jitter()
            .with_max_times(MAX_ATTEMPTS)
            .build();
        loop {
            let (current, tag) = self.manifest(scope)?.unzip();
            let Some(pointers) = decide(current.as_ref())? else { return Ok(None) };
            self.check_store()?;
            let manifest = Manifest::following(current.as_ref(), scope, pointers, change.now);
            match &current {
                Some(current) => self.adopt(scope, current)?,
                None => self.check_first(scope)?,
            }
            let previous = current.map(|current| current.hash());
            let manifest = self.announce(scope, change, manifest, previous.as_ref())?;
            lease::wait(self.store, scope).map_err(RegistryError::Store)?;
            confirm(&manifest)?;
            // The last moment: from here on it is done or not, whoever asks.
            interrupt::check().map_err(|interrupted| RegistryError::Store(interrupted.into()))?;
            if self.replace(scope, &manifest, tag)? {
                return Ok(Some(manifest));
            }
            let delay = delays.next().ok_or_else(|| RegistryError::Contended(self.name(scope)))?;
            thread::sleep(delay);
        }
    }

    /// Refuses to begin anew where a manifest was lost: entries that follow others tell of one. Those of first
    /// publishes that came to nothing follow none.
    fn check_first(&self, scope: &Scope) -> Result<(), RegistryError> {
        for listed in self.store.list(&HistoryEntry::folder(scope))?.iter().rev() {
            if HistoryEntry::hash_in_key(&listed.key).is_some()
                && self.entry(scope, &listed.key)?.is_some_and(|entry| entry.previous.is_some())
            {
                return Err(RegistryError::Lost(self.name(scope)));
            }
        }
        Ok(())
    }

    /// Sees to it that the current manifest has an entry in the history, which it has not when something
    /// else has written it.
    fn adopt(&self, scope: &Scope, current: &Manifest) -> Result<(), RegistryError> {
        let entry = adoption(scope, current.clone(), &[]);
        if self.store.look(&entry.key(scope))?.is_some() {
            return Ok(());
        }
        let keys = self.store.list(&HistoryEntry::folder(scope))?;
        let entry = adoption(scope, entry.manifest, &keys);
        self.store.put(&entry.key(scope), &readable(&entry), Condition::Absent)?;
        Ok(())
    }

    /// Writes the history entry of a manifest that is about to become current. Returns the manifest.
    fn announce(
        &self,
        scope: &Scope,
        change: &Change,
        mut manifest: Manifest,
        previous: Option<&String>,
    ) -> Result<Manifest, RegistryError> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(10))
            .with_jitter()
            .with_max_times(8)
            .build();
        loop {
            let entry = HistoryEntry {
                v: V1,
                hash: manifest.hash(),
                previous: previous.cloned(),
                reason: change.reason,
                by: change.by.clone(),
                manifest: manifest.clone(),
            };
            let key = entry.key(scope);
            if self.store.put(&key, &readable(&entry), Condition::Absent)? == Commit::Written {
                return Ok(manifest);
            }
            let Some(earlier) = self.entry(scope, &key)? else {
                // A read that is late, or an answer that was not meant so.
                let delay = delays.next().ok_or_else(|| RegistryError::Unsettled(self.store.name(&key)))?;
                thread::sleep(delay);
                continue;
            };
            if earlier.previous.as_ref() == previous {
                return Ok(manifest);
            }
            // The same manifest was to follow another one, in an attempt that lost its race. An entry is
            // never rewritten, so this one becomes a moment younger.
            manifest.updated_at = manifest
                .updated_at
                .saturating_add(SignedDuration::from_micros(1))
                .unwrap_or(manifest.updated_at);
        }
    }

    /// Puts a manifest in place if it is still in the state of `tag`; `false` when another was faster.
    fn replace(&self, scope: &Scope, manifest: &Manifest, tag: Option<Tag>) -> Result<bool, RegistryError> {
        let key = Manifest::key(scope);
        let bytes = readable(manifest);
        let answer = self.store.put(&key, &bytes, Condition::Still(tag));
        if matches!(answer, Ok(Commit::Written)) {
            return Ok(true);
        }
        // The write may have been done and its answer lost, or a second try refused because of the first.
        match (self.store.read(&key), answer) {
            (Ok(current), _) if current.as_ref() == Some(&bytes) => Ok(true),
            (Err(_), Err(source)) => Err(RegistryError::Unknown { name: self.store.name(&key), source }),
            (_, answer) => Ok(answer? == Commit::Written),
        }
    }
}

/// The entry of a manifest that has none. It follows the newest entry that is not younger.
fn adoption(scope: &Scope, manifest: Manifest, history: &[Listed]) -> HistoryEntry {
    let hash = manifest.hash();
    let mut entry = HistoryEntry {
        v: V1,
        hash,
        previous: None,
        reason: Reason::Adopt,
        by: "unknown".to_owned(),
        manifest,
    };
    let key = entry.key(scope);
    let time = |key: &str| key.rsplit_once('-').map(|(time, _)| time.to_owned());
    let earlier = history.iter().rev().find(|listed| listed.key != key && time(&listed.key) <= time(&key));
    entry.previous = earlier.and_then(|listed| HistoryEntry::hash_in_key(&listed.key)).map(str::to_owned);
    entry
}
