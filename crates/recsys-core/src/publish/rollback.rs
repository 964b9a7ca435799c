//! Rollback: an ordinary swap to pointers that were current before.
//!
//! It builds and copies nothing. Every blob that would become current is read first and its version recomputed; a
//! rollback to a damaged blob is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::blob::{BlobError, is_there, read_blob};
use super::history::{HistoryEntry, LookupError, Reason, by_hash};
use super::manifest::Manifest;
use super::record::Record;
use super::registry::{Change, Registry, RegistryError};
use crate::artifact::{Descriptor, Kind};
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::encoding::json::readable;
use crate::storage::layout::{self, version_in};
use crate::storage::{Condition, Store, StoreError};
use crate::threads::parallel;

/// The manifest to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A number of manifests back; for a single kind, a number of changes of that kind.
    Steps(usize),
    /// The manifest whose hash begins with this.
    Hash(String),
}

/// Why a rollback failed.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no manifest.
    #[error("{0} does not exist; there is nothing to roll back")]
    NoManifest(String),
    /// The history does not reach back far enough.
    #[error(
        "the history of {scope} {}, not {wanted}; `history` lists them",
        match .available {
            0 => "has nothing before what is current: it reaches back no step".to_owned(),
            1 => "reaches back 1 step".to_owned(),
            steps => format!("reaches back {steps} steps"),
        }
    )]
    TooFar {
        /// Tenant and surface.
        scope: Scope,
        /// The number of steps that are possible.
        available: usize,
        /// The number of steps asked for.
        wanted: usize,
    },
    /// The hash prefix does not name exactly one manifest.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The target manifest does not name the kind.
    #[error("the manifest {0:.12} names no {1}")]
    NoKind(String, Kind),
    /// A blob that would become current is missing or damaged.
    #[error("cannot roll back")]
    Blob(#[from] BlobError),
    /// The record of a blob that would become current was deleted meanwhile.
    #[error("{0} has vanished while it was rolled back; try again")]
    Vanished(String),
    /// Another process changed the manifest meanwhile.
    #[error("{0} was changed by somebody else in the meantime; look again before you roll back")]
    Overtaken(String),
}

impl RollbackError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            // Done or not: the same command again would go back one step more.
            Self::Registry(RegistryError::Unknown { .. }) => Some(Class::Refused),
            Self::Registry(error) => error.class(),
            Self::Blob(error) => error.class(),
            Self::Overtaken(_) | Self::Vanished(_) => Some(Class::Transient),
            Self::NoManifest(_) | Self::TooFar { .. } | Self::Lookup(_) | Self::NoKind(..) => {
                Some(Class::Usage)
            }
        }
    }
}

/// What a rollback would do.
#[derive(Debug, Clone)]
pub struct RollbackPlan {
    /// The current manifest; `None` if it was lost.
    pub from: Option<Manifest>,
    /// The history entry to go back to.
    pub to: HistoryEntry,
    /// The pointers that will be current.
    pub pointers: BTreeMap<Kind, String>,
    /// The only kind to roll back; `None` for all.
    kind: Option<Kind>,
    /// The checked blobs of the pointers that move.
    blobs: Vec<Descriptor>,
    /// Whether to swap the manifest even if no pointer moves.
    is_touching: bool,
}

impl RollbackPlan {
    /// Finds the target and checks every blob that would become current.
    pub fn new(
        registry: &Registry<'_>,
        objects: &dyn Store,
        scope: &Scope,
        target: &Target,
        kind: Option<Kind>,
    ) -> Result<Self, RollbackError> {
        let from = match registry.current(scope) {
            // Without the manifest, steps cannot be counted and the pointers of the other kinds are unknown.
            Err(RegistryError::Lost { .. }) if kind.is_none() && matches!(target, Target::Hash(_)) => None,
            current => Some(current?.ok_or_else(|| RollbackError::NoManifest(registry.name(scope)))?),
        };
        let most = match target {
            Target::Steps(steps) if kind.is_none() => steps.saturating_add(1),
            _ => usize::MAX,
        };
        let mut history =
            if from.is_some() { registry.history(scope, most)? } else { registry.entries(scope)? };
        let to = match target {
            Target::Steps(steps) => steps_back(scope, history, *steps, kind)?,
            Target::Hash(hash) => history.swap_remove(by_hash(scope, &history, hash)?),
        };
        let pointers = match kind {
            None => to.manifest.current.clone(),
            Some(kind) => {
                let uri = to.manifest.current.get(&kind);
                let uri = uri.ok_or_else(|| RollbackError::NoKind(to.hash.clone(), kind))?;
                let mut pointers = from.as_ref().map(|from| from.current.clone()).unwrap_or_default();
                pointers.insert(kind, uri.clone());
                pointers
            }
        };
        let mut plan = Self { from, to, pointers, kind, blobs: Vec::new(), is_touching: false };
        // Blobs that stay current are not checked.
        let moved = plan.moves().into_iter().filter_map(|(kind, _, after)| Some((kind, after?)));
        let read = |(kind, uri): (Kind, &String)| read_blob(objects, scope, kind, uri);
        plan.blobs = parallel::try_map(moved.collect::<Vec<_>>(), read)?;
        Ok(plan)
    }

