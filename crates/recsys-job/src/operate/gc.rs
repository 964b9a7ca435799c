//! `gc`: what nothing in the kept history names.

use jiff::{SignedDuration, Timestamp};
use recsys_core::publish::{Collection, Garbage, GarbageType, Keep};
use serde::Serialize;

use super::{Failure, Failures, Operator, age, readable, table};
use crate::cli::GcJob;
use crate::context::by;
use crate::error::JobError;
use crate::output::Output;

/// No publish takes longer from its first blob to its swap.
const LEAST_AGE: SignedDuration = SignedDuration::from_hours(1);

#[derive(Debug, Serialize)]
struct Collected {
    /// What was written or current after this is kept.
    since: Timestamp,
    /// Whether the garbage was deleted.
    deleted: bool,
    scopes: Vec<ScopeCollected>,
    /// The size of all garbage.
    bytes: u64,
    /// Where garbage could not be told or removed.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct ScopeCollected {
    tenant: String,
    surface: String,
    kept_manifests: usize,
    garbage: Vec<Garbage>,
}

/// `recsys-pipelines gc`.
pub(crate) fn gc(flags: &GcJob) -> Result<(), JobError> {
    if flags.older_than < LEAST_AGE {
        let line =
            "--older-than must be at least 1h: a publish that is running has blobs that nothing names yet";
        return Err(JobError::Usage(line.to_owned()));
    }
    let operator = Operator::new(&flags.common)?;
    let now = operator.clock.now();
    let since = now.checked_sub(flags.older_than).unwrap_or(Timestamp::MIN);
    let keep = Keep { manifests: flags.keep.get(), since };
    let (registry, objects) = (&*operator.published.registry, &*operator.published.objects);
    let output = Output::new(flags.common.json);
    let mut failures = Failures::default();
    let mut document =
        Collected { since, deleted: flags.delete, scopes: Vec::new(), bytes: 0, failures: Vec::new() };
    let mut table = table(["TENANT", "SURFACE", "TYPE", "KIND", "VERSION", "BYTES", "AGE"]);
    for scope in operator.scopes(&flags.filter)? {
        let collected = Collection::find(registry, objects, &scope, keep).and_then(|mut found| {
            if flags.delete {
                found.garbage = found.remove(registry, objects, &scope, keep, &by())?;
            }
            Ok(found)
        });
        let found = match collected {
            Ok(found) => found,
            Err(error) => {
                failures.note(&scope, error.into());
                continue;
            }
        };
        let (tenant, surface) = (scope.tenant.to_string(), scope.surface.to_string());
        for Garbage { r#type, kind, version, bytes, modified, .. } in &found.garbage {
            let r#type = match r#type {
                GarbageType::Blob => "blob",
                GarbageType::Record => "record",
            };
            let (version, size) = (format!("{version:.12}"), bytes.to_string());
            let age = readable(age(now, *modified));
            table.add_row([&tenant, &surface, r#type, kind.as_str(), &version, &size, &age]);
            document.bytes += bytes;
        }
        let Collection { kept_manifests, garbage } = found;
        document.scopes.push(ScopeCollected { tenant, surface, kept_manifests, garbage });
    }
    let count: usize = document.scopes.iter().map(|scope| scope.garbage.len()).sum();
    if count > 0 {
        output.line(table.trim_fmt());
    }
    let outcome = match (count, flags.delete) {
        (0, _) => "nothing to delete",
        (_, true) => "deleted",
        (_, false) => "nothing was deleted; pass --delete to delete them",
    };
    output.line(format_args!("{count} documents, {} bytes: {outcome}", document.bytes));
    failures.print(&output);
    document.failures = failures.all;
    output.end(&document, failures.first.map_or(Ok(()), Err))
}
