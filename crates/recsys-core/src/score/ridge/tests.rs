//! Expectations of the regression: small systems by hand, others against the textbook.

#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    clippy::needless_range_loop,
    reason = "the textbook's loops"
)]

use proptest::prelude::*;

use super::cholesky::Factor;
use super::{Ridge, Similarity, Solver};

const PLAIN: Ridge = Ridge { ridge: 1.0, dropout: 0.0 };

/// The weights for the upper triangle of a matrix in rows.
fn weights(gram: &[Vec<f64>], rhs: &[f64], settings: Ridge) -> Vec<f64> {
    solve(&mut Solver::default(), gram, rhs, settings)
}

fn solve(solver: &mut Solver, gram: &[Vec<f64>], rhs: &[f64], settings: Ridge) -> Vec<f64> {
    let size = rhs.len();
    let to_fill = solver.gram_mut(size);
    for (row, values) in gram.iter().enumerate() {
        // What is left of the diagonal must not matter.
        to_fill[row * size..row * size + row].fill(f64::NAN);
        to_fill[row * size + row..(row + 1) * size].copy_from_slice(&values[row..]);
    }
    solver.weights(rhs, settings).to_vec()
}

/// The matrix that is solved: with what the settings add to its diagonal.
fn regular(gram: &[Vec<f64>], Ridge { ridge, dropout }: Ridge) -> Vec<Vec<f64>> {
    let mut matrix = gram.to_vec();
    for (k, row) in matrix.iter_mut().enumerate() {
        row[k] += dropout / (1.0 - dropout) * row[k] + ridge;
    }
    matrix
}

/// Gaussian elimination with pivoting.
fn eliminated(mut matrix: Vec<Vec<f64>>, mut rhs: Vec<f64>) -> Vec<f64> {
    let size = rhs.len();
    for k in 0..size {
        let pivot = (k..size).max_by(|a, b| matrix[*a][k].abs().total_cmp(&matrix[*b][k].abs())).unwrap();
        matrix.swap(k, pivot);
        rhs.swap(k, pivot);
        for row in k + 1..size {
            let factor = matrix[row][k] / matrix[k][k];
            for column in k..size {
                matrix[row][column] -= factor * matrix[k][column];
            }
            rhs[row] -= factor * rhs[k];
        }
    }
    for k in (0..size).rev() {
        for column in k + 1..size {
            rhs[k] -= matrix[k][column] * rhs[column];
        }
        rhs[k] /= matrix[k][k];
    }
    rhs
}

/// The same active set with a full solve for each round.
fn naive(gram: &[Vec<f64>], rhs: &[f64], settings: Ridge) -> Vec<f64> {
    let matrix = regular(gram, settings);
    let mut kept: Vec<usize> = (0..rhs.len()).collect();
    loop {
        let part = kept.iter().map(|row| kept.iter().map(|column| matrix[*row][*column]).collect()).collect();
        let solution = eliminated(part, kept.iter().map(|row| rhs[*row]).collect());
        if solution.iter().all(|weight| *weight > 0.0) {
            let mut weights = vec![0.0; rhs.len()];
            kept.into_iter().zip(solution).for_each(|(row, weight)| weights[row] = weight);
            return weights;
        }
        let mut solution = solution.into_iter();
        kept.retain(|_| solution.next().unwrap() > 0.0);
    }
}

/// Users with items by a small generator: the Gram matrix of all items but one, and the counts with that one.
fn sampled(items: usize, users: usize, seed: u64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut gram = vec![vec![0.0; items]; items];
    let mut rhs = vec![0.0; items];
    for _ in 0..users {
        // Items in groups, as tastes are, and some are much more popular than others.
        let taste = random.usize(0..3);
        let has: Vec<bool> = (0..items)
            .map(|item| random.f64() < if item % 3 == taste { 0.6 } else { 0.3 } / (1.0 + 0.05 * item as f64))
            .collect();
        let target = random.f64() < if taste == 0 { 0.5 } else { 0.1 };
        for i in (0..items).filter(|i| has[*i]) {
            for j in (0..items).filter(|j| has[*j]) {
                gram[i][j] += 1.0;
            }
            rhs[i] += f64::from(target);
        }
    }
    (gram, rhs)
}

fn assert_close(left: &[f64], right: &[f64], tolerance: f64) {
    assert_eq!(left.len(), right.len());
    for (k, (left, right)) in left.iter().zip(right).enumerate() {
        assert!((left - right).abs() <= tolerance * (1.0 + right.abs()), "{k}: {left} is not {right}");
    }
}

