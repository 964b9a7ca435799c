//! Command-line flags, each defined once and flattened into the binaries that take it.

#![allow(
    missing_docs,
    reason = "a doc comment is the help of a flag, and a flattened group of flags has none"
)]

mod common;
mod jobs;
mod operate;

use clap::Parser;
use recsys_core::domain::id::Scope;

pub use self::common::{ArtifactArgs, CommonArgs, DayArgs, LogFormat, PublishFlags, ScopeArgs};
pub use self::jobs::{BuildJob, CatalogJob, CatalogTableJob, DayJob, PublishJob, RunJob, ValidateJob};
pub use self::operate::{
    ConfigCommand, ConfigJob, DbCommand, DbInitJob, DiffJob, GcJob, HistoryJob, ReleaseJob, RollbackJob,
    ScopeFilter, ShowJob, StatusJob, VerifyJob,
};

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

/// Flags of `recsys-pipelines`.
#[derive(Debug, Clone, Parser)]
pub struct Pipelines {
    /// What to do.
    #[command(subcommand)]
    pub command: PipelinesCommand,
}

/// The commands of `recsys-pipelines`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum PipelinesCommand {
    /// Ingest, validate, build, stage and publish each day of a range
    ///
    /// Reads the raw events once and builds every kind in `artifact_kinds` from them. Each day is published
    /// before the next one begins. Running the same day again changes nothing.
    ///
    /// For example: recsys-pipelines run --config configs/env/local.json --tenant demo --surface home --start
    /// 2026-01-01
    #[command(after_help = EXIT_CODES)]
    Run(RunJob),

    /// What is current, until which day its data goes, how old it is, and what is wrong with it
    ///
    /// A line for each tenant and surface, worst first. A manifest that was lost, and an artifact of the future, end it
    /// with code 3; an age that is given does, too, when something is older or missing.
    #[command(after_help = EXIT_CODES)]
    Status(StatusJob),

    /// What is live: the artifact of a kind that the manifest names
    ///
    /// For example: recsys-pipelines show cooc --config configs/env/shop.json --tenant demo --surface home --item tent
    #[command(after_help = EXIT_CODES)]
    Show(ShowJob),

    /// Every manifest that was current, newest first
    #[command(after_help = EXIT_CODES)]
    History(HistoryJob),

    /// Make an earlier manifest current again
    ///
    /// Every blob that would become current is read and its hash recomputed first; if one is missing or
    /// damaged, nothing changes. A rollback is itself an entry of the history and can be rolled back. With --to it
    /// brings back a manifest that was lost.
    #[command(after_help = EXIT_CODES)]
    Rollback(RollbackJob),

    /// Let publishes move what `rollback --hold` holds
    #[command(after_help = EXIT_CODES)]
    Release(ReleaseJob),

    /// Re-read and re-hash all that the manifest names; exit code 3 on a mismatch
    #[command(after_help = EXIT_CODES)]
    Verify(VerifyJob),

    /// What changed between two manifests, per kind
    ///
    /// Says which items came and went, and which moved farthest in rank. Items are ranked by weight: their
    /// count in popularity, the sum of their row in cooc, the sum of their scores over all users in implicit
    /// and `session_seq`. A blob that is missing or damaged is an error with exit code 3. With --against, before is
    /// what is current here, and after what is current in the other registry.
    ///
    /// For example: recsys-pipelines diff --config configs/env/shop.json --tenant demo --surface home --kind
    /// popularity
    #[command(after_help = EXIT_CODES)]
    Diff(DiffJob),

    /// List blobs and records that nothing in the kept history names, and delete them with --delete
    ///
    /// Kept is whatever a kept manifest names, and whatever is younger than --older-than, so that it can run
    /// beside a publish. History, canonical data and staged artifacts are never touched.
    ///
    /// For example: recsys-pipelines gc --config configs/env/shop.json --older-than 30d --keep 10
    #[command(after_help = EXIT_CODES)]
    Gc(GcJob),

    /// The database that signals are written to
    #[command(subcommand)]
    Db(DbCommand),

    /// The effective configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

impl Flags for Pipelines {
    fn common(&self) -> &CommonArgs {
        match &self.command {
            PipelinesCommand::Run(flags) => &flags.common,
            PipelinesCommand::Status(flags) => &flags.common,
            PipelinesCommand::History(flags) => &flags.common,
            PipelinesCommand::Release(flags) => &flags.common,
            PipelinesCommand::Show(flags) => &flags.common,
            PipelinesCommand::Rollback(flags) => &flags.common,
            PipelinesCommand::Verify(flags) => &flags.common,
            PipelinesCommand::Gc(flags) => &flags.common,
            PipelinesCommand::Diff(flags) => &flags.common,
            PipelinesCommand::Db(DbCommand::Init(flags)) => &flags.common,
            PipelinesCommand::Config(ConfigCommand::Show(flags) | ConfigCommand::Check(flags)) => {
                &flags.common
            }
        }
    }

    fn scope(&self) -> Option<Scope> {
        match &self.command {
            PipelinesCommand::Run(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Status(flags) => flags.filter.scope(),
            PipelinesCommand::History(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Release(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Show(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Rollback(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Verify(flags) => flags.filter.scope(),
            PipelinesCommand::Gc(flags) => flags.filter.scope(),
            PipelinesCommand::Diff(flags) => Some(flags.scope.scope()),
            PipelinesCommand::Db(_) | PipelinesCommand::Config(_) => None,
        }
    }

    fn command_name(&self) -> Option<&'static str> {
        Some(match &self.command {
            PipelinesCommand::Run(_) => "run",
            PipelinesCommand::Status(_) => "status",
            PipelinesCommand::History(_) => "history",
            PipelinesCommand::Release(_) => "release",
            PipelinesCommand::Show(_) => "show",
            PipelinesCommand::Rollback(_) => "rollback",
            PipelinesCommand::Verify(_) => "verify",
            PipelinesCommand::Gc(_) => "gc",
            PipelinesCommand::Diff(_) => "diff",
            PipelinesCommand::Db(_) => "db",
            PipelinesCommand::Config(_) => "config",
        })
    }
}
