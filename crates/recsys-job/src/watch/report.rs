//! Reports: what a step did, as one typed value from which its log line and its metrics are made.

use std::sync::Arc;

use parking_lot::Mutex;
use recsys_core::domain::id::Scope;
use recsys_core::publish::{self, Manifest};

use crate::watch::metrics::{Record, Records, Run};

/// Amounts that a step processed, as far as known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) events: Option<u64>,
    pub(crate) duplicates: Option<u64>,
    pub(crate) invalid: Option<u64>,
    pub(crate) foreign: Option<u64>,
    pub(crate) artifacts: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) bytes: Option<u64>,
}

/// What a step did, or a part of it. People see its `Display`, and `--json` its `Serialize`.
pub(crate) trait Report {
    /// Amounts for the log line at the end of the step.
    fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Puts what it says into the metrics of its scope.
    fn measure(&self, _record: &mut Record) {}
}

/// A manifest that is current.
impl Report for Manifest {
    fn measure(&self, record: &mut Record) {
        record.manifest_updated = Some(self.updated_at);
    }
}

/// The record of an artifact that is current.
impl Report for publish::Record {
    fn measure(&self, record: &mut Record) {
        record.windows.insert(self.kind, self.window);
    }
}

/// The metrics of one scope in the run.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(crate) scope: Scope,
    records: Arc<Mutex<Records>>,
}

impl Meter {
    pub(crate) fn new(run: &Run, scope: Scope) -> Self {
        Self { scope, records: Arc::clone(&run.records) }
    }

    /// Takes in a report that ends no step of its own.
    pub(crate) fn add(&self, report: &(impl Report + ?Sized)) {
        self.update(|record| report.measure(record));
    }

    pub(crate) fn update(&self, note: impl FnOnce(&mut Record)) {
        note(self.records.lock().entry(self.scope.clone()).or_default());
    }
}
