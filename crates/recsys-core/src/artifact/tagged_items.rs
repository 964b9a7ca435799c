//! The shape of `content_sim`: the tags of each item.

use std::borrow::Cow;

use serde::Deserialize;

use super::content::{Content, Defect};
use super::document_reader::{Cursor, Plain};
use super::encode::Encode;
use super::outline::{Items, Outline, RowsOf};
use super::ranking::check_sorted;
use crate::domain::limit::{Limit, Limits};
use crate::encoding::json;

/// An item and its tags.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TaggedItem<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// Lower-case tags in the order of their first occurrence.
    pub tags: Vec<Cow<'a, str>>,
}

json::object!(TaggedItem<'a>);

impl Encode for TaggedItem<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"tags\":");
        json::push(out, &self.tags);
        out.push(b'}');
    }
}

impl<'a> Plain<'a> for TaggedItem<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"tags\":")?;
        let tags = text.list()?;
        text.take(b"}")?;
        Some(Self { item_id, tags })
    }
}

/// Items in order of their ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct TaggedItems<'a>(#[serde(borrow)] pub Vec<TaggedItem<'a>>);

impl<'a> Content<'a> for TaggedItems<'a> {
    type Row = TaggedItem<'a>;

    const FIELD: &'static str = "items";
    const ROWS: RowsOf = RowsOf::Items;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("items", self.0.iter().map(|item| &*item.item_id))?;
        if let Some(item) =
            self.0.iter().find(|item| item.tags.is_empty() || item.tags.iter().any(|tag| tag.is_empty()))
        {
            return Err(Defect::Content(format!("items: {:?} has no tags or an empty one", item.item_id)));
        }
        Ok(limits.check(Limit::CatalogItems, self.0.len())?)
    }

    fn lists(&self) -> Vec<(&str, Vec<&str>)> {
        Vec::new()
    }

    /// Tagged items without weights.
    fn outline(&self) -> Outline<'_> {
        let tags = self.0.iter().map(|item| (&*item.item_id, &*item.tags));
        Outline { items: Items::Tagged(tags.collect()), rows: None }
    }
}
