//! Day reports: what a day's canonical data contains, and the verdict of the gates.
//!
//! A report lies beside the data. The job that writes the data writes the counts; the job that judges the day adds the
//! verdict, even a good one. The hash tells which data a report is about.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{Scope, Surface, Tenant};
use crate::domain::window::Day;
use crate::encoding::json;
use crate::gate::{Check, DayCounts, Dropped, Past};
use crate::storage::{Condition, Store, StoreError, layout};

/// The report of one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayReport {
    /// The version of this format: 1.
    pub v: u8,
    /// The tenant.
    pub tenant: Tenant,
    /// The surface, such as `home`.
    pub surface: Surface,
    /// The day that the report is about.
    pub day: Day,
    /// SHA-256 of the canonical file; of no bytes if the day has none.
    pub canonical_hash: String,
    /// SHA-256 of the canonical outcomes that came with it; absent if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes_hash: Option<String>,
    /// Counts of the canonical data.
    pub counts: DayCounts,
    /// Repeated deliveries that were dropped; absent if the data was ingested without a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Events of other days in the day's own files; absent if there were none, or they were not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<u64>,
    /// The verdict of the gates; absent until the day is judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Earlier data of the day that was accepted and may be delivered again, by its hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted_before: BTreeMap<String, Accepted>,
}

/// The verdict of the gates on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Whether all checks passed.
    pub passed: bool,
    /// The earlier days that it was compared with.
    pub past: Past,
    /// The result of each gate.
    pub checks: Vec<Check>,
    /// Who accepted the day although it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

/// An operator's decision to use a day although a gate refused it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// SHA-256 of the canonical outcomes that came with the data; absent if there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes_hash: Option<String>,
    /// The reason given by the operator.
    pub reason: String,
    /// User and host.
    pub by: String,
    /// Time of the decision.
    pub at: Timestamp,
}

impl DayReport {
    /// All data of the day that was ever accepted, by the hash of its exposures.
    pub fn accepted(&self) -> BTreeMap<String, Accepted> {
        let mut all = self.accepted_before.clone();
        let last = self.verdict.as_ref().and_then(|verdict| verdict.accepted.clone());
        all.extend(last.map(|last| (self.canonical_hash.clone(), last)));
        all
    }

    /// Events that were delivered but are not in the data.
    pub fn dropped(&self) -> Dropped {
        Dropped { duplicates: self.duplicates, outside: self.outside }
    }

    /// Whether the day may be built from: it is not judged yet, has passed, or was accepted.
    pub fn is_good(&self) -> bool {
        self.verdict.as_ref().is_none_or(|verdict| verdict.passed || verdict.accepted.is_some())
    }
}

/// The reports of one tenant and surface.
#[derive(Debug, Clone, Copy)]
pub struct Reports<'a> {
    store: &'a dyn Store,
    scope: &'a Scope,
}

impl<'a> Reports<'a> {
    /// The reports of `scope` in `store`, beside its canonical data.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Self {
        Self { store, scope }
    }

    fn key(&self, day: Day) -> String {
        layout::report(self.scope, day)
    }

    /// Name of a day's report in messages.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// The report of a day, if there is a readable one. An unreadable one counts as none, and is written anew.
    pub fn read(&self, day: Day) -> Result<Option<DayReport>, StoreError> {
        let Some(bytes) = self.store.read(&self.key(day))? else { return Ok(None) };
        let report: Option<DayReport> = serde_json::from_slice(&bytes).ok();
        Ok(report.filter(|report| report.v == 1 && report.day == day))
    }

    /// Writes the report of a day and replaces an older one.
    pub fn write(&self, report: &DayReport) -> Result<(), StoreError> {
        self.store.put(&self.key(report.day), &json::readable(report), Condition::Always)?;
        Ok(())
    }
}
