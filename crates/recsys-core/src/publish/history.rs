//! History: every manifest that was ever current, each naming the one before it.
//!
//! An entry is written before the swap that makes its manifest current. If the swap never happens, the
//! entry is an orphan: no later entry names it, so nobody who follows the chain meets it.

use serde::{Deserialize, Serialize};

use super::format::V1;
use super::manifest::Manifest;
use crate::id::Scope;
use crate::json;

/// Why a manifest became current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// New artifacts.
    Publish,
    /// An earlier manifest again.
    Rollback,
    /// It was there before there was a history, or was put there by something that keeps none.
    Adopt,
}

impl Reason {
    /// The word that stands in the entry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Rollback => "rollback",
            Self::Adopt => "adopt",
        }
    }
}

/// A manifest that became current, or was about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct HistoryEntry {
    /// The version of this format: 1.
    pub v: V1,
    /// The hash of the manifest.
    pub hash: String,
    /// The hash of the manifest it replaced; none for the first.
    pub previous: Option<String>,
    /// Why it was made.
    pub reason: Reason,
    /// Who made it: user and host.
    pub by: String,
    /// The manifest.
    pub manifest: Manifest,
}

json::object!(HistoryEntry and Serialize);

impl HistoryEntry {
    /// The key of the entry in a registry: in the order of time, findable by hash.
    pub fn key(&self, scope: &Scope) -> String {
        let time = self.manifest.updated_at.strftime("%Y%m%dT%H%M%S%.6fZ");
        format!("{}/{time}-{}.json", Self::folder(scope), self.hash)
    }

    /// The folder of the entries of `scope` in a registry.
    pub fn folder(scope: &Scope) -> String {
        format!("history/{}", scope.prefix())
    }

    /// The hash in the key of an entry.
    pub(super) fn hash_in_key(key: &str) -> Option<&str> {
        key.strip_suffix(".json")?.rsplit_once('-').map(|(_, hash)| hash)
    }
}
