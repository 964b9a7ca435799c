//! What every scorer of pairs must show, whatever its formula.

#![allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small numbers, and bits that must be exact"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use recsys_testkit::seed::cases;

use super::conditional::conditional;
use super::cosine::cosine;
use super::degree_normalised::{degree_normalised, powers, unit_weight};
use super::jaccard::jaccard;
use super::lift::lift;
use super::llr::g_squared;
use super::pair::PairCounts;
use super::sequential_rules::{row_divisor, sequential_rule, step_weights};
use crate::counts::FULL;

/// The items of each unit, each once, in order.
type Units = [Vec<usize>];

/// Weights above zero, by item and other item.
type Rows = BTreeMap<(usize, usize), f64>;

struct Scorer {
    name: &'static str,
    /// By the formula in the house.
    rows: fn(&Units) -> Rows,
    /// From the definition, in the plainest way.
    naive: fn(&Units, usize, usize) -> f64,
    symmetric: bool,
    /// How many times as much the weights are when every unit is there twice.
    when_doubled: f64,
    /// For [`small`], worked out by hand.
    by_hand: fn() -> Rows,
}

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

/// N = 4; a has 3 units, b and c have 2 each, d has 1. Together: ab 2, ac 1, bc 1, cd 1; ad and bd never.
fn small() -> Vec<Vec<usize>> {
    vec![vec![A, B], vec![A, B, C], vec![A], vec![C, D]]
}

/// The pairs of both directions.
fn both_ways(pairs: &[(usize, usize, f64)]) -> Rows {
    pairs.iter().flat_map(|(i, j, weight)| [((*i, *j), *weight), ((*j, *i), *weight)]).collect()
}

