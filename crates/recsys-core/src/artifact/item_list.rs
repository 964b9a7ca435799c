//! The shape of `popularity`: one ranked list of items and their counts.

use std::borrow::Cow;

use serde::Deserialize;

use super::outline::{Items, Outline, Weight};
use super::ranking::{check_ranked, keep_best};
use super::row::{Defect, Row, object_of_two};
use crate::columnar::dictionary::Dictionary;
use crate::domain::limit::{Cut, Limits};
use crate::threads::ordered::{self, Sink};

/// An item and its count. Rows stand by count descending, ties by item id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemCount<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// How often it was counted, or the total weight of its events.
    pub count: u64,
}

object_of_two!(ItemCount, item_id, count);

impl ItemCount<'_> {
    #[allow(clippy::cast_precision_loss, reason = "compared for order only; no count reaches 2^53")]
    pub(super) fn scored(&self) -> (&str, f64) {
        (&self.item_id, self.count as f64)
    }
}

pub(super) fn item_count(items: &Dictionary, item: u32, count: u64) -> ItemCount<'_> {
    ItemCount { item_id: Cow::Borrowed(items.get(item)), count }
}

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

impl<'a> Row<'a> for ItemCount<'a> {
    const FIELD: &'static str = "items";

    fn check(rows: &[Self], limits: &Limits) -> Result<(), Defect> {
        check_ranked(|| "items".to_owned(), rows.iter().map(ItemCount::scored))?;
        Ok(limits.check_cut(Cut::ItemsPerArtifact, rows.len())?)
    }

    fn lists(rows: &[Self]) -> Vec<(&str, Vec<&str>)> {
        vec![("", rows.iter().map(|item| &*item.item_id).collect())]
    }

    /// The weight of an item is its count.
    fn outline(rows: &[Self]) -> Outline<'_> {
        let weights = rows.iter().map(|item| (&*item.item_id, Weight::from(item.count)));
        Outline { items: Items::weighed(weights), rows: None }
    }
}
