//! Metrics after every outcome, in a file and through a Pushgateway.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use recsys_testkit::inbox::{Inbox, Response};
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

/// The shop sample and a folder for metrics.
fn shop(settings: &Value) -> Sandbox {
    let sandbox = Sandbox::shop();
    sandbox.configure(settings);
    sandbox
}

/// Value of the sample whose line begins with `sample`: name and labels, sorted by label.
fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(sample))?;
    Some(line.strip_prefix(' ').unwrap().parse().unwrap())
}

/// Value of a sample of the shop, by name and its own label.
fn of_run(text: &str, name: &str, label: Option<(&str, &str)>) -> Option<f64> {
    let mut labels = vec![("binary", "recsys-pipelines"), ("surface", "home"), ("tenant", "demo")];
    labels.extend(label);
    labels.sort_unstable();
    let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    value(text, &format!("{name}{{{}}}", labels.join(",")))
}

fn read(sandbox: &Sandbox, file: &str) -> String {
    fs::read_to_string(sandbox.join(file)).unwrap()
}

/// Checks names, labels and types with Prometheus's own tool.
#[track_caller]
fn promtool_accepts(text: &str) {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool =
        command.spawn().unwrap_or_else(|error| panic!("promtool: {error}; scripts/setup installs it"));
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty() && !text.is_empty(), "{said}\n{text}");
}

const WINDOW_END: &str = "recsys_artifact_window_end_timestamp_seconds";

#[test]
fn what_is_no_file_is_neither_replaced_nor_waited_for() {
    let sandbox = shop(&json!({}));
    let pipe = sandbox.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink("elsewhere", sandbox.join("link")).unwrap();
    for file in ["pipe", "link"] {
        let line = format!("{SCOPE} --start 2026-01-09 --metrics-file {file}");
        let finished = sandbox.run("job_validate", &line);
        assert_eq!(finished.code, Some(3), "{finished:#?}");
        assert!(finished.stderr.contains("it exists and is no regular file"), "{finished:#?}");
        assert!(!fs::symlink_metadata(sandbox.join(file)).unwrap().is_file());
    }
}

