//! The builders, the canonical form and the version agree with slow and simple ones, on random inputs.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod common;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use common::{DAYS, budget, day, files, key_for, layout, lines, payload, text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::artifact::user_lists::UserItems;
use recsys_core::artifact::{ArtifactKey, Draft, Inputs, ItemCount, Kind, Payload, version};
use recsys_core::canonical::{Canonical, DayRows, read_days};
use recsys_core::columnar::spill::Budget;
use recsys_core::counts::CountError;
use recsys_core::domain::id::{Segment, Surface};
use recsys_core::domain::limit::{LimitExceeded, Limits, OversizedSessions};
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::{HashWriter, sha256};
use recsys_core::input::catalog::{Catalog, CatalogError, CatalogFormat};
use recsys_core::storage::Replaced;
use recsys_core::table::events::{EventTable, TableError};
use recsys_testkit::folder::Folder;
use recsys_testkit::generate::{Random, busy_day};
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;
use serde_json::Value;

// ---- JSON --------------------------------------------------------------------------------------------

/// JSON whose fields keep their order.
#[derive(Debug, Clone)]
enum Json {
    Whole(u64),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out += "\\\"",
            '\\' => out += "\\\\",
            '\u{8}' => out += "\\b",
            '\u{c}' => out += "\\f",
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(character)).unwrap();
            }
            other => out.push(other),
        }
    }
    out + "\""
}

/// The shortest decimal that reads back the same; of two, the nearer; of two as near, the even one.
fn decimal(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    // The standard library knows the length, and breaks ties the other way.
    let shortest = format!("{number:e}");
    let digits = shortest.split('e').next().unwrap().split('.').nth(1).map_or(0, str::len);
    let nearest = format!("{number:.digits$e}");
    let scientific = if nearest.parse() == Ok(number) { nearest } else { shortest };
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    without_exponent(mantissa, exponent.parse().unwrap())
}

fn without_exponent(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits = mantissa.replace('.', "");
    // Where the point stands among the digits.
    let point = exponent + 1;
    let text = if point <= 0 {
        format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap()))
    } else {
        let point = usize::try_from(point).unwrap();
        let padded = format!("{digits:0<point$}");
        let (whole, fraction) = padded.split_at(point);
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    };
    format!("{sign}{text}")
}

impl Json {
    fn compact(&self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => decimal(*number),
            Self::Text(text) => quoted(text),
            Self::List(list) => {
                format!("[{}]", list.iter().map(Self::compact).collect::<Vec<_>>().join(","))
            }
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{}", value.compact()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }
        }
    }

    fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Text(text.to_string())
    }

    fn object(fields: impl Into<Vec<(&'static str, Json)>>) -> Self {
        Self::Object(fields.into())
    }
}

fn document(key: &ArtifactKey, payload: &Json, build: Json) -> Json {
    let window = [("start", key.window.start()), ("end", key.window.end())];
    let window = window.map(|(edge, day)| (edge, Json::Text(format!("{day}T00:00:00Z"))));
    let field = match key.kind {
        Kind::Popularity | Kind::ContentSim => "items",
        Kind::Cooc => "neighbors",
        Kind::Implicit | Kind::SessionSeq => "users",
    };
    let mut fields = vec![
        ("v", Json::Whole(1)),
        ("artifact_type", Json::text(&key.kind)),
        ("tenant", Json::text(&key.scope.tenant)),
        ("surface", Json::text(&key.scope.surface)),
    ];
    fields.extend(key.segment.as_ref().map(|segment| ("segment", Json::text(segment))));
    fields.extend([("window", Json::object(window)), (field, payload.clone()), ("build", build)]);
    Json::Object(fields)
}

