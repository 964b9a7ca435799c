//! What a model does not depend on.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::models::{Fill, ModelKind, ResolvedModel, Side, Unit};
use recsys_core::domain::weights::Weights;
use recsys_core::input::catalog::Catalog;
use recsys_testkit::generate::{Random, busy_day};
use recsys_testkit::seed::{cases, seed};

use super::settings::{SCORERS, busy_lines, model, outcome_lines};
use super::views::View;
use super::{Case, Days, compare};
use crate::common::DAYS;

/// Settings under which much is cut, and a budget.
struct Cut {
    model: ResolvedModel,
    kind: ModelKind,
}

impl Cut {
    fn document(&self, days: &Days, budget: &Budget) -> String {
        let limits = Limits { min_cooc_support: 1, max_items_per_user: 20, ..Limits::default() };
        let (weights, catalog) = (Weights::default(), &Catalog::default());
        let Self { model, kind } = self;
        let case = Case { model: model.clone(), kind: *kind, weights, limits: &limits, catalog, budget };
        case.document(days)
    }

    /// Each scorer for each kind.
    fn all() -> impl Iterator<Item = Self> {
        let cut = |(at, scorer)| {
            let mut model = model(scorer);
            model.max_neighbors = Some(7);
            model.neighbors_of = if at % 2 == 0 { Side::Column } else { Side::Row };
            model.basis.unit = if at % 3 == 0 { Unit::User } else { Unit::Session };
            model.basis.half_life_days = (at % 4 > 0).then_some(1.3);
            model.basis.max_items = 30;
            model.own_weight = 0.4;
            model.decay = Some(2.0);
            model.fill = Some(Fill::Popularity);
            ModelKind::ALL.iter().map(move |kind| Self { model: model.clone(), kind: *kind })
        };
        (0..).zip(SCORERS).flat_map(cut)
    }
}

#[test]
fn neither_threads_nor_budgets_show() {
    let mut random = Random(seed());
    let mut lines = Vec::new();
    for day in DAYS {
        for mut exposure in busy_day(random.bits(), day, 600, 150) {
            // Sessions have a taste, so that some pairs are no accident.
            let taste = exposure.session_id.bytes().map(usize::from).sum::<usize>() % 10;
            exposure.item_id = format!("item {}", taste * 12 + random.below(15));
            lines.push(exposure.line());
        }
    }
    let plenty = Budget::new(1 << 30, std::env::temp_dir());
    let nothing = Budget::new(0, std::env::temp_dir());
    let days = Days::new(&lines, &[], 3, &plenty);
    for cut in Cut::all() {
        let mut documents = Vec::new();
        for (threads, budget) in [(1, &plenty), (2, &nothing), (7, &plenty), (7, &nothing)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            documents.push(pool.install(|| cut.document(&days, budget)));
        }
        assert!(documents.windows(2).all(|two| two[0] == two[1]), "{:?} of {}", cut.model, cut.kind);
        assert!(documents[0].contains("\"score\":"), "{:?} of {} is empty", cut.model, cut.kind);
    }
}

/// Another name for each item, so that they sort otherwise.
fn renamed(line: &str) -> String {
    (0..9).fold(line.to_owned(), |line, item| {
        line.replace(&format!("\"i{item}\""), &format!("\"j{}\"", item * 5 % 9))
    })
}

fn renamed_view(view: View) -> View {
    let id = |id: &str| renamed(&format!("\"{id}\"")).trim_matches('"').to_owned();
    let list =
        |list: super::List| list.into_iter().map(|(item, count, score)| (id(&item), count, score)).collect();
    let mut rows: Vec<_> = view.rows.into_iter().map(|(row, items)| (id(&row), list(items))).collect();
    rows.sort_by(|a: &(String, _), b| a.0.cmp(&b.0));
    View { rows, ..view }
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn names_do_not_show(lines in busy_lines(), outcomes in outcome_lines()) {
        // In a sequence, events of the same time are in the order of their items.
        let lines: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(at, line)| line.replacen("Z\"", &format!(".{at:03}Z\""), 1))
            .collect();
        let plenty = Budget::default();
        let limits = Limits { min_cooc_support: 1, ..Limits::default() };
        let days = Days::new(&lines, &outcomes, 3, &plenty);
        let [again, outcomes] = [&lines, &outcomes].map(|lines| lines.iter().map(|line| renamed(line)).collect::<Vec<_>>());
        let days_again = Days::new(&again, &outcomes, 3, &plenty);
        for scorer in SCORERS {
            for kind in ModelKind::ALL {
                let (weights, catalog) = (Weights { click: 3, ..Weights::default() }, &Catalog::default());
                let model = ResolvedModel { own_weight: 0.3, ..model(scorer) };
                let case = Case { model, kind: *kind, weights, limits: &limits, catalog, budget: &plenty };
                compare(&case.view(&days_again, None), &renamed_view(case.view(&days, None)), 1000)?;
            }
        }
    }

    #[test]
    fn a_delivery_that_is_repeated_changes_nothing(
        lines in busy_lines(),
        repeats in vec(any::<(Index, Index)>(), 1..40),
    ) {
        let mut repeated = lines.clone();
        for (which, place) in repeats {
            if let Some(line) = lines.get(which.index(lines.len().max(1)))
                && line.contains("request_id")
            {
                repeated.insert(place.index(repeated.len()), line.clone());
            }
        }
        let budget = Budget::default();
        let [days, again] = [&lines, &repeated].map(|lines| Days::new(lines, &[], 3, &budget));
        for cut in Cut::all() {
            prop_assert_eq!(cut.document(&days, &budget), cut.document(&again, &budget));
        }
    }
}
