//! What must hold for any input: order, splitting, repetition, threads and rewriting never show.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod common;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::vec;

use common::{DAYS, Layout, budget, day, files, key_for, layout, lines, payload, text};
use proptest::prelude::*;
use recsys_core::artifact::{ArtifactKey, Draft, Inputs, ItemCount, Kind, Payload, version};
use recsys_core::canonical::{Canonical, CanonicalError, DayRows, EventReader};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Segment;
use recsys_core::domain::limit::{Limits, OversizedSessions};
use recsys_core::domain::window::Window;
use recsys_core::encoding::hash::sha256;
use recsys_core::encoding::timestamp;
use recsys_core::input::catalog::Catalog;
use recsys_core::input::event::{LineFault, UncheckedExposure};
use recsys_core::input::lines::{LineFile, LinesError, for_each_line};
use recsys_core::input::source::{EventBatch, EventSource};
use recsys_core::storage::Replaced;
use recsys_core::table::events::EventTable;
use recsys_testkit::days::read_days;
use recsys_testkit::folder::{Folder, age, is_old};
use recsys_testkit::generate::{Exposure, Random, busy_day};
use recsys_testkit::process::LIMIT;
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;
use serde_json::Value;

const EVENT_KINDS: [Kind; 4] = [Kind::Popularity, Kind::Cooc, Kind::Implicit, Kind::SessionSeq];

fn read(files: Vec<LineFile>) -> Vec<DayRows> {
    read_within(files, &Budget::default())
}

fn read_within(files: Vec<LineFile>, budget: &Budget) -> Vec<DayRows> {
    read_days(files, &scope(), day(DAYS[0]), day(DAYS[2]), budget).unwrap().0
}

/// The version of each kind that is built from events.
fn versions(days: &[DayRows], segment: Option<&str>, limits: &Limits) -> Vec<String> {
    versions_within(days, segment, limits, &Budget::default())
}

fn versions_within(days: &[DayRows], segment: Option<&str>, limits: &Limits, budget: &Budget) -> Vec<String> {
    let days: Vec<&DayRows> = days.iter().collect();
    let segment = segment.map(|segment| Segment::new(segment).unwrap());
    let events = EventTable::new(&days, segment.as_ref(), limits).unwrap();
    let catalog = Catalog::default();
    let inputs = Inputs { events: &events, catalog: &catalog, budget, model: None };
    let window = Window::ending_with(day(DAYS[2]), 3).unwrap();
    let version = |kind: Kind| {
        let (payload, _) = kind.build(&inputs, limits).unwrap();
        let key = ArtifactKey { kind, scope: scope(), segment: segment.clone(), window };
        Draft::new(&key, &payload).version
    };
    EVENT_KINDS.map(version).to_vec()
}

/// Limits at which every cut is felt.
fn narrow() -> Limits {
    Limits {
        max_items_per_artifact: 4,
        max_neighbors_per_item: 2,
        max_items_per_user: 2,
        min_cooc_support: 1,
        max_items_per_session: 4,
        oversized_sessions: OversizedSessions::Skip,
        ..Limits::default()
    }
}

/// A canonical folder of its own, and the paths of its files.
#[derive(Default)]
struct Days(Folder);

impl Days {
    fn path(&self, day: &DayRows) -> PathBuf {
        self.0.path(&format!("demo/home/exposures/{}.jsonl", day.day))
    }

    /// Writes all days, in order.
    fn write(&self, days: &[DayRows]) -> Vec<Replaced> {
        let scope = scope();
        let canonical = Canonical::new(&self.0.store, &scope);
        days.iter().map(|day| canonical.write(day).unwrap().commit().unwrap()).collect()
    }

    /// The bytes of all days; `None` where there is no file.
    fn bytes(&self, days: &[DayRows]) -> Vec<Option<Vec<u8>>> {
        days.iter().map(|day| fs::read(self.path(day)).ok()).collect()
    }
}

/// The events of lines as a source, which breaks off where they end if it is told to.
struct Batches {
    lines: vec::IntoIter<String>,
    size: usize,
    breaks_off: bool,
}

