//! The readers of catalogues: the same rows however the file arrives, and however they are written.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};

use recsys_core::columnar::spill::Budget;
use recsys_core::domain::id::Surface;
use recsys_core::domain::limit::Limits;
use recsys_core::input::catalog::{Catalog, CatalogFormat, CatalogRows};
use serde_json::json;

/// Gives one byte at a time, and is interrupted now and then.
struct Bytewise<'a> {
    bytes: &'a [u8],
    reads: usize,
}

impl Read for Bytewise<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        if self.reads % 16 == 2 {
            return Err(ErrorKind::Interrupted.into());
        }
        let wanted = buffer.len().min(1);
        self.bytes.read(&mut buffer[..wanted])
    }
}

/// All there is to a row. An availability, price or date that cannot be read is the message that says so.
#[derive(Debug, PartialEq)]
struct Row {
    line: u64,
    item_id: String,
    tags: Vec<String>,
    namespace: Option<String>,
    title: Option<String>,
    image_url: Option<String>,
    category: Option<String>,
    available: Result<bool, String>,
    price: Result<Option<String>, String>,
    created_at: Result<Option<String>, String>,
}

/// The rows up to the first that cannot be read, and what is said of that one.
fn rows_of(format: CatalogFormat, reader: impl Read) -> (Vec<Row>, Option<String>) {
    let mut seen = Vec::new();
    let read = CatalogRows::open("x", format, reader).and_then(|mut rows| {
        while let Some(row) = rows.next_row()? {
            seen.push(Row {
                line: row.line,
                available: row.available().map_err(|error| error.to_string()),
                price: row.price().map_err(|error| error.to_string()),
                created_at: row
                    .created_at()
                    .map(|time| time.map(|time| time.to_string()))
                    .map_err(|error| error.to_string()),
                item_id: row.item_id.into_owned(),
                tags: row.tags,
                namespace: row.namespace.map(Cow::into_owned),
                title: row.title.map(Cow::into_owned),
                image_url: row.image_url.map(Cow::into_owned),
                category: row.category.map(Cow::into_owned),
            });
        }
        Ok(())
    });
    (seen, read.err().map(|error| error.to_string()))
}

/// Takes bytes as a catalogue, of either format: read whole and byte by byte it is the same, and rows that are
/// written as JSON Lines are read as they were.
pub fn catalog(data: &[u8]) {
    let surface = Surface::new("home").unwrap();
    for format in [CatalogFormat::Csv, CatalogFormat::Jsonl] {
        let bytewise = || Bytewise { bytes: data, reads: 0 };
        let whole = rows_of(format, data);
        assert_eq!(whole, rows_of(format, bytewise()), "{format:?}");

        let limits = Limits { max_catalog_items: 20, ..Limits::default() };
        let read = |reader: &mut dyn Read| {
            Catalog::read("x", format, reader, &surface, &limits, &Budget::default())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(&mut &*data), read(&mut bytewise()), "{format:?}");

        again(whole.0);
    }
}

/// Writes rows as JSON Lines and reads them back.
fn again(rows: Vec<Row>) {
    let mut text = Vec::new();
    let expected = (1..).zip(rows).map(|(line, row)| {
        // What could not be read is not there any more.
        let available = row.available.unwrap_or(true);
        let (price, created_at) = (row.price.ok().flatten(), row.created_at.ok().flatten());
        let written = json!({
            "item_id": row.item_id,
            "tags": row.tags,
            "namespace": row.namespace,
            "title": row.title,
            "image_url": row.image_url,
            "category": row.category,
            "available": available,
            "price": price,
            "created_at": created_at,
        });
        text.extend_from_slice(written.to_string().as_bytes());
        text.push(b'\n');
        Row { line, available: Ok(available), price: Ok(price), created_at: Ok(created_at), ..row }
    });
    let expected: Vec<Row> = expected.collect();
    assert_eq!(rows_of(CatalogFormat::Jsonl, text.as_slice()), (expected, None));
}
