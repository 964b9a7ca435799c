//! The gates and limits behind a failure, by the names of their settings.

use recsys_core::domain::limit::LimitExceeded;
use recsys_core::gate::{Gate, Refused};
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::LinesError;
use recsys_core::input::quarantine::{Stopped, TooManyInvalid};
use recsys_core::publish::{PublishError, Unfit};
use recsys_core::staging::StagingError;

use crate::shell::error::JobError;

/// Every gate, by the name of its setting under `validation`.
pub(super) const GATES: [&str; 12] = [
    "min_events",
    MAX_INVALID_RATIO,
    "max_quarantine_bytes",
    "max_volume_drop",
    "max_volume_spike",
    "max_duplicate_share",
    "max_guest_share",
    "max_session_events",
    "max_outside_share",
    "max_share_of_one",
    MAX_ARTIFACT_CHANGE,
    MAX_TOP_CHANGE,
];

const MAX_INVALID_RATIO: &str = "max_invalid_ratio";
const MAX_ARTIFACT_CHANGE: &str = "max_artifact_change";
const MAX_TOP_CHANGE: &str = "max_top_change";

pub(super) fn failed_gates(error: &anyhow::Error) -> Vec<&'static str> {
    if let (Some(JobError::NotMet { refused, .. }), _) | (_, Some(refused)) =
        (error.downcast_ref(), error.downcast_ref())
    {
        return match refused {
            Refused::MinEvents { .. } | Refused::Erasure { .. } => vec![Gate::MinEvents.as_str()],
            Refused::Day { failed, .. } => failed.iter().map(|check| check.gate.as_str()).collect(),
        };
    }
    let gate = match error.downcast_ref() {
        Some(PublishError::Empty { .. } | PublishError::EmptyFirst { .. }) => Some(Gate::MinEvents.as_str()),
        Some(PublishError::Changed { .. }) => Some(MAX_ARTIFACT_CHANGE),
        Some(PublishError::TopChanged { .. }) => Some(MAX_TOP_CHANGE),
        _ if error.is::<TooManyInvalid>() => Some(MAX_INVALID_RATIO),
        // In strict mode a single bad line is too many.
        _ if matches!(error.downcast_ref(), Some(LinesError::Line(_))) => Some(MAX_INVALID_RATIO),
        _ => error.downcast_ref().map(|stopped: &Stopped| stopped.why.gate()),
    };
    gate.into_iter().collect()
}

pub(super) fn exceeded_limit(error: &anyhow::Error) -> Option<&'static str> {
    let holder = (error.downcast_ref(), error.downcast_ref(), error.downcast_ref(), error.downcast_ref());
    let exceeded = match holder {
        (Some(JobError::Unfit { problem: Unfit::Limit(exceeded), .. }), ..)
        | (_, Some(PublishError::Blob { problem: Unfit::Limit(exceeded), .. }), ..)
        | (_, _, Some(StagingError::Limit(exceeded)), _)
        | (.., Some(CatalogError::Limit(exceeded))) => Some(exceeded),
        _ => error.downcast_ref::<LimitExceeded>(),
    };
    exceeded.map(|exceeded| exceeded.limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use recsys_core::gate::Validation;

    #[test]
    fn every_gate_is_known() {
        let validation = serde_json::to_value(Validation::default()).unwrap();
        // These settings are not gates.
        let others = ["lookback_days", "on_refused_day", "top_items"];
        let settings = validation.as_object().unwrap().keys();
        let settings = settings.filter(|setting| !others.contains(&setting.as_str()));
        let settings: Vec<&String> = settings.collect();
        assert_eq!(settings.len(), GATES.len());
        assert!(settings.iter().all(|setting| GATES.contains(&setting.as_str())), "{settings:?}");
    }
}
