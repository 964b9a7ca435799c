//! Flags of the jobs, and of `run`.

use clap::{Args, Parser};
use recsys_core::domain::id::{Surface, Tenant};
use recsys_core::domain::window::Day;
use recsys_core::input::catalog::CatalogFormat;

use super::common::{ArtifactArgs, CommonArgs, DayArgs, PublishFlags, ScopeArgs, parse_day, parse_reason};

/// Flags of `job_ingest`.
#[derive(Debug, Clone, Parser)]
pub struct DayJob {
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub days: DayArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `job_validate`.
#[derive(Debug, Clone, Parser)]
pub struct ValidateJob {
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub days: DayArgs,

    /// Let the days go on that a gate refuses, for this reason, which their reports keep
    #[arg(long, value_name = "REASON", value_parser = parse_reason)]
    pub accept: Option<String>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of the jobs that build from events, and of `job_db_signals`.
#[derive(Debug, Clone, Parser)]
pub struct BuildJob {
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub days: DayArgs,
    #[command(flatten)]
    pub artifacts: ArtifactArgs,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `job_content_sim`.
#[derive(Debug, Clone, Parser)]
pub struct CatalogJob {
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub days: DayArgs,
    #[command(flatten)]
    pub artifacts: ArtifactArgs,

    /// The catalogue [default: catalog.path]
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,

    /// How the catalogue is written: csv or jsonl [default: by its extension]
    #[arg(long)]
    pub format: Option<CatalogFormat>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `job_catalog`.
#[derive(Debug, Clone, Parser)]
pub struct CatalogTableJob {
    /// Whose catalogue
    #[arg(long)]
    pub tenant: Tenant,

    /// The surface, which is the namespace of the rows unless --namespace says otherwise
    #[arg(long, required_unless_present = "namespace")]
    pub surface: Option<Surface>,

    /// The namespace of the rows [default: the surface]
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Surface>,

    /// The catalogue [default: catalog.path]
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,

    /// How the catalogue is written: csv or jsonl [default: by its extension]
    #[arg(long)]
    pub format: Option<CatalogFormat>,

    /// Delete the rows of the namespace that the catalogue does not have
    #[arg(long)]
    pub prune: bool,

    /// Do everything but commit: says what would be inserted, updated and deleted
    #[arg(long)]
    pub dry_run: bool,

    /// Taken so that all jobs can be given the same flags; a catalogue has no days
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub start: Option<Day>,

    /// Taken so that all jobs can be given the same flags; a catalogue has no days
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub end: Option<Day>,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `job_publish`.
#[derive(Debug, Clone, Parser)]
pub struct PublishJob {
    #[command(flatten)]
    pub scope: ScopeArgs,
    #[command(flatten)]
    pub days: DayArgs,
    #[command(flatten)]
    pub artifacts: ArtifactArgs,
    #[command(flatten)]
    pub publish: PublishFlags,
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Flags of `recsys-pipelines run`.
#[derive(Debug, Clone, Args)]
pub struct RunJob {
    #[command(flatten)]
    pub scope: ScopeArgs,

    /// First day in UTC: YYYY-MM-DD, yesterday, or today-7; with --incremental, where to begin when there is no
    /// checkpoint
    #[arg(long, value_name = "DAY", required_unless_present = "incremental", value_parser = parse_day)]
    pub start: Option<Day>,

    /// Last day, inclusive [default: the first day; with --incremental, yesterday in UTC]
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub end: Option<Day>,

    /// Take a day that has not ended, for a try: what comes later is missing, and the checkpoint stays
    #[arg(long)]
    pub allow_open_day: bool,

    /// Begin with the day after the last one published, as the checkpoint has it
    #[arg(long)]
    pub incremental: bool,

    /// With --incremental, do the last N days up to the checkpoint again, with what has arrived since
    #[arg(long, value_name = "N", requires = "incremental", default_value_t = 0)]
    pub reprocess_days: u32,

    #[command(flatten)]
    pub artifacts: ArtifactArgs,
    #[command(flatten)]
    pub publish: PublishFlags,
    #[command(flatten)]
    pub common: CommonArgs,
}
