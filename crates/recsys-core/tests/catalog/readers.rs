//! Files that come in pieces, break off or never end.

use std::io::{self, ErrorKind, Read};

use recsys_core::domain::limit::Limits;
use recsys_core::input::catalog::CatalogError;
use recsys_core::input::lines::MAX_LINE_BYTES;

use super::{BOTH, BOTH_ROWS, Csv, Jsonl, each_row, read_within, written};

/// Gives one byte at a time, and is interrupted before each.
struct Trickle<'a>(&'a [u8], bool);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(ErrorKind::Interrupted.into());
        }
        let wanted = buffer.len().min(1);
        self.0.read(&mut buffer[..wanted])
    }
}

/// Gives the same bytes for ever.
struct Endless(&'static [u8], usize);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.0[self.1];
            self.1 = (self.1 + 1) % self.0.len();
        }
        Ok(buffer.len())
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("gone"))
    }
}

#[test]
fn rows_are_the_same_one_byte_at_a_time() {
    for (format, text) in BOTH {
        assert_eq!(written(format, Trickle(text.as_bytes(), false)), BOTH_ROWS, "{format:?}");
        let marked = format!("\u{feff}{text}");
        assert_eq!(written(format, Trickle(marked.as_bytes(), false)), BOTH_ROWS, "{format:?}");
        let read = read_within(format, Trickle(text.as_bytes(), false), &Limits::default());
        assert_eq!(read.unwrap(), super::read(format, text).unwrap());
    }
    let row = Trickle(b"id,tags\nA,\"x", false);
    let error = each_row(Csv, row, |_| {}).unwrap_err().to_string();
    assert_eq!(error, "items.txt:2: a quoted field of this row is never closed");
}

#[test]
fn a_file_that_breaks_off_is_named() {
    for (format, beginning, rows) in [
        (Csv, "", 0),
        (Csv, "i", 0),
        (Csv, "id,tags\n", 0),
        (Csv, "id,tags\nA,x\nB,y", 1),
        (Csv, "id,tags\nA,x\nB,\"", 1),
        (Jsonl, "", 0),
        (Jsonl, "{\"item_id\":\"A\"}\n{\"item_id\":\"B\"}", 1),
    ] {
        let mut seen = 0;
        let error = each_row(format, beginning.as_bytes().chain(Broken), |_| seen += 1).unwrap_err();
        assert_eq!((error.to_string().as_str(), seen), ("cannot read items.txt", rows), "{beginning:?}");
        assert!(matches!(error, CatalogError::Store(_)), "{error:?}");
    }
}

#[test]
fn a_row_longer_than_the_bound_is_refused_and_one_as_long_is_not() {
    let csv = format!(
        "items.txt:4: the row is longer than {MAX_LINE_BYTES} bytes; is a line end or a closing quote missing?"
    );
    let json = format!("items.txt:4: the line is longer than {MAX_LINE_BYTES} bytes; is a line end missing?");
    let long = |length: usize, quote: &str| {
        let length = length - 2 * quote.len();
        format!("{quote}{}{quote}", if quote.is_empty() { "x".repeat(length) } else { "\n".repeat(length) })
    };
    let object = |length: usize| format!("{{\"item_id\":\"{}\"}}", "x".repeat(length - 14));
    for end in ["", "\n", "\r\n", "\r\nB\r\n"] {
        for quote in ["", "\""] {
            let text = |length| format!("id\nA\n\n{}{end}", long(length, quote));
            assert!(each_row(Csv, text(MAX_LINE_BYTES).as_bytes(), |_| {}).is_ok());
            let refused = each_row(Csv, text(MAX_LINE_BYTES + 1).as_bytes(), |_| {}).unwrap_err();
            assert_eq!(refused.to_string(), csv);
        }
        let end = end.replace('B', "{\"item_id\":\"B\"}");
        let text = |length| format!("\n{{\"item_id\":\"A\"}}\n\n{}{end}", object(length));
        assert!(each_row(Jsonl, text(MAX_LINE_BYTES).as_bytes(), |_| {}).is_ok());
        let refused = each_row(Jsonl, text(MAX_LINE_BYTES + 1).as_bytes(), |_| {}).unwrap_err();
        assert_eq!(refused.to_string(), json);
    }
}

/// Each of these would otherwise fill the memory, or never end.
#[test]
fn an_endless_file_is_left_where_it_breaks_a_rule() {
    for (format, beginning, rest) in [
        (Csv, "", "x"),
        (Csv, "\"", "\n"),
        (Csv, "id\nA\n", ","),
        (Csv, "id\nA\n\"", "\n"),
        (Csv, "id\nA\n", "\"\","),
        (Jsonl, "", " "),
        (Jsonl, "{\"item_id\":\"A\"}\n", "{"),
    ] {
        let reader = beginning.as_bytes().chain(Endless(rest.as_bytes(), 0));
        let error = each_row(format, reader, |_| {}).unwrap_err().to_string();
        assert!(error.contains("is longer than 1048576 bytes"), "{error}");
    }
    let limits = Limits { max_catalog_items: 1000, ..Limits::default() };
    for (format, beginning, rest) in
        [(Csv, "id,surface\n", "A,cart\n"), (Jsonl, "", "{\"item_id\":\"A\",\"namespace\":\"cart\"}\n")]
    {
        let reader = beginning.as_bytes().chain(Endless(rest.as_bytes(), 0));
        let read = read_within(format, reader, &limits);
        let Err(CatalogError::Limit(exceeded)) = read else { panic!("{read:?}") };
        assert_eq!((exceeded.value, exceeded.max), (1001, 1000));
    }
}
