//! The records of a CSV file, one at a time, with the lines on which they begin.
//!
//! The parser is the library's; reading, counting lines and the bound on a record are done here. A record
//! begins at its first byte that is no line end, so blank lines and the second half of a CRLF lie between
//! records. A lone CR ends a record as well, but a line ends, as in an editor, with LF.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;

use super::CatalogError;
use super::quotes::Quotes;
use crate::input::lines::MAX_LINE_BYTES;

/// The records of a CSV file, its header among them.
pub(super) struct Records<R> {
    reader: BufReader<R>,
    parser: Box<Reader>,
    /// Where the reader stands, counted from 1.
    line: u64,
    /// The fields of the record at hand, end to end.
    text: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Fields of the first record, and so of every other.
    width: Option<usize>,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    /// The line on which it begins.
    pub(super) line: u64,
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> Record<'a> {
    /// Its fields, in order.
    pub(super) fn fields(self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(move |at| self.field(at))
    }

    /// The field in the column `at`, counted from 0.
    pub(super) fn field(self, at: usize) -> &'a str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}

impl<R: Read> Records<R> {
    pub(super) fn new(reader: R) -> Self {
        let (mut text, mut ends) = (vec![0; 1 << 10], vec![0; 1 << 4]);
        let mut parser = Box::new(Reader::new());
        // The parser skips a byte order mark where it begins to read, which may be behind blank lines, and only if
        // its three bytes arrive together. It has begun now: what is left of the marks is text.
        parser.read_record(b"\n", &mut text, &mut ends);
        Self { reader: BufReader::with_capacity(1 << 16, reader), parser, line: 1, text, ends, width: None }
    }

    /// The next record, or `None` at the end of the file `name`.
    ///
    /// # Errors
    /// The file cannot be read; a record is too long, is not UTF-8, has another number of fields than the
    /// first, has a quoted field that is never closed, or text behind one that is.
    pub(super) fn next(&mut self, name: &str) -> Result<Option<Record<'_>>, CatalogError> {
        let Some(line) = self.skip_line_ends(name)? else { return Ok(None) };
        let bad = |reason: String| CatalogError::row(name, line, reason);
        let (bytes, fields) = self.parse(name, line)?;
        let width = *self.width.get_or_insert(fields);
        if fields != width {
            return Err(bad(format!("the row has {fields} fields, the header has {width}")));
        }
        let ends = &self.ends[..fields];
        let text = std::str::from_utf8(&self.text[..bytes]).ok();
        // Two fields that are broken on their own may be whole end to end.
        let text = text.filter(|text| ends.iter().all(|end| text.is_char_boundary(*end)));
        let text = text.ok_or_else(|| bad("the row is not UTF-8".to_owned()))?;
        Ok(Some(Record { line, text, ends }))
    }

    /// Goes to the first byte of a record and says on which line that is.
    fn skip_line_ends(&mut self, name: &str) -> Result<Option<u64>, CatalogError> {
        loop {
            let input = fill(&mut self.reader, name)?;
            if input.is_empty() {
                return Ok(None);
            }
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.line += memchr_iter(b'\n', &input[..blank]).count() as u64;
            let found = blank < input.len();
            self.reader.consume(blank);
            if found {
                return Ok(Some(self.line));
            }
        }
    }

    /// Parses the record that begins here, on `line`; says how many bytes and fields it has.
    fn parse(&mut self, name: &str, line: u64) -> Result<(usize, usize), CatalogError> {
        let (mut read, mut bytes, mut fields) = (0, 0, 0);
        let mut quotes = Quotes::default();
        loop {
            let input = fill(&mut self.reader, name)?;
            let at_end = input.is_empty();
            // Whatever is not in quotes ends with the line.
            let input = if at_end { b"\n" } else { input };
            let (result, taken, written, ended) =
                self.parser.read_record(input, &mut self.text[bytes..], &mut self.ends[fields..]);
            if let Some(at) = quotes.stray_text(&input[..taken]) {
                let stray = self.line + memchr_iter(b'\n', &input[..at]).count() as u64;
                let place = if stray == line { String::new() } else { format!(" on line {stray}") };
                let reason = format!(
                    "a quoted field of this row is closed{place}, and more text follows; a quote that belongs to a quoted field is \
                     written twice"
                );
                return Err(CatalogError::row(name, line, reason));
            }
            self.line += memchr_iter(b'\n', &input[..taken]).count() as u64;
            if !at_end {
                self.reader.consume(taken);
            }
            read += taken;
            bytes += written;
            fields += ended;
            // One byte ends the record.
            if read > MAX_LINE_BYTES + 1 {
                let reason = format!(
                    "the row is longer than {MAX_LINE_BYTES} bytes; is a line end or a closing quote missing?"
                );
                return Err(CatalogError::row(name, line, reason));
            }
            match result {
                ReadRecordResult::Record => return Ok((bytes, fields)),
                ReadRecordResult::OutputFull => self.text.resize(2 * self.text.len(), 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(2 * self.ends.len(), 0),
                ReadRecordResult::InputEmpty if !at_end => {}
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {
                    return Err(CatalogError::row(name, line, "a quoted field of this row is never closed"));
                }
            }
        }
    }
}

/// What the reader holds, from its source if need be; empty at the end.
fn fill<'a, R: Read>(reader: &'a mut BufReader<R>, name: &str) -> Result<&'a [u8], CatalogError> {
    loop {
        match reader.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(CatalogError::read(name, error)),
            // Asked again because the borrow checker does not let the first answer out of the loop.
            Ok(_) => return Ok(reader.buffer()),
        }
    }
}
