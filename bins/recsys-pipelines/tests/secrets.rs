//! Keys and tokens never appear in logs at any level, in errors, summaries or documents.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use recsys_testkit::proxy::{NetworkFault, Proxy};
use recsys_testkit::remote::Remote;
use recsys_testkit::sandbox::Sandbox;
use recsys_testkit::scope::SCOPE;
use serde_json::json;

const TOKEN: &str = "a-session-token-that-nobody-may-see";

const LEVELS: [&str; 7] =
    ["trace", "debug", "info", "warn", "error", "off", "h2::codec=trace,hyper=trace,reqwest=trace"];

/// Runs `line` and returns its whole output.
fn said(remote: &Remote, line: &str, environment: &[(&str, &str)]) -> String {
    let mut command = remote.command("recsys-pipelines");
    command.envs(environment.iter().copied()).args(line.split_whitespace());
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn hides(remote: &Remote, line: &str, environment: &[(&str, &str)]) -> usize {
    let said = said(remote, line, environment);
    for secret in [&remote.s3.access_key, &remote.s3.secret_key, TOKEN] {
        assert!(!said.contains(secret), "{secret:?} comes out of {line} {environment:?}:\n{said}");
    }
    said.len()
}

#[test]
fn no_secret_comes_out_at_any_log_level() {
    let mut remote = Remote::new();
    remote.config["storage"] = json!({"timeout_s": 1, "retry_timeout_s": 0});
    let section = json!({"access_key": remote.s3.access_key, "secret_key": remote.s3.secret_key});
    remote.config["raw_source"] = json!({"s3": section});
    remote.write_config();
    let direct = remote.endpoint.clone();
    let mut trace = 0;
    for level in LEVELS {
        for format in ["text", "json"] {
            let environment = [("RUST_LOG", level), ("AWS_SESSION_TOKEN", TOKEN)];
            let flags = format!("--config config.json --log-format {format}");
            let run = format!("run {SCOPE} --log-format {format} --start 2026-01-01 --json");
            let said = hides(&remote, &run, &environment);
            trace = trace.max(said);
            hides(&remote, &format!("status {flags}"), &environment);
            hides(&remote, &format!("verify {flags} --json"), &environment);
            hides(&remote, &format!("config show {flags}"), &environment);
            hides(&remote, &format!("config show {flags} --json"), &environment);
            // The same when requests fail.
            let proxy = Proxy::start(remote.s3.address());
            let xml = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned();
            proxy.rule("GET", "", None, NetworkFault::Answer { status: 403, body: xml });
            for endpoint in [proxy.endpoint(), direct.replace("http:", "https:"), "http://127.0.0.1:1".into()]
            {
                remote.endpoint = endpoint;
                hides(&remote, &run, &environment);
            }
            remote.endpoint.clone_from(&direct);
        }
    }
    assert!(trace > 2_000, "the finest level says next to nothing: {trace} bytes");
}

/// Keys from the places where Amazon's tools look for them.
#[test]
fn no_secret_of_the_environment_comes_out() {
    let remote = Remote::new();
    for level in ["trace", "warn"] {
        let environment = [
            ("RUST_LOG", level),
            ("AWS_ENDPOINT_URL", remote.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", &remote.s3.access_key),
            ("AWS_SECRET_ACCESS_KEY", &remote.s3.secret_key),
            ("AWS_SESSION_TOKEN", TOKEN),
        ];
        let mut command = remote.sandbox.command("recsys-pipelines");
        let line = format!("run {SCOPE} --start 2026-01-01");
        let output = command.envs(environment).args(line.split_whitespace()).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        for secret in [&remote.s3.access_key, &remote.s3.secret_key, TOKEN] {
            assert!(!said.contains(secret), "{secret:?} comes out at {level}:\n{said}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let sandbox = Sandbox::new();
    let section = |file: &str, text: &str| {
        sandbox.write(file, text);
        let finished = sandbox.run("recsys-pipelines", &format!("config check --config {file}"));
        let said = finished.stdout + &finished.stderr;
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
        assert!(!said.contains("hunter2") && !said.contains("4711"), "{said}");
    };
    section("a.json", r#"{"object_store": {"s3": {"secret_key": 4711}}}"#);
    section("a.json", r#"{"object_store": {"s3": {"secret_key": ["hunter2"]}}}"#);
    section("a.json", r#"{"object_store": {"s3": {"secret_key": {"hunter2": "hunter2"}}}}"#);
    section("a.json", r#"{"object_store": {"s3": "hunter2"}}"#);
    section("a.json", r#"{"object_store": "hunter2"}"#);
    section("a.json", r#"{"object_store": {"s3": {"secret_key": "hunter2"}}"#);
    section("a.json", r#"{"object_store": {"s3": {"secretkey": "hunter2"}}}"#);
    section("a.json", r#"{"object_store": {"s3": {"secret_key": "hunter2"}}, "out_dir": "s3://b"}"#);
    section("a.json", r#"{"out_dir": "s3://key:hunter2@bucket/x"}"#);
    section("a.json", r#"{"out_dir": "https://key:hunter2@bucket/x"}"#);
    section("a.toml", "[object_store.s3]\nsecret_key = hunter2\n");
    section("a.toml", "[object_store.s3]\nsecret_key = 4711\n");
    section("a.toml", "[object_store.s3]\nsecret_key = \"hunter2\n");
    section("a.yaml", "object_store:\n  s3:\n    secret_key: 4711\n");
    section("a.yaml", "object_store:\n  s3:\n    secret_key: [hunter2\n");
    section("a.yaml", "object_store:\n  s3:\n    secret_key: \"hunter2\n");
    section("a.yaml", "object_store:\n  s3: hunter2\n");
}

/// URLs and bodies of notifications may hold tokens anywhere.
#[test]
fn what_is_sent_to_the_serving_side_is_not_shown() {
    let sandbox = Sandbox::new();
    let url = "https://cache.shop:8443/hunter2/{tenant}?token=hunter2";
    let headers = json!({"authorization": "Bearer hunter2"});
    let notify = json!({"url": url, "headers": headers, "body": "{\"token\": \"hunter2\"}"});
    sandbox.write("config.json", json!({"notify": notify}).to_string());
    for flags in ["", "--json", "--log-format json"] {
        let finished = sandbox.run("recsys-pipelines", &format!("config show --config config.json {flags}"));
        let said = finished.ok().stdout.clone() + &finished.stderr;
        assert!(!said.contains("hunter2") && said.contains("https://cache.shop:8443/********"), "{said}");
    }
    for (name, value) in [("URL", "hunter2"), ("URL", "https://me:hunter2@cache/"), ("BODY", "${hunter2")] {
        let mut command = sandbox.command("recsys-pipelines");
        command.env(format!("RECSYS_PIPELINES__NOTIFY__{name}"), value).args(["config", "show"]);
        let output = command.args(["--config", "config.json"]).output().unwrap();
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.code() == Some(2) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_flag_that_is_refused_is_not_repeated_with_its_password() {
    let sandbox = Sandbox::new();
    for (line, said) in [
        ("status --metrics-push http://user:hunter2@h/", "the URL of --metrics-push must be"),
        ("status --metrics-push=http://h/?token=hunter2", "the URL of --metrics-push must be"),
        ("status http://user:hunter2@h/", "unexpected argument"),
        ("status --config postgres://user:hunter2@h/db", "config file"),
        ("status --metrics-posh=http://user:hunter2@h/", "unexpected argument"),
    ] {
        let finished = sandbox.run("recsys-pipelines", line);
        finished.fails(2, &[said]);
        assert!(!finished.stderr.contains("hunter2"), "{finished:#?}");
    }
    let line = "--tenant demo --surface home --start 2026-01-01 --input";
    for place in ["http://user:hunter2@h/a.csv", "file://user:hunter2@h/a.csv", "s3://user:hunter2@b/a.csv"] {
        let finished = sandbox.run("job_content_sim", &format!("{line} {place}"));
        finished.fails(2, &[]);
        assert!(!finished.stderr.contains("hunter2"), "{finished:#?}");
    }
}