#[test]
fn a_good_run_tells_what_it_has_done() {
    let sandbox = shop(&json!({
        "validation": {"max_invalid_ratio": 0.5, "max_volume_drop": 0.9, "lookback_days": 2},
        "limits": {"max_items_per_session": 5, "oversized_sessions": "skip", "max_artifact_bytes": 0}
    }));
    let raw = sandbox.join("raw/demo/home/exposure.2026-01-02.jsonl");
    fs::write(&raw, fs::read_to_string(&raw).unwrap() + "this is no event\n").unwrap();
    let line = format!("run {SCOPE} --start 2026-01-01 --end 2026-01-02 --metrics-file run.prom --json");
    let run = sandbox.run("recsys-pipelines", &line);
    let document: Value = serde_json::from_str(&run.ok().stdout).unwrap();
    let text = read(&sandbox, "run.prom");
    promtool_accepts(&text);
    let own = |name, label| of_run(&text, name, label);
    assert_eq!(own("recsys_run_success", None), Some(1.0));
    assert_eq!(own("recsys_run_exit_code", None), Some(0.0));
    let start = own("recsys_run_start_timestamp_seconds", None).unwrap();
    let end = own("recsys_run_end_timestamp_seconds", None).unwrap();
    assert!(start > 1_700_000_000.0 && end >= start);
    assert_eq!(own("recsys_run_last_success_timestamp_seconds", None), Some(end));
    assert!(own("recsys_run_duration_seconds", None).unwrap() > 0.0);
    for step in ["ingest", "validate", "build", "publish"] {
        assert!(own("recsys_step_duration_seconds", Some(("step", step))).unwrap() > 0.0, "{step}");
    }
    assert_eq!(own("recsys_step_duration_seconds", Some(("step", "notify"))), None);
    // Totals of both days, as in the run's summary.
    let days = document["days"].as_array().unwrap();
    let sum = |path: &str| days.iter().map(|day| day.pointer(path).unwrap().as_f64()).sum::<Option<f64>>();
    let state = |state| own("recsys_run_events", Some(("state", state)));
    assert_eq!(state("kept"), sum("/canonical/events"));
    assert_eq!(state("duplicate"), sum("/canonical/duplicates"));
    assert_eq!(state("foreign"), sum("/source/foreign"));
    assert_eq!(state("invalid"), Some(1.0));
    assert!(state("kept") > Some(100.0) && state("duplicate") > Some(0.0) && state("foreign") > Some(0.0));
    // Artifacts of the last day only.
    for artifact in days[1]["artifacts"].as_array().unwrap() {
        let label = Some(("kind", artifact["kind"].as_str().unwrap()));
        assert_eq!(own("recsys_artifact_items", label), artifact["rows"].as_f64());
        assert_eq!(own("recsys_artifact_size_bytes", label), artifact["bytes"].as_f64());
        let skipped = own("recsys_artifact_skipped_sessions", label);
        let expected = artifact["skipped_sessions"].as_f64().filter(|_| artifact["kind"] == "cooc");
        assert_eq!(skipped, expected);
        assert!(skipped.is_none_or(|skipped| skipped > 0.0), "no session is skipped");
        // The midnight after 2026-01-02.
        assert_eq!(own(WINDOW_END, label), Some(1_767_398_400.0));
    }
    let manifest: Value =
        serde_json::from_str(&read(&sandbox, "out/registry/current/demo/home/manifest.json")).unwrap();
    let updated: jiff::Timestamp = manifest["updated_at"].as_str().unwrap().parse().unwrap();
    let seen = own("recsys_manifest_updated_timestamp_seconds", None).unwrap();
    let seconds = updated.duration_since(jiff::Timestamp::UNIX_EPOCH).as_secs_f64();
    assert!((seen - seconds).abs() < 1e-3, "{seen} {updated}");
    assert_eq!(own("recsys_gate_failed", Some(("gate", "max_volume_drop"))), Some(0.0));
    assert_eq!(own("recsys_limit_exceeded", Some(("limit", "max_events_per_run"))), Some(0.0));
    let events = days[1]["canonical"]["events"].as_f64().unwrap();
    let used = own("recsys_limit_usage_ratio", Some(("limit", "max_events_per_run"))).unwrap();
    assert!((used - events / 1e6).abs() < 1e-9, "{used}");
    assert!(own("recsys_limit_usage_ratio", Some(("limit", "max_items_per_session"))).unwrap() > 1.0);
    // A limit that is off.
    assert_eq!(own("recsys_limit_usage_ratio", Some(("limit", "max_artifact_bytes"))), None);
    let first = days[0]["canonical"]["events"].as_f64().unwrap();
    let ratio = own("recsys_volume_ratio", Some(("measure", "events"))).unwrap();
    assert!((ratio - events / first).abs() < 1e-9, "{ratio}");
    assert_eq!(own("recsys_notify_failed", None), None);
    assert_eq!(fs::metadata(sandbox.join("run.prom")).unwrap().permissions().mode() & 0o777, 0o644);
}

/// Runs with settings that make it fail, and checks the metrics.
fn fails(settings: &Value, code: i32, expected: &[(&str, (&str, &str))]) {
    let sandbox = shop(&json!({}));
    let run = |start: &str| -> (Finished, String) {
        let line = format!("run {SCOPE} --start {start} --metrics-file run.prom");
        (sandbox.run("recsys-pipelines", &line), read(&sandbox, "run.prom"))
    };
    let (finished, before) = run("2026-01-01");
    finished.ok();
    sandbox.configure(settings);
    let (finished, text) = run("2026-01-02");
    assert_eq!(finished.code, Some(code), "{finished:#?}");
    promtool_accepts(&text);
    let own = |name, label| of_run(&text, name, label);
    assert_eq!(own("recsys_run_success", None), Some(0.0));
    assert_eq!(own("recsys_run_exit_code", None), Some(code.into()));
    for kept in ["recsys_run_last_success_timestamp_seconds", "recsys_manifest_updated_timestamp_seconds"] {
        let earlier = of_run(&before, kept, None);
        assert!(earlier.is_some() && own(kept, None) == earlier, "{kept}: {text}");
    }
    let window_end = |text: &str| of_run(text, WINDOW_END, Some(("kind", "popularity")));
    assert!(window_end(&before).is_some() && window_end(&text) == window_end(&before), "{text}");
    let of_name = |name: &str| text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
    for name in ["recsys_gate_failed", "recsys_limit_exceeded"] {
        let failed = of_name(name).iter().filter(|line| line.ends_with(" 1")).count();
        assert_eq!(failed, expected.iter().filter(|(own, _)| *own == name).count(), "{text}");
        assert!(of_name(name).len() >= 8, "{text}");
    }
    for (name, label) in expected {
        assert_eq!(own(name, Some(*label)), Some(1.0), "{name} {label:?}\n{text}");
    }
}

