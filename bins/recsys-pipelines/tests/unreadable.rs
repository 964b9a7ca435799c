//! Unreadable or damaged input is never an empty day, never counts twice, and is named in the error.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};

use recsys_testkit::pack::gz;
use recsys_testkit::sandbox::{Finished, Sandbox};
use serde_json::json;

const SCOPE: &str = "--config config.json --tenant demo --surface home --start 2026-01-01";
const RAW: &str = "raw/demo/home/exposure.2026-01-01.jsonl";

fn events() -> String {
    (0..6).fold(String::new(), |mut text, number| {
        let ts = format!("2026-01-01T0{number}:00:00Z");
        let event =
            json!({"v": 1, "ts": ts, "tenant": "demo", "surface": "home", "session_id": "s", "item_id": format!("A{number}")});
        writeln!(text, "{event}").unwrap();
        text
    })
}

/// A sandbox with a configuration, and raw events of another tenant.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let config = json!({"raw_events_dir": "raw", "out_dir": "out"});
    sandbox.write("config.json", config.to_string());
    sandbox.write("raw/other/home/exposure.2026-01-01.jsonl", "");
    sandbox
}

fn ingest(sandbox: &Sandbox) -> Finished {
    sandbox.run("job_ingest", SCOPE)
}

/// Ingests, and asserts the exit code and a single line of error with these parts.
#[track_caller]
fn refuses(sandbox: &Sandbox, code: i32, parts: &[&str]) {
    let finished = ingest(sandbox);
    finished.fails(code, parts);
    let day = "out/canonical/demo/home/exposures/2026-01-01.jsonl";
    assert!(!sandbox.join(day).exists(), "{finished:?}");
}

// ---- paths -------------------------------------------------------------------------------------------

