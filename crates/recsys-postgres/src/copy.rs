//! Sends rows to a temporary table as CSV, in chunks.

use csv::{ByteRecord, WriterBuilder};

use crate::connection::Connection;
use crate::error::Problem;

/// Chunk size; the last row of a chunk may exceed it.
const CHUNK_BYTES: usize = 1 << 17;

/// Copies rows into a table and returns their number. `write` makes the fields of a row; an empty field is null.
pub(crate) fn copy_rows<R, E: From<Problem>>(
    connection: &mut Connection,
    table: &str,
    mut rows: impl Iterator<Item = Result<R, E>>,
    write: impl Fn(&R, &mut ByteRecord) -> Result<(), E>,
) -> Result<u64, E> {
    let sql = format!("copy {table} from stdin with (format csv)");
    let mut fields = ByteRecord::new();
    connection.copy(&sql, |buffer| {
        let mut csv = WriterBuilder::new().from_writer(buffer);
        while csv.get_ref().len() < CHUNK_BYTES {
            let Some(row) = rows.next() else { break };
            fields.clear();
            write(&row?, &mut fields)?;
            csv.write_byte_record(&fields).map_err(|error| Problem::Answer(error.to_string()))?;
        }
        csv.flush().map_err(|error| Problem::Answer(error.to_string()).into())
    })
}

/// Adds an item id as a field. Postgres text cannot hold U+0000.
pub(crate) fn push_item(fields: &mut ByteRecord, item_id: &str) -> Result<(), Problem> {
    let refused = |reason: &str| Problem::Item { item_id: item_id.to_owned(), reason: reason.to_owned() };
    if item_id.is_empty() {
        return Err(refused("is empty"));
    }
    if item_id.contains('\0') {
        return Err(refused("contains U+0000, which Postgres cannot hold"));
    }
    fields.push_field(item_id.as_bytes());
    Ok(())
}
