//! The status of one surface.

use std::cmp::{Ordering, Reverse};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_core::domain::id::{Scope, Segment};
use recsys_core::domain::window::{Day, Window};
use recsys_core::publish::{Holds, is_from_the_future, read_blob};
use recsys_core::storage::layout::version_in;
use serde::Serialize;

use super::super::{Operator, age};
use super::job_state::JobState;
use crate::shell::cli::parse_age;
use crate::watch::failure_note::FailureNote;
use crate::watch::step::Meter;

/// Maximum ages of an artifact.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct AgeLimits {
    /// Exit with code 3 when an artifact was built longer ago than this, such as 26h, or a kind of
    /// `artifact_kinds` is missing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(super) max_age: Option<SignedDuration>,

    /// Exit with code 3 when the window of an artifact ended longer ago than this, such as 50h, or a kind of
    /// `artifact_kinds` is missing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(super) max_window_age: Option<SignedDuration>,
}

impl AgeLimits {
    pub(super) fn any(self) -> bool {
        self.max_age.is_some() || self.max_window_age.is_some()
    }
}

/// The states of a surface, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SurfaceState {
    Unreadable,
    Lost,
    FromTheFuture,
    Missing,
    Stale,
    Checkpoint,
    Failed,
    RefusedDays,
    Held,
    Good,
}

impl SurfaceState {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Lost => "lost",
            Self::FromTheFuture => "from the future",
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Checkpoint => "checkpoint",
            Self::Failed => "failed",
            Self::RefusedDays => "refused days",
            Self::Held => "held",
            Self::Good => "good",
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SurfaceStatus {
    #[serde(flatten)]
    pub(super) scope: Scope,
    /// Worst first; only `good` if there is no problem.
    pub(super) states: Vec<SurfaceState>,
    /// None if there is no manifest.
    pub(super) updated_at: Option<Timestamp>,
    /// Last day of the window that ends first.
    pub(super) data_until: Option<Day>,
    /// Seconds from the end of that day until now.
    pub(super) lag_seconds: Option<i64>,
    /// Last day published by an incremental run.
    pub(super) checkpoint: Option<Day>,
    pub(super) checkpoint_problem: Option<String>,
    /// Days whose data a gate refused; none if the store cannot be read.
    pub(super) refused_days: Option<Vec<Day>>,
    pub(super) last_failure: Option<FailureNote>,
    /// Holds by kind, with the operator who set each.
    pub(super) holds: Holds,
    pub(super) kinds: Vec<KindStatus>,
    /// Kinds in `artifact_kinds` that the manifest does not name.
    pub(super) missing: Vec<Kind>,
}

#[derive(Debug, Serialize)]
pub(super) struct KindStatus {
    pub(super) kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) segment: Option<Segment>,
    pub(super) window: Window,
    pub(super) data_until: Day,
    pub(super) lag_seconds: i64,
    pub(super) version: String,
    pub(super) built_at: Timestamp,
    pub(super) age_seconds: i64,
    pub(super) uri: String,
    /// Exceeds `--max-age` or `--max-window-age`.
    pub(super) stale: bool,
    /// Built by a wrong clock, or from days that have not begun; the age is meaningless then.
    pub(super) from_the_future: bool,
}

impl SurfaceStatus {
    pub(super) fn worst(&self) -> SurfaceState {
        self.states.first().copied().unwrap_or(SurfaceState::Good)
    }

    /// Sort order: worst state, then oldest data, then name.
    pub(super) fn worst_first(&self, other: &Self) -> Ordering {
        let key = |status: &Self| (status.worst(), Reverse(status.lag_seconds));
        key(self).cmp(&key(other)).then_with(|| self.scope.cmp(&other.scope))
    }
}

