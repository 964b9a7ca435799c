//! Reads the records of a CSV file one by one, with their line numbers.
//!
//! `csv_core` parses; this module reads, counts lines and limits the record length. A record begins at its first byte
//! that is not a line end, so blank lines and the LF of a CRLF lie between records. A lone CR also ends a record, but
//! lines are counted by LF, as in an editor.

use std::io::{BufRead, BufReader, ErrorKind, Read};

use csv_core::{ReadRecordResult, Reader};
use memchr::memchr_iter;

use super::CatalogError;
use super::quotes::Quotes;
use crate::input::lines::MAX_LINE_BYTES;

/// The records of a CSV file, including the header.
pub(super) struct CsvRecords<R> {
    reader: BufReader<R>,
    parser: Box<Reader>,
    /// The current line, counted from 1.
    line: u64,
    /// The fields of the current record, concatenated.
    text: Vec<u8>,
    /// The end of each field in `text`.
    ends: Vec<usize>,
    /// Number of fields in the first record, required of all others.
    width: Option<usize>,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub(super) struct CsvRecord<'a> {
    /// The line on which it begins, counted from 1.
    pub(super) line: u64,
    text: &'a str,
    ends: &'a [usize],
}

impl<'a> CsvRecord<'a> {
    /// The fields, in column order.
    pub(super) fn fields(self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(move |at| self.field(at))
    }

    /// The field in column `at`, counted from 0.
    pub(super) fn field(self, at: usize) -> &'a str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }
}

impl<R: Read> CsvRecords<R> {
    pub(super) fn new(reader: R) -> Self {
        let (mut text, mut ends) = (vec![0; 1 << 10], vec![0; 1 << 4]);
        let mut parser = Box::new(Reader::new());
        // The parser strips a byte order mark where it starts reading, perhaps behind blank lines, and only if its
        // three bytes arrive together. Start it here, so that any further mark is ordinary text.
        parser.read_record(b"\n", &mut text, &mut ends);
        Self { reader: BufReader::with_capacity(1 << 16, reader), parser, line: 1, text, ends, width: None }
    }

    /// The next record, or `None` at the end of the file `name`.
    ///
    /// # Errors
    /// The file cannot be read; or the record is too long, is not UTF-8, has a different number of fields than the first, has
    /// a quoted field that is never closed, or has text behind a closing quote.
    pub(super) fn next(&mut self, name: &str) -> Result<Option<CsvRecord<'_>>, CatalogError> {
        let Some(line) = self.skip_line_ends(name)? else { return Ok(None) };
        let bad = |reason: String| CatalogError::row(name, line, reason);
        let (bytes, fields) = self.parse(name, line)?;
        let width = *self.width.get_or_insert(fields);
        if fields != width {
            return Err(bad(format!("the row has {fields} fields, the header has {width}")));
        }
        let ends = &self.ends[..fields];
        let text = std::str::from_utf8(&self.text[..bytes]).ok();
        // Fields that are invalid on their own may be valid UTF-8 when concatenated.
        let text = text.filter(|text| ends.iter().all(|end| text.is_char_boundary(*end)));
        let text = text.ok_or_else(|| bad("the row is not UTF-8".to_owned()))?;
        Ok(Some(CsvRecord { line, text, ends }))
    }

    /// Skips to the first byte of the next record and returns its line.
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

    /// Parses the record that begins here, on `line`; returns its length in bytes and its number of fields.
    fn parse(&mut self, name: &str, line: u64) -> Result<(usize, usize), CatalogError> {
        let (mut read, mut bytes, mut fields) = (0, 0, 0);
        let mut quotes = Quotes::default();
        loop {
            let input = fill(&mut self.reader, name)?;
            let at_end = input.is_empty();
            // At the end of the file, a line end closes any record but an open quoted field.
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
            // Plus one byte for the line end.
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

/// The buffered input, refilled if empty; empty at the end of the file.
fn fill<'a, R: Read>(reader: &'a mut BufReader<R>, name: &str) -> Result<&'a [u8], CatalogError> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(CatalogError::read(name, error));
        }
    }
    Ok(reader.buffer())
}
