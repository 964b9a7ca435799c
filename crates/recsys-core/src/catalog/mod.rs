//! The catalogue: items and their tags, from CSV or JSON Lines.

use std::io::Read;
use std::str::FromStr;

use csv::StringRecord;
use serde::{Deserialize, Serialize};

use crate::event::Fault;
use crate::hash::sha256;
use crate::id::Surface;
use crate::json;
use crate::limit::{LimitExceeded, Limits};
use crate::storage::StoreError;

/// How a catalogue is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogFormat {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object per line.
    Jsonl,
}

impl CatalogFormat {
    /// The format that a file's name speaks of, compressed or not.
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
    /// The item.
    pub item_id: String,
    /// Trimmed, lower-case, in the order of their first occurrence.
    pub tags: Vec<String>,
    /// The byte at which its row begins.
    start: u64,
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
    /// SHA-256 of the file.
    pub source_hash: String,
}

/// Why a catalogue was refused.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no such file.
    #[error("catalogue {0} does not exist")]
    Missing(String),
    /// It could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its extension says nothing.
    #[error("cannot tell the format of catalogue {0} from its name; give it as csv or jsonl")]
    Format(String),
    /// The header lacks the one column that matters.
    #[error("{name}:1: the header has no column item_id (or itemid, or id)")]
    NoItemColumn {
        /// The file.
        name: String,
    },
    /// A row cannot be read.
    #[error("{name}:{line}: {reason}")]
    Row {
        /// The file.
        name: String,
        /// Where the row begins, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rows of the surface name the same item.
    #[error("{name}:{line}: item {item_id:?} was already given on line {first_line}; keep one of them")]
    Duplicate {
        /// The file.
        name: String,
        /// The item.
        item_id: String,
        /// Its first row.
        first_line: u64,
        /// Its second row.
        line: u64,
    },
    /// There are more rows than allowed.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// A row as it stands in the file.
#[derive(Debug, Default)]
struct Row {
    /// The byte at which it begins.
    start: u64,
    item_id: String,
    tags: Vec<String>,
    namespace: String,
}

impl Catalog {
    /// Reads the items of `surface`: rows whose namespace is empty or the surface.
    pub fn read(
        name: &str,
        format: CatalogFormat,
        mut reader: impl Read,
        surface: &Surface,
        limits: &Limits,
    ) -> Result<Self, CatalogError> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map_err(|source| StoreError {
            action: "read",
            target: name.to_owned(),
            source,
        })?;
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        let mut catalog = Self { source_hash: sha256(&bytes), ..Self::default() };
        let take = |row: Row| {
            catalog.rows += 1;
            let namespace = row.namespace.trim();
            let item_id = row.item_id.trim();
            if item_id.is_empty() {
                catalog.rows_without_id += 1;
            } else if namespace.is_empty() || namespace == surface.as_str() {
                let tags = normalised(row.tags);
                catalog.items.push(CatalogItem { item_id: item_id.to_owned(), tags, start: row.start });
            } else {
                catalog.foreign += 1;
            }
        };
        match format {
            CatalogFormat::Csv => csv_rows(name, text, take)?,
            CatalogFormat::Jsonl => jsonl_rows(name, text, take)?,
        }
        let rows = usize::try_from(catalog.rows).unwrap_or(usize::MAX);
        limits
            .check("max_catalog_items", limits.max_catalog_items, rows)
            .map_err(|exceeded| exceeded.in_place(name))?;
        catalog.items.sort_by(|a, b| (&a.item_id, a.start).cmp(&(&b.item_id, b.start)));
        if let Some([first, second]) =
            catalog.items.array_windows().find(|[first, second]| first.item_id == second.item_id)
        {
            return Err(CatalogError::Duplicate {
                name: name.to_owned(),
                item_id: first.item_id.clone(),
                first_line: line_at(text, first.start),
                line: line_at(text, second.start),
            });
        }
        Ok(catalog)
    }
}

