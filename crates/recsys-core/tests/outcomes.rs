//! Outcomes: what is read, what is written, and what they count, against slow and simple code.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroU64;

use common::{DAYS, budget, day, files, layout, lines};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use recsys_core::artifact::{ArtifactKey, Draft, Inputs, Kind};
use recsys_core::canonical::{Canonical, CanonicalError, DayRows, EventReader};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::{Scope, Segment};
use recsys_core::domain::limit::{Limits, OversizedSessions};
use recsys_core::domain::stream::Stream;
use recsys_core::domain::weights::Weights;
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::{HashWriter, sha256};
use recsys_core::input::catalog::Catalog;
use recsys_core::input::lines::{LineFile, LinesError};
use recsys_core::input::raw::Raw;
use recsys_core::storage::Replaced;
use recsys_core::table::events::{EventTable, TableError};
use recsys_testkit::days::read_days;
use recsys_testkit::folder::Folder;
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;
use serde_json::{Map, Value, json};

/// As a producer may write it, and as the canonical file has it.
const VALUES: [(&str, &str); 12] = [
    ("0", "0"),
    ("-0.0", "0"),
    ("2.50", "2.5"),
    ("25e-1", "2.5"),
    ("2.5000000000000004", "2.5000000000000004"),
    ("1e2", "100"),
    ("-1", "-1"),
    ("-1.5e-7", "-0.00000015"),
    ("9007199254740993", "9007199254740992"),
    ("1e21", "1000000000000000000000"),
    ("-1.7976931348623157e308", ""),
    ("5e-324", ""),
];

const NAMES: [&str; 6] = ["a", "aa", "b", "A", "文<\u{2028}&>", "q\"\n\u{1}\\"];

// ---- A slow and simple reader ------------------------------------------------------------------------

#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    /// In UTC, nine digits: it sorts as time does.
    ts: String,
    session: Option<String>,
    request: Option<String>,
    item: String,
    user: Option<String>,
    event_type: String,
    value: Option<f64>,
}

