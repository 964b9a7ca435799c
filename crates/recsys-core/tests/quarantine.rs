//! Bad lines: strict mode names the first one, quarantine mode sets aside exactly those that strict mode would
//! refuse, and their bytes can be had back.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::fs;
use std::io::{self, Cursor, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;
use recsys_core::canonical::{Canonical, EventReader, ReadCounts};
use recsys_core::columnar::spill::Budget;
use recsys_core::domain::stream::Stream;
use recsys_core::domain::window::Day;
use recsys_core::input::lines::{LineError, LineFile, LinesError, MAX_KEPT_LINE_BYTES, MAX_LINE_BYTES};
use recsys_core::input::quarantine::{BadLineWriter, BadLines, Bounds, Quarantine};
use recsys_core::storage::Replaced;
use recsys_testkit::days::read_days;
use recsys_testkit::folder::Folder;
use recsys_testkit::scope::scope;
use recsys_testkit::seed::cases;
use serde_json::Value;

const DAY: &str = "2026-01-01";

fn day() -> Day {
    DAY.parse().unwrap()
}

/// Files in memory, called `file 0` and so on.
fn files(contents: &[Vec<u8>]) -> Vec<LineFile> {
    let contents = contents.iter().cloned().zip(names(contents.len()));
    contents.map(|(bytes, name)| LineFile::new(name, Cursor::new(bytes))).collect()
}

/// A line of the quarantine file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    file: String,
    line: u64,
    byte_offset: usize,
    column: Option<u64>,
    reason: String,
    bytes: Vec<u8>,
}

impl Kept {
    fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap();
        let bytes = match (&value["text"], &value["base64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(base64)) => {
                let bytes = STANDARD.decode(base64).unwrap();
                assert!(String::from_utf8(bytes.clone()).is_err(), "text is kept as text");
                bytes
            }
            _ => panic!("neither text nor base64, or both: {value}"),
        };
        Self {
            file: value["file"].as_str().unwrap().to_owned(),
            line: value["line"].as_u64().unwrap(),
            byte_offset: usize::try_from(value["byte_offset"].as_u64().unwrap()).unwrap(),
            column: value.get("column").map(|column| column.as_u64().unwrap()),
            reason: value["reason"].as_str().unwrap().to_owned(),
            bytes,
        }
    }
}

/// What quarantine mode makes of some files.
#[derive(Debug, PartialEq)]
struct Outcome {
    kept: Vec<Kept>,
    counts: ReadCounts,
    /// The canonical file of the day; none without events.
    canonical: Option<Vec<u8>>,
}

/// The file of the day.
fn written(folder: &Folder, stream: &str) -> Option<Vec<u8>> {
    fs::read(folder.path(&format!("demo/home/{stream}/{DAY}.jsonl"))).ok()
}

fn replace(folder: &Folder, bad: Option<&BadLines>) -> Replaced {
    Quarantine::new(&folder.store, &scope(), Stream::Exposures).replace(day(), bad).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("file {number}")).collect()
}

fn no_bounds() -> Bounds {
    Bounds { max_bytes: u64::MAX, max_ratio: f64::MAX.try_into().unwrap() }
}

fn set_aside(contents: &[Vec<u8>]) -> Result<(BadLines, ReadCounts, Option<Vec<u8>>), LinesError> {
    let (scope, folder) = (scope(), Folder::new());
    let bad_lines = BadLineWriter::new(names(contents.len()), &Budget::default(), no_bounds());
    let files = files(contents);
    let budget = Budget::default();
    let reader = EventReader { bad_lines: Some(&bad_lines), ..EventReader::new(&scope, &budget) };
    let (mut gathered, counts) = reader.gather(files, day(), day())?;
    let rows = gathered.take(day()).unwrap().unwrap();
    Canonical::new(&folder.store, &scope).write(&rows).unwrap().commit().unwrap();
    Ok((bad_lines.finish(), counts, written(&folder, "exposures")))
}

fn quarantined(contents: &[Vec<u8>]) -> Result<Outcome, LinesError> {
    let (bad, counts, canonical) = set_aside(contents)?;
    let folder = Folder::new();
    replace(&folder, Some(&bad));
    let text =
        written(&folder, "quarantine").map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default();
    let kept: Vec<Kept> = text.lines().map(Kept::read).collect();
    assert_eq!(kept.len() as u64, bad.lines());
    Ok(Outcome { kept, counts, canonical })
}

