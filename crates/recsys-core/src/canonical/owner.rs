//! Records which tenant and surface own a canonical folder.
//!
//! Two names may lead to one folder: a file system may treat `Demo` and `demo`, or two Unicode forms, as equal, and
//! links do the same. Two tenants would then overwrite each other's data. So each folder has a `scope.json` with its
//! owner, which is created before the first day of data and never changed. Data older than this file gets one with
//! the next ingested day.

use serde::{Deserialize, Serialize};

use super::{Canonical, CanonicalError};
use crate::domain::id::{Scope, Surface, Tenant};
use crate::encoding::json;
use crate::storage::{Commit, Condition, create_if_missing, layout};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// The version of this format: 1.
    v: u8,
    tenant: Tenant,
    surface: Surface,
}

impl Canonical<'_> {
    /// Refuses a folder that belongs to another tenant or surface. Returns whether the folder has an owner.
    pub fn check_owner(&self) -> Result<bool, CanonicalError> {
        let key = layout::owner(self.scope);
        let Some(bytes) = self.store.read(&key)? else { return Ok(false) };
        let owner: Owner = serde_json::from_slice(&bytes)
            .map_err(|problem| CanonicalError::NoOwner(self.store.name(&key), problem))?;
        let actual = Scope { tenant: owner.tenant, surface: owner.surface };
        if actual != *self.scope {
            let (name, expected) = (self.store.name(&key), Box::new(self.scope.clone()));
            return Err(CanonicalError::Owner { name, expected, actual: Box::new(actual) });
        }
        Ok(true)
    }

    /// Records this tenant and surface as the owner, unless the folder has one; refuses the folder of another owner.
    pub fn claim(&self) -> Result<(), CanonicalError> {
        if self.check_owner()? {
            return Ok(());
        }
        let Scope { tenant, surface } = self.scope.clone();
        let (key, owner) = (layout::owner(self.scope), json::readable(&Owner { v: 1, tenant, surface }));
        let commit = match self.store.put(&key, &owner, Condition::Absent) {
            // Stores without conditional writes do not treat different names as equal, either.
            Err(error) if error.is_unsupported() => create_if_missing(self.store, &key, &owner)?,
            commit => commit?,
        };
        if commit == Commit::Refused {
            // Another process was faster, perhaps for another tenant.
            self.check_owner()?;
        }
        Ok(())
    }
}