impl Outcome {
    fn canonical(&self) -> String {
        let quoted = |text: &str| {
            let text = serde_json::to_string(text).unwrap();
            text.replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
                .replace('\u{2028}', "\\u2028")
        };
        let ts = self.ts.trim_end_matches('0').trim_end_matches('.');
        let mut line = format!(r#"{{"v":1,"ts":"{ts}Z","tenant":"demo","surface":"home""#);
        let optional =
            [("user_id", &self.user), ("session_id", &self.session), ("request_id", &self.request)];
        for (field, text) in optional {
            if let Some(text) = text {
                line += &format!(",\"{field}\":{}", quoted(text));
            }
        }
        line += &format!(",\"item_id\":{},\"event_type\":\"{}\"", quoted(&self.item), self.event_type);
        if let Some(value) = self.value {
            line += &format!(",\"value\":{}", decimal(value));
        }
        line + "}\n"
    }
}

fn decimal(value: f64) -> String {
    let (_, text) = VALUES.iter().find(|(raw, _)| raw.parse() == Ok(value)).unwrap();
    // The standard library never writes an exponent with `{}`, and these are the shortest.
    if text.is_empty() { format!("{value}") } else { (*text).to_owned() }
}

/// The outcomes of each day in canonical order, and how many repeated deliveries were dropped.
fn naive_read(lines: &[String]) -> BTreeMap<String, (Vec<Outcome>, u64)> {
    let mut days: BTreeMap<String, (Vec<Outcome>, u64)> = BTreeMap::new();
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| {
            let text = line.get(field)?.as_str()?.trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        if text("tenant").unwrap() != "demo" || text("surface").unwrap() != "home" {
            continue;
        }
        let ts = text("ts").unwrap().trim_end_matches('Z').to_owned();
        let outcome = Outcome {
            session: text("session_id"),
            request: text("request_id"),
            item: text("item_id").unwrap(),
            user: text("user_id"),
            event_type: text("event_type").unwrap(),
            value: line.get("value").and_then(Value::as_f64),
            ts,
        };
        if !DAYS.contains(&&outcome.ts[..10]) {
            continue;
        }
        let (own, duplicates) = days.entry(outcome.ts[..10].to_owned()).or_default();
        if outcome.request.is_some() && own.contains(&outcome) {
            *duplicates += 1;
        } else {
            own.push(outcome);
        }
    }
    for (own, _) in days.values_mut() {
        let key = |o: &Outcome| {
            let o = o.clone();
            (o.ts, o.session, o.request, o.item, o.user, o.event_type)
        };
        own.sort_by(|a, b| key(a).cmp(&key(b)).then(a.value.partial_cmp(&b.value).unwrap()));
    }
    days
}

// ---- Random lines ------------------------------------------------------------------------------------

fn outcome_line() -> impl Strategy<Value = String> {
    let ts = (
        select(&["2025-12-31", DAYS[0], DAYS[0], DAYS[1], DAYS[2], DAYS[2], "2026-01-04"][..]),
        select(&["00:00:00.000000000", "08:00:00.000000000", "08:00:00.120000000", "23:59:59.999999999"][..]),
    );
    let owner =
        prop_oneof![10 => Just(("demo", "home")), 1 => Just(("Demo", "home")), 1 => Just(("demo", "x"))];
    let name = || 0..NAMES.len();
    let optional = || weighted(0.6, 0..NAMES.len());
    let rest = (
        select(&["click", "click", "conversion"][..]),
        weighted(0.5, select(&VALUES[..])),
        any::<[bool; 2]>(),
    );
    (ts, owner, name(), (optional(), optional(), optional()), rest).prop_map(
        |(
            (date, clock),
            (tenant, surface),
            item,
            (user, session, request),
            (event_type, value, [pad, more]),
        )| {
            let padded = |text: &str| if pad { format!(" {text}\t") } else { text.to_owned() };
            let mut line = Map::new();
            line.insert("ts".into(), json!(format!("{date}T{clock}Z")));
            line.insert("tenant".into(), json!(padded(tenant)));
            line.insert("surface".into(), json!(padded(surface)));
            line.insert("item_id".into(), json!(padded(NAMES[item])));
            line.insert("event_type".into(), json!(padded(event_type)));
            for (field, id) in [("user_id", user), ("session_id", session), ("request_id", request)] {
                match id {
                    Some(id) => drop(line.insert(field.into(), json!(padded(NAMES[id])))),
                    None if more => {
                        drop(line.insert(field.into(), if pad { json!(" ") } else { Value::Null }));
                    }
                    None => {}
                }
            }
            if more {
                line.insert("campaign".into(), json!({"v": [1.5, null]}));
            }
            let line = Value::Object(line).to_string();
            // The text of the number is the test's, not the library's.
            match value {
                Some((raw, _)) => line.replacen('{', &format!("{{\"value\":{raw},"), 1),
                None => line,
            }
        },
    )
}

fn outcome_lines() -> impl Strategy<Value = Vec<String>> {
    (vec(outcome_line(), 0..40), vec(any::<(Index, Index)>(), 0..12)).prop_map(|(mut lines, repeats)| {
        for (which, place) in repeats {
            if !lines.is_empty() {
                let line = which.get(&lines).clone();
                lines.insert(place.index(lines.len()), line);
            }
        }
        lines
    })
}

fn reader<'a>(stream: Stream, scope: &'a Scope, budget: &'a Budget) -> EventReader<'a> {
    EventReader { stream, ..EventReader::new(scope, budget) }
}

fn read(files: Vec<LineFile>, budget: &Budget) -> Vec<DayRows> {
    reader(Stream::Outcomes, &scope(), budget).days(files, day(DAYS[0]), day(DAYS[2])).unwrap().0
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn canonical_files_agree(
        (lines, shuffled) in outcome_lines().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle())),
        (one_layout, other_layout) in (layout(), layout()),
        budget in budget(),
        threads in 1..4usize,
    ) {
        let expected = naive_read(&lines);
        let Folder { root, store } = Folder::new();
        let scope = scope();
        let canonical = Canonical::new(&store, &scope).of(Stream::Outcomes);
        let days = read(one_layout.files(&lines), &Budget::default());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let again = pool.install(|| read(other_layout.files(&shuffled), &budget));
        let (mut hash, mut all) = (HashWriter::default(), String::new());
        for (rows, again) in days.iter().zip(&again) {
            let (own, duplicates) = expected.get(&rows.day.to_string()).cloned().unwrap_or_default();
            let text: String = own.iter().map(Outcome::canonical).collect();
            prop_assert_eq!((rows.len(), rows.duplicates), (own.len(), duplicates));
            prop_assert_eq!((again.len(), again.duplicates), (own.len(), duplicates));
            let pending = canonical.write(rows).unwrap();
            prop_assert_eq!(pending.hash(), sha256(text.as_bytes()));
            pending.commit().unwrap();
            let path = root.path().join(format!("demo/home/outcomes/{}.jsonl", rows.day));
            prop_assert_eq!(fs::read_to_string(&path).ok(), (!text.is_empty()).then(|| text.clone()));
            // Ingested again, from other files, in another order, with another budget: nothing changes.
            let untouched = if text.is_empty() { Replaced::Empty } else { Replaced::Unchanged };
            prop_assert_eq!(canonical.write(again).unwrap().commit().unwrap(), untouched);
            if let Some((loaded, hash)) = canonical.load(rows.day, &budget).unwrap() {
                prop_assert_eq!(hash, sha256(text.as_bytes()));
                prop_assert_eq!(canonical.write(&loaded).unwrap().commit().unwrap(), untouched);
            }
            all += &text;
        }
        canonical.hash_window(Window::ending_with(day(DAYS[2]), 3).unwrap(), &mut hash).unwrap();
        prop_assert_eq!(hash.finish(), sha256(all.as_bytes()));
    }
}

