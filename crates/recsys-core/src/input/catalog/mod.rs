//! The catalogue: items with tags, availability, price, creation time and texts, from CSV or JSON Lines.
//!
//! [`CatalogRows`] reads row by row, in memory that does not grow with the file; [`Catalog`] holds what `content_sim` and
//! the filters of models need.

mod allowed;
mod columns;
mod csv_records;
mod error;
mod header;
mod json_lines;
mod json_row;
mod quotes;
mod row;
mod rows;

use std::io::Read;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use columns::{AbsentColumn, Columns};
pub use error::CatalogError;
pub use row::CatalogRow;
pub use rows::CatalogRows;

use crate::columnar::dictionary::Interner;
use crate::columnar::spill::Budget;
use crate::domain::id::Surface;
use crate::domain::limit::{Limit, Limits};
use crate::encoding::hash::{HashWriter, TeeReader};

/// The file format of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

impl CatalogFormat {
    /// The format given by the extension of a file name, also below `.gz` or `.zst`.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let (_, extension) = name.rsplit_once('.')?;
        extension.parse().ok()
    }
}

impl FromStr for CatalogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(format!("{name:?} is not a catalogue format; the formats are csv and jsonl")),
        }
    }
}

/// An item of a surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogItem {
    /// The item id, trimmed and not empty.
    pub item_id: String,
    /// Trimmed, lower-cased, distinct, in order of first occurrence.
    pub tags: Vec<String>,
    /// False only if the catalogue says so.
    pub available: bool,
}

impl CatalogItem {
    /// Approximate memory use in bytes, including the copy of the id in [`FirstLines`].
    fn bytes(&self) -> usize {
        // Allocator overhead of a short string.
        const OVERHEAD: usize = 16;
        // Padded to the alignment of the other fields.
        const AVAILABLE: usize = align_of::<CatalogItem>();
        let text = |text: &String| size_of::<String>() + text.len() + OVERHEAD;
        2 * text(&self.item_id) + self.tags.iter().map(text).sum::<usize>() + OVERHEAD + AVAILABLE
    }
}

/// The items of one namespace, and the line on which each first occurred.
///
/// It holds every item id; the caller must bound their number (`max_catalog_items`).
#[derive(Debug, Default)]
pub struct FirstLines {
    items: Interner,
    /// Indexed by item number.
    lines: Vec<u64>,
}

impl FirstLines {
    /// Records the item of `row`; [`CatalogError::Duplicate`] with both lines if an earlier row had it.
    pub fn add(&mut self, row: &CatalogRow<'_>) -> Result<(), CatalogError> {
        let item = self.items.intern(&row.item_id) as usize;
        if let Some(first_line) = self.lines.get(item) {
            return Err(CatalogError::Duplicate {
                name: row.name().to_owned(),
                item_id: row.item_id.to_string(),
                first_line: *first_line,
                line: row.line,
            });
        }
        self.lines.push(row.line);
        Ok(())
    }
}

/// The items of a surface, sorted by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The items; ids are unique.
    pub items: Vec<CatalogItem>,
    /// Number of rows in the file.
    pub rows: u64,
    /// Number of rows without an item id; they are skipped.
    pub rows_without_id: u64,
    /// Number of rows of other surfaces; they are skipped.
    pub foreign: u64,
    /// The missing tags column, if the file has none.
    pub without_tags: Option<AbsentColumn>,
    /// The missing column of availability, if the file has none: every item counts as available.
    pub without_available: Option<AbsentColumn>,
    /// SHA-256 of the file content.
    pub source_hash: String,
}

impl Catalog {
    /// Reads the items of `surface`: rows whose namespace is empty or names the surface. Ignores prices and dates, and
    /// does not keep the texts.
    pub fn read(
        name: &str,
        format: CatalogFormat,
        reader: impl Read,
        surface: &Surface,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        let what = format!("the items of {name}");
        let mut held = budget.catalogue(&what);
        let mut first_lines = FirstLines::default();
        let mut hash = HashWriter::default();
        let mut source = TeeReader { reader, copy: |bytes: &[u8]| hash.update(bytes) };
        let mut rows = CatalogRows::open(name, format, &mut source)?;
        while let Some(row) = rows.next_row()? {
            catalog.rows += 1;
            let seen = usize::try_from(catalog.rows).unwrap_or(usize::MAX);
            limits.check(Limit::CatalogItems, seen).map_err(|exceeded| exceeded.in_place(name))?;
            if row.item_id.is_empty() {
                catalog.rows_without_id += 1;
            } else if row.is_for(surface.as_str()) {
                row.check(limits)?;
                first_lines.add(&row)?;
                let available = row.available()?;
                let item = CatalogItem { item_id: row.item_id.into_owned(), tags: row.tags, available };
                held.add(item.bytes())?;
                catalog.items.push(item);
            } else {
                catalog.foreign += 1;
            }
        }
        // An empty JSON Lines file does not show which columns it has.
        let says_nothing = format == CatalogFormat::Jsonl && catalog.rows == 0;
        catalog.without_tags = (!rows.has_tags() && !says_nothing).then(|| rows.absent("tags"));
        catalog.without_available =
            (!rows.has_available() && !says_nothing).then(|| rows.absent("available"));
        catalog.items.sort_unstable_by(|a, b| a.item_id.cmp(&b.item_id));
        catalog.source_hash = hash.finish();
        Ok(catalog)
    }
}