#[test]
fn two_candidates_by_hand() {
    // G + I = [[4, 2], [2, 5]], determinant 16. w = ([5·6 − 2·5], [4·5 − 2·6]) / 16 = (20, 8) / 16.
    let gram = [vec![3.0, 2.0], vec![2.0, 4.0]];
    assert_close(&weights(&gram, &[6.0, 5.0], PLAIN), &[1.25, 0.5], 1e-15);
    // Dropout of a half adds the diagonal once more: [[7, 2], [2, 9]], determinant 59. w = (9·6 − 2·5, 7·5 − 2·6) / 59.
    let dropout = Ridge { ridge: 1.0, dropout: 0.5 };
    assert_close(&weights(&gram, &[6.0, 5.0], dropout), &[44.0 / 59.0, 23.0 / 59.0], 1e-15);
}

#[test]
fn three_candidates_by_hand() {
    // G + I = [[2, 1, 0], [1, 2, 1], [0, 1, 2]], determinant 4; its inverse is [[3, −2, 1], [−2, 4, −2], [1, −2, 3]] / 4.
    let gram = [vec![1.0, 1.0, 0.0], vec![1.0, 1.0, 1.0], vec![0.0, 1.0, 1.0]];
    // w = (3·3 − 2·4 + 3, −6 + 16 − 6, 3 − 8 + 9) / 4.
    assert_close(&weights(&gram, &[3.0, 4.0, 3.0], PLAIN), &[1.0, 1.0, 1.0], 1e-15);
    // The middle one: (−2·2 + 4·1 − 2·2) / 4 = −1, so it is dropped; what is left is 2w = 2 twice. Cutting it off would have
    // left (3·2 − 2 + 2) / 4 = 1.5.
    assert_close(&weights(&gram, &[2.0, 1.0, 2.0], PLAIN), &[1.0, 0.0, 1.0], 1e-15);
}

#[test]
fn dropping_one_may_turn_another() {
    // G + I = [[2, 1, 1], [1, 2, 0], [1, 0, 2]], determinant 4; its inverse is [[4, −2, −2], [−2, 3, 1], [−2, 1, 3]] / 4.
    let gram = [vec![1.0, 1.0, 1.0], vec![1.0, 1.0, 0.0], vec![1.0, 0.0, 1.0]];
    // b = (1, 4, −1): w = (4 − 8 + 2, −2 + 12 − 1, −2 + 4 − 3) / 4 = (−2, 9, −1) / 4. Both are dropped: 2w = 4.
    assert_close(&weights(&gram, &[1.0, 4.0, -1.0], PLAIN), &[0.0, 2.0, 0.0], 1e-15);
    // b = (2, −1, 2): w = (8 + 2 − 4, −4 − 3 + 2, −4 − 1 + 6) / 4 = (6, −5, 1) / 4. Without the second it is [[2, 1], [1, 2]],
    // inverse [[2, −1], [−1, 2]] / 3: w = (2, 2) / 3.
    assert_close(&weights(&gram, &[2.0, -1.0, 2.0], PLAIN), &[2.0 / 3.0, 0.0, 2.0 / 3.0], 1e-15);
    // A chain: b = (3, −1, 1): w = (12 + 2 − 2, −6 − 3 + 1, −6 − 1 + 3) / 4 = (3, −2, −1): 2w = 3 is left.
    assert_close(&weights(&gram, &[3.0, -1.0, 1.0], PLAIN), &[1.5, 0.0, 0.0], 1e-15);
}

#[test]
fn nothing_and_one() {
    assert!(weights(&[], &[], PLAIN).is_empty());
    // (3 + 3 + 2)w = 4.
    assert_close(&weights(&[vec![3.0]], &[4.0], Ridge { ridge: 2.0, dropout: 0.5 }), &[0.5], 1e-15);
    assert_eq!(weights(&[vec![3.0]], &[-4.0], PLAIN), [0.0]);
    assert_eq!(weights(&[vec![3.0]], &[0.0], PLAIN), [0.0]);
}

#[test]
fn what_never_occurs_weighs_nothing() {
    let gram = [vec![0.0, 0.0, 0.0], vec![0.0, 3.0, 0.0], vec![0.0, 0.0, 0.0]];
    assert_eq!(weights(&gram, &[0.0, 2.0, 0.0], PLAIN), [0.0, 0.5, 0.0]);
    // Also without a ridge, which the settings do not allow.
    let none = Ridge { ridge: 0.0, dropout: 0.0 };
    assert_close(&weights(&gram, &[0.0, 3.0, 0.0], none), &[0.0, 1.0, 0.0], 1e-15);
}

