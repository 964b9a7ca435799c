//! Ridge regression of an item on its candidates: the numbers of `local_ridge` and `session_ridge`.
//!
//! For a target j with candidates C, let G be the Gram matrix of the candidates (how much each pair of them occurs together, on
//! its diagonal how much each occurs), b how much each occurs together with the target, and λ = dropout / (1 − dropout). The
//! weights of the candidates minimise
//!
//! > wᵀ(G + λ·diag(G) + ridge·I)w − 2wᵀb
//!
//! This is EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data") with the L2 norm that stands for dropout
//! (Steck 2020, "Autoencoders that don't overfit towards the identity"), restricted to a neighbourhood as in SLIM with feature
//! selection (Ning and Karypis 2011). Nothing here knows what was counted.
//!
//! # Positive weights
//!
//! Weights that are published are above zero, so the support is found by an active set: solve for all candidates, drop those
//! whose weight is not above zero, solve for the others again, until none is dropped. Of the candidates that are left the weights
//! are exact: there the gradient is zero. A candidate that was dropped never comes back, so it is not always the best of all
//! non-negative solutions, but it ranks better than cutting negative weights off, and it ends.
//!
//! # Items with few events
//!
//! The ridge is the same for all, and so it is relatively greater the less an item occurs: the diagonal element of a candidate
//! that occurs nᵢ times is nᵢ·(1 + λ + ridge/nᵢ). All counts and weights being positive, row i of the solved system says that
//!
//! > wᵢ ≤ bᵢ / ((1 + λ)·nᵢ + ridge),
//!
//! and bᵢ is at most nᵢ and at most the target's own count. So n events on either side are worth no more than n/ridge; chance
//! meetings of rare items never rank above what is well known. A ridge that grows faster, ridge·(1 + k/n) with the n of the
//! target or of the candidate, k from 1 to 100, never ranked better beyond noise on validation parts of `MovieLens` 100K and
//! 1M, and worse the greater k on Gowalla, whose items are rare; hence there is no setting for it.
//!
//! # Speed
//!
//! The matrix A is factored once. Candidates are dropped by projecting: if `UᵀU = A` and `y = U⁻ᵀb`, then the solution that is
//! zero at d is `U⁻¹` of y without its part in the direction of `U⁻ᵀe`, where e is the unit vector of d. That costs a vector
//! instead of a matrix for each that is dropped. If many are dropped, the matrix shrinks and is factored again.

mod candidates;
mod cholesky;

#[cfg(test)]
mod tests;

pub(crate) use candidates::Similarity;
use cholesky::Factor;

/// How strongly weights are drawn to zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ridge {
    /// Added to the diagonal; above 0.
    pub(crate) ridge: f64,
    /// The share of a unit's items that is left out at random when the weights are learned, in expectation; at least 0, below 1.
    pub(crate) dropout: f64,
}

/// The matrix is factored again when more than one in so many candidates has been dropped since it was.
const FACTORED_AGAIN: usize = 4;

/// Solves one system after the other in the same buffers, so that nothing is allocated for an item once they are large enough.
#[derive(Default)]
pub(crate) struct Solver {
    gram: Vec<f64>,
    factor: Factor,
    /// Which candidate each row of the matrix is, while it shrinks.
    rows: Vec<usize>,
    /// Whether a row has been dropped since the matrix was factored.
    dropped: Vec<bool>,
    /// The right-hand side of the rows.
    rhs: Vec<f64>,
    /// `U⁻ᵀ` of the right-hand side, without its part in the directions of what was dropped.
    projected: Vec<f64>,
    /// Orthonormal: what the directions of the dropped rows span, one vector after the other.
    directions: Vec<f64>,
    solution: Vec<f64>,
    weights: Vec<f64>,
}

impl Solver {
    /// The Gram matrix of `candidates` candidates, to be filled: zeros, row by row, each row as long as there are candidates. Only
    /// the diagonal and what is right of it are read.
    pub(crate) fn gram_mut(&mut self, candidates: usize) -> &mut [f64] {
        self.gram.clear();
        self.gram.resize(candidates * candidates, 0.0);
        &mut self.gram
    }

