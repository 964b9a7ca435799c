//! Scorers, on dense matrices: for each item (row) the weight of each other item (column).

use recsys_core::domain::models::Scorer;

use super::seen::{EVENT, Items};

pub(crate) type Matrix = Vec<Vec<f64>>;

/// 1 in what depends on a size or a distance.
const PART: f64 = (1u64 << 32) as f64;

/// Sums over the pairs of places in units, or places with themselves.
fn sums(units: &[Items], items: usize, scale: f64, add: impl Fn(&Items, usize, usize) -> u64) -> Matrix {
    let mut sums = vec![vec![0u64; items]; items];
    for unit in units {
        for (a, (item, _)) in unit.iter().enumerate() {
            for (b, (other, _)) in unit.iter().enumerate() {
                sums[*item][*other] += add(unit, a, b);
            }
        }
    }
    let real = |row: Vec<u64>| row.into_iter().map(|sum| sum as f64 / scale).collect();
    sums.into_iter().map(real).collect()
}

fn lesser(unit: &Items, a: usize, b: usize) -> u64 {
    unit[a].1.min(unit[b].1)
}

/// A part of a weight, both in integers.
fn parts(part: f64, weight: u64) -> u64 {
    let part = (part * PART).round() as u128;
    u64::try_from(part * u128::from(weight) / u128::from(EVENT)).unwrap()
}

/// In how many units two items are.
pub(crate) fn common_units(units: &[Items], items: usize) -> Vec<Vec<u64>> {
    let has = |unit: &Items, item: usize| unit.iter().any(|(own, _)| *own == item);
    let common = |a: usize, b: usize| units.iter().filter(|unit| has(unit, a) && has(unit, b)).count() as u64;
    (0..items).map(|a| (0..items).map(|b| common(a, b)).collect()).collect()
}

/// What comes at some distance before what.
fn steps(units: &[Items], items: usize, part: impl Fn(usize) -> f64) -> Matrix {
    sums(units, items, PART, |unit, a, b| if a < b { parts(part(b - a), lesser(unit, a, b)) } else { 0 })
}

/// What all units weigh.
fn whole(units: &[Items]) -> f64 {
    units.iter().map(|unit| unit.iter().map(|(_, weight)| *weight).max().unwrap()).sum::<u64>() as f64
        / EVENT as f64
}

/// The weights of a scorer, before any cut.
pub(crate) fn weights(scorer: &Scorer, units: &[Items], items: usize) -> Matrix {
    let together = || sums(units, items, EVENT as f64, lesser);
    let of_pairs = |weight: &dyn Fn(f64, f64, f64) -> f64| {
        let together = together();
        let of = |i: usize, j: usize| match together[i][j] {
            0.0 => 0.0,
            both => weight(both, together[i][i], together[j][j]),
        };
        (0..items).map(|i| (0..items).map(|j| of(i, j)).collect()).collect()
    };
    let all = whole(units);
    match *scorer {
        Scorer::Cosine { shrink } => of_pairs(&|c, i, j| c / ((i * j).sqrt() + shrink)),
        Scorer::Jaccard { shrink } => of_pairs(&|c, i, j| c / (i + j - c + shrink)),
        Scorer::Lift { shrink } => of_pairs(&|c, i, j| c * all / (i * j + shrink)),
        Scorer::Conditional { shrink } => of_pairs(&|c, i, _| c / (i + shrink)),
        Scorer::Llr => {
            let known = (0..items).filter(|item| units.iter().flatten().any(|(own, _)| own == item)).count();
            let least = (known.saturating_sub(1).max(1) as f64 / 0.05).ln();
            of_pairs(&|c, i, j| log_likelihood_ratio(c, i, j, all, least))
        }
        Scorer::DegreeNormalised { a, b, c, .. } => {
            let shares = sums(units, items, PART, |unit, x, y| {
                parts((unit.len() as f64).powf(-c), lesser(unit, x, y))
            });
            let n = together();
            let of = |i: usize, j: usize| match shares[i][j] {
                0.0 => 0.0,
                share => share / (n[i][i].powf(a) * n[j][j].powf(b)),
            };
            (0..items).map(|i| (0..items).map(|j| of(i, j)).collect()).collect()
        }
        Scorer::SequentialRules { window, backward, delta, row_power } => {
            let follows = steps(units, items, |distance| match delta {
                _ if distance > window => 0.0,
                None => 1.0 / distance as f64,
                Some(delta) => (-(distance as f64 - 1.0) / delta).exp(),
            });
            let row = |i: usize| {
                let both = |j: usize| if i == j { 0.0 } else { follows[i][j] + backward * follows[j][i] };
                let sum: f64 = (0..items).map(both).sum();
                (0..items).map(|j| if both(j) > 0.0 { both(j) / sum.powf(row_power) } else { 0.0 }).collect()
            };
            (0..items).map(row).collect()
        }
        Scorer::LocalRidge { candidates, ridge, dropout } => {
            regressions(&together(), &together(), candidates, ridge, dropout)
        }
        Scorer::SessionRidge { candidates, ridge, dropout, delta } => {
            let left = |distance: usize| (-(distance as f64) / delta).exp();
            let before = sums(units, items, PART, |unit, a, b| {
                let later = a.max(b) + 1..unit.len();
                parts(later.map(|at| left(at - a) * left(at - b)).sum(), lesser(unit, a, b))
            });
            regressions(&before, &steps(units, items, left), candidates, ridge, dropout)
        }
    }
}

