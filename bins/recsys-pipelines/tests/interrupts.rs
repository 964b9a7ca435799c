//! SIGTERM and SIGINT: a run stops at a safe point with a one-line message, and running it again completes.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use recsys_core::artifact::Kind;
use recsys_testkit::process::{end, signal, wait_for_handlers};
use recsys_testkit::reader::read_published;
use recsys_testkit::sandbox::{Finished, Sandbox, copy};
use recsys_testkit::scope::{MANIFEST, SCOPE};
use recsys_testkit::workload::Workload;
use serde_json::json;

const RUN: &str = "run --start 2026-01-02 --end 2026-01-03";

fn start(sandbox: &Sandbox, line: &str) -> Child {
    let mut command = sandbox.command("recsys-pipelines");
    command.args(line.split_whitespace()).args(SCOPE.split_whitespace());
    command.env("SOURCE_DATE_EPOCH", "1767400000");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(child: Child) -> Finished {
    Output::into(child.wait_with_output().unwrap())
}

/// Three days of the reference workload; the first is published.
fn published(events: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    for day in ["2026-01-01", "2026-01-02", "2026-01-03"] {
        let path = sandbox.write(&format!("raw/demo/home/exposure.{day}.jsonl"), "");
        Workload::reference(day.parse().unwrap(), events).write(&mut File::create(path).unwrap()).unwrap();
    }
    sandbox.configure(&json!({
        "resources": {"temp_dir": "temp"},
        "artifact_kinds": ["popularity", "cooc", "implicit", "session_seq"],
        "limits": {"max_artifact_bytes": 0}, "metrics": {"file": "run.prom"},
    }));
    finish(start(&sandbox, "run --start 2026-01-01")).ok();
    sandbox
}

/// Temporary files of unfinished runs.
fn leftovers(sandbox: &Sandbox) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["canonical", "artifacts", "objects", "registry", "checkpoints"] {
        let scratch = sandbox.join("out").join(root).join(".scratch");
        found.extend(fs::read_dir(scratch).into_iter().flatten().map(|entry| entry.unwrap().path()));
    }
    for folder in [sandbox.join("temp"), sandbox.path().to_owned()] {
        let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "tmp")));
    }
    found.into_iter().map(|path| path.display().to_string()).collect()
}

#[test]
fn a_run_that_is_stopped_at_any_moment_is_whole() {
    const ROUNDS: u32 = 50;
    let sandbox = published(4_000);
    let current = || -> BTreeMap<Kind, String> { read_published(&sandbox.join(MANIFEST)).unwrap() };
    let old = current();
    copy(&sandbox.join("out"), &sandbox.join("before"));
    let begun = Instant::now();
    finish(start(&sandbox, RUN)).ok();
    let mut took = begun.elapsed();
    let last = current();
    fs::remove_dir_all(sandbox.join("out")).unwrap();
    copy(&sandbox.join("before"), &sandbox.join("out"));
    finish(start(&sandbox, "run --start 2026-01-02")).ok();
    let states = [old, current(), last];

    let mut stopped = 0;
    for round in 0..ROUNDS {
        fs::remove_dir_all(sandbox.join("out")).unwrap();
        copy(&sandbox.join("before"), &sandbox.join("out"));
        let run = start(&sandbox, RUN);
        wait_for_handlers(&run);
        // Anywhere between the beginning and the end.
        thread::sleep(took * (round * 7919 % 1000) / 1000);
        signal(&run, if round % 3 == 0 { "-INT" } else { "-TERM" });
        let finished = finish(run);
        match finished.code {
            // Measured when the machine was slower.
            Some(0) => took = took * 9 / 10,
            Some(1) => {
                stopped += 1;
                finished.fails(1, &["stopped by SIG", "at a safe point"]);
                let metrics = fs::read_to_string(sandbox.join("run.prom")).unwrap();
                assert!(metrics.contains(
                    "recsys_run_exit_code{binary=\"recsys-pipelines\",surface=\"home\",tenant=\"demo\"} 1\n"
                ));
                assert!(leftovers(&sandbox).is_empty(), "round {round}: {:?}", leftovers(&sandbox));
            }
            _ => panic!("round {round}: {finished:#?}"),
        }
        let seen = current();
        assert!(states.contains(&seen), "round {round}: {seen:?}");
        assert!(finished.code != Some(0) || seen == states[2], "round {round}: done, and not published");
        sandbox.run("recsys-pipelines", &format!("verify {SCOPE}")).ok();
        finish(start(&sandbox, RUN)).ok();
        assert_eq!(current(), states[2], "round {round}");
        assert!(leftovers(&sandbox).is_empty(), "round {round}: {:?}", leftovers(&sandbox));
    }
    assert!(stopped > ROUNDS / 4, "only {stopped} runs were stopped in time");
}