#[test]
fn a_link_to_nothing_in_any_place_of_the_path_is_no_empty_day() {
    for link in ["raw", "raw/demo", "raw/demo/home", RAW, "raw/exposure.jsonl"] {
        let sandbox = sandbox();
        let path = sandbox.join(link);
        if link == "raw" {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink("/nowhere/at/all", &path).unwrap();
        let told = match link {
            "raw" => "it is a link to a folder that does not exist".to_owned(),
            link if link.ends_with("jsonl") => "it is a link to a file that does not exist".to_owned(),
            folder => format!("{folder} is a link to a folder that does not exist"),
        };
        refuses(&sandbox, 1, &[link, &told]);
    }
}

#[test]
fn a_folder_that_may_not_be_entered_is_no_empty_day() {
    for folder in ["raw", "raw/demo", "raw/demo/home"] {
        let sandbox = sandbox();
        sandbox.write(RAW, events());
        fs::set_permissions(sandbox.join(folder), fs::Permissions::from_mode(0o000)).unwrap();
        let finished = sandbox.run_unprivileged("job_ingest", SCOPE);
        // Restore the mode so that the folder can be removed.
        fs::set_permissions(sandbox.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
        finished.fails(1, &[folder, "Permission denied"]);
    }
}

/// Like a mount point whose disk is not mounted.
#[test]
fn an_empty_raw_folder_is_none() {
    let sandbox = sandbox();
    fs::remove_dir_all(sandbox.join("raw")).unwrap();
    fs::create_dir(sandbox.join("raw")).unwrap();
    refuses(&sandbox, 2, &["raw events folder raw does not exist or is empty; mount or fill it"]);
}

#[test]
fn every_reader_tells_a_link_to_nothing_from_an_absent_document() {
    let sandbox = sandbox();
    sandbox.write("shop.csv", "item_id,tags\nA,x\n");
    sandbox.write(RAW, events());
    sandbox.run("recsys-pipelines", &format!("run {SCOPE}")).ok();
    for (folder, binary, line) in [
        ("out/canonical/demo", "job_validate", SCOPE),
        ("out/canonical/demo/home/exposures", "job_popularity", SCOPE),
        ("out/artifacts/demo", "job_publish", SCOPE),
        ("out/registry/current/demo", "recsys-pipelines", "status --config config.json"),
        ("out/checkpoints/demo", "recsys-pipelines", &format!("run {SCOPE} --incremental")),
    ] {
        let (path, aside) = (sandbox.join(folder), sandbox.join("aside"));
        fs::rename(&path, &aside).unwrap();
        symlink("/nowhere/at/all", &path).unwrap();
        let finished = sandbox.run(binary, line);
        fs::remove_file(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        let last = finished.stderr.lines().last().unwrap_or_default();
        assert_eq!(finished.code, Some(1), "{folder}: {finished:?}");
        assert!(last.contains(folder) && last.contains("that does not exist"), "{folder}: {finished:?}");
    }
    let catalog = format!("{SCOPE} --input gone/shop.csv");
    symlink("/nowhere/at/all", sandbox.join("gone")).unwrap();
    sandbox
        .run("job_content_sim", &catalog)
        .fails(1, &["gone/shop.csv", "gone is a link to a folder that does not exist"]);
}

#[test]
fn a_folder_of_part_files_is_told_to_be_one() {
    let sandbox = sandbox();
    sandbox.write(&format!("{RAW}/part-0"), events());
    refuses(&sandbox, 3, &[RAW, "it is a folder, whose files are not read"]);
}

// ---- copies ------------------------------------------------------------------------------------------

#[test]
fn a_file_beside_its_compressed_copy_never_counts_twice() {
    let sandbox = sandbox();
    let compressed = [("gz", gz(events())), ("zst", zstd::encode_all(events().as_bytes(), 1).unwrap())];
    for (extension, bytes) in compressed {
        for name in [RAW, "raw/exposure.jsonl"] {
            sandbox.write(name, events());
            sandbox.write(&format!("{name}.{extension}"), &bytes);
            let told = format!("{name} and {name}.{extension} hold the same events, which would count twice");
            refuses(&sandbox, 3, &[&told, "remove the one that is a copy"]);
            fs::remove_file(sandbox.join(name)).unwrap();
            fs::remove_file(sandbox.join(format!("{name}.{extension}"))).unwrap();
        }
    }
    // Two parts of a day are read together, and the summary says so.
    let events = events();
    let (one, other) = events.split_at(events.len() / 2);
    sandbox.write(RAW, one);
    sandbox.write(&format!("{RAW}.gz"), gz(other));
    let finished = ingest(&sandbox);
    assert!(finished.ok().stdout.contains("6 events"), "{finished:?}");
    assert!(finished.stderr.contains("none must be a copy of another"), "{finished:?}");
}

// ---- compressed files --------------------------------------------------------------------------------

#[test]
fn zeros_behind_a_gzip_member_are_padding_for_events_and_catalogues() {
    let sandbox = sandbox();
    sandbox.write(&format!("{RAW}.gz"), [gz(events()), vec![0; 512]].concat());
    assert!(ingest(&sandbox).ok().stdout.contains("6 events"));
    sandbox.write("items.csv.gz", [gz("item_id,tags\nA,x\n"), vec![0; 512]].concat());
    let finished = sandbox.run("job_content_sim", &format!("{SCOPE} --input items.csv.gz"));
    assert!(finished.ok().stdout.contains("1 rows"), "{finished:?}");
}

#[test]
fn what_is_broken_for_good_is_refused_and_what_breaks_off_is_tried_again() {
    let text = events();
    let mut wrong = gz(&text);
    let checksum = wrong.len() - 6;
    wrong[checksum] ^= 0xff;
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(30).unwrap();
    encoder.write_all(text.as_bytes()).unwrap();
    let wide = encoder.finish().unwrap();
    let cases: [(&str, Vec<u8>, i32, &[&str]); 7] = [
        ("gz", text.clone().into_bytes(), 3, &["it is not gzip"]),
        ("gz", wrong, 3, &["its gzip data is broken", "checksum", "have the file made again"]),
        ("zst", gz(&text), 3, &["it is not zstd: the file is gzip; its name must end in .gz"]),
        ("zst", wide, 3, &["window is larger than the 128 MiB that are read: it has 1024 MiB", "--long=27"]),
        ("zst", [zst.clone(), b"junk\n".to_vec()].concat(), 3, &["its zstd data is broken"]),
        ("gz", gz(&text)[..50].to_vec(), 1, &["incomplete deflate stream"]),
        ("zst", zst[..50].to_vec(), 1, &["incomplete frame"]),
    ];
    for (extension, bytes, code, parts) in cases {
        let sandbox = sandbox();
        let name = format!("{RAW}.{extension}");
        sandbox.write(&name, &bytes);
        refuses(&sandbox, code, &[&[name.as_str()], parts].concat());
        // Catalogues are read the same way; an event passes for a row of one.
        let catalogue = format!("items.jsonl.{extension}");
        sandbox.write(&catalogue, &bytes);
        let line = format!("{SCOPE} --input {catalogue}");
        sandbox.run("job_content_sim", &line).fails(code, &[&[catalogue.as_str()], parts].concat());
    }
}

// ---- catalogues --------------------------------------------------------------------------------------

#[test]
fn a_catalogue_that_is_not_what_it_should_be_is_refused_by_name() {
    let sandbox = sandbox();
    let no_item = "the header has no column item_id";
    let utf_16: Vec<u8> = "item_id,tags\nA,x\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: [(&str, &[u8], &[&str]); 9] = [
        ("quotes.csv", b"item_id,tags\nA,\"12\" screen\n", &["quotes.csv:2: ", "more text follows"]),
        ("tags.csv", b"item_id,price\nA,1\n", &["tags.csv has no tags, of which content_sim is made"]),
        (
            "near.csv",
            b"item_id,Tag List\nA,x\n",
            &["near.csv has no tags (its \"Tag List\" has another name)"],
        ),
        ("tags.jsonl", b"{\"item_id\":\"A\"}\n", &["tags.jsonl has no tags"]),
        ("bars.csv", b"item_id;tags\nA;x\n", &[no_item, "separated by semicolons"]),
        ("tabs.csv", b"item_id\ttags\nA\tx\n", &[no_item, "separated by tabs"]),
        ("excel.csv", b"sep=,\nitem_id,tags\nA,x\n", &[no_item, "\"sep=,\"", "take that line out"]),
        ("wide.csv", &utf_16, &["wide.csv:1: the file is UTF-16; convert it to UTF-8"]),
        (
            "packed.csv",
            &gz("item_id,tags\nA,x\n"),
            &["packed.csv:1: the file is gzip; its name must end in .gz"],
        ),
    ];
    for (name, bytes, parts) in cases {
        sandbox.write(name, bytes);
        sandbox.run("job_content_sim", &format!("{SCOPE} --input {name}")).fails(3, parts);
    }
    assert!(!sandbox.join("out/artifacts").exists());
    // RFC 4180 makes this a single item, which was hardly intended.
    sandbox.write("open.csv", "item_id,tags\nA,\"x\nB,y\nC,z\"\nD,w\n");
    let one = sandbox.run("job_content_sim", &format!("{SCOPE} --input open.csv"));
    assert!(
        one.ok().stderr.contains("goes on over a line end") && one.stderr.contains("\"line\":2"),
        "{one:?}"
    );
    sandbox.write("notes.csv", "item_id,tags,note\nA,x,\"two\nlines\"\n");
    let one = sandbox.run("job_content_sim", &format!("{SCOPE} --input notes.csv"));
    assert!(!one.ok().stderr.contains("goes on"), "{one:?}");
}

// ---- lines -------------------------------------------------------------------------------------------

#[test]
fn what_an_editor_does_not_show_is_called_by_its_name() {
    let (text, sandbox) = (events(), sandbox());
    let (first, rest) = text.split_at(text.find('\n').unwrap() + 1);
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let mark = "a byte order mark (U+FEFF) stands here";
    let cases: [(Vec<u8>, &str, &str); 10] = [
        (gz(&text), ":1: ", "the file is gzip; its name must end in .gz"),
        (
            zstd::encode_all(text.as_bytes(), 1).unwrap(),
            ":1: ",
            "the file is zstd; its name must end in .zst",
        ),
        (utf_16(&format!("\u{feff}{text}")), ":1: ", "the file is UTF-16; convert it to UTF-8"),
        (utf_16(&text), ":1: ", "the file is UTF-16; convert it to UTF-8"),
        (format!("{first}\u{feff}{rest}").into_bytes(), ":2:1: ", mark),
        (format!("\u{feff}\u{feff}{text}").into_bytes(), ":1:1: ", mark),
        (format!("{}{text}", "\0".repeat(64)).into_bytes(), ":1:1: ", "a zero byte (U+0000) stands here"),
        (text.replace("\"A0\"", "1").into_bytes(), ":1:", "field `item_id` is 1; it must be a string"),
        (
            text.replace('}', ",\"rank\":\"3\"}").into_bytes(),
            ":1:",
            "field `rank` is the string \"3\"; it must be a whole number",
        ),
        (b"[1]\n".to_vec(), ":1:", "the line is a list; it must be an object"),
    ];
    for (bytes, place, told) in cases {
        sandbox.write(RAW, bytes);
        let finished = ingest(&sandbox);
        finished.fails(3, &[RAW, place, told]);
        assert!(!finished.stderr.contains("i64"), "{finished:?}");
        assert_eq!(
            finished.stderr.contains("correct the line"),
            !told.starts_with("the file"),
            "{finished:?}"
        );
    }
}

#[test]
fn settings_of_a_wrong_type_are_told_in_the_words_of_the_file() {
    let sandbox = Sandbox::new();
    for (config, told) in [
        (
            r#"{"limits":{"max_events_per_run":"many"}}"#,
            "limits.max_events_per_run is the string \"many\"; it must be a whole",
        ),
        (
            r#"{"limits":{"max_events_per_run":-1}}"#,
            "limits.max_events_per_run is -1; it must be a whole number of 0 or more",
        ),
        (r#"{"window_days":{"cooc":0}}"#, "window_days.cooc is 0; it must be a whole number of 1 or more"),
        (r#"{"out_dir":7}"#, "out_dir is 7; it must be a string"),
        (r#"{"artifact_kinds":"cooc"}"#, "artifact_kinds is the string \"cooc\"; it must be a list"),
        (
            r#"{"db":{"auto_create_tenant":"yes"}}"#,
            "db.auto_create_tenant is the string \"yes\"; it must be true or false",
        ),
    ] {
        sandbox.write("config.json", config);
        sandbox.run("job_ingest", SCOPE).fails(2, &["config.json", told]);
    }
}
