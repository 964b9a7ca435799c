//! `rollback`: restores pointers of an earlier manifest.

use clap::Args;
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::publish::{
    Change, Hold, Holds, Manifest, Registry, RollbackError, RollbackPlan, Target, describe,
};
use recsys_core::storage::layout::version_in;
use serde::Serialize;

use super::Operator;
use crate::pipeline::context::by;
use crate::pipeline::publish::measure_current;
use crate::shell::cli::{CommonArgs, ScopeArgs, flags, parse_reason};
use crate::shell::output::Output;
use crate::shell::run_id;
use crate::watch::metrics::Run;
use crate::watch::notify::Notifier;
use crate::watch::step::Meter;

#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackJob {
    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// So many manifests back; with --kind, so many changes of that kind
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "to")]
    pub(super) steps: usize,

    /// Back to the manifest whose hash begins so; `history` lists them
    #[arg(long, value_name = "HASH")]
    pub(super) to: Option<String>,

    /// Move only this kind; the others stay
    #[arg(long)]
    pub(super) kind: Option<Kind>,

    /// Keep what is current, and give the manifest the present time; for one that a wrong clock has written
    #[arg(long, conflicts_with_all = ["steps", "to", "kind"])]
    pub(super) correct_time: bool,

    /// Let no publish move what is rolled back until `release`; with --kind only that kind
    #[arg(long)]
    pub(super) hold: bool,

    /// Why, in a few words that the history keeps
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(super) reason: Option<String>,

    /// Check everything and say what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(scope: RollbackJob);

#[derive(Debug, Serialize)]
struct RolledBack<'a> {
    #[serde(flatten)]
    scope: &'a Scope,
    /// Hash of the manifest that was current; none if it was lost.
    from: Option<String>,
    /// Hash of the manifest that is restored.
    to: String,
    moves: Vec<Move<'a>>,
    dry_run: bool,
    /// Hash of the manifest that is current now; none if nothing changed.
    current: Option<String>,
    /// Holds by kind, with the operator who set each.
    holds: Holds,
}

#[derive(Debug, Serialize)]
struct Move<'a> {
    kind: Kind,
    from: Option<&'a String>,
    to: Option<&'a String>,
}

pub(crate) fn rollback(flags: &RollbackJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let (registry, scope) = (operator.registry(), flags.scope.scope());
    let registry = if flags.correct_time { Registry::new(&*operator.published.registry) } else { registry };
    let meter = Meter::new(run, scope.clone());
    // Resolve the notification's secrets first, so that a missing one fails before anything changes.
    let notifier = Notifier::configured(&operator.config.notify, &meter)?;
    let target = match &flags.to {
        Some(hash) => Target::Hash(hash.clone()),
        None if flags.correct_time => Target::Steps(0),
        None => Target::Steps(flags.steps),
    };
    let plan = RollbackPlan::new(&registry, &*operator.published.objects, &scope, &target, flags.kind);
    let plan = plan.map_err(|error| match error {
        RollbackError::NoManifest(_) => operator.nothing_of(&scope),
        error => error.into(),
    })?;
    let plan = if flags.hold { plan.touching() } else { plan };
    // Read the holds first, so that an unreadable one fails before anything changes.
    let mut holds = registry.holds(&scope)?;
    let kinds = flags.kind.as_ref().map_or(Kind::ALL, std::slice::from_ref);
    let current = if flags.dry_run {
        None
    } else {
        operator.published.warn_of_collisions();
        let (now, horizon) = (operator.clock.now(), operator.clock.horizon());
        let timeouts = operator.config.registry.timeouts();
        let (by, run_id, note) = (by(), run_id::current(), flags.reason.clone());
        if flags.hold {
            // Set the hold before the swap: a publisher that has not seen the hold then loses the swap.
            let hold = Hold { by: by.clone(), since: now, note: note.clone() };
            registry.hold(&scope, kinds, &hold)?;
            holds.extend(kinds.iter().map(|kind| (*kind, hold.clone())));
        }
        let change = Change { by, run_id, note, now, horizon, timeouts };
        plan.execute(&registry, &*operator.published.objects, &scope, &change).inspect_err(|_| {
            if flags.hold {
                tracing::warn!("the hold is set, and stays until it is released");
            }
        })?
    };
    if let Some(manifest) = current.as_ref().or(plan.from.as_ref()) {
        measure_current(&registry, &meter, manifest, &[]);
        if let (Some(notifier), false) = (&notifier, flags.dry_run) {
            notifier.tell(&*operator.published.registry, manifest);
        }
    }
    let moves = plan.moves();
    let output = Output::new(flags.common.json);
    let verb = if flags.dry_run { "would go back to" } else { "back to" };
    output.line(format_args!("{scope}: {verb} {:.12} of {}", plan.to.hash, plan.to.manifest.updated_at));
    let version = |uri: Option<&String>| format!("{:.12}", uri.map_or("nothing", |uri| version_in(uri)));
    for (kind, before, after) in &moves {
        output.line(format_args!("  {kind:<12} {} -> {}", version(*before), version(*after)));
    }
    if !holds.is_empty() {
        output.line(format_args!("  hold         {}; `release` ends it", describe(&holds)));
    } else if flags.hold {
        output.line("  hold         none: this was a dry run");
    } else if current.is_some() {
        output.line("  next         a publish of a newer window goes forward again; --hold prevents that");
    }
    let outcome = match &current {
        Some(_) => "swapped",
        None if flags.dry_run && plan.is_due(operator.clock.horizon()) => "unchanged: this was a dry run",
        None => "unchanged: these artifacts are current already",
    };
    output.line(format_args!("  manifest     {}: {outcome}", registry.name(&scope)));
    output.end(
        &RolledBack {
            scope: &scope,
            from: plan.from.as_ref().map(Manifest::hash),
            to: plan.to.hash.clone(),
            moves: moves.into_iter().map(|(kind, from, to)| Move { kind, from, to }).collect(),
            dry_run: flags.dry_run,
            current: current.map(|manifest| manifest.hash()),
            holds,
        },
        Ok(()),
    )
}
