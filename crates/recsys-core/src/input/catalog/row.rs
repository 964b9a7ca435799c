//! A row of a catalogue: its fields, and what is read of them on demand.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::csv_records::CsvRecord;
use super::error::Shown;
use super::header::Header;
use super::json_row::{self, JsonRow};
use super::{CatalogError, Columns};
use crate::columnar::dictionary::Interner;
use crate::domain::filters::normalised_tag;
use crate::domain::limit::{Limit, LimitExceeded, Limits};
use crate::encoding::decimal;
use crate::encoding::json::Text;
use crate::encoding::timestamp;
use crate::input::event::id_of_length;

/// Maximum length of a title or category in bytes, trimmed. A longer one is a description, or a quote that opens by
/// mistake.
const MAX_TEXT_BYTES: usize = 1024;

/// Maximum length of the URL of an image in bytes, trimmed. RFC 9110 asks that URLs of 8,000 bytes work everywhere.
const MAX_URL_BYTES: usize = 8192;

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
    /// Trimmed; `None` if empty or absent.
    pub title: Option<Cow<'a, str>>,
    /// Trimmed; `None` if empty or absent. Not checked to be a URL.
    pub image_url: Option<Cow<'a, str>>,
    /// Trimmed; `None` if empty or absent.
    pub category: Option<Cow<'a, str>>,
    has_tags: bool,
    name: &'a str,
    rest: Rest<'a>,
}

/// The rest of the row, for fields that are only parsed on demand.
#[derive(Debug)]
enum Rest<'a> {
    Csv(&'a Header, CsvRecord<'a>),
    Json { line: &'a str, available: Option<&'a RawValue> },
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

/// Parses an availability.
///
/// # Errors
/// The predicate of an error message.
fn available(text: &str) -> Result<bool, &'static str> {
    let is_one_of = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "yes", "1"]) {
        Ok(true)
    } else if is_one_of(["false", "no", "0"]) {
        Ok(false)
    } else {
        Err("is none of true, yes, 1, false, no and 0")
    }
}

impl<'a> CatalogRow<'a> {
    pub(super) fn of_csv(name: &'a str, header: &'a Header, record: CsvRecord<'a>) -> Self {
        let field = |column: Option<usize>| column.map_or("", |at| record.field(at));
        let text = |column| present(Cow::Borrowed(field(column)));
        Self {
            line: record.line,
            item_id: Cow::Borrowed(record.field(header.item_id).trim()),
            tags: normalised(field(header.tags).split([',', ';', '|'])),
            namespace: text(header.namespace),
            title: text(header.title),
            image_url: text(header.image_url),
            category: text(header.category),
            has_tags: header.tags.is_some(),
            name,
            rest: Rest::Csv(header, record),
        }
    }

    pub(super) fn of_json(
        name: &'a str,
        line: u64,
        json: &'a str,
        Text(item_id): Text<'a>,
        row: JsonRow<'a>,
    ) -> Self {
        let text = |field: Option<Text<'a>>| field.and_then(|Text(text)| present(text));
        Self {
            line,
            item_id: trimmed(item_id),
            tags: normalised(row.tags.iter().flatten().map(|Text(tag)| tag.as_ref())),
            namespace: text(row.namespace),
            title: text(row.title),
            image_url: text(row.image_url),
            category: text(row.category),
            has_tags: row.tags.is_some(),
            name,
            rest: Rest::Json { line: json, available: row.available },
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
            Rest::Json { line, .. } => json_row::has(line).map_err(|reason| self.bad(reason))?,
        };
        Ok(Columns { tags: self.has_tags, price, created_at })
    }

