//! Models agree with slow and simple ones, and depend on nothing but their settings and events.

mod by_hand;
mod dense;
mod faded_popularity;
mod same;
mod seen;
mod settings;
mod views;

use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::artifact::user_lists::UserItems;
use recsys_core::artifact::{ArtifactKey, BuildCounts, Draft, Inputs, ItemCount, Kind, ModelInputs, Payload};
use recsys_core::canonical::{DayRows, EventReader};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Segment;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::models::{ModelKind, ResolvedModel};
use recsys_core::domain::stream::Stream;
use recsys_core::domain::weights::Weights;
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::Catalog;
use recsys_core::table::events::EventTable;
use recsys_core::table::{BasisTable, WindowDays};
use recsys_testkit::days::read_days;
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;

use crate::builders::in_segment;
use crate::common::{DAYS, budget, day, files};
use crate::events::read;
use crate::{BUILT_AT, key};
use views::{List, Naive, View};

/// What a model is built from.
pub(crate) struct Case<'a> {
    pub(crate) model: ResolvedModel,
    pub(crate) kind: ModelKind,
    pub(crate) weights: Weights,
    pub(crate) limits: &'a Limits,
    pub(crate) catalog: &'a Catalog,
    pub(crate) budget: &'a Budget,
}

/// The days of a window that ends with the last of [`DAYS`].
#[derive(Debug)]
pub(crate) struct Days {
    pub(crate) window: Window,
    pub(crate) exposures: Vec<DayRows>,
    pub(crate) outcomes: Vec<DayRows>,
}

impl Days {
    pub(crate) fn new(
        exposures: &[String],
        outcomes: &[String],
        window_days: usize,
        budget: &Budget,
    ) -> Self {
        let (first, last) = (day(DAYS[3 - window_days]), day(DAYS[2]));
        let file = |lines: &[String]| files([lines.join("\n").into_bytes()]);
        let scope = scope();
        let of_outcomes = EventReader { stream: Stream::Outcomes, ..EventReader::new(&scope, budget) };
        Self {
            window: Window::ending_with(last, u32::try_from(window_days).unwrap()).unwrap(),
            exposures: read_days(file(exposures), &scope, first, last, budget).unwrap().0,
            outcomes: of_outcomes.days(file(outcomes), first, last).unwrap().0,
        }
    }

    /// Passes the days as tables want them.
    pub(crate) fn with<R>(&self, segment: Option<&str>, take: impl FnOnce(&WindowDays<'_>) -> R) -> R {
        let segment = segment.map(|segment| Segment::new(segment).unwrap());
        let [exposures, outcomes] =
            [&self.exposures, &self.outcomes].map(|days| days.iter().collect::<Vec<_>>());
        take(&WindowDays {
            window: self.window,
            exposures: &exposures,
            outcomes: &outcomes,
            segment: segment.as_ref(),
        })
    }
}

impl Case<'_> {
    /// The kind of artifact.
    pub(crate) fn artifact(&self) -> Kind {
        match self.kind {
            ModelKind::Cooc => Kind::Cooc,
            ModelKind::Implicit => Kind::Implicit,
            ModelKind::SessionSeq => Kind::SessionSeq,
        }
    }

    fn key(&self) -> ArtifactKey {
        key(self.artifact(), None, Window::ending_with(day(DAYS[2]), 3).unwrap())
    }

