//! From counts to scores: how much a count of two things together says that they belong together.
//!
//! A scorer is pure. Whatever the scorer, the finisher of a kind ranks, cuts and encodes in the same way; so nothing here drops
//! or orders anything, and nothing knows of a document. A new scorer is a file here and a line in this list.
//!
//! Weights of the files below are computed in one fixed order from `+ - * /`, square roots and `libm`, so that their bits depend
//! on no processor. They are finite and never below zero; a weight of zero says that nothing is known, and is not published.

#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod conditional;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod cosine;
mod count;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod degree_normalised;
#[cfg(test)]
mod expectations;
pub(crate) mod fixed_point;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod jaccard;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod lift;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod llr;
pub(crate) mod pair;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod round;
#[cfg_attr(not(test), expect(dead_code, reason = "no kind takes it yet"))]
pub(crate) mod sequential_rules;

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