/// The file, the line, the column and the reason.
type FirstBad = (String, u64, Option<u64>, String);

/// What strict mode makes of some files: the canonical file, or the first bad line.
fn strict(contents: &[Vec<u8>]) -> Result<Option<Vec<u8>>, FirstBad> {
    let (scope, folder) = (scope(), Folder::new());
    let read = read_days(files(contents), &scope, day(), day(), &Budget::default());
    match read {
        Ok((days, _)) => {
            Canonical::new(&folder.store, &scope).write(&days[0]).unwrap().commit().unwrap();
            Ok(written(&folder, "exposures"))
        }
        Err(LinesError::Line(LineError { name, line, fault })) => {
            Err((name, line, fault.column.map(|column| column as u64), fault.reason))
        }
        Err(error) => panic!("{error}"),
    }
}

fn good(item: &str) -> String {
    format!(
        r#"{{"v":1,"ts":"{DAY}T08:00:00Z","tenant":"demo","surface":"home","session_id":"s","item_id":"{item}","rank":0}}"#
    )
}

/// A good line in which something is replaced.
fn with(from: &str, to: &str) -> Vec<u8> {
    let line = good("A");
    assert!(line.contains(from), "{from}");
    line.replacen(from, to, 1).into_bytes()
}

/// Every kind of bad line, what is said of it, and in which column if that is known.
fn bad_lines() -> Vec<(Vec<u8>, &'static str, Option<u64>)> {
    let line = good("A");
    let column = |part: &str| Some(line.find(part).unwrap() as u64 + 1);
    let rank = column("0}");
    let end = |line: &[u8]| Some(line.len() as u64);
    let truncated = line.as_bytes()[..40].to_vec();
    let nested = |depth: usize| with("\"A\"", &"[".repeat(depth));
    let unclosed = with("\"v\":1", &format!("\"more\":{}", "[".repeat(100_000)));
    vec![
        (b"{".to_vec(), "EOF while parsing an object", Some(1)),
        (b"not json".to_vec(), "expected ident", Some(2)),
        (b"[1]".to_vec(), "it must be an object", None),
        (b"42".to_vec(), "it must be an object", None),
        (b"null".to_vec(), "it must be an object", None),
        (truncated.clone(), "EOF while parsing a string", end(&truncated)),
        (
            line.as_bytes()[..line.len() - 1].to_vec(),
            "EOF while parsing an object",
            end(&line.as_bytes()[1..]),
        ),
        (format!("{line}{line}").into_bytes(), "trailing characters", Some(line.len() as u64 + 1)),
        // Wrong types.
        (with("\"v\":1", "\"v\":\"1\""), "field `v` is the string \"1\"; it must be a whole number", Some(8)),
        (with("\"A\"", "7"), "field `item_id` is 7; it must be a string", None),
        (with("\"A\"", "[\"A\"]"), "field `item_id` is a list; it must be a string", None),
        (with("\"A\"", "{}"), "field `item_id` is an object; it must be a string", None),
        (with("\"A\"", "true"), "field `item_id` is true; it must be a string", None),
        // Missing fields and broken rules, which are about no column.
        (with("\"v\":1,", ""), "field `v` is missing", None),
        (with("\"v\":1", "\"v\":2"), "field `v` is 2", None),
        (with("\"ts\"", "\"when\""), "field `ts` is missing", None),
        (with("\"tenant\"", "\"Tenant\""), "field `tenant` is missing", None),
        (with("\"home\"", "\" \\t\""), "field `surface` is empty", None),
        (with("\"session_id\":\"s\"", "\"session_id\":null"), "field `session_id` is missing", None),
        (with("\"item_id\":\"A\"", "\"item_id\":\"\""), "field `item_id` is empty", None),
        // Times.
        (with("T08:00:00Z", "T08:00:00"), "field `ts`", None),
        (with("T08:00:00Z", "T25:00:00Z"), "field `ts`", None),
        (with("2026-01-01T", "2026-02-30T"), "field `ts`", None),
        (with("2026-01-01T", "2026-01-01 "), "field `ts`", None),
        (with("08:00:00Z", "08:00:00.1234567891Z"), "field `ts`", None),
        // Characters.
        (with("\"A\"", "\"A\0\""), "a zero byte (U+0000)", None),
        (vec![0; 5], "a zero byte (U+0000)", Some(1)),
        (with("\"A\"", "\"\\ud800\""), "hex escape", None),
        (with("\"A\"", "\"\\udc00\\ud800\""), "surrogate", None),
        (with("\"A\"", "\"\\x\""), "invalid escape", None),
        (format!("\u{feff}{line}").into_bytes(), "a byte order mark (U+FEFF)", Some(1)),
        (with("\"A\"", "\u{feff}\"A\""), "a byte order mark (U+FEFF)", None),
        (format!("{line}\r{line}").into_bytes(), "trailing characters", Some(line.len() as u64 + 2)),
        // Fields twice.
        (with("\"rank\":0", "\"rank\":0,\"rank\":0"), "duplicate field `rank`", None),
        (with("\"item_id\"", "\"item_id\":\"A\",\"item_id\""), "duplicate field `item_id`", None),
        (with("\"v\"", "\"v\":1,\"\\u0076\""), "duplicate field `v`", None),
        // Numbers.
        (with(":0}", ":1e400}"), "field `rank` is 1e400; it must be a whole number", None),
        (with(":0}", ":-0}"), "field `rank` is -0; it must be a whole number", None),
        (with(":0}", ":01}"), "invalid number", rank.map(|rank| rank + 1)),
        (with(":0}", ":1.0}"), "field `rank` is 1.0; it must be a whole number", None),
        (with(":0}", ":1e0}"), "field `rank` is 1e0; it must be a whole number", None),
        (with(":0}", ":-1}"), "field `rank` is -1", None),
        (with(":0}", ":9223372036854775808}"), "9223372036854775808", None),
        (with(":0}", ":18446744073709551616}"), "field `rank` is 18446744073709551616", None),
        (with(":0}", ":-9223372036854775808}"), "field `rank` is -9223372036854775808", None),
        (with(":0}", ":-9223372036854775809}"), "field `rank` is -9223372036854775809", None),
        (with(":0}", ":NaN}"), "expected value", rank),
        (with(":0}", ":+1}"), "expected value", rank),
        // Deep nesting, in a field that is known and in one that is not.
        (nested(100_000), "a list; it must be", None),
        (unclosed, "expected value", Some(100_009)),
        // Length.
        (with("\"A\"", &format!("\"{}\"", "k".repeat(MAX_LINE_BYTES))), "longer than 1048576 bytes", None),
        (with("\"v\"", &format!("\"{}\":1", "k".repeat(1 << 20))), "longer than 1048576 bytes", None),
        // Not UTF-8; the column is that of the first such byte.
        (b"\xff".to_vec(), "not UTF-8", Some(1)),
        ([&line.as_bytes()[..30], b"\xc3"].concat(), "not UTF-8", Some(31)),
        ([line.as_bytes(), b"\xed\xa0\x80"].concat(), "not UTF-8", Some(line.len() as u64 + 1)),
        (b"\xfe\xff\0{\0\"".to_vec(), "not UTF-8", Some(1)),
    ]
}

