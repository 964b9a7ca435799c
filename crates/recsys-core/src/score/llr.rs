//! How sure it is that two items meet more often than by chance.
//!
//! Dunning, "Accurate methods for the statistics of surprise and coincidence", Computational Linguistics 19(1), 1993.
//!
//! # Which pairs are significant
//!
//! G² of independent items is about χ² with one degree of freedom, but only where many meetings are expected. Most pairs of a
//! catalogue are expected to meet far less than once, and there a single meeting by accident has a G² that χ² calls one in
//! thousands, though it is not. So the cut is not one of χ². With D the divergence of a row (or column) of the table from
//! what is expected, the probability that independent items meet `both` times or more is at most exp(−D), for any margins,
//! however small: Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 58, 1963, theorem 1, with
//! section 6 for units drawn without replacement. D is a part of G²/2, so it costs nothing.
//!
//! A pair is kept if exp(−D) · (items − 1) ≤ [`FALSE_DISCOVERY_RATE`]: Bonferroni's correction for the other items that an item
//! could have met. Hence an item that is independent of all others has a neighbour with at most this probability, and in the
//! row of any item the expected share of neighbours of which it is independent is at most that.
//!
//! Two things are not chance. Units of very different length make items depend on each other, though no item goes with any
//! other. And units that fade count for less than one, for which the bound is an approximation.

use super::pair::PairCounts;

/// Greatest expected share of the neighbours of an item that are independent of it.
pub(crate) const FALSE_DISCOVERY_RATE: f64 = 0.05;

/// Which pairs of a catalogue are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Significance {
    least_divergence: f64,
}

impl Significance {
    /// The cut for so many items, those that occur in any unit.
    pub(crate) fn among(items: usize) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "no catalogue has 2^53 items")]
        let others = items.saturating_sub(1).max(1) as f64;
        Self { least_divergence: libm::log(others / FALSE_DISCOVERY_RATE) }
    }
}

/// G² of the 2×2 table of units with and without each item, 2·Σ k·ln(k / expected); 0 for items that meet at most as often
/// as by chance (c·N ≤ nᵢ·nⱼ).
///
/// Symmetric. Twice as many units of each sort make twice as much.
#[cfg(test)]
pub(crate) fn g_squared(counts: &PairCounts) -> f64 {
    Divergence::of(counts).g_squared()
}

/// G² of a pair that is significant, else 0. Both items keep each other, or neither does.
pub(crate) fn llr(counts: &PairCounts, significance: Significance) -> f64 {
    let table = Divergence::of(counts);
    if table.of_one_side() < significance.least_divergence { 0.0 } else { table.g_squared() }
}

/// The terms k·ln(k / expected) of the cells.
struct Divergence {
    both: f64,
    of_only: f64,
    other_only: f64,
    neither: f64,
}

impl Divergence {
    const NONE: Self = Self { both: 0.0, of_only: 0.0, other_only: 0.0, neither: 0.0 };

    fn of(counts: &PairCounts) -> Self {
        let PairCounts { both, of, other, all } = *counts;
        let (without, without_other) = (all - of, all - other);
        // How much more often than by chance, times N; each cell differs from what is expected by as much, up or down.
        let more = both * all - of * other;
        if more.is_nan() || more <= 0.0 || without <= 0.0 || without_other <= 0.0 {
            return Self::NONE;
        }
        Self {
            both: cell(both, of * other, more, all),
            of_only: cell(of - both, of * without_other, -more, all),
            other_only: cell(other - both, other * without, -more, all),
            neither: cell(without - (other - both), without * without_other, more, all),
        }
    }

    fn g_squared(&self) -> f64 {
        // In this order, so that the items can change places without a difference in any bit.
        let half = (self.both + self.neither) + (self.of_only + self.other_only);
        2.0 * half.max(0.0)
    }

    /// D: −ln of the bound on the probability of so many meetings or more. The tighter one of the units with the one item
    /// and the units with the other.
    fn of_one_side(&self) -> f64 {
        (self.both + self.of_only).max(self.both + self.other_only)
    }
}

