//! The builders, the canonical form and the version agree with slow and simple ones, on random inputs.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod builders;
#[path = "../common/mod.rs"]
mod common;
mod content_sim;
mod documents;
mod events;
mod json;
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    clippy::similar_names,
    reason = "small numbers, and the names of formulas"
)]
mod models;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::artifact::{ArtifactKey, BuildCounts, Draft, Inputs, Kind};
use recsys_core::canonical::{Canonical, DayRows};
use recsys_core::columnar::spill::Budget;
use recsys_core::counts::CountError;
use recsys_core::domain::id::Segment;
use recsys_core::domain::limit::{LimitExceeded, Limits, OversizedSessions};
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::{HashWriter, sha256};
use recsys_core::input::catalog::Catalog;
use recsys_core::storage::Replaced;
use recsys_core::table::events::{EventTable, TableError};
use recsys_testkit::days::read_days;
use recsys_testkit::folder::Folder;
use recsys_testkit::generate::{Random, busy_day};
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;

use builders::{in_segment, naive_cooc, naive_implicit, naive_popularity, naive_session_seq};
use common::{DAYS, budget, day, files, layout, lines};
use events::{Event, read};
use json::finished;

const BUILT_AT: &str = "2026-01-09T10:11:12.5Z";

fn key(kind: Kind, segment: Option<&Segment>, window: Window) -> ArtifactKey {
    ArtifactKey { kind, scope: scope(), segment: segment.cloned(), window }
}

/// Compares the document of every kind that is built from events.
fn compare(
    table: &EventTable,
    events: &[Event],
    segment: Option<&Segment>,
    window: Window,
    limits: &Limits,
    budget: &Budget,
) {
    assert_eq!(table.len(), events.len());
    let catalog = Catalog::default();
    let inputs = Inputs { events: table, catalog: &catalog, budget, model: None };
    for kind in [Kind::Popularity, Kind::Cooc, Kind::Implicit, Kind::SessionSeq] {
        let (expected, skipped) = match kind {
            Kind::Popularity => (naive_popularity(events, limits), 0),
            Kind::Implicit => (naive_implicit(events, limits), 0),
            Kind::SessionSeq => (naive_session_seq(events, limits), 0),
            _ => match naive_cooc(events, limits) {
                Ok(expected) => expected,
                Err(oversized) => {
                    refused(&exceeded(kind.build(&inputs, limits).unwrap_err()), &oversized, limits);
                    continue;
                }
            },
        };
        let (payload, counts) = kind.build(&inputs, limits).unwrap();
        assert_eq!(counts, BuildCounts { skipped_sessions: skipped, ..BuildCounts::default() }, "{kind}");
        payload.check(limits).unwrap();
        let key = key(kind, segment, window);
        let source_hash = sha256(b"source");
        let draft = Draft::new(&key, &payload);
        assert_eq!(Draft::build(&key, &inputs, limits).unwrap(), (draft.clone(), counts), "{kind}");
        assert_eq!(draft.rows, payload.len() as u64);
        let encoded = draft.finish(BUILT_AT, &source_hash);
        let (version, text) = finished(&key, &expected, BUILT_AT, &source_hash);
        assert_eq!(String::from_utf8(encoded.bytes.into()).unwrap(), text);
        assert_eq!(encoded.descriptor.build.version, version);
    }
}

fn exceeded(error: CountError) -> LimitExceeded {
    match error {
        CountError::Limit(exceeded) => exceeded,
        error => panic!("{error}"),
    }
}

/// A session over the limit is named with its size.
fn refused(exceeded: &LimitExceeded, oversized: &BTreeMap<String, u64>, limits: &Limits) {
    assert_eq!((exceeded.limit, exceeded.max), ("max_items_per_session", limits.max_items_per_session));
    let named = |id: &String| exceeded.place == format!(" in session {id:?}");
    assert!(oversized.iter().any(|(id, size)| named(id) && *size == exceeded.value), "{exceeded}");
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..6usize, 0..4usize, 0..4usize, 0..4u32, 0..9u64, any::<bool>()).prop_map(
        |(artifact, neighbors, user, support, session, skip)| Limits {
            max_items_per_artifact: artifact,
            max_neighbors_per_item: neighbors,
            max_items_per_user: user,
            min_cooc_support: support,
            max_items_per_session: session,
            oversized_sessions: if skip { OversizedSessions::Skip } else { OversizedSessions::Fail },
            max_catalog_items: 0,
            ..Limits::default()
        },
    )
}

