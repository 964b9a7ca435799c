//! The document that a job prints with `--json`.

use recsys_core::domain::id::Scope;
use serde::Serialize;

use crate::pipeline::context::Context;

/// The document that a job prints with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a, D> {
    #[serde(flatten)]
    scope: &'a Scope,
    pub(crate) days: Vec<D>,
}

impl<'a, D: Serialize> Summary<'a, D> {
    pub(crate) fn new(ctx: &'a Context) -> Self {
        Self { scope: &ctx.scope, days: Vec::new() }
    }
}