#[test]
fn the_same_candidate_twice_shares_the_weight() {
    let (gram, rhs) = sampled(7, 50, 3);
    let twice = |values: &[f64]| -> Vec<f64> { values.iter().flat_map(|value| [*value; 2]).collect() };
    let gram: Vec<Vec<f64>> = gram.iter().flat_map(|row| [twice(row), twice(row)]).collect();
    let weights = weights(&gram, &twice(&rhs), PLAIN);
    assert!(weights.iter().any(|weight| *weight > 0.0));
    for pair in weights.chunks(2) {
        assert!((pair[0] - pair[1]).abs() < 1e-12, "{pair:?}");
    }
}

#[test]
fn copies_without_a_ridge_to_tell_them_apart_give_numbers() {
    // Ridge below rounding: only the first of the copies counts.
    let none = Ridge { ridge: 1e-9, dropout: 0.0 };
    for size in [2, 3, 4, 5, 9] {
        let gram = vec![vec![1e9; size]; size];
        let weights = weights(&gram, &vec![5e8; size], none);
        assert_close(&[weights.iter().sum()], &[0.5], 1e-9);
        assert!(weights.iter().all(|weight| *weight >= 0.0), "{weights:?}");
    }
}

#[test]
fn the_factor_has_the_bits_of_the_textbook() {
    for size in [1, 2, 3, 4, 5, 8, 11, 30, 67] {
        let (gram, rhs) = sampled(size, 3 * size, 5);
        let settings = Ridge { ridge: 0.1, dropout: 0.0 };
        let matrix = regular(&gram, settings);
        let mut upper = vec![vec![0.0; size]; size];
        for k in 0..size {
            for column in k..size {
                let mut value = matrix[k][column];
                for above in 0..k {
                    value -= upper[above][k] * upper[above][column];
                }
                upper[k][column] = value;
            }
            let reciprocal = 1.0 / upper[k][k].sqrt();
            upper[k].iter_mut().for_each(|value| *value *= reciprocal);
            upper[k][k] = 1.0 / reciprocal;
        }
        // The factor's pivot is known by its reciprocal alone.
        let reciprocals: Vec<f64> = (0..size)
            .map(|k| {
                let mut pivot = matrix[k][k];
                (0..k).for_each(|above| pivot -= upper[above][k] * upper[above][k]);
                1.0 / pivot.sqrt()
            })
            .collect();
        let mut textbook = rhs.clone();
        for k in 0..size {
            for above in 0..k {
                textbook[k] -= upper[above][k] * textbook[above];
            }
            textbook[k] *= reciprocals[k];
        }
        for k in (0..size).rev() {
            for right in (k + 1..size).rev() {
                textbook[k] -= upper[k][right] * textbook[right];
            }
            textbook[k] *= reciprocals[k];
        }
        let mut factor = Factor::default();
        // Buffers that have been used for something larger.
        factor.factor(&vec![9.0; 100 * 100], 100);
        factor.factor(&matrix.concat(), size);
        let mut solution = rhs.clone();
        solution.resize(Factor::padded(size), 0.0);
        factor.forward(&mut solution, 0);
        factor.backward(&mut solution);
        assert_eq!(solution[..size], textbook, "{size}");
        assert!(solution[size..].iter().all(|value| *value == 0.0));
    }
}

#[test]
fn the_bits_are_these() {
    // A change of the order of operations, or code that depends on the CPU, would show here: these are versions of artifacts.
    // Two are dropped by projecting.
    assert_eq!(
        bits_of(13, Ridge { ridge: 3.0, dropout: 0.3 }),
        [
            0x3f8e_2225_4ddf_41f0,
            0x3fa1_048d_2756_9dcd,
            0x3fdb_ffc0_b7c4_f0ec,
            0x3fa4_fe39_d80d_b63e,
            0x3fba_c5c6_b4d4_f641,
            0x3fbf_910b_95fe_b4f6,
            0,
            0x3f7c_c571_3ded_94c6,
            0x3fb8_7646_4036_2d8f,
            0,
            0x3fae_bd7d_c9f7_c57f,
            0x3fa6_2436_385e_f74a,
            0x3fa1_048d_2756_9dc1,
        ]
    );
    // So many are dropped that the matrix is factored again.
    assert_eq!(
        bits_of(10, Ridge { ridge: 0.5, dropout: 0.0 }),
        [
            0,
            0,
            0x3fc0_bc9a_0103_452e,
            0,
            0,
            0,
            0x3fd6_f594_4dda_1141,
            0x3fd5_d21f_9899_9b7c,
            0x3fa8_af84_d4f1_e22e,
            0x3fb1_535f_058b_f397,
        ]
    );
}

