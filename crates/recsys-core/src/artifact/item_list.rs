//! The shape of `popularity`: one ranked list of items and their counts.

use std::borrow::Cow;

use serde::Deserialize;

use super::content::{Content, Defect};
use super::document_reader::{Cursor, Plain};
use super::encode::Encode;
use super::outline::{Items, Outline, RowsOf, Weight};
use super::ranking::{check_ranked, keep_best};
use crate::columnar::dictionary::Dictionary;
use crate::domain::limit::{Cut, Limits};
use crate::encoding::json;
use crate::threads::ordered::{self, Sink};

/// An item and its count.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemCount<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// How often it was counted, or the total weight of its events.
    pub count: u64,
}

json::object!(ItemCount<'a>);

impl Encode for ItemCount<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"count\":");
        json::push(out, &self.count);
        out.push(b'}');
    }
}

impl<'a> Plain<'a> for ItemCount<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"count\":")?;
        let count = text.integer()?.into();
        text.take(b"}")?;
        Some(Self { item_id, count })
    }
}

impl ItemCount<'_> {
    #[allow(clippy::cast_precision_loss, reason = "compared for order only; no count reaches 2^53")]
    pub(super) fn scored(&self) -> (&str, f64) {
        (&self.item_id, self.count as f64)
    }
}

pub(super) fn item_count(items: &Dictionary, item: u32, count: u64) -> ItemCount<'_> {
    ItemCount { item_id: Cow::Borrowed(items.get(item)), count }
}

/// Items by count descending, ties by item id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct ItemList<'a>(#[serde(borrow)] pub Vec<ItemCount<'a>>);

/// Ranks items by count and keeps the best `max_items_per_artifact`.
pub(super) fn finish<'a>(
    items: &'a Dictionary,
    counts: Vec<u64>,
    limits: &Limits,
    sink: &mut impl Sink<ItemCount<'a>>,
) {
    let mut ranked: Vec<(u32, u64)> = (0..).zip(counts).collect();
    keep_best(&mut ranked, limits.max_items_per_artifact);
    ordered::map(&ranked, |(item, count)| item_count(items, *item, *count), sink);
}

impl<'a> Content<'a> for ItemList<'a> {
    type Row = ItemCount<'a>;

    const FIELD: &'static str = "items";
    const ROWS: RowsOf = RowsOf::Items;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_ranked(|| "items".to_owned(), self.0.iter().map(ItemCount::scored))?;
        Ok(limits.check_cut(Cut::ItemsPerArtifact, self.0.len())?)
    }

    fn lists(&self) -> Vec<(&str, Vec<&str>)> {
        vec![("", self.0.iter().map(|item| &*item.item_id).collect())]
    }

    /// The weight of an item is its count.
    fn outline(&self) -> Outline<'_> {
        let weights = self.0.iter().map(|item| (&*item.item_id, Weight::from(item.count)));
        Outline { items: Items::weighed(weights), rows: None }
    }
}
