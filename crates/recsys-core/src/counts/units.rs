//! Units: the items that occur together, of each session, user or request of a window.
//!
//! A unit is a set of distinct items, or the sequence of its events. How much an event weighs fades with its age, in
//! integers: [`ONE`] is a whole event. The units are in memory, as a model looks at them again and again; more than the
//! budget has room for is an error that says so.

use hashbrown::HashMap;
use rayon::prelude::*;

use super::CountError;
use crate::columnar::dictionary::{Interner, number};
use crate::columnar::spill::Budget;
use crate::domain::fading::{ONE, faded};
use crate::domain::models::{Basis, Unit};
use crate::storage::StoreError;
use crate::table::{BasisTable, UnitEvent};
use crate::threads::interrupt;

/// Whether what comes first in a unit matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Distinct items, in the order of their ids.
    Sets,
    /// An item for each event, in the order of time.
    Sequences,
}

/// The items of units.
#[derive(Debug)]
pub(crate) struct Units {
    starts: Vec<usize>,
    items: Vec<u32>,
    /// What each item weighs; empty where all weigh [`ONE`].
    weights: Vec<u32>,
    /// How many items there are in all.
    pub(crate) distinct_items: usize,
    /// Units that had more distinct items than they may, and kept the newest.
    pub(crate) trimmed: u64,
}

impl Units {
    /// The units of a window. Events of no unit, such as those without a user where a unit is a user, are left out.
    pub(crate) fn new(
        events: &BasisTable,
        basis: &Basis,
        shape: Shape,
        budget: &Budget,
    ) -> Result<Self, CountError> {
        let mut reserved = budget.model("units of a model");
        let mut requests = Interner::default();
        let unit_of = |event: &UnitEvent<'_>, requests: &mut Interner| match events.unit() {
            Unit::Session => event.session,
            Unit::User => event.user.checked_sub(1),
            Unit::Request => event.request.map(|request| requests.intern(request)),
        };
        // First the size of each unit, at its number + 1; then where it begins; and in the end where the next one does.
        let mut starts: Vec<usize> = vec![0];
        events.for_each_of_units(|event| {
            if let Some(unit) = unit_of(&event, &mut requests) {
                let size = unit as usize + 2;
                if starts.len() < size {
                    starts.resize(size, 0);
                }
                starts[size - 1] += 1;
            }
            Ok::<_, CountError>(())
        })?;
        for unit in 1..starts.len() {
            starts[unit] += starts[unit - 1];
        }
        let count = starts[starts.len() - 1];
        let half_life = basis.half_life_days;
        let times = if events.is_in_order() { 0 } else { count };
        let weights = if half_life.is_some() { count } else { 0 };
        // The items are there once more by item, and where the next event of each unit goes until all are in place.
        reserved.add(requests.bytes())?;
        reserved.add(3 * size_of_val(&starts[..]) + 4 * (2 * count + weights) + 8 * times)?;
        let (mut items, mut weights, mut times) = (vec![0; count], vec![0; weights], vec![0; times]);
        let mut next = starts.clone();
        events.for_each_of_units(|event| {
            if let Some(unit) = unit_of(&event, &mut requests) {
                let at = &mut next[unit as usize];
                items[*at] = event.item;
                if let Some(half_life) = half_life {
                    weights[*at] = faded(half_life, event.age_days);
                }
                if let Some(time) = times.get_mut(*at) {
                    *time = event.time;
                }
                *at += 1;
            }
            Ok::<_, CountError>(())
        })?;
        drop(next);
        let mut made = Self { starts, items, weights, distinct_items: events.table.items.len(), trimmed: 0 };
        if !times.is_empty() {
            made.sort_by_time(&times);
        }
        made.tidy(basis.max_items, shape)?;
        Ok(made)
    }

    /// Units of these items, in the order of time, of `distinct_items` in all.
    #[cfg(test)]
    pub(crate) fn of(units: &[&[u32]], distinct_items: usize, shape: Shape) -> Self {
        let mut starts = vec![0];
        starts.extend(units.iter().scan(0, |end, unit| {
            *end += unit.len();
            Some(*end)
        }));
        let mut made =
            Self { starts, items: units.concat(), weights: Vec::new(), distinct_items, trimmed: 0 };
        made.tidy(1000, shape).unwrap();
        made
    }

    /// Puts the events of each unit in the order of time; those of the same time stay as they are.
    fn sort_by_time(&mut self, times: &[i64]) {
        let mut order = Vec::new();
        for unit in 0..self.starts.len() - 1 {
            let range = self.starts[unit]..self.starts[unit + 1];
            if times[range.clone()].is_sorted() {
                continue;
            }
            order.clear();
            order.extend(range.clone().map(|at| (times[at], self.items[at], self.weights.get(at).copied())));
            order.sort_by_key(|(time, ..)| *time);
            for (at, (_, item, weight)) in range.zip(&order) {
                self.items[at] = *item;
                if let Some(weight) = weight {
                    self.weights[at] = *weight;
                }
            }
        }
    }

    /// Drops what has faded away, trims units of more than `max_items` distinct items to the newest, and makes sets. Units of
    /// which nothing is left go, too.
    fn tidy(&mut self, max_items: usize, shape: Shape) -> Result<(), CountError> {
        let mut trim = Trim::new(max_items, shape);
        let (mut kept_units, mut kept, mut start) = (0, 0, 0);
        for unit in 0..self.starts.len() - 1 {
            if unit.is_multiple_of(1 << 16) {
                interrupt::check().map_err(StoreError::from)?;
            }
            let end = self.starts[unit + 1];
            let weights = self.weights.get(start..end).unwrap_or_default();
            self.trimmed += u64::from(trim.unit(&self.items[start..end], weights));
            start = end;
            if trim.kept.is_empty() {
                continue;
            }
            for (item, weight) in &trim.kept {
                self.items[kept] = *item;
                if let Some(place) = self.weights.get_mut(kept) {
                    *place = *weight;
                }
                kept += 1;
            }
            kept_units += 1;
            self.starts[kept_units] = kept;
        }
        self.starts.truncate(kept_units + 1);
        self.items.truncate(kept);
        self.weights.truncate(kept);
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The items of a unit, and their weights, which are empty where all weigh [`ONE`].
    pub(crate) fn get(&self, unit: u32) -> (&[u32], &[u32]) {
        let unit = unit as usize;
        let range = self.starts[unit]..self.starts[unit + 1];
        (&self.items[range.clone()], self.weights.get(range).unwrap_or_default())
    }

    /// Whether the age of events matters.
    pub(crate) fn fade(&self) -> bool {
        !self.weights.is_empty()
    }

    /// The numbers of the units.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        0..number(self.len())
    }

    /// The greatest number of items in a unit.
    pub(crate) fn longest(&self) -> usize {
        self.starts.par_windows(2).map(|bounds| bounds[1] - bounds[0]).max().unwrap_or(0)
    }
}

