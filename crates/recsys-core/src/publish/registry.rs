//! The registry: manifests, records and history, and the only way to change a manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::claims::{Claims, ClaimsError, LeaseTimeouts};
use super::format::V1;
use super::history::{HistoryEntry, Reason};
use super::manifest::Manifest;
use super::record::Record;
use crate::artifact::Kind;
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::encoding::json::{error_in_words, readable};
use crate::storage::layout::{self, version_in};
use crate::storage::{Commit, Condition, Conditions, DocumentMeta, Store, StoreError, Tag};
use crate::threads::interrupt;
use crate::threads::parallel;

/// Name of a document of holds in messages.
pub(super) const HOLDS: &str = "document of holds";

/// Lost races after which a swap gives up. Each lost race means that another publisher succeeded.
const MAX_ATTEMPTS: usize = 100;

/// Why the registry could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document does not match its schema.
    #[error("{name} is not a {what}: {}; {remedy}", error_in_words(problem), remedy = remedy(what))]
    Document {
        /// Name of the document in messages.
        name: String,
        /// What the document should be.
        what: &'static str,
        /// Where it departs from its schema.
        problem: serde_json::Error,
    },
    /// The manifest names another tenant or surface.
    #[error("{0} is the manifest of {1}; was it copied from there?")]
    Stranger(String, Scope),
    /// The content of a record does not match its file name.
    #[error("{0} is the record of another artifact; move it away")]
    OtherRecord(String),
    /// The store ignores the condition of a write, so two publishers could overwrite each other's manifest unnoticed.
    #[error(
        "{0} accepts conditional writes and ignores the condition, so that publishers can undo each other's \
         changes; use another store for registry_dir, or, if there is never more than one publisher at a time, \
         set registry.concurrency to last-write-wins"
    )]
    Unconditional(String),
    /// The store refuses writes whose condition holds.
    #[error(
        "{0} refuses conditional writes whose condition holds, so that nothing can be published there safely; use \
         another store for registry_dir, or, if there is never more than one publisher at a time, set \
         registry.concurrency to last-write-wins"
    )]
    Broken(String),
    /// The answer to a swap was lost, and the manifest cannot be read to find out.
    #[error(
        "cannot tell whether {name} was changed; look at its `history` before anything is rolled back again"
    )]
    Unknown {
        /// Name of the manifest in messages.
        name: String,
        /// The error of the write.
        source: StoreError,
    },
    /// The content of a history entry does not match its file name.
    #[error("history entry {0} was changed: its manifest is not the one that its hash names; move it away")]
    ChangedEntry(String),
    /// The store has accepted a document, or refused it as already there, but does not have it.
    #[error(
        "{0} cannot be written: the store has acknowledged it, and then it is not there; check the store, and try again"
    )]
    Unsettled(String),
    /// The manifest is missing, but there is a history: it was lost.
    #[error(
        "{name} is missing, and its history is not: it was lost; `recsys-pipelines rollback --tenant {} --surface {} \
         --to HASH` brings a manifest back, and `history` lists them", scope.tenant, scope.surface
    )]
    Lost {
        /// Name of the manifest in messages.
        name: String,
        /// Tenant and surface.
        scope: Box<Scope>,
    },
    /// The manifest is missing, and only the note of the first swap, named second, is left.
    #[error("{0} is missing, and {1} says that there was one; restore it, or remove that note to begin anew")]
    Begun(String, String),
    /// A garbage collection is in the way.
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The time of the manifest lies in the future: the clock that wrote it is wrong, or the one here.
    #[error(
        "{name} was written at {updated_at}, which lies in the future: it is {now} by the clock here; if this clock is \
         right, `rollback --correct-time` makes the same artifacts current under the present time"
    )]
    Future {
        /// Name of the manifest in messages.
        name: String,
        /// The time in the manifest.
        updated_at: Timestamp,
        /// The time by the clock here.
        now: Timestamp,
    },
    /// The store has acknowledged a manifest but does not have it.
    #[error(
        "{0} is still the old one, although the store has acknowledged the new one; check the store, and try again"
    )]
    Dropped(String),
    /// Other publishers were faster every time.
    #[error("{0} changed under every attempt to swap it; try again")]
    Contended(String),
}

