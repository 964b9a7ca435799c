//! Reads a JSON Lines catalogue line by line.

use std::io::{BufRead, BufReader, Read};

use super::CatalogError;
use crate::input::lines::{MAX_LINE_BYTES, too_long};

/// The non-blank lines of a file.
pub(super) struct JsonLines<R> {
    reader: BufReader<R>,
    /// The number of the current line, counted from 1.
    line: u64,
    bytes: Vec<u8>,
}

impl<R: Read> JsonLines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(1 << 16, reader), line: 0, bytes: Vec::new() }
    }

    /// The next line and its number, or `None` at the end of the file `name`.
    ///
    /// # Errors
    /// The file cannot be read; a line is too long or is not UTF-8.
    pub(super) fn next(&mut self, name: &str) -> Result<Option<(u64, &str)>, CatalogError> {
        loop {
            self.bytes.clear();
            // The longest line plus `\r\n`.
            let mut reader = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 2);
            let read = reader.read_until(b'\n', &mut self.bytes);
            if read.map_err(|source| CatalogError::read(name, source))? == 0 {
                return Ok(None);
            }
            self.line += 1;
            let line = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > MAX_LINE_BYTES {
                return Err(CatalogError::row(name, self.line, too_long().reason));
            }
            if !line.trim_ascii().is_empty() {
                break;
            }
        }
        // Check all of it: the JSON library does not validate text that it skips.
        let text = std::str::from_utf8(&self.bytes);
        let text = text.map_err(|_| CatalogError::row(name, self.line, "the row is not UTF-8"))?;
        Ok(Some((self.line, text)))
    }
}