const SCORERS: [Scorer; 7] = [
    Scorer {
        name: "cosine",
        rows: |units| of_pairs(units, |counts| cosine(counts, 0.0)),
        // The product of the columns by the product of their lengths.
        naive: |units, i, j| {
            let column =
                |item| units.iter().map(|unit| f64::from(u8::from(unit.contains(&item)))).collect::<Vec<_>>();
            let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            let (x, y) = (column(i), column(j));
            product(&x, &y) / (product(&x, &x).sqrt() * product(&y, &y).sqrt())
        },
        symmetric: true,
        when_doubled: 1.0,
        // 2/√6, 1/√6, 1/√4, 1/√2.
        by_hand: || {
            both_ways(&[
                (A, B, 0.816_496_580_927_726),
                (A, C, 0.408_248_290_463_863),
                (B, C, 0.5),
                (C, D, std::f64::consts::FRAC_1_SQRT_2),
            ])
        },
    },
    Scorer {
        name: "jaccard",
        rows: |units| of_pairs(units, |counts| jaccard(counts, 0.0)),
        naive: |units, i, j| {
            let (one, other) = (with(units, i), with(units, j));
            one.intersection(&other).count() as f64 / one.union(&other).count() as f64
        },
        symmetric: true,
        when_doubled: 1.0,
        // 2 of 3 units with either, 1 of 4, 1 of 3, 1 of 2.
        by_hand: || both_ways(&[(A, B, 2.0 / 3.0), (A, C, 0.25), (B, C, 1.0 / 3.0), (C, D, 0.5)]),
    },
    Scorer {
        name: "lift",
        rows: |units| of_pairs(units, |counts| lift(counts, 0.0)),
        // The probability of both by the product of those of each.
        naive: |units, i, j| {
            let probability = |number: usize| number as f64 / units.len() as f64;
            let (one, other) = (with(units, i), with(units, j));
            probability(one.intersection(&other).count())
                / (probability(one.len()) * probability(other.len()))
        },
        symmetric: true,
        when_doubled: 1.0,
        // 2·4 / (3·2), 1·4 / (3·2), 1·4 / (2·2), 1·4 / (2·1).
        by_hand: || both_ways(&[(A, B, 4.0 / 3.0), (A, C, 2.0 / 3.0), (B, C, 1.0), (C, D, 2.0)]),
    },
    Scorer {
        name: "conditional",
        rows: |units| of_pairs(units, |counts| conditional(counts, 0.0)),
        // Among the units with i, those with j.
        naive: |units, i, j| {
            let one: Vec<_> = units.iter().filter(|unit| unit.contains(&i)).collect();
            one.iter().filter(|unit| unit.contains(&j)).count() as f64 / one.len() as f64
        },
        symmetric: false,
        when_doubled: 1.0,
        by_hand: || {
            Rows::from([
                // a: 2 and 1 of 3.
                ((A, B), 2.0 / 3.0),
                ((A, C), 1.0 / 3.0),
                // b: 2 and 1 of 2.
                ((B, A), 1.0),
                ((B, C), 0.5),
                // c: 1 of 2 each.
                ((C, A), 0.5),
                ((C, B), 0.5),
                ((C, D), 0.5),
                // d: its only unit has c.
                ((D, C), 1.0),
            ])
        },
    },
    Scorer {
        name: "llr",
        rows: |units| of_pairs(units, g_squared),
        // How much likelier the units are with a probability of j beside i, and one without i, than with one for all.
        naive: |units, i, j| {
            let (with_i, without): (Vec<_>, Vec<_>) = units.iter().partition(|unit| unit.contains(&i));
            let likelihood = |units: &[&Vec<usize>], probability: f64| {
                let each =
                    |unit: &&Vec<usize>| if unit.contains(&j) { probability } else { 1.0 - probability };
                units.iter().map(|unit| each(unit).ln()).sum::<f64>()
            };
            let share = |units: &[&Vec<usize>]| {
                units.iter().filter(|unit| unit.contains(&j)).count() as f64 / units.len() as f64
            };
            let all: Vec<_> = units.iter().collect();
            if with_i.is_empty() || without.is_empty() || share(&with_i) <= share(&all) {
                return 0.0;
            }
            let apart = likelihood(&with_i, share(&with_i)) + likelihood(&without, share(&without));
            2.0 * (apart - likelihood(&all, share(&all)))
        },
        symmetric: true,
        when_doubled: 2.0,
        // ab: 2, 1, 0 and 1 units where 1.5, 1.5, 0.5 and 0.5 are expected: 2·(2·ln 4/3 + ln 2/3 + ln 2) = 2·ln 64/27.
        // cd: 1, 1, 0 and 2 where 0.5, 1.5, 0.5 and 1.5 are: 2·(ln 2 + ln 2/3 + 2·ln 4/3), the same.
        // ac meet once where 1.5 is expected; bc once where 1 is, which is chance.
        by_hand: || both_ways(&[(A, B, 1.726_092_434_710_685), (C, D, 1.726_092_434_710_685)]),
    },
    Scorer {
        name: "degree_normalised",
        rows: |units| by_degree(units, 0.25, 0.75, 1.0),
        naive: |units, i, j| {
            let common = units.iter().filter(|unit| unit.contains(&i) && unit.contains(&j));
            let degree = |item| with(units, item).len() as f64;
            common.map(|unit| 1.0 / unit.len() as f64).sum::<f64>()
                / (degree(i).powf(0.25) * degree(j).powf(0.75))
        },
        symmetric: false,
        // Twice as much by 2^0.25 · 2^0.75.
        when_doubled: 1.0,
        // 3^0.25 = 1.3160740129524924, 2^0.25 = 1.189207115002721, 3^0.75 = 2.2795070569547775, 2^0.75 = 1.681792830507429.
        by_hand: || {
            Rows::from([
                // 5/6 (a unit of two and one of three) / (3^0.25·2^0.75), and / (2^0.25·3^0.75).
                ((A, B), 0.376_500_834_837_435_4),
                ((B, A), 0.307_411_644_361_200_4),
                // 1/3 by the same.
                ((A, C), 0.150_600_333_934_974_17),
                ((C, A), 0.122_964_657_744_480_18),
                // 1/3 by 2.
                ((B, C), 1.0 / 6.0),
                ((C, B), 1.0 / 6.0),
                // 1/2 / 2^0.25, and / 2^0.75.
                ((C, D), 0.420_448_207_626_857_3),
                ((D, C), 0.297_301_778_750_680_3),
            ])
        },
    },
    Scorer {
        name: "sequential_rules",
        rows: by_order,
        naive: |units, i, j| {
            let weight = |j: usize| {
                let in_unit = |unit: &Vec<usize>| {
                    let at = |item| unit.iter().position(|it| *it == item);
                    let distance = at(j)?.checked_sub(at(i)?)?;
                    (1..=WINDOW).contains(&distance).then(|| 1.0 / distance as f64)
                };
                units.iter().filter_map(in_unit).sum::<f64>()
            };
            let row: f64 = items(units).into_iter().map(weight).sum();
            if row > 0.0 { weight(j) / row } else { 0.0 }
        },
        symmetric: false,
        when_doubled: 1.0,
        // a is followed by b twice at once, and by c after one other: 2 and 1/2 of 2.5.
        by_hand: || Rows::from([((A, B), 0.8), ((A, C), 0.2), ((B, C), 1.0), ((C, D), 1.0)]),
    },
];

const WINDOW: usize = 2;

fn items(units: &Units) -> BTreeSet<usize> {
    units.iter().flatten().copied().collect()
}

/// The units with an item, by their places.
fn with(units: &Units, item: usize) -> BTreeSet<usize> {
    (0..units.len()).filter(|at| units[*at].contains(&item)).collect()
}

