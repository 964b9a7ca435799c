//! Rows and lists from dense weights.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use recsys_core::domain::filters::Filters;
use recsys_core::domain::models::{EventType, ModelKind, ResolvedModel, RowNorm, Scorer, Side};
use recsys_core::domain::weights::Weights;
use recsys_core::input::catalog::CatalogItem;

use super::dense::{common_units, weights};
use super::seen::{Seen, Units, units};

/// A list, best first: item, count and score. Lists of users have no count.
pub(crate) type List = Vec<(String, u64, f64)>;

/// What a kind publishes: the list of each item or user.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) rows: Vec<(String, List)>,
    pub(crate) trimmed: u64,
    pub(crate) filled: u64,
}

/// The input of the slow and simple models.
#[derive(Debug)]
pub(crate) struct Naive<'a> {
    pub(crate) model: &'a ResolvedModel,
    pub(crate) kind: ModelKind,
    pub(crate) weights: Weights,
    pub(crate) catalog: &'a [CatalogItem],
    /// Neighbours of an item, fewest units with both, and items of a user.
    pub(crate) most: usize,
    pub(crate) min_units: u64,
    pub(crate) most_of_user: usize,
}

/// To nine digits.
fn rounded(score: f64) -> f64 {
    format!("{score:.8e}").parse().unwrap()
}

fn ranked<K: Ord + Clone>(list: &mut [(K, u64, f64)]) {
    list.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
}

fn passes(filters: &Filters, catalog: &[CatalogItem], id: &str) -> bool {
    let has = |item: &CatalogItem, tags: &[String]| {
        tags.iter().any(|tag| item.tags.contains(&tag.trim().to_lowercase()))
    };
    match catalog.iter().find(|item| item.item_id == id) {
        None => !filters.catalog_only && filters.tags_any.is_empty(),
        Some(item) => {
            (item.available || !filters.available_only)
                && (filters.tags_any.is_empty() || has(item, &filters.tags_any))
                && !has(item, &filters.tags_none)
        }
    }
}

