//! What a process tells a monitoring system about itself: Prometheus text, into a file or to a Pushgateway, at its end
//! and whatever its outcome.
//!
//! A process runs once, so its numbers are gauges of that one run. They are noted where they are known, in the one
//! record of the process, and become samples when it ends. Nothing here changes the exit code.

mod failure;
mod file;
mod push;
mod record;
mod samples;

use std::sync::LazyLock;

use parking_lot::Mutex;
use recsys_core::domain::id::Scope;

pub use samples::METRICS;

pub(crate) use record::{Artifact, Events, Record, Run};

use crate::config::{Config, MetricsSettings};
use crate::shell::cli::CommonArgs;
use crate::shell::error::{JobError, one_line};

static RECORD: LazyLock<Mutex<Record>> = LazyLock::new(Mutex::default);

/// Notes something about this process.
pub(crate) fn record(note: impl FnOnce(&mut Record)) {
    note(&mut RECORD.lock());
}

/// Writes and pushes the metrics of a process that has come to its end, to where flags and configuration say. What
/// cannot be written is a warning.
pub(crate) fn end(run: &Run, common: &CommonArgs, outcome: &Result<(), JobError>) {
    let MetricsSettings { file, push } = destinations(common);
    if file.is_none() && push.is_none() {
        return;
    }
    let ended = run.ended(outcome);
    let record = RECORD.lock();
    let samples = samples::of(run, &record, &ended);
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

/// Where metrics go. With a configuration that cannot be used, the flags and the environment still count.
fn destinations(common: &CommonArgs) -> MetricsSettings {
    let config = Config::load(common.config.as_deref()).or_else(|_| Config::load(None));
    let settings = config.map(|config| config.metrics).unwrap_or_default();
    MetricsSettings {
        file: common.metrics_file.clone().or(settings.file),
        push: common.metrics_push.clone().or(settings.push),
    }
}

/// The name of the file, which may differ by binary, tenant and surface. What fills a place has none of its own.
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
        let run = Run::begin("job_x", None, Some(scope));
        assert_eq!(
            file_name("{/{binary}.{tenant}.{surface}.{x}.prom", &run),
            "{/job_x.{surface}.home.{x}.prom"
        );
        assert_eq!(file_name("{tenant}", &Run::begin("x", None, None)), "_all");
    }
}
