//! Pairs of items in units: in how many units two items are together, and what that adds up to.
//!
//! Pairs are counted row by row, as [`Pairs`](super::Pairs) does for sessions. All sums are of integers, so neither the
//! threads nor the order of units show in them.

use std::convert::Infallible;

use super::fixed_point::{FULL, fixed_point};
use super::units::Units;
use crate::columnar::counter::Counter;
use crate::columnar::csr::Csr;
use crate::domain::fading::ONE;
use crate::storage::StoreError;
use crate::threads::interrupt;
use rayon::prelude::*;

/// What a unit adds to a pair of its items.
#[derive(Debug)]
pub(crate) enum Measure {
    /// The lesser of the weights of the two.
    Together,
    /// The same, times a number of [`FULL`]ths by the size of the unit.
    BySize(Vec<u64>),
    /// Of each two events, the lesser weight times a number of [`FULL`]ths by their distance, which is its index + 1.
    Steps(Vec<u64>),
    /// Of each two events, or one twice, how much both are felt by the events after them.
    Before(Fading),
}

/// How much of an event is left after some steps: the same share is lost with each.
#[derive(Debug)]
pub(crate) struct Fading {
    /// What is left, by the number of steps.
    left: Vec<f64>,
    /// The sum of the squares of what is left after the first steps, by their number.
    squares: Vec<f64>,
}

impl Fading {
    /// What is left is exp(−steps/`delta`), for up to `steps` steps.
    #[allow(clippy::cast_precision_loss, reason = "a number of steps")]
    pub(crate) fn new(delta: f64, steps: usize) -> Self {
        let left: Vec<f64> = (0..=steps).map(|steps| libm::exp(-(steps as f64) / delta)).collect();
        let mut squares = vec![0.0; steps + 1];
        for steps in 1..=steps {
            squares[steps] = squares[steps - 1] + left[steps] * left[steps];
        }
        Self { left, squares }
    }

    /// What is left after each number of steps from 1 on, in parts of [`FULL`].
    pub(crate) fn steps(&self) -> Vec<u64> {
        self.left.iter().skip(1).map(|left| fixed_point(*left)).collect()
    }

    /// Of two events with a `distance`, the sum of the products of what is left of them in the `later` events after both.
    fn felt(&self, distance: usize, later: usize) -> f64 {
        self.left[distance] * self.squares[later]
    }
}

/// What was counted of an item and another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) other: u32,
    /// The units with both.
    pub(crate) units: u32,
    /// The sum where the item comes first. Without an order, the sum.
    pub(crate) out: u64,
    /// The sum where the other comes first. Without an order, the sum.
    pub(crate) back: u64,
}

/// The units, ready to be counted row by row.
#[derive(Debug)]
pub(crate) struct UnitPairs<'a> {
    units: &'a Units,
    measure: Measure,
    units_of: Csr,
    /// Of each item, what its units weigh for it.
    pub(crate) weights_of: Vec<u64>,
    /// What all units weigh: of each its greatest weight.
    pub(crate) all: u64,
}

impl<'a> UnitPairs<'a> {
    /// Groups the units by item.
    pub(crate) fn new(units: &'a Units, measure: Measure) -> Self {
        let mut weights_of = vec![0; units.distinct_items];
        let mut all = 0;
        let mut distinct = Distinct::default();
        for unit in units.numbers() {
            let mut greatest = 0;
            for (item, weight) in distinct.of(units.get(unit)) {
                weights_of[*item as usize] += u64::from(*weight);
                greatest = greatest.max(*weight);
            }
            all += u64::from(greatest);
        }
        let Ok(units_of) = Csr::new(units.distinct_items, |take| {
            let (mut distinct, mut items, mut same) = (Distinct::default(), Vec::new(), Vec::new());
            for unit in units.numbers() {
                items.clear();
                items.extend(distinct.of(units.get(unit)).iter().map(|(item, _)| *item));
                same.clear();
                same.resize(items.len(), unit);
                take(&items, &same);
            }
            Ok::<_, Infallible>(())
        });
        Self { units, measure, units_of, weights_of, all }
    }

    /// What 1 is in the sums of a row.
    #[allow(clippy::cast_precision_loss, reason = "a power of two")]
    pub(crate) fn scale(&self) -> f64 {
        match self.measure {
            Measure::Together if !self.units.fade() => 1.0,
            Measure::Together => ONE.into(),
            _ => FULL as f64,
        }
    }

    /// How many units hold an item.
    pub(crate) fn units_with(&self, item: u32) -> usize {
        self.units_of.get(item).len()
    }

    /// Counts what one thread is to count.
    pub(crate) fn row_counter(&self) -> RowCounter {
        RowCounter::new(self.units.distinct_items)
    }

