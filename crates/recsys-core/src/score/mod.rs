//! From counts to scores: how much a count of two things together says that they belong together.
//!
//! A scorer is pure. Whatever the scorer, the finisher of a kind ranks, cuts and encodes in the same way; so nothing here drops
//! or orders anything, and nothing knows of a document. A new scorer is a file here and a line in this list.
//!
//! Weights are computed in one fixed order from `+ - * /`, square roots and `libm`, so that their bits depend on no processor.
//! They are finite and never below zero; a weight of zero says that nothing is known, and is not published.

mod conditional;
mod cosine;
mod count;
mod degree_normalised;
#[cfg(test)]
mod expectations;
mod item_rows;
mod jaccard;
mod lift;
mod llr;
mod local_ridge;
mod neighbor;
mod pair;
mod pair_scores;
mod ridge;
mod round;
mod sequential_rules;
mod user_scores;

pub(crate) use count::Count;
pub(crate) use item_rows::ItemRows;
pub(crate) use neighbor::{Neighbor, RowCut};
pub(crate) use round::nine_digits;
pub(crate) use user_scores::{Own, UserScores, by_age};

/// Scores counts of the type `C`.
pub(crate) trait Scorer<C>: Sync {
    type Score: Score;

    /// The score of `other` in the row of `of`, with which it was counted `count` times.
    fn score(&self, of: u32, other: u32, count: C) -> Self::Score;
}

/// How much something is worth. Greater is better; equal scores are tied.
pub(crate) trait Score: Copy + Ord + Send + Sync {
    /// As it is published. Finite, and above zero for whatever may be published.
    fn value(self) -> f64;
}
