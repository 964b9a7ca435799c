//! Whose canonical data a folder holds.
//!
//! A file system may take two names for one: `Demo` and `demo`, or the same letters in another Unicode form. A link can
//! do the same. Two tenants would then write into one folder, each over the data of the other. So the folder of a
//! tenant and surface says whose it is, in `scope.json`, which is created before the first day of data and never
//! changed. Data from before there was such a file gets one with the next day that is ingested.

use serde::{Deserialize, Serialize};

use super::{Canonical, CanonicalError};
use crate::domain::id::{Scope, Surface, Tenant};
use crate::encoding::json;
use crate::storage::{Commit, Condition, create_after_look};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// The version of this format: 1.
    v: u8,
    tenant: Tenant,
    surface: Surface,
}

impl Canonical<'_> {
    fn owner_key(&self) -> String {
        format!("{}/scope.json", self.scope.prefix())
    }

    /// Refuses a folder that holds the data of another tenant or surface. Returns whether it says whose it is.
    pub fn check_owner(&self) -> Result<bool, CanonicalError> {
        let key = self.owner_key();
        let Some(bytes) = self.store.read(&key)? else { return Ok(false) };
        let owner: Owner = serde_json::from_slice(&bytes)
            .map_err(|source| CanonicalError::NoOwner { name: self.store.name(&key), source })?;
        let actual = Scope { tenant: owner.tenant, surface: owner.surface };
        if actual != *self.scope {
            let (name, expected) = (self.store.name(&key), Box::new(self.scope.clone()));
            return Err(CanonicalError::Owner { name, expected, actual: Box::new(actual) });
        }
        Ok(true)
    }

    /// Makes the folder say whose it is, and refuses one that says otherwise.
    pub fn claim(&self) -> Result<(), CanonicalError> {
        if self.check_owner()? {
            return Ok(());
        }
        let Scope { tenant, surface } = self.scope.clone();
        let owner = json::readable(&Owner { v: 1, tenant, surface });
        let commit = match self.store.put(&self.owner_key(), &owner, Condition::Absent) {
            // Nor does such a server take two names for one.
            Err(error) if error.is_unsupported() => create_after_look(self.store, &self.owner_key(), &owner)?,
            commit => commit?,
        };
        if commit == Commit::Refused {
            // Somebody else was faster, perhaps for another tenant.
            self.check_owner()?;
        }
        Ok(())
    }
}
