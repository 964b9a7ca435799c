//! The operator's commands: what is current, what was, what changed, whether it is intact, and back.
//!
//! Each prints a table, or one document with `--json`, and never changes anything without being told to. Nothing here ingests
//! or builds.

mod db;
mod diff;
mod gc;
mod history;
mod release;
mod rollback;
mod settings;
mod show;
mod status;
mod table;
mod verify;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_core::domain::id::Scope;
use recsys_core::publish::{BlobBytes, HistoryEntry, Manifest, Registry, RegistryError, version_in};
use serde::Serialize;

pub(crate) use db::db_init;
pub(crate) use diff::diff;
pub(crate) use gc::gc;
pub(crate) use history::history;
pub(crate) use release::release;
pub(crate) use rollback::rollback;
pub(crate) use settings::{check, show as show_config};
pub(crate) use show::show;
pub(crate) use status::status;
pub(crate) use verify::verify;

use self::table::table;
use crate::config::Config;
use crate::pipeline::context::PublishedStores;
use crate::shell::cli::{CommonArgs, ScopeFilter};
use crate::shell::clock::Clock;
use crate::shell::error::{Exit, JobError, Known, one_line};
use crate::shell::output::Output;

/// What an operator's command works with.
#[derive(Debug)]
struct Operator {
    config: Config,
    clock: Clock,
    published: PublishedStores,
}

impl Operator {
    fn new(common: &CommonArgs) -> Result<Self, JobError> {
        Self::of(common.config.as_deref())
    }

    /// The same for the configuration in a file.
    fn of(config: Option<&Path>) -> Result<Self, JobError> {
        let config = Config::load(config)?;
        let published = PublishedStores::open(&config, &config.operator_roots())?;
        Ok(Self { config, clock: Clock::from_env()?, published })
    }

    fn registry(&self) -> Registry<'_> {
        Registry::new(&*self.published.registry).at(self.clock.horizon())
    }

    /// The history of `scope`, newest first, at least the current manifest.
    fn history(&self, scope: &Scope, most: usize) -> Result<Vec<HistoryEntry>, JobError> {
        let chain = self.registry().history(scope, most)?;
        if chain.is_empty() {
            self.registry().current(scope)?;
            return Err(self.nothing_of(scope));
        }
        Ok(chain)
    }

    /// The manifest of `scope`.
    fn manifest(&self, scope: &Scope) -> Result<Manifest, JobError> {
        self.registry().current(scope)?.ok_or_else(|| self.nothing_of(scope))
    }

    /// What is to be said where nothing was published: perhaps the name has a typing error.
    fn nothing_of(&self, scope: &Scope) -> JobError {
        let known = self.known();
        JobError::NoHistory { name: self.registry().name(scope), known }
    }

    fn known(&self) -> Known {
        let scopes = self.registry().scopes().unwrap_or_default();
        Known(scopes.iter().map(Scope::to_string).collect())
    }

    /// The blob at a URI, if it is not larger than its record says.
    fn blob(&self, scope: &Scope, kind: Kind, uri: &str) -> Result<BlobBytes, JobError> {
        let record = self.registry().record(scope, kind, version_in(uri))?;
        let recorded = record.map(|record| record.bytes);
        Ok(BlobBytes::read(&*self.published.objects, scope, kind, uri, recorded)?)
    }

    /// The tenants and surfaces that have a manifest, or had one, and pass the filter; `more` are others that are known. One
    /// that is named in full need not have a manifest.
    fn scopes<'a>(
        &self,
        filter: &ScopeFilter,
        more: impl IntoIterator<Item = &'a Scope>,
    ) -> Result<Vec<Scope>, JobError> {
        if let Some(scope) = filter.scope() {
            return Ok(vec![scope]);
        }
        // An empty list from a folder that is not there would look like good news.
        if !self.published.registry.root_exists().map_err(RegistryError::Store)? {
            return Err(JobError::NoRegistry(self.config.registry_dir()));
        }
        let mut scopes = self.registry().scopes()?;
        scopes.extend(more.into_iter().cloned());
        scopes.retain(|scope| filter.takes(scope));
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() && (filter.tenant.is_some() || filter.surface.is_some()) {
            let (registry, known) = (self.config.registry_dir(), self.known());
            return Err(JobError::NothingMatches { registry, known });
        }
        Ok(scopes)
    }
}

/// The tenants and surfaces at which a command has failed. The others are worked on all the same: one that is
/// broken must not hide the rest.
#[derive(Debug, Default)]
struct Failures {
    all: Vec<Failure>,
    /// The first one that does not heal by trying again, or else the first one.
    first: Option<JobError>,
}

#[derive(Debug, Serialize)]
struct Failure {
    tenant: String,
    surface: String,
    problem: String,
    /// Whether there is no manifest, and was one.
    lost: bool,
}

impl Failure {
    /// What a table says of it.
    fn word(&self) -> &'static str {
        if self.lost { "lost" } else { "unreadable" }
    }
}

impl Failures {
    fn note(&mut self, scope: &Scope, error: JobError) {
        let (tenant, surface) = (scope.tenant.to_string(), scope.surface.to_string());
        let lost =
            matches!(error, JobError::Registry(RegistryError::Lost { .. } | RegistryError::Begun { .. }));
        self.all.push(Failure { tenant, surface, problem: one_line(&error), lost });
        let heals = |error: &JobError| error.exit() == Exit::Failure;
        if self.first.as_ref().is_none_or(|first| heals(first) && !heals(&error)) {
            self.first = Some(error);
        }
    }

    /// Lists them, unless there is only one: that one is the last line of the job.
    fn print(&self, output: &Output) {
        if self.all.len() > 1 {
            for Failure { tenant, surface, problem, .. } in &self.all {
                output.line(format_args!("{tenant}/{surface}: {problem}"));
            }
        }
    }
}

/// The time that has passed since `then`; none when it lies in the future.
fn age(now: Timestamp, then: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}

/// A duration as people say it, to the second.
fn readable(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m {}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h {minutes}m"),
        (days, hours, _) => format!("{days}d {hours}h"),
    }
}