    /// Makes something of the row of each item, on all threads; what is made is in the order of items.
    pub(crate) fn map_rows<R: Send>(
        &self,
        make: impl Fn(u32, &[Cell]) -> R + Sync,
    ) -> Result<Vec<R>, StoreError> {
        let items = u32::try_from(self.units.distinct_items).unwrap_or(u32::MAX);
        // A popular item's row is a thousand times the work of a rare one's.
        (0..items)
            .into_par_iter()
            .with_max_len(16)
            .map_init(
                || self.row_counter(),
                |counter, item| {
                    interrupt::check()?;
                    Ok(make(item, self.row(item, counter)))
                },
            )
            .collect()
    }

    /// The cells of an item: those of others, in no particular order, and its own.
    pub(crate) fn row<'c>(&self, item: u32, counter: &'c mut RowCounter) -> &'c [Cell] {
        let units_of = self.units_of.get(item);
        if matches!(self.measure, Measure::Together) && !self.units.fade() {
            for unit in units_of {
                counter.plain.add(self.units.get(*unit).0);
            }
            counter.take_plain();
            return &counter.cells;
        }
        for unit in units_of {
            let unit = self.units.get(*unit);
            match &self.measure {
                Measure::Together => counter.add_set(item, unit, ONE.into()),
                Measure::BySize(by_size) => counter.add_set(item, unit, by_size[unit.0.len()]),
                Measure::Steps(steps) => counter.add_steps(item, unit, steps),
                Measure::Before(fading) => counter.add_before(item, unit, fading),
            }
        }
        counter.take();
        &counter.cells
    }
}

/// The distinct items of a unit with the greatest weight of each.
#[derive(Default)]
struct Distinct(Vec<(u32, u32)>);

impl Distinct {
    fn of(&mut self, (items, weights): (&[u32], &[u32])) -> &[(u32, u32)] {
        self.0.clear();
        self.0.extend(items.iter().enumerate().map(|(at, item)| (*item, weight(weights, at))));
        if !items.is_sorted_by(|a, b| a < b) {
            self.0.sort_unstable_by_key(|(item, weight)| (*item, std::cmp::Reverse(*weight)));
            self.0.dedup_by_key(|(item, _)| *item);
        }
        &self.0
    }
}

fn weight(weights: &[u32], at: usize) -> u32 {
    weights.get(at).copied().unwrap_or(ONE)
}

/// A share of a sum, [`FULL`] being 1, for events of this weight.
fn weighed(share: u64, weight: u32) -> u64 {
    if weight == ONE { share } else { (share * u64::from(weight)) >> ONE.trailing_zeros() }
}

/// Counts rows, one after the other.
pub(crate) struct RowCounter {
    plain: Counter,
    /// By item, zero between rows.
    units: Vec<u32>,
    out: Vec<u64>,
    back: Vec<u64>,
    /// The last unit of the row in which an item was met, by its number in the row + 1.
    last: Vec<u32>,
    unit: u32,
    seen: Vec<u32>,
    cells: Vec<Cell>,
}

