//! `diff`, compared with a simple, slow computation from the shop's raw events.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jiff::{SignedDuration, Timestamp};
use recsys_core::artifact::Kind;
use recsys_testkit::golden::repository;
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::MANIFEST;
use recsys_testkit::shop::SCOPE;
use serde_json::{Value, json};

const EVENT_KINDS: [Kind; 4] = [Kind::Popularity, Kind::Cooc, Kind::Implicit, Kind::SessionSeq];

const CATALOGUE: &str = "item_id,tags\nboot,red|warm\nrope,long\nsock,warm\n";

// ---- The naive way -----------------------------------------------------------------------------------

/// Events of a day of the shop, without repeated lines and other surfaces.
fn events(day: u32) -> Vec<Value> {
    let path = format!("testdata/events/shop/demo/home/exposure.2026-01-{day:02}.jsonl");
    let text = fs::read_to_string(repository().join(path)).unwrap();
    let lines: BTreeSet<&str> = text.lines().collect();
    let events = lines.into_iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["surface"] == "home").collect()
}

fn field<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    event[name].as_str()
}

/// The contents of a day's artifact: the weight of each item, and the ids of its rows.
#[derive(Debug, Default, Clone, PartialEq)]
struct Naive {
    weights: BTreeMap<String, u64>,
    rows: BTreeSet<String>,
}

impl Naive {
    fn new(kind: Kind, day: u32) -> Self {
        let mut events = events(day);
        let time = |event: &Value| field(event, "ts").unwrap().parse::<Timestamp>().unwrap();
        events.sort_by_key(|event| {
            let text = |name| field(event, name).map(str::to_owned);
            (time(event), text("session_id"), text("request_id"), event["rank"].as_u64(), text("item_id"))
        });
        let mut naive = Self::default();
        let mut sessions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for event in &events {
            let item = field(event, "item_id").unwrap();
            sessions.entry(field(event, "session_id").unwrap()).or_default().insert(item);
            let weight = naive.weights.entry(item.to_owned()).or_default();
            match (kind, field(event, "user_id")) {
                (Kind::Popularity, _) => {
                    *weight += 1;
                    naive.rows.insert(item.to_owned());
                }
                (Kind::Implicit, Some(user)) => {
                    *weight += 1;
                    naive.rows.insert(user.to_owned());
                }
                // The first event of a user only creates the row.
                (Kind::SessionSeq, Some(user)) => *weight += u64::from(!naive.rows.insert(user.to_owned())),
                _ => {}
            }
        }
        if kind == Kind::Cooc {
            naive.rows = naive.weights.keys().cloned().collect();
            for (item, weight) in &mut naive.weights {
                for other in naive.rows.iter().filter(|other| *other != item) {
                    let both = |items: &&BTreeSet<&str>| items.contains(&**item) && items.contains(&**other);
                    let count = sessions.values().filter(both).count() as u64;
                    // limits.min_cooc_support
                    *weight += if count < 2 { 0 } else { count };
                }
            }
        } else {
            naive.weights.retain(|_, weight| *weight > 0);
        }
        naive
    }

    /// The rank by definition: one plus the number of items before it.
    fn rank(&self, of: &str) -> Option<i64> {
        let own = self.weights.get(of)?;
        let before =
            |(item, weight): &(&String, &u64)| *weight > own || (*weight == own && item.as_str() < of);
        Some(1 + i64::try_from(self.weights.iter().filter(before).count()).unwrap())
    }

    fn ranked(&self) -> Vec<&str> {
        let mut items: Vec<&str> = self.weights.keys().map(String::as_str).collect();
        items.sort_by_key(|item| self.rank(item));
        items
    }

    /// Items that `other` does not have.
    fn without(&self, other: &Self) -> Vec<&str> {
        self.ranked().into_iter().filter(|item| !other.weights.contains_key(*item)).collect()
    }
}