impl Batches {
    fn new(lines: &[String], size: usize) -> Self {
        Self { lines: Vec::from(lines).into_iter(), size, breaks_off: false }
    }
}

impl EventSource for Batches {
    fn name(&self) -> &'static str {
        "events"
    }

    fn next_batch(&mut self, batch: &mut EventBatch) -> io::Result<bool> {
        batch.clear();
        for line in self.lines.by_ref().take(self.size) {
            let event: Value = serde_json::from_str(&line).unwrap();
            let text = |field: &str| event[field].as_str();
            batch.push(&UncheckedExposure {
                ts: timestamp::parse(text("ts").unwrap().trim()).unwrap(),
                tenant: text("tenant"),
                surface: text("surface"),
                segment: text("segment"),
                user_id: text("user_id"),
                session_id: text("session_id"),
                request_id: text("request_id"),
                item_id: text("item_id"),
                rank: event["rank"].as_i64(),
            });
        }
        let is_end = batch.events().len() == 0;
        if is_end && self.breaks_off { Err(io::Error::other("gone")) } else { Ok(!is_end) }
    }
}

fn two_orders() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    lines().prop_flat_map(|lines| (Just(lines.clone()), Just(lines).prop_shuffle()))
}

fn two_layouts() -> impl Strategy<Value = (Layout, Layout)> {
    (layout(), layout())
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn neither_order_nor_files_show(
        (lines, shuffled) in two_orders(),
        (layout, other_layout) in two_layouts(),
    ) {
        let one = read(layout.files(&lines));
        let other = read(other_layout.files(&shuffled));
        let (one_folder, other_folder) = (Days::default(), Days::default());
        prop_assert_eq!(one_folder.write(&one), other_folder.write(&other));
        prop_assert_eq!(one_folder.bytes(&one), other_folder.bytes(&other));
        for segment in [None, Some("new")] {
            prop_assert_eq!(versions(&one, segment, &narrow()), versions(&other, segment, &narrow()));
        }
    }

    #[test]
    fn ingesting_again_touches_nothing((lines, shuffled) in two_orders(), (layout, other) in two_layouts()) {
        let days = read(layout.files(&lines));
        let folder = Days::default();
        folder.write(&days);
        let bytes = folder.bytes(&days);
        let present: Vec<PathBuf> =
            days.iter().map(|day| folder.path(day)).filter(|path| path.exists()).collect();
        for path in &present {
            age(path);
        }
        let expected: Vec<Replaced> = bytes
            .iter()
            .map(|bytes| if bytes.is_some() { Replaced::Unchanged } else { Replaced::Empty })
            .collect();

        prop_assert_eq!(folder.write(&read(other.files(&shuffled))), expected.clone());
        prop_assert_eq!(folder.bytes(&days), bytes.clone());

        // Read back, the files are the same days with the same hash, and are written the same.
        let scope = scope();
        let canonical = Canonical::new(&folder.0.store, &scope);
        let mut loaded = Vec::new();
        for (day, bytes) in days.iter().zip(&bytes) {
            prop_assert_eq!(canonical.exists(day.day).unwrap(), bytes.is_some());
            let found = canonical.load(day.day, &Budget::default()).unwrap();
            prop_assert_eq!(found.is_some(), bytes.is_some());
            if let (Some((rows, hash)), Some(bytes)) = (found, bytes) {
                prop_assert_eq!(hash, sha256(bytes));
                prop_assert_eq!(rows.duplicates, 0);
                prop_assert_eq!(canonical.write(&rows).unwrap().commit().unwrap(), Replaced::Unchanged);
                loaded.push(rows);
            }
        }
        prop_assert_eq!(versions(&loaded, None, &narrow()), versions(&days, None, &narrow()));
        prop_assert_eq!(folder.bytes(&days), bytes);
        prop_assert!(present.iter().all(|path| is_old(path)));
    }

    /// A day ingested anew has only the new events, and no file when there are none.
    #[test]
    fn a_day_is_replaced_as_a_whole(before in lines(), after in lines(), layout in layout()) {
        let (folder, fresh) = (Days::default(), Days::default());
        let before = read(layout.files(&before));
        folder.write(&before);
        let old = folder.bytes(&before);
        let after = read(layout.files(&after));
        let replaced = folder.write(&after);
        fresh.write(&after);
        let new = fresh.bytes(&after);
        prop_assert_eq!(folder.bytes(&after), new.clone());
        for ((old, new), replaced) in old.iter().zip(&new).zip(replaced) {
            prop_assert_eq!(replaced, match (old, new) {
                (None, None) => Replaced::Empty,
                (Some(_), None) => Replaced::Removed,
                (Some(old), Some(new)) if old == new => Replaced::Unchanged,
                _ => Replaced::Written,
            });
        }
    }
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_segment_is_its_own_lines_and_those_without_one(lines in lines(), layout in layout()) {
        for wanted in ["new", "old", "unheard-of"] {
            let belongs = |line: &String| {
                let line: Value = serde_json::from_str(line).unwrap();
                let segment = line.get("segment").and_then(Value::as_str).unwrap_or_default().trim();
                segment.is_empty() || segment == wanted
            };
            let own: Vec<String> = lines.iter().filter(|line| belongs(line)).cloned().collect();
            let (own, all) = (read(layout.files(&own)), read(layout.files(&lines)));
            for limits in [narrow(), Limits::default()] {
                prop_assert_eq!(versions(&own, Some(wanted), &limits), versions(&all, Some(wanted), &limits));
            }
        }
    }

    #[test]
    fn what_is_encoded_reads_back_with_the_same_version(
        (key, payload) in payload().prop_flat_map(|payload| (key_for(&payload), Just(payload))),
        built_at in text(),
    ) {
        let encoded = Draft::new(&key, &payload).finish(&built_at, &sha256(b""));
        let read = key.kind.parse(&encoded.bytes).unwrap();
        prop_assert_eq!((&read.key, &read.payload, &read.build.built_at), (&key, &payload, &built_at));
        prop_assert_eq!(&read.build.version, &encoded.descriptor.build.version);
        prop_assert_eq!(version(&read.key, &read.payload), encoded.descriptor.build.version.clone());
        prop_assert_eq!(&Draft::new(&read.key, &read.payload).finish(&built_at, &sha256(b"")), &encoded);
        // Laid out otherwise, it is still the same document.
        let value: Value = serde_json::from_slice(&encoded.bytes).unwrap();
        let pretty = serde_json::to_vec_pretty(&value).unwrap();
        prop_assert_eq!(key.kind.parse(&pretty).unwrap().payload, payload);
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn the_budget_does_not_show(
        lines in lines(),
        layout in layout(),
        reading in budget(),
        building in budget(),
        segment in proptest::sample::select(&[None, Some("new"), Some("unheard of")][..]),
    ) {
        let (expected, days) = (read(layout.files(&lines)), read_within(layout.files(&lines), &reading));
        let (one, other) = (Days::default(), Days::default());
        prop_assert_eq!(one.write(&expected), other.write(&days));
        prop_assert_eq!(one.bytes(&expected), other.bytes(&days));
        let outline = |days: &[DayRows]| -> Vec<_> {
            days.iter().map(|day| (day.day, day.len(), day.duplicates)).collect()
        };
        prop_assert_eq!(outline(&expected), outline(&days));
        // A day that was read into memory and is put aside later.
        let aside: Vec<DayRows> = expected.iter().map(|day| day.spilled(&reading).unwrap()).collect();
        prop_assert!(aside.iter().all(|day| day.bytes_in_memory() == 0));
        for limits in [narrow(), Limits::default()] {
            let expected = versions(&expected, segment, &limits);
            prop_assert_eq!(&expected, &versions_within(&days, segment, &limits, &building));
            prop_assert_eq!(&expected, &versions_within(&aside, segment, &limits, &building));
        }
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn the_source_does_not_show(lines in lines(), layout in layout(), size in 1..8usize, budget in budget()) {
        let (scope, [first, last]) = (scope(), [DAYS[0], DAYS[2]].map(day));
        let reader = EventReader::new(&scope, &budget);
        let (expected, counted) = reader.days(layout.files(&lines), first, last).unwrap();
        let (mut gathered, counts) = reader.gather_from(&mut Batches::new(&lines, size), first, last).unwrap();
        prop_assert_eq!(counted, counts);
        let days: Vec<DayRows> = DAYS.map(|date| gathered.take(day(date)).unwrap().unwrap()).into();
        let (one, other) = (Days::default(), Days::default());
        prop_assert_eq!(one.write(&expected), other.write(&days));
        prop_assert_eq!(one.bytes(&expected), other.bytes(&days));
    }
}

#[test]
fn the_first_bad_event_of_a_source_is_reported_as_that_of_a_file() {
    let good: Vec<String> = busy_day(1, DAYS[0], 500, 100).iter().map(Exposure::line).collect();
    let (scope, budget, day) = (scope(), Budget::default(), day(DAYS[0]));
    let reader = EventReader::new(&scope, &budget);
    let error = |mut source: Batches| reader.gather_from(&mut source, day, day).unwrap_err();
    for (field, bad) in
        [("item_id", "é".repeat(300)), ("session_id", " ".to_owned()), ("tenant", String::new())]
    {
        let mut lines = good.clone();
        for number in [300, 301, 400] {
            let mut event: Value = serde_json::from_str(&lines[number]).unwrap();
            event[field] = bad.clone().into();
            lines[number] = event.to_string();
        }
        let file = LineFile::new("events", io::Cursor::new(lines.join("\n")));
        let expected = reader.gather(vec![file], day, day).unwrap_err().to_string();
        assert!(expected.starts_with("events:301: field"), "{expected}");
        for size in [1, 7, 1000] {
            assert_eq!(
                error(Batches { breaks_off: true, ..Batches::new(&lines, size) }).to_string(),
                expected
            );
        }
    }
    let broken = error(Batches { breaks_off: true, ..Batches::new(&good, 7) });
    assert!(
        matches!(broken, LinesError::Store(error) if error.target == "events" && error.source.to_string() == "gone")
    );
}

/// Lines of several blocks, so that every thread gets some.
#[test]
fn neither_the_number_of_threads_nor_the_budget_shows() {
    let mut random = Random(3);
    let mut lines: Vec<String> = DAYS
        .iter()
        .zip(1..)
        .flat_map(|(day, seed)| busy_day(seed, day, 8000, 3000))
        .map(|event: Exposure| event.line())
        .collect();
    for last in (1..lines.len()).rev() {
        lines.swap(last, random.below(last + 1));
    }
    let half = lines.len() / 2;
    let contents = [lines[..half].join("\n"), lines[half..].join("\r\n")].map(String::into_bytes);
    let size: usize = contents.iter().map(Vec::len).sum();
    assert!(size > 4 << 20, "{size} bytes are too few to be cut into blocks");
    let limits = Limits { max_items_per_artifact: 300, ..Limits::default() };
    let run = |threads: usize, memory: u64| {
        let budget = Budget::new(memory, std::env::temp_dir());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let days = read_within(files(contents.clone()), &budget);
            let folder = Days::default();
            folder.write(&days);
            let duplicates: Vec<u64> = days.iter().map(|day| day.duplicates).collect();
            let versions =
                [None, Some("segment-1")].map(|segment| versions_within(&days, segment, &limits, &budget));
            (folder.bytes(&days), duplicates, versions)
        })
    };
    let alone = run(1, 1 << 30);
    assert!(alone.0.iter().flatten().map(Vec::len).sum::<usize>() > 3 << 20);
    assert!(alone.1.iter().all(|duplicates| *duplicates > 100));
    for (threads, memory) in
        [(2, 1 << 30), (7, 1 << 30), (7, 1 << 30), (1, 1 << 18), (2, 1 << 21), (7, 1 << 16)]
    {
        assert!(run(threads, memory) == alone, "{threads} threads with {memory} bytes give another result");
    }
}

