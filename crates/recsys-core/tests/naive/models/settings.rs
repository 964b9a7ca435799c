//! Random settings, events and catalogues.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use recsys_core::domain::filters::Filters;
use recsys_core::domain::limit::Limits;
use recsys_core::domain::models::{Basis, EventType, Fill, ResolvedModel, RowNorm, Scorer, Side, Unit};
use recsys_core::domain::weights::Weights;
use recsys_core::input::catalog::{Catalog, CatalogItem};
use serde_json::json;

use crate::common::{DAYS, lines};

/// One of each, for what must hold for all.
pub(crate) const SCORERS: [Scorer; 9] = [
    Scorer::Cosine { shrink: 1.5 },
    Scorer::Jaccard { shrink: 0.0 },
    Scorer::Lift { shrink: 2.0 },
    Scorer::Conditional { shrink: 0.0 },
    Scorer::Llr,
    Scorer::DegreeNormalised { a: 0.3, b: 0.25, c: 0.75, row_norm: RowNorm::L1 },
    Scorer::LocalRidge { candidates: 20, ridge: 2.3, dropout: 0.4 },
    Scorer::SequentialRules { window: 4, backward: 0.3, delta: Some(1.2), row_power: 0.8 },
    Scorer::SessionRidge { candidates: 20, ridge: 1.7, dropout: 0.3, delta: 1.3 },
];

/// The defaults of `session_seq`, which no cut reaches.
pub(crate) fn model(scorer: Scorer) -> ResolvedModel {
    let unit = Unit::Session;
    ResolvedModel {
        scorer,
        basis: Basis { unit, events: vec![EventType::Exposure], half_life_days: None, max_items: 1000 },
        neighbors_of: Side::Row,
        max_neighbors: Some(200),
        max_rows: None,
        exclude_seen: true,
        last_items: 10,
        decay: None,
        own_weight: 0.0,
        filters: Filters::default(),
        fill: None,
    }
}

fn scorer() -> impl Strategy<Value = Scorer> {
    let shrink = || prop_oneof![Just(0.0), 0.1..5.0f64];
    let power = || select(&[0.0, 0.25, 0.5, 0.75, 1.0, 1.7][..]);
    // No round numbers: they make weights that are zero but for rounding.
    let ridge = || (select(&[1usize, 2, 3, 5, 100][..]), 0.2..4.0f64, prop_oneof![Just(0.0), 0.1..0.8f64]);
    let part = || prop_oneof![Just(0.0), Just(1.0), 0.1..0.9f64];
    let norm = select(&[RowNorm::None, RowNorm::L1][..]);
    prop_oneof![
        shrink().prop_map(|shrink| Scorer::Cosine { shrink }),
        shrink().prop_map(|shrink| Scorer::Jaccard { shrink }),
        shrink().prop_map(|shrink| Scorer::Lift { shrink }),
        shrink().prop_map(|shrink| Scorer::Conditional { shrink }),
        Just(Scorer::Llr),
        (power(), power(), power(), norm).prop_map(|(a, b, c, row_norm)| Scorer::DegreeNormalised {
            a,
            b,
            c,
            row_norm
        }),
        ridge().prop_map(|(candidates, ridge, dropout)| Scorer::LocalRidge { candidates, ridge, dropout }),
        (select(&[1usize, 2, 3, 10][..]), part(), weighted(0.5, 0.6..4.0f64), part()).prop_map(
            |(window, backward, delta, row_power)| Scorer::SequentialRules {
                window,
                backward,
                delta,
                row_power
            }
        ),
        (ridge(), 0.6..4.0f64).prop_map(|((candidates, ridge, dropout), delta)| Scorer::SessionRidge {
            candidates,
            ridge,
            dropout,
            delta
        }),
    ]
}

fn basis() -> impl Strategy<Value = Basis> {
    let all = || vec![EventType::Exposure, EventType::Click, EventType::Conversion];
    let events = prop_oneof![2 => Just(vec![EventType::Exposure]), 3 => subsequence(all(), 1..=3)];
    (
        select(&[Unit::Session, Unit::Session, Unit::User, Unit::Request][..]),
        events,
        // The first fades everything but what is new.
        select(&[None, None, Some(0.04), Some(0.7), Some(2.5)][..]),
        select(&[2usize, 3, 4, 1000, 1000, 1000][..]),
    )
        .prop_map(|(unit, events, half_life_days, max_items)| Basis {
            unit,
            events,
            half_life_days,
            max_items,
        })
}

fn filters() -> impl Strategy<Value = Filters> {
    let tags = || select(vec![vec![], vec![], vec![], vec![" X".to_owned()], vec!["y".into(), "Z".into()]]);
    let some = (any::<bool>(), any::<bool>(), tags(), tags()).prop_map(
        |(catalog_only, available_only, tags_any, tags_none)| Filters {
            catalog_only,
            available_only,
            tags_any,
            tags_none,
        },
    );
    prop_oneof![Just(Filters::default()), some]
}

