//! Bad raw lines and files through the binaries: strict mode stops at the first, quarantine mode sets aside exactly the
//! bad ones, and a file that cannot be read to its end is an error in both.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use recsys_testkit::generate::plain_line;
use recsys_testkit::pack::gz;
use recsys_testkit::process::wait_until;
use recsys_testkit::sandbox::{Finished, Sandbox, bytes};
use recsys_testkit::scope::SCOPE;
use serde_json::{Value, json};

const DAY: &str = "2026-01-01";
const RAW: &str = "raw/demo/home/exposure.2026-01-01.jsonl";
const CANONICAL: &str = "out/canonical/demo/home/exposures/2026-01-01.jsonl";
const QUARANTINE: &str = "out/canonical/demo/home/quarantine/2026-01-01.jsonl";

/// `count` good lines of the day.
fn good_lines(count: usize) -> String {
    (0..count).map(|number| plain_line(DAY, &format!("i{}", number % 100)) + "\n").collect()
}

/// A sandbox with raw events.
struct Feed(Sandbox);

impl Feed {
    fn new(max_invalid_ratio: f64) -> Self {
        let feed = Self(Sandbox::new());
        fs::create_dir(feed.0.join("raw")).unwrap();
        feed.configure(&json!({"max_invalid_ratio": max_invalid_ratio}));
        feed
    }

    fn configure(&self, validation: &Value) {
        self.0.write(
            "config.json",
            json!({"raw_events_dir": "raw", "out_dir": "out",
            "artifact_kinds": ["popularity"], "validation": validation})
            .to_string(),
        );
    }

    fn ingest(&self) -> Finished {
        self.0.run("job_ingest", &format!("{SCOPE} --start {DAY}"))
    }

