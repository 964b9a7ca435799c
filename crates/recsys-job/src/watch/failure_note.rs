//! The last failure of each job, for `status`: a small document next to the checkpoints. The next successful run of the
//! same binary removes it, or of one that does the same work.
//!
//! The notes are for people. They never change the exit code, and writing them never waits for a service that just
//! failed.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use recsys_core::domain::class::Class;
use recsys_core::domain::id::Scope;
use recsys_core::encoding::json;
use recsys_core::storage::{BucketError, Condition, Store, StoreError, layout};
use serde::{Deserialize, Serialize};

use crate::config::{Config, ConfigError};
use crate::shell::cli::CommonArgs;
use crate::shell::error::{JobError, class, exit_code, is_interruption, one_line};
use crate::shell::{clock, run_id};
use crate::watch::metrics::Run;

/// Binary name of `recsys-pipelines run`.
const RUN: &str = "recsys-pipelines";

/// Maximum length of a stored message, in bytes.
const MAX_MESSAGE: usize = 2000;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureNote {
    v: u8,
    pub(crate) binary: String,
    pub(crate) run_id: Option<String>,
    pub(crate) at: Timestamp,
    pub(crate) exit_code: u8,
    pub(crate) message: String,
}

/// Records the outcome of a job: `failure` holds the error and the job's last line.
pub(crate) fn end(run: &Run, common: &CommonArgs, failure: Option<(&anyhow::Error, &str)>) {
    let Some(scope) = run.scope.as_ref().filter(|_| run.is_job) else { return };
    if failure.is_some_and(|(error, _)| !is_worth_noting(error)) {
        return;
    }
    let Ok(config) = Config::load(common.config.as_deref(), run.linked) else { return };
    let Ok(store) = config.roots().open(&config.checkpoint_dir()) else { return };
    let noted = match failure {
        None => remove_healed(&*store, scope, &run.binary),
        Some((error, line)) => {
            let (binary, run_id, at) = (run.binary.clone(), run_id::current(), clock::wall());
            let message = line[..line.floor_char_boundary(MAX_MESSAGE)].to_owned();
            let note = FailureNote { v: 1, binary, run_id, at, exit_code: exit_code(class(error)), message };
            let key = layout::failure(scope, &run.binary);
            store.put(&key, &json::readable(&note), Condition::Always).map(drop)
        }
    };
    if let Err(error) = noted {
        tracing::info!(error = one_line(&error), "cannot note how the job has ended");
    }
}

/// Removes the notes that a success of `binary` makes obsolete: its own, and those of jobs that did the same work.
fn remove_healed(store: &dyn Store, scope: &Scope, binary: &str) -> Result<(), StoreError> {
    /// Binaries whose work `run` does not always do.
    const APART: [&str; 2] = ["job_db_signals", "job_catalog"];
    let of = |binary: &str| layout::failure(scope, binary);
    let mut keys = match binary {
        RUN => store.list(&layout::failures(scope))?.into_iter().map(|listed| listed.key).collect(),
        "job_publish" => vec![of(binary), of(RUN)],
        _ => vec![of(binary)],
    };
    if binary == RUN {
        keys.retain(|key| APART.iter().all(|apart| *key != of(apart)));
    }
    keys.iter().try_for_each(|key| store.remove(key).map(drop))
}

/// Usage and configuration errors were seen by the caller before anything was done. Interruptions are not failures. And
/// writing a note to a service that is down would only wait for it again.
fn is_worth_noting(error: &anyhow::Error) -> bool {
    let is_usage = error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(JobError::Usage(_)));
    let is_fault =
        |error: &io::Error| error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<BucketError>);
    let is_of_a_service = || error.chain().any(|cause| cause.downcast_ref().is_some_and(is_fault));
    !is_usage && !is_interruption(error) && (class(error) != Class::Transient || !is_of_a_service())
}

/// Failures without a later success, newest last. Documents that are not notes are skipped.
pub(crate) fn read(store: &dyn Store) -> Result<Vec<(Scope, FailureNote)>, StoreError> {
    let mut notes = Vec::new();
    for listed in store.list(layout::FAILURES)? {
        let Some(scope) = layout::scope_of_failure(&listed.key) else { continue };
        let Some(bytes) = store.read(&listed.key)? else { continue };
        if let Ok(note) = serde_json::from_slice::<FailureNote>(&bytes) {
            notes.push((scope, note));
        }
    }
    notes.sort_by_key(|(_, note)| note.at);
    Ok(notes)
}
