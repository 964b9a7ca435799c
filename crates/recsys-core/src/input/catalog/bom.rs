//! Strips the byte order mark of a catalogue and checks that the file is text.

use std::io::{Chain, Cursor, Read};

use super::CatalogError;
use crate::input::magic::not_text;

/// A file without its byte order mark.
pub(super) type WithoutBom<R> = Chain<Cursor<Vec<u8>>, R>;

/// Skips the byte order mark, also several in a row, as left by a chain of tools.
///
/// # Errors
/// The file `name` cannot be read, or is not text.
pub(super) fn without_bom<R: Read>(name: &str, mut reader: R) -> Result<WithoutBom<R>, CatalogError> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    const LONGEST: u64 = 8;
    let mut beginning = Vec::new();
    loop {
        let wanted = LONGEST - beginning.len() as u64;
        let read = reader.by_ref().take(wanted).read_to_end(&mut beginning);
        read.map_err(|source| CatalogError::read(name, source))?;
        match beginning.strip_prefix(MARK) {
            Some(rest) => beginning = rest.to_vec(),
            None => break,
        }
    }
    match not_text(&beginning) {
        Some(problem) => Err(CatalogError::row(name, 1, problem)),
        None => Ok(Cursor::new(beginning).chain(reader)),
    }
}
