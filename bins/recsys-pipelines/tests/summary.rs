//! `scripts/test` ends with the failed tests and how to rerun them, or with the number that passed.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::process::Command;

use recsys_testkit::golden::repository;
use recsys_testkit::sandbox::{Finished, Sandbox};

/// A crate with tests of its own, in two targets.
fn small_crate(sandbox: &Sandbox, cooc_is: &str) {
    let manifest = "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n";
    sandbox.write("Cargo.toml", manifest);
    sandbox.write("src/lib.rs", "//! Nothing.\n\n#[test]\nfn inside() {}\n");
    let tests = format!(
        "#[test]\nfn cooc() {{ assert_eq!({cooc_is}, 1, \"\\nfailures:\\n    x\"); }}\n#[test]\nfn implicit() {{}}\n"
    );
    sandbox.write("tests/kinds.rs", tests);
    sandbox.write("tests/days.rs", "#[test]\nfn today() {}\n");
}

/// Runs steps like `scripts/test`, in a sandbox.
fn run_steps(sandbox: &Sandbox, steps: &[&str]) -> Finished {
    let script = format!(
        "set -euo pipefail; source {}/scripts/steps; {}; finish",
        repository().display(),
        steps.join("; ")
    );
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]);
    sandbox.prepare(&mut bash);
    bash.env("CARGO_TARGET_DIR", sandbox.join("target")).env_remove("RUSTFLAGS").output().unwrap().into()
}

const TESTS: &str = "step cargo test --workspace --offline --no-fail-fast";

fn last_lines(finished: &Finished, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = finished.stdout.lines().collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[test]
fn a_run_that_passes_ends_with_how_many_tests_passed() {
    let sandbox = Sandbox::new();
    small_crate(&sandbox, "1");
    // Output that looks like a step is not one.
    let finished = run_steps(&sandbox, &["step echo '== attack: audit'", TESTS]);
    assert_eq!(last_lines(finished.ok(), 1), ["4 passed, 0 failed"]);
    assert!(!finished.stdout.contains("again:"), "{}", finished.stdout);
}

#[test]
fn a_run_that_fails_ends_with_each_step_each_test_and_how_to_run_it_again() {
    let sandbox = Sandbox::new();
    small_crate(&sandbox, "2");
    let steps = ["step env SHOP='a b' sh -c 'exit 3'", TESTS, "step echo the last one"];
    let finished = run_steps(&sandbox, &steps);
    // Exit code of the first step that failed; the others still ran.
    assert_eq!(finished.code, Some(3), "{finished:#?}");
    assert!(finished.stdout.contains("\nthe last one\n"), "{}", finished.stdout);
    let again = "cargo test --offline --test kinds -- --exact cooc";
    let expected = [
        "== failed",
        r"env SHOP=a\ b sh -c exit\ 3: exit code 3",
        r"    again: env SHOP=a\ b sh -c exit\ 3",
        "cargo test --workspace --offline --no-fail-fast: exit code 101",
        "  cooc",
        &format!("    again: {again}"),
        "3 passed, 1 failed; 1 other steps failed",
    ];
    let summary: Vec<String> =
        last_lines(&finished, expected.len()).iter().map(|line| line.replace("-p small ", "")).collect();
    assert_eq!(summary, expected, "{}", finished.stdout);

    // The printed command runs exactly that test.
    let finished = run_steps(&sandbox, &[&format!("step {again}")]);
    assert_eq!(last_lines(&finished, 1), ["0 passed, 1 failed"], "{finished:#?}");
    small_crate(&sandbox, "1");
    let finished = run_steps(&sandbox, &[&format!("step {again}")]);
    assert_eq!(last_lines(finished.ok(), 1), ["1 passed, 0 failed"]);
}

/// `scripts/suites` is told of like cargo.
#[test]
fn suites_that_run_side_by_side_are_counted_and_named_too() {
    let sandbox = Sandbox::new();
    small_crate(&sandbox, "2");
    sandbox.write("tests/weeks.rs", "#[test]\nfn this() { std::process::abort() }\n");
    let suites = repository().join("scripts/suites");
    let suites = suites.display();
    let finished = run_steps(&sandbox, &[&format!("step {suites} --workspace --offline")]);
    assert_eq!(finished.code, Some(101), "{finished:#?}");
    let kinds = "--offline -p small --test kinds -- --exact cooc";
    let weeks = "--offline -p small --test weeks";
    // Its own summary, and that of the steps.
    for program in ["scripts/with-services cargo test", &suites.to_string()] {
        let lines = [
            format!("\n  cooc\n    again: {program} {kinds}\n"),
            format!(
                "\n  -p small --test weeks: it ended before its tests did\n    again: {program} {weeks}\n"
            ),
        ];
        for lines in lines {
            assert!(finished.stdout.contains(&lines), "{lines} is not in {}", finished.stdout);
        }
    }
    assert_eq!(last_lines(&finished, 1), ["3 passed, 1 failed"], "{}", finished.stdout);
    assert!(sandbox.join("target/suites.json").exists());

    // The printed command runs exactly that test.
    let finished = run_steps(&sandbox, &[&format!("step {suites} {kinds}")]);
    assert_eq!(last_lines(&finished, 1), ["0 passed, 1 failed"], "{finished:#?}");
    small_crate(&sandbox, "1");
    let finished = run_steps(&sandbox, &[&format!("step {suites} {kinds}")]);
    assert_eq!(last_lines(finished.ok(), 1), ["1 passed, 0 failed"]);
}

#[test]
fn tests_that_died_and_steps_without_which_there_are_no_others_are_named_too() {
    let sandbox = Sandbox::new();
    small_crate(&sandbox, "{ std::process::abort(); 1 }");
    let finished = run_steps(&sandbox, &[TESTS]);
    assert_eq!(finished.code, Some(101), "{finished:#?}");
    assert!(finished.stdout.contains("--test kinds: it ended before its tests did\n"), "{}", finished.stdout);

    let finished = run_steps(&sandbox, &["needed sh -c 'exit 7'", "step echo never"]);
    assert_eq!(finished.code, Some(7), "{finished:#?}");
    assert_eq!(last_lines(&finished, 1), ["0 passed, 0 failed; 1 other steps failed"]);
    assert!(!finished.stdout.contains("never"), "{}", finished.stdout);
}
