//! Reads a catalogue row by row.

use std::borrow::Cow;
use std::io::{Chain, Cursor, Read};

use jiff::Timestamp;

use super::columns::is_similar;
use super::csv_records::{CsvRecord, CsvRecords};
use super::error::Shown;
use super::header::{Header, no_item_column, similar_to_namespace};
use super::json_lines::JsonLines;
use super::json_row::{self, JsonRow};
use super::{AbsentColumn, CatalogError, CatalogFormat, Columns};
use crate::columnar::dictionary::Interner;
use crate::domain::limit::{Limit, LimitExceeded, Limits};
use crate::encoding::decimal;
use crate::encoding::json::Text;
use crate::encoding::timestamp;
use crate::input::event::id_of_length;
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
    /// Whether a known column had a line break in a field; we warn only once.
    has_long_field: bool,
}

enum FormatReader<R> {
    Csv { records: CsvRecords<WithoutBom<R>>, header: Header },
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

/// A row of a catalogue.
#[derive(Debug)]
pub struct CatalogRow<'a> {
    /// The line on which it begins, counted from 1 as an editor does.
    pub line: u64,
    /// Trimmed; empty if the row names no item.
    pub item_id: Cow<'a, str>,
    /// Trimmed, lower-cased, distinct, not empty; in order of first occurrence.
    pub tags: Vec<String>,
    /// Trimmed; `None` if empty or absent.
    pub namespace: Option<Cow<'a, str>>,
    has_tags: bool,
    name: &'a str,
    rest: Rest<'a>,
}

/// The rest of the row, for fields that are only parsed on demand.
#[derive(Debug)]
enum Rest<'a> {
    Csv(&'a Header, CsvRecord<'a>),
    Json(&'a str),
}

/// Parses an RFC 3339 timestamp, or a date as midnight UTC.
///
/// # Errors
/// The predicate of an error message, such as "is neither a date …".
fn created_at(text: &str) -> Result<Timestamp, &'static str> {
    let shape = text.bytes().map(|b| if b.is_ascii_digit() { b'd' } else { b });
    let time = if shape.eq(*b"dddd-dd-dd") {
        timestamp::instant(&format!("{text}T00:00:00Z"))
    } else {
        timestamp::instant(text)
    };
    let expected = "is neither a date such as 2026-01-01 nor a timestamp such as 2026-01-01T08:00:00Z";
    time.map_err(|_| expected)?.ok_or("is later than 9999-12-30T22:00:00Z, where the calendar ends here")
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
                let header = Header::new(name, records.next(name)?.ok_or_else(empty)?)?;
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
        let has_tags = matches!(&source, FormatReader::Csv { header, .. } if header.tags.is_some());
        Ok(Self { name: name.to_owned(), source, names, has_tags, has_long_field: false })
    }

    /// Whether there are tags: the header has that column, or a row so far had the field.
    pub fn has_tags(&self) -> bool {
        self.has_tags
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
                let field = |column: Option<usize>| column.map_or("", |at| record.field(at));
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
                Ok(Some(CatalogRow {
                    line: record.line,
                    item_id: Cow::Borrowed(record.field(header.item_id).trim()),
                    tags: normalised(field(header.tags).split([',', ';', '|'])),
                    namespace: Some(field(header.namespace).trim())
                        .filter(|namespace| !namespace.is_empty())
                        .map(Cow::Borrowed),
                    has_tags: header.tags.is_some(),
                    name,
                    rest: Rest::Csv(header, record),
                }))
            }
            FormatReader::Jsonl(lines) => {
                let Some((line, text)) = lines.next(name)? else { return Ok(None) };
                let bad = |reason: String| CatalogError::row(name, line, reason);
                let row: JsonRow<'_> = json_row::parse(text).map_err(bad)?;
                let Text(item_id) =
                    row.item_id.ok_or_else(|| bad("field `item_id` is missing".to_owned()))?;
                if self.names.is_empty() {
                    self.names = json_row::fields(text).map_err(bad)?;
                }
                let has_tags = row.tags.is_some();
                self.has_tags |= has_tags;
                let tags = row.tags.unwrap_or_default();
                Ok(Some(CatalogRow {
                    line,
                    item_id: trimmed(item_id),
                    tags: normalised(tags.iter().map(|Text(tag)| tag.as_ref())),
                    namespace: row
                        .namespace
                        .map(|Text(namespace)| trimmed(namespace))
                        .filter(|namespace| !namespace.is_empty()),
                    has_tags,
                    name,
                    rest: Rest::Json(text),
                }))
            }
        }
    }
}

