//! Log lines: the run id, and the fields at the beginning and end of each step.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_testkit::sandbox::{Finished, Sandbox};
use serde_json::{Value, json};

const SCOPE: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";

fn run(sandbox: &Sandbox, binary: &str, line: &str, run_id: Option<&str>) -> Finished {
    let mut command = sandbox.command(binary);
    command.env("RUST_LOG", "info").args(line.split_whitespace()).args(SCOPE.split_whitespace());
    if let Some(id) = run_id {
        command.env("RECSYS_RUN_ID", id);
    }
    command.output().unwrap().into()
}

fn lines(finished: &Finished) -> Vec<Value> {
    finished.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_step_says_when_it_begins_and_what_it_has_done() {
    let sandbox = Sandbox::shop();
    let said = lines(run(&sandbox, "recsys-pipelines", "run", None).ok());
    let of = |message: &str| {
        let of_steps = said.iter().filter(|line| line["message"] == message);
        of_steps.map(|line| line["step"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("step begins"), ["ingest", "validate", "build", "publish"]);
    assert_eq!(of("step ends"), of("step begins"));
    for line in said.iter().filter(|line| line.get("step").is_some()) {
        assert_eq!((&line["tenant"], &line["surface"]), (&json!("demo"), &json!("home")));
        assert_eq!(line["window"], "2026-01-01_2026-01-02");
        let ended = line["message"] == "step ends";
        assert_eq!(line["seconds"].is_f64(), ended, "{line}");
        assert_eq!(line.get("outcome"), ended.then_some(&json!("done")), "{line}");
    }
    let end =
        |step: &str| said.iter().find(|line| line["message"] == "step ends" && line["step"] == step).unwrap();
    let ingest = end("ingest");
    let counts = ["events", "duplicates", "invalid", "foreign"].map(|count| ingest[count].as_u64().unwrap());
    assert_eq!(counts, [98, 1, 0, 3]);
    assert_eq!((end("validate")["events"].as_u64(), end("build")["artifacts"].as_u64()), (Some(98), Some(2)));
    assert!(end("publish")["bytes"].as_u64().unwrap() > 1000);
}

#[test]
fn a_step_that_fails_says_so() {
    let sandbox = Sandbox::shop();
    sandbox.configure(&json!({"limits": {"max_users_per_run": 1}}));
    let finished = run(&sandbox, "recsys-pipelines", "run --log-format json", None);
    assert_eq!(finished.code, Some(4));
    let said = lines(&finished);
    let build = said.iter().find(|line| line["message"] == "step ends" && line["step"] == "build").unwrap();
    assert_eq!(build["outcome"], "failed");
    assert!(said.iter().all(|line| line["step"] != "publish"));
}

#[test]
fn all_lines_of_a_run_have_its_id() {
    let sandbox = Sandbox::shop();
    let id = "scheduled__2026-01-01T00:00:00+00:00";
    for job in ["job_ingest", "job_validate", "job_popularity", "job_publish"] {
        let finished = run(&sandbox, job, "--log-format json", Some(id));
        let said = lines(finished.ok());
        assert!(said.len() > 2, "{finished:#?}");
        assert!(said.iter().all(|line| line["run_id"] == id), "{finished:#?}");
    }
    // The final error line has it, too.
    let finished = run(&sandbox, "job_ingest", "--log-format json --end 2025-01-01", Some(id));
    assert_eq!(finished.code, Some(2));
    assert!(lines(&finished).iter().all(|line| line["run_id"] == id), "{finished:#?}");
    // Text lines begin with it.
    let finished = run(&sandbox, "job_ingest", "--log-format text", Some(id));
    let prefix = format!("{id} 20");
    assert!(finished.ok().stderr.lines().count() > 1);
    assert!(finished.stderr.lines().all(|line| line.starts_with(&prefix)), "{finished:#?}");
}

#[test]
fn a_run_without_an_id_makes_one() {
    let sandbox = Sandbox::shop();
    let made = |given| {
        let said = lines(run(&sandbox, "job_ingest", "", given).ok());
        let id = said[0]["run_id"].as_str().unwrap().to_owned();
        assert!(said.len() > 1 && said.iter().all(|line| line["run_id"] == *id));
        assert!(id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        id
    };
    assert_ne!(made(None), made(Some("")));
}

#[test]
fn an_id_that_would_break_a_line_is_refused() {
    let sandbox = Sandbox::shop();
    for bad in ["a b", "a\nb", "a\u{1b}[2J", "\u{fc}", &"x".repeat(129)] {
        let finished = run(&sandbox, "job_ingest", "", Some(bad));
        finished.fails(2, &["RECSYS_RUN_ID must be at most 128 printable ASCII characters"]);
        assert!(!finished.stderr.contains(bad));
    }
    run(&sandbox, "job_ingest", "", Some(&"x".repeat(128))).ok();
}