/// A canonical file that does not hold one day of one surface was not written by ingest.
#[test]
fn canonical_data_with_strangers_is_refused() {
    let folder = Days::default();
    let scope = scope();
    let canonical = Canonical::new(&folder.0.store, &scope);
    let mut events = busy_day(1, DAYS[1], 3, 3);
    let path = folder.0.path(&format!("demo/home/exposures/{}.jsonl", DAYS[1]));
    let write = |events: &[Exposure]| {
        let lines: Vec<String> = events.iter().map(|event| event.line() + "\n").collect();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, lines.concat()).unwrap();
    };
    write(&events);
    assert_eq!(canonical.load(day(DAYS[1]), &Budget::default()).unwrap().unwrap().0.len(), 3);
    let strangers: [fn(&mut Exposure); 4] = [
        |event| event.ts = format!("{}T00:00:00Z", DAYS[2]),
        |event| event.ts = format!("{}T23:59:59.999999999Z", DAYS[0]),
        |event| event.tenant = "other".into(),
        |event| event.surface = "cart".into(),
    ];
    for stranger in strangers {
        let kept = events[1].clone();
        stranger(&mut events[1]);
        write(&events);
        let error = canonical.load(day(DAYS[1]), &Budget::default()).unwrap_err();
        assert!(matches!(&error, CanonicalError::Strangers(_, 1)), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        events[1] = kept;
    }
    write(&events);
    fs::write(&path, &fs::read(&path).unwrap()[..100]).unwrap();
    assert!(matches!(canonical.load(day(DAYS[1]), &Budget::default()), Err(CanonicalError::Line(_))));
}

