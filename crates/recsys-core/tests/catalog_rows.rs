//! Rows of a catalogue, read piece by piece, against readers that take the whole file and know nothing of
//! pieces: the same rows, on the same lines, and the same first bad row.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::io::{self, Read};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use recsys_core::input::catalog::{CatalogError, CatalogFormat, CatalogRows};
use recsys_testkit::seed::cases;
use serde_json::Value;

/// What is read of a row: line, item, tags, namespace, price.
type ReadRow = (u64, String, Vec<String>, Option<String>, Option<String>);

/// The rows before the first that cannot be read, and the line of that one.
type ReadRows = (Vec<ReadRow>, Option<u64>);

/// Gives at most so many bytes at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.1);
        self.0.read(&mut buffer[..wanted])
    }
}

fn streamed(format: CatalogFormat, text: &[u8], piece: usize) -> ReadRows {
    let mut seen = Vec::new();
    let mut read = || {
        let mut rows = CatalogRows::open("x", format, Pieces(text, piece))?;
        while let Some(row) = rows.next_row()? {
            let price = row.price()?;
            let namespace = row.namespace.map(std::borrow::Cow::into_owned);
            seen.push((row.line, row.item_id.into_owned(), row.tags, namespace, price));
        }
        Ok(())
    };
    let line = match read() {
        Ok(()) => None,
        Err(CatalogError::Row { line, .. }) => Some(line),
        Err(other) => panic!("{other}"),
    };
    (seen, line)
}

/// A row of fields that were read somehow. The only price that is written here is 1.5.
fn naive_row(line: u64, item_id: &str, tags: &[&str], namespace: &str, price: &str) -> Result<ReadRow, u64> {
    let mut kept: Vec<String> = Vec::new();
    for tag in tags.iter().map(|tag| tag.trim().to_lowercase()) {
        if !(tag.is_empty() || kept.contains(&tag)) {
            kept.push(tag);
        }
    }
    let optional = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let price = optional(price);
    if price.as_ref().is_some_and(|price| price != "1.5") {
        return Err(line);
    }
    Ok((line, item_id.trim().to_owned(), kept, optional(namespace), price))
}

fn line_of(text: &[u8], at: usize) -> u64 {
    text[..at].split(|byte| *byte == b'\n').count() as u64
}

/// The record of CSV that begins at `at`, and where it ends; `None` when a quote is not closed, or more than blanks follow
/// one that is.
fn naive_record(text: &[u8], mut at: usize) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut fields = Vec::new();
    loop {
        let mut field = Vec::new();
        if text.get(at) == Some(&b'"') {
            at += 1;
            loop {
                match (text.get(at)?, text.get(at + 1)) {
                    (b'"', Some(b'"')) => {
                        field.push(b'"');
                        at += 2;
                    }
                    (b'"', _) => break,
                    (byte, _) => {
                        field.push(*byte);
                        at += 1;
                    }
                }
            }
            at += 1;
            while let Some(byte) = text.get(at).filter(|byte| b" \t".contains(byte)) {
                field.push(*byte);
                at += 1;
            }
            if text.get(at).is_some_and(|byte| !b",\r\n".contains(byte)) {
                return None;
            }
        }
        while let Some(byte) = text.get(at).filter(|byte| !b",\r\n".contains(byte)) {
            field.push(*byte);
            at += 1;
        }
        fields.push(field);
        if text.get(at) != Some(&b',') {
            return Some((fields, at));
        }
        at += 1;
    }
}

fn naive_csv(text: &[u8]) -> ReadRows {
    let mut rows = Vec::new();
    let mut at = 0;
    let mut header = true;
    loop {
        while text.get(at).is_some_and(|byte| b"\r\n".contains(byte)) {
            at += 1;
        }
        if at == text.len() {
            return (rows, None);
        }
        let line = line_of(text, at);
        let row = naive_record(text, at).and_then(|(fields, end)| {
            at = end;
            let fields: Vec<String> =
                fields.into_iter().map(String::from_utf8).collect::<Result<_, _>>().ok()?;
            let [namespace, tags, price, item_id] = fields.as_slice() else { return None };
            let tags: Vec<&str> = tags.split([',', ';', '|']).collect();
            if std::mem::take(&mut header) {
                return Some(None);
            }
            naive_row(line, item_id, &tags, namespace, price).ok().map(Some)
        });
        match row {
            Some(row) => rows.extend(row),
            None => return (rows, Some(line)),
        }
    }
}

fn naive_jsonl(text: &[u8]) -> ReadRows {
    let mut rows = Vec::new();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let row = serde_json::from_slice(bytes).ok().and_then(|row: Value| {
            let field = |name| match &row[name] {
                Value::Null => Some(""),
                value => value.as_str(),
            };
            let item_id = row.as_object()?.get("item_id")?.as_str()?;
            let tags = match &row["tags"] {
                Value::Null => Vec::new(),
                tags => tags.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?,
            };
            let price = if row["price"] == 1.5 { "1.5" } else { field("price")? };
            naive_row(line, item_id, &tags, field("namespace")?, price).ok()
        });
        match row {
            Some(row) => rows.push(row),
            None => return (rows, Some(line)),
        }
    }
    (rows, None)
}

const PLAIN: [&[u8]; 14] =
    [b"a", b"B", b"b", b" ", b"\t", b";", b"|", b"X", b"x", b"\"", b"home", b"\xc3\xa9", b"\xc2\xa0", b"1.5"];