#[test]
fn exit_code_1_is_told() {
    // A file in place of a folder.
    fails(&json!({"object_store_dir": "config.json"}), 1, &[]);
}

#[test]
fn exit_code_2_is_told() {
    fails(&json!({"no_such_key": 1}), 2, &[]);
}

#[test]
fn exit_code_3_is_told_with_the_gate() {
    let gate = |gate| [("recsys_gate_failed", ("gate", gate))];
    fails(&json!({"validation": {"min_events": 1000}}), 3, &gate("min_events"));
    fails(&json!({"validation": {"max_session_events": 1}}), 3, &gate("max_session_events"));
    fails(&json!({"validation": {"max_artifact_change": 0}}), 3, &gate("max_artifact_change"));
    let sandbox = shop(&json!({"validation": {"max_invalid_ratio": 0.001}}));
    for (settings, invalid) in
        [(json!({"validation": {"max_invalid_ratio": 0.001}}), Some(1.0)), (json!({}), None)]
    {
        sandbox.configure(&settings);
        sandbox.write("raw/demo/home/exposure.2026-01-05.jsonl", "nonsense\n");
        let line = format!("run {SCOPE} --start 2026-01-05 --metrics-file run.prom");
        assert_eq!(sandbox.run("recsys-pipelines", &line).code, Some(3));
        let text = read(&sandbox, "run.prom");
        assert_eq!(of_run(&text, "recsys_gate_failed", Some(("gate", "max_invalid_ratio"))), Some(1.0));
        assert_eq!(of_run(&text, "recsys_run_events", Some(("state", "invalid"))), invalid);
    }
}

#[test]
fn exit_code_4_is_told_with_the_limit() {
    let limit = |limit| [("recsys_limit_exceeded", ("limit", limit))];
    fails(&json!({"limits": {"max_events_per_run": 10}}), 4, &limit("max_events_per_run"));
    fails(&json!({"limits": {"max_users_per_run": 2}}), 4, &limit("max_users_per_run"));
    fails(&json!({"limits": {"max_artifact_bytes": 100}}), 4, &limit("max_artifact_bytes"));
    fails(&json!({"limits": {"max_items_per_session": 1}}), 4, &limit("max_items_per_session"));
}

