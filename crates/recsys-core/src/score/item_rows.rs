//! An item-to-item model: for each item the items that go with it, and how much.

use parking_lot::Mutex;
use rayon::prelude::*;

use super::local_ridge;
use super::neighbor::{Neighbor, RowCut, keep_best};
use super::pair_scores::PairScores;
use super::round::nine_digits;
use crate::columnar::dictionary::number;
use crate::columnar::spill::{Budget, Reservation};
use crate::counts::{Cell, CountError, Fading, Measure, Shape, UnitPairs, Units};
use crate::domain::models::{ResolvedModel, RowNorm, Scorer, Side};
use crate::score::degree_normalised::unit_weight;
use crate::score::sequential_rules::step_weights;
use crate::table::BasisTable;

/// The neighbours of each item, best first, ties by id.
#[derive(Debug)]
pub(crate) struct ItemRows {
    pub(crate) rows: Vec<Vec<Neighbor>>,
    /// The units that each item is in.
    pub(crate) units_with: Vec<u32>,
    /// Units that had more distinct items than they may, and kept the newest.
    pub(crate) trimmed: u64,
}

impl ItemRows {
    /// The model of a window.
    pub(crate) fn new(
        events: &BasisTable,
        model: &ResolvedModel,
        cut: RowCut<'_>,
        budget: &Budget,
    ) -> Result<Self, CountError> {
        let shape = match model.scorer {
            Scorer::SequentialRules { .. } | Scorer::SessionRidge { .. } => Shape::Sequences,
            _ => Shape::Sets,
        };
        let units = Units::new(events, &model.basis, shape, budget)?;
        let measure = match model.scorer {
            Scorer::DegreeNormalised { c, .. } => {
                Measure::BySize((0..=units.longest()).map(|size| unit_weight(size.max(1), c)).collect())
            }
            Scorer::SequentialRules { window, delta, .. } => Measure::Steps(step_weights(window, delta)),
            Scorer::SessionRidge { delta, .. } => Measure::Steps(Fading::new(delta, units.longest()).steps()),
            _ => Measure::Together,
        };
        let pairs = UnitPairs::new(&units, measure);
        let reserved = Mutex::new(budget.model("item-to-item weights of a model"));
        let mut rows = match model.scorer {
            Scorer::LocalRidge { candidates, ridge, dropout } => {
                let settings = local_ridge::Settings { candidates, ridge, dropout };
                local_ridge::columns(&pairs, &pairs, settings, cut, budget, &reserved)?
            }
            Scorer::SessionRidge { candidates, ridge, dropout, delta } => {
                let settings = local_ridge::Settings { candidates, ridge, dropout };
                let before = UnitPairs::new(&units, Measure::Before(Fading::new(delta, units.longest())));
                local_ridge::columns(&before, &pairs, settings, cut, budget, &reserved)?
            }
            _ => {
                let scores = PairScores::new(&pairs, &model.scorer)?;
                best_cells(&pairs, &scores, model.neighbors_of, cut, &reserved)?
            }
        };
        if is_by_column(model) {
            rows = transposed(&rows);
            if model.neighbors_of == Side::Row {
                rows.par_iter_mut().for_each(|row| keep_best(row, cut.most));
            }
        }
        if let Scorer::DegreeNormalised { row_norm: RowNorm::L1, .. } = model.scorer {
            rows.par_iter_mut().for_each(|row| normalise(row));
        }
        rows.par_iter_mut().for_each(|row| row.sort_unstable_by_key(Neighbor::rank));
        let items = 0..number(rows.len());
        let units_with = items.map(|item| number(pairs.units_with(item))).collect();
        Ok(Self { rows, units_with, trimmed: units.trimmed })
    }
}

/// Whether the rows are made target by target.
fn is_by_column(model: &ResolvedModel) -> bool {
    let is_ridge = matches!(model.scorer, Scorer::LocalRidge { .. } | Scorer::SessionRidge { .. });
    is_ridge || model.neighbors_of == Side::Column
}

/// The best cells of each row, or of each column.
fn best_cells(
    pairs: &UnitPairs<'_>,
    scores: &PairScores,
    side: Side,
    cut: RowCut<'_>,
    reserved: &Mutex<Reservation<'_>>,
) -> Result<Vec<Vec<Neighbor>>, CountError> {
    let rows = pairs.map_rows(|item, cells| {
        if side == Side::Column && !cut.allows(item) {
            return Ok(Vec::new());
        }
        let wanted = |cell: &&Cell| {
            cell.other != item
                && cell.units >= cut.min_units
                && (side == Side::Column || cut.allows(cell.other))
        };
        let neighbors = cells.iter().filter(wanted).map(|cell| {
            let score = match side {
                Side::Row => scores.of(item, cell),
                Side::Column => {
                    scores.of(cell.other, &Cell { other: item, out: cell.back, back: cell.out, ..*cell })
                }
            };
            Neighbor { item: cell.other, units: cell.units, score: nine_digits(score) }
        });
        let mut row: Vec<Neighbor> = neighbors.filter(|neighbor| neighbor.score > 0.0).collect();
        keep_best(&mut row, cut.most);
        row.shrink_to_fit();
        reserved.lock().add(size_of_val(&row[..]))?;
        Ok(row)
    })?;
    rows.into_iter().collect()
}

/// The same weights by the other side.
fn transposed(columns: &[Vec<Neighbor>]) -> Vec<Vec<Neighbor>> {
    let mut sizes = vec![0; columns.len()];
    for neighbor in columns.iter().flatten() {
        sizes[neighbor.item as usize] += 1;
    }
    let mut rows: Vec<Vec<Neighbor>> = sizes.into_iter().map(Vec::with_capacity).collect();
    for (target, column) in (0..).zip(columns) {
        for neighbor in column {
            rows[neighbor.item as usize].push(Neighbor { item: target, ..*neighbor });
        }
    }
    rows
}

/// Divides the weights of a row by their sum, which is added up in the order of ids.
fn normalise(row: &mut [Neighbor]) {
    row.sort_unstable_by_key(|neighbor| neighbor.item);
    let sum: f64 = row.iter().map(|neighbor| neighbor.score).sum();
    for neighbor in row {
        neighbor.score = nine_digits(neighbor.score / sum);
    }
}
