//! For each item, a ridge regression of the item on the items that are most similar to it.
//!
//! EASE (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019), with dropout (Steck, "Autoencoders that
//! don't overfit towards the identity", conference on neural information processing
//! systems 2020), restricted to a neighbourhood of each item, and without negative
//! weights. The regressions know nothing of each other, so they run on all threads.

use std::cmp::Reverse;

use parking_lot::Mutex;
use rayon::prelude::*;

use super::neighbor::{Neighbor, RowCut, keep_best};
use super::ridge::{Ridge, Similarity, Solver};
use super::round::nine_digits;
use crate::columnar::dictionary::number;
use crate::columnar::spill::{Budget, Reservation};
use crate::counts::{Cell, CountError, PairRow, PairStore, RowBuffer, RowCounter, UnitPairs};
use crate::storage::StoreError;
use crate::threads::interrupt;

/// The settings of the regressions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) candidates: usize,
    pub(super) ridge: f64,
    pub(super) dropout: f64,
}

/// For each item as a target, the items that have a weight for it. `gram` counts what occurs together, and `to` what comes before
/// the target: for what has no order it is the same.
pub(super) fn columns(
    gram: &UnitPairs<'_>,
    to: &UnitPairs<'_>,
    settings: Settings,
    cut: RowCut<'_>,
    budget: &Budget,
    reserved: &Mutex<Reservation<'_>>,
) -> Result<Vec<Vec<Neighbor>>, CountError> {
    let items = gram.weights_of.len();
    let store = PairStore::new(gram, items, budget)?;
    let own = (0..number(items)).into_par_iter().map_init(RowBuffer::default, |buffer, item| {
        let row = store.row(item, buffer)?;
        Ok::<_, StoreError>(row.others.binary_search(&item).map_or(0.0, |at| row.sum(at)))
    });
    let diagonal: Vec<f64> = own.collect::<Result<_, _>>()?;
    let similarity = Similarity::new(diagonal.iter().copied());
    let columns = (0..number(items)).into_par_iter().with_max_len(16).map_init(
        || Work::new(to),
        |work, target| {
            interrupt::check().map_err(StoreError::from)?;
            if !cut.allows(target) {
                return Ok(Vec::new());
            }
            work.choose(target, to, &similarity, settings.candidates);
            let mut column = work.solve(&store, &diagonal, settings)?;
            column.retain(|neighbor| neighbor.units >= cut.min_units);
            keep_best(&mut column, cut.most);
            reserved.lock().add(size_of_val(&column[..]))?;
            Ok(column)
        },
    );
    columns.collect()
}

/// What a thread works with, for one target after the other.
struct Work {
    counter: RowCounter,
    /// The candidates, and how similar each is, as bits: numbers above 0 compare like them.
    similar: Vec<(Reverse<u64>, u32)>,
    candidates: Vec<Candidate>,
    buffer: RowBuffer,
    rhs: Vec<f64>,
    solver: Solver,
}

/// An item that may have a weight for the target.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    item: u32,
    /// The units with both.
    units: u32,
    /// How much it comes before the target, or together with it.
    to: f64,
}

impl Work {
    fn new(to: &UnitPairs<'_>) -> Self {
        Self {
            counter: to.row_counter(),
            similar: Vec::new(),
            candidates: Vec::new(),
            buffer: RowBuffer::default(),
            rhs: Vec::new(),
            solver: Solver::default(),
        }
    }

    /// Chooses the items that are most similar to `target`, and puts them in the order of ids.
    #[allow(
        clippy::cast_precision_loss,
        reason = "sums of weights; rounded to nearest where they are above 2^53"
    )]
    fn choose(&mut self, target: u32, to: &UnitPairs<'_>, similarity: &Similarity, most: usize) {
        let scale = to.scale();
        let cells = to.row(target, &mut self.counter);
        let sum = |cell: &Cell| cell.back as f64 / scale;
        self.similar.clear();
        self.similar.extend(
            (0..)
                .zip(cells)
                .filter(|(_, cell)| cell.other != target && cell.back > 0)
                .map(|(at, cell)| (Reverse(similarity.score(sum(cell), cell.other).to_bits()), at)),
        );
        if self.similar.len() > most {
            let rank = |(score, at): &(Reverse<u64>, u32)| (*score, cells[*at as usize].other);
            self.similar.select_nth_unstable_by_key(most, rank);
            self.similar.truncate(most);
        }
        self.candidates.clear();
        self.candidates.extend(self.similar.iter().map(|(_, at)| {
            let cell = &cells[*at as usize];
            Candidate { item: cell.other, units: cell.units, to: sum(cell) }
        }));
        self.candidates.sort_unstable_by_key(|candidate| candidate.item);
    }

    /// The weights of the candidates that have one.
    fn solve(
        &mut self,
        store: &PairStore,
        diagonal: &[f64],
        settings: Settings,
    ) -> Result<Vec<Neighbor>, StoreError> {
        let count = self.candidates.len();
        let gram = self.solver.gram_mut(count);
        for (at, candidate) in self.candidates.iter().enumerate() {
            let row = store.row(candidate.item, &mut self.buffer)?;
            let gram = &mut gram[at * count..][..count];
            gram[at] = diagonal[candidate.item as usize];
            fill(&mut gram[at + 1..], &self.candidates[at + 1..], &row);
        }
        self.rhs.clear();
        self.rhs.extend(self.candidates.iter().map(|candidate| candidate.to));
        let Settings { ridge, dropout, .. } = settings;
        let weights = self.solver.weights(&self.rhs, Ridge { ridge, dropout });
        let neighbors = self.candidates.iter().zip(weights).map(|(candidate, weight)| Neighbor {
            item: candidate.item,
            units: candidate.units,
            score: nine_digits(*weight),
        });
        Ok(neighbors.filter(|neighbor| neighbor.score > 0.0).collect())
    }
}

/// Looks the candidates up in a row. Both are in the order of ids; the steps double as long as they fall short, because a row
/// may be much longer than the list.
fn fill(gram: &mut [f64], candidates: &[Candidate], row: &PairRow<'_>) {
    let mut at = 0;
    for (place, candidate) in gram.iter_mut().zip(candidates) {
        let rest = &row.others[at..];
        let mut step = 1;
        while step < rest.len() && rest[step] < candidate.item {
            step *= 2;
        }
        at += rest[..rest.len().min(step + 1)].partition_point(|other| *other < candidate.item);
        if row.others.get(at) == Some(&candidate.item) {
            *place = row.sum(at);
        }
    }
}