/// Lines that look strange and are none of a producer's faults.
fn strange_good_lines() -> Vec<Vec<u8>> {
    let key = "k".repeat((1 << 20) - 1000);
    let closed = format!("\"more\":{}{},\"v\":1", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        with(":0}", ":9223372036854775807}"),
        with(":0}", ":null}"),
        with("\"v\":1", "\"v\":1,\"more\":1e400,\"less\":-0"),
        with("\"v\":1", "\"v\":1,\"x\":1,\"x\":2"),
        with("\"v\":1", &closed),
        with("\"v\":1", &format!("\"{key}\":1,\"v\":1")),
        with("\"A\"", "\"\\ud83d\\ude00\""),
        with("\"A\"", "\"A\\u0000\""),
        with("\"A\"", "\"\u{fffe}\u{10ffff}\""),
        [b" \t", good("A").as_bytes(), b"\r"].concat(),
    ]
}

#[test]
fn every_kind_of_bad_line_is_named_and_set_aside() {
    let alone = strict(&[format!("{}\n{}\n", good("X"), good("Y")).into_bytes()]).unwrap();
    for (line, said, column) in bad_lines() {
        let shown = String::from_utf8_lossy(&line[..line.len().min(200)]).into_owned();
        for ends in ["\n", "\r\n"] {
            let before = format!("{}{ends}{ends}", good("X"));
            let contents = vec![
                [before.as_bytes(), &line, ends.as_bytes(), good("Y").as_bytes(), ends.as_bytes()].concat(),
            ];
            let (name, number, found, reason) = strict(&contents).unwrap_err();
            assert_eq!((name.as_str(), number), ("file 0", 3), "{shown}");
            assert!(reason.contains(said), "{shown}: {reason}");
            // Of a value of a wrong type, the column is where it was given up.
            let is_of_type = reason.contains("; it must be a");
            if column.is_some() || (reason.starts_with("field") && !is_of_type) {
                assert_eq!(found, column, "{shown}: {reason}");
            }
            let bytes = [&line, ends.trim_end_matches('\n').as_bytes()].concat();
            let kept = Kept { file: name, line: 3, byte_offset: before.len(), column: found, reason, bytes };
            let outcome = quarantined(&contents).unwrap();
            assert_eq!(outcome.kept, [kept], "{shown}");
            assert_eq!(outcome.counts, ReadCounts { lines: 3, ..ReadCounts::default() }, "{shown}");
            assert_eq!(outcome.canonical, alone, "{shown}");
        }
    }
}