// ---- What they count ---------------------------------------------------------------------------------

type Counts = BTreeMap<String, u64>;

/// The sums of weights by item, and by user and item: of each user, or of each session without one, up to the cap.
fn naive_counts(
    exposures: &[Value],
    outcomes: &[Outcome],
    weights: Weights,
) -> (Counts, BTreeMap<String, Counts>) {
    let text = |event: &Value, field: &str| event.get(field).map(|text| text.as_str().unwrap().to_owned());
    let shown = exposures.iter().map(|event| {
        (text(event, "item_id").unwrap(), text(event, "user_id"), text(event, "session_id"), weights.exposure)
    });
    let came = outcomes.iter().map(|outcome| {
        let weight = if outcome.event_type == "click" { weights.click } else { weights.conversion };
        (outcome.item.clone(), outcome.user.clone(), outcome.session.clone(), weight)
    });
    let mut sums = BTreeMap::<(Result<String, Option<String>>, String), u64>::new();
    for (item, user, session, weight) in shown.chain(came).filter(|(_, _, _, weight)| *weight > 0) {
        *sums.entry((user.ok_or(session), item)).or_default() += weight;
    }
    let (mut items, mut users) = (Counts::new(), BTreeMap::<String, Counts>::new());
    for ((user, item), sum) in sums {
        let sum = weights.cap_per_user_item.map_or(sum, |cap| sum.min(cap.get()));
        *items.entry(item.clone()).or_default() += sum;
        if let Ok(user) = user {
            users.entry(user).or_default().insert(item, sum);
        }
    }
    (items, users)
}

fn best(counts: &Counts, most: usize, field: &str) -> Value {
    let mut ranked: Vec<(&String, &u64)> = counts.iter().collect();
    ranked.sort_by_key(|(id, count)| (Reverse(**count), (*id).clone()));
    ranked.truncate(most);
    ranked.into_iter().map(|(id, count)| json!({"item_id": id, field: count})).collect()
}