impl RegistryError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Claims(error) => error.class(),
            Self::Unknown { .. } | Self::Unsettled(_) | Self::Dropped(_) | Self::Contended(_) => {
                Some(Class::Transient)
            }
            Self::Unconditional(_) | Self::Broken(_) => Some(Class::Usage),
            Self::Document { .. }
            | Self::Stranger(..)
            | Self::OtherRecord(_)
            | Self::ChangedEntry(_)
            | Self::Future { .. }
            | Self::Lost { .. }
            | Self::Begun(..) => Some(Class::Refused),
        }
    }
}

/// What an operator can do about a document that cannot be read.
fn remedy(what: &str) -> &'static str {
    match what {
        "manifest" => {
            "move it away, and bring an earlier one back with `rollback --to HASH`; `history` lists them"
        }
        HOLDS => "move it away; nothing is held then",
        "record" => "move it away; the next publish of the artifact writes it anew",
        _ => "move it away; what was current before it is then out of reach",
    }
}

/// By whom and when a manifest is swapped; part of it goes into the history.
#[derive(Debug, Clone)]
pub struct Change {
    /// User and host.
    pub by: String,
    /// The id of the run, if there is one.
    pub run_id: Option<String>,
    /// Why, in the operator's words.
    pub note: Option<String>,
    /// The time of the new manifest, unless the one it follows is later.
    pub now: Timestamp,
    /// A manifest written more than a few minutes after this lies in the future: a clock is wrong.
    pub horizon: Timestamp,
    /// How long to wait for a garbage collection.
    pub timeouts: LeaseTimeouts,
}

/// The registry in a store.
#[derive(Debug, Clone, Copy)]
pub struct Registry<'a> {
    store: &'a dyn Store,
    /// Manifests more than a few minutes later than this are refused.
    horizon: Option<Timestamp>,
}

