//! The header of a CSV catalogue: maps columns to fields, and diagnoses a first line that is no header.

use super::CatalogError;
use super::columns::is_similar;
use super::csv_records::CsvRecord;
use super::error::Shown;

/// The columns of a catalogue, as indexes from 0.
#[derive(Debug)]
pub(super) struct Header {
    /// The line of the header, counted from 1.
    pub(super) line: u64,
    pub(super) item_id: usize,
    pub(super) tags: Option<usize>,
    pub(super) namespace: Option<usize>,
    pub(super) available: Option<usize>,
    pub(super) title: Option<usize>,
    pub(super) image_url: Option<usize>,
    pub(super) category: Option<usize>,
    /// An error if the column is ambiguous; only readers of prices see it.
    pub(super) price: Result<Option<usize>, String>,
    /// As `price`, for dates.
    pub(super) created_at: Result<Option<usize>, String>,
    /// The names of all columns, trimmed.
    pub(super) names: Vec<String>,
}

impl Header {
    /// The indexes of all columns with a meaning.
    pub(super) fn known(&self) -> impl Iterator<Item = usize> {
        let certain = |column: &Result<Option<usize>, String>| column.as_ref().ok().copied().flatten();
        let others = [
            self.tags,
            self.namespace,
            self.available,
            self.title,
            self.image_url,
            self.category,
            certain(&self.price),
            certain(&self.created_at),
        ];
        [self.item_id].into_iter().chain(others.into_iter().flatten())
    }

    /// Finds the columns by name, ignoring case. If a file has several names for one thing, the first in the
    /// contract's order wins.
    ///
    /// # Errors
    /// The item column is missing, or a column other than price and date occurs twice.
    pub(super) fn new(name: &str, first: CsvRecord<'_>) -> Result<Self, CatalogError> {
        let names: Vec<String> = first.fields().map(|column| column.trim().to_owned()).collect();
        let columns: Vec<String> = names.iter().map(|column| column.to_lowercase()).collect();
        let twice = |reason| CatalogError::row(name, first.line, reason);
        let no_item = || no_item_column(name, &instead_of_items(&names));
        Ok(Self {
            line: first.line,
            item_id: find(&columns, &ITEM_COLUMNS).map_err(twice)?.ok_or_else(no_item)?,
            tags: find(&columns, &["tags", "tag_list"]).map_err(twice)?,
            namespace: find(&columns, &["namespace", "surface"]).map_err(twice)?,
            available: find(&columns, &["available"]).map_err(twice)?,
            title: find(&columns, &["title"]).map_err(twice)?,
            image_url: find(&columns, &["image_url"]).map_err(twice)?,
            category: find(&columns, &["category"]).map_err(twice)?,
            price: find(&columns, &["price"]),
            created_at: find(&columns, &["created_at", "createdat"]),
            names,
        })
    }
}

/// Accepted names of the item column, in order of preference.
const ITEM_COLUMNS: [&str; 3] = ["item_id", "itemid", "id"];

/// A column whose name resembles `namespace` or `surface`.
pub(super) fn similar_to_namespace(names: &[String]) -> Option<&String> {
    names.iter().find(|name| ["namespace", "surface"].iter().any(|column| is_similar(name, column)))
}

/// The error for a header that lacks the item column, the only required one; `instead` says what was found.
pub(super) fn no_item_column(name: &str, instead: &str) -> CatalogError {
    CatalogError::row(name, 1, format!("the header has no column item_id (or itemid, or id): {instead}"))
}

/// Describes a header that lacks the item column, with a hint at the likely cause.
fn instead_of_items(names: &[String]) -> String {
    let text = names.join(",");
    if text.to_lowercase().starts_with("sep=") {
        return format!("it is {}, which only some programs read; take that line out", Shown(&text));
    }
    let is_item = |name: &str| ITEM_COLUMNS.contains(&name.trim().to_lowercase().as_str());
    for (separator, called) in [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")] {
        if text.split(separator).any(is_item) {
            return format!("it is separated by {called}, {}; separate columns by commas", Shown(&text));
        }
    }
    if names.iter().any(|name| is_item(name.trim_start_matches('\u{feff}'))) {
        return format!("a byte order mark (U+FEFF) stands in it, {}; take it out", Shown(&text));
    }
    format!("it is {}", Shown(&text))
}

/// The index of the first of `names` that occurs. It is an error if that one occurs twice, because either column could be
/// meant.
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