pub(crate) fn settings() -> impl Strategy<Value = ResolvedModel> {
    let cuts = (
        select(&[Side::Row, Side::Column][..]),
        select(&[1usize, 2, 3, 200, 200][..]),
        weighted(0.3, 1..5usize),
        select(&[1usize, 2, 3, 10][..]),
    );
    let lists = (
        any::<bool>(),
        weighted(0.5, 0.3..5.0f64),
        prop_oneof![Just(0.0), Just(1.0), 0.1..0.9f64],
        select(&[None, Some(Fill::Popularity)][..]),
    );
    (scorer(), basis(), cuts, lists, filters()).prop_map(
        |(
            scorer,
            basis,
            (neighbors_of, max_neighbors, max_rows, last_items),
            (exclude_seen, decay, own_weight, fill),
            filters,
        )| ResolvedModel {
            scorer,
            basis,
            neighbors_of,
            max_neighbors: Some(max_neighbors),
            max_rows,
            exclude_seen,
            last_items,
            decay,
            own_weight,
            filters,
            fill,
        },
    )
}

pub(crate) fn limits() -> impl Strategy<Value = Limits> {
    (select(&[0usize, 1, 2, 3, 50, 50][..]), 0..4u32, select(&[0usize, 1, 3, 50, 50][..])).prop_map(
        |(max_neighbors_per_item, min_cooc_support, max_items_per_user)| Limits {
            max_neighbors_per_item,
            min_cooc_support,
            max_items_per_user,
            ..Limits::default()
        },
    )
}

pub(crate) fn weights() -> impl Strategy<Value = Weights> {
    let weight = || select(&[0u64, 1, 1, 2, 10][..]);
    let cap = select(vec![None, None, NonZeroU64::new(1), NonZeroU64::new(3)]);
    let some =
        (weight(), weight(), weight(), cap).prop_map(|(exposure, click, conversion, cap_per_user_item)| {
            Weights { exposure, click, conversion, cap_per_user_item }
        });
    prop_oneof![Just(Weights::default()), some]
}

/// The items of [`busy_lines`], and some of [`lines`].
const ITEMS: [&str; 12] = ["i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8", "a", "aa", "é"];

pub(crate) fn catalog() -> impl Strategy<Value = Catalog> {
    let tags = subsequence(vec!["x", "y", "z"], 0..=2);
    let item = weighted(0.7, (tags, weighted(0.7, Just(()))));
    vec(item, ITEMS.len()).prop_map(|items| {
        let known = ITEMS.iter().zip(items).filter_map(|(id, item)| Some((id, item?)));
        let known: BTreeMap<_, _> = known.collect();
        let item = |(id, (tags, available)): (&&str, (Vec<&str>, Option<()>))| CatalogItem {
            item_id: (*id).to_owned(),
            tags: tags.into_iter().map(ToOwned::to_owned).collect(),
            available: available.is_some(),
        };
        Catalog { items: known.into_iter().map(item).collect(), ..Catalog::default() }
    })
}

/// One event of many: day, second, item, session, user, request.
pub(crate) type Spec = (usize, u32, usize, Option<usize>, Option<usize>, Option<usize>);

/// Sessions of a few events, each with a liking for one third of the items, and users with a few sessions.
fn specs(events: usize) -> impl Strategy<Value = Vec<Spec>> {
    let item = prop_oneof![4 => 0..3usize, 1 => 3..9usize];
    let event = (0..24usize, item, 0..3usize, 0..240u32, (weighted(0.8, Just(())), weighted(0.6, 0..2usize)));
    vec(event, 0..events).prop_map(|events| {
        let spec = |(session, item, day, second, (user, request)): (usize, _, _, _, (Option<()>, _))| {
            let item = (session % 3 * 3 + item) % 9;
            let user = user.map(|()| session % 11);
            let request: Option<usize> = request;
            (day, second, item, Some(session), user, request.map(|request| session * 2 + request))
        };
        events.into_iter().map(spec).collect()
    })
}

pub(crate) fn line((day, second, item, session, user, request): Spec, event_type: Option<&str>) -> String {
    let (day, minute, second) = (DAYS[day], second / 60, second % 60);
    let mut line =
        json!({"ts": format!("{day}T08:{minute:02}:{second:02}Z"), "tenant": "demo", "surface": "home"});
    line["item_id"] = ITEMS[item].into();
    for (field, id) in [("session_id", session), ("user_id", user), ("request_id", request)] {
        if let Some(id) = id {
            line[field] = format!("{}{id}", &field[..1]).into();
        }
    }
    match event_type {
        None => line["v"] = 1.into(),
        Some(event_type) => line["event_type"] = event_type.into(),
    }
    line.to_string()
}

/// Exposures of many sessions, so that some pairs are no accident.
pub(crate) fn busy_lines() -> impl Strategy<Value = Vec<String>> {
    specs(160).prop_map(|specs| specs.into_iter().map(|spec| line(spec, None)).collect())
}

pub(crate) fn exposure_lines() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![1 => lines(), 3 => busy_lines()]
}

/// Clicks and conversions, some without a session, some delivered twice.
pub(crate) fn outcome_lines() -> impl Strategy<Value = Vec<String>> {
    let rest = (weighted(0.7, Just(())), select(&["click", "click", "conversion"][..]), 1..3usize);
    (specs(60), vec(rest, 60)).prop_map(|(specs, rest)| {
        let mut lines = Vec::new();
        for (spec, (session, event_type, times)) in specs.into_iter().zip(rest) {
            let (day, second, item, of, user, request) = spec;
            let spec = (day, second, item, of.filter(|_| session.is_some()), user, request);
            lines.extend(std::iter::repeat_n(line(spec, Some(event_type)), times));
        }
        lines
    })
}
