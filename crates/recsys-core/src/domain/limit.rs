//! Hard limits, which stop a run, and cuts, which shorten lists.
//!
//! Input is never truncated to fit a hard limit. A run that exceeds one fails with the limit's name, the value seen
//! and the setting to change.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::domain::class::class;

/// The limits of a run. Each field is the setting of the same name under `limits`.
///
/// A *run* is the work on one day: the day that is ingested, or the window that is built for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Days in the range from `--start` to `--end`.
    pub max_days_backfill: u64,
    /// Events in a day or window, after repeated deliveries are dropped.
    pub max_events_per_run: u64,
    /// Distinct sessions in a window.
    pub max_sessions_per_run: u64,
    /// Distinct items in a session; `oversized_sessions` says what happens to a larger one.
    pub max_items_per_session: u64,
    /// Distinct users in a window.
    pub max_users_per_run: u64,
    /// Distinct items in a window.
    pub max_distinct_items_per_run: u64,
    /// Rows in a catalogue.
    pub max_catalog_items: u64,
    /// Distinct tags of an item of a catalogue.
    pub max_tags_per_item: u64,
    /// Bytes of a stored artifact; 0 means no limit.
    pub max_artifact_bytes: u64,
    /// Bytes of an id or a segment. A rule for lines and rows, not a hard limit.
    pub max_id_bytes: usize,
    /// How `cooc` handles a session with more than `max_items_per_session` items.
    pub oversized_sessions: OversizedSessions,
    /// Cut: items of `popularity`, rows of `cooc` with the scorer `count`.
    pub max_items_per_artifact: usize,
    /// Cut: neighbours of an item in `cooc`.
    pub max_neighbors_per_item: usize,
    /// Cut: items of a user in `implicit` and `session_seq`.
    pub max_items_per_user: usize,
    /// Cut: minimum number of sessions, or other units of a model, with a pair for it to count in `cooc`.
    pub min_cooc_support: u32,
    /// The greatest values seen so far, for each hard limit.
    #[serde(skip)]
    pub usage: Usage,
}

/// How `cooc` handles a session with more than `max_items_per_session` items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OversizedSessions {
    /// The job fails.
    Fail,
    /// The session is skipped and counted.
    Skip,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_days_backfill: 365,
            max_events_per_run: 1_000_000,
            max_sessions_per_run: 1_000_000,
            max_items_per_session: 200,
            max_users_per_run: 100_000,
            max_distinct_items_per_run: 2_000_000,
            max_catalog_items: 2_000_000,
            max_tags_per_item: 1000,
            max_artifact_bytes: 10_000_000,
            max_id_bytes: Self::MAX_ID_BYTES,
            oversized_sessions: OversizedSessions::Fail,
            max_items_per_artifact: 1000,
            max_neighbors_per_item: 50,
            max_items_per_user: 500,
            min_cooc_support: 2,
            usage: Usage::default(),
        }
    }
}

/// A limit was exceeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "limit {limit} exceeded: {value} of at most {max}{place}; raise limits.{limit} if this is expected{alternative}"
)]
pub struct LimitExceeded {
    /// The name of the limit and of its setting.
    pub limit: &'static str,
    /// The value seen.
    pub value: u64,
    /// The value allowed.
    pub max: u64,
    /// Where the value was seen, as ` in …`, or empty.
    pub place: String,
    /// An alternative to raising the limit, as `, or …`, or empty.
    pub alternative: Cow<'static, str>,
}

class!(LimitExceeded => Limit);

impl LimitExceeded {
    /// Adds a place that contains those already given.
    #[must_use]
    pub fn in_place(mut self, place: impl std::fmt::Display) -> Self {
        self.place = format!("{} in {place}", self.place);
        self
    }
}

impl Limits {
    /// Default of `max_id_bytes`. Ids are held in memory, some more than once.
    pub const MAX_ID_BYTES: usize = 512;

    /// What `limit` allows; none when it is off.
    pub fn max_of(&self, limit: Limit) -> Option<u64> {
        let max = limit.setting(self);
        (max > 0).then_some(max)
    }

    /// Compares a value with what `limit` allows, and keeps the greatest for the metrics.
    pub fn check(&self, limit: Limit, value: usize) -> Result<(), LimitExceeded> {
        self.usage.note(limit, value as u64);
        compare(limit.as_str(), limit.setting(self), value as u64)
    }

    /// Compares the length of a list that is read back with the cut that its builder applies.
    pub(crate) fn check_cut(&self, cut: Cut, length: usize) -> Result<(), LimitExceeded> {
        compare(cut.as_str(), cut.setting(self) as u64, length as u64)
    }

    /// Checks the size of a stored artifact, which the serving side limits.
    pub fn check_artifact_bytes(&self, bytes: usize) -> Result<(), LimitExceeded> {
        if self.max_artifact_bytes == 0 {
            return Ok(());
        }
        self.check(Limit::ArtifactBytes, bytes)
    }
}

fn compare(limit: &'static str, max: u64, value: u64) -> Result<(), LimitExceeded> {
    if value > max {
        return Err(LimitExceeded {
            limit,
            value,
            max,
            place: String::new(),
            alternative: Cow::Borrowed(""),
        });
    }
    Ok(())
}

macro_rules! settings {
    ($(#[$doc:meta])* $vis:vis enum $name:ident: $type:ty { $($variant:ident = $setting:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each is the setting of its name, which `Limits` describes")]
        $vis enum $name { $($variant,)* }

        impl $name {
            /// All of them, in the order of their numbers.
            #[allow(dead_code, reason = "of the cuts, only a test asks for all")]
            $vis const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name of the setting.
            $vis fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($setting),)* }
            }

            fn setting(self, limits: &Limits) -> $type {
                match self { $(Self::$variant => limits.$setting,)* }
            }
        }
    };
}

settings! {
    /// A limit that stops a run.
    pub enum Limit: u64 {
        DaysBackfill = max_days_backfill,
        EventsPerRun = max_events_per_run,
        SessionsPerRun = max_sessions_per_run,
        ItemsPerSession = max_items_per_session,
        UsersPerRun = max_users_per_run,
        DistinctItemsPerRun = max_distinct_items_per_run,
        CatalogItems = max_catalog_items,
        TagsPerItem = max_tags_per_item,
        ArtifactBytes = max_artifact_bytes,
    }
}

settings! {
    /// A length to which lists are cut.
    pub(crate) enum Cut: usize {
        ItemsPerArtifact = max_items_per_artifact,
        NeighborsPerItem = max_neighbors_per_item,
        ItemsPerUser = max_items_per_user,
    }
}

/// The greatest value checked against each hard limit. Clones share their counters.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<[AtomicU64; Limit::ALL.len()]>);

impl Usage {
    /// Notes a value that was compared with a limit.
    fn note(&self, limit: Limit, value: u64) {
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
