//! The shape of `popularity`: one ranked list of items and their counts.

use std::borrow::Cow;

use serde::Deserialize;

use super::outline::{Items, Outline, Weight};
use super::ranking::{check_ranked, keep_best};
use super::row::{Defect, Row, object_of_two};
use crate::columnar::dictionary::Dictionary;
use crate::domain::fading::ONE;
use crate::domain::limit::{Cut, Limits};
use crate::score::nine_digits;
use crate::threads::ordered::{self, Sink};

/// An item and its count. Rows stand by score, or where there is none by count, descending, ties by item id.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemCount<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// How often it was counted, or the total weight of its events.
    pub count: u64,
    /// What a model makes of it; none where the count itself ranks.
    #[serde(default)]
    pub score: Option<f64>,
}

object_of_two!(ItemCount, item_id, count, optional score);

impl ItemCount<'_> {
    pub(super) fn weight(&self) -> Weight {
        self.score.map_or_else(|| Weight::from(self.count), Weight::of_score)
    }

    #[allow(clippy::cast_precision_loss, reason = "compared for order only; no count reaches 2^53")]
    pub(super) fn scored(&self) -> (&str, f64) {
        (&self.item_id, self.score.unwrap_or(self.count as f64))
    }
}

pub(super) fn item_count(items: &Dictionary, item: u32, count: u64) -> ItemCount<'_> {
    ItemCount { item_id: Cow::Borrowed(items.get(item)), count, score: None }
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

/// Ranks items by what is left of their events, in parts of [`ONE`], and keeps the best `max_items_per_artifact`.
pub(super) fn finish_faded<'a>(
    items: &'a Dictionary,
    counts: &[u64],
    left: &[u64],
    limits: &Limits,
    sink: &mut impl Sink<ItemCount<'a>>,
) {
    let mut ranked: Vec<(u32, u64)> = (0..).zip(left.iter().copied()).filter(|(_, left)| *left > 0).collect();
    keep_best(&mut ranked, limits.max_items_per_artifact);
    let mut ranked: Vec<(u32, f64)> = ranked.iter().map(|(item, left)| (*item, score(*left))).collect();
    // Rounding makes ties.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let row = |(item, score): &(u32, f64)| ItemCount {
        score: Some(*score),
        ..item_count(items, *item, counts[*item as usize])
    };
    ordered::map(&ranked, row, sink);
}

#[allow(clippy::cast_precision_loss, reason = "the table has checked that sums are exact")]
fn score(left: u64) -> f64 {
    nine_digits(left as f64 / f64::from(ONE))
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

    /// The weight of an item is its score, or its count.
    fn outline(rows: &[Self]) -> Outline<'_> {
        let weights = rows.iter().map(|item| (&*item.item_id, item.weight()));
        Outline { items: Items::weighed(weights), rows: None }
    }
}
