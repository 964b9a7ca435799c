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
use crate::shell::clock;
use crate::shell::error::exit;

/// Identity of a process, and the record of its work.
#[derive(Debug)]
pub struct Run {
    /// Name of the binary; for an operator's command, with the command.
    pub(crate) binary: String,
    /// The scope, if the process works on exactly one.
    pub(crate) scope: Option<Scope>,
    /// Whether it processes data, in contrast to an operator's command.
    pub(crate) is_job: bool,
    pub(crate) start: Timestamp,
    begun: Instant,
    pub(crate) records: Arc<Mutex<Records>>,
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
    pub(crate) fn begin(binary: &str, command: Option<&str>, scope: Option<Scope>) -> Self {
        let command = command.filter(|command| *command != "run");
        Self {
            binary: command.map_or_else(|| binary.to_owned(), |command| format!("{binary}-{command}")),
            scope,
            is_job: command.is_none(),
            start: clock::wall(),
            begun: Instant::now(),
            records: Arc::default(),
        }
    }

    pub(super) fn ended(&self, outcome: &anyhow::Result<()>) -> Ended {
        let error = outcome.as_ref().err();
        Ended {
            exit_code: error.map_or(0, |error| exit(error) as u8),
            end: clock::wall(),
            took: self.begun.elapsed(),
            failed_gates: error.map(failed_gates).unwrap_or_default(),
            exceeded_limit: error.and_then(exceeded_limit),
        }
    }
}

/// Numbers of raw events by outcome.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Events {
    pub(crate) kept: u64,
    pub(crate) invalid: u64,
    pub(crate) duplicate: u64,
    pub(crate) foreign: u64,
}

/// An artifact that was built or published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Artifact {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// None if another process built it.
    pub(crate) skipped_sessions: Option<u64>,
}

/// Work of a process so far, by scope.
pub(crate) type Records = BTreeMap<Scope, Record>;

/// Work on one scope so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(super) steps: BTreeMap<&'static str, Duration>,
    pub(super) events: Option<Events>,
    pub(super) artifacts: BTreeMap<Kind, Artifact>,
    /// When the current manifest was updated.
    pub(crate) manifest_updated: Option<Timestamp>,
    /// Windows of the current artifacts.
    pub(crate) windows: BTreeMap<Kind, Window>,
    pub(super) volume_ratios: BTreeMap<&'static str, f64>,
    /// Limits, which track their own usage.
    pub(crate) limits: Option<Limits>,
    pub(super) notify_failed: Option<bool>,
}

impl Record {
    /// Adds to the duration of a step, which a run over several days repeats.
    pub(crate) fn add_step(&mut self, step: &'static str, took: Duration) {
        *self.steps.entry(step).or_default() += took;
    }

    /// Adds the events of a day.
    pub(crate) fn add_events(&mut self, more: Events) {
        let Events { kept, invalid, duplicate, foreign } = more;
        let events = self.events.get_or_insert_default();
        events.kept += kept;
        events.invalid += invalid;
        events.duplicate += duplicate;
        events.foreign += foreign;
    }

    /// Replaces the artifact of a kind. Keeps the known number of skipped sessions if `artifact` has none.
    pub(crate) fn set_artifact(&mut self, kind: Kind, artifact: Artifact) {
        let known = self.artifacts.get(&kind).and_then(|artifact| artifact.skipped_sessions);
        let skipped_sessions = artifact.skipped_sessions.or(known);
        self.artifacts.insert(kind, Artifact { skipped_sessions, ..artifact });
    }

    /// Sets the ratios of a day to the median of the days before, if there are enough of them.
    #[allow(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    pub(crate) fn set_volume(&mut self, counts: &DayCounts, past: &Past) {
        self.volume_ratios.clear();
        let Some(medians) = past.median.filter(|_| past.sufficient) else { return };
        let measures = [
            ("events", counts.events, medians.events),
            ("sessions", counts.sessions, medians.sessions),
            ("items", counts.items, medians.items),
            ("users", counts.users, medians.users),
        ];
        let known = measures.into_iter().filter(|(_, _, median)| *median > 0.0);
        self.volume_ratios.extend(known.map(|(measure, count, median)| (measure, count as f64 / median)));
    }

    /// Records whether a notification failed; one failure among several counts.
    pub(crate) fn add_notification(&mut self, failed: bool) {
        self.notify_failed = Some(failed || self.notify_failed == Some(true));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_days_add_up_and_those_of_artifacts_do_not() {
        let mut record = Record::default();
        record.add_step("build", Duration::from_secs(1));
        record.add_step("build", Duration::from_secs(2));
        assert_eq!(record.steps["build"], Duration::from_secs(3));
        for _ in 0..2 {
            record.add_events(Events { kept: 1, invalid: 2, duplicate: 3, foreign: 4 });
        }
        let events = record.events.unwrap();
        assert_eq!((events.kept, events.invalid, events.duplicate, events.foreign), (2, 4, 6, 8));
        record.set_artifact(Kind::Cooc, Artifact { items: 5, bytes: 50, skipped_sessions: Some(7) });
        record.set_artifact(Kind::Cooc, Artifact { items: 6, bytes: 60, skipped_sessions: None });
        let cooc = record.artifacts[&Kind::Cooc];
        assert_eq!((cooc.items, cooc.bytes, cooc.skipped_sessions), (6, 60, Some(7)));
        record.add_notification(true);
        record.add_notification(false);
        assert_eq!(record.notify_failed, Some(true));
    }

    #[test]
    fn a_day_is_measured_where_its_past_is_known() {
        let counts = |events| DayCounts { events, sessions: 4, ..DayCounts::default() };
        let day = |number: i64| {
            "2026-01-01".parse::<recsys_core::domain::window::Day>().unwrap().plus(number).unwrap()
        };
        let mut record = Record::default();
        record.set_volume(&counts(30), &Past::new(&[(day(0), counts(20)), (day(1), counts(20))], 2));
        let ratios: Vec<_> = record.volume_ratios.iter().map(|(measure, ratio)| (*measure, *ratio)).collect();
        // A median of 0 has no ratio.
        assert_eq!(ratios, [("events", 1.5), ("sessions", 1.0)]);
        record.set_volume(&counts(30), &Past::new(&[(day(0), counts(20))], 7));
        assert!(record.volume_ratios.is_empty());
    }
}