/// Item, rank before, rank after; the farthest first.
fn movers<'a>(before: &'a Naive, after: &Naive) -> Vec<(&'a str, i64, i64)> {
    let both = before.weights.keys().filter_map(|item| {
        Some((item.as_str(), before.rank(item)?, after.rank(item)?)).filter(|(_, old, new)| old != new)
    });
    let mut movers: Vec<_> = both.collect();
    movers.sort_by_key(|(item, old, new)| (-(old - new).abs(), *item));
    movers
}

/// The fields `items` and `rows` of the document.
fn expected(kind: Kind, before: &Naive, after: &Naive, top: usize) -> (Value, Value) {
    let listed = |items: Vec<&str>| json!({"count": items.len(), "first": items[..top.min(items.len())]});
    let movers = movers(before, after);
    let shown = movers.iter().take(top).map(|(item, old, new)| {
        json!({"item_id": item, "rank_before": old, "rank_after": new, "change": old - new})
    });
    let items = json!({
        "in": listed(after.without(before)),
        "out": listed(before.without(after)),
        "kept": before.weights.keys().filter(|item| after.weights.contains_key(*item)).count(),
        "moved": movers.len(),
        "movers": shown.collect::<Vec<_>>(),
        "tags_changed": null,
    });
    let of = match kind {
        Kind::Cooc => "items",
        Kind::Implicit | Kind::SessionSeq => "users",
        _ => return (items, Value::Null),
    };
    let only = |a: &Naive, b: &Naive| a.rows.difference(&b.rows).count();
    (items, json!({"of": of, "in": only(after, before), "out": only(before, after)}))
}

// ---- The binary --------------------------------------------------------------------------------------

/// The shop, and the pointers after each of its days.
struct Shop {
    sandbox: Sandbox,
    days: Vec<BTreeMap<Kind, String>>,
}

impl Shop {
    /// Publishes three days, with another catalogue on the third.
    fn new(kinds: &[Kind]) -> Self {
        let sandbox = Sandbox::new();
        sandbox.copy("testdata/events/shop", "raw");
        sandbox.write("catalogue.csv", CATALOGUE);
        let mut shop = Self { sandbox, days: Vec::new() };
        shop.configure(kinds);
        for day in 1..=3 {
            if day == 3 {
                shop.sandbox.write("catalogue.csv", "item_id,tags\nboot,red\nrope,long\ntent,big\n");
            }
            shop.run(&format!("run {SCOPE} --start 2026-01-0{day}")).ok();
            shop.days.push(shop.current());
        }
        shop
    }

    fn configure(&self, kinds: &[Kind]) {
        self.sandbox.configure(&json!({
            "artifact_kinds": kinds,
            "catalog": {"path": "catalogue.csv"},
            "validation": {"min_events": 0},
        }));
    }

    fn run(&self, line: &str) -> Finished {
        self.sandbox.run("recsys-pipelines", &format!("{line} --config config.json"))
    }

    fn diff(&self, flags: &str) -> Finished {
        self.run(&format!("diff {SCOPE} {flags}"))
    }

    fn json(&self, flags: &str) -> Value {
        serde_json::from_str(&self.diff(&format!("{flags} --json")).ok().stdout).unwrap()
    }

    fn current(&self) -> BTreeMap<Kind, String> {
        read_published(&self.sandbox.join(MANIFEST)).unwrap()
    }

    /// Entries of the history, oldest first.
    fn history(&self) -> Vec<Value> {
        let text = self.run(&format!("history {SCOPE} --json")).ok().stdout.clone();
        let history: Value = serde_json::from_str(&text).unwrap();
        history["entries"].as_array().unwrap().iter().rev().cloned().collect()
    }

    fn hash(&self, entry: usize) -> String {
        self.history()[entry]["hash"].as_str().unwrap().to_owned()
    }
}

fn kind_of(document: &Value, kind: Kind) -> &Value {
    let kinds = document["kinds"].as_array().unwrap();
    kinds.iter().find(|entry| entry["kind"] == kind.as_str()).unwrap()
}

