//! What is kept of the fuzzer's inputs passes every check, and gets to all that is checked.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::path::PathBuf;

use recsys_core::artifact::{DocumentError, Kind};
use recsys_core::input::catalog::{CatalogFormat, CatalogRows};
use recsys_core::input::event::{RawExposure, Rules};
use recsys_core::publish::{HistoryEntry, Manifest, Record};
use recsys_fuzz::TARGETS;
use recsys_testkit::golden::repository;
use recsys_testkit::scope::scope;

/// The inputs that are kept for a target; at least one.
fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = repository().join("testdata/fuzz").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let inputs: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(!inputs.is_empty(), "{} is empty", folder.display());
    inputs
}

#[test]
fn every_kept_input_passes() {
    for (target, check) in TARGETS {
        for (path, input) in kept(target) {
            // Shown when the check fails.
            println!("{}", path.display());
            check(&input);
        }
    }
}

/// Inputs that nothing takes any more would pass every check.
#[test]
fn the_kept_inputs_get_to_every_reader() {
    let any =
        |target: &str, takes: &dyn Fn(&[u8]) -> bool| kept(target).iter().any(|(_, input)| takes(input));

    let scope = scope();
    let is_event = |input: &[u8]| {
        let line = std::str::from_utf8(input).unwrap_or_default();
        RawExposure::parse(line).is_ok_and(|raw| matches!(raw.check(&Rules::new(&scope)), Ok(Some(_))))
    };
    assert!(any("event", &is_event));

    for format in [CatalogFormat::Csv, CatalogFormat::Jsonl] {
        let is_catalog = |input: &[u8]| {
            CatalogRows::open("x", format, input).is_ok_and(|mut rows| matches!(rows.next_row(), Ok(Some(_))))
        };
        assert!(any("catalog", &is_catalog), "{format:?}");
    }

    assert!(any("documents", &|input| serde_json::from_slice::<Manifest>(input).is_ok()));
    assert!(any("documents", &|input| serde_json::from_slice::<Record>(input).is_ok()));
    assert!(any("documents", &|input| serde_json::from_slice::<HistoryEntry>(input).is_ok()));
    for kind in Kind::ALL {
        let is_artifact =
            |input: &[u8]| matches!(kind.parse(input), Ok(_) | Err(DocumentError::Version { .. }));
        assert!(any("documents", &is_artifact), "{kind}");
    }
}

#[test]
fn every_target_has_a_program() {
    for (target, _) in TARGETS {
        let program = repository().join(format!("fuzz/fuzz_targets/{target}.rs"));
        let text =
            fs::read_to_string(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(text.contains(&format!("recsys_fuzz::{target}(data)")), "{}", program.display());
    }
}
