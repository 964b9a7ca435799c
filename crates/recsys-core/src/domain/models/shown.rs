//! The settings under `models` as they are shown: every setting that a kind has, and no other.

use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use super::kind::ModelKind;
use super::settings::Models;
use super::table::has_key;

/// Leaves out what a kind does not have: one type holds the settings of all three.
impl Serialize for Models {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + ModelKind::ALL.len()))?;
        map.serialize_entry("popularity", &self.popularity)?;
        for kind in ModelKind::ALL {
            let mut model = serde_json::to_value(self.of(*kind)).map_err(S::Error::custom)?;
            if let Some(fields) = model.as_object_mut() {
                fields.retain(|key, _| has_key(*kind, key));
            }
            map.serialize_entry(kind.as_str(), &model)?;
        }
        map.end()
    }
}