/// The version and the finished document.
fn finished(key: &ArtifactKey, payload: &Json, built_at: &str, source_hash: &str) -> (String, String) {
    let blank = Json::object([("built_at", Json::text("")), ("version", Json::text(""))]);
    let version = sha256(document(key, payload, blank).compact().as_bytes());
    let build = Json::object([
        ("built_at", Json::text(built_at)),
        ("version", Json::text(&version)),
        ("source_hash", Json::text(source_hash)),
    ]);
    let text = document(key, payload, build).compact();
    (version, text)
}

/// A list of objects with `item_id` and one number.
fn scored<N>(items: &[(String, N)], field: &'static str, number: impl Fn(&N) -> Json) -> Json {
    let item =
        |(id, score): &(String, N)| Json::object([("item_id", Json::text(id)), (field, number(score))]);
    Json::List(items.iter().map(item).collect())
}

// ---- Events ------------------------------------------------------------------------------------------

const DAY_NS: i64 = 86_400 * 1_000_000_000;

fn year_days(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 }
}

fn month_days(year: i64, month: i64) -> i64 {
    [31, year_days(year) - 337, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][usize::try_from(month - 1).unwrap()]
}

/// Nanoseconds since 1970 from RFC 3339.
fn nanoseconds(text: &str) -> i64 {
    let number = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month) = (number(0, 4), number(5, 7));
    let days = (1970..year).map(year_days).sum::<i64>()
        + (1..month).map(|month| month_days(year, month)).sum::<i64>()
        + number(8, 10)
        - 1;
    let seconds = days * 86_400 + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    let zone = text[19..].find(['Z', '+', '-']).unwrap() + 19;
    let fraction = text[19..zone].trim_start_matches('.');
    let fraction: i64 = format!("{fraction:0<9}").parse().unwrap();
    let offset = match &text[zone..=zone] {
        "Z" => 0,
        sign => {
            let minutes = number(zone + 1, zone + 3) * 60 + number(zone + 4, zone + 6);
            if sign == "-" { -minutes } else { minutes }
        }
    };
    (seconds - offset * 60) * 1_000_000_000 + fraction
}

fn date_of(ns: i64) -> String {
    let (mut days, mut year, mut month) = (ns.div_euclid(DAY_NS), 1970, 1);
    while days >= year_days(year) {
        days -= year_days(year);
        year += 1;
    }
    while days >= month_days(year, month) {
        days -= month_days(year, month);
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", days + 1)
}

fn utc(ns: i64) -> String {
    let (second, fraction) = (ns.rem_euclid(DAY_NS) / 1_000_000_000, ns.rem_euclid(1_000_000_000));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let text = format!("{}T{hour:02}:{minute:02}:{second:02}.{fraction:09}", date_of(ns));
    format!("{}Z", text.trim_end_matches('0').trim_end_matches('.'))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    ts: i64,
    segment: Option<String>,
    user: Option<String>,
    session: String,
    request: Option<String>,
    item: String,
    rank: Option<u64>,
}

impl Event {
    fn order(&self) -> impl Ord + use<> {
        let Self { ts, segment, user, session, request, item, rank } = self.clone();
        (ts, session, request, rank, item, user, segment)
    }

    fn canonical(&self) -> String {
        let mut fields = vec![
            ("v", Json::Whole(1)),
            ("ts", Json::text(&utc(self.ts))),
            ("tenant", Json::text("demo")),
            ("surface", Json::text("home")),
        ];
        fields.extend(self.segment.as_ref().map(|segment| ("segment", Json::text(segment))));
        fields.extend(self.user.as_ref().map(|user| ("user_id", Json::text(user))));
        fields.push(("session_id", Json::text(&self.session)));
        fields.extend(self.request.as_ref().map(|request| ("request_id", Json::text(request))));
        fields.push(("item_id", Json::text(&self.item)));
        fields.extend(self.rank.map(|rank| ("rank", Json::Whole(rank))));
        Json::Object(fields).compact() + "\n"
    }
}

/// The events of each day, in canonical order, repeated deliveries dropped.
#[derive(Debug, Default)]
struct Events {
    days: BTreeMap<String, Vec<Event>>,
    duplicates: BTreeMap<String, u64>,
    lines: u64,
    foreign: u64,
    outside: BTreeMap<String, u64>,
}

fn read(lines: &[String], days: &[&str]) -> Events {
    let mut events = Events { lines: lines.len() as u64, ..Events::default() };
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| {
            let text = line.get(field)?.as_str().unwrap().trim();
            if text.is_empty() { None } else { Some(text.to_owned()) }
        };
        if text("tenant").unwrap() != "demo" || text("surface").unwrap() != "home" {
            events.foreign += 1;
            continue;
        }
        let event = Event {
            ts: nanoseconds(&text("ts").unwrap()),
            segment: text("segment"),
            user: text("user_id"),
            session: text("session_id").unwrap(),
            request: text("request_id"),
            item: text("item_id").unwrap(),
            rank: line.get("rank").map(|rank| rank.as_u64().unwrap()),
        };
        let date = date_of(event.ts);
        if !days.contains(&date.as_str()) {
            *events.outside.entry(date).or_default() += 1;
            continue;
        }
        let own = events.days.entry(date.clone()).or_default();
        if event.request.is_some() && own.contains(&event) {
            *events.duplicates.entry(date).or_default() += 1;
        } else {
            own.push(event);
        }
    }
    for own in events.days.values_mut() {
        own.sort_by_key(Event::order);
    }
    events
}