#[test]
fn all_of_them_at_once() {
    let bad = bad_lines();
    let strange = strange_good_lines();
    let (mut mixed, mut without) = (Vec::new(), Vec::new());
    for (number, (line, ..)) in bad.iter().enumerate() {
        let good = good(&format!("item {number}"));
        for line in [good.as_bytes(), b"", strange.get(number).map_or(&b" "[..], Vec::as_slice)] {
            mixed.extend([line, b"\n"].concat());
            without.extend([line, b"\n"].concat());
        }
        mixed.extend([line, &b"\r\n"[..]].concat());
    }
    let outcome = quarantined(&[mixed.clone()]).unwrap();
    assert_eq!(outcome.canonical, strict(&[without]).unwrap());
    let lines: Vec<&[u8]> = mixed.split(|byte| *byte == b'\n').collect();
    assert_eq!(outcome.kept.len(), bad.len());
    for (number, kept) in outcome.kept.iter().enumerate() {
        assert_eq!(kept.line, 4 * number as u64 + 4);
        assert_eq!(kept.bytes, [&bad[number].0[..], b"\r"].concat());
        assert_eq!(kept.bytes, lines[4 * number + 3]);
        assert_eq!(mixed[kept.byte_offset..][..kept.bytes.len()], kept.bytes);
    }
    assert_eq!(outcome.counts.lines, (2 * bad.len() + strange.len()) as u64);
}

#[test]
fn line_ends_and_byte_order_marks_are_counted_as_an_editor_and_a_disk_do() {
    // The mark at the beginning of a file belongs to no line. Lone carriage returns end none.
    let text = "\u{feff}bad 1\r\n\r\n\rbad 3\r\n\u{feff}\nbad 5";
    let outcome = quarantined(&[text.into(), "\u{feff}".into(), text.into()]).unwrap();
    let expected = [(1, 3, "bad 1\r"), (3, 12, "\rbad 3\r"), (4, 20, "\u{feff}"), (5, 24, "bad 5")];
    let found: Vec<_> = outcome
        .kept
        .iter()
        .map(|kept| (kept.line, kept.byte_offset, std::str::from_utf8(&kept.bytes).unwrap()))
        .collect();
    assert_eq!(found, [expected, expected].concat());
    assert!(outcome.kept[..4].iter().all(|kept| kept.file == "file 0"));
    assert!(outcome.kept[4..].iter().all(|kept| kept.file == "file 2"));
    assert_eq!(outcome.counts.lines, 8);
    assert_eq!(outcome.canonical, None);
}