fn segment() -> impl Strategy<Value = Option<&'static str>> {
    select(&[None, None, Some("new"), Some("old"), Some("unheard-of")][..])
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn every_builder_agrees(
        lines in lines(),
        layout in layout(),
        window_days in 1..=3u32,
        segment in segment(),
        limits in limits(),
        budget in budget(),
    ) {
        let window = Window::ending_with(day(DAYS[2]), window_days).unwrap();
        let names: Vec<String> = window.days().map(|day| day.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let expected = read(&lines, &names);
        let scope = scope();
        let (first, last) = (window.start(), day(DAYS[2]));
        let (days, counts) = read_days(layout.files(&lines), &scope, first, last, &budget).unwrap();
        assert_eq!(
            (counts.lines, counts.foreign, counts.outside.iter().map(|(day, events)| (day.to_string(), *events)).collect()),
            (expected.lines, expected.foreign, expected.outside.clone())
        );
        for day in &days {
            let name = day.day.to_string();
            assert_eq!(day.len(), expected.days.get(&name).map_or(0, Vec::len));
            assert_eq!(day.duplicates, expected.duplicates.get(&name).copied().unwrap_or_default());
        }
        let events = in_segment(&expected, segment);
        let segment = segment.map(|segment| Segment::new(segment).unwrap());

        // All days with one dictionary, as ingest has them, and each with its own, as jobs read them.
        let together: Vec<&DayRows> = days.iter().collect();
        let table = EventTable::new(&together, segment.as_ref(), &limits).unwrap();
        compare(&table, &events, segment.as_ref(), window, &limits, &budget);
        let apart: Vec<DayRows> = window
            .days()
            .flat_map(|day| read_days(layout.files(&lines), &scope, day, day, &budget).unwrap().0)
            .collect();
        let apart: Vec<&DayRows> = apart.iter().collect();
        let table = EventTable::new(&apart, segment.as_ref(), &limits).unwrap();
        compare(&table, &events, segment.as_ref(), window, &limits, &budget);
    }

    #[test]
    fn the_limits_of_a_window_count_what_is_in_its_segment(lines in lines(), segment in segment()) {
        let expected = read(&lines, &DAYS);
        let events = in_segment(&expected, segment);
        let distinct = |text: fn(&Event) -> Option<&String>| {
            events.iter().filter_map(text).collect::<BTreeSet<_>>().len() as u64
        };
        let seen = [
            ("max_events_per_run", events.len() as u64),
            ("max_sessions_per_run", distinct(|event| Some(&event.session))),
            ("max_distinct_items_per_run", distinct(|event| Some(&event.item))),
            ("max_users_per_run", distinct(|event| event.user.as_ref())),
        ];
        let (days, _) =
            read_days(files([lines.join("\n").into_bytes()]), &scope(), day(DAYS[0]), day(DAYS[2]), &Budget::default()).unwrap();
        let days: Vec<&DayRows> = days.iter().collect();
        let segment = segment.map(|segment| Segment::new(segment).unwrap());
        let table = |limit: &str, max: u64| {
            let limits = serde_json::from_value(serde_json::json!({ limit: max })).unwrap();
            EventTable::new(&days, segment.as_ref(), &limits)
        };
        for (limit, value) in seen {
            prop_assert!(table(limit, value).is_ok());
            if value > 0 {
                let Err(TableError::Limit(exceeded)) = table(limit, value - 1) else { panic!("{limit}") };
                prop_assert_eq!((exceeded.limit, exceeded.value, exceeded.max), (limit, value, value - 1));
            }
        }
    }
}

