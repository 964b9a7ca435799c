//! Filters: which items of the catalogue may be recommended.

use serde::{Deserialize, Serialize};

/// Conditions on a recommended item. Each field is the setting of the same name under `filters` of a model. Without any,
/// every item may be recommended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Only items that are in the catalogue.
    pub catalog_only: bool,
    /// Only items that the catalogue does not call unavailable.
    pub available_only: bool,
    /// Only items with at least one of these tags; empty means all.
    pub tags_any: Vec<String>,
    /// No items with any of these tags.
    pub tags_none: Vec<String>,
}