#[test]
fn every_binary_writes_its_own_file() {
    let sandbox = shop(&json!({"metrics": {"file": "{binary}_{tenant}_{surface}.prom"}}));
    sandbox.copy("testdata/catalog/shop.csv", "catalog.csv");
    for job in ["job_ingest", "job_validate", "job_popularity", "job_cooc", "job_implicit", "job_session_seq"]
    {
        sandbox.run(job, &format!("{SCOPE} --start 2026-01-01")).ok();
    }
    sandbox.run("job_content_sim", &format!("{SCOPE} --start 2026-01-01 --input catalog.csv")).ok();
    sandbox.run("job_publish", &format!("{SCOPE} --start 2026-01-01")).ok();
    // No database to write to.
    assert_eq!(sandbox.run("job_db_signals", &format!("{SCOPE} --start 2026-01-01")).code, Some(2));
    assert_eq!(sandbox.run("job_catalog", &format!("{SCOPE} --input catalog.csv")).code, Some(2));
    let both: String = ["rollback --steps 0", "history", "diff", "verify", "status", "gc"]
        .map(|command| {
            let line = format!("{command} {SCOPE}");
            let finished = sandbox.run("recsys-pipelines", &line);
            assert_eq!(finished.code, Some(0), "{finished:#?}");
            let command = command.split(' ').next().unwrap();
            read(&sandbox, &format!("recsys-pipelines-{command}_demo_home.prom"))
        })
        .concat();
    assert!(!both.contains("recsys_gate_failed"));
    let mut files = 0;
    for entry in fs::read_dir(sandbox.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".tmp"), "{name}");
        if let Some(binary) = name.strip_suffix("_demo_home.prom") {
            let text = read(&sandbox, &name);
            promtool_accepts(&text);
            let of_binary = format!("binary=\"{binary}\"");
            assert!(text.lines().all(|line| line.starts_with('#') || line.contains(&of_binary)), "{text}");
            files += 1;
        }
    }
    assert_eq!(files, 16);
    // Metrics that only single jobs provide.
    assert!(read(&sandbox, "job_ingest_demo_home.prom").contains("recsys_run_events{"));
    assert!(read(&sandbox, "job_cooc_demo_home.prom").contains("recsys_artifact_skipped_sessions{"));
    let updated = "recsys_manifest_updated_timestamp_seconds{";
    for name in ["job_publish", "recsys-pipelines-rollback", "recsys-pipelines-status"] {
        assert!(read(&sandbox, &format!("{name}_demo_home.prom")).contains(updated), "{name}");
    }
}