impl Naive<'_> {
    fn weight_of_user(&self, event: EventType) -> u64 {
        match (self.kind, event) {
            (ModelKind::Cooc, _) => 0,
            (ModelKind::SessionSeq, event) => u64::from(self.model.basis.events.contains(&event)),
            (ModelKind::Implicit, EventType::Exposure) => self.weights.exposure,
            (ModelKind::Implicit, EventType::Click) => self.weights.click,
            (ModelKind::Implicit, EventType::Conversion) => self.weights.conversion,
        }
    }

    /// The kept weights of each item: other item, units with both, score.
    fn kept(&self, units: &Units, names: &[String]) -> Vec<Vec<(usize, u64, f64)>> {
        let items = names.len();
        let weights = weights(&self.model.scorer, &units.units, items);
        let common = common_units(&units.units, items);
        let is_kept = |i: usize, j: usize| {
            i != j
                && common[i][j] >= self.min_units
                && rounded(weights[i][j]) > 0.0
                && passes(&self.model.filters, self.catalog, &names[j])
        };
        let is_ridge = matches!(self.model.scorer, Scorer::LocalRidge { .. } | Scorer::SessionRidge { .. });
        let mut rows = vec![Vec::new(); items];
        for j in 0..items {
            let column =
                (0..items).filter(|i| is_kept(*i, j)).map(|i| (i, common[i][j], rounded(weights[i][j])));
            let mut column: Vec<_> = column.collect();
            ranked(&mut column);
            // Regressions are cut here in either case.
            if is_ridge || self.model.neighbors_of == Side::Column {
                column.truncate(self.most);
            }
            for (i, count, score) in &column {
                rows[*i].push((j, *count, *score));
            }
        }
        if self.model.neighbors_of == Side::Row {
            for row in &mut rows {
                ranked(row);
                row.truncate(self.most);
            }
        }
        for row in &mut rows {
            if let Scorer::DegreeNormalised { row_norm: RowNorm::L1, .. } = self.model.scorer {
                let sum: f64 = row.iter().map(|(.., score)| score).sum();
                for (.., score) in row.iter_mut() {
                    *score = rounded(*score / sum);
                }
            }
            ranked(row);
        }
        rows
    }

    pub(crate) fn view(&self, seen: &[Seen]) -> View {
        let is_used = |event: &&Seen| {
            self.model.basis.events.contains(&event.event) || self.weight_of_user(event.event) > 0
        };
        let mut seen: Vec<Seen> = seen.iter().filter(is_used).cloned().collect();
        seen.sort();
        let names: BTreeSet<String> = seen.iter().map(|event| event.item.clone()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let is_sequence =
            matches!(self.model.scorer, Scorer::SequentialRules { .. } | Scorer::SessionRidge { .. });
        let units = units(&seen, &names, &self.model.basis, is_sequence);
        let kept = self.kept(&units, &names);
        let mut view = match self.kind {
            ModelKind::Cooc => self.rows(&kept, &names),
            ModelKind::Implicit | ModelKind::SessionSeq => self.lists(&seen, &kept, &units, &names),
        };
        view.trimmed = units.trimmed;
        view
    }

    fn rows(&self, kept: &[Vec<(usize, u64, f64)>], names: &[String]) -> View {
        let mut rows: Vec<_> = (0..).zip(kept).filter(|(_, row)| !row.is_empty()).collect();
        rows.sort_by_key(|(item, row)| (Reverse(row.iter().map(|(_, count, _)| count).sum::<u64>()), *item));
        rows.truncate(self.model.max_rows.unwrap_or(usize::MAX));
        rows.sort_by_key(|(item, _)| *item);
        let named = |row: &[(usize, u64, f64)]| {
            row.iter().map(|(other, count, score)| (names[*other].clone(), *count, *score)).collect()
        };
        let row = |(item, row): &(usize, &Vec<_>)| (names[*item].clone(), named(row));
        View { rows: rows.iter().map(row).collect(), ..View::default() }
    }

    fn lists(&self, seen: &[Seen], kept: &[Vec<(usize, u64, f64)>], units: &Units, names: &[String]) -> View {
        let number = |item: &str| names.iter().position(|name| name == item).unwrap();
        let users: BTreeSet<&String> = seen.iter().filter_map(|event| event.user.as_ref()).collect();
        let mut popular: Vec<(usize, u64, f64)> = common_units(&units.units, names.len())
            .iter()
            .enumerate()
            .map(|(item, common)| (item, 0, common[item] as f64))
            .filter(|(item, _, count)| {
                *count > 0.0 && passes(&self.model.filters, self.catalog, &names[*item])
            })
            .collect();
        ranked(&mut popular);
        let mut view = View::default();
        for user in users {
            let own: Vec<&Seen> = seen.iter().filter(|event| event.user.as_ref() == Some(user)).collect();
            let had = self.had(&own);
            let had: BTreeMap<usize, u64> = had.iter().map(|(item, sum)| (number(item), *sum)).collect();
            let mut scores = vec![0.0; names.len()];
            let is_out: Box<dyn Fn(usize) -> bool> = if self.kind == ModelKind::Implicit {
                for (item, sum) in &had {
                    kept[*item].iter().for_each(|(other, _, score)| scores[*other] += *sum as f64 * score);
                }
                // Also what only makes units.
                let met: BTreeSet<usize> = own.iter().map(|event| number(&event.item)).collect();
                Box::new(move |item| self.model.exclude_seen && met.contains(&item))
            } else {
                for (item, weight) in self.last(&own) {
                    let item = number(item);
                    kept[item].iter().for_each(|(other, _, score)| scores[*other] += weight * score);
                    if passes(&self.model.filters, self.catalog, &names[item]) {
                        scores[item] += weight * self.model.own_weight;
                    }
                }
                Box::new(|item| self.model.own_weight == 0.0 && had.contains_key(&item))
            };
            let mut list: Vec<(usize, u64, f64)> = (0..)
                .zip(&scores)
                .map(|(item, score)| (item, 0, rounded(*score)))
                .filter(|(item, _, score)| *score > 0.0 && !is_out(*item))
                .collect();
            ranked(&mut list);
            list.truncate(self.most_of_user);
            if self.model.fill.is_some() {
                let last = list.last().map_or(1.0, |(.., score)| *score);
                let listed = list.len();
                for (item, _, count) in &popular {
                    let is_listed = list.iter().any(|(own, ..)| own == item);
                    if list.len() < self.most_of_user && !is_listed && !is_out(*item) {
                        list.push((*item, 0, rounded(last / 2.0 * count / popular[0].2)));
                    }
                }
                view.filled += u64::from(list.len() > listed);
            }
            let list = list.into_iter().map(|(item, _, score)| (names[item].clone(), 0, score)).collect();
            view.rows.push((user.clone(), list));
        }
        view
    }

    /// What a user has: the sum of weights by item.
    fn had<'s>(&self, own: &[&'s Seen]) -> BTreeMap<&'s str, u64> {
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for event in own.iter().filter(|event| self.weight_of_user(event.event) > 0) {
            *sums.entry(&event.item).or_default() += self.weight_of_user(event.event);
        }
        let cap = self.weights.cap_per_user_item.filter(|_| self.kind == ModelKind::Implicit);
        for sum in sums.values_mut() {
            *sum = cap.map_or(*sum, |cap| cap.get().min(*sum));
        }
        sums
    }

    /// The newest events of the session of a user's last event that has one, with their weights.
    fn last<'s>(&self, own: &[&'s Seen]) -> Vec<(&'s str, f64)> {
        let Some(session) = own.iter().rev().find_map(|event| event.session.as_ref()) else {
            return Vec::new();
        };
        let newest = own.iter().rev().filter(|event| event.session.as_ref() == Some(session));
        let weight = |age: usize| self.model.decay.map_or(1.0, |decay| (-(age as f64) / decay).exp());
        let items = newest.take(self.model.last_items).enumerate();
        items.map(|(age, event)| (event.item.as_str(), weight(age))).collect()
    }
}
