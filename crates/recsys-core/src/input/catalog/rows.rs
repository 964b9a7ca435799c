//! Reads a catalogue row by row.

use std::io::{Chain, Cursor, Read};

use super::columns::is_similar;
use super::csv_records::CsvRecords;
use super::header::{Header, no_item_column, similar_to_namespace};
use super::json_lines::JsonLines;
use super::json_row::{self, JsonRow};
use super::row::CatalogRow;
use super::{AbsentColumn, CatalogError, CatalogFormat};
use crate::input::magic::not_text;

/// An iterator-like reader of a catalogue.
///
/// A row is at most [`MAX_LINE_BYTES`](crate::input::lines::MAX_LINE_BYTES) long, and only one is in memory at a time, so
/// memory does not grow with the file. Do not read on after an error.
pub struct CatalogRows<R> {
    name: String,
    source: FormatReader<R>,
    /// The columns of the CSV header, or the fields of the first JSON row.
    names: Vec<String>,
    has_tags: bool,
    has_available: bool,
    /// Whether a known column had a line break in a field; we warn only once.
    has_long_field: bool,
}

enum FormatReader<R> {
    Csv { records: CsvRecords<WithoutBom<R>>, header: Box<Header> },
    Jsonl(JsonLines<WithoutBom<R>>),
}

/// A file without its byte order mark.
type WithoutBom<R> = Chain<Cursor<Vec<u8>>, R>;

/// Skips the byte order mark, also several in a row, as left by a chain of tools.
///
/// # Errors
/// The file `name` cannot be read, or is not text.
fn without_bom<R: Read>(name: &str, mut reader: R) -> Result<WithoutBom<R>, CatalogError> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    const LONGEST: u64 = 8;
    let mut beginning = Vec::new();
    loop {
        let wanted = LONGEST - beginning.len() as u64;
        let read = reader.by_ref().take(wanted).read_to_end(&mut beginning);
        read.map_err(|source| CatalogError::read(name, source))?;
        match beginning.strip_prefix(MARK) {
            Some(rest) => beginning = rest.to_vec(),
            None => break,
        }
    }
    match not_text(&beginning) {
        Some(problem) => Err(CatalogError::row(name, 1, problem)),
        None => Ok(Cursor::new(beginning).chain(reader)),
    }
}

/// Whether a field contains a line break.
fn goes_on(field: &str) -> bool {
    field.trim().contains(['\n', '\r'])
}

impl<R: Read> CatalogRows<R> {
    /// Opens the catalogue that messages call `name`. For CSV, this reads the header.
    ///
    /// # Errors
    /// [`CatalogError::Store`] when `reader` fails, and [`CatalogError::Row`] when the header cannot be parsed, has no column
    /// of items or has a column twice.
    pub fn open(name: &str, format: CatalogFormat, reader: R) -> Result<Self, CatalogError> {
        let reader = without_bom(name, reader)?;
        let (source, names) = match format {
            CatalogFormat::Csv => {
                let mut records = CsvRecords::new(reader);
                let empty = || no_item_column(name, "it is empty");
                let header = Box::new(Header::new(name, records.next(name)?.ok_or_else(empty)?)?);
                let names = header.names.clone();
                if let (None, Some(column)) = (header.namespace, similar_to_namespace(&names)) {
                    tracing::warn!(
                        path = name,
                        column,
                        "not taken for namespace or surface: the rows of the catalogue are for every surface"
                    );
                }
                (FormatReader::Csv { records, header }, names)
            }
            CatalogFormat::Jsonl => (FormatReader::Jsonl(JsonLines::new(reader)), Vec::new()),
        };
        let (has_tags, has_available) = match &source {
            FormatReader::Csv { header, .. } => (header.tags.is_some(), header.available.is_some()),
            FormatReader::Jsonl(_) => (false, false),
        };
        Ok(Self { name: name.to_owned(), source, names, has_tags, has_available, has_long_field: false })
    }

    /// Whether there are tags: the header has that column, or a row so far had the field.
    pub fn has_tags(&self) -> bool {
        self.has_tags
    }

    /// Whether anything is said of availability: the header has that column, or a row so far had the field.
    pub fn has_available(&self) -> bool {
        self.has_available
    }

    /// A missing column, with a similar name from the header or the first row if there is one.
    pub fn absent(&self, column: &'static str) -> AbsentColumn {
        // In JSON Lines, the exact name may occur with `null` in every row, so it does not count as similar.
        let similar = self.names.iter().find(|name| *name != column && is_similar(name, column)).cloned();
        AbsentColumn { column, similar }
    }

    /// The next row, or `None` at the end of the file.
    ///
    /// # Errors
    /// [`CatalogError::Store`] when the file cannot be read, [`CatalogError::Row`] when the row cannot be parsed.
    pub fn next_row(&mut self) -> Result<Option<CatalogRow<'_>>, CatalogError> {
        let name = &self.name;
        match &mut self.source {
            FormatReader::Csv { records, header } => {
                let Some(record) = records.next(name)? else { return Ok(None) };
                if !self.has_long_field
                    && let Some(column) = header.known().find(|at| goes_on(record.field(*at)))
                {
                    self.has_long_field = true;
                    let (line, column) = (record.line, &header.names[column]);
                    tracing::warn!(
                        path = name,
                        line,
                        column,
                        "a field goes on over a line end; if a quote opens by mistake, it takes the rows after it in"
                    );
                }
                Ok(Some(CatalogRow::of_csv(name, header, record)))
            }
            FormatReader::Jsonl(lines) => {
                let Some((line, text)) = lines.next(name)? else { return Ok(None) };
                let bad = |reason: String| CatalogError::row(name, line, reason);
                let mut row: JsonRow<'_> = json_row::parse(text).map_err(bad)?;
                let item_id =
                    row.item_id.take().ok_or_else(|| bad("field `item_id` is missing".to_owned()))?;
                if self.names.is_empty() {
                    self.names = json_row::fields(text).map_err(bad)?;
                }
                self.has_tags |= row.tags.is_some();
                self.has_available |= row.available.is_some();
                Ok(Some(CatalogRow::of_json(name, line, text, item_id, row)))
            }
        }
    }
}
