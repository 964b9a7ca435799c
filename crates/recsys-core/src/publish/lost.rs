//! Lost manifests: none is there, but the history or the note of a first swap shows that there was one.

use serde::Serialize;

use super::format::V1;
use super::history::HistoryEntry;
use super::manifest::Manifest;
use super::registry::{Registry, RegistryError};
use crate::domain::id::Scope;
use crate::encoding::json::readable;
use crate::storage::{Condition, DocumentMeta, StoreError, layout};
use crate::threads::parallel;

/// The note that a first manifest was swapped in. A manifest that is missing later was lost.
#[derive(Serialize)]
struct Begun<'a> {
    v: V1,
    first: &'a str,
}

impl Registry<'_> {
    /// The current manifest; `None` if nothing was ever published.
    ///
    /// # Errors
    /// [`RegistryError::Lost`] and [`RegistryError::Begun`] if there was a manifest and it is gone.
    pub fn current(&self, scope: &Scope) -> Result<Option<Manifest>, RegistryError> {
        let read = || Ok::<_, RegistryError>(self.manifest(scope)?.map(|(manifest, _)| manifest));
        if let Some(manifest) = read()? {
            return Ok(Some(manifest));
        }
        let Err(lost) = self.check_first(scope) else { return Ok(None) };
        // Another process may have swapped in the first one in between.
        read()?.map_or(Err(lost), |manifest| Ok(Some(manifest)))
    }

    /// All entries of the history, newest first, including those outside any chain: they are what is left of a lost
    /// manifest.
    pub fn entries(&self, scope: &Scope) -> Result<Vec<HistoryEntry>, RegistryError> {
        let mut listed = self.store().list(&layout::history(scope))?;
        listed.reverse();
        self.entries_among(scope, listed)
    }

    /// Those of the documents listed in the history that are entries, in their order.
    pub(super) fn entries_among(
        &self,
        scope: &Scope,
        mut listed: Vec<DocumentMeta>,
    ) -> Result<Vec<HistoryEntry>, RegistryError> {
        listed.retain(|listed| layout::hash_of_entry(&listed.key).is_some());
        let entries = parallel::try_map(listed, |listed| self.entry(scope, &listed.key))?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// The newest entry of the history: a restored manifest follows it.
    pub(super) fn newest_entry(&self, scope: &Scope) -> Result<Option<HistoryEntry>, RegistryError> {
        let newest = self.entry_keys(scope)?.pop();
        Ok(newest.map(|key| self.entry(scope, &key)).transpose()?.flatten())
    }

    /// Refuses to start afresh if a manifest was lost. The note of a first swap shows that, and so does an entry that
    /// follows another one. Entries left by first publishes that failed follow none.
    pub(super) fn check_first(&self, scope: &Scope) -> Result<(), RegistryError> {
        let has_begun = self.store().stat(&layout::begun(scope))?.is_some();
        for key in self.entry_keys(scope)?.iter().rev() {
            if has_begun || self.entry(scope, key)?.is_some_and(|entry| entry.previous.is_some()) {
                return Err(RegistryError::Lost { name: self.name(scope), scope: Box::new(scope.clone()) });
            }
        }
        if has_begun {
            let note = self.store().name(&layout::begun(scope));
            return Err(RegistryError::Begun(self.name(scope), note));
        }
        Ok(())
    }

    /// Writes the note that a first manifest was swapped in.
    pub(super) fn note_first(&self, scope: &Scope, manifest: &Manifest) -> Result<(), StoreError> {
        let begun = Begun { v: V1, first: &manifest.hash() };
        self.store().put(&layout::begun(scope), &readable(&begun), Condition::Absent).map(drop)
    }

    fn entry_keys(&self, scope: &Scope) -> Result<Vec<String>, StoreError> {
        let listed = self.store().list(&layout::history(scope))?.into_iter();
        Ok(listed.map(|listed| listed.key).filter(|key| layout::hash_of_entry(key).is_some()).collect())
    }
}
