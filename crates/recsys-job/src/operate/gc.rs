//! `gc`: finds, and optionally deletes, artifacts that the kept history does not name.

use clap::Args;
use std::iter;
use std::num::NonZeroUsize;

use jiff::{SignedDuration, Timestamp};
use recsys_core::domain::id::Scope;
use recsys_core::publish::{
    Abandoned, Collection, Garbage, GarbageError, GarbageType, Keep, Registry, Remover, release, uptime,
};
use recsys_core::storage::Store;
use serde::{Serialize, Serializer};

use super::{Failure, Failures, Operator, age, readable, scope_table};
use crate::pipeline::context::by;
use crate::shell::cli::{CommonArgs, ScopeFilter, flags, parse_age, parse_count};
use crate::shell::clock;
use crate::shell::error::JobError;
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct GcJob {
    #[command(flatten)]
    pub(super) filter: ScopeFilter,

    /// Keep what was written or current in this time, such as 30d; at least 1h
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = parse_age)]
    pub(super) older_than: SignedDuration,

    /// Keep what the newest N manifests of each tenant and surface name
    #[arg(long, value_name = "N", default_value = "10", value_parser = parse_count::<NonZeroUsize>)]
    pub(super) keep: NonZeroUsize,

    /// Delete what is listed; without it, nothing changes
    #[arg(long)]
    pub(super) delete: bool,

    /// Take old blobs without a record for garbage, however many there are
    #[arg(long)]
    pub(super) include_unrecorded: bool,

    /// Give up the claims of collections that began longer ago than this, such as 24h, and were killed
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(super) release_claims: Option<SignedDuration>,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(filter: GcJob);

/// Longer than any publish takes from its first blob to its swap.
const LEAST_AGE: SignedDuration = SignedDuration::from_hours(1);

/// Maximum number of rows in text output; JSON output has all.
const MOST_ROWS: usize = 200;

#[derive(Serialize)]
struct Collected<'a> {
    /// Everything written or current after this time is kept.
    since: Timestamp,
    deleted: bool,
    scopes: Vec<ScopeCollected<'a>>,
    /// Total size of the garbage.
    bytes: u64,
    /// Surfaces where garbage could not be found or removed.
    failures: Vec<Failure>,
}

#[derive(Serialize)]
struct ScopeCollected<'a> {
    #[serde(flatten)]
    scope: Scope,
    kept_manifests: usize,
    garbage: GarbageList<'a>,
    /// Claims of dead collectors; the claimed versions cannot become current.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    abandoned_claims: Vec<Abandoned>,
}

/// Garbage of a scope; the URIs are made during serialization.
struct GarbageList<'a> {
    scope: Scope,
    garbage: Vec<Garbage>,
    registry: &'a dyn Store,
    objects: &'a dyn Store,
}

impl Serialize for GarbageList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct GarbageEntry<'a> {
            #[serde(flatten)]
            garbage: &'a Garbage,
            uri: String,
        }
        serializer.collect_seq(self.garbage.iter().map(|garbage| {
            let store = match garbage.r#type {
                GarbageType::Blob => self.objects,
                GarbageType::Record => self.registry,
            };
            GarbageEntry { garbage, uri: store.uri(&garbage.key(&self.scope)) }
        }))
    }
}

pub(crate) fn gc(flags: &GcJob, run: &Run) -> anyhow::Result<()> {
    let blobs =
        "--older-than must be at least 1h: a publish that is running has blobs that nothing names yet";
    let claims = "--release-claims must be at least 1h: a collection that is running has claims, too";
    for (age, line) in [(Some(flags.older_than), blobs), (flags.release_claims, claims)] {
        if age.is_some_and(|age| age < LEAST_AGE) {
            return Err(JobError::Usage(line.to_owned()).into());
        }
    }
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let now = operator.clock.now();
    let since = now.checked_sub(flags.older_than).unwrap_or(Timestamp::MIN);
    let (registry, objects) = (&*operator.published.registry, &*operator.published.objects);
    let output = Output::new(flags.common.json);
    let mut failures = Failures::default();
    let mut document =
        Collected { since, deleted: flags.delete, scopes: Vec::new(), bytes: 0, failures: Vec::new() };
    for scope in operator.scopes(&flags.filter, [])? {
        recsys_core::threads::interrupt::check()?;
        match collect(&operator, flags, &scope, since) {
            Ok(None) => {}
            Ok(Some((Collection { kept_manifests, garbage, .. }, abandoned_claims))) => {
                document.bytes += garbage.iter().map(|garbage| garbage.bytes).sum::<u64>();
                let garbage = GarbageList { scope: scope.clone(), garbage, registry, objects };
                document.scopes.push(ScopeCollected { scope, kept_manifests, garbage, abandoned_claims });
            }
            Err(error) => failures.note(&scope, error),
        }
    }
    // Without a readable surface there is nothing to report.
    if !document.scopes.is_empty() || failures.all.is_empty() {
        print(&output, flags, now, &document);
    }
    failures.print(&output);
    document.failures = failures.all;
    output.end(&document, failures.first.map_or(Ok(()), Err))
}

