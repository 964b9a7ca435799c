//! Control characters in foreign text are shown on a terminal, not obeyed.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;

use recsys_core::publish::Manifest;
use recsys_testkit::sandbox::Sandbox;
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

/// Clears the screen, with 7-bit and 8-bit sequences, and reorders text.
const STRANGE: &str = "\u{1b}[2J\u{9b}2J\u{202e}dne\u{2066}";

/// The same text, escaped.
const SHOWN: &str = "\\u{1b}[2J\\u{9b}2J\\u{202e}dne\\u{2066}";

fn assert_harmless(text: &str) {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(is_harmful), "{text:?}");
}

fn published() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.copy("testdata/events/tiny", "raw");
    sandbox.configure(&json!({}));
    sandbox.run("recsys-pipelines", &format!("run {SCOPE} --start 2026-01-01")).ok();
    sandbox
}

#[test]
fn what_a_manifest_and_its_history_hold_does_not_reach_the_terminal() {
    let sandbox = published();
    let path = sandbox.join("out/registry/current/demo/home/manifest.json");
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for uri in manifest.current.values_mut() {
        *uri = format!("file:///{STRANGE}\n/x.json");
    }
    let hash = manifest.hash();
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    let time = manifest.updated_at.strftime("%Y%m%dT%H%M%S%.6fZ");
    let entry = json!({
        "v": 1, "hash": hash, "previous": null, "reason": "publish", "by": format!("me{STRANGE}\nme"),
        "manifest": manifest,
    });
    sandbox.write(&format!("out/registry/history/demo/home/{time}-{hash}.json"), entry.to_string());
    for line in ["status", "verify", "history", "diff", "rollback --dry-run"] {
        for flags in ["", "--json", "--log-format json", "--log-format text"] {
            let filter = if line == "verify" || line == "status" { "--config config.json" } else { SCOPE };
            let finished = sandbox.run("recsys-pipelines", &format!("{line} {filter} {flags}"));
            let said = finished.stdout.clone() + &finished.stderr;
            assert_harmless(&said);
            let is_shown = said.contains(SHOWN) || said.contains("\\u001b[2J\\u009b2J\\u202edne\\u2066");
            assert!(is_shown || line.starts_with("rollback"), "{line} {flags}: {said}");
        }
    }
    let history = sandbox.run("recsys-pipelines", &format!("history {SCOPE}")).ok().stdout.clone();
    // A line end in a cell does not break the row.
    assert!(history.contains(&format!("me{SHOWN}\\nme")), "{history}");
    let json = sandbox.run("recsys-pipelines", &format!("history {SCOPE} --json"));
    let history: Value = serde_json::from_str(&json.ok().stdout).unwrap();
    assert_eq!(history["entries"][0]["by"], format!("me{STRANGE}\nme"));
}

#[test]
fn names_and_flags_do_not_reach_the_terminal() {
    let sandbox = Sandbox::new();
    let bidi = "de\u{202e}mo";
    let manifest = json!({
        "v": 1, "tenant": bidi, "surface": "home", "current": {}, "updated_at": "2026-01-01T00:00:00Z",
    });
    sandbox.write(&format!("out/registry/current/{bidi}/home/manifest.json"), manifest.to_string());
    sandbox.write("config.json", json!({"out_dir": "out"}).to_string());
    let status = sandbox.run("recsys-pipelines", "status --config config.json");
    assert!(status.ok().stdout.contains("de\\u{202e}mo"), "{status:#?}");
    assert_harmless(&status.stdout);
    sandbox.write("config.json", json!({"out_dir": "out", STRANGE: 1}).to_string());
    for line in [
        "status --config config.json".to_owned(),
        format!("status {STRANGE}"),
        format!("status --tenant {bidi} --surface \u{85}"),
    ] {
        let finished = sandbox.run("recsys-pipelines", &line);
        assert_eq!(finished.code, Some(2), "{finished:#?}");
        assert_harmless(&finished.stderr);
    }
}

#[test]
fn a_log_line_is_one_line_that_is_shown() {
    let sandbox = published();
    for format in ["text", "json"] {
        let mut command = sandbox.command("job_content_sim");
        sandbox.write("cat.csv", "item_id,tags\na,x\n");
        let name = format!("cat{STRANGE}\n.csv");
        fs::copy(sandbox.join("cat.csv"), sandbox.join(&name)).unwrap();
        command.env("RUST_LOG", "info").args(SCOPE.split(' ')).args([
            "--start",
            "2026-01-01",
            "--log-format",
            format,
        ]);
        let output = command.args(["--input", &name]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && stderr.contains("read the catalogue"), "{stderr}");
        assert_harmless(&stderr);
        assert!(stderr.lines().all(|line| line.contains("run_id") || line.contains(" INFO ")), "{stderr}");
    }
}
