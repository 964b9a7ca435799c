//! `verify`: re-reads and re-hashes all that the manifest names.

use recsys_core::artifact::Kind;
use recsys_core::id::Scope;
use recsys_core::parallel;
use recsys_core::publish::{BlobError, read_blob};
use serde::Serialize;

use super::{Failure, Failures, Operator, table};
use crate::cli::VerifyJob;
use crate::error::{JobError, one_line};
use crate::output::Output;

#[derive(Debug, Serialize)]
struct Verified {
    blobs: Vec<VerifiedBlob>,
    /// What could not be looked at.
    failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
struct VerifiedBlob {
    tenant: String,
    surface: String,
    kind: Kind,
    uri: String,
    bytes: Option<u64>,
    /// What is wrong with it; none when it is intact.
    problem: Option<String>,
}

/// `recsys-pipelines verify`.
pub(crate) fn verify(flags: &VerifyJob) -> Result<(), JobError> {
    let operator = Operator::new(&flags.common)?;
    let mut named: Vec<(Scope, Kind, String)> = Vec::new();
    let mut failures = Failures::default();
    let scopes = operator.scopes(&flags.filter)?;
    for scope in &scopes {
        let missing = || JobError::NoHistory(operator.registry().name(scope));
        let manifest = operator.registry().manifest(scope).map_err(JobError::from);
        match manifest.and_then(|manifest| manifest.ok_or_else(missing)) {
            Ok((manifest, _)) => {
                named.extend(manifest.current.into_iter().map(|(kind, uri)| (scope.clone(), kind, uri)));
            }
            Err(error) => failures.note(scope, error),
        }
    }
    let blobs = parallel::try_map(named, |(scope, kind, uri)| {
        let (bytes, problem) = match read_blob(&*operator.published.objects, &scope, kind, &uri) {
            Ok(blob) => (Some(blob.bytes), None),
            // A store that does not answer says nothing about the blob.
            Err(BlobError::Store(error)) => return Err(JobError::Store(error)),
            Err(error) => (None, Some(one_line(&error))),
        };
        let (tenant, surface) = (scope.tenant.into(), scope.surface.into());
        Ok(VerifiedBlob { tenant, surface, kind, uri, bytes, problem })
    })?;
    let output = Output::new(flags.common.json);
    let mut table = table(["TENANT", "SURFACE", "KIND", "BYTES", "RESULT"]);
    for blob in &blobs {
        let bytes = blob.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let result = blob.problem.as_deref().unwrap_or("intact");
        table.add_row([&blob.tenant, &blob.surface, blob.kind.as_str(), &bytes, result]);
    }
    if scopes.is_empty() {
        output.line("no manifest in the registry");
    } else if !blobs.is_empty() {
        output.line(table.trim_fmt());
    }
    failures.print(&output);
    let damaged: Vec<String> = blobs.iter().filter_map(|blob| blob.problem.clone()).collect();
    let outcome = match failures.first {
        Some(error) => Err(error),
        None if damaged.is_empty() => Ok(()),
        None => Err(JobError::Damaged(damaged.join("; "))),
    };
    output.end(&Verified { blobs, failures: failures.all }, outcome)
}
