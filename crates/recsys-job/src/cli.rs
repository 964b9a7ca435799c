//! The flags, each defined once and flattened into the binaries that take it.

#![allow(
    missing_docs,
    reason = "a doc comment is the help of a flag, and a flattened group of flags has none"
)]

use std::ffi::OsStr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Parser, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use recsys_core::artifact::Kind;
use recsys_core::catalog::CatalogFormat;
use recsys_core::id::{Scope, Segment, Surface, Tenant};
use recsys_core::window::{Day, DayError};

use crate::clock::Clock;
use crate::post::parse_gateway;

/// What every binary's help ends with.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  success
  1  runtime failure; trying again is safe and may help
  2  usage or configuration
  3  the data was refused: a gate, a bad line, a damaged artifact
  4  a limit was exceeded
Codes 2, 3 and 4 do not heal by trying again.";

/// What every binary takes.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Configuration file (JSON, YAML or TOML); `RECSYS_PIPELINES__SECTION__KEY` variables and flags override it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print one JSON document on standard output instead of a summary
    #[arg(long)]
    pub json: bool,

    /// How to write log lines on standard error [default: text on a terminal, JSON elsewhere]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Write metrics as Prometheus text at the end, whatever the outcome; `{binary}`, `{tenant}` and `{surface}` are
    /// filled in [default: metrics.file]
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<String>,

    /// Push metrics to the Pushgateway at this URL at the end, whatever the outcome [default: metrics.push]
    #[arg(long, value_name = "URL", value_parser = Gateway)]
    pub metrics_push: Option<String>,
}

/// Parses the address of a Pushgateway. What is wrong with one is said without it: it may hold a password.
#[derive(Debug, Clone, Copy)]
struct Gateway;

impl TypedValueParser for Gateway {
    type Value = String;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let parsed = value.to_str().ok_or("is not UTF-8").and_then(|text| parse_gateway(text).map(|_| text));
        parsed.map(str::to_owned).map_err(|problem| {
            let message = format!("the URL of --metrics-push {problem}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

/// Whose data.
#[derive(Debug, Clone, Args)]
pub struct ScopeArgs {
    /// Whose data; events of other tenants are counted and skipped
    #[arg(long)]
    pub tenant: Tenant,

    /// The place where recommendations are shown, such as home
    #[arg(long)]
    pub surface: Surface,
}

impl ScopeArgs {
    pub(crate) fn scope(&self) -> Scope {
        Scope { tenant: self.tenant.clone(), surface: self.surface.clone() }
    }
}

/// Which days.
#[derive(Debug, Clone, Args)]
pub struct DayArgs {
    /// First day in UTC: YYYY-MM-DD, yesterday, or today-7
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub start: Day,

    /// Last day, inclusive; each day of the range is worked on in turn [default: the first day]
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    pub end: Option<Day>,

    /// Take a day that has not ended, for a try: what comes later is missing, and the checkpoint stays
    #[arg(long)]
    pub allow_open_day: bool,
}

/// Parses a day: as it is written in the calendar, or counted from today in UTC.
fn parse_day(text: &str) -> Result<Day, String> {
    let before = match text.strip_prefix("today") {
        Some("") => Some(0),
        Some(before) => before.strip_prefix('-').and_then(|days| days.parse::<u32>().ok()),
        None => (text == "yesterday").then_some(1),
    };
    let Some(before) = before else {
        let expected = |error: DayError| format!("{error}, nor is it today, yesterday or today-7");
        return text.parse().map_err(expected);
    };
    let today = Clock::from_env().map_err(|error| error.to_string())?.now();
    Day::of(today).and_then(|today| today.plus(-i64::from(before))).map_err(|error| error.to_string())
}

/// Which artifacts of a day.
#[derive(Debug, Clone, Args)]
pub struct ArtifactArgs {
    /// Build from the events of this segment and those without one, instead of from all
    #[arg(long)]
    pub segment: Option<Segment>,

    /// Days in the window that ends with each day, for every kind [default: `window_days` of the kind, else 1]
    #[arg(long, value_name = "N")]
    pub window_days: Option<NonZeroU32>,
}

/// What may be done beyond the safe default when publishing.
#[derive(Debug, Clone, Args)]
pub struct PublishFlags {
    /// Let a kind move to a window that ends before the current one
    #[arg(long)]
    pub allow_older_window: bool,

    /// Let a kind move to another segment than the current one's
    #[arg(long)]
    pub switch_segment: bool,

    /// Let an artifact differ from the current one by more than `validation.max_artifact_change` or `max_top_change`
    /// allow
    #[arg(long)]
    pub allow_large_change: bool,
}

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
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
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

fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let expected = || format!("{text:?} is not a duration such as 26h, 90m or 1d 12h");
    let span: Span = text.parse().map_err(|_| expected())?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if age.is_negative() { Err(expected()) } else { Ok(age) }
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

/// A set of flags that a binary can be started with.
pub trait Flags: Parser {
    /// The flags that every binary takes.
    fn common(&self) -> &CommonArgs;

    /// Whose data, where the flags name one tenant and surface.
    fn scope(&self) -> Option<Scope>;

    /// The command of a binary that has several.
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

    /// What is current, how old it is, and from which window
    #[command(after_help = EXIT_CODES)]
    Status(StatusJob),

    /// Every manifest that was current, newest first
    #[command(after_help = EXIT_CODES)]
    History(HistoryJob),

    /// Make an earlier manifest current again
    ///
    /// Every blob that would become current is read and its hash recomputed first; if one is missing or
    /// damaged, nothing changes. A rollback is itself an entry of the history and can be rolled back.
    #[command(after_help = EXIT_CODES)]
    Rollback(RollbackJob),

    /// Re-read and re-hash all that the manifest names; exit code 3 on a mismatch
    #[command(after_help = EXIT_CODES)]
    Verify(VerifyJob),

    /// What changed between two manifests, per kind
    ///
    /// Says which items came and went, and which moved farthest in rank. Items are ranked by weight: their
    /// count in popularity, the sum of their row in cooc, the sum of their scores over all users in implicit
    /// and `session_seq`. A blob that is missing or damaged is an error with exit code 3.
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
            PipelinesCommand::Rollback(_) => "rollback",
            PipelinesCommand::Verify(_) => "verify",
            PipelinesCommand::Gc(_) => "gc",
            PipelinesCommand::Diff(_) => "diff",
            PipelinesCommand::Db(_) => "db",
            PipelinesCommand::Config(_) => "config",
        })
    }
}