#[test]
fn status_tells_of_every_manifest() {
    let sandbox = shop(&json!({}));
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
    let other = "--config config.json --tenant demo --surface detail --start 2026-01-01";
    sandbox.configure(&json!({"validation": {"min_events": 0}}));
    sandbox.run("recsys-pipelines", &format!("run {other}")).ok();
    let gateway = Inbox::start(&[Response::Status(202)]);
    let line = format!("status --config config.json --metrics-file s.prom --metrics-push {}", gateway.url());
    sandbox.run("recsys-pipelines", &line).ok();
    let text = read(&sandbox, "s.prom");
    promtool_accepts(&text);
    for surface in ["home", "detail"] {
        let labels = format!("binary=\"recsys-pipelines-status\",surface=\"{surface}\",tenant=\"demo\"");
        assert!(
            value(&text, &format!("recsys_manifest_updated_timestamp_seconds{{{labels}}}")).is_some(),
            "{text}"
        );
    }
    assert_eq!(value(&text, "recsys_run_success{binary=\"recsys-pipelines-status\"}"), Some(1.0));
    // One group per surface, and one for the command itself.
    let mut lines: Vec<String> = gateway.take().into_iter().map(|request| request.line).collect();
    lines.sort();
    let group = "POST /metrics/job/recsys_pipelines/binary/recsys-pipelines-status";
    let expected = [
        group.to_owned(),
        format!("{group}/tenant/demo/surface/detail"),
        format!("{group}/tenant/demo/surface/home"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn metrics_are_pushed_to_the_group_of_binary_tenant_and_surface() {
    let gateway = Inbox::start(&[Response::Status(202)]);
    let push = format!("{}/gateway/", gateway.url());
    let sandbox = shop(&json!({"metrics": {"push": push}}));
    sandbox.run("job_ingest", &format!("{SCOPE} --start 2026-01-01")).ok();
    let [request] = &gateway.take()[..] else { panic!("not one request") };
    assert_eq!(
        request.line,
        "POST /gateway/metrics/job/recsys_pipelines/binary/job_ingest/tenant/demo/surface/home"
    );
    assert_eq!(request.header("content-type"), Some("text/plain; version=0.0.4"));
    promtool_accepts(&request.body);
    let labels = "{binary=\"job_ingest\",surface=\"home\",tenant=\"demo\"}";
    assert_eq!(value(&request.body, &format!("recsys_run_success{labels}")), Some(1.0));
    assert!(request.body.contains("recsys_run_last_success_timestamp_seconds{"));

    // After a failure, the last success is left to the gateway.
    sandbox.configure(&json!({"metrics": {"push": push}, "limits": {"max_events_per_run": 1}}));
    sandbox.run("job_ingest", &format!("{SCOPE} --start 2026-01-01")).fails(4, &["max_events_per_run"]);
    let [request] = &gateway.take()[..] else { panic!("not one request") };
    assert_eq!(value(&request.body, &format!("recsys_run_exit_code{labels}")), Some(4.0));
    assert!(!request.body.contains("recsys_run_last_success_timestamp_seconds"), "{}", request.body);

    // The flag takes precedence, and a failed push is retried.
    let other = Inbox::start(&[Response::Status(503), Response::Status(200)]);
    let line = format!("{SCOPE} --start 2026-01-01 --metrics-push {}", other.url());
    assert_eq!(sandbox.run("job_ingest", &line).code, Some(4));
    assert_eq!((other.take().len(), gateway.take().len()), (2, 0));
}

#[test]
fn metrics_never_change_the_outcome() {
    let sandbox = shop(&json!({}));
    let gateway = Inbox::start(&[Response::Status(400)]);
    for (flags, warning) in [
        ("--metrics-file no/such/folder/x.prom".to_owned(), "metrics cannot be written"),
        (format!("--metrics-push {}", gateway.url()), "400"),
        ("--metrics-push http://127.0.0.1:1".to_owned(), "metrics cannot be pushed"),
    ] {
        let line = format!("{SCOPE} --start 2026-01-01 --log-format text {flags}");
        let finished = sandbox.run("job_ingest", &line);
        assert!(finished.ok().stderr.contains(warning), "{finished:#?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:#?}");
        let finished = sandbox.run("job_popularity", &format!("{line} --window-days 0"));
        assert_eq!(finished.code, Some(2), "{finished:#?}");
    }
    // Permanent errors are not retried.
    assert_eq!(gateway.take().len(), 1);
    for flags in [
        "--metrics-push ftp://x",
        "--metrics-push http://user:hunter2@h",
        "--metrics-push http://h/?token=hunter2",
        "--metrics-push http://${GATEWAY}/",
        "--metrics-push x",
    ] {
        let finished = sandbox.run("job_ingest", &format!("{SCOPE} --start 2026-01-01 {flags}"));
        finished.fails(2, &["--metrics-push"]);
        assert!(!finished.stderr.contains("hunter2"), "{finished:#?}");
    }
    for metrics in [json!({"file": " "}), json!({"file": "s3://b/x"}), json!({"push": "http://u:p@h"})] {
        sandbox.configure(&json!({"metrics": metrics}));
        sandbox.run("job_ingest", &format!("{SCOPE} --start 2026-01-01")).fails(2, &["setting metrics."]);
    }
}

#[test]
fn where_the_configuration_is_broken_the_environment_still_says_where_metrics_go() {
    let sandbox = shop(&json!({"nonsense": 1}));
    let mut command = sandbox.command("job_ingest");
    command.env("RECSYS_PIPELINES__METRICS__FILE", "env.prom");
    let line = format!("{SCOPE} --start 2026-01-01");
    let output = command.args(line.split_whitespace()).output().unwrap();
    Finished::from(output).fails(2, &["unknown key `nonsense`"]);
    assert!(
        read(&sandbox, "env.prom")
            .contains("recsys_run_exit_code{binary=\"job_ingest\",surface=\"home\",tenant=\"demo\"} 2\n")
    );
}

#[test]
fn the_reference_knows_every_metric() {
    let page =
        fs::read_to_string(recsys_testkit::golden::repository().join("docs/reference/metrics.md")).unwrap();
    for (name, _) in recsys_job::watch::metrics::METRICS {
        assert!(page.contains(&format!("`{name}")), "{name} is not on the page");
    }
    let named = page.split('`').filter(|word| word.starts_with("recsys_"));
    for word in named {
        let name = word.split('{').next().unwrap();
        let known = recsys_job::watch::metrics::METRICS.iter().any(|(known, _)| *known == name);
        assert!(known || name == "recsys_pipelines", "{name} is on the page and nowhere else");
    }
}