/// Finds the garbage of a scope and deletes it if asked to; also returns the claims of dead collectors. None if a first
/// publish failed: the next publish uses what it left.
fn collect(
    operator: &Operator,
    flags: &GcJob,
    scope: &Scope,
    since: Timestamp,
) -> Result<Option<(Collection, Vec<Abandoned>)>, GarbageError> {
    let (registry, objects) = (&*operator.published.registry, &*operator.published.objects);
    // A lost manifest, or one from the future, is an error here: garbage cannot be told by it.
    if operator.registry().current(scope)?.is_none() && flags.filter.scope().is_none() {
        return Ok(None);
    }
    // Claims carry the system time, whatever the pinned clock says.
    let timeouts = operator.config.registry.timeouts_of_gc();
    let caller = Remover { by: by(), now: clock::wall(), timeouts, uptime };
    if let Some(age) = flags.release_claims {
        Registry::new(registry).check_store()?;
        // Pinning the clock ahead counts as time having passed.
        let before = operator.clock.horizon().checked_sub(age).unwrap_or(Timestamp::MIN);
        for Abandoned { by, since, versions } in release(registry, scope, before, &caller)? {
            tracing::info!(%scope, by, %since, versions, "gave up the claims of a collection that has ended");
        }
    }
    let include_unrecorded = flags.include_unrecorded;
    let keep = Keep { manifests: flags.keep.get(), since, include_unrecorded };
    let mut found = Collection::find(registry, objects, scope, keep)?;
    if !flags.delete {
        return Ok(Some((found, Vec::new())));
    }
    let removed = found.remove(registry, objects, scope, &caller)?;
    found.garbage = removed.garbage;
    for Abandoned { by, since, versions } in &removed.abandoned {
        tracing::warn!(
            %scope, by, %since, versions,
            "a collection that has ended claims versions, which cannot become current; when it cannot be running any \
             more, give them up with --release-claims"
        );
    }
    Ok(Some((found, removed.abandoned)))
}

fn print(output: &Output, flags: &GcJob, now: Timestamp, document: &Collected<'_>) {
    let all = || {
        let scopes = document.scopes.iter();
        scopes.flat_map(|collected| iter::repeat(collected).zip(&collected.garbage.garbage))
    };
    let count = all().count();
    let mut table = scope_table(["TYPE", "KIND", "VERSION", "BYTES", "AGE"]);
    for (of, Garbage { r#type, kind, version, bytes, modified }) in all().take(MOST_ROWS) {
        let r#type = match r#type {
            GarbageType::Blob => "blob",
            GarbageType::Record => "record",
        };
        let (version, size) = (format!("{version:.12}"), bytes.to_string());
        let age = readable(age(now, *modified));
        table.add_row_of(&of.scope, [r#type, kind.as_str(), &version, &size, &age]);
    }
    if count > 0 {
        output.line(table.trim_fmt());
    }
    if let Some(more) = count.checked_sub(MOST_ROWS).filter(|more| *more > 0) {
        output.line(format_args!("... and {more} more; --json lists all"));
    }
    let outcome = match (count, flags.delete) {
        (0, _) => "nothing to delete",
        (_, true) => "deleted",
        (_, false) => "nothing was deleted; pass --delete to delete them",
    };
    let documents = if count == 1 { "document" } else { "documents" };
    output.line(format_args!("{count} {documents}, {} bytes: {outcome}", document.bytes));
}
