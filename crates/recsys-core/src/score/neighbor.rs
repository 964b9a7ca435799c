//! Neighbours of an item, and what cuts a row of them.

use std::cmp::Reverse;

/// An item that goes with another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Neighbor {
    pub(crate) item: u32,
    /// The units with both.
    pub(crate) units: u32,
    /// Above 0, of nine digits.
    pub(crate) score: f64,
}

impl Neighbor {
    /// Sort key: best first, ties by id. Scores are above 0, so they compare like their bits.
    pub(super) fn rank(&self) -> (Reverse<u64>, u32) {
        (Reverse(self.score.to_bits()), self.item)
    }
}

/// Keeps the `most` best, in no particular order.
pub(super) fn keep_best(row: &mut Vec<Neighbor>, most: usize) {
    if row.len() > most {
        row.select_nth_unstable_by_key(most, Neighbor::rank);
        row.truncate(most);
        row.shrink_to_fit();
    }
}

/// What cuts the rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowCut<'a> {
    /// Neighbours that are kept.
    pub(crate) most: usize,
    /// Fewer units with both than these make no neighbour.
    pub(crate) min_units: u32,
    /// Whether an item may be a neighbour; all may if none.
    pub(crate) allowed: Option<&'a [bool]>,
}

impl RowCut<'_> {
    pub(super) fn allows(&self, item: u32) -> bool {
        self.allowed.is_none_or(|allowed| allowed[item as usize])
    }
}