/// Enough rows that threads drop some before the end.
#[test]
fn cooc_with_many_rows_agrees() {
    let mut events = busy_day(7, "2026-01-03", 12_000, 9000);
    // Ties at the cut, on both sides of it.
    let mut random = Random(11);
    for event in events.iter_mut().step_by(3) {
        event.item_id = format!("tail-{}", random.below(6000));
    }
    let lines: Vec<String> = events.iter().map(recsys_testkit::generate::Exposure::line).collect();
    let expected = read(&lines, &DAYS);
    let (days, _) = read_days(
        files([lines.join("\n").into_bytes()]),
        &scope(),
        day(DAYS[2]),
        day(DAYS[2]),
        &Budget::default(),
    )
    .unwrap();
    let days: Vec<&DayRows> = days.iter().collect();
    let window = Window::ending_with(day(DAYS[2]), 1).unwrap();
    for (most, support, memory) in [
        (5, 1, 1 << 30),
        (1500, 1, 1 << 30),
        (1000, 2, 1 << 30),
        (100_000, 2, 1 << 30),
        (1500, 1, 1 << 16),
        (5, 2, 1 << 12),
    ] {
        let budget = Budget::new(memory, std::env::temp_dir());
        let limits = Limits {
            max_items_per_artifact: most,
            max_neighbors_per_item: 4,
            min_cooc_support: support,
            ..Limits::default()
        };
        for segment in [None, Some("segment-1")] {
            let events = in_segment(&expected, segment);
            if segment.is_none() && support == 1 {
                let items: BTreeSet<&String> = events.iter().map(|event| &event.item).collect();
                assert!(items.len() > 4096, "{} items are too few to be cut early", items.len());
            }
            let segment = segment.map(|segment| Segment::new(segment).unwrap());
            let table = EventTable::new(&days, segment.as_ref(), &limits).unwrap();
            compare(&table, &events, segment.as_ref(), window, &limits, &budget);
        }
    }
}

/// More users than lists are held of at a time; some have a single event, which is no list of `session_seq`.
#[test]
fn lists_of_many_users_agree() {
    for users in [4095, 4096, 4097, 9000] {
        let line = |user: u32, event: u32| {
            let (second, item) = (event * 7 % 60, user * 31 % 17 + event % 4);
            format!(
                r#"{{"v":1,"ts":"2026-01-03T08:00:{second:02}Z","tenant":"demo","surface":"home","user_id":"u{user}","session_id":"s{user}","item_id":"i{item}"}}"#
            )
        };
        let lines: Vec<String> =
            (0..users).flat_map(|user| (0..=user % 5).map(move |event| line(user, event))).collect();
        let expected = read(&lines, &DAYS);
        let events = in_segment(&expected, None);
        let day = day(DAYS[2]);
        let window = Window::ending_with(day, 1).unwrap();
        let limits = Limits { max_items_per_user: 3, ..Limits::default() };
        for memory in [1 << 30, 1 << 12] {
            let budget = Budget::new(memory, std::env::temp_dir());
            let (days, _) =
                read_days(files([lines.join("\n").into_bytes()]), &scope(), day, day, &budget).unwrap();
            let table = EventTable::new(&days.iter().collect::<Vec<_>>(), None, &limits).unwrap();
            compare(&table, &events, None, window, &limits, &budget);
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn canonical_files_agree(lines in lines(), layout in layout(), budget in budget()) {
        let expected = read(&lines, &DAYS);
        let Folder { root, store } = Folder::new();
        let scope = scope();
        let canonical = Canonical::new(&store, &scope);
        let (days, _) = read_days(layout.files(&lines), &scope, day(DAYS[0]), day(DAYS[2]), &budget).unwrap();
        let mut all = String::new();
        for rows in &days {
            let name = rows.day.to_string();
            let text: String =
                expected.days.get(&name).map_or_else(String::new, |own| own.iter().map(Event::canonical).collect());
            let pending = canonical.write(rows).unwrap();
            prop_assert_eq!(pending.hash(), sha256(text.as_bytes()));
            let replaced = pending.commit().unwrap();
            let path = root.path().join(format!("demo/home/exposures/{name}.jsonl"));
            if text.is_empty() {
                prop_assert_eq!(replaced, Replaced::Empty);
                prop_assert!(!path.exists());
            } else {
                prop_assert_eq!(replaced, Replaced::Written);
                prop_assert_eq!(fs::read_to_string(path).unwrap(), text.clone());
            }
            all.push_str(&text);
        }
        let window = Window::ending_with(day(DAYS[2]), 3).unwrap();
        let mut hash = HashWriter::default();
        canonical.hash_window(window, &mut hash).unwrap();
        prop_assert_eq!(hash.finish(), sha256(all.as_bytes()));
    }
}
