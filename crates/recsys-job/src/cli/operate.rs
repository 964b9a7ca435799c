//! Flags of the operator's commands.

use std::num::NonZeroUsize;

use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use recsys_core::artifact::Kind;
use recsys_core::id::{Scope, Surface, Tenant};

use super::EXIT_CODES;
use super::common::{CommonArgs, ScopeArgs};

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
    /// The one tenant and surface that pass, if both are given.
    pub(crate) fn scope(&self) -> Option<Scope> {
        Some(Scope { tenant: self.tenant.clone()?, surface: self.surface.clone()? })
    }
}

/// Flags of `recsys-pipelines status`.
#[derive(Debug, Clone, Args)]
pub struct StatusJob {
    #[command(flatten)]
    pub filter: ScopeFilter,

    /// Exit with code 3 when an artifact was built longer ago than this, such as 26h, or a kind of
    /// `artifact_kinds` is missing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub max_age: Option<SignedDuration>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Show at most so many entries
    #[arg(long, value_name = "N", default_value = "20")]
    pub limit: NonZeroUsize,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines rollback`.
#[derive(Debug, Clone, Args)]
pub struct RollbackJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// So many manifests back; with --kind, so many changes of that kind
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "to")]
    pub steps: usize,

    /// Back to the manifest whose hash begins so; `history` lists them
    #[arg(long, value_name = "HASH")]
    pub to: Option<String>,

    /// Move only this kind; the others stay
    #[arg(long)]
    pub kind: Option<Kind>,

    /// Keep what is current, and give the manifest the present time; for one that a wrong clock has written
    #[arg(long, conflicts_with_all = ["steps", "to", "kind"])]
    pub correct_time: bool,

    /// Check everything and say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyJob {
    #[command(flatten)]
    pub filter: ScopeFilter,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// The manifest before, by the beginning of its hash; `history` lists them [default: the one before --to]
    #[arg(long, value_name = "HASH")]
    pub from: Option<String>,

    /// The manifest after, by the beginning of its hash [default: the current one]
    #[arg(long, value_name = "HASH")]
    pub to: Option<String>,

    /// Only this kind
    #[arg(long)]
    pub kind: Option<Kind>,

    /// Name at most so many items of each list; all are counted
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines gc`.
#[derive(Debug, Clone, Args)]
pub struct GcJob {
    #[command(flatten)]
    pub filter: ScopeFilter,

    /// Keep what was written or current in this time, such as 30d; at least 1h
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = parse_age)]
    pub older_than: SignedDuration,

    /// Keep what the newest N manifests of each tenant and surface name
    #[arg(long, value_name = "N", default_value = "10")]
    pub keep: NonZeroUsize,

    /// Delete what is listed; without it, nothing changes
    #[arg(long)]
    pub delete: bool,

    /// Take old blobs without a record for garbage, however many there are
    #[arg(long)]
    pub include_unrecorded: bool,

    /// Give up the claims of collections that began longer ago than this, such as 24h, and were killed
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub release_claims: Option<SignedDuration>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines config show` and `config check`.
#[derive(Debug, Clone, Args)]
pub struct ConfigJob {
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines db init`.
#[derive(Debug, Clone, Args)]
pub struct DbInitJob {
    /// Say what is missing, and create nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// The commands of `recsys-pipelines db`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum DbCommand {
    /// Create the tables that are missing in the database of `db.dsn`
    ///
    /// For pilots: a real installation has its tables already. What is there is compared and never altered; if
    /// a table is not what it must be, nothing is created and exit code 2 names every column.
    #[command(after_help = EXIT_CODES)]
    Init(DbInitJob),
}

/// The commands of `recsys-pipelines config`.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum ConfigCommand {
    /// Print every setting, its value, and where the value came from
    Show(ConfigJob),
    /// Check the configuration; exit code 2 says what is wrong with it
    Check(ConfigJob),
}

fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let expected = || format!("{text:?} is not a duration such as 26h, 90m or 1d 12h");
    let span: Span = text.parse().map_err(|_| expected())?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if age.is_negative() { Err(expected()) } else { Ok(age) }
}
