//! `rollback`: back to pointers that were current before.

use recsys_core::artifact::Kind;
use recsys_core::publish::{Change, Reason, Registry, RollbackPlan, Target, version_in};
use serde::Serialize;

use super::{Operator, scope};
use crate::cli::RollbackJob;
use crate::context::by;
use crate::error::JobError;
use crate::metrics;
use crate::notify::Notifier;
use crate::output::Output;

#[derive(Debug, Serialize)]
struct RolledBack<'a> {
    tenant: &'a str,
    surface: &'a str,
    /// The hash of the manifest that was current.
    from: String,
    /// The hash of the manifest gone back to.
    to: String,
    moves: Vec<Move<'a>>,
    dry_run: bool,
    /// The hash of the manifest that is current now; none when nothing was changed.
    current: Option<String>,
}

#[derive(Debug, Serialize)]
struct Move<'a> {
    kind: Kind,
    from: Option<&'a String>,
    to: Option<&'a String>,
}

/// `recsys-pipelines rollback`.
pub(crate) fn rollback(flags: &RollbackJob) -> Result<(), JobError> {
    let operator = Operator::new(&flags.common)?;
    let (registry, scope) = (operator.registry(), scope(&flags.scope));
    let registry = if flags.correct_time { Registry::new(&*operator.published.registry) } else { registry };
    // Before anything is done: whom to tell must be known.
    let notifier = Notifier::configured(&operator.config.notify, &scope)?;
    let target = match &flags.to {
        Some(hash) => Target::Hash(hash.clone()),
        None if flags.correct_time => Target::Steps(0),
        None => Target::Steps(flags.steps),
    };
    let plan = RollbackPlan::new(&registry, &*operator.published.objects, &scope, &target, flags.kind)?;
    let current = if flags.dry_run {
        None
    } else {
        operator.published.warn_of_collisions();
        let (now, horizon) = (operator.clock.now(), operator.clock.horizon());
        let timeouts = operator.config.registry.timeouts();
        let change = Change { reason: Reason::Rollback, by: by(), now, horizon, timeouts };
        plan.carry_out(&registry, &*operator.published.objects, &scope, &change)?
    };
    let manifest = current.as_ref().unwrap_or(&plan.from);
    metrics::record(|record| record.set_manifest(&scope, manifest.updated_at));
    for (kind, uri) in &manifest.current {
        // The rollback is done; what nobody can read is left out.
        if let Ok(Some(found)) = registry.record(&scope, *kind, version_in(uri)) {
            metrics::record(|record| record.set_window(&scope, *kind, found.window));
        }
    }

    if let (Some(notifier), false) = (&notifier, flags.dry_run) {
        notifier.tell(&*operator.published.registry, manifest);
    }
    let moves = plan.moves();
    let output = Output::new(flags.common.json);
    let verb = if flags.dry_run { "would go back to" } else { "back to" };
    output.line(format_args!("{scope}: {verb} {:.12} of {}", plan.to.hash, plan.to.manifest.updated_at));
    let version = |uri: Option<&String>| {
        let file = uri.and_then(|uri| uri.rsplit('/').next()).unwrap_or("nothing");
        format!("{file:.12}")
    };
    for (kind, before, after) in &moves {
        output.line(format_args!("  {kind:<12} {} -> {}", version(*before), version(*after)));
    }
    let outcome = match &current {
        Some(_) => "swapped",
        None if flags.dry_run && plan.is_due(operator.clock.horizon()) => "unchanged: this was a dry run",
        None => "unchanged: these artifacts are current already",
    };
    output.line(format_args!("  manifest     {}: {outcome}", registry.name(&scope)));
    output.end(
        &RolledBack {
            tenant: scope.tenant.as_str(),
            surface: scope.surface.as_str(),
            from: plan.from.hash(),
            to: plan.to.hash.clone(),
            moves: moves.into_iter().map(|(kind, from, to)| Move { kind, from, to }).collect(),
            dry_run: flags.dry_run,
            current: current.map(|manifest| manifest.hash()),
        },
        Ok(()),
    )
}
