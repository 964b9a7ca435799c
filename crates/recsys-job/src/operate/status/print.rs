//! Text output of `status`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use recsys_core::domain::id::Segment;
use recsys_core::domain::window::{Day, ranges};
use recsys_core::publish::{describe, is_from_the_future};

use super::super::{self as operate, Failure, readable};
use super::StatusJob;
use super::surface::{AgeLimits, KindStatus, SurfaceState, SurfaceStatus};
use crate::shell::clock;
use crate::shell::output::Output;

/// Cell without a value.
const NONE: &str = "-";

pub(super) fn table(output: &Output, flags: &StatusJob, manifests: &[SurfaceStatus], failures: &[Failure]) {
    if manifests.is_empty() && failures.is_empty() {
        output.line(if flags.problems { "no problems" } else { "no manifest in the registry" });
    } else if flags.kinds {
        kinds(output, manifests, failures);
    } else {
        surfaces(output, manifests, failures);
    }
}

/// One row per surface.
fn surfaces(output: &Output, manifests: &[SurfaceStatus], failures: &[Failure]) {
    let header = ["STATE", "DATA UNTIL", "LAG", "AGE", "CHECKPOINT", "REFUSED", "LAST FAILURE"];
    let mut table = operate::scope_table(header);
    for failure in failures {
        table.add_row_of(&failure.scope, [failure.word(), NONE, NONE, NONE, NONE, NONE, NONE]);
    }
    for status in manifests {
        let states: Vec<&str> = status.states.iter().map(|state| state.word()).collect();
        let oldest = status.kinds.iter().map(|kind| kind.age_seconds).max();
        let checkpoint = match &status.checkpoint_problem {
            Some(_) => "broken".to_owned(),
            None => or_none(status.checkpoint),
        };
        let refused = match status.refused_days.as_deref() {
            None => "?".to_owned(),
            Some([]) => NONE.to_owned(),
            Some([day]) => day.to_string(),
            Some([first, rest @ ..]) => format!("{first} and {} more", rest.len()),
        };
        let failure = status.last_failure.as_ref();
        let failure = failure.map(|note| format!("{} {} ago", note.binary, since(note.at)));
        let cells = [
            &states.join(", "),
            &or_none(status.data_until),
            &duration(status.lag_seconds),
            &duration(oldest),
            &checkpoint,
            &refused,
            &failure.unwrap_or_else(|| NONE.to_owned()),
        ];
        table.add_row_of(&status.scope, cells.map(String::as_str));
    }
    output.line(table.trim_fmt());
}

/// One row per kind.
fn kinds(output: &Output, manifests: &[SurfaceStatus], failures: &[Failure]) {
    let header = ["KIND", "SEGMENT", "WINDOW", "VERSION", "DATA UNTIL", "LAG", "AGE", ""];
    let mut table = operate::scope_table(header);
    for failure in failures {
        table.add_row_of(&failure.scope, [NONE, NONE, NONE, NONE, NONE, NONE, NONE, failure.word()]);
    }
    for status in manifests {
        for kind in &status.kinds {
            let cells = [
                kind.kind.as_str(),
                kind.segment.as_ref().map_or(NONE, Segment::as_str),
                &kind.window.to_string(),
                &format!("{:.12}", kind.version),
                &kind.data_until.to_string(),
                &duration(Some(kind.lag_seconds)),
                &duration(Some(kind.age_seconds)),
                state(status, kind),
            ];
            table.add_row_of(&status.scope, cells);
        }
        for kind in &status.missing {
            let cells = [kind.as_str(), NONE, NONE, NONE, NONE, NONE, NONE, SurfaceState::Missing.word()];
            table.add_row_of(&status.scope, cells);
        }
    }
    output.line(table.trim_fmt());
}

fn state(status: &SurfaceStatus, kind: &KindStatus) -> &'static str {
    match kind {
        KindStatus { from_the_future: true, .. } => SurfaceState::FromTheFuture.word(),
        KindStatus { stale: true, .. } => SurfaceState::Stale.word(),
        _ if status.holds.contains_key(&kind.kind) => SurfaceState::Held.word(),
        _ => "",
    }
}

/// Problems in words, one per line.
pub(super) fn problems(output: &Output, manifests: &[SurfaceStatus], limits: AgeLimits, horizon: Timestamp) {
    for status in manifests {
        for problem in problems_of(status, limits, horizon) {
            output.line(format_args!("{}: {problem}", status.scope));
        }
    }
}

fn problems_of(status: &SurfaceStatus, limits: AgeLimits, horizon: Timestamp) -> Vec<String> {
    let mut problems = Vec::new();
    for kind in status.kinds.iter().filter(|kind| kind.from_the_future) {
        let KindStatus { kind, window, built_at, .. } = kind;
        problems.push(if is_from_the_future(*built_at, horizon) {
            format!("{kind} of the window {window} was built at {built_at}, which lies in the future")
        } else {
            format!("{kind} has the window {window}, which lies in the future")
        });
    }
    if limits.any() {
        problems.extend(status.missing.iter().map(|kind| format!("{kind} is missing")));
    }
    for kind in &status.kinds {
        let exceeded = |seconds: i64, most: Option<SignedDuration>| {
            let seconds = SignedDuration::from_secs(seconds);
            most.filter(|most| seconds > *most).map(|most| (readable(seconds), readable(most)))
        };
        if let Some((lag, most)) = exceeded(kind.lag_seconds, limits.max_window_age) {
            let until = kind.data_until;
            problems.push(format!(
                "the data of {} goes until {until}, {lag} ago, at most {most} allowed",
                kind.kind
            ));
        }
        if let Some((age, most)) = exceeded(kind.age_seconds, limits.max_age) {
            problems.push(format!("{} was built {age} ago, at most {most} allowed", kind.kind));
        }
    }
    problems.extend(status.checkpoint_problem.clone());
    if let Some(note) = &status.last_failure {
        let (ago, code) = (since(note.at), note.exit_code);
        problems.push(format!("{} failed {ago} ago with code {code}: {}", note.binary, note.message));
    }
    if let Some(days) = status.refused_days.as_deref().filter(|days| !days.is_empty()) {
        problems.push(format!("gates have refused {}", ranges(days)));
    }
    if !status.holds.is_empty() {
        problems.push(describe(&status.holds));
    }
    problems
}

/// Number of surfaces in each state.
pub(super) fn summary(output: &Output, summary: &BTreeMap<SurfaceState, usize>) {
    let all: usize = summary.values().sum();
    if all > 0 {
        let counts: Vec<String> =
            summary.iter().map(|(state, count)| format!("{count} {}", state.word())).collect();
        let surfaces = if all == 1 { "surface" } else { "surfaces" };
        output.line(format_args!("{all} {surfaces}: {}", counts.join(", ")));
    }
}

fn or_none(day: Option<Day>) -> String {
    day.map_or(NONE.to_owned(), |day| day.to_string())
}

fn duration(seconds: Option<i64>) -> String {
    seconds.map_or(NONE.to_owned(), |seconds| readable(SignedDuration::from_secs(seconds)))
}

/// Time since a note was written. Notes carry the system time, whatever the pinned clock says.
fn since(then: Timestamp) -> String {
    readable(operate::age(clock::wall(), then))
}
