//! From what a user has to what goes with it: the weights of the user's items, added up.

use parking_lot::Mutex;

use super::item_rows::ItemRows;
use super::round::nine_digits;

/// Makes a list for one user after the other.
pub(crate) struct UserScores<'a> {
    model: &'a ItemRows,
    allowed: Option<&'a [bool]>,
    /// What fills short lists, best first; nothing does if it is empty.
    popular: Vec<(u32, f64)>,
    /// Sums by item, for each thread that is at work; zero between users.
    sums: Mutex<Vec<Sums>>,
}

/// What a user has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own<'a> {
    /// The items that lists are made from, each with its weight.
    pub(crate) from: &'a [(u32, f64)],
    /// What each of these weighs for itself.
    pub(crate) for_itself: f64,
    /// Items that are not listed.
    pub(crate) left_out: &'a [(u32, u64)],
}

/// A list, best first, ties by id.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ScoredList {
    pub(crate) items: Vec<(u32, f64)>,
    /// Whether popular items fill it up.
    pub(crate) is_filled: bool,
}

impl<'a> UserScores<'a> {
    /// Lists from `model`. With `fills`, short lists are filled with the allowed items that are in most units.
    pub(crate) fn new(model: &'a ItemRows, fills: bool, allowed: Option<&'a [bool]>) -> Self {
        let mut popular = Vec::new();
        if fills {
            popular = (0..).zip(&model.units_with).map(|(item, units)| (item, f64::from(*units))).collect();
            let is_allowed = |item: u32| allowed.is_none_or(|allowed| allowed[item as usize]);
            popular.retain(|(item, units)| *units > 0.0 && is_allowed(*item));
            sort(&mut popular);
        }
        Self { model, allowed, popular, sums: Mutex::default() }
    }

    /// The list of a user, of at most `most` items.
    pub(crate) fn list(&self, own: Own<'_>, most: usize) -> ScoredList {
        let spare = self.sums.lock().pop();
        let mut sums = spare.unwrap_or_else(|| Sums::new(self.model.rows.len()));
        for (item, weight) in own.from {
            for neighbor in &self.model.rows[*item as usize] {
                sums.add(neighbor.item, weight * neighbor.score);
            }
            if own.for_itself > 0.0 && self.allowed.is_none_or(|allowed| allowed[*item as usize]) {
                sums.add(*item, weight * own.for_itself);
            }
        }
        for (item, _) in own.left_out {
            sums.leave_out(*item);
        }
        let mut items = sums.take();
        if items.len() > most && most > 0 {
            items.select_nth_unstable_by(most - 1, order);
        }
        items.truncate(most);
        sort(&mut items);
        let is_filled = items.len() < most && self.fill(&mut items, own, most);
        self.sums.lock().push(sums);
        ScoredList { items, is_filled }
    }

    /// Appends popular items below the last score: an item in half as many units as the first has half its score. Says whether
    /// there was any.
    fn fill(&self, items: &mut Vec<(u32, f64)>, own: Own<'_>, most: usize) -> bool {
        let Some((_, greatest)) = self.popular.first() else { return false };
        let least = items.last().map_or(1.0, |(_, score)| *score);
        let listed = items.len();
        let mut known: Vec<u32> = items.iter().map(|(item, _)| *item).collect();
        known.extend(own.left_out.iter().map(|(item, _)| item));
        known.sort_unstable();
        for (item, units) in &self.popular {
            let score = nine_digits(least * (units / (2.0 * greatest)));
            if items.len() == most || score <= 0.0 {
                break;
            }
            if known.binary_search(item).is_err() {
                items.push((*item, score));
            }
        }
        items.len() > listed
    }
}

/// What an item weighs by its age, which is the number of items after it: exp(−age/`decay`), or 1.
#[allow(clippy::cast_precision_loss, reason = "an age")]
pub(crate) fn by_age(most: usize, decay: Option<f64>) -> Vec<f64> {
    (0..most).map(|age| decay.map_or(1.0, |decay| libm::exp(-(age as f64) / decay))).collect()
}

fn order(a: &(u32, f64), b: &(u32, f64)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

fn sort(items: &mut [(u32, f64)]) {
    items.sort_unstable_by(order);
}

/// Sums by item.
struct Sums {
    sums: Vec<f64>,
    seen: Vec<u32>,
}

impl Sums {
    fn new(items: usize) -> Self {
        Self { sums: vec![0.0; items], seen: Vec::new() }
    }

    /// Adds what is above 0.
    fn add(&mut self, item: u32, weight: f64) {
        let sum = &mut self.sums[item as usize];
        if *sum == 0.0 {
            self.seen.push(item);
        }
        *sum += weight;
    }

    fn leave_out(&mut self, item: u32) {
        self.sums[item as usize] = 0.0;
    }

    /// Takes what is above 0, rounded to nine digits.
    fn take(&mut self) -> Vec<(u32, f64)> {
        let Self { sums, seen } = self;
        let taken = seen.drain(..).map(|item| (item, nine_digits(std::mem::take(&mut sums[item as usize]))));
        taken.filter(|(_, sum)| *sum > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::neighbor::Neighbor;

    fn model() -> ItemRows {
        let neighbor = |item, score| Neighbor { item, units: 1, score };
        ItemRows {
            rows: vec![
                vec![neighbor(1, 0.5), neighbor(2, 0.25)],
                vec![neighbor(0, 0.5), neighbor(3, 0.125)],
                vec![neighbor(3, 1.0)],
                Vec::new(),
                Vec::new(),
            ],
            units_with: vec![9, 8, 4, 2, 8],
            trimmed: 0,
        }
    }

    #[test]
    fn weights_of_own_items_add_up() {
        let model = model();
        let scores = UserScores::new(&model, false, None);
        let from = [(0, 1.0), (2, 2.0), (1, 4.0)];
        let own = Own { from: &from, for_itself: 0.0, left_out: &[] };
        // Item 0: 4 × 0.5; 1: 0.5; 2: 0.25; 3: 2 × 1 + 4 × 0.125.
        let items = vec![(3, 2.5), (0, 2.0), (1, 0.5), (2, 0.25)];
        assert_eq!(scores.list(own, 9), ScoredList { items: items.clone(), is_filled: false });
        assert_eq!(scores.list(own, 2).items, items[..2]);
        assert_eq!(scores.list(own, 0).items, []);
        let left_out = [(0, 1), (3, 1)];
        assert_eq!(scores.list(Own { left_out: &left_out, ..own }, 9).items, [(1, 0.5), (2, 0.25)]);
        // For themselves: 0 gets 0.25 more, 2 gets 0.5 and 1 gets 1.
        let items = [(3, 2.5), (0, 2.25), (1, 1.5), (2, 0.75)];
        assert_eq!(scores.list(Own { for_itself: 0.25, ..own }, 9).items, items);
    }

    #[test]
    fn popular_items_fill_a_short_list_below_its_last() {
        let model = model();
        let allowed = [true, true, true, true, false];
        let scores = UserScores::new(&model, true, Some(&allowed));
        let from = [(2, 1.0)];
        let own = Own { from: &from, for_itself: 0.0, left_out: &[(2, 1)] };
        // Item 3 is known and 2 left out; 4 is not allowed. 0 is the most popular: half of 1; 1 has 8 of 9 units.
        let items = vec![(3, 1.0), (0, 0.5), (1, nine_digits(8.0 / 18.0))];
        assert_eq!(scores.list(own, 9), ScoredList { items, is_filled: true });
        assert_eq!(scores.list(own, 1), ScoredList { items: vec![(3, 1.0)], is_filled: false });
    }
}
