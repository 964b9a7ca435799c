//! The shape of `cooc`: a ranked list of neighbours for each item.

use std::borrow::Cow;
use std::cmp::Reverse;

use serde::Deserialize;

use super::content::{Content, Defect};
use super::document_reader::{Cursor, Plain};
use super::encode::{Encode, push_rows};
use super::item_list::{ItemCount, item_count};
use super::outline::{Items, Outline, RowsOf, Weight};
use super::ranking::{best, check_ranked, check_sorted};
use crate::columnar::dictionary::Dictionary;
use crate::counts::Pairs;
use crate::domain::limit::{Cut, Limits};
use crate::encoding::json;
use crate::score::Scorer;
use crate::storage::StoreError;
use crate::threads::ordered::{self, Sink};

/// The neighbours of one item.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Neighbors<'a> {
    /// The item id.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// The items that share sessions with it, by number of common sessions descending, ties by item id.
    pub items: Vec<ItemCount<'a>>,
}

json::object!(Neighbors<'a>);

impl Encode for Neighbors<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"items\":[");
        push_rows(out, &self.items);
        out.extend_from_slice(b"]}");
    }
}

impl<'a> Plain<'a> for Neighbors<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"items\":")?;
        let items = text.list()?;
        text.take(b"}")?;
        Some(Self { item_id, items })
    }
}

/// Rows in order of item ids.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct NeighborLists<'a>(#[serde(borrow)] pub Vec<Neighbors<'a>>);

impl<'a> Content<'a> for NeighborLists<'a> {
    type Row = Neighbors<'a>;

    const FIELD: &'static str = "neighbors";
    const ROWS: RowsOf = RowsOf::Items;

    fn of(rows: Vec<Self::Row>) -> Self {
        Self(rows)
    }

    fn rows(&self) -> &[Self::Row] {
        &self.0
    }

    fn check(&self, limits: &Limits) -> Result<(), Defect> {
        check_sorted("neighbors", self.0.iter().map(|row| &*row.item_id))?;
        limits.check_cut(Cut::ItemsPerArtifact, self.0.len())?;
        for row in &self.0 {
            let list = || format!("neighbors of {:?}", row.item_id);
            check_ranked(list, row.items.iter().map(ItemCount::scored))?;
            limits
                .check_cut(Cut::NeighborsPerItem, row.items.len())
                .map_err(|error| error.in_place(list()))?;
        }
        Ok(())
    }

    fn lists(&self) -> Vec<(&str, Vec<&str>)> {
        let lists =
            self.0.iter().map(|row| (&*row.item_id, row.items.iter().map(|item| &*item.item_id).collect()));
        lists.collect()
    }

    /// The weight of an item is the sum of the counts in its row. An item without a row of its own, because that was
    /// cut, has no weight and is left out.
    fn outline(&self) -> Outline<'_> {
        let ids = || self.0.iter().map(|row| &*row.item_id);
        let sums = self.0.iter().map(|row| row.items.iter().map(|item| Weight::from(item.count)).sum());
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
    let best_rows = pairs.fold(
        || BestRows::new(limits),
        |rows, item, counts| {
            rows.push(Row::new(item, best(scorer, item, &counts, limits.max_neighbors_per_item)));
        },
    )?;
    let mut rows: Vec<Row> = best_rows.into_iter().flat_map(|best| best.rows).collect();
    keep_best_rows(&mut rows, limits.max_items_per_artifact);
    rows.sort_unstable_by_key(|row| row.item);
    let neighbors = |row: &Row| Neighbors {
        item_id: Cow::Borrowed(items.get(row.item)),
        items: row.kept.iter().map(|(item, count)| item_count(items, *item, u64::from(*count))).collect(),
    };
    ordered::map(&rows, neighbors, sink);
    Ok(())
}

#[derive(Debug)]
struct Row {
    item: u32,
    /// The sum of the kept counts.
    total: u64,
    /// Pairs of neighbour and count, best first.
    kept: Vec<(u32, u32)>,
}

impl Row {
    fn new(item: u32, kept: Vec<(u32, u32)>) -> Self {
        Self { item, total: kept.iter().map(|(_, count)| u64::from(*count)).sum(), kept }
    }

    /// Sort key: greatest total first, ties by item id.
    fn rank(&self) -> (Reverse<u64>, u32) {
        (Reverse(self.total), self.item)
    }
}

/// Collects the best rows; holds some more until it prunes them.
struct BestRows {
    rows: Vec<Row>,
    most: usize,
}

impl BestRows {
    fn new(limits: &Limits) -> Self {
        Self { rows: Vec::new(), most: limits.max_items_per_artifact }
    }

    fn push(&mut self, row: Row) {
        self.rows.push(row);
        if self.rows.len() > 2 * self.most.max(1024) {
            keep_best_rows(&mut self.rows, self.most);
        }
    }
}

fn keep_best_rows(rows: &mut Vec<Row>, most: usize) {
    if rows.len() > most {
        rows.select_nth_unstable_by_key(most, Row::rank);
        rows.truncate(most);
    }
}
