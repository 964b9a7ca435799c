//! Tracks how close a run came to its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The limits that stop a run, by the names of their settings.
pub const HARD_LIMITS: [&str; 9] = [
    "max_days_backfill",
    "max_events_per_run",
    "max_sessions_per_run",
    "max_items_per_session",
    "max_users_per_run",
    "max_distinct_items_per_run",
    "max_catalog_items",
    "max_tags_per_item",
    "max_artifact_bytes",
];

/// The greatest value checked against each hard limit. Clones share their counters.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<[AtomicU64; HARD_LIMITS.len()]>);

impl Usage {
    /// Records a value that was checked against a limit; ignores names that are not hard limits.
    pub(super) fn note(&self, limit: &str, value: u64) {
        let Some(at) = HARD_LIMITS.iter().position(|name| *name == limit) else { return };
        // 0 means that no value was seen.
        let value = value.saturating_add(1);
        if self.0[at].load(Ordering::Relaxed) < value {
            self.0[at].fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The greatest value checked against `limit`; `None` if it was never checked.
    pub fn greatest(&self, limit: &str) -> Option<u64> {
        let at = HARD_LIMITS.iter().position(|name| *name == limit)?;
        self.0[at].load(Ordering::Relaxed).checked_sub(1)
    }
}

/// Always equal: usage must not affect the comparison of limits.
impl PartialEq for Usage {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Usage {}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    #[test]
    fn the_greatest_value_stays() {
        let limits = Limits::default();
        assert_eq!(limits.usage.greatest("max_events_per_run"), None);
        for seen in [0, 7, 3, 2_000_000] {
            let _ = limits.clone().check("max_events_per_run", limits.max_events_per_run, seen);
        }
        assert_eq!(limits.usage.greatest("max_events_per_run"), Some(2_000_000));
        assert_eq!(limits.usage.greatest("max_users_per_run"), None);
        assert!(limits.check("max_users_per_run", 5, 0).is_ok());
        assert_eq!(limits.usage.greatest("max_users_per_run"), Some(0));
    }

    /// Every setting under `limits` is a hard limit, a cut, or a rule for lines.
    #[test]
    fn every_limit_is_known() {
        let cuts = [
            "oversized_sessions",
            "max_items_per_artifact",
            "max_neighbors_per_item",
            "max_items_per_user",
            "min_cooc_support",
        ];
        let rules = ["max_id_bytes"];
        let limits = serde_json::to_value(Limits::default()).unwrap();
        let settings = limits.as_object().unwrap().keys().map(String::as_str);
        let hard: Vec<&str> =
            settings.filter(|setting| !cuts.contains(setting) && !rules.contains(setting)).collect();
        assert_eq!(hard.len(), HARD_LIMITS.len());
        for limit in hard {
            assert!(HARD_LIMITS.contains(&limit), "{limit}");
            assert_eq!(Limits::default().max_of(limit), limits[limit].as_u64(), "{limit}");
        }
    }
}
