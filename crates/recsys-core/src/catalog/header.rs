//! The header of a CSV catalogue: which column holds what.

use super::CatalogError;
use super::records::Record;

/// The columns of a catalogue, counted from 0.
#[derive(Debug)]
pub(super) struct Header {
    /// The line on which it stands.
    pub(super) line: u64,
    pub(super) item_id: usize,
    pub(super) tags: Option<usize>,
    pub(super) namespace: Option<usize>,
    /// Why there is no telling is for those who ask for prices.
    pub(super) price: Result<Option<usize>, String>,
    /// The same for dates.
    pub(super) created_at: Result<Option<usize>, String>,
}

impl Header {
    /// Finds the columns by their names, in any case; of several names for one thing, the first in the
    /// contract's order that the file has.
    ///
    /// # Errors
    /// There is no item column, or two columns of one name for the items, tags or namespaces.
    pub(super) fn new(name: &str, first: Record<'_>) -> Result<Self, CatalogError> {
        let columns: Vec<String> = first.fields().map(|column| column.trim().to_lowercase()).collect();
        let twice = |reason| CatalogError::row(name, first.line, reason);
        let no_item = || CatalogError::NoItemColumn { name: name.to_owned() };
        Ok(Self {
            line: first.line,
            item_id: find(&columns, &["item_id", "itemid", "id"]).map_err(twice)?.ok_or_else(no_item)?,
            tags: find(&columns, &["tags", "tag_list"]).map_err(twice)?,
            namespace: find(&columns, &["namespace", "surface"]).map_err(twice)?,
            price: find(&columns, &["price"]),
            created_at: find(&columns, &["created_at", "createdat"]),
        })
    }
}

/// The place of the first of `names` that is there. Two columns of that name are an error: there is no telling
/// which is meant.
fn find(columns: &[String], names: &[&str]) -> Result<Option<usize>, String> {
    for name in names {
        let mut places = (0..columns.len()).filter(|at| columns[*at] == *name);
        let first = places.next();
        if places.next().is_some() {
            return Err(format!("the header has the column {name} twice; keep one of them"));
        }
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}