/// Waits until the log shows the beginning of a step.
fn wait_for(child: &mut Child, step: &str) -> thread::JoinHandle<String> {
    use std::io::{BufRead, BufReader};
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begins = format!("\"message\":\"step begins\",\"step\":\"{step}\"");
    assert!(lines.any(|line| line.unwrap().contains(&begins)), "{step} never begins");
    // Keep reading, so that the process does not block.
    thread::spawn(move || lines.map_while(Result::ok).last().unwrap_or_default())
}

/// Interrupts a step with a lot of work left.
#[test]
fn long_work_is_stopped_between_its_pieces() {
    let sandbox = published(200);
    let path = sandbox.join("raw/demo/home/exposure.2026-01-02.jsonl");
    Workload::reference("2026-01-02".parse().unwrap(), 400_000)
        .write(&mut File::create(path).unwrap())
        .unwrap();
    let before = fs::read(sandbox.join(MANIFEST)).unwrap();
    for step in ["ingest", "build"] {
        let mut command = sandbox.command("recsys-pipelines");
        command
            .args("run --start 2026-01-02".split(' '))
            .args(SCOPE.split_whitespace())
            .env("RUST_LOG", "info");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let last = wait_for(&mut child, step);
        signal(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(1), "{step}");
        assert!(last.join().unwrap().starts_with("error: stopped by SIGTERM"), "{step}");
        let metrics = fs::read_to_string(sandbox.join("run.prom")).unwrap();
        // It did not stop only at the end of the step.
        assert!(metrics.contains(&format!("step=\"{step}\"")), "{metrics}");
        assert!(!metrics.contains("step=\"publish\""), "{metrics}");
        assert_eq!(fs::read(sandbox.join(MANIFEST)).unwrap(), before);
    }
}

#[test]
fn the_second_signal_ends_the_process_at_once() {
    let sandbox = Sandbox::new();
    // Reading a pipe without a writer never ends and reaches no safe point.
    sandbox.write("raw/README", "");
    let fifo = sandbox.join("raw/exposure.jsonl");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    sandbox.configure(&json!({}));
    for (name, number) in [("-TERM", 15), ("-INT", 2)] {
        let mut child = start(&sandbox, "run --start 2026-01-02");
        wait_for_handlers(&child);
        thread::sleep(Duration::from_millis(300));
        signal(&child, name);
        thread::sleep(Duration::from_millis(300));
        assert!(child.try_wait().unwrap().is_none(), "the first signal has ended it");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(128 + number));
    }
}

/// Signals a job that waits for another process or a service, and waits until it has stopped.
fn stop_waiting(mut child: Child) -> Finished {
    wait_for_handlers(&child);
    thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it does not wait");
    signal(&child, "-TERM");
    end(child).into()
}

#[test]
fn a_job_that_waits_for_a_bucket_stops() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    // On the first port connections succeed, but nobody answers; on the second nobody listens.
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for port in [port, refused] {
        let sandbox = Sandbox::new();
        let s3 = json!({"endpoint": format!("127.0.0.1:{port}"), "bucket": "b", "access_key": "a",
            "secret_key": "s", "region": "us-east-1", "use_ssl": false});
        let config = json!({
            "out_dir": "out", "raw_source": {"type": "s3", "s3": s3},
            "storage": {"timeout_s": 3600, "retry_timeout_s": 3600},
        });
        sandbox.write("config.json", config.to_string());
        let finished = stop_waiting(start(&sandbox, "run --start 2026-01-02"));
        finished.fails(1, &["stopped by SIGTERM"]);
    }
}

#[test]
fn a_job_that_waits_for_a_lock_stops() {
    let sandbox = published(2_000);
    let lock =
        File::options().write(true).open(sandbox.join("out/registry/current/demo/home/.manifest.json.lock"));
    let lock = lock.unwrap();
    lock.lock().unwrap();
    let before = fs::read(sandbox.join(MANIFEST)).unwrap();
    let child = start(&sandbox, RUN);
    // It works until it waits for the lock.
    thread::sleep(Duration::from_secs(2));
    stop_waiting(child).fails(1, &["stopped by SIGTERM"]);
    assert_eq!(fs::read(sandbox.join(MANIFEST)).unwrap(), before);
    drop(lock);
    finish(start(&sandbox, RUN)).ok();
}
