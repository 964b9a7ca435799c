//! The score of a pair from what was counted of it, for the scorers that have a formula.

use super::conditional::conditional;
use super::cosine::cosine;
use super::degree_normalised::{degree_normalised, powers};
use super::jaccard::jaccard;
use super::lift::lift;
use super::llr::{Significance, llr};
use super::pair::PairCounts;
use super::sequential_rules::{row_divisor, sequential_rule};
use crate::counts::{Cell, UnitPairs};
use crate::domain::fading::ONE;
use crate::domain::models::Scorer;
use crate::storage::StoreError;

/// Scores pairs.
pub(crate) struct PairScores {
    /// How much of all units each item is in.
    of_items: Vec<f64>,
    /// All units.
    all: f64,
    /// What 1 is in the sums of cells.
    scale: f64,
    formula: Formula,
}

/// A formula, with what it needs of each item.
enum Formula {
    Cosine { shrink: f64 },
    Jaccard { shrink: f64 },
    Lift { shrink: f64 },
    Conditional { shrink: f64 },
    Llr(Significance),
    DegreeNormalised { of: Vec<f64>, other: Vec<f64> },
    SequentialRules { backward: f64, divisors: Vec<f64> },
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sums of weights; rounded to nearest where they are above 2^53"
)]
fn real(sum: u64) -> f64 {
    sum as f64
}

impl PairScores {
    /// For the pairs of a window. The ridge regressions have no formula for a pair.
    pub(crate) fn new(pairs: &UnitPairs<'_>, scorer: &Scorer) -> Result<Self, StoreError> {
        let one = f64::from(ONE);
        let of_items: Vec<f64> = pairs.weights_of.iter().map(|weight| real(*weight) / one).collect();
        let formula = match *scorer {
            Scorer::Cosine { shrink } => Formula::Cosine { shrink },
            Scorer::Jaccard { shrink } => Formula::Jaccard { shrink },
            Scorer::Lift { shrink } => Formula::Lift { shrink },
            Scorer::Conditional { shrink } => Formula::Conditional { shrink },
            Scorer::DegreeNormalised { a, b, .. } => {
                Formula::DegreeNormalised { of: powers(&of_items, a), other: powers(&of_items, b) }
            }
            Scorer::SequentialRules { backward, row_power, .. } => {
                let scale = pairs.scale();
                let divisors = pairs.map_rows(|item, cells| {
                    let others = cells.iter().filter(|cell| cell.other != item);
                    let (out, back) =
                        others.fold((0, 0), |(out, back), cell| (out + cell.out, back + cell.back));
                    row_divisor((real(out) + backward * real(back)) / scale, row_power)
                })?;
                Formula::SequentialRules { backward, divisors }
            }
            Scorer::Llr | Scorer::LocalRidge { .. } | Scorer::SessionRidge { .. } => {
                let items = pairs.weights_of.iter().filter(|weight| **weight > 0).count();
                Formula::Llr(Significance::among(items))
            }
        };
        Ok(Self { of_items, all: real(pairs.all) / one, scale: pairs.scale(), formula })
    }

    /// The weight of the other item of a cell in the row of an item; what is not above 0 is no neighbour.
    pub(crate) fn of(&self, item: u32, cell: &Cell) -> f64 {
        let (of, other) = (item as usize, cell.other as usize);
        let out = real(cell.out) / self.scale;
        let counts =
            || PairCounts { both: out, of: self.of_items[of], other: self.of_items[other], all: self.all };
        match &self.formula {
            Formula::Cosine { shrink } => cosine(&counts(), *shrink),
            Formula::Jaccard { shrink } => jaccard(&counts(), *shrink),
            Formula::Lift { shrink } => lift(&counts(), *shrink),
            Formula::Conditional { shrink } => conditional(&counts(), *shrink),
            Formula::Llr(significance) => llr(&counts(), *significance),
            Formula::DegreeNormalised { of: of_powers, other: other_powers } => {
                degree_normalised(out, of_powers[of], other_powers[other])
            }
            Formula::SequentialRules { backward, divisors } => {
                let back = real(cell.back) / self.scale;
                sequential_rule(out + backward * back, divisors[of])
            }
        }
    }
}
