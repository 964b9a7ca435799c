//! Facts about a process: its identity, its work, its outcome.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::Mutex;
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::Window;
use recsys_core::gate::{DayCounts, Past};

use super::failure::{exceeded_limit, failed_gates};
use crate::config::Linked;
use crate::shell::clock;
use crate::shell::error::{class, exit_code};

const VOLUME_RATIO: &str = "recsys_volume_ratio";

/// Identity of a process, and the record of its work.
#[derive(Debug)]
pub struct Run {
    pub(crate) linked: Linked,
    /// Name of the binary; for an operator's command, with the command.
    pub(crate) binary: String,
    /// The scope, if the process works on exactly one.
    pub(crate) scope: Option<Scope>,
    /// Whether it processes data, in contrast to an operator's command.
    pub(crate) is_job: bool,
    pub(crate) start: Timestamp,
    begun: Instant,
    pub(crate) metrics: Arc<Mutex<MetricsByScope>>,
}

/// Outcome of a process.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit_code: u8,
    pub(crate) end: Timestamp,
    pub(crate) took: Duration,
    pub(crate) failed_gates: Vec<&'static str>,
    pub(crate) exceeded_limit: Option<&'static str>,
}

impl Run {
    pub(crate) fn begin(linked: Linked, binary: &str, command: Option<&str>, scope: Option<Scope>) -> Self {
        let command = command.filter(|command| *command != "run");
        Self {
            linked,
            binary: command.map_or_else(|| binary.to_owned(), |command| format!("{binary}-{command}")),
            scope,
            is_job: command.is_none(),
            start: clock::wall(),
            begun: Instant::now(),
            metrics: Arc::default(),
        }
    }

    pub(super) fn ended(&self, outcome: &anyhow::Result<()>) -> Ended {
        let error = outcome.as_ref().err();
        Ended {
            exit_code: error.map_or(0, |error| exit_code(class(error))),
            end: clock::wall(),
            took: self.begun.elapsed(),
            failed_gates: error.map(failed_gates).unwrap_or_default(),
            exceeded_limit: error.and_then(exceeded_limit),
        }
    }
}

/// Work of a process so far, by scope.
pub(crate) type MetricsByScope = BTreeMap<Scope, ScopeMetrics>;

/// The name of a label, and its value.
pub(super) type Label = (&'static str, &'static str);

/// Work on one scope so far.
#[derive(Debug, Default)]
pub(crate) struct ScopeMetrics {
    /// By the name of the metric, and the label that it has besides the common ones.
    pub(super) values: BTreeMap<(&'static str, Option<Label>), f64>,
    /// When the current manifest was updated.
    pub(crate) manifest_updated: Option<Timestamp>,
    /// Windows of the current artifacts.
    pub(crate) windows: BTreeMap<Kind, Window>,
    /// Limits, which track their own usage.
    pub(crate) limits: Option<Limits>,
}

impl ScopeMetrics {
    fn value(&mut self, name: &'static str, label: Option<Label>) -> &mut f64 {
        self.values.entry((name, label)).or_default()
    }

    /// Adds to the duration of a step, which a run over several days repeats.
    pub(crate) fn add_step(&mut self, step: &'static str, took: Duration) {
        *self.value("recsys_step_duration_seconds", Some(("step", step))) += took.as_secs_f64();
    }

    /// Adds raw events of a day by what became of them. As soon as any is known, each state has a number.
    pub(crate) fn add_events(&mut self, state: &'static str, count: u64) {
        for each in ["kept", "invalid", "duplicate", "foreign"] {
            let more = if each == state { number(count) } else { 0.0 };
            *self.value("recsys_run_events", Some(("state", each))) += more;
        }
    }