/// The document's description of one side, for a kind built from the events of a day.
fn side(kind: Kind, day: u32, uri: &str) -> Value {
    let version = uri.rsplit('/').next().unwrap().strip_suffix(".json").unwrap();
    let window = json!({
        "start": format!("2026-01-{day:02}T00:00:00Z"),
        "end": format!("2026-01-{:02}T00:00:00Z", day + 1),
    });
    json!({"version": version, "uri": uri, "window": window, "rows": Naive::new(kind, day).rows.len()})
}

#[test]
fn what_changed_between_two_days_is_what_changed_in_their_events() {
    let shop = Shop::new(Kind::ALL);
    let history = shop.history();
    for (from, to, top) in [(1, 2, 10), (2, 3, 3), (1, 3, 0), (3, 1, 100), (2, 3, 10)] {
        let [before, after] = [from, to].map(|day: u32| &history[day as usize - 1]);
        let flags =
            format!("--from {:.6} --to {:.12}", before["hash"].as_str().unwrap(), shop.hash(to as usize - 1));
        let document = shop.json(&format!("{flags} --top {top}"));
        assert_eq!((&document["tenant"], &document["surface"]), (&json!("demo"), &json!("home")));
        assert_eq!((&document["from"], &document["to"]), (&before["hash"], &after["hash"]));
        let times = (&document["from_updated_at"], &document["to_updated_at"]);
        assert_eq!(times, (&before["updated_at"], &after["updated_at"]));
        for kind in EVENT_KINDS {
            let found = kind_of(&document, kind);
            assert_eq!(found["state"], "changed");
            let uri = |day: u32| &shop.days[day as usize - 1][&kind];
            assert_eq!(found["before"], side(kind, from, uri(from)), "{kind}");
            assert_eq!(found["after"], side(kind, to, uri(to)), "{kind}");
            let naive = (Naive::new(kind, from), Naive::new(kind, to));
            let (items, rows) = expected(kind, &naive.0, &naive.1, top);
            assert_eq!(found["items"], items, "{kind} {from} {to}");
            assert_eq!(found["rows"], rows, "{kind} {from} {to}");
        }
        // The last combination is the default of the command.
        if (from, to, top) == (2, 3, 10) {
            assert_eq!(document, shop.json(""));
            assert_eq!(document, shop.json(&format!("--to {}", shop.hash(2))));
        }
    }
    // The sample must contain changes to compare.
    let (before, after) = (Naive::new(Kind::Popularity, 1), Naive::new(Kind::Popularity, 2));
    assert!(!after.without(&before).is_empty() && movers(&before, &after).len() > 10);

    let catalogue = kind_of(&shop.json(""), Kind::ContentSim).clone();
    let items = json!({
        "in": {"count": 1, "first": ["tent"]},
        "out": {"count": 1, "first": ["sock"]},
        "kept": 2,
        "moved": null,
        "movers": [],
        "tags_changed": 1,
    });
    assert_eq!((&catalogue["items"], &catalogue["rows"]), (&items, &Value::Null));
    let catalogue = kind_of(&shop.json(&format!("--to {}", shop.hash(1))), Kind::ContentSim).clone();
    assert_eq!((&catalogue["state"], &catalogue["items"]["kept"]), (&json!("changed"), &json!(3)));
    assert_eq!(catalogue["items"]["tags_changed"], 0);
}