// ---- Builders ----------------------------------------------------------------------------------------

fn in_segment(events: &Events, segment: Option<&str>) -> Vec<Event> {
    let belongs = |event: &&Event| match (segment, &event.segment) {
        (None, _) | (_, None) => true,
        (Some(wanted), Some(given)) => wanted == given,
    };
    events.days.values().flatten().filter(belongs).cloned().collect()
}

/// Greatest first, ties by id, at most `most`.
fn best(counts: &BTreeMap<String, u64>, most: usize) -> Vec<(String, u64)> {
    let mut ranked: Vec<_> = counts.iter().map(|(id, count)| (id.clone(), *count)).collect();
    ranked.sort_by_key(|(id, count)| (Reverse(*count), id.clone()));
    ranked.truncate(most);
    ranked
}

fn naive_popularity(events: &[Event], limits: &Limits) -> Json {
    let mut counts = BTreeMap::new();
    for event in events {
        *counts.entry(event.item.clone()).or_default() += 1;
    }
    scored(&best(&counts, limits.max_items_per_artifact), "count", |count| Json::Whole(*count))
}

fn sessions(events: &[Event]) -> BTreeMap<String, BTreeSet<String>> {
    let mut sessions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        sessions.entry(event.session.clone()).or_default().insert(event.item.clone());
    }
    sessions
}

/// The content and the number of skipped sessions, or the sessions that are too large.
fn naive_cooc(events: &[Event], limits: &Limits) -> Result<(Json, u64), BTreeMap<String, u64>> {
    let (oversized, sessions): (BTreeMap<_, _>, BTreeMap<_, _>) = sessions(events)
        .into_iter()
        .partition(|(_, items)| items.len() as u64 > limits.max_items_per_session);
    if limits.oversized_sessions == OversizedSessions::Fail && !oversized.is_empty() {
        return Err(oversized.into_iter().map(|(id, items)| (id, items.len() as u64)).collect());
    }
    let mut pairs: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for items in sessions.values() {
        for item in items {
            for other in items.iter().filter(|other| *other != item) {
                *pairs.entry(item.clone()).or_default().entry(other.clone()).or_default() += 1;
            }
        }
    }
    let mut rows = Vec::new();
    for (item, mut neighbours) in pairs {
        neighbours.retain(|_, count| *count >= u64::from(limits.min_cooc_support));
        let kept = best(&neighbours, limits.max_neighbors_per_item);
        let total: u64 = kept.iter().map(|(_, count)| count).sum();
        rows.push((total, item, kept));
    }
    rows.sort_by_key(|(total, item, _)| (Reverse(*total), item.clone()));
    rows.truncate(limits.max_items_per_artifact);
    rows.sort_by_key(|(_, item, _)| item.clone());
    let row = |(_, item, kept): &(u64, String, Vec<_>)| {
        let items = scored(kept, "count", |count| Json::Whole(*count));
        Json::object([("item_id", Json::text(item)), ("items", items)])
    };
    Ok((Json::List(rows.iter().map(row).collect()), oversized.len() as u64))
}

