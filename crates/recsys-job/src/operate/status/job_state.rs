//! Data outside the registry about the runs of a surface: checkpoint, refused days, last failure.
//!
//! A monitor may have access to the registry only. Data it cannot read counts as unknown, with one warning per place.

use std::iter;
use std::sync::{Once, OnceLock};

use recsys_core::canonical::Canonical;
use recsys_core::domain::id::Scope;
use recsys_core::domain::window::Day;
use recsys_core::storage::{Store, StoreError};

use super::super::Operator;
use crate::pipeline::checkpoint;
use crate::shell::clock::Clock;
use crate::shell::error::one_line;
use crate::watch::failure_note::{self, FailureNote};

/// The stores besides the registry.
#[derive(Debug)]
pub(super) struct JobState {
    checkpoints: Option<Box<dyn Store>>,
    canonical: Option<Box<dyn Store>>,
    /// All failure notes, read on first use.
    failures: OnceLock<Vec<(Scope, FailureNote)>>,
    clock: Clock,
    warned: [Once; 2],
}

impl JobState {
    /// Only opens the stores. They are read later, so that nothing else is asked if the registry does not answer.
    pub(super) fn open(operator: &Operator) -> Self {
        let (config, roots) = (&operator.config, operator.config.roots());
        let checkpoints = roots.open(&config.checkpoint_dir()).ok();
        let canonical = roots.open(&config.canonical_dir()).ok();
        let warned = [Once::new(), Once::new()];
        Self { checkpoints, canonical, failures: OnceLock::new(), clock: operator.clock, warned }
    }

    /// Last day of the gapless published range, or an error message if the checkpoint is broken.
    pub(super) fn checkpoint(&self, scope: &Scope) -> Result<Option<Day>, String> {
        let Some(store) = &self.checkpoints else { return Ok(None) };
        checkpoint::read_of(&**store, scope, self.clock).or_else(|error| match error.downcast() {
            Ok(error) => Ok(known("checkpoint_dir", &self.warned[0], Err(error))),
            Err(error) => Err(one_line(error.as_ref())),
        })
    }

    /// Days whose data a gate refused; none if the store cannot be read.
    pub(super) fn refused_days(&self, scope: &Scope) -> Option<Vec<Day>> {
        let canonical = Canonical::new(self.canonical.as_deref()?, scope);
        let days = known("canonical_dir", &self.warned[1], canonical.refused_days(None))?;
        Some(days.into_iter().collect())
    }

    /// Surfaces with a failed run; read on first use.
    pub(super) fn failed(&self) -> impl Iterator<Item = &Scope> {
        iter::once(self).flat_map(Self::failures).map(|(scope, _)| scope)
    }

    /// Newest failure that no later run has made up for.
    pub(super) fn last_failure(&self, scope: &Scope) -> Option<&FailureNote> {
        self.failures().iter().rev().find(|(of, _)| of == scope).map(|(_, note)| note)
    }

    fn failures(&self) -> &[(Scope, FailureNote)] {
        self.failures.get_or_init(|| {
            let read = self.checkpoints.as_deref().map(failure_note::read);
            read.and_then(|read| known("checkpoint_dir", &self.warned[0], read)).unwrap_or_default()
        })
    }
}

fn known<T>(place: &str, warned: &Once, read: Result<T, StoreError>) -> Option<T> {
    read.inspect_err(|error| {
        warned.call_once(|| {
            tracing::warn!(
                error = one_line(error),
                "cannot look into {place}; what it would tell is left out"
            );
        });
    })
    .ok()
}