/// Makes units of their events, one after the other.
struct Trim {
    max_items: usize,
    shape: Shape,
    /// The items of the unit, with the weight of the newest event of each.
    newest: HashMap<u32, u32, foldhash::fast::FixedState>,
    /// What is left of the unit.
    kept: Vec<(u32, u32)>,
}

impl Trim {
    fn new(max_items: usize, shape: Shape) -> Self {
        Self { max_items, shape, newest: HashMap::default(), kept: Vec::new() }
    }

    /// Takes a unit; says whether it had more distinct items than it may.
    fn unit(&mut self, items: &[u32], weights: &[u32]) -> bool {
        let Self { max_items, shape, newest, kept } = self;
        kept.clear();
        if weights.is_empty() && items.len() <= (*max_items).min(MOST_EVENTS) {
            kept.extend(items.iter().map(|item| (*item, ONE)));
            if *shape == Shape::Sets {
                kept.sort_unstable();
                kept.dedup();
            }
            return false;
        }
        newest.clear();
        let weight = |at: usize| weights.get(at).copied().unwrap_or(ONE);
        let mut first = 0;
        for at in (0..items.len()).rev().filter(|at| weight(*at) > 0) {
            if newest.len() == *max_items && !newest.contains_key(&items[at]) {
                first = at + 1;
                break;
            }
            newest.entry(items[at]).or_insert_with(|| weight(at));
        }
        match shape {
            Shape::Sets => {
                kept.extend(newest.iter().map(|(item, weight)| (*item, *weight)));
                kept.sort_unstable();
            }
            Shape::Sequences => {
                first = first.max(items.len().saturating_sub(MOST_EVENTS));
                let events = (first..items.len()).map(|at| (items[at], weight(at)));
                kept.extend(events.filter(|(_, weight)| *weight > 0));
            }
        }
        first > 0
    }
}

/// The events of a sequence that count, the newest: each is looked at with each other, so a robot that looks at the same few
/// items all day would cost the square of its events.
const MOST_EVENTS: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_each_item_once_and_a_sequence_each_event() {
        let units: &[&[u32]] = &[&[4, 1, 4], &[], &[2]];
        let sets = Units::of(units, 5, Shape::Sets);
        assert_eq!((sets.len(), sets.get(0).0, sets.get(1).0), (2, &[1, 4][..], &[2][..]));
        let sequences = Units::of(units, 5, Shape::Sequences);
        assert_eq!((sequences.len(), sequences.get(0).0, sequences.get(1).0), (2, &[4, 1, 4][..], &[2][..]));
    }

    #[test]
    fn a_unit_that_is_too_large_keeps_its_newest_items() {
        let mut units = Units {
            starts: vec![0, 5, 6],
            items: vec![7, 8, 9, 8, 6, 7],
            weights: vec![10, 20, 30, 40, 50, 60],
            distinct_items: 10,
            trimmed: 0,
        };
        units.tidy(2, Shape::Sets).unwrap();
        assert_eq!(units.trimmed, 1);
        assert_eq!(units.get(0), (&[6, 8][..], &[50, 40][..]));
        assert_eq!(units.get(1), (&[7][..], &[60][..]));
    }

    #[test]
    fn of_a_long_sequence_the_newest_events_count() {
        let items: Vec<u32> = (0..5000).map(|at| at % 3).collect();
        let units = Units::of(&[&items], 3, Shape::Sequences);
        assert_eq!(units.get(0).0, &items[3000..]);
        assert_eq!(Units::of(&[&items], 3, Shape::Sets).get(0).0, [0, 1, 2]);
    }

    #[test]
    fn what_has_faded_away_is_gone() {
        let mut units = Units {
            starts: vec![0, 2, 4],
            items: vec![1, 2, 1, 3],
            weights: vec![0, 0, 0, 5],
            distinct_items: 4,
            trimmed: 0,
        };
        units.tidy(9, Shape::Sequences).unwrap();
        assert_eq!((units.len(), units.get(0)), (1, (&[3][..], &[5][..])));
    }
}