const QUOTED: [&[u8]; 10] = [b"a", b" X", b"x", b";", b",", b"\n", b"\r\n", b"\r", b"\"\"", b"\xc3\x89"];

const SOUP: [&[u8]; 11] =
    [b"a", b",", b",", b",", b"\"", b"\"\"", b"\n", b"\r\n", b"\xc3", b"\xa9", b"\xef\xbb\xbf"];

const ENDS: [&[u8]; 5] = [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\n\r\n"];

const PRICES: [&[u8]; 5] = [b"", b"1.5", b" 1.5 ", b"\"1.5\"", b"\"\n\""];

const BLANKS: [&[u8]; 4] = [b"", b" ", b"\t\r", b"\x0c"];

const BAD_LINES: [&[u8]; 8] =
    [b"{", b"[]", b"{}", b"\"a\"", b"{\"item_id\":1}", b"{\"item_id\":\"\xc3\"}", b"\xef\xbb\xbf{}", b"\x0b"];

fn csv_field() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(select(&PLAIN[..]), 0..4).prop_map(|pieces| pieces.concat()),
        2 => vec(select(&QUOTED[..]), 0..5)
            .prop_map(|pieces| [b"\"".as_slice(), &pieces.concat(), b"\""].concat()),
    ]
}

/// Mostly rows of four fields, the price last but one, and sometimes anything.
fn csv_text() -> impl Strategy<Value = Vec<u8>> {
    let price = select(PRICES.as_slice());
    let row = (csv_field(), csv_field(), price, csv_field())
        .prop_map(|(namespace, tags, price, item)| [&namespace, &tags, price, item.as_slice()].join(&b','));
    let soup = vec(select(&SOUP[..]), 0..8).prop_map(|pieces| pieces.concat());
    let row = prop_oneof![15 => row, 1 => soup];
    let rows = vec((row, select(&ENDS[..])), 0..12);
    (0usize..3, 0usize..2, select(&ENDS[..]), rows, any::<bool>()).prop_map(
        |(marks, blank, end, rows, ended)| {
            let mut text = ["\u{feff}".repeat(marks).as_bytes(), &b"\r\n".repeat(blank)].concat();
            text.extend_from_slice(b"Surface,TAG_LIST,price,id");
            text.extend_from_slice(end);
            for (row, end) in &rows {
                text.extend_from_slice(row);
                text.extend_from_slice(end);
            }
            if !ended && let Some((_, end)) = rows.last() {
                text.truncate(text.len() - end.len());
            }
            text
        },
    )
}

fn jsonl_text() -> impl Strategy<Value = Vec<u8>> {
    let text = || select(&["", " ", "a", " B\n", "x", "X ", "é\u{a0}", "\"q\\", "home", "\u{2028}"][..]);
    let price = select(&["null", "1.5", "\"1.5\"", "\" \"", "\"\\u0031.5\""][..]);
    let field = prop_oneof![
        4 => text().prop_map(|text| format!("\"namespace\":{}", Value::from(text))),
        4 => vec(text(), 0..4).prop_map(|tags| format!("\"tags\":{}", Value::from(tags))),
        4 => price.prop_map(|price| format!("\"price\":{price}")),
        2 => text().prop_map(|text| format!("\"more\":[{}]", Value::from(text))),
    ];
    // One of each at most: a field given twice is another test's.
    let row = (text(), vec(field, 0..4)).prop_map(|(item_id, mut fields)| {
        fields.sort();
        fields.dedup_by_key(|field| field.split(':').next().unwrap().to_owned());
        fields.push(format!("\"item_id\": {}", Value::from(item_id)));
        format!(" {{{}}}", fields.join(" ,\t")).into_bytes()
    });
    let line = prop_oneof![
        15 => row,
        4 => select(BLANKS.as_slice()).prop_map(<[u8]>::to_vec),
        1 => select(BAD_LINES.as_slice()).prop_map(<[u8]>::to_vec),
    ];
    let lines = vec((line, select(&ENDS[..2])), 0..12);
    (0usize..3, lines, any::<bool>()).prop_map(|(marks, lines, ended)| {
        let mut text = "\u{feff}".repeat(marks).into_bytes();
        for (line, end) in &lines {
            text.extend_from_slice(line);
            text.extend_from_slice(end);
        }
        if !ended && let Some((_, end)) = lines.last() {
            text.truncate(text.len() - end.len());
        }
        text
    })
}

fn without_marks(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix("\u{feff}".as_bytes()) {
        text = rest;
    }
    text
}

proptest! {
    #![proptest_config(cases(1500))]

    #[test]
    fn rows_of_csv_agree(text in csv_text(), piece in 1usize..40) {
        let expected = naive_csv(without_marks(&text));
        prop_assert_eq!(streamed(CatalogFormat::Csv, &text, piece), expected.clone());
        prop_assert_eq!(streamed(CatalogFormat::Csv, &text, usize::MAX), expected);
    }

    #[test]
    fn rows_of_json_lines_agree(text in jsonl_text(), piece in 1usize..40) {
        let expected = naive_jsonl(without_marks(&text));
        prop_assert_eq!(streamed(CatalogFormat::Jsonl, &text, piece), expected.clone());
        prop_assert_eq!(streamed(CatalogFormat::Jsonl, &text, usize::MAX), expected);
    }
}
