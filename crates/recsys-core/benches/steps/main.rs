//! Micro-benchmarks of the steps from raw lines to artifacts, on the reference workload.
//!
//! Run them with `cargo bench -p recsys-core`, one of them with its name behind `--`. Threads are as many as there
//! are processors, or `RAYON_NUM_THREADS`.

mod entry;

use std::sync::LazyLock;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use recsys_core::artifact::Kind;
use recsys_core::canonical::DayRows;
use recsys_core::input::catalog::Catalog;
use recsys_core::storage::LocalStore;
use recsys_core::table::events::EventTable;
use recsys_testkit::workload::Workload;

const EVENTS: usize = 200_000;

static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut text = Vec::new();
    Workload::reference(entry::day(), EVENTS as u64).write(&mut text).expect("writing to memory");
    text
});

static ROWS: LazyLock<DayRows> = LazyLock::new(|| entry::sort(&TEXT, &entry::scope()));

static EVENT_TABLE: LazyLock<EventTable> = LazyLock::new(|| entry::table(&ROWS));

/// 50,000 items with four of 200 tags each.
static CSV: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut csv = "item_id,tags,price\n".to_owned();
    for item in 0..50_000u32 {
        let tags: Vec<String> =
            (1..5).map(|n| format!("Tag {}", item.wrapping_mul(n * 7919) % 200)).collect();
        csv.push_str(&format!("sku-{item:06},{},{}.50\n", tags.join("|"), item % 300));
    }
    csv.into_bytes()
});

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| entry::catalog(&CSV));

fn main() {
    divan::main();
}

/// One thread parses and checks every line.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    let text = std::str::from_utf8(&TEXT).expect("JSON is UTF-8");
    let scope = entry::scope();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(BytesCount::of_slice(text.as_bytes()))
        .bench(|| black_box(text).lines().filter(|line| entry::parse(line, &scope)).count());
}

/// All threads parse and check every line.
#[divan::bench]
fn parse_on_all_threads(bencher: Bencher<'_, '_>) {
    let scope = entry::scope();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(BytesCount::of_slice(TEXT.as_slice()))
        .bench(|| entry::parse_all(black_box(&TEXT), &scope));
}

/// The same, and the events are sorted: the difference is what numbers for strings and the canonical order cost.
#[divan::bench]
fn parse_and_sort(bencher: Bencher<'_, '_>) {
    let scope = entry::scope();
    bencher
        .counter(ItemsCount::new(EVENTS))
        .counter(BytesCount::of_slice(TEXT.as_slice()))
        .bench(|| entry::sort(black_box(&TEXT), &scope));
}

/// The canonical file, up to but without the flush to the disk.
#[divan::bench]
fn write_canonical(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = LocalStore::new(folder.path()).expect("a folder");
    let scope = entry::scope();
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| entry::write(&store, &scope, black_box(&ROWS)));
}

/// What every builder reads, from a day's events.
#[divan::bench]
fn table(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(EVENTS)).bench(|| entry::table(black_box(&ROWS)));
}

#[divan::bench]
fn read_catalog(bencher: Bencher<'_, '_>) {
    bencher.counter(BytesCount::of_slice(CSV.as_slice())).bench(|| entry::catalog(black_box(&CSV)));
}

/// The document of one kind from the table, or from the catalogue.
#[divan::bench(args = Kind::ALL)]
fn build(bencher: Bencher<'_, '_>, kind: Kind) {
    let (events, catalog) = (&*EVENT_TABLE, &*CATALOG);
    bencher.bench(|| entry::draft(kind, black_box(events), black_box(catalog)));
}

/// The document of one kind as compact JSON, with its version.
#[divan::bench(args = Kind::ALL)]
fn encode(bencher: Bencher<'_, '_>, kind: Kind) {
    let payload = entry::build(kind, &EVENT_TABLE, &CATALOG);
    let bytes = entry::encode(&payload).bytes.len();
    bencher.counter(BytesCount::new(bytes)).bench(|| entry::encode(black_box(&payload)));
}

/// The version alone, as readers recompute it.
#[divan::bench(args = Kind::ALL)]
fn version(bencher: Bencher<'_, '_>, kind: Kind) {
    let payload = entry::build(kind, &EVENT_TABLE, &CATALOG);
    let bytes = entry::encode(&payload).bytes.len();
    bencher.counter(BytesCount::new(bytes)).bench(|| entry::hash(black_box(&payload)));
}
