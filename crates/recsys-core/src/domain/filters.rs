//! Filters of recommended items by what the catalogue says of them.
//!
//! These are the settings alone; `Catalog::allowed` applies them.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// Which items may be recommended. An item must pass every filter that is set; by default none is.
///
/// | filter | an item of the catalogue | any other item |
/// |---|---|---|
/// | `catalog_only` | is kept | is dropped |
/// | `available_only` | is dropped if the catalogue says that it is not available | is kept |
/// | `tags_any` | is kept if it has at least one of the tags | is dropped: it has no tags |
/// | `tags_none` | is dropped if it has one of the tags | is kept |
///
/// The catalogue is that of the surface: a row of another surface makes no item known. Tags are kept as written and
/// compared after [`normalised_tag`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Drops items that the catalogue does not have.
    pub catalog_only: bool,
    /// Drops items that the catalogue has as not available.
    pub available_only: bool,
    /// Keeps only items with at least one of these tags; off if empty.
    #[serde(deserialize_with = "tags")]
    pub tags_any: Vec<String>,
    /// Drops items with one of these tags.
    #[serde(deserialize_with = "tags")]
    pub tags_none: Vec<String>,
}

impl Filters {
    /// Whether no filter is set, so that no catalogue is needed.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a filter asks for tags.
    pub fn need_tags(&self) -> bool {
        !self.tags_any.is_empty() || !self.tags_none.is_empty()
    }
}

/// The form in which tags are compared: trimmed and lower-cased. A catalogue has its tags in this form.
pub fn normalised_tag(tag: &str) -> String {
    tag.trim().to_lowercase()
}

/// Refuses an empty tag: no item has it, so `tags_any` would drop every item.
fn tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let tags = Vec::<String>::deserialize(deserializer)?;
    match tags.iter().find(|tag| tag.trim().is_empty()) {
        Some(empty) => Err(D::Error::custom(format!("the tag {empty:?} is empty, and no item has it"))),
        None => Ok(tags),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(json: &str) -> Result<Filters, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn filters_are_off_until_one_is_set() {
        assert!(parsed("{}").unwrap().is_off());
        assert!(
            parsed(r#"{"catalog_only":false,"available_only":false,"tags_any":[],"tags_none":[]}"#)
                .unwrap()
                .is_off()
        );
        for one in [
            r#"{"catalog_only":true}"#,
            r#"{"available_only":true}"#,
            r#"{"tags_any":["x"]}"#,
            r#"{"tags_none":["x"]}"#,
        ] {
            assert!(!parsed(one).unwrap().is_off(), "{one}");
        }
    }

    #[test]
    fn filters_are_written_as_they_were_read() {
        let text =
            r#"{"catalog_only":true,"available_only":false,"tags_any":[" Sale ","x"],"tags_none":["É"]}"#;
        assert_eq!(serde_json::to_string(&parsed(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_filter_that_cannot_be_meant_is_refused() {
        for (json, told) in [
            (r#"{"tags_any":["x",""]}"#, r#"the tag "" is empty, and no item has it"#),
            (r#"{"tags_none":[" \t"]}"#, r#"the tag " \t" is empty, and no item has it"#),
            (r#"{"tags":["x"]}"#, "unknown field `tags`"),
            (r#"{"tags_any":"x"}"#, "expected a sequence"),
            (r#"{"available_only":1}"#, "expected a boolean"),
        ] {
            let error = parsed(json).unwrap_err();
            assert!(error.contains(told), "{json}: {error}");
        }
    }

    #[test]
    fn tags_are_compared_trimmed_and_in_lower_case() {
        assert_eq!(normalised_tag(" \u{a0}On SALE\t"), "on sale");
        assert_eq!(normalised_tag("GRÖSSE"), "größe".replace('ß', "ss"));
    }
}
