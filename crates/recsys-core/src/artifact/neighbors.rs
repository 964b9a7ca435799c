//! The shape of `cooc`: a ranked list of neighbours for each item.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde::Deserialize;

use super::item_list::{ItemCount, item_count};
use super::outline::{Items, Outline, RowsOf, Weight};
use super::ranking::{best, check_ranked, check_sorted};
use super::row::{Defect, Row, object_of_two};
use crate::columnar::dictionary::Dictionary;
use crate::counts::Pairs;
use crate::domain::limit::{Cut, Limits};
use crate::score::{ItemRows, Neighbor, Scorer};
use crate::storage::StoreError;
use crate::threads::ordered::{self, Sink};

/// The neighbours of one item. Rows stand in the order of their ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Neighbors<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// The items that occur with it, by score, or else by number of common sessions, descending, ties by item id.
    pub items: Vec<ItemCount<'a>>,
}

object_of_two!(Neighbors, item_id, items);

impl<'a> Row<'a> for Neighbors<'a> {
    const FIELD: &'static str = "neighbors";

    fn check(rows: &[Self], limits: &Limits) -> Result<(), Defect> {
        check_sorted("neighbors", rows.iter().map(|row| &*row.item_id))?;
        // Rows with scores have cuts of their own, which their model sets.
        let is_cut = rows.iter().flat_map(|row| &row.items).all(|item| item.score.is_none());
        if is_cut {
            limits.check_cut(Cut::ItemsPerArtifact, rows.len())?;
        }
        for row in rows {
            let list = || format!("neighbors of {:?}", row.item_id);
            check_ranked(list, row.items.iter().map(ItemCount::scored))?;
            if is_cut {
                limits
                    .check_cut(Cut::NeighborsPerItem, row.items.len())
                    .map_err(|error| error.in_place(list()))?;
            }
        }
        Ok(())
    }

    fn lists(rows: &[Self]) -> Vec<(&str, Vec<&str>)> {
        let lists =
            rows.iter().map(|row| (&*row.item_id, row.items.iter().map(|item| &*item.item_id).collect()));
        lists.collect()
    }

    /// The weight of an item is the sum of the scores, or else the counts, in its row. An item without a row of its own, because that was
    /// cut, has no weight and is left out.
    fn outline(rows: &[Self]) -> Outline<'_> {
        let ids = || rows.iter().map(|row| &*row.item_id);
        let sums = rows.iter().map(|row| row.items.iter().map(ItemCount::weight).sum::<Weight>());
        Outline { items: Items::weighed(ids().zip(sums)), rows: Some((RowsOf::Items, ids().collect())) }
    }
}

/// Turns counted pairs into rows. Each row keeps its best `max_neighbors_per_item`; then the `max_items_per_artifact`
/// rows with the greatest totals of kept counts remain.
pub(super) fn finish<'a, S: Scorer<u32, Score = u32>>(
    items: &'a Dictionary,
    pairs: Pairs,
    scorer: &S,
    limits: &Limits,
    sink: &mut impl Sink<Neighbors<'a>>,
) -> Result<(), StoreError> {
    let most = limits.max_items_per_artifact;
    let best_rows = pairs.fold(Vec::new, |rows, item, counts| {
        rows.push(RankedRow::new(item, best(scorer, item, &counts, limits.max_neighbors_per_item)));
        // Pruned now and then, because each pruning looks at all of them.
        if rows.len() > 2 * most.max(1024) {
            keep_best_rows(rows, most);
        }
    })?;
    let mut rows: Vec<RankedRow> = best_rows.into_iter().flatten().collect();
    keep_best_rows(&mut rows, most);
    rows.sort_unstable_by_key(|row| row.item);
    let neighbors = |row: &RankedRow| Neighbors {
        item_id: Cow::Borrowed(items.get(row.item)),
        items: row.kept.iter().map(|(item, count)| item_count(items, *item, u64::from(*count))).collect(),
    };
    ordered::map(&rows, neighbors, sink);
    Ok(())
}

/// Turns the rows of a model into rows of an artifact: of all items that have neighbours or, if there are more than
/// `most_rows`, of those with the greatest totals of common units.
pub(super) fn finish_model<'a>(
    items: &'a Dictionary,
    model: &ItemRows,
    most_rows: Option<usize>,
    sink: &mut impl Sink<Neighbors<'a>>,
) {
    let total = |row: &[Neighbor]| row.iter().map(|neighbor| u64::from(neighbor.units)).sum::<u64>();
    let rows = (0..).zip(&model.rows).filter(|(_, row)| !row.is_empty());
    let mut rows: Vec<(Reverse<u64>, u32)> = rows.map(|(item, row)| (Reverse(total(row)), item)).collect();
    if let Some(most) = most_rows
        && rows.len() > most
    {
        rows.select_nth_unstable(most);
        rows.truncate(most);
    }
    rows.sort_unstable_by_key(|(_, item)| *item);
    let neighbors = |(_, item): &(Reverse<u64>, u32)| Neighbors {
        item_id: Cow::Borrowed(items.get(*item)),
        items: model.rows[*item as usize]
            .iter()
            .map(|neighbor| ItemCount {
                score: Some(neighbor.score),
                ..item_count(items, neighbor.item, neighbor.units.into())
            })
            .collect(),
    };
    ordered::map(&rows, neighbors, sink);
}

#[derive(Debug)]
struct RankedRow {
    item: u32,
    /// The sum of the kept counts.
    total: u64,
    /// Pairs of neighbour and count, best first.
    kept: Vec<(u32, u32)>,
}

impl RankedRow {
    fn new(item: u32, kept: Vec<(u32, u32)>) -> Self {
        Self { item, total: kept.iter().map(|(_, count)| u64::from(*count)).sum(), kept }
    }

    /// Sort key: greatest total first, ties by item id.
    fn rank(&self) -> (Reverse<u64>, u32) {
        (Reverse(self.total), self.item)
    }
}

fn keep_best_rows(rows: &mut Vec<RankedRow>, most: usize) {
    if rows.len() > most {
        rows.select_nth_unstable_by_key(most, RankedRow::rank);
        rows.truncate(most);
    }
}