    fn run(&self) -> Finished {
        self.0.run("recsys-pipelines", &format!("run {SCOPE} --start {DAY}"))
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    /// The lines of a quarantine file.
    fn kept(&self, path: &str) -> Vec<Value> {
        self.text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Starts to ingest, and returns once the raw file is open.
    fn begin(&self) -> Child {
        let mut command = self.0.command("job_ingest");
        command.args(SCOPE.split(' ')).args(["--start", DAY]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let descriptors = format!("/proc/{}/fd", child.id());
        let raw = fs::metadata(self.0.join(RAW)).unwrap().ino();
        let is_open = || {
            let entries = fs::read_dir(&descriptors).into_iter().flatten().flatten();
            entries.filter_map(|entry| fs::metadata(entry.path()).ok()).any(|file| file.ino() == raw)
        };
        wait_until("it does not open the file", is_open);
        child
    }
}

fn finished(child: Child) -> Finished {
    child.wait_with_output().unwrap().into()
}

/// Bad lines as producers write them, and the message expected after `file:line`.
fn bad_lines() -> Vec<(Vec<u8>, &'static str)> {
    let line = plain_line(DAY, "A");
    let with = |from: &str, to: &str| line.replacen(from, to, 1).into_bytes();
    vec![
        (b"{\"v\":1,".to_vec(), ":7: EOF"),
        (line.as_bytes()[..50].to_vec(), ":50: EOF"),
        (with("\"v\":1", "\"v\":\"1\""), ":8: field `v` is the string"),
        (with("\"item_id\"", "\"item\""), ": field `item_id` is missing"),
        (with("T08", " 08"), ": field `ts`"),
        (with("\"A\"", "\"A\0\""), ":98: a zero byte (U+0000)"),
        (with("\"A\"", "\"\\ud800\""), ": unexpected end of hex escape"),
        (with("\"A\"", "\"A\",\"item_id\":\"A\""), ": duplicate field `item_id`"),
        (with("}", ",\"rank\":1e400}"), ": field `rank` is 1e400"),
        (with("}", ",\"rank\":-0}"), ": field `rank` is -0; "),
        (with("}", ",\"rank\":01}"), ": invalid number"),
        (with("}", ",\"rank\":1.0}"), ": field `rank` is 1.0; "),
        (with("}", ",\"rank\":9223372036854775808}"), ": field `rank` is 9223372036854775808; "),
        (with("}", ",\"rank\":-9223372036854775808}"), ": field `rank` is -9223372036854775808"),
        (with("\"A\"", &"[".repeat(100_000)), ": it is a list; it must be a string"),
        (with("\"v\"", &format!("\"{}\":1,\"v\"", "k".repeat(1 << 20))), ": the line is longer than 1048576"),
        (format!("\u{feff}{line}").into_bytes(), ":1: a byte order mark (U+FEFF)"),
        (format!("{line}\r{line}").into_bytes(), ": trailing characters"),
        (b"\xff\xfe".to_vec(), ":1: the line is not UTF-8"),
    ]
}

#[test]
fn strict_mode_names_the_line_and_quarantine_mode_sets_it_aside() {
    let (strict, lenient) = (Feed::new(0.0), Feed::new(0.5));
    strict.0.write(RAW, good_lines(3));
    strict.ingest().ok();
    let canonical = strict.text(CANONICAL);
    for (bad, said) in bad_lines() {
        let shown = String::from_utf8_lossy(&bad[..bad.len().min(100)]).into_owned();
        let lines = good_lines(3);
        let (head, tail) = lines.split_at(plain_line(DAY, "i0").len() + 1);
        let raw = [b"\r\n", head.as_bytes(), &bad, b"\n", tail.as_bytes()].concat();
        for feed in [&strict, &lenient] {
            feed.0.write(RAW, &raw);
        }
        let finished = lenient.ingest();
        assert!(finished.ok().stdout.contains("4 lines, 0 foreign, 0 outside the days asked for, 1 invalid"));
        assert!(lenient.text(CANONICAL) == canonical, "{shown}");
        let kept = lenient.kept(QUARANTINE);
        assert_eq!(kept.len(), 1, "{shown}");
        assert_eq!(kept[0]["line"], 3);
        assert_eq!(kept[0]["byte_offset"], 2 + head.len());
        let column = kept[0].get("column").map(|column| format!(":{column}")).unwrap_or_default();
        let message = format!("{column}: {}", kept[0]["reason"].as_str().unwrap());
        assert!(message.contains(said), "{message}");

        strict.ingest().fails(3, &[&format!("{RAW}:3{message}; correct the line or take it out")]);
        assert!(strict.text(CANONICAL) == canonical && !strict.exists(QUARANTINE), "{shown}");
        match std::str::from_utf8(&bad) {
            Ok(text) => assert!(kept[0]["text"] == text, "{shown}"),
            Err(_) => assert_eq!(kept[0]["base64"], "//4="),
        }
    }
}

#[test]
fn two_files_of_a_day_of_which_one_is_bad() {
    let feed = Feed::new(0.5);
    feed.0.write(RAW, plain_line(DAY, "A") + "\n{\n" + &plain_line(DAY, "B") + "\n");
    feed.0.write(&format!("{RAW}.gz"), gz(plain_line(DAY, "C") + "\r\n" + &plain_line(DAY, "D") + "\n"));
    let finished = feed.run();
    let file = QUARANTINE;
    assert!(finished.ok().stdout.contains(&format!("  quarantine   {file}: 1 lines, 20.00 % of those read")));
    assert!(finished.stdout.contains("5 lines, 0 foreign, 0 outside the days asked for, 1 invalid"));
    assert!(finished.stderr.contains("invalid lines are set aside"), "{finished:?}");
    let text = feed.text(QUARANTINE);
    assert_eq!(
        text,
        "{\"file\":\"demo/home/exposure.2026-01-01.jsonl\",\"line\":2,\"column\":1,\"byte_offset\":100,\
         \"reason\":\"EOF while parsing an object\",\"text\":\"{\"}\n"
    );
    // Ingesting again changes nothing, even with the raw files in another folder.
    let before = feed.0.snapshot("out/canonical");
    let folders: Vec<&str> = before.keys().filter_map(|name| name.split('/').nth(2)).collect();
    assert_eq!(folders, ["exposures", "quarantine", "reports", "scope.json"]);
    feed.ingest().ok();
    assert_eq!(feed.0.snapshot("out/canonical"), before);
    fs::rename(feed.0.join("raw"), feed.0.join("elsewhere")).unwrap();
    let mut command = feed.0.command("job_ingest");
    command.env("RECSYS_PIPELINES__RAW_EVENTS_DIR", feed.0.join("elsewhere"));
    let json: Finished =
        command.args(SCOPE.split(' ')).args(["--start", DAY, "--json"]).output().unwrap().into();
    assert_eq!(feed.0.snapshot("out/canonical"), before);
    let document: Value = serde_json::from_str(&json.ok().stdout).unwrap();
    let source = &document["days"][0]["source"];
    assert_eq!((&source["lines"], &source["invalid"]), (&json!(5), &json!(1)));
    assert_eq!((&source["invalid_ratio"], &source["quarantine"]), (&json!(0.2), &json!(file)));

    // Strict mode removes the quarantine file once the data is good, and not before.
    fs::rename(feed.0.join("elsewhere"), feed.0.join("raw")).unwrap();
    feed.configure(&json!({}));
    let refused = feed.ingest();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let last = refused.stderr.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.contains(&format!("{RAW}:2:1: EOF")), "{refused:?}");
    let mut after = feed.0.snapshot("out/canonical");
    after.remove("demo/home/exposures/2026-01-01.refused.jsonl").unwrap();
    assert_eq!(after, before);
    feed.0.write(RAW, plain_line(DAY, "A") + "\n\n" + &plain_line(DAY, "B") + "\n");
    feed.ingest().ok();
    assert!(!feed.exists(QUARANTINE));
    assert_eq!(
        feed.text(CANONICAL),
        String::from_utf8(before["demo/home/exposures/2026-01-01.jsonl"].1.clone()).unwrap()
    );
}

#[test]
fn too_many_bad_lines_are_refused_before_anything_else_changes() {
    let feed = Feed::new(0.25);
    feed.0.write(RAW, good_lines(3) + "bad\n");
    feed.run().ok();
    let before = feed.0.snapshot("out");
    feed.0.write(RAW, plain_line(DAY, "X") + "\nbad 1\n\n" + &good_lines(1) + "bad 2\n");
    let parts = [
        "gate max_invalid_ratio refused 2026-01-01",
        "2 of 4 lines are invalid (50.0 %), more than 0.25",
        QUARANTINE,
        "the first is demo/home/exposure.2026-01-01.jsonl:2:1: expected value",
        "validation.max_invalid_ratio",
    ];
    feed.run().fails(3, &parts);
    feed.ingest().fails(3, &parts);
    // Written for `status`; snapshots leave it out.
    assert!(feed.exists("out/checkpoints/failures/demo/home/job_ingest.json"));
    let mut after = feed.0.snapshot("out");
    // Marks the day as refused, next to the good data from before.
    after.remove("canonical/demo/home/exposures/2026-01-01.refused.jsonl").unwrap();
    let changed: Vec<&String> = after.keys().filter(|name| after.get(*name) != before.get(*name)).collect();
    assert_eq!(changed, ["canonical/demo/home/quarantine/2026-01-01.jsonl"]);
    assert_eq!(after.len(), before.len());
    let texts: Vec<Value> = feed.kept(QUARANTINE).iter().map(|line| line["text"].clone()).collect();
    assert_eq!(texts, ["bad 1", "bad 2"]);

    // A day of only bad lines does not erase existing data, whatever ratio is allowed.
    feed.configure(&json!({"max_invalid_ratio": 1}));
    feed.0.write(RAW, "bad\n".repeat(10));
    let finished = feed.run();
    assert_eq!(finished.code, Some(3), "{finished:?}");
    assert!(finished.stderr.contains("would be erased"), "{finished:?}");
    assert_eq!(feed.kept(QUARANTINE).len(), 10);
    assert_eq!(
        bytes(&feed.0.snapshot("out"))["canonical/demo/home/exposures/2026-01-01.jsonl"],
        bytes(&before)["canonical/demo/home/exposures/2026-01-01.jsonl"]
    );
}

/// The line number at which reading stopped, from the error.
fn stopped_at(finished: &Finished, file: &str) -> usize {
    let (_, rest) = finished.stderr.split_once(&format!("reading was stopped at {file}:")).unwrap();
    rest.split_once(',').unwrap().0.parse().unwrap()
}

#[test]
fn reading_stops_when_the_rest_cannot_make_up_for_the_bad_lines() {
    let feed = Feed::new(0.1);
    feed.0.write(RAW, good_lines(20) + "bad\n");
    feed.ingest().ok();
    let before = feed.text(CANONICAL);

    // Twelve blocks of long lines, so that there could be four times as many short ones.
    let bad = "bad".repeat(40) + "\n";
    feed.0.write(RAW, bad.repeat(25_000));
    let finished = feed.ingest();
    let kept = feed.kept(QUARANTINE);
    let invalid = format!("the {} that were read until then are in {QUARANTINE}", kept.len());
    let first = "the first is demo/home/exposure.2026-01-01.jsonl:1:1: expected value";
    let parts =
        ["gate max_invalid_ratio refused 2026-01-01", &invalid, first, "raise validation.max_invalid_ratio"];
    finished.fails(3, &parts);
    let line = stopped_at(&finished, RAW);
    assert!((2000..20_000).contains(&line), "{line}");
    assert!((2000..20_000).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|line| line["line"].as_u64().unwrap() < 20_000));
    assert_eq!(feed.text(CANONICAL), before);

    // In a compressed file, the remaining length is unknown.
    feed.0.write(&format!("{RAW}.gz"), gz(bad.repeat(25_000)));
    fs::remove_file(feed.0.join(RAW)).unwrap();
    feed.ingest().fails(3, &["25000 of 25000 lines are invalid"]);
    // Reading does not stop early if all lines may be bad.
    feed.configure(&json!({"max_invalid_ratio": 1, "min_events": 0}));
    feed.ingest().ok();
    assert_eq!(feed.kept(QUARANTINE).len(), 25_000);
}

#[test]
fn reading_stops_when_the_bad_lines_take_more_than_they_may() {
    let feed = Feed::new(1.0);
    feed.0.write(RAW, good_lines(3) + "bad\n");
    feed.ingest().ok();
    let before = feed.text(CANONICAL);
    let max_bytes = 1 << 20;
    feed.configure(&json!({"max_invalid_ratio": 1, "max_quarantine_bytes": max_bytes}));
    fs::remove_file(feed.0.join(RAW)).unwrap();
    let raw = format!("{RAW}.zst");
    let text = good_lines(1) + &"x\n".repeat(2_000_000);
    feed.0.write(&raw, zstd::encode_all(text.as_bytes(), 1).unwrap());
    let finished = feed.ingest();
    let parts = [
        "gate max_quarantine_bytes refused 2026-01-01",
        "the invalid lines take more than 1048576 bytes",
        QUARANTINE,
        "the first is demo/home/exposure.2026-01-01.jsonl.zst:",
        "raise validation.max_quarantine_bytes",
    ];
    finished.fails(3, &parts);
    assert!(stopped_at(&finished, &raw) < 1_500_000);
    // Each thread may have started another block.
    let bytes = fs::metadata(feed.0.join(QUARANTINE)).unwrap().len();
    assert!((max_bytes..max_bytes + (16 << 18)).contains(&bytes), "{bytes}");
    assert_eq!(feed.text(CANONICAL), before);
    // A quarantine within the limit passes.
    feed.configure(&json!({"max_invalid_ratio": 1}));
    feed.0.write(&raw, zstd::encode_all((good_lines(1) + &"x\n".repeat(9000)).as_bytes(), 1).unwrap());
    feed.ingest().ok();
}

#[test]
fn bad_lines_of_a_flat_file_belong_to_the_first_day_that_is_read() {
    let feed = Feed::new(0.5);
    let days = ["2026-01-01", "2026-01-02", "2026-01-03"];
    let text: String = days.map(|day| plain_line(day, "A") + "\nbad after " + day + "\n").concat();
    feed.0.write("raw/exposure.jsonl", text);
    let ingest = |flags: &str| feed.0.run("job_ingest", &format!("{SCOPE} {flags}"));
    let kept = || -> Vec<(String, usize)> {
        let files = feed.0.snapshot("out/canonical/demo/home/quarantine");
        files.into_iter().map(|(name, (_, text))| (name, text.split(|b| *b == b'\n').count() - 1)).collect()
    };
    ingest("--start 2026-01-02").ok();
    assert_eq!(kept(), [("2026-01-02.jsonl".to_owned(), 3)]);
    // The range is read once, and the lines set aside move from a day within it to its first day.
    ingest("--start 2026-01-01 --end 2026-01-03").ok();
    assert_eq!(kept(), [("2026-01-01.jsonl".to_owned(), 3)]);
    assert_eq!(feed.kept(QUARANTINE)[0]["file"], "exposure.jsonl");
    // The ratio applies to the whole file and refuses the range.
    let before = feed.0.snapshot("out/canonical");
    feed.configure(&json!({"max_invalid_ratio": 0.4}));
    ingest("--start 2026-01-01 --end 2026-01-03").fails(3, &["3 of 6 lines are invalid"]);
    assert_eq!(feed.0.snapshot("out/canonical"), before);
}

#[test]
fn a_compressed_file_that_breaks_off_is_an_error_in_any_mode() {
    let text = good_lines(5000) + "bad\n";
    for ratio in [0.0, 1.0] {
        for (extension, bytes) in [("gz", gz(&text)), ("zst", zstd::encode_all(text.as_bytes(), 1).unwrap())]
        {
            let feed = Feed::new(ratio);
            let name = format!("{RAW}.{extension}");
            for length in [10, bytes.len() / 2, bytes.len() - 1] {
                feed.0.write(&name, &bytes[..length]);
                let finished = feed.ingest();
                // Where the data breaks off decides which error strict mode meets first.
                if ratio > 0.0 || length < bytes.len() - 1 {
                    finished.fails(1, &["cannot read", &name]);
                } else {
                    assert!(matches!(finished.code, Some(1 | 3)), "{finished:?}");
                }
                let none = if finished.code == Some(1) { "out/canonical/demo" } else { CANONICAL };
                assert!(!feed.exists(none), "{finished:?}");
            }
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read() {
    for ratio in [0.0, 1.0] {
        let feed = Feed::new(ratio);
        let lines = good_lines(400_000);
        let raw = |change: &dyn Fn(&mut File)| {
            feed.0.write(RAW, &lines);
            let child = feed.begin();
            change(&mut File::options().append(true).open(feed.0.join(RAW)).unwrap());
            finished(child)
        };
        // Cut at the end of a line, and within one.
        let line = lines.find('\n').unwrap() as u64 + 1;
        for length in [300_000 * line, 300_000 * line + 7, 0] {
            let shrunk = raw(&|file| file.set_len(length).unwrap());
            shrunk.fails(1, &["cannot read", RAW, "it became shorter while it was read"]);
        }
        let half = raw(&|file| file.write_all(&plain_line(DAY, "late").as_bytes()[..50]).unwrap());
        half.fails(1, &["cannot read", RAW, "somebody is writing it", "ended within a line"]);
        assert!(!feed.exists("out/canonical/demo"));
        // Lines added during the read are taken if they are complete.
        raw(&|file| file.write_all((plain_line(DAY, "late") + "\n").as_bytes()).unwrap()).ok();
        assert!(feed.text(CANONICAL).contains("late"));
        assert!(!feed.exists(QUARANTINE));
    }
}

/// Peak memory of a process, in KiB.
fn peak(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(Path::new(&status)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(2));
    }
    peak
}

#[test]
fn a_day_of_bad_lines_needs_no_memory_for_them() {
    let feed = Feed::new(1.0);
    let peak_of = |lines: usize| {
        feed.0.write(RAW, [&b"\xff".repeat(999)[..], b"\n"].concat().repeat(lines));
        let mut command: Command = feed.0.command("job_ingest");
        let mut child = command
            .args(SCOPE.split(' '))
            .args(["--start", DAY])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let peak = peak(&mut child);
        assert!(child.wait().unwrap().success());
        assert_eq!(feed.text(QUARANTINE).lines().count(), lines);
        peak
    };
    let (few, many) = (peak_of(10_000), peak_of(120_000));
    assert!(many < few + 32 * 1024, "{few} KiB for 10 MB of bad lines, {many} KiB for 120 MB");
}

#[test]
fn a_line_that_is_too_long_to_be_kept_stops_the_day() {
    let feed = Feed::new(1.0);
    feed.0.write(RAW, good_lines(3) + "bad\n" + &"x".repeat(20_000_000));
    let parts =
        [&format!("{RAW}:5: the line is longer than 16777216 bytes"), "too long even to be set aside"];
    feed.ingest().fails(3, &parts);
    let written = feed.0.snapshot("out/canonical");
    let marked = ["demo/home/exposures/2026-01-01.refused.jsonl", "demo/home/scope.json"];
    assert_eq!(written.keys().collect::<Vec<_>>(), marked);
    feed.0.write(RAW, good_lines(3) + "bad\n" + &"x".repeat(10_000_000));
    feed.ingest().ok();
    assert_eq!(feed.kept(QUARANTINE)[1]["text"].as_str().unwrap().len(), 10_000_000);
}

#[test]
fn a_ratio_that_makes_no_sense_is_refused() {
    let feed = Feed::new(0.0);
    for (ratio, part) in [
        (json!(1.01), "it must be from 0 to 1"),
        (json!(-0.1), "-0.1 is not a share"),
        (json!("half"), "half"),
    ] {
        feed.configure(&json!({"max_invalid_ratio": ratio}));
        feed.ingest().fails(2, &["validation.max_invalid_ratio", part]);
    }
}
