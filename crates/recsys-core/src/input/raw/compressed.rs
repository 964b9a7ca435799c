//! Streaming decompression of gzip and zstd files.
//!
//! Errors are told apart: a failing source or a file that ends too early may heal, broken content will not.

use std::ffi::OsStr;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::Path;

use super::gzip::Members;
use super::zstd_window::{MaxWindow, WindowTooLarge};
use crate::input::magic::not_text;
use crate::storage::{Store, StoreError, cause};

/// A permanent defect of a compressed file: reading it again would fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorruptFile {
    /// The content is not in the format that the file name promises.
    #[error("it is not {format}: {found}")]
    Other {
        /// The format according to the file name.
        format: &'static str,
        /// What the content is instead.
        found: &'static str,
    },
    /// The content does not decompress.
    #[error("its {format} data is broken ({problem}); have the file made again")]
    Damaged {
        /// The compression format.
        format: &'static str,
        /// The decoder's message.
        problem: String,
    },
}

impl CorruptFile {
    /// Whether `error` was caused by a broken file.
    pub fn is_cause(error: &io::Error) -> bool {
        cause::<Self>(error).is_some()
    }
}

/// Opens a document and decompresses it as its extension says. `None` if it does not exist.
pub fn open_decompressed(
    store: &dyn Store,
    key: &str,
    window: MaxWindow,
) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
    let Some(mut source) = store.open_input(key)? else { return Ok(None) };
    let format = match Path::new(key).extension().and_then(OsStr::to_str) {
        Some("gz") => "gzip",
        Some("zst") => "zstd",
        _ => return Ok(Some(source)),
    };
    let failed = |source| StoreError { action: "read", target: store.name(key), source };
    let mut beginning = Vec::new();
    source.by_ref().take(BEGINNING_BYTES).read_to_end(&mut beginning).map_err(failed)?;
    let source = SourceReader(Cursor::new(beginning.clone()).chain(source));
    let decoder: Box<dyn Read + Send> = match format {
        "gzip" => Box::new(Members::new(source)),
        _ => window.decoder(source, &beginning).map_err(failed)?,
    };
    Ok(Some(Box::new(Decompressed { decoder, format, beginning })))
}

/// Length of the longest zstd frame header, which is also enough to recognise any format.
const BEGINNING_BYTES: u64 = 18;

/// The compressed bytes. Wraps I/O errors so that they are not mistaken for decoder errors.
struct SourceReader<R>(R);

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SourceError(io::Error);

impl<R: Read> Read for SourceReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| io::Error::new(error.kind(), SourceError(error)))
    }
}

/// A decoder that turns permanent errors into [`CorruptFile`].
struct Decompressed {
    decoder: Box<dyn Read + Send>,
    format: &'static str,
    beginning: Vec<u8>,
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| self.explained(error))
    }
}

impl Decompressed {
    fn explained(&self, error: io::Error) -> io::Error {
        let error = match error.downcast::<SourceError>() {
            Ok(SourceError(error)) => return error,
            Err(error) => error,
        };
        if error.kind() == ErrorKind::UnexpectedEof || cause::<WindowTooLarge>(&error).is_some() {
            return error;
        }
        let format = self.format;
        let broken = match self.found() {
            Some(found) => CorruptFile::Other { format, found },
            None => CorruptFile::Damaged { format, problem: error.to_string() },
        };
        io::Error::new(ErrorKind::InvalidData, broken)
    }

    /// What the file is, if it does not begin with the magic bytes of its format.
    fn found(&self) -> Option<&'static str> {
        match (self.format, &*self.beginning) {
            // A zstd file may begin with a skippable frame.
            ("gzip", [0x1f, 0x8b, ..])
            | ("zstd", [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) => None,
            (_, beginning) => Some(
                not_text(beginning)
                    .unwrap_or("it begins with other bytes; if it is not compressed, its name must say so"),
            ),
        }
    }
}
