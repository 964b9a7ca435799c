//! The catalogue: what is read from CSV and JSON Lines, and how a bad row is named.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod available;
mod csv;
mod filters;
mod json;
mod readers;
mod rows;
mod texts;

use std::io::Read;

use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Surface;
use recsys_core::domain::limit::Limits;
use recsys_core::input::catalog::{Catalog, CatalogError, CatalogFormat, CatalogRow, CatalogRows};

use CatalogFormat::{Csv, Jsonl};

fn read(format: CatalogFormat, text: impl AsRef<[u8]>) -> Result<Catalog, CatalogError> {
    read_within(format, text.as_ref(), &Limits::default())
}

fn read_within(format: CatalogFormat, reader: impl Read, limits: &Limits) -> Result<Catalog, CatalogError> {
    let surface = Surface::new("home").unwrap();
    Catalog::read("items.txt", format, reader, &surface, limits, &Budget::default())
}

/// Items and their tags, as `item: tag, tag`.
fn items(format: CatalogFormat, text: impl AsRef<[u8]>) -> Vec<String> {
    let catalog = read(format, text).unwrap();
    catalog.items.iter().map(|item| format!("{}: {}", item.item_id, item.tags.join(", "))).collect()
}

fn error(format: CatalogFormat, text: impl AsRef<[u8]>) -> String {
    read(format, text).unwrap_err().to_string()
}

/// The lines of the first and second row of an item that is given twice.
fn twice(format: CatalogFormat, text: &str) -> (u64, u64) {
    match read(format, text) {
        Err(CatalogError::Duplicate { first_line, line, .. }) => (first_line, line),
        other => panic!("{other:?}"),
    }
}

/// The line of the row that cannot be read.
fn bad_row(format: CatalogFormat, text: impl AsRef<[u8]>) -> u64 {
    match read(format, text) {
        Err(CatalogError::Row { line, .. }) => line,
        other => panic!("{other:?}"),
    }
}

const NO_ITEMS: [&str; 0] = [];

/// Calls `take` with each row up to the first that cannot be read.
fn each_row(
    format: CatalogFormat,
    reader: impl Read,
    mut take: impl FnMut(CatalogRow<'_>),
) -> Result<(), CatalogError> {
    let mut rows = CatalogRows::open("items.txt", format, reader)?;
    while let Some(row) = rows.next_row()? {
        take(row);
    }
    Ok(())
}

/// What `field` says of each row, an error as its message.
fn each<T>(
    format: CatalogFormat,
    text: impl AsRef<[u8]>,
    mut field: impl FnMut(&CatalogRow<'_>) -> Result<T, CatalogError>,
) -> Vec<Result<T, String>> {
    let mut seen = Vec::new();
    let take = |row: CatalogRow<'_>| seen.push(field(&row).map_err(|error| error.to_string()));
    each_row(format, text.as_ref(), take).unwrap();
    seen
}

fn price_of(row: &CatalogRow<'_>) -> Result<Option<String>, CatalogError> {
    row.price()
}

fn time_of(row: &CatalogRow<'_>) -> Result<Option<String>, CatalogError> {
    Ok(row.created_at()?.map(|time| time.to_string()))
}

/// Each row as `line item [tags] namespace price created_at`.
fn written(format: CatalogFormat, reader: impl Read) -> Vec<String> {
    let mut seen = Vec::new();
    each_row(format, reader, |row| {
        let (tags, namespace) = (row.tags.join(" "), row.namespace.as_deref().unwrap_or("-"));
        let (price, created_at) = (price_of(&row).unwrap(), time_of(&row).unwrap());
        seen.push(format!(
            "{} {:?} [{tags}] {namespace} {} {}",
            row.line,
            row.item_id,
            price.as_deref().unwrap_or("-"),
            created_at.as_deref().unwrap_or("-"),
        ));
    })
    .unwrap();
    seen
}

/// The same rows in both formats, with all there is to get wrong about lines.
const BOTH: [(CatalogFormat, &str); 2] = [
    (
        Csv,
        "\u{feff}\r\nNAMESPACE,Tags,Price,Item_ID,CreatedAt\r\n\
         ,\"x\ny;X\nY\", 12.50 ,\" é\r\n\",2026-01-01\r\n\
         \r\n\n home ,,,B,\n\
         \"\",,-0.5e1,\"\", 2026-01-01T02:00:00+02:00 ",
    ),
    (
        Jsonl,
        "\u{feff}\r\n\n\
         {\"item_id\":\" \\u00e9\\n\",\"tags\":[\"x\\ny\",\" X\\nY\"],\"price\":12.50,\"created_at\":\"2026-01-01\"}\r\n\
         \r\n \t\n\n\n\n{\"namespace\":\" home \",\"item_id\":\"B\",\"price\":null,\"created_at\":\" \"}\n\
         {\"price\":\"-0.5e1\",\"item_id\":\"\",\"created_at\":\"2026-01-01T02:00:00+02:00\",\"namespace\":\"\"}",
    ),
];

const BOTH_ROWS: [&str; 3] = [
    "3 \"é\" [x\ny] - 12.5 2026-01-01T00:00:00Z",
    "9 \"B\" [] home - -",
    "10 \"\" [] - -5 2026-01-01T00:00:00Z",
];

#[test]
fn the_format_follows_the_extension() {
    for (name, format) in [
        ("items.csv", Some(Csv)),
        ("a/b.c/items.CSV", Some(Csv)),
        ("items.jsonl", Some(Jsonl)),
        ("items.csv.gz", Some(Csv)),
        ("items.jsonl.zst", Some(Jsonl)),
        ("items.json", None),
        ("items.gz", None),
        ("csv", None),
        ("items.csv.bak", None),
        ("items.csv/data", None),
    ] {
        assert_eq!(CatalogFormat::of_name(name), format, "{name}");
    }
}
