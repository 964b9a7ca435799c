//! Tracks how close a run came to its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Limit;

/// The greatest value checked against each hard limit. Clones share their counters.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<[AtomicU64; Limit::ALL.len()]>);

impl Usage {
    /// Notes a value that was compared with a limit.
    pub(super) fn note(&self, limit: Limit, value: u64) {
        // 0 stands for nothing seen.
        let value = value.saturating_add(1);
        let greatest = &self.0[limit as usize];
        if greatest.load(Ordering::Relaxed) < value {
            greatest.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The greatest value that was compared with `limit`; none when there was no comparison.
    pub fn greatest(&self, limit: Limit) -> Option<u64> {
        self.0[limit as usize].load(Ordering::Relaxed).checked_sub(1)
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
    use std::collections::BTreeSet;

    use super::super::{Cut, Limits};
    use super::*;

    #[test]
    fn the_greatest_value_stays() {
        let limits = Limits::default();
        assert_eq!(limits.usage.greatest(Limit::EventsPerRun), None);
        for value in [0, 7, 3, 2_000_000] {
            let _ = limits.clone().check(Limit::EventsPerRun, value);
        }
        assert_eq!(limits.usage.greatest(Limit::EventsPerRun), Some(2_000_000));
        assert_eq!(limits.usage.greatest(Limit::UsersPerRun), None);
        assert!(limits.check(Limit::UsersPerRun, 0).is_ok());
        assert_eq!(limits.usage.greatest(Limit::UsersPerRun), Some(0));
    }

    /// Every setting under `limits` is a limit that stops a run, a cut, or another rule.
    #[test]
    fn every_setting_is_known() {
        let rules = ["max_id_bytes", "oversized_sessions", "min_cooc_support"];
        let limits = serde_json::to_value(Limits::default()).unwrap();
        let settings: BTreeSet<&str> = limits.as_object().unwrap().keys().map(String::as_str).collect();
        let stops = Limit::ALL.iter().map(|limit| limit.as_str());
        let known = stops.chain(Cut::ALL.iter().map(|cut| cut.as_str())).chain(rules);
        assert_eq!(known.collect::<BTreeSet<&str>>(), settings);
        for limit in Limit::ALL {
            assert_eq!(Limits::default().max_of(*limit), limits[limit.as_str()].as_u64(), "{limit:?}");
        }
    }
}