    /// Builds the content, and passes it.
    fn build<R>(
        &self,
        days: &Days,
        segment: Option<&str>,
        take: impl FnOnce(Payload<'_>, BuildCounts) -> R,
    ) -> R {
        let table = days.with(segment, |days| {
            BasisTable::new(&self.model, self.kind, self.weights, days, self.limits).unwrap()
        });
        let model = ModelInputs::new(self.model.clone(), table, self.catalog);
        let (events, catalog) = (EventTable::default(), Catalog::default());
        let inputs = Inputs { events: &events, catalog: &catalog, budget: self.budget, model: Some(&model) };
        let (payload, counts) = self.artifact().build(&inputs, self.limits).unwrap();
        payload.check(self.limits).unwrap();
        let draft = Draft::new(&self.key(), &payload);
        assert_eq!(Draft::build(&self.key(), &inputs, self.limits).unwrap(), (draft, counts));
        take(payload, counts)
    }

    /// The document, which holds the version.
    pub(crate) fn document(&self, days: &Days) -> String {
        self.build(days, None, |payload, _| {
            let encoded = Draft::new(&self.key(), &payload).finish(BUILT_AT, &sha256(b"source"));
            String::from_utf8(encoded.bytes.into()).unwrap()
        })
    }

    pub(crate) fn view(&self, days: &Days, segment: Option<&str>) -> View {
        self.build(days, segment, |payload, counts| {
            let rows = match &payload {
                Payload::Cooc(rows) => {
                    let list = |items: &[ItemCount<'_>]| {
                        let item = |item: &ItemCount<'_>| {
                            (item.item_id.to_string(), item.count, item.score.unwrap())
                        };
                        items.iter().map(item).collect()
                    };
                    rows.iter().map(|row| (row.item_id.to_string(), list(&row.items))).collect()
                }
                Payload::Implicit(rows) | Payload::SessionSeq(rows) => {
                    let list = |row: &UserItems<'_>| {
                        row.items.iter().map(|item| (item.item_id.to_string(), 0, item.score)).collect()
                    };
                    rows.iter().map(|row| (row.user_id.to_string(), list(row))).collect()
                }
                payload => panic!("{payload:?}"),
            };
            assert_eq!(counts.skipped_sessions, 0);
            View { rows, trimmed: counts.trimmed_units, filled: counts.filled_lists }
        })
    }
}

/// Whether the lists are the same: scores but for the last digits, counts exactly. At a cut, what scores the same may be exchanged.
fn agree(list: &List, other: &List, most: usize) -> bool {
    let covers = |list: &List, by: &List| {
        let cut = by.last().filter(|_| by.len() >= most).map_or(0.0, |(.., score)| *score);
        list.iter().all(|(id, count, score)| match by.iter().find(|(own, ..)| own == id) {
            Some((_, own, found)) => count == own && (score - found).abs() <= 1e-7 * score,
            // What is zero but for rounding may be there or not.
            None => *score <= cut * (1.0 + 1e-6) || *score < 1e-12,
        })
    };
    covers(list, other) && covers(other, list)
}

fn compare(view: &View, expected: &View, most: usize) -> Result<(), TestCaseError> {
    let ids = |view: &View| view.rows.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    prop_assert_eq!(ids(view), ids(expected));
    for ((id, list), (_, expected)) in view.rows.iter().zip(&expected.rows) {
        prop_assert!(agree(list, expected, most), "{:?}: {:?} and {:?}", id, list, expected);
    }
    prop_assert_eq!((view.trimmed, view.filled), (expected.trimmed, expected.filled));
    Ok(())
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn every_model_agrees(
        model in settings::settings(),
        (limits, weights, catalog) in (settings::limits(), settings::weights(), settings::catalog()),
        (exposures, outcomes) in (settings::exposure_lines(), settings::outcome_lines()),
        window_days in 1..=3usize,
        segment in select(&[None, None, None, Some("new"), Some("unheard-of")][..]),
        budget in budget(),
    ) {
        let days = Days::new(&exposures, &outcomes, window_days, &budget);
        let names = &DAYS[3 - window_days..];
        let mut seen = seen::exposures(&in_segment(&read(&exposures, names), segment));
        seen.extend(seen::outcomes(&outcomes, names));
        for kind in ModelKind::ALL {
            let max_neighbors = model.max_neighbors.filter(|_| *kind != ModelKind::Cooc);
            let model = ResolvedModel { max_neighbors, ..model.clone() };
            let case =
                Case { model, kind: *kind, weights, limits: &limits, catalog: &catalog, budget: &budget };
            let min_units = if *kind == ModelKind::Cooc { limits.min_cooc_support } else { 1 };
            let naive = Naive {
                model: &case.model,
                kind: *kind,
                weights,
                catalog: &catalog.items,
                most: max_neighbors.unwrap_or(limits.max_neighbors_per_item),
                min_units: min_units.into(),
                most_of_user: limits.max_items_per_user,
            };
            let most = if *kind == ModelKind::Cooc { naive.most } else { limits.max_items_per_user };
            compare(&case.view(&days, segment), &naive.view(&seen), most)?;
        }
    }
}