/// Reads the status of the scope of `meter`.
pub(super) fn surface(
    operator: &Operator,
    job_state: &JobState,
    meter: &Meter,
    limits: AgeLimits,
) -> anyhow::Result<SurfaceStatus> {
    let scope = &meter.scope;
    let manifest = operator.registry().current(scope)?;
    let mut kinds = Vec::new();
    for (kind, uri) in manifest.iter().flat_map(|manifest| &manifest.current) {
        let status = kind_status(operator, scope, *kind, uri, limits)?;
        meter.update(|metrics| metrics.windows.insert(*kind, status.window));
        kinds.push(status);
    }
    if let Some(manifest) = &manifest {
        meter.update(|metrics| metrics.manifest_updated = Some(manifest.updated_at));
    }
    let wanted = operator.config.artifact_kinds.iter();
    let missing = wanted.filter(|kind| kinds.iter().all(|current| current.kind != **kind)).copied().collect();
    let oldest = kinds.iter().min_by_key(|kind| kind.window.end());
    let (checkpoint, checkpoint_problem) = match job_state.checkpoint(scope) {
        Ok(day) => (day, None),
        Err(problem) => (None, Some(problem)),
    };
    let mut status = SurfaceStatus {
        scope: scope.clone(),
        states: Vec::new(),
        updated_at: manifest.map(|manifest| manifest.updated_at),
        data_until: oldest.map(|kind| kind.data_until),
        lag_seconds: oldest.map(|kind| kind.lag_seconds),
        checkpoint,
        checkpoint_problem,
        refused_days: job_state.refused_days(scope),
        last_failure: job_state.last_failure(scope).cloned(),
        holds: operator.registry().holds(scope)?,
        kinds,
        missing,
    };
    status.states = states_of(&status);
    Ok(status)
}

fn states_of(status: &SurfaceStatus) -> Vec<SurfaceState> {
    let found = [
        (SurfaceState::FromTheFuture, status.kinds.iter().any(|kind| kind.from_the_future)),
        (SurfaceState::Missing, !status.missing.is_empty()),
        (SurfaceState::Stale, status.kinds.iter().any(|kind| kind.stale)),
        (SurfaceState::Checkpoint, status.checkpoint_problem.is_some()),
        (SurfaceState::Failed, status.last_failure.is_some()),
        (SurfaceState::RefusedDays, status.refused_days.as_ref().is_some_and(|days| !days.is_empty())),
        (SurfaceState::Held, !status.holds.is_empty()),
    ];
    let mut found: Vec<SurfaceState> =
        found.into_iter().filter(|(_, holds)| *holds).map(|(state, _)| state).collect();
    if found.is_empty() {
        found.push(SurfaceState::Good);
    }
    found
}

fn kind_status(
    operator: &Operator,
    scope: &Scope,
    kind: Kind,
    uri: &str,
    limits: AgeLimits,
) -> anyhow::Result<KindStatus> {
    let (now, horizon) = (operator.clock.now(), operator.clock.horizon());
    let version = version_in(uri);
    let (key, built_at) = if let Some(record) = operator.registry().record(scope, kind, version)? {
        (record.artifact_key(), record.built_at)
    } else {
        let blob = read_blob(&*operator.published.objects, scope, kind, uri)?;
        (blob.key, blob.build.built_at)
    };
    // An unparsable time counts as infinitely old.
    let built_at: Timestamp = built_at.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let ended = Timestamp::from_nanosecond(key.window.end().start_ns().into()).unwrap_or(Timestamp::MAX);
    let (own_age, lag) = (age(now, built_at), age(now, ended));
    Ok(KindStatus {
        kind,
        window: key.window,
        data_until: key.window.end().plus(-1)?,
        lag_seconds: lag.as_secs(),
        segment: key.segment,
        version: version.to_owned(),
        built_at,
        age_seconds: own_age.as_secs(),
        uri: uri.to_owned(),
        stale: limits.max_age.is_some_and(|most| own_age > most)
            || limits.max_window_age.is_some_and(|most| lag > most),
        // A window may include the present day on purpose.
        from_the_future: is_from_the_future(built_at, horizon)
            || key.window.end() > Day::of(horizon)?.next()?,
    })
}