/// Dunning's, of pairs that meet more often than by chance, and so often that an item meets any of the others by accident with
/// a probability of 0.05 at most, by Hoeffding's bound.
fn log_likelihood_ratio(c: f64, i: f64, j: f64, all: f64, least: f64) -> f64 {
    let table = [(c, i, j), (i - c, i, all - j), (j - c, all - i, j), (all - i - j + c, all - i, all - j)];
    let term = |at: usize| {
        let (count, row, column) = table[at];
        if count > 0.0 { count * (count * all / (row * column)).ln() } else { 0.0 }
    };
    let is_by_chance = c * all <= i * j;
    if is_by_chance || term(0) + term(1).max(term(2)) < least {
        0.0
    } else {
        2.0 * (0..4).map(term).sum::<f64>()
    }
}

/// For each target a regression on the items most similar to it; `to[i][j]` is what i says of the target j.
fn regressions(gram: &Matrix, to: &Matrix, candidates: usize, ridge: f64, dropout: f64) -> Matrix {
    let items = gram.len();
    let mut weights = vec![vec![0.0; items]; items];
    for target in 0..items {
        let similarity = |i: &usize| to[*i][target] / gram[*i][*i].powf(0.7);
        let mut chosen: Vec<usize> = (0..items).filter(|i| *i != target && to[*i][target] > 0.0).collect();
        chosen.sort_by(|a, b| similarity(b).total_cmp(&similarity(a)).then(a.cmp(b)));
        chosen.truncate(candidates);
        loop {
            let row = |i: &usize| {
                let on_diagonal = dropout / (1.0 - dropout) * gram[*i][*i] + ridge;
                let mut row: Vec<f64> = chosen.iter().map(|j| gram[*i][*j]).collect();
                row[chosen.iter().position(|j| j == i).unwrap()] += on_diagonal;
                row.push(to[*i][target]);
                row
            };
            let solution = solved(chosen.iter().map(row).collect());
            if solution.iter().all(|weight| *weight > 0.0) {
                chosen.iter().zip(solution).for_each(|(i, weight)| weights[*i][target] = weight);
                break;
            }
            let mut solution = solution.iter();
            chosen.retain(|_| *solution.next().unwrap() > 0.0);
        }
    }
    weights
}

/// Gaussian elimination with the greatest pivot; the right-hand side is the last column.
fn solved(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let size = rows.len();
    for column in 0..size {
        let pivot = (column..size).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, pivot.unwrap());
        let pivot = rows[column].clone();
        for (at, row) in rows.iter_mut().enumerate() {
            if at != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(&pivot).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    rows.iter().enumerate().map(|(at, row)| row[size] / row[at]).collect()
}
