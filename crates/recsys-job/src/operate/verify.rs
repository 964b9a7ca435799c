//! `verify`: re-reads and re-hashes every blob that a manifest names.

use clap::Args;
use recsys_core::artifact::Kind;
use recsys_core::domain::class::Class;
use recsys_core::domain::id::Scope;
use recsys_core::publish::BlobError;
use recsys_core::threads::parallel;
use serde::Serialize;

use super::{Failure, Failures, Operator, scope_table};
use crate::shell::cli::{CommonArgs, ScopeFilter, flags};
use crate::shell::error::{JobError, class, is_interruption, one_line};
use crate::shell::output::Output;
use crate::watch::metrics::Run;

#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyJob {
    #[command(flatten)]
    pub(super) filter: ScopeFilter,

    #[command(flatten)]
    pub(super) common: CommonArgs,
}

flags!(filter: VerifyJob);

#[derive(Debug, Serialize)]
struct Verified {
    blobs: Vec<VerifiedBlob>,
    /// Surfaces that could not be read.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct VerifiedBlob {
    #[serde(flatten)]
    scope: Scope,
    kind: Kind,
    uri: String,
    bytes: Option<u64>,
    /// The defect; none if the blob is intact.
    problem: Option<String>,
}

pub(crate) fn verify(flags: &VerifyJob, run: &Run) -> anyhow::Result<()> {
    let operator = Operator::new(run, flags.common.config.as_deref())?;
    let mut named: Vec<(Scope, Kind, String)> = Vec::new();
    let mut failures = Failures::default();
    let scopes = operator.scopes(&flags.filter, [])?;
    for scope in &scopes {
        match operator.registry().current(scope) {
            Ok(Some(manifest)) => {
                named.extend(manifest.current.into_iter().map(|(kind, uri)| (scope.clone(), kind, uri)));
            }
            // A first publish that failed leaves a history and no manifest; that is not an error here.
            Ok(None) if flags.filter.scope().is_none() => {}
            Ok(None) => failures.note(scope, operator.nothing_of(scope)),
            Err(error) => failures.note(scope, error),
        }
    }
    let verified = parallel::try_map(named, |(scope, kind, uri)| {
        let (bytes, problem) = match operator.blob(&scope, kind, &uri).and_then(|blob| Ok(blob.check()?)) {
            Ok(blob) => (Some(blob.bytes), None),
            Err(error) if error.downcast_ref().is_some_and(is_about_blob) => {
                (None, Some(one_line(error.as_ref())))
            }
            Err(error) if is_interruption(&error) => return Err(error),
            // An unreachable store or a broken record says nothing about the blob.
            Err(error) => return Ok(Err((scope, error))),
        };
        Ok(Ok(VerifiedBlob { scope, kind, uri, bytes, problem }))
    })?;
    let mut blobs = Vec::new();
    for verified in verified {
        match verified {
            Ok(blob) => blobs.push(blob),
            Err((scope, error)) => failures.note(&scope, error),
        }
    }
    let output = Output::new(flags.common.json);
    let mut table = scope_table(["KIND", "BYTES", "RESULT"]);
    for blob in &blobs {
        let bytes = blob.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let result = blob.problem.as_deref().unwrap_or("intact");
        table.add_row_of(&blob.scope, [blob.kind.as_str(), &bytes, result]);
    }
    for failure in &failures.all {
        table.add_row_of(&failure.scope, ["-", "-", failure.word()]);
    }
    if blobs.is_empty() && failures.all.is_empty() {
        output.line("no manifest in the registry");
    } else if !blobs.is_empty() || failures.all.len() > 1 {
        output.line(table.trim_fmt());
    }
    failures.print(&output);
    let damaged: Vec<String> = blobs.iter().filter_map(|blob| blob.problem.clone()).collect();
    let outcome = match failures.first {
        Some(error) if damaged.is_empty() || class(&error) != Class::Transient => Err(error),
        None if damaged.is_empty() => Ok(()),
        // Damage is permanent and outranks a store that is only unreachable.
        _ => Err(JobError::Refused(damaged.join("; ")).into()),
    };
    output.end(&Verified { blobs, failures: failures.all }, outcome)
}

/// Whether an error is about the blob itself.
fn is_about_blob(error: &BlobError) -> bool {
    match error {
        BlobError::Store(error) => error.is_defect(),
        _ => true,
    }
}