#[test]
fn the_text_says_the_same_in_a_few_lines() {
    let shop = Shop::new(Kind::ALL);
    let history = shop.history();
    let name = |entry: &Value| {
        format!("{:.12} of {}", entry["hash"].as_str().unwrap(), entry["updated_at"].as_str().unwrap())
    };
    let version = |day: usize, kind| {
        let file = shop.days[day - 1][&kind].rsplit('/').next().unwrap();
        format!("{file:.12}")
    };
    let windows = "2026-01-02_2026-01-03 -> 2026-01-03_2026-01-04";
    let kind = Kind::SessionSeq;
    let (before, after) = (Naive::new(kind, 2), Naive::new(kind, 3));
    let (rows_before, rows_after) = (before.rows.len(), after.rows.len());
    let (old, new) = (version(2, kind), version(3, kind));
    let movers = movers(&before, &after);
    let mut lines = vec![
        format!("demo/home: from {} to {}", name(&history[1]), name(&history[2])),
        format!("  session_seq  changed: {windows}, {rows_before} -> {rows_after} rows, {old} -> {new}"),
    ];
    let only = |a: &Naive, b: &Naive| a.rows.difference(&b.rows).count();
    lines.push(format!("    users    {} in, {} out", only(&after, &before), only(&before, &after)));
    for (word, items) in [("in ", after.without(&before)), ("out", before.without(&after))] {
        if !items.is_empty() {
            let more = if items.len() > 2 { format!(" and {} more", items.len() - 2) } else { String::new() };
            let first = items[..items.len().min(2)].join(", ");
            lines.push(format!("    {word}      {}: {first}{more}", items.len()));
        }
    }
    let kept = before.weights.keys().filter(|item| after.weights.contains_key(*item)).count();
    lines.push(format!("    moved    {} of {kept} items, the farthest:", movers.len()));
    for (item, old, new) in &movers[..2] {
        let (word, size) = if new < old { ("up", old - new) } else { ("down", new - old) };
        let ranks = format!("{old} -> {new}");
        lines.push(format!("      {word:<4} {size:<5} {ranks:<14} {item}"));
    }
    let text = shop.diff("--kind session_seq --top 2").ok().stdout.clone();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);

    let text = shop.diff("--kind content_sim").ok().stdout.clone();
    let lines = ["    in       1: tent", "    out      1: sock", "    tags     changed in 1 of 2 items"];
    assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), lines);
    let text = shop.diff(&format!("--kind content_sim --to {}", shop.hash(1))).ok().stdout.clone();
    assert_eq!(text.lines().nth(2), Some("    nothing in, nothing out, no tags changed"));

    // Every kind has its line, and no line contains a user.
    let text = shop.diff("--top 1000").ok().stdout.clone();
    let starts = |kind: &Kind| text.lines().any(|line| line.starts_with(&format!("  {kind:<12} changed: ")));
    assert!(Kind::ALL.iter().all(starts), "{text}");
    let document = shop.json("--top 1000");
    for user in before.rows.union(&after.rows) {
        assert!(!text.contains(user), "{user} is in {text}");
        for kind in Kind::ALL {
            let found = kind_of(&document, *kind);
            assert!(!format!("{}{}", found["items"], found["rows"]).contains(user), "{user} is in {found}");
        }
    }
}

#[test]
fn before_the_first_manifest_there_is_nothing() {
    let shop = Shop::new(&EVENT_KINDS);
    let first = shop.hash(0);
    let document = shop.json(&format!("--to {first}"));
    assert_eq!((&document["from"], &document["from_updated_at"]), (&Value::Null, &Value::Null));
    for kind in EVENT_KINDS {
        let found = kind_of(&document, kind);
        assert_eq!((&found["state"], &found["before"]), (&json!("added"), &Value::Null));
        assert_eq!(found["after"], side(kind, 1, &shop.days[0][&kind]));
        let (items, rows) = expected(kind, &Naive::default(), &Naive::new(kind, 1), 10);
        assert_eq!((&found["items"], &found["rows"]), (&items, &rows));
    }
    let text = shop.diff(&format!("--to {first} --kind popularity")).ok().stdout.clone();
    assert!(
        text.lines().next().unwrap().ends_with("is the first manifest; all that it names is new"),
        "{text}"
    );
    assert!(text.contains("\n  popularity   added: 2026-01-01_2026-01-02, "), "{text}");
}

