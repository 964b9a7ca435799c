//! The report of a day: what there is in its canonical data, and what the gates made of it.
//!
//! It lies beside the data: `<tenant>/<surface>/reports/<day>.json`. Whoever writes the data writes the counts;
//! whoever judges the day adds the verdict, also when it is good. The hash says of which data a report is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::{Scope, Surface, Tenant};
use crate::domain::window::Day;
use crate::encoding::json;
use crate::gate::{Check, DayCounts, Dropped, Past};
use crate::storage::{Condition, Store, StoreError};

/// The report of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayReport {
    /// The version of this format: 1.
    pub v: u8,
    /// Whose day.
    pub tenant: Tenant,
    /// Which place.
    pub surface: Surface,
    /// The day.
    pub day: Day,
    /// SHA-256 of the canonical file; of nothing when the day has none.
    pub canonical_hash: String,
    /// SHA-256 of the canonical outcomes that came with it; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes_hash: Option<String>,
    /// What there is in it.
    pub counts: DayCounts,
    /// Repeated deliveries that were dropped; absent when the data was not ingested with a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Events of other days in the day's own files; absent when there were none, or nobody has counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<u64>,
    /// What the gates made of it; absent until the day was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Other data of the day that somebody has accepted before, and may be delivered again: by its hash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted_before: BTreeMap<String, Accepted>,
}

/// What the gates made of a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Whether the day may go on.
    pub passed: bool,
    /// What it was compared with.
    pub past: Past,
    /// What each gate has found.
    pub checks: Vec<Check>,
    /// Who has let a day go on that did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Accepted>,
}

/// Somebody's word that a day may go on although a gate refused it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// SHA-256 of the canonical outcomes that came with the data; absent where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcomes_hash: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl DayReport {
    /// The words that were given about data of the day, by the hash of its exposures.
    pub fn accepted(&self) -> BTreeMap<String, Accepted> {
        let mut all = self.accepted_before.clone();
        let last = self.verdict.as_ref().and_then(|verdict| verdict.accepted.clone());
        all.extend(last.map(|last| (self.canonical_hash.clone(), last)));
        all
    }

    /// What was delivered and is not in the data.
    pub fn dropped(&self) -> Dropped {
        Dropped { duplicates: self.duplicates, outside: self.outside }
    }

    /// Whether the day may be built from: nobody has judged it, it has passed, or it was accepted.
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
    /// The reports beside the canonical data of `scope` below `store`.
    pub fn new(store: &'a dyn Store, scope: &'a Scope) -> Self {
        Self { store, scope }
    }

    fn key(&self, day: Day) -> String {
        format!("{}/reports/{day}.json", self.scope.prefix())
    }

    /// What messages call the report of a day.
    pub fn name(&self, day: Day) -> String {
        self.store.name(&self.key(day))
    }

    /// The report of a day, if it has one that can be read. One that cannot says nothing, and is written anew.
    pub fn read(&self, day: Day) -> Result<Option<DayReport>, StoreError> {
        let Some(bytes) = self.store.read(&self.key(day))? else { return Ok(None) };
        let report: Option<DayReport> = serde_json::from_slice(&bytes).ok();
        Ok(report.filter(|report| report.v == 1 && report.day == day))
    }

    /// Writes the report of a day in place of an older one.
    pub fn write(&self, report: &DayReport) -> Result<(), StoreError> {
        self.store.put(&self.key(report.day), &json::readable(report), Condition::Always)?;
        Ok(())
    }
}