/// The content of the artifact of a kind.
fn content(kind: Kind, table: &EventTable, limits: &Limits, budget: &Budget) -> Value {
    let catalog = Catalog::default();
    let (payload, _) =
        kind.build(&Inputs { events: table, catalog: &catalog, budget, model: None }, limits).unwrap();
    payload.check(limits).unwrap();
    let window = Window::ending_with(day(DAYS[2]), 3).unwrap();
    let key = ArtifactKey { kind, scope: scope(), segment: None, window };
    let bytes = Draft::new(&key, &payload).finish("2026-01-04T00:00:00Z", &sha256(b"")).bytes;
    let mut document: Value = serde_json::from_slice(&bytes).unwrap();
    let field = if kind == Kind::Popularity {
        "items"
    } else if kind == Kind::Cooc {
        "neighbors"
    } else {
        "users"
    };
    document[field].take()
}

fn weights() -> impl Strategy<Value = Weights> {
    let weight = || select(&[0u64, 0, 1, 2, 10, 1 << 40][..]);
    let cap = select(vec![None, None, NonZeroU64::new(1), NonZeroU64::new(3)]);
    (weight(), weight(), weight(), cap).prop_map(|(exposure, click, conversion, cap_per_user_item)| Weights {
        exposure,
        click,
        conversion,
        cap_per_user_item,
    })
}