    /// The weight of each candidate: finite, and above or equal to zero. `rhs` says how much each occurs together with the target.
    ///
    /// The Gram matrix must have been filled for as many candidates, and is used up.
    pub(crate) fn weights(&mut self, rhs: &[f64], settings: Ridge) -> &[f64] {
        let candidates = rhs.len();
        self.weights.clear();
        self.weights.resize(candidates, 0.0);
        self.rows.clear();
        self.rows.extend(0..candidates);
        self.rhs.clear();
        self.rhs.extend_from_slice(rhs);
        let dropout = settings.dropout / (1.0 - settings.dropout);
        for diagonal in self.gram.iter_mut().step_by(candidates + 1) {
            *diagonal = *diagonal + dropout * *diagonal + settings.ridge;
        }
        while !self.settled() {
            self.shrink();
        }
        for ((row, dropped), solution) in self.rows.iter().zip(&self.dropped).zip(&self.solution) {
            if !dropped {
                self.weights[*row] = *solution;
            }
        }
        &self.weights
    }

    /// Factors and solves, and drops rows until all others are above zero. False if the matrix had better shrink first.
    fn settled(&mut self) -> bool {
        let size = self.rows.len();
        self.factor.factor(&self.gram, size);
        self.dropped.clear();
        self.dropped.resize(size, false);
        self.directions.clear();
        self.projected.clear();
        self.projected.extend_from_slice(&self.rhs);
        self.projected.resize(Factor::padded(size), 0.0);
        self.factor.forward(&mut self.projected, 0);
        let mut dropped = 0;
        loop {
            self.solution.clone_from(&self.projected);
            self.factor.backward(&mut self.solution);
            let before = dropped;
            for row in 0..size {
                let positive = self.solution[row] > 0.0;
                if !positive && !self.dropped[row] {
                    self.dropped[row] = true;
                    dropped += 1;
                    if dropped * FACTORED_AGAIN <= size {
                        self.project(row);
                    }
                }
            }
            if dropped == before {
                return true;
            }
            if dropped * FACTORED_AGAIN > size {
                return false;
            }
        }
    }

    /// Forces the weight of a row to zero.
    fn project(&mut self, row: usize) {
        let length = self.projected.len();
        let known = self.directions.len();
        self.directions.resize(known + length, 0.0);
        let (known, direction) = self.directions.split_at_mut(known);
        direction[row] = 1.0;
        self.factor.forward(direction, row);
        for known in known.chunks_exact(length) {
            let share = dot(known, direction);
            subtract(direction, share, known);
        }
        let square = dot(direction, direction);
        if square > 0.0 {
            let reciprocal = 1.0 / square.sqrt();
            for value in direction.iter_mut() {
                *value *= reciprocal;
            }
            let share = dot(direction, &self.projected);
            subtract(&mut self.projected, share, direction);
        }
    }

    /// Takes the dropped rows and columns out of the matrix.
    fn shrink(&mut self) {
        let size = self.rows.len();
        let mut at = 0;
        for row in (0..size).filter(|row| !self.dropped[*row]) {
            for column in (0..size).filter(|column| !self.dropped[*column]) {
                self.gram[at] = self.gram[row * size + column];
                at += 1;
            }
        }
        let mut kept = self.dropped.iter().map(|dropped| !dropped);
        self.rows.retain(|_| kept.next() == Some(true));
        let mut kept = self.dropped.iter().map(|dropped| !dropped);
        self.rhs.retain(|_| kept.next() == Some(true));
    }
}

/// The sum of products in four lanes that are added up at the end: an order that is written here, not chosen by a compiler.
fn dot(left: &[f64], right: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    for (left, right) in left.as_chunks::<4>().0.iter().zip(right.as_chunks::<4>().0) {
        for k in 0..4 {
            lanes[k] += left[k] * right[k];
        }
    }
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])
}

fn subtract(from: &mut [f64], share: f64, direction: &[f64]) {
    for (value, direction) in from.iter_mut().zip(direction) {
        *value -= share * direction;
    }
}