fn normalised(tags: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(tags.len());
    for tag in tags {
        let tag = tag.trim().to_lowercase();
        if !tag.is_empty() && !kept.contains(&tag) {
            kept.push(tag);
        }
    }
    kept
}

/// The line of the row that begins at the byte `start` or after the line ends there.
///
/// The CSV library counts lines in its own way: for it, a record begins where the one before ended, blank
/// lines and the second half of a CRLF included.
fn line_at(text: &[u8], start: u64) -> u64 {
    let start = usize::try_from(start).unwrap_or(usize::MAX).min(text.len());
    let (before, rest) = text.split_at(start);
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let lines = |bytes| memchr::memchr_iter(b'\n', bytes).count();
    (1 + lines(before) + lines(&rest[..blank])) as u64
}

/// What no catalogue holds.
const END: &str = "\u{0}end\u{0}";

fn csv_rows(name: &str, text: &[u8], mut take: impl FnMut(Row)) -> Result<(), CatalogError> {
    let headers = csv::Reader::from_reader(text).headers().cloned();
    let headers = headers.map_err(|error| csv_fault(name, text, &error))?;
    // A row of our own behind the last one: a quoted field that is never closed swallows it.
    let last = format!("\n{}\n", vec![END; headers.len()].join(","));
    let mut reader = csv::Reader::from_reader(text.chain(last.as_bytes()));
    let headers: Vec<String> = headers.iter().map(|header| header.trim().to_lowercase()).collect();
    let column =
        |names: &[&str]| names.iter().find_map(|name| headers.iter().position(|header| header == name));
    let Some(item_id) = column(&["item_id", "itemid", "id"]) else {
        return Err(CatalogError::NoItemColumn { name: name.to_owned() });
    };
    let tags = column(&["tags", "tag_list"]);
    let namespace = column(&["namespace", "surface"]);
    let mut record = StringRecord::new();
    let mut start = 0;
    while reader.read_record(&mut record).map_err(|error| csv_fault(name, text, &error))? {
        if record.iter().all(|field| field == END) {
            return Ok(());
        }
        start = record.position().map_or(0, csv::Position::byte);
        let field = |column: Option<usize>| column.and_then(|column| record.get(column)).unwrap_or_default();
        take(Row {
            start,
            item_id: field(Some(item_id)).to_owned(),
            tags: field(tags).split([',', ';', '|']).map(str::to_owned).collect(),
            namespace: field(namespace).to_owned(),
        });
    }
    let reason = "a quoted field of this row is never closed".to_owned();
    Err(CatalogError::Row { name: name.to_owned(), line: line_at(text, start), reason })
}

fn csv_fault(name: &str, text: &[u8], error: &csv::Error) -> CatalogError {
    let line = line_at(text, error.position().map_or(0, csv::Position::byte));
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    CatalogError::Row { name: name.to_owned(), line, reason }
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct JsonRow {
    item_id: Option<String>,
    tags: Option<Vec<String>>,
    namespace: Option<String>,
}

json::object!(JsonRow);

fn jsonl_rows(name: &str, text: &[u8], mut take: impl FnMut(Row)) -> Result<(), CatalogError> {
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if !line.trim_ascii().is_empty() {
            take(jsonl_row(line, start).map_err(|reason| CatalogError::Row {
                name: name.to_owned(),
                line: line_at(text, start),
                reason,
            })?);
        }
        start += line.len() as u64;
    }
    Ok(())
}

fn jsonl_row(line: &[u8], start: u64) -> Result<Row, String> {
    // The JSON library does not look at text that it skips.
    let line = std::str::from_utf8(line).map_err(|_| "the row is not UTF-8")?;
    let row: JsonRow = serde_json::from_str(line).map_err(|error| {
        let Fault { reason, .. } = Fault::json(&error);
        format!("{reason} (column {})", error.column())
    })?;
    Ok(Row {
        start,
        item_id: row.item_id.ok_or("field `item_id` is missing")?,
        tags: row.tags.unwrap_or_default(),
        namespace: row.namespace.unwrap_or_default(),
    })
}