fn user_rows(users: &BTreeMap<String, BTreeMap<String, u64>>, limits: &Limits) -> Json {
    let row = |(user, counts): (&String, &BTreeMap<String, u64>)| {
        let items = scored(&best(counts, limits.max_items_per_user), "score", |score| Json::Whole(*score));
        Json::object([("user_id", Json::text(user)), ("items", items)])
    };
    Json::List(users.iter().map(row).collect())
}

fn naive_implicit(events: &[Event], limits: &Limits) -> Json {
    let mut users: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for event in events {
        if let Some(user) = &event.user {
            *users.entry(user.clone()).or_default().entry(event.item.clone()).or_default() += 1;
        }
    }
    user_rows(&users, limits)
}

fn naive_session_seq(events: &[Event], limits: &Limits) -> Json {
    let mut histories: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        if let Some(user) = &event.user {
            histories.entry(user.clone()).or_default().push(event.item.clone());
        }
    }
    let mut users: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (user, history) in histories {
        let counts = users.entry(user).or_default();
        for item in &history[1..] {
            *counts.entry(item.clone()).or_default() += 1;
        }
    }
    user_rows(&users, limits)
}

// ---- Comparison --------------------------------------------------------------------------------------

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
    let inputs = Inputs { events: table, catalog: &catalog, budget };
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
        let (payload, own_skipped) = kind.build(&inputs, limits).unwrap();
        assert_eq!(own_skipped, skipped, "{kind}");
        payload.check(limits).unwrap();
        let key = key(kind, segment, window);
        let source_hash = sha256(b"source");
        let draft = Draft::new(&key, &payload);
        let (at_once, own_skipped) = Draft::build(&key, &inputs, limits).unwrap();
        assert_eq!((&at_once, own_skipped), (&draft, skipped), "{kind}");
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
        CountError::Temporary(error) => panic!("{error}"),
    }
}

/// A session over the limit is named with its size.
fn refused(exceeded: &LimitExceeded, oversized: &BTreeMap<String, u64>, limits: &Limits) {
    assert_eq!((exceeded.limit, exceeded.max), ("max_items_per_session", limits.max_items_per_session));
    let named = |id: &String| exceeded.place == format!(" in session {id:?}");
    assert!(oversized.iter().any(|(id, size)| named(id) && *size == exceeded.value), "{exceeded}");
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..6usize, 0..4usize, 0..4usize, 0..4u32, 1..9u64, any::<bool>()).prop_map(
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

// ---- Canonical files ---------------------------------------------------------------------------------

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

// ---- Documents of any content ------------------------------------------------------------------------

fn naive_content(payload: &Payload<'_>) -> Json {
    let counts = |items: &[ItemCount<'_>]| {
        let items: Vec<_> = items.iter().map(|item| (item.item_id.to_string(), item.count)).collect();
        scored(&items, "count", |count| Json::Whole(*count))
    };
    let user = |row: &UserItems<'_>| {
        let items: Vec<_> = row.items.iter().map(|item| (item.item_id.to_string(), item.score)).collect();
        let items = scored(&items, "score", |score| Json::Number(*score));
        Json::object([("user_id", Json::text(&row.user_id)), ("items", items)])
    };
    match payload {
        Payload::Popularity(payload) => counts(payload),
        Payload::Cooc(payload) => {
            let row = payload.iter().map(|row| {
                Json::object([("item_id", Json::text(&row.item_id)), ("items", counts(&row.items))])
            });
            Json::List(row.collect())
        }
        Payload::Implicit(payload) | Payload::SessionSeq(payload) => {
            Json::List(payload.iter().map(user).collect())
        }
        Payload::ContentSim(payload) => {
            let item = payload.iter().map(|item| {
                let tags = item.tags.iter().map(Json::text).collect();
                Json::object([("item_id", Json::text(&item.item_id)), ("tags", Json::List(tags))])
            });
            Json::List(item.collect())
        }
    }
}