/// An event is an object, as the contract has it; a list of the fields in some order is not.
#[test]
fn an_event_that_is_a_list_is_refused() {
    let list = r#"[1,"2026-01-01T00:00:00Z","demo","home",null,null,"s",null,"A",null]"#;
    let read = read_days(files([list.into()]), &scope(), day(DAYS[0]), day(DAYS[0]), &Budget::default());
    assert!(read.is_err(), "taken: {:?}", read.unwrap().0);
}

/// Consumers parse by the schema, so a blob that only this crate can read must not pass its check.
#[test]
fn a_document_with_lists_in_place_of_objects_is_refused() {
    let payload = Payload::Popularity(vec![ItemCount { item_id: "A".into(), count: 3, score: None }]);
    let window = Window::ending_with(day(DAYS[0]), 1).unwrap();
    let key = ArtifactKey { kind: Kind::Popularity, scope: scope(), segment: None, window };
    let encoded = Draft::new(&key, &payload).finish("2026-01-02T00:00:00Z", &sha256(b""));
    let text = String::from_utf8(encoded.bytes.into()).unwrap();
    for (object, list) in [
        (r#"{"item_id":"A","count":3}"#, r#"["A",3]"#),
        (
            r#"{"start":"2026-01-01T00:00:00Z","end":"2026-01-02T00:00:00Z"}"#,
            r#"["2026-01-01T00:00:00Z","2026-01-02T00:00:00Z"]"#,
        ),
    ] {
        let edited = text.replace(object, list);
        assert_ne!(edited, text);
        assert!(Kind::Popularity.parse(edited.as_bytes()).is_err(), "taken: {edited}");
    }
}

/// There are more blocks than workers, and one of them may panic while it reads, which is when it holds the lock.
#[test]
fn a_panic_in_a_worker_ends_the_run() {
    struct Panics;
    impl std::io::Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            panic!("on purpose")
        }
    }
    let text = || files([b"line\n".repeat(2 << 20)]);
    let broken = || {
        let mut lines = text();
        lines.push(LineFile::new("x", Panics));
        lines
    };
    for threads in [1, 3] {
        for (lines, is_bad) in [(text(), true), (broken(), false)] {
            let (ended, end) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                    let work = |(): &mut (), _: &str| -> Result<(), LineFault> {
                        assert!(!is_bad, "on purpose");
                        Ok(())
                    };
                    pool.install(|| for_each_line(lines, rayon::current_num_threads(), None, || (), work))
                        .unwrap();
                });
                ended.send(std::panic::catch_unwind(run).is_err()).unwrap();
            });
            assert_eq!(end.recv_timeout(LIMIT), Ok(true), "it hangs, or the panic is lost");
        }
    }
}