    /// The same plan, but it always swaps the manifest, so that a publisher that has read the old one loses its swap.
    #[must_use]
    pub fn touching(self) -> Self {
        Self { is_touching: true, ..self }
    }

    /// The kinds whose pointers move, with the URIs before and after.
    pub fn moves(&self) -> Vec<(Kind, Option<&String>, Option<&String>)> {
        let from = self.from.as_ref().map(|from| &from.current);
        let both = |kind: &Kind| (*kind, from.and_then(|from| from.get(kind)), self.pointers.get(kind));
        Kind::ALL.iter().map(both).filter(|(_, before, after)| before != after).collect()
    }

    /// Whether [`Self::execute`] would swap the manifest.
    pub fn is_due(&self, horizon: Timestamp) -> bool {
        self.is_touching
            || self
                .from
                .as_ref()
                .is_none_or(|from| from.current != self.pointers || from.is_from_the_future(horizon))
    }

    /// Makes the planned pointers current, unless they are already. Returns the new manifest. A manifest from the
    /// future is always replaced.
    ///
    /// When a single kind is rolled back, others may have moved meanwhile; they stay where they are.
    pub fn execute(
        &self,
        registry: &Registry<'_>,
        objects: &dyn Store,
        scope: &Scope,
        change: &Change,
    ) -> Result<Option<Manifest>, RollbackError> {
        let decide = |current: Option<&Manifest>| {
            let overtaken = || RollbackError::Overtaken(registry.name(scope));
            let (from, current) = match (&self.from, current) {
                (Some(from), Some(current)) => (from, current),
                (None, None) => return Ok(Some(self.pointers.clone())),
                _ => return Err(overtaken()),
            };
            let pointers = match self.kind {
                None if current.hash() == from.hash() => self.pointers.clone(),
                Some(kind) if current.current.get(&kind) == from.current.get(&kind) => {
                    let mut pointers = current.current.clone();
                    pointers.extend(self.pointers.get(&kind).map(|uri| (kind, uri.clone())));
                    pointers
                }
                _ => return Err(overtaken()),
            };
            let is_due =
                self.is_touching || pointers != current.current || current.is_from_the_future(change.horizon);
            Ok(is_due.then_some(pointers))
        };
        self.write_records(registry)?;
        let confirm = |_: &Manifest| {
            let gone = parallel::try_map(self.moves(), |(kind, _, uri)| match uri {
                Some(uri) => gone(registry.store(), objects, scope, kind, uri),
                None => Ok(None),
            })?;
            Ok(gone.into_iter().flatten().next())
        };
        registry.swap(scope, Reason::Rollback, change, decide, confirm)
    }

    /// Writes missing records, so that whatever becomes current has one.
    fn write_records(&self, registry: &Registry<'_>) -> Result<(), RegistryError> {
        for blob in &self.blobs {
            let record = Record::new(blob.clone(), self.pointers[&blob.key.kind].clone());
            registry.store().put(&blob.record_key(), &readable(&record), Condition::Absent)?;
        }
        Ok(())
    }
}

/// The error to report if a blob or its record is gone.
fn gone(
    registry: &dyn Store,
    objects: &dyn Store,
    scope: &Scope,
    kind: Kind,
    uri: &str,
) -> Result<Option<RollbackError>, StoreError> {
    match is_there(objects, scope, kind, uri) {
        Ok(()) => {}
        Err(BlobError::Store(error)) => return Err(error),
        Err(gone) => return Ok(Some(RollbackError::Blob(gone))),
    }
    let record = layout::record(scope, kind, version_in(uri));
    Ok(registry.stat(&record)?.is_none().then(|| RollbackError::Vanished(registry.name(&record))))
}

fn steps_back(
    scope: &Scope,
    mut states: Vec<HistoryEntry>,
    wanted: usize,
    kind: Option<Kind>,
) -> Result<HistoryEntry, RollbackError> {
    if let Some(kind) = kind {
        states
            .dedup_by(|older, newer| older.manifest.current.get(&kind) == newer.manifest.current.get(&kind));
    }
    let available = states.len().saturating_sub(1);
    let too_far = || RollbackError::TooFar { scope: scope.clone(), available, wanted };
    states.into_iter().nth(wanted).ok_or_else(too_far)
}
