//! Command-line flags, each defined once and flattened into the binaries that take it.

#![allow(
    missing_docs,
    reason = "a doc comment is the help of a flag, and a flattened group of flags has none"
)]

mod common;
mod jobs;

use recsys_core::domain::id::Scope;

pub use self::common::{ArtifactArgs, CommonArgs, DayArgs, LogFormat, PublishFlags, ScopeArgs, ScopeFilter};
pub use self::jobs::{BuildJob, CatalogJob, CatalogTableJob, DayJob, PublishJob, RunJob, ValidateJob};

pub(crate) use self::common::{parse_age, parse_count, parse_reason};

/// End of every binary's help text.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  success
  1  runtime failure; trying again is safe and may help
  2  usage or configuration
  3  the data was refused: a gate, a bad line, a damaged artifact
  4  a limit was exceeded
Codes 2, 3 and 4 do not heal by trying again.";

/// The flags of a binary, or of a command of `recsys-pipelines`.
pub trait Flags {
    /// Flags that every binary and command takes.
    fn common(&self) -> &CommonArgs;

    /// The scope, if the flags name exactly one tenant and surface.
    fn scope(&self) -> Option<Scope> {
        None
    }

    /// The subcommand, for a binary that has several.
    fn command_name(&self) -> Option<&'static str> {
        None
    }
}

/// Implements [`Flags`] for structs with the field `common` and one that tells the scope.
macro_rules! flags {
    ($scope:ident: $($job:ty),*) => {
        $(impl $crate::shell::cli::Flags for $job {
            fn common(&self) -> &$crate::shell::cli::CommonArgs {
                &self.common
            }

            fn scope(&self) -> Option<recsys_core::domain::id::Scope> {
                self.$scope.scope().into()
            }
        })*
    };
}
flags!(scope: DayJob, ValidateJob, BuildJob, CatalogJob, PublishJob, RunJob);
pub(crate) use flags;

impl Flags for CatalogTableJob {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn scope(&self) -> Option<Scope> {
        let surface = self.namespace.as_ref().or(self.surface.as_ref())?;
        Some(Scope { tenant: self.tenant.clone(), surface: surface.clone() })
    }
}
