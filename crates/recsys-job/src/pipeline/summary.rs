//! The document that a job prints with `--json`.

use serde::Serialize;

use crate::pipeline::context::Context;

/// The document that a job prints with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a, D> {
    tenant: &'a str,
    surface: &'a str,
    pub(crate) days: Vec<D>,
}

impl<'a, D: Serialize> Summary<'a, D> {
    pub(crate) fn new(ctx: &'a Context) -> Self {
        let (tenant, surface) = (ctx.scope.tenant.as_str(), ctx.scope.surface.as_str());
        Self { tenant, surface, days: Vec::new() }
    }
}