#[test]
fn a_line_of_any_length_is_kept_up_to_a_bound() {
    let endless = |length: usize, ends: &str| [&b"\xff".repeat(length)[..], ends.as_bytes()].concat();
    let longest = [&b" ".repeat(MAX_LINE_BYTES - good("A").len())[..], good("A").as_bytes()].concat();
    for ends in ["", "\n", "\r\n"] {
        // Two of them with a line between, so that what follows a long line is looked at, too.
        for (mark, length) in
            [("", MAX_LINE_BYTES + 1), ("\u{feff}", 3 << 20), ("", 5_000_001), ("", MAX_KEPT_LINE_BYTES - 1)]
        {
            let line = endless(length, "");
            let content = [
                mark.as_bytes(),
                &line,
                b"\n",
                &longest,
                b"\r\n",
                &line,
                b"\n",
                good("B").as_bytes(),
                b"\n!\n",
                &line,
                ends.as_bytes(),
            ]
            .concat();
            let outcome = quarantined(std::slice::from_ref(&content)).unwrap();
            let lines: Vec<u64> = outcome.kept.iter().map(|kept| kept.line).collect();
            assert_eq!(lines, [1, 3, 5, 6], "{length} {ends:?}");
            for kept in &outcome.kept {
                assert!(content[kept.byte_offset..][..kept.bytes.len()] == kept.bytes, "{length} {ends:?}");
                assert!(kept.line == 5 || kept.bytes.len() >= length);
            }
            assert_eq!(outcome.counts.lines, 6);
            assert_eq!(outcome.kept[0].byte_offset, mark.len());
        }
        // Nothing is left out in silence: one that is too long even for that is an error.
        for length in [MAX_KEPT_LINE_BYTES + 2, 40 << 20] {
            let content = [good("A").as_bytes(), b"\n\n", &endless(length, ends)].concat();
            let error = quarantined(&[content]).unwrap_err().to_string();
            let expected = "file 0:3: the line is longer than 16777216 bytes, too long even to be set aside";
            assert!(error.starts_with(expected), "{error}");
        }
    }
    // Exactly as long as it may be, and characters that take six times their length as JSON.
    let content = vec![0; MAX_KEPT_LINE_BYTES];
    let outcome = quarantined(std::slice::from_ref(&content)).unwrap();
    assert!(outcome.kept.len() == 1 && outcome.kept[0].bytes == content);
}

/// Enough lines for many blocks; a bad one wherever a block may end.
#[test]
fn neither_the_number_of_threads_nor_blocks_show() {
    let (mut content, mut without, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..40_000usize {
        let mut line = good(&format!("item {}", number % 100)).into_bytes();
        let is_bad = number % 7 == 3 || (20_000..25_000).contains(&number);
        if is_bad {
            let at = number % line.len();
            line[at] = 0xff;
            expected.push((number as u64 + 1, content.len(), at as u64 + 1));
        }
        line.push(b'\n');
        content.extend_from_slice(&line);
        if !is_bad {
            without.extend_from_slice(&line);
        }
    }
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| quarantined(&[content.clone(), content.clone()]).unwrap())
    };
    let alone = run(1);
    let found: Vec<_> =
        alone.kept.iter().map(|kept| (kept.line, kept.byte_offset, kept.column.unwrap())).collect();
    assert!(found == [expected.clone(), expected].concat(), "other lines");
    assert!(alone.kept.iter().all(|kept| content[kept.byte_offset..].starts_with(&kept.bytes)));
    assert_eq!(alone.canonical, strict(&[without.clone(), without]).unwrap());
    for threads in [2, 7] {
        assert!(run(threads) == alone, "{threads} threads");
    }
}

#[test]
fn a_quarantine_file_is_replaced_as_a_whole_and_goes_with_the_last_bad_line() {
    let bad = |text: &str| set_aside(&[text.into()]).unwrap().0;
    let folder = Folder::new();
    assert_eq!(replace(&folder, None), Replaced::Empty);
    assert_eq!(replace(&folder, Some(&bad("a\nb\n"))), Replaced::Written);
    assert_eq!(replace(&folder, Some(&bad("a\nb"))), Replaced::Unchanged);
    assert_eq!(replace(&folder, Some(&bad("\nb\n"))), Replaced::Written);
    let text = String::from_utf8(written(&folder, "quarantine").unwrap()).unwrap();
    assert_eq!(
        text,
        "{\"file\":\"file 0\",\"line\":2,\"column\":1,\"byte_offset\":1,\"reason\":\"expected value\",\"text\":\"b\"}\n"
    );
    assert_eq!(replace(&folder, Some(&bad("\n"))), Replaced::Removed);
    assert_eq!(written(&folder, "quarantine"), None);
    let first = bad("\n\n{\n}\n");
    assert_eq!(first.first(), Some("file 0:3:1: EOF while parsing an object"));
}

