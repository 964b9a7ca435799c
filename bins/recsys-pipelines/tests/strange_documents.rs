//! Files of a strange type or size in place of a document: an error with the file's name. They are not read into
//! memory, not waited for, and do not hide intact documents.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use recsys_testkit::sandbox::{Finished, Sandbox};
use recsys_testkit::scope::MANIFEST;
use recsys_testkit::shop::SCOPE;
use serde_json::{Value, json};

/// Things to put in place of a file, and the expected message.
const STRANGE: [(&str, &str); 5] = [
    ("sparse", "it has 8589934592 bytes, and such a document has at most "),
    ("pipe", "it is a pipe and no regular file; move it away"),
    ("folder", "it is a folder and no regular file; move it away"),
    ("device", "it is a device and no regular file; move it away"),
    ("socket", "it is a socket and no regular file; move it away"),
];

/// Two tenants, each with a published day.
fn published() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.copy("testdata/events/shop/demo", "raw/demo");
    sandbox.write("raw/README", "");
    let acme = fs::read_to_string(sandbox.join("raw/demo/home/exposure.2026-01-01.jsonl")).unwrap();
    sandbox.write("raw/acme/home/exposure.2026-01-01.jsonl", acme.replace("\"demo\"", "\"acme\""));
    sandbox.configure(&json!({}));
    for tenant in ["acme", "demo"] {
        bounded(&sandbox, &format!("run --tenant {tenant} --surface home --start 2026-01-01")).ok();
    }
    sandbox
}

/// Runs a command and fails if it does not end by itself.
fn bounded(sandbox: &Sandbox, line: &str) -> Finished {
    let (binary, line) = match line.split_once(' ') {
        Some((job, rest)) if job.starts_with("job_") => (job, rest),
        _ => ("recsys-pipelines", line),
    };
    sandbox.run_bounded(binary, &format!("{line} --config config.json"), &[])
}