fn pairs(units: &Units) -> Vec<(usize, usize)> {
    let items = items(units);
    items.iter().flat_map(|i| items.iter().map(|j| (*i, *j))).filter(|(i, j)| i != j).collect()
}

/// Weights of pairs that met, but for those of zero.
fn rows(units: &Units, weight: impl Fn(usize, usize) -> f64) -> Rows {
    let weights = pairs(units).into_iter().map(|(i, j)| ((i, j), weight(i, j)));
    // A weight below zero, or one that is no number, stays and is found.
    weights.filter(|(_, weight)| *weight != 0.0).collect()
}

fn of_pairs(units: &Units, score: impl Fn(&PairCounts) -> f64) -> Rows {
    rows(units, |i, j| {
        let (one, other) = (with(units, i), with(units, j));
        let both = one.intersection(&other).count() as f64;
        score(&PairCounts { both, of: one.len() as f64, other: other.len() as f64, all: units.len() as f64 })
    })
}

fn by_degree(units: &Units, a: f64, b: f64, c: f64) -> Rows {
    let degrees: Vec<f64> = (0..=items(units).into_iter().max().unwrap_or(0))
        .map(|item| with(units, item).len() as f64)
        .collect();
    let (of, other) = (powers(&degrees, a), powers(&degrees, b));
    rows(units, |i, j| {
        let common = units.iter().filter(|unit| unit.contains(&i) && unit.contains(&j));
        let g: u64 = common.map(|unit| unit_weight(unit.len(), c)).sum();
        degree_normalised(g as f64 / FULL as f64, of[i], other[j])
    })
}

fn by_order(units: &Units) -> Rows {
    let steps = step_weights(WINDOW, None);
    let mut sums: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for unit in units {
        for (at, item) in unit.iter().enumerate() {
            for (later, step) in unit[at + 1..].iter().zip(&steps) {
                *sums.entry((*item, *later)).or_default() += step;
            }
        }
    }
    rows(units, |i, j| {
        let row: u64 = sums.range((i, 0)..(i + 1, 0)).map(|(_, sum)| sum).sum();
        let weight = sums.get(&(i, j)).copied().unwrap_or(0);
        sequential_rule(weight as f64 / FULL as f64, row_divisor(row as f64 / FULL as f64, 1.0))
    })
}