/// The bits of the weights of a system that is the same for ever: 60 units hold what a formula says.
fn bits_of(items: usize, settings: Ridge) -> Vec<u64> {
    let holds =
        |unit: usize, item: usize| (unit * unit + 3 * item * unit + 7 * item * item) % 11 < 4 + item % 3;
    let together = |i, j| (0..60).filter(|unit| holds(*unit, i) && holds(*unit, j)).count() as f64;
    let gram: Vec<Vec<f64>> = (0..items).map(|i| (0..items).map(|j| together(i, j)).collect()).collect();
    let rhs: Vec<f64> = (0..items).map(|i| together(i, items)).collect();
    weights(&gram, &rhs, settings).iter().map(|weight| weight.to_bits()).collect()
}

#[test]
fn used_buffers_do_not_show() {
    let mut solver = Solver::default();
    for (items, seed) in [(40, 1), (7, 2), (0, 0), (33, 3), (1, 4), (64, 5)] {
        let (gram, rhs) = sampled(items, 30, seed);
        assert_eq!(solve(&mut solver, &gram, &rhs, PLAIN), weights(&gram, &rhs, PLAIN), "{items}");
    }
}

#[test]
fn similarity_by_hand() {
    let similarity = Similarity::new([1.0, 1024.0, 0.0]);
    assert_eq!(similarity.score(3.0, 0), 3.0);
    // 1024^0.7 = 2^7.
    assert!((similarity.score(64.0, 1) - 0.5).abs() < 1e-15);
    assert_eq!(similarity.score(0.0, 2), 0.0);
}

proptest! {
    #[test]
    fn the_weights_are_those_of_the_naive_active_set(items in 0_usize..50, users in 1_usize..80, seed: u64, ridge in 0.5_f64..100.0, dropout in 0.0_f64..0.9) {
        let (gram, rhs) = sampled(items, users, seed);
        let settings = Ridge { ridge, dropout };
        assert_close(&weights(&gram, &rhs, settings), &naive(&gram, &rhs, settings), 1e-9);
    }

    #[test]
    fn the_gradient_is_zero_where_a_weight_is_not(items in 1_usize..50, users in 1_usize..80, seed: u64, ridge in 0.01_f64..100.0) {
        let (gram, rhs) = sampled(items, users, seed);
        let settings = Ridge { ridge, dropout: 0.2 };
        let weights = weights(&gram, &rhs, settings);
        let matrix = regular(&gram, settings);
        for row in 0..items {
            prop_assert!(weights[row] >= 0.0 && weights[row].is_finite());
            let product: f64 = (0..items).map(|column| matrix[row][column] * weights[column]).sum();
            // What little support can weigh: all that is subtracted from the right-hand side is above zero.
            prop_assert!(weights[row] <= rhs[row] / matrix[row][row] * (1.0 + 1e-9) + 1e-12);
            if weights[row] > 0.0 {
                prop_assert!((product - rhs[row]).abs() < 1e-9 * (1.0 + rhs[row]), "{product} is not {}", rhs[row]);
            }
        }
    }

    #[test]
    fn the_order_of_candidates_changes_nothing_but_rounding(items in 2_usize..40, seed: u64) {
        let (gram, rhs) = sampled(items, 50, seed);
        let mut order: Vec<usize> = (0..items).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let shuffled: Vec<Vec<f64>> =
            order.iter().map(|row| order.iter().map(|column| gram[*row][*column]).collect()).collect();
        let of_shuffled = weights(&shuffled, &order.iter().map(|row| rhs[*row]).collect::<Vec<_>>(), PLAIN);
        let expected = weights(&gram, &rhs, PLAIN);
        assert_close(&of_shuffled, &order.iter().map(|row| expected[*row]).collect::<Vec<_>>(), 1e-9);
    }

    /// Any numbers at all, also such as no counts give: no panic, nothing below zero, nothing that is not a number.
    #[test]
    fn weights_are_always_numbers(values in prop::collection::vec(-1e6_f64..1e6, 0..200), rank in 1_usize..8, ridge in 1e-12_f64..1.0) {
        let items = values.len() / rank;
        let gram: Vec<Vec<f64>> = (0..items).map(|i| (0..items).map(|j| {
            (0..rank).map(|k| values[i * rank + k] * values[j * rank + k]).sum()
        }).collect()).collect();
        let rhs: Vec<f64> = values.iter().take(items).copied().collect();
        for weight in weights(&gram, &rhs, Ridge { ridge, dropout: 0.0 }) {
            prop_assert!(weight >= 0.0 && weight.is_finite());
        }
    }
}
