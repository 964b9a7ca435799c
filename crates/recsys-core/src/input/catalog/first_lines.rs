//! Detects duplicate items.

use super::{CatalogError, CatalogRow};
use crate::columnar::dictionary::Interner;

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
