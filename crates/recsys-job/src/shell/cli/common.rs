//! Flags shared by several binaries.

use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};
use recsys_core::domain::id::{Scope, Segment, Surface, Tenant};
use recsys_core::domain::window::{Day, DayError};

use crate::config::parse_gateway;
use crate::shell::clock::Clock;

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

/// Parser for the URL of a Pushgateway. Errors do not repeat the URL, which may hold a password.
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

/// Parses a day: a calendar date, or an offset from today in UTC.
pub(super) fn parse_day(text: &str) -> Result<Day, String> {
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

/// Parses an age, such as 26h.
pub(crate) fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let expected = || format!("{text:?} is not a duration such as 26h, 90m or 1d 12h");
    let span: Span = text.parse().map_err(|_| expected())?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    if age.is_negative() { Err(expected()) } else { Ok(age) }
}

pub(crate) fn parse_count<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "it must be a whole number of 1 or more".to_owned())
}

/// Which artifacts of a day.
#[derive(Debug, Clone, Args)]
pub struct ArtifactArgs {
    /// Build from the events of this segment and those without one, instead of from all
    #[arg(long)]
    pub segment: Option<Segment>,

    /// Days in the window that ends with each day, for every kind [default: `window_days` of the kind, else 1]
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU32>)]
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

    /// Why, in a few words that the history keeps
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub reason: Option<String>,
}

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 500;

/// Parses a reason: a single line of text.
pub(crate) fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) || text.chars().count() > MAX_REASON {
        return Err(format!("a reason is one line of 1 to {MAX_REASON} characters"));
    }
    Ok(text.to_owned())
}
