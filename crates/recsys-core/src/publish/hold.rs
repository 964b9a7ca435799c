//! Holds: artifact kinds that no publish moves until an operator releases them.
//!
//! A hold is written *before* the manifest that it keeps is swapped in, and that swap always takes place. A publisher
//! reads the holds *after* the manifest that it is about to replace. So if it misses a new hold, it loses its swap to
//! that of the operator, reads the manifest again, and finds the hold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::compare_and_swap;
use super::format::V1;
use super::registry::{HOLDS, Registry, RegistryError};
use crate::artifact::Kind;
use crate::domain::class::class;
use crate::domain::id::Scope;
use crate::encoding::json;
use crate::storage::{Condition, layout};

/// Who holds a kind, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Hold {
    /// User and host.
    pub by: String,
    /// When the hold was made.
    pub since: Timestamp,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

json::object!(Hold and Serialize);

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, since, note } = self;
        write!(f, "held by {by} since {since}")?;
        note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

/// The holds of a tenant and surface, by kind.
pub type Holds = BTreeMap<Kind, Hold>;

/// The kinds that a publish left as they were, because they are held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{scope}: {}; what is current stays until `recsys-pipelines release --tenant {} --surface {}`",
    describe(holds), scope.tenant, scope.surface
)]
pub struct Held {
    /// Tenant and surface.
    pub scope: Scope,
    /// The holds that kept them.
    pub holds: Holds,
}

/// Describes holds in words. Kinds with the same hold are named together.
pub fn describe(holds: &Holds) -> String {
    let mut groups: Vec<(&Hold, Vec<&str>)> = Vec::new();
    for (kind, hold) in holds {
        match groups.iter_mut().find(|(of, _)| *of == hold) {
            Some((_, kinds)) => kinds.push(kind.as_str()),
            None => groups.push((hold, vec![kind.as_str()])),
        }
    }
    let words = groups.into_iter().map(|(hold, kinds)| format!("{} {hold}", kinds.join(", ")));
    words.collect::<Vec<_>>().join("; ")
}

class!(Held => Refused);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct HoldsDocument {
    v: V1,
    holds: Holds,
}

json::object!(HoldsDocument and Serialize);

impl Registry<'_> {
    /// The holds on kinds of `scope`.
    pub fn holds(&self, scope: &Scope) -> Result<Holds, RegistryError> {
        Ok(self.read_holds(scope)?.0.holds)
    }

    /// Holds kinds. Replaces earlier holds on them.
    pub fn hold(&self, scope: &Scope, kinds: &[Kind], hold: &Hold) -> Result<(), RegistryError> {
        self.update_holds(scope, |holds| {
            holds.extend(kinds.iter().map(|kind| (*kind, hold.clone())));
        })
    }

    /// Releases kinds. Returns the holds that were removed.
    pub fn release(&self, scope: &Scope, kinds: &[Kind]) -> Result<Holds, RegistryError> {
        self.update_holds(scope, |holds| holds.extract_if(.., |kind, _| kinds.contains(kind)).collect())
    }

    fn read_holds(&self, scope: &Scope) -> Result<(HoldsDocument, Condition), RegistryError> {
        let key = layout::holds(scope);
        let (bytes, tag) = self.store().read_tagged(&key)?.unzip();
        let document = bytes.map(|bytes| self.parse(&key, HOLDS, &bytes)).transpose()?;
        Ok((document.unwrap_or_default(), Condition::Still(tag)))
    }

    fn update_holds<T>(
        &self,
        scope: &Scope,
        mut change: impl FnMut(&mut Holds) -> T,
    ) -> Result<T, RegistryError> {
        let key = layout::holds(scope);
        compare_and_swap::update(
            self.store(),
            &key,
            Duration::MAX,
            || self.read_holds(scope),
            || RegistryError::Contended(self.store().name(&key)),
            |document| Ok(change(&mut document.holds)),
        )
    }
}