fn keyed_payload() -> impl Strategy<Value = (ArtifactKey, Payload<'static>)> {
    payload().prop_flat_map(|payload| (key_for(&payload), Just(payload)))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn documents_agree((key, payload) in keyed_payload(), built_at in text()) {
        let source_hash = sha256(built_at.as_bytes());
        let encoded = Draft::new(&key, &payload).finish(&built_at, &source_hash);
        let (naive_version, naive_text) = finished(&key, &naive_content(&payload), &built_at, &source_hash);
        prop_assert_eq!(std::str::from_utf8(&encoded.bytes).unwrap(), naive_text);
        prop_assert_eq!(&encoded.descriptor.build.version, &naive_version);
        prop_assert_eq!(version(&key, &payload), naive_version);
    }
}

/// Of two shortest decimals that read back the same and are equally near, others print the even one: Ryu,
/// Python, JavaScript, Go. A consumer that recomputes the version prints it so, too.
#[test]
fn a_score_halfway_between_two_decimals_prints_as_everywhere_else() {
    for (score, text) in [
        (1.0 + 1.0 / 131_072.0, "1.0000076293945312"),
        (981_405_774_141_567.0 + 0.25, "981405774141567.2"),
        (981_405_774_141_567.0 + 0.75, "981405774141567.8"),
    ] {
        assert_eq!(text.parse(), Ok(score));
        assert_eq!(serde_json::to_string(&score).unwrap(), text);
        assert_eq!(decimal(score), text);
        assert_eq!(String::from_utf8(recsys_core::encoding::json::to_vec(&score)).unwrap(), text);
    }
}

// ---- content_sim -------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct CatalogRow {
    item_id: &'static str,
    /// In CSV joined with `separator`, and then split on every separator.
    tags: Vec<String>,
    separator: &'static str,
    namespace: Option<&'static str>,
    quoted: bool,
}

fn catalog_row() -> impl Strategy<Value = CatalogRow> {
    let ids = select(
        &[
            "a", " aa ", "aaa", "B", "b", "é", "文", "a,b", "q\"q", "x\ny", "c", "d", "", " \t", "\u{a0}",
            "<i>",
        ][..],
    );
    let pieces = select(
        &["x", "X", "shoe", "Shoe", "SHOE ", " ", "\t", "É", "ß", ",", ";", "|", "a b", "\"", "ΑΣ"][..],
    );
    let tag = vec(pieces, 0..4).prop_map(|pieces| pieces.concat());
    let namespace =
        select(&[None, Some(""), Some(" "), Some("home"), Some(" home\t"), Some("Home"), Some("cart")][..]);
    let separator = select(&[",", ";", "|", " , ", "||"][..]);
    (ids, vec(tag, 0..5), separator, namespace, any::<bool>()).prop_map(
        |(item_id, tags, separator, namespace, quoted)| CatalogRow {
            item_id,
            tags,
            separator,
            namespace,
            quoted,
        },
    )
}