/// Events as their canonical lines.
fn values(rows: &[&DayRows], segment: Option<&str>) -> Vec<Value> {
    let Folder { root, store } = Folder::new();
    let scope = scope();
    let canonical = Canonical::new(&store, &scope);
    let mut events = Vec::new();
    for rows in rows {
        canonical.write(rows).unwrap().commit().unwrap();
        let path = root.path().join(format!("demo/home/exposures/{}.jsonl", rows.day));
        let text = fs::read_to_string(path).unwrap_or_default();
        events.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    events
        .retain(|event| segment.is_none() || event.get("segment").is_none_or(|own| own.as_str() == segment));
    events
}

proptest! {
    #![proptest_config(cases(250))]

    #[test]
    fn weighted_counts_agree(
        (exposures, outcomes) in (lines(), outcome_lines()),
        weights in weights(),
        segment in select(&[None, None, Some("new"), Some("unheard-of")][..]),
        (most, most_of_user) in (0..6usize, 0..4usize),
        window_days in 1..=3usize,
        budget in budget(),
    ) {
        let limits = Limits {
            max_items_per_artifact: most,
            max_items_per_user: most_of_user,
            oversized_sessions: OversizedSessions::Skip,
            ..Limits::default()
        };
        let (first, last) = (day(DAYS[3 - window_days]), day(DAYS[2]));
        let shown = files([exposures.join("\n").into_bytes()]);
        let (shown, _) = read_days(shown, &scope(), first, last, &budget).unwrap();
        let shown: Vec<&DayRows> = shown.iter().collect();
        let came = read(files([outcomes.join("\n").into_bytes()]), &budget);
        let came: Vec<&DayRows> = came[3 - window_days..].iter().collect();

        let window = DAYS[3 - window_days..].iter().copied();
        let naive_outcomes = naive_read(&outcomes);
        let outcomes: Vec<Outcome> =
            window.filter_map(|day| naive_outcomes.get(day)).flat_map(|(own, _)| own.clone()).collect();
        let (items, users) = naive_counts(&values(&shown, segment), &outcomes, weights);

        let segment = segment.map(|segment| Segment::new(segment).unwrap());
        let plain = EventTable::new(&shown, segment.as_ref(), &limits).unwrap();
        let mut table = EventTable::new(&shown, segment.as_ref(), &limits).unwrap();
        table.weigh(weights, &shown, &came, segment.as_ref(), &limits).unwrap();
        prop_assert_eq!(content(Kind::Popularity, &table, &limits, &budget), best(&items, most, "count"));
        let expected: Value = users
            .iter()
            .map(|(user, counts)| json!({"user_id": user, "items": best(counts, most_of_user, "score")}))
            .collect();
        prop_assert_eq!(content(Kind::Implicit, &table, &limits, &budget), expected);
        for kind in [Kind::Cooc, Kind::SessionSeq] {
            let unweighted = content(kind, &plain, &limits, &budget);
            prop_assert_eq!(content(kind, &table, &limits, &budget), unweighted);
        }

        // The limits count what is there under either name.
        for (limit, value) in [("max_distinct_items_per_run", items.len()), ("max_users_per_run", users.len())] {
            let limits = |max: usize| serde_json::from_value::<Limits>(json!({ limit: max })).unwrap();
            let weigh = |max: usize| {
                EventTable::default().weigh(weights, &shown, &came, segment.as_ref(), &limits(max))
            };
            if !weights.are_plain() && value > 0 {
                prop_assert!(weigh(value).is_ok());
                let Err(TableError::Limit(exceeded)) = weigh(value - 1) else { panic!("{limit}") };
                prop_assert_eq!((exceeded.limit, exceeded.value), (limit, value as u64));
            }
        }
    }
}

// ---- By hand -----------------------------------------------------------------------------------------

/// The example of the documentation.
fn example() -> (Vec<DayRows>, Vec<DayRows>) {
    let exposure = |second: u32, user: &str, item: &str| {
        format!(
            r#"{{"v":1,"ts":"2026-01-01T08:00:0{second}Z","tenant":"demo","surface":"home","session_id":"s","user_id":"{user}","item_id":"{item}"}}"#
        )
    };
    let outcome = |event_type: &str, user: &str, item: &str| {
        format!(
            r#"{{"ts":"2026-01-01T09:00:00Z","tenant":"demo","surface":"home","user_id":"{user}","item_id":"{item}","event_type":"{event_type}"}}"#
        )
    };
    let shown = [
        exposure(1, "u1", "A"),
        exposure(2, "u1", "B"),
        exposure(3, "u2", "A"),
        exposure(4, "u2", "B"),
        exposure(5, "u1", "A"),
    ];
    let came = [
        outcome("click", "u1", "B"),
        outcome("click", "", "B"),
        outcome("conversion", "u1", "B"),
        outcome("conversion", "u3", "C"),
    ];
    let one = |stream, lines: &[String]| {
        let files = files([lines.join("\n").into_bytes()]);
        let day = day(DAYS[0]);
        reader(stream, &scope(), &Budget::default()).days(files, day, day).unwrap().0
    };
    (one(Stream::Exposures, &shown), one(Stream::Outcomes, &came))
}

fn weighed(weights: Weights, limits: &Limits) -> Result<EventTable, TableError> {
    let (shown, came) = example();
    let (shown, came): (Vec<&DayRows>, Vec<&DayRows>) = (shown.iter().collect(), came.iter().collect());
    let mut table = EventTable::new(&shown, None, limits)?;
    table.weigh(weights, &shown, &came, None, limits)?;
    Ok(table)
}

#[test]
fn weights_worked_by_hand() {
    let limits = Limits::default();
    let of = |kind: Kind, exposure: u64, click: u64, conversion: u64| {
        let table = weighed(Weights { exposure, click, conversion, ..Weights::default() }, &limits).unwrap();
        let content = content(kind, &table, &limits, &Budget::default()).to_string();
        content.replace("\"item_id\":", "").replace("\"user_id\":", "").replace('"', "")
    };
    assert_eq!(of(Kind::Popularity, 1, 0, 0), "[{count:3,A},{count:2,B}]");
    // A: 3 exposures; B: 2 + 2 x 5 + 20; C: 20.
    assert_eq!(of(Kind::Popularity, 1, 5, 20), "[{count:32,B},{count:20,C},{count:3,A}]");
    assert_eq!(of(Kind::Popularity, 0, 1, 0), "[{count:2,B}]");
    assert_eq!(of(Kind::Popularity, 2, 0, 0), "[{count:6,A},{count:4,B}]");
    // The click without a user counts for no one.
    assert_eq!(
        of(Kind::Implicit, 1, 5, 20),
        "[{items:[{B,score:26},{A,score:2}],u1},{items:[{A,score:1},{B,score:1}],u2},{items:[{C,score:20}],u3}]"
    );
    assert_eq!(of(Kind::Implicit, 0, 0, 3), "[{items:[{B,score:3}],u1},{items:[{C,score:3}],u3}]");
    assert_eq!(of(Kind::Implicit, 0, 1, 0), "[{items:[{B,score:1}],u1}]");
}

#[test]
fn limits_hold_over_exposures_and_outcomes_together() {
    let weights = Weights { exposure: 1, click: 1, conversion: 1, ..Weights::default() };
    for (limit, value) in
        [("max_events_per_run", 9), ("max_distinct_items_per_run", 3), ("max_users_per_run", 3)]
    {
        let limits = |max: u64| serde_json::from_value::<Limits>(json!({ limit: max })).unwrap();
        assert!(weighed(weights, &limits(value)).is_ok());
        let Err(TableError::Limit(exceeded)) = weighed(weights, &limits(value - 1)) else {
            panic!("{limit}")
        };
        assert_eq!((exceeded.limit, exceeded.value), (limit, value));
        assert!(weighed(Weights::default(), &limits(value - 1)).is_ok());
    }
}

#[test]
fn what_cannot_be_counted_exactly_is_refused() {
    let limits = Limits::default();
    // Two conversions and five exposures.
    let weights = |conversion| Weights { exposure: 1, click: 0, conversion, ..Weights::default() };
    let most = (Weights::GREATEST_COUNT - 5) / 2;
    let table = weighed(weights(most), &limits).unwrap();
    let counted = content(Kind::Popularity, &table, &limits, &Budget::default());
    assert_eq!(counted[0], json!({"item_id": "B", "count": most + 2}));
    for conversion in [most + 1, u64::MAX] {
        let Err(TableError::Heavy(error)) = weighed(weights(conversion), &limits) else { panic!() };
        assert_eq!(error.sum, u128::from(conversion) * 2 + 5);
    }
}

#[test]
fn canonical_form_worked_by_hand() {
    let text = concat!(
        "\u{feff}",
        r#"{"event_type":"conversion","value":1.50e1,"item_id":" B ","user_id":"","session_id":"s","request_id":"r","ts":"2026-01-01T10:00:00.500+02:00","tenant":"demo","surface":"home","note":"x"}"#,
        "\r\n\r\n",
        r#"{"event_type":"click","item_id":"B","session_id":"s","request_id":"r","ts":"2026-01-01T08:00:00.5Z","tenant":"demo","surface":"home"}"#,
        "\n",
        r#"{"event_type":"click","item_id":"Z","user_id":"u","ts":"2026-01-01T08:00:00.5Z","tenant":"demo","surface":"home"}"#,
        "\n",
        r#"{"v":1,"event_type":"click","item_id":"B","session_id":"s","request_id":" r","ts":"2026-01-01T08:00:00.50Z","tenant":"demo","surface":"home","value":null}"#,
    );
    let expected = concat!(
        r#"{"v":1,"ts":"2026-01-01T08:00:00.5Z","tenant":"demo","surface":"home","user_id":"u","item_id":"Z","event_type":"click"}"#,
        "\n",
        r#"{"v":1,"ts":"2026-01-01T08:00:00.5Z","tenant":"demo","surface":"home","session_id":"s","request_id":"r","item_id":"B","event_type":"click"}"#,
        "\n",
        r#"{"v":1,"ts":"2026-01-01T08:00:00.5Z","tenant":"demo","surface":"home","session_id":"s","request_id":"r","item_id":"B","event_type":"conversion","value":15}"#,
        "\n",
    );
    let Folder { root, store } = Folder::new();
    let scope = scope();
    let days = read(files([text.as_bytes().to_vec()]), &Budget::default());
    assert_eq!((days[0].len(), days[0].duplicates), (3, 1));
    let canonical = Canonical::new(&store, &scope).of(Stream::Outcomes);
    for day in &days {
        canonical.write(day).unwrap().commit().unwrap();
    }
    let folder = root.path().join("demo/home");
    assert_eq!(fs::read_to_string(folder.join("outcomes/2026-01-01.jsonl")).unwrap(), expected);
    assert!(!folder.join("outcomes/2026-01-02.jsonl").exists());
    assert!(!folder.join("exposures").exists());

    // A stranger in the canonical file is found when it is read back.
    fs::write(folder.join("outcomes/2026-01-02.jsonl"), expected).unwrap();
    let error = canonical.load(day(DAYS[1]), &Budget::default()).unwrap_err();
    assert!(matches!(error, CanonicalError::Strangers(_, 3)), "{error}");
}

#[test]
fn the_first_bad_line_is_named() {
    let good = r#"{"ts":"2026-01-01T08:00:00Z","tenant":"demo","surface":"home","item_id":"i","event_type":"click"}"#;
    for (from, to, reason) in [
        ("click", "view", "file 1:2: field `event_type` is \"view\"; it must be click or conversion"),
        ("\"i\"", "\" \"", "file 1:2: field `item_id` is empty"),
        (
            "\"click\"",
            "\"click\",\"value\":\"1\"",
            "file 1:2:108: field `value` is the string \"1\"; it must be a number that a double can hold",
        ),
        (
            "\"click\"",
            "\"click\",\"value\":1e400",
            "file 1:2:110: field `value` is 1e400; it must be a number that a double can hold",
        ),
        ("}", "", "file 1:2:96: EOF while parsing an object"),
        (good, "[]", "file 1:2:1: the line is a list; it must be an object"),
    ] {
        let bad = good.replace(from, to);
        let contents = [good.to_owned(), format!("{good}\n{bad}\n{bad}\n")].map(String::into_bytes);
        let (scope, budget) = (scope(), Budget::default());
        let reader = reader(Stream::Outcomes, &scope, &budget);
        let read = reader.days(files(contents), day(DAYS[0]), day(DAYS[0]));
        let error = read.unwrap_err();
        assert!(matches!(error, LinesError::Line(_)));
        assert_eq!(error.to_string(), format!("{reason}; correct the line or take it out"));
    }
}

#[test]
fn raw_files_are_named_as_those_of_exposures() {
    let Folder { root, store } = Folder::new();
    let scope = scope();
    let names = |flat: bool| {
        let raw = Raw::new(&store, &scope).unwrap().of(Stream::Outcomes);
        let files = if flat { raw.flat() } else { raw.day(day(DAYS[0])) }.unwrap();
        files.iter().map(|file| file.name.rsplit_once('/').unwrap().1.to_owned()).collect::<BTreeSet<_>>()
    };
    fs::create_dir_all(root.path().join("demo/home")).unwrap();
    assert!(names(true).is_empty() && names(false).is_empty());
    fs::write(root.path().join("exposure.jsonl"), "").unwrap();
    fs::write(root.path().join("demo/home/exposure.2026-01-01.jsonl"), "").unwrap();
    assert!(names(true).is_empty() && names(false).is_empty());
    fs::write(root.path().join("outcome.jsonl"), "").unwrap();
    fs::write(root.path().join("outcome.jsonl.zst"), zstd::encode_all(&b""[..], 1).unwrap()).unwrap();
    fs::write(root.path().join("demo/home/outcome.2026-01-01.jsonl.gz"), "").unwrap();
    fs::write(root.path().join("demo/home/outcome.2026-01-02.jsonl"), "").unwrap();
    assert_eq!(names(true), ["outcome.jsonl", "outcome.jsonl.zst"].map(String::from).into());
    assert_eq!(names(false), ["outcome.2026-01-01.jsonl.gz"].map(String::from).into());
}