fn assert_close(name: &str, own: &Rows, expected: &Rows, tolerance: f64) {
    assert_eq!(own.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{name}");
    for (pair, weight) in own {
        let difference = (weight - expected[pair]).abs();
        assert!(
            difference <= tolerance * expected[pair].max(1.0),
            "{name} {pair:?}: {weight}, not {}",
            expected[pair]
        );
    }
}

#[test]
fn a_small_matrix_is_scored_as_by_hand() {
    for scorer in SCORERS {
        // Fixed point has 32 bits behind the point.
        assert_close(scorer.name, &(scorer.rows)(&small()), &(scorer.by_hand)(), 1e-9);
    }
}

/// Up to eight items in up to twelve units, in any order.
fn units() -> impl Strategy<Value = Vec<Vec<usize>>> {
    let all = || Just((0..8usize).collect::<Vec<_>>()).prop_shuffle();
    let unit = (all(), 1usize..6).prop_map(|(all, size)| all[..size].to_vec());
    proptest::collection::vec(unit, 1..12)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn weights_are_numbers_above_zero(units in units()) {
        for scorer in SCORERS {
            for (pair, weight) in (scorer.rows)(&units) {
                prop_assert!(weight.is_finite() && weight > 0.0, "{} {:?}: {}", scorer.name, pair, weight);
            }
        }
    }

    #[test]
    fn weights_are_those_of_the_definition(units in units()) {
        for scorer in SCORERS {
            // What is nothing but rounding is no weight.
            let drop_dust = |rows: Rows| rows.into_iter().filter(|(_, weight)| *weight > 1e-9).collect();
            let naive = drop_dust(rows(&units, |i, j| (scorer.naive)(&units, i, j)));
            assert_close(scorer.name, &drop_dust((scorer.rows)(&units)), &naive, 1e-8);
        }
    }

    #[test]
    fn both_directions_are_the_same_where_they_should_be(units in units()) {
        for scorer in SCORERS.into_iter().filter(|scorer| scorer.symmetric) {
            let rows = (scorer.rows)(&units);
            let turned: Rows = rows.iter().map(|((i, j), weight)| ((*j, *i), *weight)).collect();
            prop_assert_eq!(bits(&rows), bits(&turned), "{}", scorer.name);
        }
    }

    #[test]
    fn other_names_change_nothing_but_the_names(
        units in units(),
        names in Just((0..8usize).collect::<Vec<_>>()).prop_shuffle()
    ) {
        for scorer in SCORERS {
            let renamed: Vec<Vec<usize>> =
                units.iter().map(|unit| unit.iter().map(|item| names[*item]).collect()).collect();
            let own: Rows = (scorer.rows)(&units)
                .into_iter()
                .map(|((i, j), weight)| ((names[i], names[j]), weight))
                .collect();
            prop_assert_eq!(bits(&own), bits(&(scorer.rows)(&renamed)), "{}", scorer.name);
        }
    }

    #[test]
    fn the_order_of_units_changes_nothing(units in units()) {
        let turned: Vec<Vec<usize>> = units.iter().rev().cloned().collect();
        for scorer in SCORERS {
            prop_assert_eq!(bits(&(scorer.rows)(&units)), bits(&(scorer.rows)(&turned)), "{}", scorer.name);
        }
    }

    #[test]
    fn data_that_is_there_twice_changes_nothing_where_it_should_not(units in units()) {
        let twice = [&units[..], &units[..]].concat();
        for scorer in SCORERS {
            let expected: Rows = (scorer.rows)(&units)
                .into_iter()
                .map(|(pair, weight)| (pair, scorer.when_doubled * weight))
                .collect();
            assert_close(scorer.name, &(scorer.rows)(&twice), &expected, 1e-12);
        }
    }
}

fn bits(rows: &Rows) -> BTreeMap<(usize, usize), u64> {
    rows.iter().map(|(pair, weight)| (*pair, weight.to_bits())).collect()
}

type Formula = (&'static str, fn(&PairCounts) -> f64);

/// The formulas of pairs, some with a shrink.
const FORMULAS: [Formula; 9] = [
    ("cosine", |counts| cosine(counts, 0.0)),
    ("cosine, shrunk", |counts| cosine(counts, 20.0)),
    ("jaccard", |counts| jaccard(counts, 0.0)),
    ("jaccard, shrunk", |counts| jaccard(counts, 20.0)),
    ("lift", |counts| lift(counts, 0.0)),
    ("lift, shrunk", |counts| lift(counts, 20.0)),
    ("conditional", |counts| conditional(counts, 0.0)),
    ("conditional, shrunk", |counts| conditional(counts, 20.0)),
    ("llr", g_squared),
];

/// Any counts that can be: whole units, or faded ones as multiples of 2^-20.
fn counts() -> impl Strategy<Value = PairCounts> {
    let cell = || prop_oneof![Just(0u32), 0u32..4, 0u32..1000, 0u32..10_000_000];
    let scale = prop_oneof![Just(1.0), Just(1.0 / 1_048_576.0)];
    (cell(), cell(), cell(), cell(), scale).prop_map(|(both, of_only, other_only, neither, scale)| {
        let [both, of_only, other_only, neither] =
            [both, of_only, other_only, neither].map(|units| f64::from(units) * scale);
        let all = both + of_only + other_only + neither;
        PairCounts { both, of: both + of_only, other: both + other_only, all }
    })
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn any_counts_have_a_weight(counts in counts()) {
        for (name, formula) in FORMULAS {
            let weight = formula(&counts);
            prop_assert!(weight.is_finite() && weight >= 0.0 && weight.is_sign_positive(), "{}: {}", name, weight);
            if counts.both == 0.0 {
                prop_assert_eq!(weight.to_bits(), 0, "{}", name);
            }
        }
    }

    /// With the units of each item as they are, meeting more often never weighs less.
    #[test]
    fn more_meetings_weigh_more(counts in counts(), share in 0.0f64..=1.0) {
        let least = (counts.of + counts.other - counts.all).max(0.0);
        let fewer = PairCounts { both: least + ((counts.both - least) * share).floor(), ..counts };
        for (name, formula) in FORMULAS {
            let (less, more) = (formula(&fewer), formula(&counts));
            // The logarithms of a table are each rounded, relative to the units in it.
            let dust = if name == "llr" { 1e-12 * counts.both } else { 0.0 };
            prop_assert!(less <= more + dust, "{}: {} of {:?}, {} of {:?}", name, less, fewer, more, counts);
        }
    }

    #[test]
    fn shares_are_at_most_one(counts in counts()) {
        for (name, formula) in FORMULAS.iter().filter(|(name, _)| !name.starts_with("lift") && *name != "llr") {
            prop_assert!(formula(&counts) <= 1.0, "{}", name);
        }
    }

    #[test]
    fn shrinking_draws_towards_zero(counts in counts(), shrink in 0.0f64..1e6) {
        let formulas: [fn(&PairCounts, f64) -> f64; 4] = [cosine, jaccard, lift, conditional];
        for formula in formulas {
            prop_assert!(formula(&counts, shrink) <= formula(&counts, 0.0));
            prop_assert!(formula(&counts, shrink) > 0.0 || counts.both == 0.0);
        }
    }
}
