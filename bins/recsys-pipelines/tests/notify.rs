//! Notifications: the serving side is notified of a new manifest, and a failure never fails the publish.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::process::Stdio;

use recsys_testkit::inbox::{Inbox, Response};
use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const TOKEN: &str = "a-token-that-nobody-may-see";
const FAILED: &str = "recsys_notify_failed{binary=\"recsys-pipelines\",surface=\"home\",tenant=\"demo\"}";

struct Shop {
    sandbox: Sandbox,
}

impl Shop {
    fn new(notify: &Value) -> Self {
        let shop = Self { sandbox: Sandbox::new() };
        shop.sandbox.copy("testdata/events/shop", "raw");
        shop.configure(notify);
        shop
    }

    fn configure(&self, notify: &Value) {
        self.sandbox.configure(&json!({"notify": notify, "metrics": {"file": "{binary}.prom"}}));
    }

    fn command(&self, binary: &str, line: &str) -> Finished {
        let mut command = self.sandbox.command(binary);
        command.env("CACHE_TOKEN", TOKEN).args(line.split_whitespace()).args(SCOPE.split_whitespace());
        Finished::from(command.output().unwrap())
    }

    fn run(&self, day: &str) -> Finished {
        self.command("recsys-pipelines", &format!("run --start {day} --log-format text"))
    }

    /// The metric, if there is one.
    fn failed(&self) -> Option<String> {
        let text = fs::read_to_string(self.sandbox.join("recsys-pipelines.prom")).unwrap();
        text.lines().find_map(|line| line.strip_prefix(FAILED)).map(|value| value.trim().to_owned())
    }

    fn manifest(&self) -> Value {
        let path = self.sandbox.join("out/registry/current/demo/home/manifest.json");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }
}

fn settings(inbox: &Inbox) -> Value {
    json!({
        "url": format!("{}/invalidate/{{tenant}}?surface={{surface}}", inbox.url()),
        "headers": {"Authorization": "Bearer ${CACHE_TOKEN}", "x-source": "pipelines"},
        "body": r#"{"tenant":"{tenant}","surface":"{surface}"}"#,
        "timeout_s": 1,
    })
}

