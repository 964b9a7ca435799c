//! `popularity` whose events fade.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::artifact::{Inputs, Kind, Payload};
use recsys_core::domain::limit::Limits;
use recsys_core::domain::models::EventType;
use recsys_core::input::catalog::Catalog;
use recsys_core::table::events::EventTable;
use recsys_testkit::seed::cases;

use super::seen::{self, EVENT, Seen};
use super::{Days, settings};
use crate::builders::in_segment;
use crate::common::{DAYS, budget};
use crate::events::read;

/// Item, count and score, best first.
fn naive(
    seen: &[Seen],
    weights: recsys_core::domain::weights::Weights,
    half_life: f64,
    most: usize,
) -> Vec<(String, u64, f64)> {
    // By item and user, or session without one.
    let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for event in seen {
        let weight = match event.event {
            EventType::Exposure => weights.exposure,
            EventType::Click => weights.click,
            EventType::Conversion => weights.conversion,
        };
        let owner = event.user.clone().ok_or_else(|| event.session.clone());
        let (count, left) = sums.entry((event.item.clone(), owner)).or_default();
        *count += weight;
        *left += weight * event.left(Some(half_life));
    }
    let mut items: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let cap = weights.cap_per_user_item.map_or(u64::MAX / EVENT, std::num::NonZeroU64::get);
    for ((item, _), (count, left)) in sums {
        let sums = items.entry(item).or_default();
        sums.0 += count.min(cap);
        sums.1 += left.min(cap * EVENT);
    }
    let mut ranked: Vec<_> = items.into_iter().filter(|(_, (_, left))| *left > 0).collect();
    ranked.sort_by(|(a, (_, x)), (b, (_, y))| y.cmp(x).then(a.cmp(b)));
    ranked.truncate(most);
    let score = |left: u64| format!("{:.8e}", left as f64 / EVENT as f64).parse().unwrap();
    let mut ranked: Vec<(String, u64, f64)> =
        ranked.into_iter().map(|(item, (count, left))| (item, count, score(left))).collect();
    ranked.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
    ranked
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn popularity_that_fades_agrees(
        weights in settings::weights(),
        (exposures, outcomes) in (settings::exposure_lines(), settings::outcome_lines()),
        half_life in select(&[0.04, 0.7, 1.0, 30.0][..]),
        most in select(&[0usize, 1, 3, 50][..]),
        window_days in 1..=3usize,
        segment in select(&[None, None, Some("new")][..]),
        budget in budget(),
    ) {
        let limits = Limits { max_items_per_artifact: most, ..Limits::default() };
        let days = Days::new(&exposures, &outcomes, window_days, &budget);
        let names = &DAYS[3 - window_days..];
        let mut seen = seen::exposures(&in_segment(&read(&exposures, names), segment));
        seen.extend(seen::outcomes(&outcomes, names));
        let table = days.with(segment, |days| {
            let (exposures, outcomes) = (days.exposures, days.outcomes);
            let mut table = EventTable::new(exposures, days.segment, &limits).unwrap();
            table.weigh(weights, exposures, outcomes, days.segment, &limits).unwrap();
            table.fade(half_life, weights, days, &limits).unwrap();
            table
        });
        let catalog = Catalog::default();
        let inputs = Inputs { events: &table, catalog: &catalog, budget: &budget, model: None };
        let (payload, _) = Kind::Popularity.build(&inputs, &limits).unwrap();
        payload.check(&limits).unwrap();
        let Payload::Popularity(rows) = payload else { panic!("{payload:?}") };
        let rows: Vec<_> = rows.iter().map(|row| (row.item_id.to_string(), row.count, row.score.unwrap())).collect();
        prop_assert_eq!(rows, naive(&seen, weights, half_life, most));
    }
}