impl CatalogRow<'_> {
    /// Whether the row belongs to `namespace`: it names that one or none.
    pub fn is_for(&self, namespace: &str) -> bool {
        self.namespace.as_ref().is_none_or(|own| own == namespace)
    }

    /// The columns of the catalogue: those of the header, or the non-null fields of this row.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when a field is given twice.
    pub fn columns(&self) -> Result<Columns, CatalogError> {
        let has = |column: &Result<Option<usize>, String>| column.as_ref().is_ok_and(Option::is_some);
        let (price, created_at) = match &self.rest {
            Rest::Csv(header, _) => (has(&header.price), has(&header.created_at)),
            Rest::Json(line) => json_row::has(line).map_err(|reason| self.bad(reason))?,
        };
        Ok(Columns { tags: self.has_tags, price, created_at })
    }

    /// Checks the limits of a single item.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when its id is too long, [`CatalogError::Limit`] when it has too many tags.
    pub fn check(&self, limits: &Limits) -> Result<(), CatalogError> {
        id_of_length("item_id", &self.item_id, limits.max_id_bytes).map_err(|reason| self.bad(reason))?;
        let checked = limits.check(Limit::TagsPerItem, self.tags.len());
        let place = |exceeded: LimitExceeded| {
            exceeded.in_place(format_args!("{}:{}, item {}", self.name, self.line, Shown(&self.item_id)))
        };
        Ok(checked.map_err(place)?)
    }

    /// The price as a plain decimal such as `-0.5` or `1200`, exactly as written but without an exponent, a plus sign or
    /// superfluous zeros. `None` if the field is empty or absent.
    ///
    /// Also accepts `.5`, `5.`, `+5` and `5e-1`, and in JSON both numbers and strings.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when it is not a decimal number, is too long for Postgres (more than 131,072 digits before the
    /// point or 16,383 after it), or is given twice.
    pub fn price(&self) -> Result<Option<String>, CatalogError> {
        self.parsed("price", |header| &header.price, json_row::price, decimal::plain)
    }

    /// When the item was created: an RFC 3339 timestamp, or a date such as `2026-01-01`, taken as midnight UTC.
    /// `None` if the field is empty or absent.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when it is neither, lies in the last hours of the year 9999, or is given twice.
    pub fn created_at(&self) -> Result<Option<Timestamp>, CatalogError> {
        self.parsed("created_at", |header| &header.created_at, json_row::created_at, created_at)
    }

    /// The name of the file in messages.
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// The value of a field, which is in a `column` of a CSV file and where `json` finds it in a line of JSON.
    fn parsed<T>(
        &self,
        field: &str,
        column: fn(&Header) -> &Result<Option<usize>, String>,
        json: fn(&str) -> Result<Cow<'_, str>, String>,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, CatalogError> {
        let text = match &self.rest {
            Rest::Csv(header, record) => match column(header) {
                Ok(column) => Cow::Borrowed(column.map_or("", |at| record.field(at))),
                Err(reason) => return Err(CatalogError::row(self.name, header.line, reason)),
            },
            Rest::Json(line) => json(line).map_err(|reason| self.bad(reason))?,
        };
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        parse(text).map(Some).map_err(|reason| self.bad(format!("field `{field}`: {} {reason}", Shown(text))))
    }

    fn bad(&self, reason: String) -> CatalogError {
        CatalogError::row(self.name, self.line, reason)
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Trims and lower-cases tags and removes duplicates, keeping the order. Hashed, as a 1 MiB row may hold half a
/// million tags.
fn normalised<'a>(tags: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct = Interner::default();
    for tag in tags {
        let tag = tag.trim().to_lowercase();
        if !tag.is_empty() {
            distinct.intern(&tag);
        }
    }
    distinct.into_strings().iter().map(ToOwned::to_owned).collect()
}
