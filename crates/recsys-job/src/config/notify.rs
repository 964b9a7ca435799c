//! Whom to tell that another manifest is current.

use std::collections::BTreeMap;

use recsys_core::storage::Secret;
use serde::{Deserialize, Serialize};

/// A request to the serving side after a swap. `{tenant}` and `{surface}` are filled in, and `${NAME}` from the
/// environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifySettings {
    /// Where it goes. Nobody is told unless set.
    pub url: Option<String>,
    /// Its headers, whose values are secrets.
    pub headers: BTreeMap<String, Secret>,
    /// Its body; empty unless set.
    pub body: Option<String>,
    /// Seconds after which a try without an answer has failed.
    pub timeout_s: u32,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { url: None, headers: BTreeMap::new(), body: None, timeout_s: 5 }
    }
}
