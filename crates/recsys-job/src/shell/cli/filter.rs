//! Flags that operator's commands share.

use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use recsys_core::domain::id::{Scope, Surface, Tenant};

/// Which tenants and surfaces an operator's command looks at.
#[derive(Debug, Clone, Args)]
pub struct ScopeFilter {
    /// Only this tenant [default: all in the registry]
    #[arg(long)]
    pub tenant: Option<Tenant>,

    /// Only this surface [default: all in the registry]
    #[arg(long)]
    pub surface: Option<Surface>,
}

impl ScopeFilter {
    /// The scope, if both tenant and surface are given.
    pub(crate) fn scope(&self) -> Option<Scope> {
        Some(Scope { tenant: self.tenant.clone()?, surface: self.surface.clone()? })
    }

    /// Whether a scope passes the filter.
    pub(crate) fn takes(&self, scope: &Scope) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == scope.tenant)
            && self.surface.as_ref().is_none_or(|surface| *surface == scope.surface)
    }
}

/// Parses an age, such as 26h.
pub(crate) fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let expected = || format!("{text:?} is not a duration such as 26h, 90m or 1d 12h");
    let span: Span = text.parse().map_err(|_| expected())?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if age.is_negative() { Err(expected()) } else { Ok(age) }
}
