//! `content_sim`: the tags of each item of the catalogue.

use std::borrow::Cow;

use serde::Deserialize;

use super::content::{BuildError, Defect, Inputs, KindPayload, Source};
use super::encode::Encode;
use super::outline::{Items, Outline};
use super::plain::{Cursor, Plain};
use super::ranking::check_sorted;
use super::sink::{self, Sink};
use crate::domain::limit::Limits;
use crate::encoding::json;
use crate::input::catalog::CatalogItem;

/// An item and its tags.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct TaggedItem<'a> {
    /// The item.
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

/// Items by id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Payload<'a>(#[serde(borrow)] pub Vec<TaggedItem<'a>>);

impl<'a> KindPayload<'a> for Payload<'a> {
    type Row = TaggedItem<'a>;

    const FIELD: &'static str = "items";
    const SOURCE: Source = Source::Catalog;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    /// The catalogue's items that have at least one tag.
    fn build(inputs: &Inputs<'a>, _: &Limits, sink: &mut impl Sink<Self::Row>) -> Result<u64, BuildError> {
        let tagged: Vec<_> = inputs.catalog.items.iter().filter(|item| !item.tags.is_empty()).collect();
        let row = |item: &'a CatalogItem| TaggedItem {
            item_id: Cow::Borrowed(item.item_id.as_str()),
            tags: item.tags.iter().map(|tag| Cow::Borrowed(tag.as_str())).collect(),
        };
        sink::map(&tagged, |item| row(item), sink);
        Ok(0)
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("items", self.0.iter().map(|item| &*item.item_id))?;
        if let Some(item) =
            self.0.iter().find(|item| item.tags.is_empty() || item.tags.iter().any(|tag| tag.is_empty()))
        {
            return Err(Defect::Content(format!("items: {:?} has no tags or an empty one", item.item_id)));
        }
        Ok(limits.check("max_catalog_items", limits.max_catalog_items, self.0.len())?)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    /// Items without weights, and their tags.
    fn outline(&self) -> Outline<'_> {
        let tags = self.0.iter().map(|item| (&*item.item_id, &*item.tags));
        Outline { items: Items::Tagged(tags.collect()), rows: None }
    }
}
