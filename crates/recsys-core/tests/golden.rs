//! Every golden case through the library.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs::File;
use std::io::BufReader;

use recsys_core::artifact::{ArtifactKey, Draft, Inputs};
use recsys_core::canonical::DayRows;
use recsys_core::columnar::spill::Budget;
use recsys_core::encoding::hash::sha256;
use recsys_core::input::catalog::{Catalog, CatalogFormat};
use recsys_core::input::lines::LineFile;
use recsys_core::table::events::EventTable;
use recsys_testkit::days::read_days;
use recsys_testkit::golden::{Case, cases};

fn build_all(case: &Case) {
    let raw = case.dir.join("exposure.jsonl");
    let file = LineFile::new(raw.display().to_string(), File::open(&raw).unwrap());
    let budget = Budget::default();
    let (days, _) = read_days(vec![file], &case.scope, case.first_day(), case.last_day(), &budget).unwrap();
    let days: Vec<&DayRows> = days.iter().collect();
    let events = EventTable::new(&days, case.segment.as_ref(), &case.limits).unwrap();
    let catalog = match File::open(case.dir.join("catalog.csv")) {
        Ok(file) => {
            let reader = BufReader::new(file);
            let surface = &case.scope.surface;
            Catalog::read("catalog.csv", CatalogFormat::Csv, reader, surface, &case.limits, &budget).unwrap()
        }
        Err(_) => Catalog::default(),
    };
    for (kind, expected) in &case.versions {
        let inputs = Inputs { events: &events, catalog: &catalog, budget: &budget, model: None };
        let (payload, _) = kind.build(&inputs, &case.limits).unwrap();
        let key = ArtifactKey {
            kind: *kind,
            scope: case.scope.clone(),
            segment: case.segment.clone(),
            window: case.window,
        };
        let encoded = Draft::new(&key, &payload).finish("2026-01-01T00:00:00Z", &sha256(b""));
        assert_eq!(encoded.descriptor.build.version, *expected, "{} {kind}", case.name());
        let read = kind.parse(&encoded.bytes).unwrap();
        assert_eq!((&read.key, &read.payload), (&key, &payload));
        read.payload.check(&case.limits).unwrap();
    }
}

#[test]
fn every_case_matches() {
    cases().iter().for_each(build_all);
}