impl<'a> Registry<'a> {
    /// The registry in `store`; takes manifests of any time.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store, horizon: None }
    }

    /// The same registry, but it refuses manifests from the future of `horizon`.
    #[must_use]
    pub fn at(self, horizon: Timestamp) -> Self {
        Self { horizon: Some(horizon), ..self }
    }

    pub(super) fn store(&self) -> &'a dyn Store {
        self.store
    }

    /// Name of the manifest of `scope` in messages.
    pub fn name(&self, scope: &Scope) -> String {
        self.store.name(&layout::manifest(scope))
    }

    /// The current manifest, if there is one, with its tag.
    pub fn manifest(&self, scope: &Scope) -> Result<Option<(Manifest, Tag)>, RegistryError> {
        let key = layout::manifest(scope);
        let Some((bytes, tag)) = self.store.read_tagged(&key)? else { return Ok(None) };
        let manifest: Manifest = self.parse(&key, "manifest", &bytes)?;
        let actual = Scope { tenant: manifest.tenant.clone(), surface: manifest.surface.clone() };
        if actual != *scope {
            return Err(RegistryError::Stranger(self.store.name(&key), actual));
        }
        if let Some(now) = self.horizon.filter(|horizon| manifest.is_from_the_future(*horizon)) {
            let (name, updated_at) = (self.store.name(&key), manifest.updated_at);
            return Err(RegistryError::Future { name, updated_at, now });
        }
        Ok(Some((manifest, tag)))
    }

    /// The record of a version, if there is one. A record in the format of another implementation counts as none; the
    /// blob itself has its key.
    pub fn record(&self, scope: &Scope, kind: Kind, version: &str) -> Result<Option<Record>, RegistryError> {
        let key = layout::record(scope, kind, version);
        let Some(bytes) = self.store.read(&key)? else { return Ok(None) };
        let record: Record = match self.parse(&key, "record", &bytes) {
            Err(RegistryError::Document { problem, .. }) if problem.classify() == Category::Data => {
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

    /// The tenants and surfaces that have a manifest or a history.
    pub fn scopes(&self) -> Result<Vec<Scope>, RegistryError> {
        let (manifests, begun) = (self.store.list(layout::MANIFESTS)?, self.store.list(layout::ALL_BEGUN)?);
        let mut scopes: BTreeSet<Scope> = BTreeSet::new();
        scopes.extend(manifests.iter().filter_map(|listed| layout::scope_of_manifest(&listed.key)));
        scopes.extend(begun.iter().filter_map(|listed| layout::scope_of_begun(&listed.key)));
        // One listing per tenant, because a listing of all entries would be too long.
        let tenants = self.store.folders(layout::HISTORIES)?;
        let surfaces = |tenant: &String| self.store.folders(&layout::histories(tenant));
        for (tenant, surfaces) in tenants.iter().zip(parallel::try_map(&tenants, surfaces)?) {
            scopes.extend(surfaces.iter().filter_map(|surface| layout::scope(tenant, surface)));
        }
        Ok(scopes.into_iter().collect())
    }

    /// Every manifest that was current, newest first, at most `most` of them.
    ///
    /// The chain begins with the current manifest and follows `previous`; entries outside the chain are left out. It
    /// ends early if an entry is missing. A current manifest without an entry gets the one that the next swap will
    /// write.
    pub fn history(&self, scope: &Scope, most: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        let mut entries = Vec::new();
        if most > 0 {
            self.walk(scope, |entry| {
                entries.push(entry);
                entries.len() < most
            })?;
        }
        Ok(entries)
    }

    /// Walks the chain described at [`history`](Self::history), as long as `take` returns `true`.
    pub(super) fn walk(
        &self,
        scope: &Scope,
        mut take: impl FnMut(HistoryEntry) -> bool,
    ) -> Result<(), RegistryError> {
        let Some((current, _)) = self.manifest(scope)? else { return Ok(()) };
        let keys = self.store.list(&layout::history(scope))?;
        // Each entry is taken once: entries changed by hand could form a circle.
        let mut by_hash: BTreeMap<&str, &str> = keys
            .iter()
            .filter_map(|listed| Some((layout::hash_of_entry(&listed.key)?, listed.key.as_str())))
            .collect();
        let mut next = Some(current.hash());
        if !by_hash.contains_key(current.hash().as_str()) {
            let entry = adoption(scope, current, &keys);
            next.clone_from(&entry.previous);
            if !take(entry) {
                return Ok(());
            }
        }
        while let Some(key) = next.as_deref().and_then(|hash| by_hash.remove(hash)) {
            let Some(entry) = self.entry(scope, key)? else { break };
            next.clone_from(&entry.previous);
            if !take(entry) {
                break;
            }
        }
        Ok(())
    }

    /// The history entry of `scope` at `key`, if there is one.
    pub(super) fn entry(&self, scope: &Scope, key: &str) -> Result<Option<HistoryEntry>, RegistryError> {
        let Some(bytes) = self.store.read(key)? else { return Ok(None) };
        let entry: HistoryEntry = self.parse(key, "history entry", &bytes)?;
        let HistoryEntry { hash, manifest, .. } = &entry;
        let is_of_scope = (&manifest.tenant, &manifest.surface) == (&scope.tenant, &scope.surface);
        if !is_of_scope || *hash != manifest.hash() || layout::hash_of_entry(key) != Some(hash) {
            return Err(RegistryError::ChangedEntry(self.store.name(key)));
        }
        Ok(Some(entry))
    }

    pub(super) fn parse<T: DeserializeOwned>(
        &self,
        key: &str,
        what: &'static str,
        bytes: &[u8],
    ) -> Result<T, RegistryError> {
        serde_json::from_slice(bytes).map_err(|problem| RegistryError::Document {
            name: self.store.name(key),
            what,
            problem,
        })
    }

    /// Refuses a store that does not honour the condition of a swap.
    pub fn check_store(&self) -> Result<(), RegistryError> {
        match self.store.conditions()? {
            Conditions::Honoured => Ok(()),
            Conditions::Ignored => Err(RegistryError::Unconditional(self.store.name(""))),
            Conditions::Broken => Err(RegistryError::Broken(self.store.name(""))),
        }
    }

    /// Makes the pointers returned by `decide` current; `None` changes nothing.
    ///
    /// `decide` gets the manifest that is to be replaced, and is called again with the new one whenever another
    /// publisher was faster. `confirm` gets the new manifest once it is announced in the history and nothing it names
    /// is claimed, and again when it is current; it returns an error if something is gone. What it finds before the
    /// swap stays, because a garbage collection keeps whatever is announced.
    pub fn swap<E: From<RegistryError>>(
        &self,
        scope: &Scope,
        reason: Reason,
        change: &Change,
        mut decide: impl FnMut(Option<&Manifest>) -> Result<Option<BTreeMap<Kind, String>>, E>,
        confirm: impl Fn(&Manifest) -> Result<Option<E>, StoreError>,
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
            let replaced = match &current {
                Some(current) => {
                    self.adopt(scope, current)?;
                    Some(current.clone())
                }
                // A restored manifest follows the newest known one.
                None if reason == Reason::Rollback => self.newest_entry(scope)?.map(|entry| entry.manifest),
                None => match self.check_first(scope) {
                    Ok(()) => None,
                    // Another publisher may have swapped in the first manifest since.
                    Err(_) if self.manifest(scope)?.is_some() => continue,
                    Err(lost) => return Err(lost.into()),
                },
            };
            let manifest =
                Manifest::following(replaced.as_ref(), scope, pointers, change.now, change.horizon);
            let previous = replaced.as_ref().map(Manifest::hash);
            let manifest = self.announce(scope, reason, change, manifest, previous.as_ref())?;
            let moved = moved(current.as_ref(), &manifest);
            let claims = Claims::new(self.store, scope, change.timeouts);
            claims.await_free(&moved).map_err(RegistryError::Claims)?;
            confirm(&manifest).map_err(RegistryError::Store)?.map_or(Ok(()), Err)?;
            // The last cancellation point; the swap must complete.
            interrupt::check().map_err(|interrupted| RegistryError::Store(interrupted.into()))?;
            if self.replace(scope, &manifest, tag)? {
                self.look_back(scope, &manifest, current.as_ref())?;
                // The swap is done, so a failed look is not an error.
                if let Ok(Some(gone)) = confirm(&manifest) {
                    return Err(gone);
                }
                return Ok(Some(manifest));
            }
            let delay = delays.next().ok_or_else(|| RegistryError::Contended(self.name(scope)))?;
            thread::sleep(delay.min(change.timeouts.wait));
        }
    }

    /// Checks that a swapped manifest has arrived, and notes a first one.
    ///
    /// A failed read is ignored: the swap was acknowledged.
    fn look_back(
        &self,
        scope: &Scope,
        manifest: &Manifest,
        replaced: Option<&Manifest>,
    ) -> Result<(), RegistryError> {
        let mut delays = late_read_delays();
        // Any other manifest comes from a publisher that has swapped since.
        while let Ok(found) = Self::new(self.store).manifest(scope)
            && found.as_ref().map(|(found, _)| found) == replaced
        {
            let delay = delays.next().ok_or_else(|| RegistryError::Dropped(self.name(scope)))?;
            thread::sleep(delay);
        }
        if replaced.is_none() {
            // Without the note, losing the first manifest before the second one comes would go unnoticed.
            if let Err(error) = self.note_first(scope, manifest) {
                tracing::warn!(error = %error.source, "cannot note that the first manifest was published");
            }
        }
        Ok(())
    }

    /// Makes sure that the current manifest has a history entry. It has none if something else wrote it.
    fn adopt(&self, scope: &Scope, current: &Manifest) -> Result<(), RegistryError> {
        let entry = adoption(scope, current.clone(), &[]);
        if self.store.stat(&entry.key(scope))?.is_some() {
            return Ok(());
        }
        let keys = self.store.list(&layout::history(scope))?;
        let entry = adoption(scope, entry.manifest, &keys);
        self.store.put(&entry.key(scope), &readable(&entry), Condition::Absent)?;
        Ok(())
    }

    /// Writes the history entry of a manifest that is about to become current. Returns the manifest, whose time may
    /// have moved.
    fn announce(
        &self,
        scope: &Scope,
        reason: Reason,
        change: &Change,
        mut manifest: Manifest,
        previous: Option<&String>,
    ) -> Result<Manifest, RegistryError> {
        let mut delays = late_read_delays();
        loop {
            let entry = HistoryEntry {
                v: V1,
                hash: manifest.hash(),
                previous: previous.cloned(),
                reason,
                by: change.by.clone(),
                run_id: change.run_id.clone(),
                note: change.note.clone(),
                manifest: manifest.clone(),
            };
            let key = entry.key(scope);
            // Always read back: a store may acknowledge what it does not keep.
            self.store.put(&key, &readable(&entry), Condition::Absent)?;
            let Some(earlier) = self.entry(scope, &key)? else {
                let delay = delays.next().ok_or_else(|| RegistryError::Unsettled(self.store.name(&key)))?;
                thread::sleep(delay);
                continue;
            };
            if earlier.previous.as_ref() == previous {
                return Ok(manifest);
            }
            // An attempt that lost its race announced the same manifest after another predecessor. An entry is never
            // rewritten, so this manifest's time moves on by a microsecond.
            manifest.updated_at = manifest
                .updated_at
                .saturating_add(SignedDuration::from_micros(1))
                .unwrap_or(manifest.updated_at);
        }
    }

    /// Writes a manifest if the old one is still in the state of `tag`; `false` if another process was faster.
    fn replace(&self, scope: &Scope, manifest: &Manifest, tag: Option<Tag>) -> Result<bool, RegistryError> {
        let key = layout::manifest(scope);
        let bytes = readable(manifest);
        let answer = self.store.put(&key, &bytes, Condition::Still(tag));
        if matches!(answer, Ok(Commit::Written)) {
            return Ok(true);
        }
        // The write may have succeeded although its answer was lost, or its retry refused because of the first.
        match (self.store.read(&key), answer) {
            (Ok(current), _) if current.as_ref() == Some(&bytes) => Ok(true),
            (Err(_), Err(source)) => Err(RegistryError::Unknown { name: self.store.name(&key), source }),
            (_, answer) => Ok(answer? == Commit::Written),
        }
    }
}

/// Pauses between the tries of a read that may lag behind a write.
fn late_read_delays() -> impl Iterator<Item = Duration> {
    let delays = ExponentialBuilder::default().with_min_delay(Duration::from_millis(10)).with_jitter();
    delays.with_max_times(8).build()
}

/// The versions named by `after` but not by `before`.
fn moved(before: Option<&Manifest>, after: &Manifest) -> Vec<(Kind, String)> {
    let is_new =
        |(kind, uri): &(&Kind, &String)| before.is_none_or(|before| before.current.get(kind) != Some(uri));
    let moved = after.current.iter().filter(is_new);
    moved.map(|(kind, uri)| (*kind, version_in(uri).to_owned())).collect()
}

/// The entry for a manifest that has none. It follows the newest other entry that is not later.
fn adoption(scope: &Scope, manifest: Manifest, history: &[DocumentMeta]) -> HistoryEntry {
    let hash = manifest.hash();
    let mut entry = HistoryEntry {
        v: V1,
        hash,
        previous: None,
        reason: Reason::Adopt,
        by: "unknown".to_owned(),
        run_id: None,
        note: None,
        manifest,
    };
    let key = entry.key(scope);
    let is_earlier =
        |other: &str| other != key && layout::time_of_entry(other) <= layout::time_of_entry(&key);
    let earlier = history.iter().rev().find(|listed| is_earlier(&listed.key));
    entry.previous = earlier.and_then(|listed| layout::hash_of_entry(&listed.key)).map(str::to_owned);
    entry
}