#[test]
fn what_did_not_change_is_not_read() {
    let shop = Shop::new(&[Kind::Popularity, Kind::Cooc]);
    // A manifest with another `popularity` and the same `cooc`.
    shop.configure(&[Kind::Popularity]);
    shop.run(&format!("run {SCOPE} --start 2026-01-02 --allow-older-window")).ok();
    let cooc = &shop.days[2][&Kind::Cooc];
    fs::remove_file(&cooc["file://".len()..]).unwrap();
    let document = shop.json("");
    let mut unread = side(Kind::Cooc, 3, cooc);
    unread["rows"] = Value::Null;
    assert_eq!(
        *kind_of(&document, Kind::Cooc),
        json!({"kind": "cooc", "state": "unchanged", "before": unread, "after": unread, "items": null, "rows": null, "overlap": []})
    );
    let (items, _) =
        expected(Kind::Popularity, &Naive::new(Kind::Popularity, 3), &Naive::new(Kind::Popularity, 2), 10);
    assert_eq!(kind_of(&document, Kind::Popularity)["items"], items);
    let text = shop.diff("").ok().stdout.clone();
    assert!(text.contains("\n  cooc         unchanged: 2026-01-03_2026-01-04, "), "{text}");

    let text = shop.diff("--kind cooc").ok().stdout.clone();
    assert_eq!(text.lines().nth(2), Some("  nothing changed"), "{text}");
    let hash = shop.hash(3);
    let text = shop.diff(&format!("--from {hash} --to {hash}")).ok().stdout.clone();
    assert!(text.ends_with("\n  nothing changed\n") && text.matches(" unchanged: ").count() == 2, "{text}");
    // A record is not needed either.
    fs::remove_dir_all(shop.sandbox.join("out/registry/records/demo/home/cooc")).unwrap();
    let document = shop.json("--kind cooc");
    assert_eq!(kind_of(&document, Kind::Cooc)["after"]["window"], Value::Null);
    assert_eq!(kind_of(&document, Kind::Cooc)["after"]["uri"], json!(cooc));
}

#[test]
fn a_rollback_is_the_mirror_image_of_what_it_takes_back() {
    let shop = Shop::new(&EVENT_KINDS);
    shop.run(&format!("rollback {SCOPE}")).ok();
    let document = shop.json("");
    assert_eq!((&document["from"], &document["to"]), (&json!(shop.hash(2)), &json!(shop.hash(3))));
    for kind in EVENT_KINDS {
        let (before, after) = (Naive::new(kind, 3), Naive::new(kind, 2));
        let (items, rows) = expected(kind, &before, &after, 10);
        let found = kind_of(&document, kind);
        assert_eq!((&found["items"], &found["rows"]), (&items, &rows), "{kind}");
    }
    // After the rollback, the artifacts equal the earlier ones.
    let document = shop.json(&format!("--from {} --to {}", shop.hash(1), shop.hash(3)));
    let states: Vec<&Value> =
        document["kinds"].as_array().unwrap().iter().map(|kind| &kind["state"]).collect();
    assert_eq!(states, ["unchanged"; 4]);
}