/// Puts `what` in place of a file.
fn replace(sandbox: &Sandbox, path: &Path, what: &str) {
    if path.is_dir() {
        fs::remove_dir(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match what {
        "sparse" => File::create(path).unwrap().set_len(8 << 30).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "folder" => fs::create_dir(path).unwrap(),
        // Reading it never ends.
        "device" => symlink("/dev/zero", path).unwrap(),
        "socket" => {
            // Socket paths have a maximum length.
            let short = sandbox.join("socket");
            drop(UnixListener::bind(&short).unwrap());
            fs::rename(short, path).unwrap();
        }
        other => panic!("{other}"),
    }
}

/// The only file in a folder.
fn only_file(folder: &Path) -> String {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let path = entries.next().unwrap();
    assert!(entries.next().is_none(), "{}", folder.display());
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_strange_manifest_is_named_and_does_not_hide_the_other_tenants() {
    let sandbox = published();
    for (what, said) in STRANGE {
        replace(&sandbox, &sandbox.join(MANIFEST), what);
        let parts = ["cannot read ", MANIFEST, said];
        bounded(&sandbox, &format!("history {SCOPE}")).fails(3, &parts);
        bounded(&sandbox, &format!("rollback {SCOPE}")).fails(3, &parts);
        bounded(&sandbox, &format!("status {SCOPE}")).fails(3, &parts);
        bounded(&sandbox, &format!("job_publish {SCOPE} --start 2026-01-01")).fails(3, &parts);
        // Listings of documents skip an empty folder.
        if what == "folder" {
            continue;
        }
        for command in ["status --kinds", "verify"] {
            let finished = bounded(&sandbox, command);
            finished.fails(3, &parts);
            let table = &finished.stdout;
            assert_eq!(
                table.lines().filter(|line| line.trim_start().starts_with("acme")).count(),
                2,
                "{table}"
            );
            let broken: Vec<_> = table.lines().filter(|line| line.trim_start().starts_with("demo")).collect();
            assert!(broken.len() == 1 && broken[0].ends_with("unreadable"), "{table}");
            let document = bounded(&sandbox, &format!("{command} --json"));
            let document: Value = serde_json::from_str(&document.stdout).unwrap();
            assert_eq!(document["failures"][0]["tenant"], "demo");
            assert!(document["failures"][0]["problem"].as_str().unwrap().contains(said), "{document}");
        }
    }
}

#[test]
fn a_strange_record_history_entry_or_blob_is_named() {
    for (what, said) in STRANGE {
        let sandbox = published();
        let blob = only_file(&sandbox.join("out/objects/demo/home/cooc"));
        replace(&sandbox, Path::new(&blob), what);
        let verified = bounded(&sandbox, "verify");
        assert_eq!(verified.code, Some(3), "{verified:#?}");
        assert!(verified.stderr.contains(said) && verified.stderr.contains("/cooc/"), "{verified:#?}");
        assert_eq!(verified.stdout.matches("intact").count(), 3, "{verified:#?}");
        let record = only_file(&sandbox.join("out/registry/records/demo/home/cooc"));
        replace(&sandbox, Path::new(&record), what);
        bounded(&sandbox, "status").fails(3, &["out/registry/records/demo/home/cooc/", said]);
        bounded(&sandbox, "verify").fails(3, &["out/registry/records/demo/home/cooc/", said]);
        if what == "folder" {
            // Listings skip it, so the entry does not exist.
            continue;
        }
        let entry = only_file(&sandbox.join("out/registry/history/demo/home"));
        replace(&sandbox, Path::new(&entry), what);
        bounded(&sandbox, &format!("history {SCOPE}")).fails(3, &["out/registry/history/demo/home/", said]);
    }
}

#[test]
fn a_strange_checkpoint_lease_pointer_or_report_is_named() {
    let sandbox = published();
    let pointer = "out/artifacts/demo/home/_all/cooc/2026-01-01_2026-01-02/current.version";
    let publish = format!("job_publish {SCOPE} --start 2026-01-02");
    let build = format!("job_cooc {SCOPE} --start 2026-01-02");
    bounded(&sandbox, &format!("job_ingest {SCOPE} --start 2026-01-02")).ok();
    bounded(&sandbox, &build).ok();
    for (what, said) in STRANGE {
        let cases = [
            ("out/checkpoints/demo/home.json", format!("run {SCOPE} --incremental --end 2026-01-02")),
            ("out/registry/gc/demo/home.json", publish.clone()),
            (pointer, format!("job_publish {SCOPE} --start 2026-01-01")),
            (
                "out/canonical/demo/home/reports/2026-01-01.json",
                format!("job_validate {SCOPE} --start 2026-01-01"),
            ),
            (
                "out/canonical/demo/home/exposures/2026-01-01.jsonl",
                format!("job_cooc {SCOPE} --start 2026-01-01"),
            ),
        ];
        for (file, command) in cases {
            // Events are streamed, so their files may be large.
            if what == "sparse" && file.ends_with(".jsonl") {
                continue;
            }
            let before = fs::read(sandbox.join(file)).ok();
            replace(&sandbox, &sandbox.join(file), what);
            let finished = bounded(&sandbox, &command);
            let last = finished.stderr.lines().last().unwrap_or_default();
            assert!(finished.code == Some(3) && last.contains(file) && last.contains(said), "{finished:#?}");
            if what == "folder" {
                fs::remove_dir(sandbox.join(file)).unwrap();
            } else {
                fs::remove_file(sandbox.join(file)).unwrap();
            }
            if let Some(before) = before {
                sandbox.write(file, before);
            }
        }
    }
}

#[test]
fn what_is_planted_beside_documents_is_not_followed() {
    let sandbox = published();
    let publish = format!("run {SCOPE} --start 2026-01-02");
    let lock = sandbox.join("out/registry/current/demo/home/.manifest.json.lock");
    let precious = sandbox.write("precious/file", "precious");
    fs::remove_file(&lock).unwrap();
    symlink(sandbox.join("created"), &lock).unwrap();
    bounded(&sandbox, &publish).fails(3, &[".manifest.json.lock", "it is a link and no regular file"]);
    assert!(!sandbox.join("created").exists());
    replace(&sandbox, &lock, "pipe");
    bounded(&sandbox, &publish).fails(3, &[".manifest.json.lock", "it is a pipe and no regular file"]);
    fs::remove_file(&lock).unwrap();

    // Files in the scratch folder that nobody has locked are swept away.
    let scratch = sandbox.join("out/registry/.scratch");
    fs::remove_dir_all(&scratch).unwrap();
    symlink(sandbox.join("precious"), &scratch).unwrap();
    bounded(&sandbox, &publish).fails(3, &["out/registry/.scratch", "it is a link or a file"]);
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    fs::remove_file(&scratch).unwrap();
    fs::create_dir(&scratch).unwrap();
    replace(&sandbox, &scratch.join("leftover"), "pipe");
    bounded(&sandbox, &publish).ok();
}

/// Notifying twice is harmless; not publishing is not.
#[test]
fn a_strange_note_of_what_was_told_stops_nothing() {
    let sandbox = published();
    let inbox = recsys_testkit::inbox::Inbox::start(&[recsys_testkit::inbox::Response::Status(200)]);
    sandbox.configure(&json!({"notify": {"url": inbox.url()}}));
    for (what, said) in STRANGE {
        replace(&sandbox, &sandbox.join("out/registry/notified/demo/home.json"), what);
        let finished = bounded(&sandbox, &format!("run {SCOPE} --start 2026-01-01"));
        assert!(finished.ok().stderr.contains(said), "{what}: {finished:#?}");
        assert_eq!(inbox.take().len(), 1, "{what}");
    }
}

#[test]
fn in_the_place_of_the_configuration() {
    for (what, said) in STRANGE {
        let sandbox = Sandbox::new();
        replace(&sandbox, &sandbox.join("config.json"), what);
        sandbox
            .run_bounded("recsys-pipelines", "status --config config.json", &[])
            .fails(2, &["config.json", said]);
    }
}
