//! The gates and limits behind a failure, by the names of their settings.

use recsys_core::gate::{Gate, Refused};
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::LinesError;
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

/// The gates that refused.
pub(super) fn failed_gates(error: &JobError) -> Vec<&'static str> {
    match error {
        JobError::Gate(refused) | JobError::NotMet { refused, .. } => match refused {
            Refused::MinEvents { .. } | Refused::Erasure { .. } => vec![Gate::MinEvents.as_str()],
            Refused::Day { failed, .. } => failed.iter().map(|check| check.gate.as_str()).collect(),
        },
        JobError::Publish(PublishError::Empty { .. } | PublishError::EmptyFirst { .. }) => {
            vec![Gate::MinEvents.as_str()]
        }
        // In strict mode a single bad line is too many.
        JobError::Invalid(_) | JobError::Lines(LinesError::Line { .. }) => vec![MAX_INVALID_RATIO],
        JobError::Stopped(stopped) => vec![stopped.why.gate()],
        JobError::Publish(PublishError::Changed { .. }) => vec![MAX_ARTIFACT_CHANGE],
        JobError::Publish(PublishError::TopChanged { .. }) => vec![MAX_TOP_CHANGE],
        _ => Vec::new(),
    }
}

/// The limit that was exceeded.
pub(super) fn exceeded_limit(error: &JobError) -> Option<&'static str> {
    match error {
        JobError::Limit(exceeded)
        | JobError::Staging(StagingError::Limit(exceeded))
        | JobError::Catalog(CatalogError::Limit(exceeded))
        | JobError::Unfit { source: Unfit::Limit(exceeded), .. }
        | JobError::Publish(PublishError::Blob { source: Unfit::Limit(exceeded), .. }) => {
            Some(exceeded.limit)
        }
        _ => None,
    }
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