    /// Replaces the artifact of a kind. Keeps the known number of skipped sessions if another process built this one.
    pub(crate) fn set_artifact(&mut self, kind: Kind, items: u64, bytes: u64, skipped_sessions: Option<u64>) {
        let label = Some(("kind", kind.as_str()));
        *self.value("recsys_artifact_items", label) = number(items);
        *self.value("recsys_artifact_size_bytes", label) = number(bytes);
        if let Some(skipped) = skipped_sessions {
            *self.value("recsys_artifact_skipped_sessions", label) = number(skipped);
        }
    }

    /// Sets the ratios of a day to the median of the days before, if there are enough of them.
    pub(crate) fn set_volume(&mut self, counts: &DayCounts, past: &Past) {
        self.values.retain(|(name, _), _| *name != VOLUME_RATIO);
        let Some(medians) = past.median.filter(|_| past.sufficient) else { return };
        let measures = [
            ("events", counts.events, medians.events),
            ("sessions", counts.sessions, medians.sessions),
            ("items", counts.items, medians.items),
            ("users", counts.users, medians.users),
        ];
        for (measure, count, median) in measures.into_iter().filter(|(_, _, median)| *median > 0.0) {
            *self.value(VOLUME_RATIO, Some(("measure", measure))) = number(count) / median;
        }
    }

    /// Records whether a notification failed; one failure among several counts.
    pub(crate) fn add_notification(&mut self, failed: bool) {
        let value = self.value("recsys_notify_failed", None);
        *value = value.max(f64::from(failed));
    }
}

#[allow(clippy::cast_precision_loss, reason = "a sample is a floating-point number")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of a metric, by label.
    fn values(metrics: &ScopeMetrics, name: &str) -> Vec<(&'static str, f64)> {
        let of_name = metrics.values.iter().filter(|((of, _), _)| *of == name);
        of_name.map(|((_, label), value)| (label.map_or("", |(_, label)| label), *value)).collect()
    }

    #[test]
    fn numbers_of_days_add_up_and_those_of_artifacts_do_not() {
        let mut metrics = ScopeMetrics::default();
        metrics.add_step("build", Duration::from_secs(1));
        metrics.add_step("build", Duration::from_secs(2));
        assert_eq!(values(&metrics, "recsys_step_duration_seconds"), [("build", 3.0)]);
        for _ in 0..2 {
            for (state, count) in [("kept", 1), ("duplicate", 3), ("foreign", 4)] {
                metrics.add_events(state, count);
            }
        }
        let events = [("duplicate", 6.0), ("foreign", 8.0), ("invalid", 0.0), ("kept", 2.0)];
        assert_eq!(values(&metrics, "recsys_run_events"), events);
        metrics.set_artifact(Kind::Cooc, 5, 50, Some(7));
        metrics.set_artifact(Kind::Cooc, 6, 60, None);
        assert_eq!(values(&metrics, "recsys_artifact_items"), [("cooc", 6.0)]);
        assert_eq!(values(&metrics, "recsys_artifact_size_bytes"), [("cooc", 60.0)]);
        assert_eq!(values(&metrics, "recsys_artifact_skipped_sessions"), [("cooc", 7.0)]);
        metrics.add_notification(true);
        metrics.add_notification(false);
        assert_eq!(values(&metrics, "recsys_notify_failed"), [("", 1.0)]);
    }

    #[test]
    fn a_day_is_measured_where_its_past_is_known() {
        let counts = |events| DayCounts { events, sessions: 4, ..DayCounts::default() };
        let day = |number: i64| {
            "2026-01-01".parse::<recsys_core::domain::window::Day>().unwrap().plus(number).unwrap()
        };
        let mut metrics = ScopeMetrics::default();
        metrics.set_volume(&counts(30), &Past::new(&[(day(0), counts(20)), (day(1), counts(20))], 2));
        // A median of 0 has no ratio.
        assert_eq!(values(&metrics, VOLUME_RATIO), [("events", 1.5), ("sessions", 1.0)]);
        metrics.set_volume(&counts(30), &Past::new(&[(day(0), counts(20))], 7));
        assert!(values(&metrics, VOLUME_RATIO).is_empty());
    }
}
