//! Inputs made to use as much memory or disk as possible: each is refused by name or processed, and the whole process
//! stays within `resources.memory_bytes` plus a constant.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::io::Write;

use recsys_core::columnar::spill::Budget;
use recsys_testkit::sandbox::{Finished, Sandbox};
use serde_json::{Value, json};

const FLAGS: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";
const RAW: &str = "raw/demo/home/exposure.2026-01-01.jsonl";

/// Memory outside the budget: code, buffers, and memory kept by the allocator.
const REST_BYTES: u64 = 96 << 20;

/// A sandbox with the smallest allowed budget.
fn sandbox(validation: &Value) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.configure(&json!({
        "artifact_kinds": ["popularity", "cooc", "implicit", "session_seq"],
        "resources": {"memory_bytes": Budget::LEAST_BYTES},
        "validation": validation,
    }));
    sandbox
}

/// Runs a binary and asserts that it stays within its memory.
#[track_caller]
fn run(sandbox: &Sandbox, binary: &str, line: &str) -> Finished {
    let (finished, peak_bytes) = sandbox.run_measured(binary, line);
    let most = Budget::LEAST_BYTES + REST_BYTES;
    assert!(peak_bytes <= most, "{} MiB: {finished:#?}", peak_bytes >> 20);
    finished
}

/// An event line with a field added or replaced.
fn line(field: &str, value: &str) -> String {
    let others = [("session_id", "s"), ("item_id", "i")].into_iter().filter(|(name, _)| *name != field);
    let others: Vec<String> = others.map(|(name, value)| format!(r#""{name}":"{value}","#)).collect();
    let start = r#"{"v":1,"ts":"2026-01-01T08:00:00Z","tenant":"demo","surface":"home","#;
    format!("{start}{}\"{field}\":\"{value}\"}}\n", others.concat())
}

/// Writes a compressed file piece by piece, with only one piece in memory.
fn write_zst(sandbox: &Sandbox, path: &str, pieces: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for piece in pieces {
        encoder.write_all(piece.as_ref()).unwrap();
    }
    sandbox.write(path, encoder.finish().unwrap());
}

#[test]
fn ids_of_a_megabyte() {
    for field in ["session_id", "item_id", "user_id", "request_id", "segment"] {
        let sandbox = sandbox(&json!({"max_invalid_ratio": 1, "max_quarantine_bytes": 4 << 20}));
        let text = "x".repeat(1_000_000);
        let long = |number: usize| line(field, &format!("{text}{number}"));
        write_zst(&sandbox, &format!("{RAW}.zst"), (0..180).map(long));
        let reason = format!("field `{field}` is 1000001 bytes long; limits.max_id_bytes allows 512");
        run(&sandbox, "job_ingest", FLAGS).fails(3, &[&reason, "gate max_quarantine_bytes"]);
        let strict = FLAGS.replace("config.json", "strict.json");
        sandbox.write("strict.json", json!({"out_dir": "out", "raw_events_dir": "raw"}).to_string());
        run(&sandbox, "job_ingest", &strict).fails(3, &[&reason, ":1: "]);
    }
}

#[test]
fn more_distinct_strings_than_memory() {
    let sandbox = sandbox(&json!({}));
    let lines = (0..80_000).map(|number| line("session_id", &format!("{number:0500}")));
    write_zst(&sandbox, &format!("{RAW}.zst"), lines);
    let parts =
        ["the distinct strings of 2026-01-01 take", "16777216 are for them", "raise resources.memory_bytes"];
    run(&sandbox, "job_ingest", FLAGS).fails(4, &parts);
}

/// Each day fits in memory, but the window does not.
#[test]
fn more_distinct_strings_than_memory_in_a_window() {
    let sandbox = sandbox(&json!({}));
    for day in 1..=3 {
        let raw = RAW.replace("-01.jsonl", &format!("-0{day}.jsonl.zst"));
        let lines = (0..12_000).map(|number| {
            line("session_id", &format!("{day}{number:0500}")).replace("-01T", &format!("-0{day}T"))
        });
        write_zst(&sandbox, &raw, lines);
    }
    let parts = ["the distinct strings of the days of a window take", "raise resources.memory_bytes"];
    let flags = format!("run {FLAGS} --end 2026-01-03 --window-days 3");
    let finished = run(&sandbox, "recsys-pipelines", &flags);
    // Other lines warn that the first windows are incomplete.
    let last = finished.stderr.lines().last().unwrap_or_default().to_owned();
    Finished { stderr: last, ..finished }.fails(4, &parts);
}

#[test]
fn lines_of_many_megabytes() {
    for (max_invalid_ratio, part) in [(0, "longer than 1048576 bytes"), (1, "longer than 16777216 bytes")] {
        let sandbox = sandbox(&json!({"max_invalid_ratio": max_invalid_ratio}));
        write_zst(&sandbox, &format!("{RAW}.zst"), (0..300).map(|_| vec![b'x'; 1 << 20]));
        run(&sandbox, "job_ingest", FLAGS).fails(3, &[RAW, part]);
    }
}

#[test]
fn a_window_of_zstd() {
    let sandbox = sandbox(&json!({}));
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    for _ in 0..200 {
        encoder.write_all((" ".repeat((1 << 20) - 1) + "\n").as_bytes()).unwrap();
    }
    let raw = format!("{RAW}.zst");
    sandbox.write(&raw, encoder.finish().unwrap());
    let parts =
        ["cannot read", &raw, "window is larger than the 16 MiB", "resources.memory_bytes", "--long=24"];
    run(&sandbox, "job_ingest", FLAGS).fails(4, &parts);
}

#[test]
fn rubbish_that_is_compressed_well() {
    let sandbox = sandbox(&json!({"max_invalid_ratio": 1, "max_quarantine_bytes": 4 << 20}));
    write_zst(&sandbox, &format!("{RAW}.zst"), (0..400).map(|_| "x\n".repeat(1 << 16)));
    let parts = ["gate max_quarantine_bytes refused 2026-01-01", "more than 4194304 bytes", RAW];
    run(&sandbox, "job_ingest", FLAGS).fails(3, &parts);
}

#[test]
fn a_catalogue_of_long_texts() {
    let sandbox = sandbox(&json!({}));
    let flags = format!("{FLAGS} --input items.csv.zst");
    let rows = |row: fn(usize) -> String| {
        ["id,tags\n".to_owned()].into_iter().chain((0..180).map(row)).collect::<Vec<_>>()
    };
    write_zst(&sandbox, "items.csv.zst", rows(|number| format!("{number}{},a\n", "x".repeat(1_000_000))));
    run(&sandbox, "job_content_sim", &flags).fails(3, &["items.csv.zst:2", "limits.max_id_bytes allows 512"]);
    let tags = |number| {
        let tag = |tag| format!("{tag}{}", "t".repeat(1000));
        format!("{number},{}\n", (0..900).map(tag).collect::<Vec<_>>().join("|"))
    };
    write_zst(&sandbox, "items.csv.zst", rows(tags));
    let parts = ["the items of items.csv.zst take", "raise resources.memory_bytes"];
    run(&sandbox, "job_content_sim", &flags).fails(4, &parts);
}