#[test]
fn a_file_that_breaks_off_is_an_error_and_not_a_bad_line() {
    struct BreaksOff(&'static [u8]);
    impl Read for BreaksOff {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("gone")),
                read => Ok(read),
            }
        }
    }
    for content in [&b"bad\nbad\n"[..], b"bad", b""] {
        let file = LineFile::new("x", BreaksOff(content));
        let bad_lines = BadLineWriter::new(names(1), &Budget::default(), no_bounds());
        let (scope, budget) = (scope(), Budget::default());
        let reader = EventReader { bad_lines: Some(&bad_lines), ..EventReader::new(&scope, &budget) };
        let error = reader.gather(vec![file], day(), day()).unwrap_err();
        assert!(matches!(error, LinesError::Store(_)), "{error}");
    }
}

/// A line without a line feed: good, nearly good, or anything.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let without_line_feed = |mut bytes: Vec<u8>| {
        bytes.retain(|byte| *byte != b'\n');
        bytes
    };
    let good = "[a-c]".prop_map(|item| good(&item).into_bytes());
    let damage = (any::<prop::sample::Index>(), any::<u8>());
    let damaged = (good.clone(), vec(damage, 1..3)).prop_map(|(mut line, damage)| {
        for (at, byte) in damage {
            let at = at.index(line.len());
            line[at] = byte;
        }
        line
    });
    let blank =
        prop::sample::select(vec![&b""[..], b" ", b"\r", b"\t\r", b"\xa0", b"\0", "\u{feff}".as_bytes()]);
    prop_oneof![
        4 => good,
        3 => damaged.prop_map(without_line_feed),
        2 => vec(any::<u8>(), 0..40).prop_map(without_line_feed),
        1 => any::<String>().prop_map(move |text| without_line_feed(text.into_bytes())),
        2 => blank.prop_map(<[u8]>::to_vec),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec![&b"\n"[..], b"\n", b"\r\n", b"\n\n"]);
    (any::<bool>(), vec((line(), end), 0..12), line()).prop_map(|(mark, lines, last)| {
        let mut bytes = if mark { "\u{feff}".into() } else { Vec::new() };
        for (line, end) in lines {
            bytes.extend(line);
            bytes.extend_from_slice(end);
        }
        bytes.extend(last);
        bytes
    })
}

proptest! {
    #![proptest_config(cases(300))]

    /// Strict mode, line by line, is the judge of what is bad.
    #[test]
    fn exactly_the_lines_that_strict_mode_refuses_are_set_aside(contents in vec(file(), 1..4)) {
        let outcome = quarantined(&contents).unwrap();
        let mut expected = Vec::new();
        let mut without = contents.clone();
        for (number, content) in contents.iter().enumerate() {
            let marked = content.starts_with("\u{feff}".as_bytes());
            let mut offset = if marked { 3 } else { 0 };
            without[number].clear();
            for (at, line) in content[offset..].split(|byte| *byte == b'\n').enumerate() {
                // A blank line before it, so that what looks like a mark is none.
                match strict(&[[b"\n", line].concat()]) {
                    Ok(_) => without[number].extend([b"\n", line].concat()),
                    Err((_, _, column, reason)) => expected.push(Kept {
                        file: format!("file {number}"),
                        line: at as u64 + 1,
                        byte_offset: offset,
                        column,
                        reason,
                        bytes: line.to_vec(),
                    }),
                }
                offset += line.len() + 1;
            }
        }
        match expected.first() {
            None => prop_assert_eq!(strict(&contents), Ok(outcome.canonical.clone())),
            Some(first) => prop_assert_eq!(
                strict(&contents),
                Err((first.file.clone(), first.line, first.column, first.reason.clone()))
            ),
        }
        prop_assert_eq!(&outcome.kept, &expected);
        prop_assert_eq!(strict(&without), Ok(outcome.canonical));
    }
}
