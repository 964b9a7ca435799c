//! The catalogue: items, their tags and what else is known of them, from CSV or JSON Lines.
//!
//! [`CatalogRows`] reads rows one by one, in memory that does not grow with the file; [`Catalog`] is what
//! `content_sim` keeps of them.

mod columns;
mod created_at;
mod error;
mod first_lines;
mod format;
mod header;
mod json_lines;
mod json_row;
mod marks;
mod price;
mod quotes;
mod records;
mod rows;
mod shown;

use std::io::Read;

pub use columns::{AbsentColumn, Columns};
pub use error::CatalogError;
pub use first_lines::FirstLines;
pub use format::CatalogFormat;
pub use rows::{CatalogRow, CatalogRows};

use crate::columnar::spill::Budget;
use crate::domain::id::Surface;
use crate::domain::limit::{Limit, Limits};
use crate::encoding::hash::{HashWriter, TeeReader};

/// An item of a surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogItem {
    /// The item.
    pub item_id: String,
    /// Trimmed, lower-case, in the order of their first occurrence.
    pub tags: Vec<String>,
}

impl CatalogItem {
    /// What it takes in memory, its id among the first lines included.
    fn bytes(&self) -> usize {
        // What the allocator needs beside a short text.
        const OVERHEAD: usize = 16;
        let text = |text: &String| size_of::<String>() + text.len() + OVERHEAD;
        2 * text(&self.item_id) + self.tags.iter().map(text).sum::<usize>() + OVERHEAD
    }
}

/// The items of a surface, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// The items, each once.
    pub items: Vec<CatalogItem>,
    /// Rows in the file.
    pub rows: u64,
    /// Rows that name no item, which are left out.
    pub rows_without_id: u64,
    /// Rows of another surface, which are left out.
    pub foreign: u64,
    /// The column of tags, if the file has none.
    pub without_tags: Option<AbsentColumn>,
    /// SHA-256 of the file.
    pub source_hash: String,
}

impl Catalog {
    /// Reads the items of `surface`: rows whose namespace is empty or the surface. Prices and dates are not
    /// looked at.
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
        let mut source = TeeReader { reader, copy: HashWriter::default() };
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
                let item = CatalogItem { item_id: row.item_id.into_owned(), tags: row.tags };
                held.add(item.bytes())?;
                catalog.items.push(item);
            } else {
                catalog.foreign += 1;
            }
        }
        // A file without a row and a header says nothing of its columns.
        let says_nothing = format == CatalogFormat::Jsonl && catalog.rows == 0;
        catalog.without_tags = (!rows.has_tags() && !says_nothing).then(|| rows.absent("tags"));
        catalog.items.sort_unstable_by(|a, b| a.item_id.cmp(&b.item_id));
        catalog.source_hash = source.copy.finish();
        Ok(catalog)
    }
}