#[test]
fn a_kind_is_added_emptied_switched_and_removed() {
    let shop = Shop::new(&[Kind::Popularity]);
    shop.configure(&[Kind::Popularity, Kind::Implicit]);
    shop.run(&format!("run {SCOPE} --start 2026-01-03")).ok();
    let document = shop.json("");
    assert_eq!(kind_of(&document, Kind::Popularity)["state"], "unchanged");
    let added = kind_of(&document, Kind::Implicit);
    assert_eq!((&added["state"], &added["before"]), (&json!("added"), &Value::Null));
    shop.run(&format!("rollback {SCOPE}")).ok();
    let document = shop.json("");
    let removed = kind_of(&document, Kind::Implicit);
    assert_eq!((&removed["state"], &removed["after"]), (&json!("removed"), &Value::Null));
    assert_eq!(removed["before"], added["after"]);
    let (items, rows) = expected(Kind::Implicit, &Naive::new(Kind::Implicit, 3), &Naive::default(), 10);
    assert_eq!((&removed["items"], &removed["rows"]), (&items, &rows));
    let text = shop.diff("--kind implicit --top 0").ok().stdout.clone();
    assert!(text.contains("\n  implicit     removed: 2026-01-03_2026-01-04, "), "{text}");
    assert!(text.contains(&format!("\n    out      {}\n", items["out"]["count"])), "{text}");
    shop.diff("--kind cooc").fails(2, &["neither manifest names cooc"]);

    // The fourth day has no events.
    shop.configure(&[Kind::Popularity]);
    shop.run(&format!("run {SCOPE} --start 2026-01-04")).ok();
    let document = shop.json("");
    let emptied = kind_of(&document, Kind::Popularity);
    let (items, _) = expected(Kind::Popularity, &Naive::new(Kind::Popularity, 3), &Naive::default(), 10);
    assert_eq!((&emptied["state"], &emptied["items"]), (&json!("changed"), &items));
    assert_eq!(emptied["after"]["rows"], 0);

    shop.run(&format!("run {SCOPE} --start 2026-01-04 --segment new --switch-segment")).ok();
    let document = shop.json("");
    let switched = kind_of(&document, Kind::Popularity);
    assert_eq!(
        (&switched["before"]["segment"], &switched["after"]["segment"]),
        (&Value::Null, &json!("new"))
    );
    let text = shop.diff("").ok().stdout.clone();
    assert!(text.contains("2026-01-04_2026-01-05, segment _all -> new, 0 rows, "), "{text}");
    assert_eq!(text.lines().nth(2), Some("    nothing in, nothing out, nothing moved"));
}

#[test]
fn a_blob_that_is_missing_or_damaged_is_not_an_empty_one() {
    let shop = Shop::new(&[Kind::Popularity, Kind::Cooc]);
    for (day, flags) in [(2, ""), (3, "--kind cooc")] {
        let uri = &shop.days[day - 1][&Kind::Cooc];
        let path = &uri["file://".len()..];
        let good = fs::read_to_string(path).unwrap();
        fs::write(path, good.replacen("\"count\":", "\"count\":1", 1)).unwrap();
        let damaged = shop.diff(&format!("{flags} --json"));
        damaged.fails(3, &[uri, "is damaged", "its content has version"]);
        assert_eq!(damaged.stdout, "");
        fs::remove_file(path).unwrap();
        shop.diff(flags).fails(3, &[uri, "does not exist"]);
        shop.diff("--kind popularity").ok();
        fs::write(path, good).unwrap();
    }
    shop.diff("").ok();
}

#[test]
fn two_manifests_must_be_meant_and_there() {
    let shop = Shop::new(&[Kind::Popularity]);
    for flag in ["--from", "--to"] {
        shop.diff(&format!("{flag} 12345")).fails(2, &["\"12345\" is too short for a hash", "6"]);
        shop.diff(&format!("{flag} 000000")).fails(2, &["0 manifests in the history of demo/home", "000000"]);
    }
    shop.diff("--kind nonsense").fails(2, &["--kind", "nonsense"]);
    shop.diff("--top -1").fails(2, &["-1"]);
    shop.run("diff --tenant demo --surface search").fails(2, &["search/manifest.json does not exist"]);

    // A gap in the history does not count as its beginning.
    let [first, second, _] = [0, 1, 2].map(|entry| shop.hash(entry));
    let folder = shop.sandbox.join("out/registry/history/demo/home");
    let mut entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    fs::remove_file(entries.find(|path| path.to_string_lossy().contains(&first)).unwrap()).unwrap();
    shop.diff("").ok();
    shop.diff(&format!("--to {second}")).fails(2, &[&second[..12], "not in the history any more", "--from"]);
    shop.diff(&format!("--to {second} --from {}", shop.hash(1))).ok();

    let text = fs::read_to_string(shop.sandbox.join(MANIFEST)).unwrap();
    // An edited manifest follows the newest entry.
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    let updated: Timestamp = manifest["updated_at"].as_str().unwrap().parse().unwrap();
    manifest["updated_at"] = json!((updated + SignedDuration::from_mins(1)).to_string());
    shop.sandbox.write(MANIFEST, manifest.to_string());
    assert!(shop.diff("").ok().stdout.contains("unchanged"));
}