#[test]
fn a_swap_is_told_once() {
    let inbox = Inbox::start(&[Response::Status(204)]);
    let shop = Shop::new(&settings(&inbox));
    shop.run("2026-01-01").ok();
    let [request] = &inbox.take()[..] else { panic!("not one request") };
    assert_eq!(request.line, "POST /invalidate/demo?surface=home");
    assert_eq!(request.header("authorization"), Some(&*format!("Bearer {TOKEN}")));
    assert_eq!(request.header("x-source"), Some("pipelines"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, r#"{"tenant":"demo","surface":"home"}"#);
    assert_eq!(shop.failed().as_deref(), Some("0"));

    // Nothing has changed.
    shop.run("2026-01-01").ok();
    assert_eq!(inbox.take(), []);
    assert_eq!(shop.failed(), None);
    // Each day is a swap, and so are `job_publish` and a rollback, but not a dry run.
    shop.command("recsys-pipelines", "run --start 2026-01-02 --end 2026-01-03").ok();
    assert_eq!(inbox.take().len(), 2);
    shop.command("recsys-pipelines", "rollback --dry-run").ok();
    assert_eq!(inbox.take(), []);
    shop.command("recsys-pipelines", "rollback").ok();
    assert_eq!(inbox.take().len(), 1);
    shop.command("job_publish", "--start 2026-01-03").ok();
    assert_eq!(inbox.take().len(), 1);
    // Commands that publish nothing send nothing and need no secret.
    shop.sandbox.run("job_cooc", &format!("{SCOPE} --start 2026-01-03")).ok();
    shop.sandbox.run("recsys-pipelines", "status --config config.json").ok();
    assert_eq!(inbox.take(), []);
}

/// Asserts that the publish succeeds with a warning and a metric, and that the next publish notifies again.
fn comes_to_nothing(inbox: &Inbox, notify: &Value, said: &str, tries: usize) {
    let shop = Shop::new(notify);
    let finished = shop.run("2026-01-01");
    assert!(finished.ok().stderr.contains(said), "{finished:#?}");
    assert!(finished.stderr.contains(" WARN ") && finished.stderr.lines().count() == 1, "{finished:#?}");
    assert!(finished.stdout.contains("swapped"), "{finished:#?}");
    assert_eq!(shop.failed().as_deref(), Some("1"));
    assert_eq!(inbox.take().len(), tries);
    let manifest = shop.manifest();

    inbox.answer(&[Response::Status(200)]);
    shop.configure(&settings(inbox));
    let finished = shop.run("2026-01-01");
    assert!(finished.ok().stdout.contains("unchanged") && finished.stderr.is_empty(), "{finished:#?}");
    assert_eq!(inbox.take().len(), 1);
    assert_eq!(shop.failed().as_deref(), Some("0"));
    assert_eq!(shop.manifest(), manifest);
    shop.run("2026-01-01").ok();
    assert_eq!(inbox.take(), []);
}

#[test]
fn a_server_in_trouble_is_asked_three_times() {
    let inbox = Inbox::start(&[Response::Status(500)]);
    comes_to_nothing(&inbox, &settings(&inbox), "answered 500", 3);
    // Transient errors cause no warning.
    let inbox = Inbox::start(&[Response::Status(500), Response::Status(429), Response::Status(200)]);
    let shop = Shop::new(&settings(&inbox));
    assert_eq!(shop.run("2026-01-01").ok().stderr, "");
    assert_eq!(inbox.take().len(), 3);
    assert_eq!(shop.failed().as_deref(), Some("0"));
}

#[test]
fn a_server_that_refuses_is_asked_once() {
    let inbox = Inbox::start(&[Response::Status(401)]);
    comes_to_nothing(&inbox, &settings(&inbox), "answered 401", 1);
}

#[test]
fn headers_do_not_follow_a_redirect() {
    let inbox = Inbox::start(&[Response::Redirect]);
    comes_to_nothing(&inbox, &settings(&inbox), "answered 307", 1);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let inbox = Inbox::start(&[Response::Never]);
    comes_to_nothing(&inbox, &settings(&inbox), "no answer within 1 s", 3);
}

#[test]
fn a_server_that_is_not_there_is_given_up() {
    let inbox = Inbox::start(&[Response::Status(200)]);
    let mut notify = settings(&inbox);
    notify["url"] = json!("http://127.0.0.1:1/{tenant}");
    comes_to_nothing(&inbox, &notify, "refused", 0);
}

#[test]
fn a_swap_whose_teller_was_killed_is_told_by_the_next_publish() {
    let inbox = Inbox::start(&[Response::Never]);
    let mut notify = settings(&inbox);
    notify["timeout_s"] = json!(60);
    let shop = Shop::new(&notify);
    let mut command = shop.sandbox.command("recsys-pipelines");
    command.env("CACHE_TOKEN", TOKEN).args(["run", "--start", "2026-01-01"]).args(SCOPE.split_whitespace());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while inbox.take().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended without a word");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let manifest = shop.manifest();
    inbox.answer(&[Response::Status(200)]);
    shop.run("2026-01-01").ok();
    assert_eq!(shop.manifest(), manifest);
    assert_eq!(inbox.take().len(), 1);
}

#[test]
fn settings_that_cannot_work_are_refused_before_anything_is_done() {
    let inbox = Inbox::start(&[Response::Status(200)]);
    for (key, value, parts) in [
        ("url", json!("ftp://host/x"), &["setting notify.url must begin with http"][..]),
        ("url", json!("host/x"), &["setting notify.url"]),
        ("url", json!("http://me:hunter2@host/"), &["notify.url has a user or password"]),
        (
            "url",
            json!("http://host/${NO_SUCH_VARIABLE}"),
            &["notify.url", "environment variable NO_SUCH_VARIABLE is not set"],
        ),
        ("url", json!("http://host/${CACHE_TOKEN"), &["setting notify.url: has `${` without `}`"]),
        ("url", json!("${CACHE_TOKEN}"), &["notify.url is not a URL"]),
        ("url", json!(null), &["notify.url is missing"]),
        ("headers", json!({"a b": "hunter2"}), &["notify.headers.a b", "no name of an HTTP header"]),
        ("headers", json!({"a": "hunter2\n"}), &["notify.headers.a", "value"]),
        ("headers", json!({"a": "${NO_SUCH_VARIABLE}"}), &["notify.headers.a", "NO_SUCH_VARIABLE"]),
        ("body", json!("${}"), &["notify.body"]),
        ("timeout_s", json!(0), &["notify.timeout_s must be at least 1"]),
    ] {
        let mut notify = settings(&inbox);
        notify[key] = value;
        let shop = Shop::new(&notify);
        for finished in [
            shop.command("recsys-pipelines", "run --start 2026-01-01"),
            shop.command("job_publish", "--start 2026-01-01"),
            shop.command("recsys-pipelines", "rollback"),
        ] {
            finished.fails(2, parts);
            assert!(
                !finished.stderr.contains("hunter2") && !finished.stderr.contains(TOKEN),
                "{finished:#?}"
            );
        }
        let mut check = shop.sandbox.command("recsys-pipelines");
        check.env("CACHE_TOKEN", TOKEN).args(["config", "check", "--config", "config.json"]);
        Finished::from(check.output().unwrap()).fails(2, parts);
        assert!(!shop.sandbox.join("out").exists());
    }
    assert_eq!(inbox.take(), []);
}

#[test]
fn names_are_written_as_the_place_wants_them() {
    let inbox = Inbox::start(&[Response::Status(200)]);
    let sandbox = Sandbox::new();
    sandbox.configure(&json!({"notify": settings(&inbox), "validation": {"min_events": 0}}));
    sandbox.write("raw/demo/home/exposure.2026-01-02.jsonl", "");
    let mut command = sandbox.command("recsys-pipelines");
    command.env("CACHE_TOKEN", TOKEN).args(["run", "--config", "config.json", "--start", "2026-01-01"]);
    command.args(["--tenant", "a \"b\"?&c", "--surface", "{tenant}"]);
    Finished::from(command.output().unwrap()).ok();
    let [request] = &inbox.take()[..] else { panic!("not one request") };
    assert_eq!(request.line, "POST /invalidate/a%20%22b%22%3F%26c?surface=%7Btenant%7D");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body, json!({"tenant": "a \"b\"?&c", "surface": "{tenant}"}));
}

#[test]
fn no_secret_of_a_notification_comes_out() {
    let inbox = Inbox::start(&[Response::Status(200)]);
    let mut notify = settings(&inbox);
    notify["url"] = json!(format!("{}/${{CACHE_TOKEN}}", inbox.url()));
    notify["body"] = json!("${CACHE_TOKEN}");
    notify["headers"]["x-literal"] = json!("hunter2");
    let refused = {
        let mut refused = notify.clone();
        refused["url"] = json!("http://127.0.0.1:1/${CACHE_TOKEN}");
        refused
    };
    let mut longest = 0;
    for level in ["trace", "debug", "warn", "hyper=trace,reqwest=trace,hyper_util=trace,recsys_job=trace"] {
        for (notify, answer) in [
            (&notify, Response::Status(200)),
            (&notify, Response::Status(500)),
            (&refused, Response::Status(200)),
        ] {
            inbox.answer(&[answer]);
            let shop = Shop::new(notify);
            for line in [
                "run --start 2026-01-01 --json",
                "rollback --steps 0",
                "config show",
                "config show --json",
                "config check",
            ] {
                let mut command = shop.sandbox.command("recsys-pipelines");
                command.env("CACHE_TOKEN", TOKEN).env("RUST_LOG", level).args(line.split_whitespace());
                let flags = if line.starts_with("config") { "--config config.json" } else { SCOPE };
                let output = command.args(flags.split_whitespace()).output().unwrap();
                let said = format!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                assert!(output.status.success(), "{line}: {said}");
                assert!(!said.contains(TOKEN) && !said.contains("hunter2"), "{line} at {level}:\n{said}");
                longest = longest.max(said.len());
            }
        }
    }
    assert!(longest > 2_000, "the finest level says next to nothing: {longest} bytes");
    assert!(!inbox.take().is_empty());
}

#[test]
fn a_service_that_is_silent_is_told_before_it_is_given_up() {
    // The system accepts connections, but nobody reads from them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/secret-path", silent.local_addr().unwrap());
    let shop = Shop::new(&json!({"url": url, "timeout_s": 4}));
    let finished = shop.run("2026-01-01");
    let waiting = "waiting for an answer of the service of notify.url, for 9 s at most";
    assert!(finished.ok().stderr.contains(waiting), "{finished:#?}");
    assert!(!finished.stderr.contains("secret-path"), "{finished:#?}");
}
