//! Command-line flags, each defined once and flattened into the binaries that take it.

#![allow(
    missing_docs,
    reason = "a doc comment is the help of a flag, and a flattened group of flags has none"
)]

mod common;
mod filter;
mod jobs;

use clap::Parser;
use recsys_core::domain::id::Scope;

pub use self::common::{ArtifactArgs, CommonArgs, DayArgs, LogFormat, PublishFlags, ScopeArgs};
pub use self::filter::ScopeFilter;
pub use self::jobs::{BuildJob, CatalogJob, CatalogTableJob, DayJob, PublishJob, RunJob, ValidateJob};

pub(crate) use self::common::{parse_count, parse_reason};
pub(crate) use self::filter::parse_age;

/// End of every binary's help text.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  success
  1  runtime failure; trying again is safe and may help
  2  usage or configuration
  3  the data was refused: a gate, a bad line, a damaged artifact
  4  a limit was exceeded
Codes 2, 3 and 4 do not heal by trying again.";

/// The flags of a binary.
pub trait Flags: Parser {
    /// Flags that every binary takes.
    fn common(&self) -> &CommonArgs;

    /// The scope, if the flags name exactly one tenant and surface.
    fn scope(&self) -> Option<Scope>;

    /// The subcommand, for a binary that has several.
    fn command_name(&self) -> Option<&'static str> {
        None
    }
}

/// The flags of a command of `recsys-pipelines`.
pub(crate) trait CommandFlags {
    /// Flags that every command takes.
    fn common(&self) -> &CommonArgs;

    /// The scope, if the flags name exactly one tenant and surface.
    fn scope(&self) -> Option<Scope>;
}

impl CommandFlags for RunJob {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn scope(&self) -> Option<Scope> {
        Some(self.scope.scope())
    }
}

macro_rules! flags {
    ($($job:ident),*) => {
        $(impl Flags for $job {
            fn common(&self) -> &CommonArgs {
                &self.common
            }

            fn scope(&self) -> Option<Scope> {
                Some(self.scope.scope())
            }
        })*
    };
}
flags!(DayJob, ValidateJob, BuildJob, CatalogJob, PublishJob);

impl Flags for CatalogTableJob {
    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn scope(&self) -> Option<Scope> {
        let surface = self.namespace.as_ref().or(self.surface.as_ref())?;
        Some(Scope { tenant: self.tenant.clone(), surface: surface.clone() })
    }
}