/// k·ln(k / expected) with the expected times N, and how much k is beyond it, times N.
fn cell(k: f64, expected: f64, beyond: f64, all: f64) -> f64 {
    if k <= 0.0 {
        return 0.0;
    }
    let beyond = beyond / expected;
    // Where nearly all units are, k / expected is 1 but for the last digits, which `log1p` keeps. Far below it, they are lost in
    // the difference from 1, and not in the quotient.
    k * if beyond > -0.5 { libm::log1p(beyond) } else { libm::log(k * all / expected) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_precision_loss, reason = "small numbers")]

    use super::*;

    use recsys_testkit::generate::Random;

    fn counts(both: u32, of: u32, other: u32, all: u32) -> PairCounts {
        PairCounts { both: both.into(), of: of.into(), other: other.into(), all: all.into() }
    }

    /// Probability of `both` meetings or more of items with these units, if independent: the tail of the hypergeometric
    /// distribution, from the number of ways to choose.
    fn tail(both: usize, of: usize, other: usize, all: usize) -> f64 {
        let ways = |n: usize, k: usize| (0..k).fold(1.0, |ways, at| ways * (n - at) as f64 / (at + 1) as f64);
        let least = both.max((of + other).saturating_sub(all));
        let at = |both: usize| ways(of, both) * ways(all - of, other - both) / ways(all, other);
        (least..=of.min(other)).map(at).sum()
    }

    #[test]
    fn the_bound_holds_for_every_small_table() {
        let mut tables = 0;
        for all in 1..=24usize {
            for of in 1..=all {
                for other in 1..=of {
                    for both in (of + other).saturating_sub(all)..=other {
                        let table = Divergence::of(&PairCounts {
                            both: both as f64,
                            of: of as f64,
                            other: other as f64,
                            all: all as f64,
                        });
                        let (bound, exact) = (libm::exp(-table.of_one_side()), tail(both, of, other, all));
                        assert!(
                            exact <= bound * 1.000_000_001,
                            "{both} {of} {other} {all}: {exact} > {bound}"
                        );
                        tables += 1;
                    }
                }
            }
        }
        assert!(tables > 10_000, "{tables}");
    }

    #[test]
    fn the_cut_grows_with_the_catalogue() {
        // ln(100 / 0.05) = ln 2000.
        assert!((Significance::among(101).least_divergence - 7.600_902_459_542_082).abs() < 1e-12);
        assert!(Significance::among(0).least_divergence > 0.0);

        // Once together in 1,000 units, and nowhere else: by chance 1 in 1,000, exactly. D = ln 1000.
        let once = counts(1, 1, 1, 1000);
        assert!((Divergence::of(&once).of_one_side() - 1000f64.ln()).abs() < 1e-12);
        // 1 in 1,000, times 50 other items, is 0.05; 51 are too many.
        assert!(llr(&once, Significance::among(50)) > 0.0);
        assert_eq!(llr(&once, Significance::among(52)).to_bits(), 0);
    }

    #[test]
    fn what_belongs_together_is_found() {
        // Half of ten units each in 10,000, where 0.01 are expected: D = 10·KL(0.5 ‖ 0.001) = 10·(0.5·ln 500 + 0.5·ln(0.5/0.999))
        // = 27.61, enough for any catalogue.
        let pair = counts(5, 10, 10, 10_000);
        assert!((Divergence::of(&pair).of_one_side() - 27.612_1).abs() < 1e-3);
        assert!(llr(&pair, Significance::among(10_000_000)) > 55.0);
        // A pair of popular items: 330 times together where 250 are expected.
        assert!(llr(&counts(330, 500, 5_000, 10_000), Significance::among(1000)) > 0.0);
    }

    /// G² = 2·(Σ over cells k·ln k − Σ over margins n·ln n + N·ln N), Dunning's in the form of Mahout.
    fn by_entropy(counts: &PairCounts) -> f64 {
        let PairCounts { both, of, other, all } = *counts;
        let term = |k: f64| if k > 0.0 { k * k.ln() } else { 0.0 };
        let cells = [both, of - both, other - both, all - of - other + both];
        let margins = [of, all - of, other, all - other];
        2.0 * (cells.map(term).iter().sum::<f64>() - margins.map(term).iter().sum::<f64>() + term(all))
    }

    #[test]
    fn it_is_the_difference_of_entropies() {
        // Also with units that have faded.
        for faded in [1.0, 0.5, 0.001] {
            for table in
                [[13, 1_000, 1_000, 100_000], [10, 10, 10, 20], [1, 1, 1, 1_000_000], [39, 40, 900, 1000]]
            {
                let [both, of, other, all] = table.map(|it| f64::from(it) * faded);
                let counts = PairCounts { both, of, other, all };
                let (own, naive) = (g_squared(&counts), by_entropy(&counts));
                assert!(own > 0.0 && (own - naive).abs() < 1e-7, "{table:?} × {faded}: {own} {naive}");
            }
        }
        // ln 2 · 20 · 2: two halves of 20 units.
        assert!((g_squared(&counts(10, 10, 10, 20)) - 27.725_887_222_397_81).abs() < 1e-12);
    }

    /// Units whose items are drawn without regard for each other: item k with the probability `most` / (k + 1)^`slope`.
    struct Independent {
        items: usize,
        units: usize,
        most: f64,
        slope: f64,
    }

    impl Independent {
        /// The share of items that have a neighbour, when units have the weights and the cut is for so many items.
        fn with_neighbour(
            &self,
            seed: u64,
            weight: impl Fn(usize) -> f64,
            is_kept: impl Fn(&PairCounts, usize) -> bool,
        ) -> f64 {
            let mut random = Random(seed);
            let probability = |item: usize| self.most / libm::pow(item as f64 + 1.0, self.slope);
            let weights: Vec<f64> = (0..self.units).map(weight).collect();
            let all: f64 = weights.iter().sum();
            let held: Vec<Vec<usize>> = (0..self.items)
                .map(|item| (0..self.units).filter(|_| random.fraction() < probability(item)).collect())
                .collect();
            let of: Vec<f64> =
                held.iter().map(|units| units.iter().map(|unit| weights[*unit]).sum()).collect();
            let items = of.iter().filter(|of| **of > 0.0).count();
            let mut with_neighbour = vec![false; self.items];
            for i in 0..self.items {
                let mut in_common = vec![0.0; self.units];
                held[i].iter().for_each(|unit| in_common[*unit] = weights[*unit]);
                for j in 0..i {
                    let both = held[j].iter().map(|unit| in_common[*unit]).sum();
                    if is_kept(&PairCounts { both, of: of[i], other: of[j], all }, items) {
                        (with_neighbour[i], with_neighbour[j]) = (true, true);
                    }
                }
            }
            with_neighbour.into_iter().filter(|it| *it).count() as f64 / items as f64
        }
    }

    fn is_significant(counts: &PairCounts, items: usize) -> bool {
        llr(counts, Significance::among(items)) > 0.0
    }

    const DENSITIES: [Independent; 6] = [
        // Half of all units have each item.
        Independent { items: 300, units: 400, most: 0.5, slope: 0.0 },
        Independent { items: 300, units: 1000, most: 0.5, slope: 0.7 },
        Independent { items: 300, units: 1000, most: 0.1, slope: 1.0 },
        // Each item has about 10, 3 and 1 units, and few pairs are expected to meet at all.
        Independent { items: 300, units: 1000, most: 0.01, slope: 0.0 },
        Independent { items: 300, units: 1000, most: 0.003, slope: 0.0 },
        Independent { items: 300, units: 1000, most: 0.001, slope: 0.0 },
    ];

    /// The seeds are fixed: what is random may lie beyond its expectation, and a test may not.
    #[test]
    fn items_independent_of_each_other_have_no_neighbours() {
        for (data, seed) in DENSITIES.iter().zip(0..) {
            let share = data.with_neighbour(seed, |_| 1.0, is_significant);
            assert!(share <= FALSE_DISCOVERY_RATE, "density {seed}: {share}");
        }
    }

    /// From 1 down to 1/16, as with four half-lives in the window.
    #[test]
    fn nor_have_they_when_units_fade() {
        for (data, seed) in DENSITIES.iter().zip(100..) {
            let faded = |unit: usize| libm::pow(0.5, 4.0 * unit as f64 / data.units as f64);
            let share = data.with_neighbour(seed, faded, is_significant);
            assert!(share <= FALSE_DISCOVERY_RATE, "density {seed}: {share}");
        }
    }

    /// Why the cut is not of χ², and that the tests above could fail: 1 in 6,000, about the same rate for 300 items, is a G² of
    /// 12.87 on one side.
    #[test]
    fn by_chi_squared_they_would_have_neighbours_in_sparse_data() {
        let shares = DENSITIES
            .iter()
            .zip(0..)
            .map(|(data, seed)| data.with_neighbour(seed, |_| 1.0, |counts, _| g_squared(counts) >= 12.87));
        let shares: Vec<f64> = shares.collect();
        assert!(shares.iter().any(|share| *share > FALSE_DISCOVERY_RATE), "{shares:?}");
    }
}
