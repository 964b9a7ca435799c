//! The operator's commands: show the current and earlier manifests, compare them, verify them, roll back, collect
//! garbage.
//!
//! Each command prints a table, or one JSON document with `--json`, and changes nothing unless told to. Nothing here
//! ingests or builds.

pub(crate) mod db;
pub(crate) mod diff;
pub(crate) mod gc;
pub(crate) mod history;
pub(crate) mod release;
pub(crate) mod rollback;
pub(crate) mod settings;
pub(crate) mod show;
pub(crate) mod status;
mod table;
pub(crate) mod verify;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_core::domain::class::Class;
use recsys_core::domain::id::Scope;
use recsys_core::publish::{BlobBytes, HistoryEntry, Manifest, Registry, RegistryError};
use recsys_core::storage::layout::version_in;
use serde::Serialize;

use self::table::{scope_table, table};
use crate::config::Config;
use crate::pipeline::context::PublishedStores;
use crate::pipeline::known_scopes::there_is;
use crate::shell::cli::ScopeFilter;
use crate::shell::clock::Clock;
use crate::shell::error::{JobError, class, one_line};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

/// Shared state of the operator's commands.
#[derive(Debug)]
struct Operator {
    config: Config,
    clock: Clock,
    published: PublishedStores,
}

impl Operator {
    fn new(run: &Run, config: Option<&Path>) -> anyhow::Result<Self> {
        let mut config = Config::load(config, run.linked)?;
        config.storage = config.storage.for_operator();
        let published = PublishedStores::open(&config, &config.roots())?;
        Ok(Self { config, clock: Clock::from_env()?, published })
    }

    fn registry(&self) -> Registry<'_> {
        Registry::new(&*self.published.registry).at(self.clock.horizon())
    }

    /// History of `scope`, newest first, with up to `most` entries and at least one.
    fn history(&self, scope: &Scope, most: usize) -> anyhow::Result<Vec<HistoryEntry>> {
        let chain = self.registry().history(scope, most)?;
        if chain.is_empty() {
            self.registry().current(scope)?;
            return Err(self.nothing_of(scope));
        }
        Ok(chain)
    }

    /// The current manifest of `scope`.
    fn manifest(&self, scope: &Scope) -> anyhow::Result<Manifest> {
        self.registry().current(scope)?.ok_or_else(|| self.nothing_of(scope))
    }

    /// The error for a surface without a manifest. It lists the known surfaces, since the name may be mistyped.
    fn nothing_of(&self, scope: &Scope) -> anyhow::Error {
        let (name, known) = (self.registry().name(scope), self.known());
        JobError::Usage(format!("{name} does not exist; nothing was published there{known}")).into()
    }

    fn known(&self) -> String {
        let scopes = self.registry().scopes().unwrap_or_default();
        there_is(&scopes.iter().map(Scope::to_string).collect::<Vec<_>>())
    }

    /// Reads the blob at a URI, and fails if it is larger than its record says.
    fn blob(&self, scope: &Scope, kind: Kind, uri: &str) -> anyhow::Result<BlobBytes> {
        let record = self.registry().record(scope, kind, version_in(uri))?;
        let recorded = record.map(|record| record.bytes);
        Ok(BlobBytes::read(&*self.published.objects, scope, kind, uri, recorded)?)
    }

    /// All surfaces that have or had a manifest, plus `more`, that pass the filter. A surface named in full is returned
    /// even without a manifest.
    fn scopes<'a>(
        &self,
        filter: &ScopeFilter,
        more: impl IntoIterator<Item = &'a Scope>,
    ) -> anyhow::Result<Vec<Scope>> {
        if let Some(scope) = filter.scope() {
            return Ok(vec![scope]);
        }
        // Without this, a missing folder would look like a registry without problems.
        if !self.published.registry.root_exists().map_err(RegistryError::Store)? {
            let line = "does not exist or is empty; set registry_dir or out_dir";
            return Err(JobError::Usage(format!("registry {} {line}", self.config.registry_dir())).into());
        }
        let mut scopes = self.registry().scopes()?;
        scopes.extend(more.into_iter().cloned());
        scopes.retain(|scope| filter.takes(scope));
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() && (filter.tenant.is_some() || filter.surface.is_some()) {
            let (registry, known) = (self.config.registry_dir(), self.known());
            let line = format!("no manifest in registry {registry} is of that tenant or surface{known}");
            return Err(JobError::Usage(line).into());
        }
        Ok(scopes)
    }
}

/// Errors by surface. The command goes on with the other surfaces, so that a broken one does not hide the rest.
#[derive(Debug, Default)]
struct Failures {
    all: Vec<Failure>,
    /// The error that ends the command: the first permanent one, or else the first one.
    first: Option<anyhow::Error>,
}

#[derive(Debug, Serialize)]
struct Failure {
    #[serde(flatten)]
    scope: Scope,
    problem: String,
    /// Whether there was a manifest and it is missing now.
    lost: bool,
}

impl Failure {
    /// Word for the table.
    fn word(&self) -> &'static str {
        if self.lost { "lost" } else { "unreadable" }
    }
}

impl Failures {
    fn note(&mut self, scope: &Scope, error: impl Into<anyhow::Error>) {
        let error = error.into();
        let lost =
            matches!(error.downcast_ref(), Some(RegistryError::Lost { .. } | RegistryError::Begun { .. }));
        self.all.push(Failure { scope: scope.clone(), problem: one_line(error.as_ref()), lost });
        let heals = |error: &anyhow::Error| class(error) == Class::Transient;
        if self.first.as_ref().is_none_or(|first| heals(first) && !heals(&error)) {
            self.first = Some(error);
        }
    }

    /// Prints the errors if there are several; a single one is the command's last line anyway.
    fn print(&self, output: &Output) {
        if self.all.len() > 1 {
            for Failure { scope, problem, .. } in &self.all {
                output.line(format_args!("{scope}: {problem}"));
            }
        }
    }
}

/// Time passed since `then`; zero if `then` lies in the future.
fn age(now: Timestamp, then: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}

/// A duration for people: its two largest units, down to seconds.
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
