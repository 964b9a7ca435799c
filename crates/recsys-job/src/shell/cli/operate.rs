//! Flags of the operator's commands.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use recsys_core::artifact::Kind;
use recsys_core::domain::id::{Scope, Surface, Tenant};

use super::EXIT_CODES;
use super::common::{CommonArgs, ScopeArgs, parse_count, parse_reason};

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

/// Flags of `recsys-pipelines status`.
#[derive(Debug, Clone, Args)]
pub struct StatusJob {
    #[command(flatten)]
    pub filter: ScopeFilter,

    /// Exit with code 3 when an artifact was built longer ago than this, such as 26h, or a kind of
    /// `artifact_kinds` is missing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub max_age: Option<SignedDuration>,

    /// Exit with code 3 when the window of an artifact ended longer ago than this, such as 50h, or a kind of
    /// `artifact_kinds` is missing
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub max_window_age: Option<SignedDuration>,

    /// Show only tenants and surfaces with which something is wrong
    #[arg(long)]
    pub problems: bool,

    /// Show a line for each kind, with its window and version
    #[arg(long)]
    pub kinds: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Show at most so many entries
    #[arg(long, value_name = "N", default_value = "20", value_parser = parse_count::<NonZeroUsize>)]
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

    /// Let no publish move what is rolled back until `release`; with --kind only that kind
    #[arg(long)]
    pub hold: bool,

    /// Why, in a few words that the history keeps
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub reason: Option<String>,

    /// Check everything and say what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines release`.
#[derive(Debug, Clone, Args)]
pub struct ReleaseJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Release only this kind
    #[arg(long)]
    pub kind: Option<Kind>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines show`.
#[derive(Debug, Clone, Args)]
pub struct ShowJob {
    /// What to show: popularity, cooc, implicit, `content_sim` or `session_seq`
    #[arg(value_name = "KIND")]
    pub kind: Kind,

    #[command(flatten)]
    pub scope: ScopeArgs,

    /// Only this item: its neighbours in cooc, its tags in `content_sim`, its place in popularity
    #[arg(long, value_name = "ID", conflicts_with = "user")]
    pub item: Option<String>,

    /// Only this user, in implicit and `session_seq`
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,

    /// Show at most so many
    #[arg(long, value_name = "N", default_value = "20", value_parser = parse_count::<NonZeroUsize>)]
    pub top: NonZeroUsize,

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

    /// Compare what is current with what is current in the registry of this configuration file; environment variables
    /// count for both
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    pub against: Option<PathBuf>,

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
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_count::<NonZeroUsize>)]
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
