//! History: every manifest that was ever current, each naming the one before it.
//!
//! An entry is written before the swap that makes its manifest current. If the swap never happens, the entry is an
//! orphan: no later entry names it, so following the chain never leads to it.

use serde::{Deserialize, Serialize};

use super::format::V1;
use super::manifest::Manifest;
use crate::domain::class::class;
use crate::domain::id::Scope;
use crate::encoding::json;
use crate::storage::layout;

/// The fewest characters of a hash that a lookup accepts.
const MIN_HASH_CHARS: usize = 6;

/// Why a hash prefix does not name exactly one entry.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No manifest in the history has a hash with this prefix, or several have.
    #[error("{2} manifests in the history of {0} have a hash that begins with {1:?}; `history` lists them")]
    Count(Scope, String, usize),
    /// The prefix is too short.
    #[error("{0:?} is too short for a hash; give at least {MIN_HASH_CHARS} characters")]
    Short(String),
}

class!(LookupError => Usage);

/// The index of the only entry in `history` whose hash begins with `hash`.
pub fn by_hash(scope: &Scope, history: &[HistoryEntry], hash: &str) -> Result<usize, LookupError> {
    if hash.len() < MIN_HASH_CHARS {
        return Err(LookupError::Short(hash.to_owned()));
    }
    let found = history.iter().enumerate().filter(|(_, entry)| entry.hash.starts_with(hash));
    match found.map(|(at, _)| at).collect::<Vec<_>>()[..] {
        [at] => Ok(at),
        ref several => Err(LookupError::Count(scope.clone(), hash.to_owned(), several.len())),
    }
}

/// Why a manifest became current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// New artifacts were published.
    Publish,
    /// An earlier manifest was made current again.
    Rollback,
    /// The manifest was written before there was a history, or by something that keeps none.
    Adopt,
}

impl Reason {
    /// The value in the JSON document.
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
    /// The hash of the manifest it replaced; `None` for the first.
    pub previous: Option<String>,
    /// Why the manifest was made current.
    pub reason: Reason,
    /// User and host that made it current.
    pub by: String,
    /// The id of the run that made it current, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The manifest as it was written.
    pub manifest: Manifest,
}

json::object!(HistoryEntry and Serialize);

impl HistoryEntry {
    /// The key of the entry in a registry.
    pub(super) fn key(&self, scope: &Scope) -> String {
        layout::history_entry(scope, self.manifest.updated_at, &self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{Surface, Tenant};

    #[test]
    fn the_beginning_of_a_hash_names_one_entry_or_none() {
        let scope = Scope { tenant: Tenant::new("demo").unwrap(), surface: Surface::new("home").unwrap() };
        let epoch = jiff::Timestamp::UNIX_EPOCH;
        let entry = |hash: &str| HistoryEntry {
            v: V1,
            hash: hash.to_owned(),
            previous: None,
            reason: Reason::Publish,
            by: "etl@worker-3".to_owned(),
            run_id: None,
            note: None,
            manifest: Manifest::following(None, &scope, [].into(), epoch, epoch),
        };
        let history = ["abcdef01", "abcdef02", "12345678"].map(entry);
        assert_eq!(by_hash(&scope, &history, "123456").unwrap(), 2);
        assert_eq!(by_hash(&scope, &history, "abcdef02").unwrap(), 1);
        let fails = |hash: &str, part: &str| {
            let message = by_hash(&scope, &history, hash).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        };
        fails("abcdef", "2 manifests in the history of demo/home have a hash that begins with \"abcdef\"");
        fails("000000", "0 manifests");
        fails("12345", "too short");
        fails("123456789", "0 manifests");
    }
}
