//! `status`: the current artifacts of each surface, their age, the last day of their data, and any problems.

mod job_state;
mod print;
mod surface;

use clap::Args;
use std::collections::BTreeMap;

use recsys_core::threads::parallel;
use serde::Serialize;

use self::job_state::JobState;
use self::surface::{AgeLimits, SurfaceState, SurfaceStatus, surface};
use super::{Failure, Failures, Operator};
use crate::shell::cli::{CommonArgs, ScopeFilter, flags};
use crate::shell::error::{JobError, is_interruption};
use crate::shell::output::Output;
use crate::watch::metrics::Run;
use crate::watch::step::Meter;

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusJob {
    #[command(flatten)]
    pub(super) filter: ScopeFilter,

    #[command(flatten)]
    limits: AgeLimits,

    /// Show only tenants and surfaces with which something is wrong
    #[arg(long)]
    pub(super) problems: bool,

    /// Show a line for each kind, with its window and version
    #[arg(long)]
    pub(super) kinds: bool,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(filter: StatusJob);

/// Maximum number of surfaces named in the last line.
const MOST_NAMES: usize = 3;

#[derive(Debug, Serialize)]
struct Status {
    registry: String,
    /// Number of surfaces in each state; a surface with several states counts by the worst.
    summary: BTreeMap<SurfaceState, usize>,
    /// Worst first.
    manifests: Vec<SurfaceStatus>,
    /// Surfaces that could not be read.
    failures: Vec<Failure>,
}

pub(crate) fn status(flags: &StatusJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let limits = flags.limits;
    let is_named = flags.filter.scope().is_some();
    let job_state = JobState::open(&operator);
    // The registry does not know a surface whose first run failed.
    let scopes = operator.scopes(&flags.filter, job_state.failed())?;
    let looked = parallel::try_map(&scopes, |scope| {
        match surface(&operator, &job_state, &Meter::new(run, scope.clone()), limits) {
            Err(error) if is_interruption(&error) => Err(error),
            found => Ok((scope, found)),
        }
    })?;
    let (mut manifests, mut failures) = (Vec::new(), Failures::default());
    for (scope, found) in looked {
        match found {
            // A first publish that failed leaves a history and no manifest.
            Ok(status) if status.updated_at.is_none() && status.last_failure.is_none() && !is_named => {}
            Ok(status) => manifests.push(status),
            Err(error) => failures.note(scope, error),
        }
    }
    manifests.sort_by(SurfaceStatus::worst_first);
    let mut summary: BTreeMap<SurfaceState, usize> = BTreeMap::new();
    let states = manifests.iter().map(SurfaceStatus::worst);
    let of_failures = failures
        .all
        .iter()
        .map(|failure| if failure.lost { SurfaceState::Lost } else { SurfaceState::Unreadable });
    states.chain(of_failures).for_each(|state| *summary.entry(state).or_default() += 1);
    let outcome = judge(&manifests, limits, &mut failures);
    if flags.problems {
        manifests.retain(|manifest| manifest.worst() != SurfaceState::Good);
    }
    let output = Output::new(flags.common.json);
    // A lone failure is the command's last line anyway.
    if !manifests.is_empty() || failures.all.len() != 1 {
        print::table(&output, flags, &manifests, &failures.all);
        print::problems(&output, &manifests, limits, operator.clock.horizon());
        failures.print(&output);
        print::summary(&output, &summary);
    }
    let is_published = manifests.iter().all(|manifest| manifest.updated_at.is_some());
    if let Some(scope) = flags.filter.scope().filter(|_| !is_published) {
        output.line(format_args!("nothing was published for {scope}{}", operator.known()));
    }
    let registry = operator.config.registry_dir();
    output.end(&Status { registry, summary, manifests, failures: failures.all }, outcome)
}

/// The error that ends the command. Unreadable surfaces and artifacts from the future always count; stale or missing
/// artifacts count only if an age limit is given. The list shows everything; this line is short.
fn judge(manifests: &[SurfaceStatus], limits: AgeLimits, failures: &mut Failures) -> anyhow::Result<()> {
    if let Some(error) = failures.first.take() {
        return Err(error);
    }
    if manifests.is_empty() && limits.any() {
        return Err(JobError::Refused("there is no manifest in the registry".to_owned()).into());
    }
    let counts = |state: SurfaceState| match state {
        SurfaceState::FromTheFuture => true,
        SurfaceState::Missing | SurfaceState::Stale => limits.any(),
        _ => false,
    };
    let bad = manifests.iter().filter_map(|manifest| {
        let words: Vec<&str> =
            manifest.states.iter().filter(|state| counts(**state)).map(|state| state.word()).collect();
        (!words.is_empty()).then(|| format!("{} is {}", manifest.scope, words.join(", ")))
    });
    let bad: Vec<String> = bad.collect();
    if bad.is_empty() {
        return Ok(());
    }
    let named = bad[..bad.len().min(MOST_NAMES)].join("; ");
    let more = match bad.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let all = manifests.len();
    let of = if all == 1 { String::new() } else { format!("{} of {all} surfaces: ", bad.len()) };
    Err(JobError::Refused(format!("{of}{named}{more}")).into())
}
