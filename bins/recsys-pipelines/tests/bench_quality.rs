//! `scripts/bench-quality` on a few users and sessions, with figures worked out by hand.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::process::Command;

use recsys_testkit::golden::repository;
use recsys_testkit::sandbox::{Finished, Sandbox, binaries};
use serde_json::Value;

/// Runs the script on the folder `data` of a sandbox; `line` holds its flags, separated by blanks.
fn judge(sandbox: &Sandbox, line: &str) -> Finished {
    let mut script = Command::new(repository().join("scripts/bench-quality"));
    script.arg("data").args(line.split_whitespace()).arg("--binary").arg(binaries().join("recsys-pipelines"));
    sandbox.prepare(&mut script);
    script.output().unwrap().into()
}

/// The lines of a file of user and item.
fn pairs(users: &[(&str, &str)]) -> String {
    users
        .iter()
        .flat_map(|(user, items)| items.split(' ').map(move |item| format!("{user}\t{item}\n")))
        .collect()
}

#[track_caller]
fn assert_metrics(document: &Value, data: &str, model: &str, expected: &[(&str, f64)]) {
    let model = &document["data"][data]["models"][model];
    for (metric, expected) in expected {
        let measured = model["metrics"][metric].as_f64().unwrap();
        assert!((measured - expected).abs() < 0.000_05, "{metric} is {measured}, not {expected}");
    }
    assert!(model["artifact_bytes"].as_u64().unwrap() > 0 && model["cpu_s"].as_f64().unwrap() > 0.0);
}

/// Two users with a and b, and two with a and c: the baseline has the rows a: b c, b: a, c: a, each pair counted twice.
const TRAIN: [(&str, &str); 5] = [("1", "a b"), ("2", "a b"), ("3", "a c"), ("4", "a c"), ("5", "a")];

/// User 1 has a and b, so the list is c: 1 of 10 is a hit, and it is all that there is to find. User 5 has a, so the list is
/// b c: the second of 10 is a hit, of 11 to find. User 6 is unknown.
#[test]
fn lists_for_users_are_judged_at_10() {
    let sandbox = Sandbox::new();
    sandbox.write("data/ml100k.train.tsv", pairs(&TRAIN));
    let test = [("1", "c"), ("5", "c d e f g h i j k l m"), ("6", "a")];
    sandbox.write("data/ml100k.test.tsv", pairs(&test));
    let document = judge(&sandbox, "--model baseline,baseline-cooc --json").ok().json();
    // The baseline lists what the user has had: none of it counts.
    let none = [("precision", 0.0), ("recall", 0.0), ("ndcg_all", 0.0), ("ndcg", 0.0)];
    assert_metrics(&document, "ml100k", "baseline", &none);
    // 1 / log2(2 + 1) is 0.63093; the sum of 1 / log2(place + 1) is 4.54356 over 10 places and 4.82250 over 11.
    let expected = [
        ("precision", (0.1 + 0.1) / 3.0),
        ("recall", (1.0 + 1.0 / 11.0) / 3.0),
        ("ndcg_all", (1.0 + 0.63093 / 4.82250) / 3.0),
        ("ndcg", (1.0 + 0.63093 / 4.54356) / 3.0),
    ];
    assert_metrics(&document, "ml100k", "baseline-cooc", &expected);
}

/// The same rows from sessions, served with a decay of 2 and an own weight of 0.2.
///
/// `a c`: after a come b 2, c 2, a 0.2; c is second. `b a b`: after b and a come b 2 + 0.6065 × 0.2, c 2,
/// a 0.2 + 0.6065 × 2; b is first. `a d`: no row has d.
#[test]
fn next_items_are_judged_at_20() {
    let sandbox = Sandbox::new();
    sandbox.write("data/yoochoose64.train.txt", "a b\nb a\na c\nc a\na\n");
    sandbox.write("data/yoochoose64.test.txt", "a c\nb a b\na d\n");
    let document = judge(&sandbox, "--model baseline --json").ok().json();
    let expected = [("HR", 200.0 / 3.0), ("MRR", (50.0 + 100.0) / 3.0)];
    assert_metrics(&document, "yoochoose64", "baseline", &expected);
}

#[test]
fn the_table_has_the_published_figures_unless_it_validates() {
    let sandbox = Sandbox::new();
    sandbox.write("data/diginetica.train.txt", "a b\nb a\n".repeat(10));
    sandbox.write("data/diginetica.test.txt", "a b\n");
    let tested = judge(&sandbox, "--model baseline");
    assert!(
        tested.ok().stdout.contains("diginetica, next item, @20: 1 lines of the test part\n"),
        "{tested:#?}"
    );
    assert!(tested.stdout.contains("\n  SR-GNN                   50.73     17.59\n"), "{tested:#?}");
    assert!(tested.stdout.contains("\n  * baseline              100.00    100.00"), "{tested:#?}");
    // The newest two of 20 sessions, `a b` and `b a`, are predicted from the others. There is no test part.
    std::fs::remove_file(sandbox.join("data/diginetica.test.txt")).unwrap();
    let validated = judge(&sandbox, "--model baseline --validate");
    assert!(
        validated.ok().stdout.contains("@20: 2 lines of a tenth of the training part\n"),
        "{validated:#?}"
    );
    assert!(!validated.stdout.contains("SR-GNN"), "{validated:#?}");
}

#[test]
fn what_is_wrong_with_the_data_is_said() {
    let sandbox = Sandbox::new();
    judge(&sandbox, "")
        .fails(2, &["data holds nothing to judge these models on; --help says what to put there"]);
    judge(&sandbox, "--data ml1m")
        .fails(2, &["data/ml1m.train.tsv is missing; --help says where it comes from"]);
    sandbox.write("data/ml1m.train.tsv", "1\ta\n1 b\n");
    sandbox.write("data/ml1m.test.tsv", "1\tc\n");
    judge(&sandbox, "").fails(2, &["data/ml1m.train.tsv:2: expected a user, a tab and an item"]);
    sandbox.write("data/ml1m.train.tsv", "1\ta\n1\ta\n");
    judge(&sandbox, "")
        .fails(2, &["data/ml1m.train.tsv:2: user 1 has item a twice; each pair must stand once"]);
}