    /// Checks the limits of a single item, its availability and its texts. Those are checked although the reader may have
    /// no use for them, so that every reader takes the same catalogues.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when its id or one of its texts is too long or its availability cannot be read,
    /// [`CatalogError::Limit`] when it has too many tags.
    pub fn check(&self, limits: &Limits) -> Result<(), CatalogError> {
        id_of_length("item_id", &self.item_id, limits.max_id_bytes).map_err(|reason| self.bad(reason))?;
        let checked = limits.check(Limit::TagsPerItem, self.tags.len());
        let place = |exceeded: LimitExceeded| {
            exceeded.in_place(format_args!("{}:{}, item {}", self.name, self.line, Shown(&self.item_id)))
        };
        checked.map_err(place)?;
        self.available()?;
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), CatalogError> {
        let texts = [
            ("title", &self.title, MAX_TEXT_BYTES),
            ("image_url", &self.image_url, MAX_URL_BYTES),
            ("category", &self.category, MAX_TEXT_BYTES),
        ];
        for (field, text, max) in texts {
            let length = text.as_ref().map_or(0, |text| text.len());
            if length > max {
                return Err(
                    self.bad(format!("field `{field}` is {length} bytes long; at most {max} are allowed"))
                );
            }
        }
        Ok(())
    }

    /// Whether the item is available: `true`, `yes` and `1` say so, `false`, `no` and `0` say that it is not, in any case.
    /// It counts as available if the field is empty or absent. JSON may have a boolean, a string or a number.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when it is anything else.
    pub fn available(&self) -> Result<bool, CatalogError> {
        let text = match &self.rest {
            Rest::Csv(header, record) => Cow::Borrowed(header.available.map_or("", |at| record.field(at))),
            Rest::Json { available: Some(value), .. } => {
                json_row::available(value).map_err(|reason| self.bad(reason))?
            }
            Rest::Json { available: None, .. } => Cow::Borrowed(""),
        };
        Ok(self.parsed("available", &text, available)?.unwrap_or(true))
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
        let text = self.on_demand(|header| &header.price, json_row::price)?;
        self.parsed("price", &text, decimal::plain)
    }

    /// When the item was created: an RFC 3339 timestamp, or a date such as `2026-01-01`, taken as midnight UTC.
    /// `None` if the field is empty or absent.
    ///
    /// # Errors
    /// [`CatalogError::Row`] when it is neither, lies in the last hours of the year 9999, or is given twice.
    pub fn created_at(&self) -> Result<Option<Timestamp>, CatalogError> {
        let text = self.on_demand(|header| &header.created_at, json_row::created_at)?;
        self.parsed("created_at", &text, created_at)
    }

    /// The name of the file in messages.
    pub(super) fn name(&self) -> &str {
        self.name
    }

    /// The text of a field, which is in a `column` of a CSV file and where `json` finds it in a line of JSON.
    fn on_demand(
        &self,
        column: fn(&Header) -> &Result<Option<usize>, String>,
        json: fn(&str) -> Result<Cow<'_, str>, String>,
    ) -> Result<Cow<'_, str>, CatalogError> {
        match &self.rest {
            Rest::Csv(header, record) => match column(header) {
                Ok(column) => Ok(Cow::Borrowed(column.map_or("", |at| record.field(at)))),
                Err(reason) => Err(CatalogError::row(self.name, header.line, reason)),
            },
            Rest::Json { line, .. } => json(line).map_err(|reason| self.bad(reason)),
        }
    }

    /// The value of a field with this text; `None` if it is blank.
    fn parsed<T>(
        &self,
        field: &str,
        text: &str,
        parse: fn(&str) -> Result<T, &'static str>,
    ) -> Result<Option<T>, CatalogError> {
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

/// The trimmed text; `None` if nothing is left.
fn present(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    Some(trimmed(text)).filter(|text| !text.is_empty())
}

/// Trims and lower-cases tags and removes duplicates, keeping the order. Hashed, as a 1 MiB row may hold half a
/// million tags.
fn normalised<'a>(tags: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut distinct = Interner::default();
    for tag in tags {
        let tag = normalised_tag(tag);
        if !tag.is_empty() {
            distinct.intern(&tag);
        }
    }
    distinct.into_strings().iter().map(ToOwned::to_owned).collect()
}
