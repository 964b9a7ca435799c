//! `release`: ends a hold.

use clap::Args;
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::publish::{Holds, describe};
use serde::Serialize;

use super::Operator;
use crate::shell::cli::{CommonArgs, ScopeArgs, flags};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct ReleaseJob {
    #[command(flatten)]
    pub(super) scope: ScopeArgs,

    /// Release only this kind
    #[arg(long)]
    pub(super) kind: Option<Kind>,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(scope: ReleaseJob);

#[derive(Debug, Serialize)]
struct Release<'a> {
    #[serde(flatten)]
    scope: &'a Scope,
    released: Holds,
    holds: Holds,
}

pub(crate) fn release(flags: &ReleaseJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let (registry, scope) = (operator.registry(), flags.scope.scope());
    let kinds = flags.kind.as_ref().map_or(Kind::ALL, std::slice::from_ref);
    let released = registry.release(&scope, kinds)?;
    let holds = registry.holds(&scope)?;
    if released.is_empty() && holds.is_empty() {
        // A mistyped name has no holds either; it fails here.
        operator.manifest(&scope)?;
    }
    let output = Output::new(flags.common.json);
    if released.is_empty() {
        output.line(format_args!("{scope}: nothing is held"));
    } else {
        output.line(format_args!("{scope}: released: {}", describe(&released)));
        output.line("the next publish goes forward again");
    }
    output.end(&Release { scope: &scope, released, holds }, Ok(()))
}
