//! How the benchmarks call the library: the one place to change when an entry point does.

use std::sync::LazyLock;

use recsys_core::artifact::{ArtifactKey, Draft, Encoded, Inputs, Kind, Payload, version};
use recsys_core::canonical::{Canonical, DayRows};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::{Scope, Surface, Tenant};
use recsys_core::domain::limit::Limits;
use recsys_core::domain::window::{Day, Window};
use recsys_core::input::catalog::{Catalog, CatalogFormat};
use recsys_core::input::event::{RawExposure, Rules};
use recsys_core::input::lines::{LineFile, for_each_line};
use recsys_core::input::stop::Stop;
use recsys_core::storage::LocalStore;
use recsys_core::table::events::EventTable;
use recsys_testkit::days::read_days;

static BUDGET: LazyLock<Budget> = LazyLock::new(Budget::default);

pub(crate) fn scope() -> Scope {
    let (tenant, surface) = (Tenant::new("demo"), Surface::new("home"));
    Scope { tenant: tenant.expect("a good name"), surface: surface.expect("a good name") }
}

pub(crate) fn day() -> Day {
    "2026-01-01".parse().expect("a day")
}

/// The defaults, without the cuts that would leave encoders little to do.
pub(crate) fn limits() -> Limits {
    Limits { max_items_per_artifact: 100_000, max_items_per_user: 200, ..Limits::default() }
}

/// Whether a line is an event of the scope.
pub(crate) fn parse(line: &str, scope: &Scope) -> bool {
    let raw = RawExposure::parse(line).expect("a good line");
    raw.check(&Rules::new(scope)).expect("a good event").is_some()
}

fn file(text: &'static [u8]) -> Vec<LineFile> {
    vec![LineFile::new("x", text)]
}

/// How many events of the scope the lines hold, read with all threads.
pub(crate) fn parse_all(text: &'static [u8], scope: &Scope) -> u64 {
    let work = |events: &mut u64, line: &str| {
        *events += u64::from(parse(line, scope));
        Ok::<_, Stop>(())
    };
    for_each_line(file(text), rayon::current_num_threads(), None, u64::default, work)
        .expect("good lines")
        .into_iter()
        .sum()
}

/// The events of the day in canonical order.
pub(crate) fn sort(text: &'static [u8], scope: &Scope) -> DayRows {
    let (mut days, _) = read_days(file(text), scope, day(), day(), &BUDGET).expect("good lines");
    days.pop().expect("one day")
}

/// Writes the canonical file of the day below `store` and leaves it aside.
pub(crate) fn write(store: &LocalStore, scope: &Scope, rows: &DayRows) -> String {
    Canonical::new(store, scope).write(rows).expect("a folder").hash().to_owned()
}

/// What every builder reads.
pub(crate) fn table(rows: &DayRows) -> EventTable {
    EventTable::new(&[rows], None, &limits()).expect("within the limits")
}

pub(crate) fn catalog(csv: &[u8]) -> Catalog {
    let surface = scope().surface;
    Catalog::read("x", CatalogFormat::Csv, csv, &surface, &limits(), &BUDGET).expect("a good catalogue")
}

pub(crate) fn build<'a>(kind: Kind, events: &'a EventTable, catalog: &'a Catalog) -> Payload<'a> {
    kind.build(&Inputs { events, catalog, budget: &BUDGET, model: None }, &limits())
        .expect("within the limits")
        .0
}

/// The document of a kind, as jobs make it.
pub(crate) fn draft(kind: Kind, events: &EventTable, catalog: &Catalog) -> Draft {
    let inputs = Inputs { events, catalog, budget: &BUDGET, model: None };
    Draft::build(&key(kind), &inputs, &limits()).expect("within the limits").0
}

fn key(kind: Kind) -> ArtifactKey {
    let window = Window::ending_with(day(), 1).expect("a window");
    ArtifactKey { kind, scope: scope(), segment: None, window }
}

/// The document as it is stored.
pub(crate) fn encode(payload: &Payload<'_>) -> Encoded {
    let source_hash = "0".repeat(64);
    Draft::new(&key(payload.kind()), payload).finish("2026-01-02T00:00:00Z", &source_hash)
}

/// The version, without the document.
pub(crate) fn hash(payload: &Payload<'_>) -> String {
    version(&key(payload.kind()), payload)
}
