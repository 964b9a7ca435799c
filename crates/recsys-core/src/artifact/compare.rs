//! Compares two artifacts of the same kind.
//!
//! Each kind reduces its content to an [`Outline`], and outlines are compared without regard to the kind. Only the
//! [overlap](overlaps) compares lists as they are served. The result does not depend on the row order of the payloads
//! or on hash table order. This module reads no files.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::outline::{Items, Outline, RowsOf};
use super::payload::Payload;

/// How much the first `k` entries of two lists overlap.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Overlap {
    /// The number of entries compared; shorter lists are compared as a whole.
    pub k: usize,
    /// The share of the longer prefix found in both, from 0 to 1. For lists per item or user, the mean over the rows
    /// that both artifacts have.
    pub share: f64,
}

/// The prefix lengths compared.
const OVERLAP_AT: [usize; 3] = [10, 20, 50];

/// The overlap of two ranked lists; 1 if both are empty.
#[allow(clippy::cast_precision_loss, reason = "lists are far shorter than 2^53")]
fn share(before: &[&str], after: &[&str], k: usize) -> f64 {
    let (before, after) = (&before[..k.min(before.len())], &after[..k.min(after.len())]);
    let longer = before.len().max(after.len());
    if longer == 0 {
        return 1.0;
    }
    let known: HashSet<&&str> = before.iter().collect();
    after.iter().filter(|item| known.contains(item)).count() as f64 / longer as f64
}

/// Compares the ranked lists of two artifacts of the same kind. Empty if they have no list in common.
#[allow(clippy::cast_precision_loss, reason = "artifacts have far fewer rows than 2^53")]
pub fn overlaps(before: &Payload<'_>, after: &Payload<'_>) -> Vec<Overlap> {
    let old: HashMap<&str, Vec<&str>> = before.lists().into_iter().collect();
    let pairs = after.lists().into_iter().filter_map(|(row, list)| Some((old.get(row)?, list)));
    let pairs: Vec<(&Vec<&str>, Vec<&str>)> = pairs.collect();
    if pairs.is_empty() {
        return Vec::new();
    }
    let mean = |k| pairs.iter().map(|(old, new)| share(old, new, k)).sum::<f64>() / pairs.len() as f64;
    OVERLAP_AT.map(|k| Overlap { k, share: mean(k) }).to_vec()
}

/// The differences between two artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Changes of the items.
    pub items: ItemChanges,
    /// Changes of the rows, for kinds whose rows hold lists.
    pub rows: Option<RowChanges>,
}

/// Changes of the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemChanges {
    /// Items only in the new artifact, in its order.
    #[serde(rename = "in")]
    pub entered: ItemExcerpt,
    /// Items only in the old artifact, in its order.
    #[serde(rename = "out")]
    pub left: ItemExcerpt,
    /// Number of items in both.
    pub kept: usize,
    /// Number of kept items with a different rank; `None` if items are not ranked.
    pub moved: Option<usize>,
    /// The items that moved farthest, farthest first, ties by item id.
    pub movers: Vec<Mover>,
    /// Number of kept items with different tags or a different order of tags; `None` if items have no tags.
    pub tags_changed: Option<usize>,
}

impl ItemChanges {
    /// Whether no item came, went, moved or changed its tags.
    pub fn is_empty(&self) -> bool {
        let changed = [Some(self.entered.count), Some(self.left.count), self.moved, self.tags_changed];
        changed.into_iter().flatten().all(|count| count == 0)
    }
}

/// A count, and the first items counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemExcerpt {
    /// Number of items.
    pub count: usize,
    /// The ids of the first items.
    pub first: Vec<String>,
}

impl ItemExcerpt {
    fn new(items: &[&str], top: usize) -> Self {
        Self { count: items.len(), first: items.iter().copied().take(top).map(str::to_owned).collect() }
    }
}

/// An item whose rank changed. Ranks count from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mover {
    /// The item id.
    pub item_id: String,
    /// The rank in the old artifact.
    pub rank_before: usize,
    /// The rank in the new artifact.
    pub rank_after: usize,
    /// Number of ranks gained; negative if it fell.
    pub change: i64,
}

/// Number of rows that came and went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowChanges {
    /// Whether rows belong to items or users.
    pub of: RowsOf,
    /// Number of rows only in the new artifact.
    #[serde(rename = "in")]
    pub entered: usize,
    /// Number of rows only in the old artifact.
    #[serde(rename = "out")]
    pub left: usize,
}

/// Compares two artifacts of the same kind, listing at most `top` items each. A missing artifact counts as empty.
pub fn compare(before: Option<&Outline<'_>>, after: Option<&Outline<'_>>, top: usize) -> Comparison {
    Comparison { items: item_changes(before, after, top), rows: row_changes(before, after) }
}

