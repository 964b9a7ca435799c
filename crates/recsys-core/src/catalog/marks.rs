//! The byte order mark at the beginning of a file.

use std::io::{self, Chain, Cursor, Read};

/// A file without its byte order mark.
pub(super) type Unmarked<R> = Chain<Cursor<Vec<u8>>, R>;

/// Leaves out the byte order mark, or two where one tool after another wrote its own.
pub(super) fn unmarked<R: Read>(mut reader: R) -> io::Result<Unmarked<R>> {
    let mut beginning = Vec::with_capacity(3);
    loop {
        reader.by_ref().take(3).read_to_end(&mut beginning)?;
        if beginning != "\u{feff}".as_bytes() {
            return Ok(Cursor::new(beginning).chain(reader));
        }
        beginning.clear();
    }
}
