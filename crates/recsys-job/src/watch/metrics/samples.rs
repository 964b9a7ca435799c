//! Samples of a process: names, labels and values.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::domain::limit::Limit;

use super::failure::GATES;
use super::run_metrics::{Ended, Label, Run, ScopeMetrics, number};

pub(super) const LAST_SUCCESS: &str = "recsys_run_last_success_timestamp_seconds";
pub(super) const MANIFEST_UPDATED: &str = "recsys_manifest_updated_timestamp_seconds";
pub(super) const WINDOW_END: &str = "recsys_artifact_window_end_timestamp_seconds";

/// Name and help text of every metric. All are gauges.
pub const METRICS: [(&str, &str); 18] = [
    ("recsys_run_success", "Whether the last run succeeded."),
    ("recsys_run_exit_code", "The exit code of the last run."),
    ("recsys_run_start_timestamp_seconds", "When the last run began."),
    ("recsys_run_end_timestamp_seconds", "When the last run ended."),
    ("recsys_run_duration_seconds", "How long the last run took."),
    (LAST_SUCCESS, "When the last run that succeeded ended."),
    ("recsys_step_duration_seconds", "How long a step of the last run took, over all its days."),
    ("recsys_run_events", "Exposures that the last run has read, by what became of them."),
    ("recsys_artifact_items", "Rows of the artifact that was built or published last."),
    ("recsys_artifact_size_bytes", "Size of the artifact that was built or published last."),
    (
        "recsys_artifact_skipped_sessions",
        "Sessions left out of the artifact because they have too many items.",
    ),
    (MANIFEST_UPDATED, "The updated_at of the manifest as it was seen last."),
    (WINDOW_END, "The end of the window of the artifact that is current, as it was seen last."),
    ("recsys_gate_failed", "Whether the last run was refused by a gate."),
    ("recsys_limit_exceeded", "Whether the last run exceeded a limit."),
    (
        "recsys_limit_usage_ratio",
        "The greatest value of the last run that was held against a limit, over the limit.",
    ),
    ("recsys_volume_ratio", "What the last day judged holds, over the median of the days before it."),
    ("recsys_notify_failed", "Whether a notification of the last run did not arrive."),
];

/// A value with its name and labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) scope: Option<Scope>,
    /// A label in addition to the common ones.
    pub(super) label: Option<Label>,
    pub(super) value: f64,
}

impl Sample {
    fn labels(&self, run: &Run) -> Vec<(&'static str, String)> {
        let mut labels = vec![("binary", run.binary.clone())];
        if let Some(Scope { tenant, surface }) = &self.scope {
            labels.extend([("tenant", tenant.to_string()), ("surface", surface.to_string())]);
        }
        labels.extend(self.label.map(|(name, value)| (name, value.to_owned())));
        labels
    }
}

/// All samples of a finished run.
pub(super) fn of(run: &Run, ended: &Ended) -> Vec<Sample> {
    let mut samples = process_samples(run, ended);
    for (scope, metrics) in &*run.metrics.lock() {
        scope_samples(scope, metrics, &mut samples);
    }
    samples
}

/// How the process ended.
fn process_samples(run: &Run, ended: &Ended) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut add = |name, label, value| {
        samples.push(Sample { name, scope: run.scope.clone(), label, value });
    };
    let success = ended.exit_code == 0;
    add("recsys_run_success", None, f64::from(success));
    add("recsys_run_exit_code", None, ended.exit_code.into());
    add("recsys_run_start_timestamp_seconds", None, seconds(run.start));
    add("recsys_run_end_timestamp_seconds", None, seconds(ended.end));
    add("recsys_run_duration_seconds", None, ended.took.as_secs_f64());
    if success {
        add(LAST_SUCCESS, None, seconds(ended.end));
    }
    if run.is_job {
        for gate in GATES {
            let failed = ended.failed_gates.contains(&gate);
            add("recsys_gate_failed", Some(("gate", gate)), f64::from(failed));
        }
        let limits = || Limit::ALL.iter().map(|limit| limit.as_str());
        let cut = ended.exceeded_limit.filter(|limit| limits().all(|known| known != *limit));
        for limit in limits().chain(cut) {
            let exceeded = ended.exceeded_limit == Some(limit);
            add("recsys_limit_exceeded", Some(("limit", limit)), f64::from(exceeded));
        }
    }
    samples
}

/// What was done for one scope.
fn scope_samples(scope: &Scope, metrics: &ScopeMetrics, samples: &mut Vec<Sample>) {
    let mut add = |name, label, value| {
        samples.push(Sample { name, scope: Some(scope.clone()), label, value });
    };
    for ((name, label), value) in &metrics.values {
        add(*name, *label, *value);
    }
    if let Some(limits) = &metrics.limits {
        for limit in Limit::ALL {
            if let (Some(seen), Some(max)) = (limits.usage.greatest(*limit), limits.max_of(*limit)) {
                let ratio = number(seen) / number(max);
                add("recsys_limit_usage_ratio", Some(("limit", limit.as_str())), ratio);
            }
        }
    }
    if let Some(updated_at) = metrics.manifest_updated {
        add(MANIFEST_UPDATED, None, seconds(updated_at));
    }
    for (kind, window) in &metrics.windows {
        add(WINDOW_END, Some(("kind", kind.as_str())), nanoseconds(window.end().start_ns()));
    }
}

/// End of the window of a kind's current artifact.
pub(super) fn window_end(scope: Option<Scope>, kind: Kind, value: f64) -> Sample {
    Sample { name: WINDOW_END, scope, label: Some(("kind", kind.as_str())), value }
}

/// A sample with the common labels only.
pub(super) fn plain(run: &Run, name: &'static str, value: f64) -> Sample {
    Sample { name, scope: run.scope.clone(), label: None, value }
}

/// Encodes samples in the Prometheus text format, version 0.0.4.
pub(super) fn text<'a>(
    run: &Run,
    samples: impl IntoIterator<Item = &'a Sample>,
) -> prometheus::Result<String> {
    let mut by_name: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for sample in samples {
        by_name.entry(sample.name).or_default().push((sample.labels(run), sample.value));
    }
    let registry = Registry::new();
    for (name, help) in METRICS {
        let Some(series) = by_name.get(name) else { continue };
        let names: Vec<&str> = series[0].0.iter().map(|(name, _)| *name).collect();
        let gauges = GaugeVec::new(Opts::new(name, help), &names)?;
        for (labels, value) in series {
            let labels: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
            gauges.get_metric_with_label_values(&labels)?.set(*value);
        }
        registry.register(Box::new(gauges))?;
    }
    TextEncoder::new().encode_to_string(&registry.gather())
}

#[allow(clippy::cast_precision_loss, reason = "a whole number of seconds below 2^53")]
fn nanoseconds(since: i64) -> f64 {
    (since / 1_000_000_000) as f64
}

/// A time in seconds since 1970.
fn seconds(time: Timestamp) -> f64 {
    let since = Duration::try_from(time.duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default();
    since.as_secs_f64()
}