fn item_changes(before: Option<&Outline<'_>>, after: Option<&Outline<'_>>, top: usize) -> ItemChanges {
    let old = before.map_or_else(Vec::new, |outline| outline.items.in_order());
    let new = after.map_or_else(Vec::new, |outline| outline.items.in_order());
    let old_ranks: HashMap<&str, usize> = old.iter().copied().zip(1..).collect();
    let new_ranks: HashMap<&str, usize> = new.iter().copied().zip(1..).collect();
    let (kept, entered): (Vec<&str>, Vec<&str>) =
        new.iter().copied().partition(|item| old_ranks.contains_key(item));
    let left: Vec<&str> = old.iter().copied().filter(|item| !new_ranks.contains_key(item)).collect();

    let mut outlines = [before, after].into_iter().flatten();
    let tagged = outlines.any(|outline| matches!(outline.items, Items::Tagged(_)));
    let tags_changed = tagged.then(|| kept.iter().filter(|item| tags(before, item) != tags(after, item)));

    let mut moves: Vec<(Reverse<usize>, &str)> = Vec::new();
    if !tagged {
        let distance = |item: &str| old_ranks[item].abs_diff(new_ranks[item]);
        moves.extend(kept.iter().map(|item| (Reverse(distance(item)), *item)));
        moves.retain(|(distance, _)| distance.0 > 0);
        moves.sort_unstable();
    }
    let described = |&(Reverse(distance), item): &(Reverse<usize>, &str)| {
        let (rank_before, rank_after) = (old_ranks[item], new_ranks[item]);
        let distance = i64::try_from(distance).unwrap_or(i64::MAX);
        let change = if rank_after < rank_before { distance } else { -distance };
        Mover { item_id: item.to_owned(), rank_before, rank_after, change }
    };
    ItemChanges {
        entered: ItemExcerpt::new(&entered, top),
        left: ItemExcerpt::new(&left, top),
        kept: kept.len(),
        moved: (!tagged).then_some(moves.len()),
        movers: moves.iter().take(top).map(described).collect(),
        tags_changed: tags_changed.map(Iterator::count),
    }
}

fn tags<'a>(side: Option<&Outline<'a>>, item: &str) -> Option<&'a [Cow<'a, str>]> {
    match &side?.items {
        Items::Weighed(_) => None,
        Items::Tagged(tags) => tags.get(item).copied(),
    }
}

fn row_changes(before: Option<&Outline<'_>>, after: Option<&Outline<'_>>) -> Option<RowChanges> {
    let (of, _) = [after, before].into_iter().flatten().find_map(|outline| outline.rows.as_ref())?;
    let (old, new) = (row_ids(before), row_ids(after));
    Some(RowChanges { of: *of, entered: new.difference(&old).count(), left: old.difference(&new).count() })
}

