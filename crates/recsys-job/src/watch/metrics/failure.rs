//! The gates and limits behind a failure, by the names of their settings.

use recsys_core::database::CatalogWriteError;
use recsys_core::domain::limit::LimitExceeded;
use recsys_core::gate::{Gate, Refused};
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::LinesError;
use recsys_core::input::quarantine::{Stopped, TooManyInvalid};
use recsys_core::publish::{PublishError, Unfit};
use recsys_core::staging::StagingError;
use recsys_core::table::events::TableError;

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
    let exceeded = if let Some(exceeded) = error.downcast_ref::<LimitExceeded>() {
        exceeded
    } else if let Some(TableError::Limit(exceeded)) = error.downcast_ref() {
        exceeded
    } else if let Some(StagingError::Limit(exceeded)) = error.downcast_ref() {
        exceeded
    } else if let Some(CatalogError::Limit(exceeded)) = error.downcast_ref() {
        exceeded
    } else if let Some(CatalogWriteError::Catalog(CatalogError::Limit(exceeded))) = error.downcast_ref() {
        exceeded
    } else if let Some(JobError::Unfit { problem: Unfit::Limit(exceeded), .. }) = error.downcast_ref() {
        exceeded
    } else if let Some(PublishError::Blob { problem: Unfit::Limit(exceeded), .. }) = error.downcast_ref() {
        exceeded
    } else {
        return None;
    };
    Some(exceeded.limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use recsys_core::domain::limit::{Limit, Limits};
    use recsys_core::gate::Validation;

    /// Transparent errors hide what they hold from the chain of causes.
    #[test]
    fn a_limit_is_known_whatever_error_holds_it() {
        let limits = Limits { max_items_per_session: 1, ..Limits::default() };
        let exceeded = || limits.check(Limit::ItemsPerSession, 2).unwrap_err();
        let errors: [anyhow::Error; 6] = [
            exceeded().into(),
            TableError::Limit(exceeded()).into(),
            StagingError::Limit(exceeded()).into(),
            CatalogError::Limit(exceeded()).into(),
            CatalogWriteError::Catalog(CatalogError::Limit(exceeded())).into(),
            JobError::Unfit { name: "x".to_owned(), problem: Unfit::Limit(exceeded()) }.into(),
        ];
        for error in errors {
            assert_eq!(exceeded_limit(&error), Some("max_items_per_session"), "{error:#}");
        }
        assert_eq!(exceeded_limit(&JobError::Usage("x".to_owned()).into()), None);
    }

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
