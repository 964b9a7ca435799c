//! The manifest: the small document that says which artifact of each kind is current.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::format::V1;
use crate::artifact::Kind;
use crate::domain::id::{Scope, Surface, Tenant};
use crate::encoding::hash::sha256;
use crate::encoding::json;

/// Which artifact of each kind is current for a tenant and surface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Manifest {
    /// The version of this format: 1.
    pub v: V1,
    /// The tenant.
    pub tenant: Tenant,
    /// The surface, such as `home`.
    pub surface: Surface,
    /// The URI of the current blob of each kind.
    pub current: BTreeMap<Kind, String>,
    /// When the manifest was last changed. Later than in the manifest it replaced.
    pub updated_at: Timestamp,
}

json::object!(Manifest and Serialize);

impl Manifest {
    /// SHA-256 of the manifest as compact JSON; it does not depend on the layout of the file.
    pub fn hash(&self) -> String {
        sha256(&json::to_vec(self))
    }

    /// Whether `updated_at` lies in the future of `horizon`: some clock is wrong.
    pub fn is_from_the_future(&self, horizon: Timestamp) -> bool {
        is_from_the_future(self.updated_at, horizon)
    }

    /// A manifest that follows `previous` and names `current`. Its time is later than that of `previous`, even when the
    /// clock is a little behind; a `previous` from the future is ignored.
    pub(super) fn following(
        previous: Option<&Self>,
        scope: &Scope,
        current: BTreeMap<Kind, String>,
        now: Timestamp,
        horizon: Timestamp,
    ) -> Self {
        let tick = SignedDuration::from_micros(1);
        let previous = previous.filter(|previous| !previous.is_from_the_future(horizon));
        let earliest = previous.and_then(|previous| previous.updated_at.checked_add(tick).ok());
        let updated_at = earliest.map_or(now, |earliest| earliest.max(now));
        Self { v: V1, tenant: scope.tenant.clone(), surface: scope.surface.clone(), current, updated_at }
    }
}

/// How far the clocks of two machines may differ without an error.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Whether a recorded time lies more than five minutes after `horizon`.
pub fn is_from_the_future(time: Timestamp, horizon: Timestamp) -> bool {
    time.duration_since(horizon) > CLOCK_TOLERANCE
}
