//! Each item once: where items were first given.

use super::{CatalogError, CatalogRow};
use crate::columnar::dictionary::Interner;

/// The items of one namespace and the lines on which they were first given.
///
/// It holds every item id, so it is the caller who bounds it, with `max_catalog_items`.
#[derive(Debug, Default)]
pub struct FirstLines {
    items: Interner,
    /// By the number of the item.
    lines: Vec<u64>,
}

impl FirstLines {
    /// Notes the item of `row`; [`CatalogError::Duplicate`], with both lines, when an earlier row gave it.
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