fn row_ids<'a>(side: Option<&Outline<'a>>) -> HashSet<&'a str> {
    let rows = side.and_then(|outline| outline.rows.as_ref());
    rows.map(|(_, ids)| ids.iter().copied().collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::item_list::ItemCount;
    use crate::artifact::neighbors::Neighbors;
    use crate::artifact::outline::Weight;
    use crate::artifact::tagged_items::TaggedItem;
    use crate::artifact::user_lists::{ItemScore, UserItems};
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    fn weighed<'a>(weights: impl IntoIterator<Item = (&'a str, u64)>) -> Outline<'a> {
        let weights = weights.into_iter().map(|(item, count)| (item, Weight::from(count)));
        Outline { items: Items::weighed(weights), rows: None }
    }

    fn counts<'a>(items: &[(&'a str, u64)]) -> Vec<ItemCount<'a>> {
        items
            .iter()
            .map(|(item, count)| ItemCount { item_id: (*item).into(), count: *count, score: None })
            .collect()
    }

    fn users<'a>(users: &[(&'a str, &[(&'a str, f64)])]) -> Vec<UserItems<'a>> {
        let score = |(item, score): &(&'a str, f64)| ItemScore { item_id: (*item).into(), score: *score };
        let row = |(user, items): &(&'a str, &[(&'a str, f64)])| UserItems {
            user_id: (*user).into(),
            items: items.iter().map(score).collect(),
        };
        users.iter().map(row).collect()
    }

    fn tagged<'a>(items: &[(&'a str, &[&'a str])]) -> Payload<'a> {
        let item = |(item, tags): &(&'a str, &[&'a str])| TaggedItem {
            item_id: (*item).into(),
            tags: tags.iter().map(|tag| (*tag).into()).collect(),
        };
        Payload::ContentSim(items.iter().map(item).collect())
    }

    fn moves(changes: &ItemChanges) -> Vec<(&str, usize, usize, i64)> {
        let all = changes.movers.iter();
        all.map(|mover| (mover.item_id.as_str(), mover.rank_before, mover.rank_after, mover.change)).collect()
    }

    #[test]
    fn items_come_go_and_move_and_ties_are_ranked_by_id() {
        // Before: b 1, a 2, c 3, x 4, d 5. After: d 1, a 2, y 3, z 4, b 5, c 6.
        let before = weighed([("a", 5), ("b", 9), ("c", 5), ("d", 1), ("x", 4)]);
        let after = weighed([("a", 7), ("b", 2), ("c", 2), ("d", 8), ("y", 7), ("z", 7)]);
        let Comparison { items, rows } = compare(Some(&before), Some(&after), 10);
        assert_eq!(items.entered, ItemExcerpt { count: 2, first: vec!["y".into(), "z".into()] });
        assert_eq!(items.left, ItemExcerpt { count: 1, first: vec!["x".into()] });
        assert_eq!((items.kept, items.moved, items.tags_changed, rows), (4, Some(3), None, None));
        // a keeps its rank. b and d move four ranks each: b comes first by its id.
        assert_eq!(moves(&items), [("b", 1, 5, -4), ("d", 5, 1, 4), ("c", 3, 6, -3)]);

        // The cut shortens the lists and leaves the counts.
        let cut = compare(Some(&before), Some(&after), 1).items;
        assert_eq!(cut.entered, ItemExcerpt { count: 2, first: vec!["y".into()] });
        assert_eq!((cut.moved, moves(&cut)), (Some(3), vec![("b", 1, 5, -4)]));
        let none = compare(Some(&before), Some(&after), 0).items;
        assert_eq!(
            (none.entered.count, none.entered.first.len(), none.moved, none.movers.len()),
            (2, 0, Some(3), 0)
        );
    }

    #[test]
    fn other_weights_in_the_same_order_are_no_move() {
        let (before, after) = (weighed([("a", 5), ("b", 4)]), weighed([("a", 100), ("b", 100)]));
        let items = compare(Some(&before), Some(&after), 10).items;
        assert_eq!((items.kept, items.moved), (2, Some(0)));
        assert!(items.is_empty());
    }

    #[test]
    fn an_artifact_without_items_and_none_at_all_are_compared_like_any_other() {
        let (some, empty) = (weighed([("a", 1), ("b", 2)]), weighed([]));
        let in_order = ItemExcerpt { count: 2, first: vec!["b".into(), "a".into()] };
        let nothing = ItemExcerpt { count: 0, first: vec![] };
        for before in [None, Some(&empty)] {
            let items = compare(before, Some(&some), 10).items;
            assert_eq!((&items.entered, &items.left, items.kept), (&in_order, &nothing, 0));
            let items = compare(Some(&some), before, 10).items;
            assert_eq!((&items.entered, &items.left, items.moved), (&nothing, &in_order, Some(0)));
            assert!(compare(before, Some(&empty), 10).items.is_empty());
        }
    }

    #[test]
    fn each_kind_weighs_its_items_in_its_own_way() {
        let weights = |payload: &Payload<'_>| {
            let outline = payload.outline();
            let Items::Weighed(weights) = outline.items else { panic!("{payload:?}") };
            let mut weights: Vec<(String, u128)> =
                weights.into_iter().map(|(item, weight)| (item.to_owned(), weight.0)).collect();
            weights.sort();
            weights
        };
        let owned = |expected: &[(&str, u128)]| -> Vec<(String, u128)> {
            expected.iter().map(|(item, weight)| ((*item).to_owned(), *weight)).collect()
        };
        let items = Payload::Popularity(counts(&[("b", 3), ("a", 2)]));
        assert_eq!(weights(&items), owned(&[("a", 2_000_000), ("b", 3_000_000)]));
        assert_eq!(items.outline().rows, None);

        // c has a row whose pairs all dropped; d is a neighbour without a row.
        let row = |item: &'static str, items: &[(&'static str, u64)]| Neighbors {
            item_id: item.into(),
            items: counts(items),
        };
        let rows = vec![row("a", &[("b", 4), ("d", 2)]), row("b", &[("a", 4)]), row("c", &[])];
        let pairs = Payload::Cooc(rows);
        assert_eq!(weights(&pairs), owned(&[("a", 6_000_000), ("b", 4_000_000), ("c", 0)]));
        assert_eq!(pairs.outline().rows, Some((RowsOf::Items, vec!["a", "b", "c"])));

        let scores = users(&[("u1", &[("a", 2.0), ("b", 0.5)]), ("u2", &[]), ("u3", &[("a", 1.0)])]);
        for payload in [Payload::Implicit(scores.clone()), Payload::SessionSeq(scores)] {
            assert_eq!(weights(&payload), owned(&[("a", 3_000_000), ("b", 500_000)]));
            assert_eq!(payload.outline().rows, Some((RowsOf::Users, vec!["u1", "u2", "u3"])));
        }
    }

    #[test]
    fn rows_are_counted_by_their_ids() {
        let before = users(&[("u1", &[("a", 1.0)]), ("u2", &[])]);
        let after = users(&[("u2", &[("a", 1.0)]), ("u3", &[]), ("u4", &[])]);
        let [before, after] = [before, after].map(Payload::SessionSeq);
        let (before, after) = (before.outline(), after.outline());
        let both = compare(Some(&before), Some(&after), 10);
        assert!(both.items.is_empty());
        assert_eq!(both.rows, Some(RowChanges { of: RowsOf::Users, entered: 2, left: 1 }));
        let removed = compare(Some(&before), None, 10).rows;
        assert_eq!(removed, Some(RowChanges { of: RowsOf::Users, entered: 0, left: 2 }));
    }

    #[test]
    fn items_without_weights_come_go_and_get_other_tags() {
        let before = tagged(&[("a", &["x"]), ("b", &["x", "y"]), ("c", &["x"]), ("d", &["x"])]);
        let after = tagged(&[("a", &["x"]), ("b", &["y", "x"]), ("c", &["z"]), ("f", &["x"]), ("e", &["x"])]);
        let (before, after) = (before.outline(), after.outline());
        let items = compare(Some(&before), Some(&after), 10).items;
        // e and f by id; the order of tags is part of the artifact, so b counts.
        assert_eq!(items.entered.first, ["e", "f"]);
        assert_eq!(items.left.first, ["d"]);
        assert_eq!((items.kept, items.moved, items.tags_changed), (3, None, Some(2)));
        assert!(items.movers.is_empty());
        assert!(compare(Some(&before), Some(&before), 10).items.is_empty());
    }

    /// An algorithm that compares every item with every other one would take hours.
    #[test]
    fn a_million_items_are_compared() {
        let ids: Vec<String> = (0..1_000_000).map(|number| format!("item-{number:07}")).collect();
        let side = |weight: fn(u64) -> u64| {
            weighed(ids.iter().zip(0..).map(|(id, number)| (id.as_str(), weight(number))))
        };
        let (rising, falling) = (side(|number| number), side(|number| 1_000_000 - number));
        let items = compare(Some(&falling), Some(&rising), 2).items;
        assert_eq!((items.kept, items.moved), (1_000_000, Some(1_000_000)));
        let (first, last) = ("item-0000000", "item-0999999");
        assert_eq!(moves(&items), [(first, 1, 1_000_000, -999_999), (last, 1_000_000, 1, 999_999)]);
    }

    /// The rank by its definition: one more than there are items before it.
    fn rank(of: &str, weights: &HashMap<String, u64>) -> Option<i64> {
        let own = weights.get(of)?;
        let before =
            weights.iter().filter(|(item, weight)| *weight > own || (*weight == own && item.as_str() < of));
        Some(1 + i64::try_from(before.count()).unwrap())
    }

    fn outline(weights: &HashMap<String, u64>) -> Outline<'_> {
        weighed(weights.iter().map(|(item, count)| (item.as_str(), *count)))
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn ranks_are_those_of_the_definition(
            before in proptest::collection::hash_map("[a-j]", 0u64..4, 0..8),
            after in proptest::collection::hash_map("[a-j]", 0u64..4, 0..8),
        ) {
            let old = outline(&before);
            let new = outline(&after);
            let items = compare(Some(&old), Some(&new), usize::MAX).items;
            let mut expected: Vec<(i64, &str, i64)> = Vec::new();
            for item in before.keys() {
                if let (Some(old), Some(new)) = (rank(item, &before), rank(item, &after)) {
                    expected.push((-(old - new).abs(), item, old - new));
                }
            }
            prop_assert_eq!(items.kept, expected.len());
            expected.retain(|(size, _, _)| *size != 0);
            expected.sort_unstable();
            let expected: Vec<(&str, i64)> =
                expected.into_iter().map(|(_, item, change)| (item, change)).collect();
            let found: Vec<(&str, i64)> =
                items.movers.iter().map(|mover| (mover.item_id.as_str(), mover.change)).collect();
            prop_assert_eq!(items.moved, Some(found.len()));
            prop_assert_eq!(found, expected);
        }
    }
}
