//! From counts to scores: how much a count of two things together says that they belong together.
//!
//! A scorer is pure. Whatever the scorer, the finisher of a kind ranks, cuts and encodes in the same way; so nothing here drops
//! or orders anything, and nothing knows of a document. A new scorer is a file here and a line in this list.

mod count;

pub(crate) use count::Count;

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
