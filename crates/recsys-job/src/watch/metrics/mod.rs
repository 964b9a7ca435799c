//! Metrics of a process in Prometheus text format, written to a file or a Pushgateway when it ends, whatever the
//! outcome.
//!
//! A process runs once, so all metrics are gauges of that run. Values are collected in the run, by the scope they are
//! of, and become samples at the end. Nothing here changes the exit code.

mod failure;
mod file;
mod push;
mod run_metrics;
mod samples;

use recsys_core::domain::id::Scope;

pub use run_metrics::Run;
pub use samples::METRICS;

pub(crate) use run_metrics::{MetricsByScope, ScopeMetrics};

use crate::config::{Config, Linked, MetricsSettings};
use crate::shell::cli::CommonArgs;
use crate::shell::error::one_line;

/// Writes and pushes the metrics of a process that is about to end. Failures are only warnings.
pub(crate) fn end(run: &Run, common: &CommonArgs, outcome: &anyhow::Result<()>) {
    let MetricsSettings { file, push } = destinations(run.linked, common);
    if file.is_none() && push.is_none() {
        return;
    }
    let ended = run.ended(outcome);
    let samples = samples::of(run, &ended);
    if let Some(template) = file {
        let path = file_name(&template, run);
        if let Err(error) = file::write(&path, samples.clone(), run, &ended) {
            tracing::warn!(path, error = one_line(&error), "metrics cannot be written");
        }
    }
    if let Some(base) = push
        && let Err(error) = push::push(&base, run, &samples)
    {
        tracing::warn!(error = one_line(&error), "metrics cannot be pushed");
    }
}

/// The destinations. If the configuration is invalid, flags and environment still count.
fn destinations(linked: Linked, common: &CommonArgs) -> MetricsSettings {
    let config = Config::load(common.config.as_deref(), linked).or_else(|_| Config::load(None, linked));
    let settings = config.map(|config| config.metrics).unwrap_or_default();
    MetricsSettings {
        file: common.metrics_file.clone().or(settings.file),
        push: common.metrics_push.clone().or(settings.push),
    }
}

/// Fills in the file name. Placeholders inside a filled-in value are not expanded.
fn file_name(template: &str, run: &Run) -> String {
    let (tenant, surface) = match &run.scope {
        Some(Scope { tenant, surface }) => (tenant.as_str(), surface.as_str()),
        None => ("_all", "_all"),
    };
    let places = [("{binary}", run.binary.as_str()), ("{tenant}", tenant), ("{surface}", surface)];
    let mut name = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        name += &rest[..at];
        rest = &rest[at..];
        let (place, filled) =
            places.iter().find(|(place, _)| rest.starts_with(place)).copied().unwrap_or(("{", "{"));
        name += filled;
        rest = &rest[place.len()..];
    }
    name + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_a_name_are_filled_once() {
        let scope = Scope { tenant: "{surface}".parse().unwrap(), surface: "home".parse().unwrap() };
        let run = Run::begin(Linked::default(), "job_x", None, Some(scope));
        assert_eq!(
            file_name("{/{binary}.{tenant}.{surface}.{x}.prom", &run),
            "{/job_x.{surface}.home.{x}.prom"
        );
        assert_eq!(file_name("{tenant}", &Run::begin(Linked::default(), "x", None, None)), "_all");
    }
}
