//! The shape of `content_sim`: the tags of each item.

use std::borrow::Cow;

use serde::Deserialize;

use super::outline::{Items, Outline};
use super::ranking::check_sorted;
use super::row::{Defect, Row, object_of_two};
use crate::domain::limit::{Limit, Limits};

/// An item and its tags. Rows stand in the order of their ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TaggedItem<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// Lower-case tags in the order of their first occurrence.
    pub tags: Vec<Cow<'a, str>>,
}

object_of_two!(TaggedItem, item_id, tags);

impl<'a> Row<'a> for TaggedItem<'a> {
    const FIELD: &'static str = "items";

    fn check(rows: &[Self], limits: &Limits) -> Result<(), Defect> {
        check_sorted("items", rows.iter().map(|item| &*item.item_id))?;
        if let Some(item) =
            rows.iter().find(|item| item.tags.is_empty() || item.tags.iter().any(|tag| tag.is_empty()))
        {
            return Err(Defect::Content(format!("items: {:?} has no tags or an empty one", item.item_id)));
        }
        Ok(limits.check(Limit::CatalogItems, rows.len())?)
    }

    /// Tagged items without weights.
    fn outline(rows: &[Self]) -> Outline<'_> {
        let tags = rows.iter().map(|item| (&*item.item_id, &*item.tags));
        Outline { items: Items::Tagged(tags.collect()), rows: None }
    }
}