fn csv(rows: &[CatalogRow]) -> String {
    let mut text = "Tags,NAMESPACE,price,Item_ID\n".to_owned();
    for row in rows {
        let tags = row.tags.join(row.separator);
        let field = |text: &str| {
            if row.quoted || text.contains(['"', ',', '\n', '\r']) {
                format!("\"{}\"", text.replace('"', "\"\""))
            } else {
                text.to_owned()
            }
        };
        let namespace = row.namespace.unwrap_or_default();
        writeln!(text, "{},{},,{}", field(&tags), field(namespace), field(row.item_id)).unwrap();
    }
    text
}

fn jsonl(rows: &[CatalogRow]) -> String {
    let mut text = String::new();
    for row in rows {
        let mut line =
            serde_json::json!({ "item_id": row.item_id, "namespace": row.namespace, "price": 1.5 });
        if !row.tags.is_empty() || row.quoted {
            line["tags"] = row.tags.clone().into();
        }
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// The items with their tags; `None` when an item is given twice.
fn naive_catalog(rows: &[CatalogRow], split: bool) -> Option<BTreeMap<String, Vec<String>>> {
    let mut items = BTreeMap::new();
    for row in rows {
        let namespace = row.namespace.unwrap_or_default().trim();
        let item_id = row.item_id.trim();
        if item_id.is_empty() || !(namespace.is_empty() || namespace == "home") {
            continue;
        }
        let joined = row.tags.join(row.separator);
        let tags: Vec<String> = if split {
            joined.replace([';', '|'], ",").split(',').map(ToOwned::to_owned).collect()
        } else {
            row.tags.clone()
        };
        let mut kept: Vec<String> = Vec::new();
        for tag in tags {
            let tag = tag.trim().to_lowercase();
            if !tag.is_empty() && !kept.contains(&tag) {
                kept.push(tag);
            }
        }
        if items.insert(item_id.to_owned(), kept).is_some() {
            return None;
        }
    }
    Some(items)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn content_sim_agrees(rows in vec(catalog_row(), 0..9)) {
        let surface = Surface::new("home").unwrap();
        for (format, text) in [(CatalogFormat::Csv, csv(&rows)), (CatalogFormat::Jsonl, jsonl(&rows))] {
            let read = Catalog::read("catalogue", format, text.as_bytes(), &surface, &Limits::default(), &Budget::default());
            let Some(items) = naive_catalog(&rows, format == CatalogFormat::Csv) else {
                prop_assert!(matches!(read, Err(CatalogError::Duplicate { .. })), "{read:?}");
                continue;
            };
            let catalog = read.unwrap();
            let nameless = rows.iter().filter(|row| row.item_id.trim().is_empty()).count();
            prop_assert_eq!((catalog.rows, catalog.rows_without_id), (rows.len() as u64, nameless as u64));
            prop_assert_eq!(catalog.foreign, (rows.len() - nameless - items.len()) as u64);
            prop_assert_eq!(&catalog.source_hash, &sha256(text.as_bytes()));
            let tagged = items.iter().filter(|(_, tags)| !tags.is_empty()).map(|(item_id, tags)| {
                let tags = tags.iter().map(Json::text).collect();
                Json::object([("item_id", Json::text(item_id)), ("tags", Json::List(tags))])
            });
            let expected = Json::List(tagged.collect());
            let events = EventTable::default();
            let budget = Budget::default();
            let inputs = Inputs { events: &events, catalog: &catalog, budget: &budget };
            let (payload, _) = Kind::ContentSim.build(&inputs, &Limits::default()).unwrap();
            payload.check(&Limits::default()).unwrap();
            let key = key(Kind::ContentSim, None, Window::ending_with(day(DAYS[0]), 1).unwrap());
            let encoded = Draft::new(&key, &payload).finish(BUILT_AT, &catalog.source_hash);
            let (version, text) = finished(&key, &expected, BUILT_AT, &catalog.source_hash);
            prop_assert_eq!(String::from_utf8(encoded.bytes.into()).unwrap(), text);
            prop_assert_eq!(encoded.descriptor.build.version, version);
        }
    }
}