impl RowCounter {
    fn new(items: usize) -> Self {
        Self {
            plain: Counter::new(items),
            units: Vec::new(),
            out: Vec::new(),
            back: Vec::new(),
            last: Vec::new(),
            unit: 0,
            seen: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Makes room for sums, which only some measures need.
    fn reserve(&mut self) {
        let items = self.plain.bound();
        if self.units.len() < items {
            self.units = vec![0; items];
            self.out = vec![0; items];
            self.back = vec![0; items];
            self.last = vec![0; items];
        }
    }

    fn take_plain(&mut self) {
        self.cells.clear();
        let Self { plain, cells, .. } = self;
        plain.take_each(|other, units| {
            let sum = u64::from(units);
            cells.push(Cell { other, units, out: sum, back: sum });
        });
    }

    fn take(&mut self) {
        self.cells.clear();
        self.unit = 0;
        for other in self.seen.drain(..) {
            let at = other as usize;
            self.last[at] = 0;
            self.cells.push(Cell {
                other,
                units: std::mem::take(&mut self.units[at]),
                out: std::mem::take(&mut self.out[at]),
                back: std::mem::take(&mut self.back[at]),
            });
        }
    }

    /// Notes that the unit at hand holds an item.
    #[inline]
    fn meet(&mut self, item: u32) {
        let at = item as usize;
        if self.last[at] == self.unit {
            return;
        }
        if self.last[at] == 0 {
            self.seen.push(item);
        }
        self.last[at] = self.unit;
        self.units[at] += 1;
    }

    fn begin_unit(&mut self) {
        self.reserve();
        self.unit += 1;
    }

    fn add_set(&mut self, item: u32, (items, weights): (&[u32], &[u32]), share: u64) {
        self.begin_unit();
        let own = items.binary_search(&item).map_or(ONE, |at| weight(weights, at));
        for (at, other) in items.iter().enumerate() {
            self.meet(*other);
            let sum = weighed(share, own.min(weight(weights, at)));
            self.out[*other as usize] += sum;
            self.back[*other as usize] += sum;
        }
    }

    fn add_steps(&mut self, item: u32, (items, weights): (&[u32], &[u32]), steps: &[u64]) {
        self.begin_unit();
        for other in items {
            self.meet(*other);
        }
        for (own, _) in items.iter().enumerate().filter(|(_, other)| **other == item) {
            let share = |at: usize, distance: usize| {
                weighed(steps[distance - 1], weight(weights, own).min(weight(weights, at)))
            };
            for distance in 1..=steps.len().min(items.len() - 1 - own) {
                self.out[items[own + distance] as usize] += share(own + distance, distance);
            }
            for distance in 1..=steps.len().min(own) {
                self.back[items[own - distance] as usize] += share(own - distance, distance);
            }
        }
    }

    fn add_before(&mut self, item: u32, (items, weights): (&[u32], &[u32]), fading: &Fading) {
        self.begin_unit();
        for other in items {
            self.meet(*other);
        }
        for (own, _) in items.iter().enumerate().filter(|(_, other)| **other == item) {
            for (at, other) in items.iter().enumerate() {
                let felt = fading.felt(own.abs_diff(at), items.len() - 1 - own.max(at));
                let sum = weighed(fixed_point(felt), weight(weights, own).min(weight(weights, at)));
                let at = *other as usize;
                self.out[at] = self.out[at].saturating_add(sum);
                self.back[at] = self.back[at].saturating_add(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::units::Shape;

    fn row(pairs: &UnitPairs<'_>, item: u32) -> Vec<(u32, u32, u64, u64)> {
        let mut counter = pairs.row_counter();
        // A row counted before shows nowhere.
        pairs.row(1, &mut counter);
        let mut cells: Vec<_> = pairs
            .row(item, &mut counter)
            .iter()
            .map(|cell| (cell.other, cell.units, cell.out, cell.back))
            .collect();
        cells.sort_unstable();
        cells
    }

    #[test]
    fn sets_count_units_whatever_the_measure() {
        let units = Units::of(&[&[0, 1, 2], &[2, 1], &[0, 0]], 4, Shape::Sets);
        let pairs = UnitPairs::new(&units, Measure::Together);
        assert_eq!(pairs.weights_of, [2, 2, 2, 0].map(|units| units * u64::from(ONE)));
        assert_eq!(pairs.all, 3 * u64::from(ONE));
        assert_eq!(row(&pairs, 2), [(0, 1, 1, 1), (1, 2, 2, 2), (2, 2, 2, 2)]);
        assert_eq!(row(&pairs, 3), []);
        // A unit of two items adds 10, one of three 100.
        let by_size = UnitPairs::new(&units, Measure::BySize(vec![0, 0, 10, 100]));
        assert_eq!(row(&by_size, 2), [(0, 1, 100, 100), (1, 2, 110, 110), (2, 2, 110, 110)]);
    }

    #[test]
    fn steps_tell_what_comes_first() {
        // 0 to 1 in one step twice and in three once; back to 0 in one and two.
        let units = Units::of(&[&[0, 1, 0, 1], &[1, 2, 0]], 3, Shape::Sequences);
        let pairs = UnitPairs::new(&units, Measure::Steps(vec![100, 10, 1]));
        assert_eq!(row(&pairs, 0), [(0, 2, 10, 10), (1, 2, 201, 110), (2, 1, 0, 100)]);
        assert_eq!(pairs.units_with(0), 2);
        assert_eq!(pairs.all, 2 * u64::from(ONE));
    }

    /// Against the sum over the later events, as it is defined.
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    #[test]
    fn what_came_before_is_multiplied_at_each_later_event() {
        let sequence = [0u32, 1, 0, 2, 1];
        let units = Units::of(&[&sequence], 3, Shape::Sequences);
        let pairs = UnitPairs::new(&units, Measure::Before(Fading::new(1.5, 5)));
        for item in 0..3 {
            for (other, _, out, _) in row(&pairs, item) {
                let mut sum = 0.0;
                for event in 0..sequence.len() {
                    let left = |of: u32| -> f64 {
                        let before = (0..event).filter(|at| sequence[*at] == of);
                        before.map(|at| (-((event - at) as f64) / 1.5).exp()).sum()
                    };
                    sum += left(item) * left(other);
                }
                let counted = out as f64 / FULL as f64;
                assert!((counted - sum).abs() < 1e-8, "{item} {other}: {counted} and {sum}");
            }
        }
    }
}
