//! Documents are read whole, so they must be regular files of bounded size.
//!
//! A registry is shared. Anyone who can write to one of its folders can put a huge sparse file, a pipe or a device in
//! place of a manifest; reading it would exhaust memory or never end. Such a file is reported by name, before any of it
//! is read.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Size limit of small documents: manifests, records, history entries, leases, checkpoints, reports and pointers. The
/// largest ever written has a few thousand bytes.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 20;

/// Size limit of artifacts that are read, where `max_artifact_bytes` sets no other. An artifact is held in memory as a
/// whole, so a larger one cannot be built.
pub const MAX_ARTIFACT_BYTES: u64 = 4 << 30;

/// Why a file cannot be the expected document. Reading it again gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADocument {
    /// It is larger than any such document.
    #[error(
        "it has {}, and such a document has at most {most}; move it away and restore the right one",
        size(*.bytes, *.most)
    )]
    TooLarge {
        /// Its size, if known without reading it.
        bytes: Option<u64>,
        /// The largest size allowed.
        most: u64,
    },
    /// It is a folder, pipe, device or the like.
    #[error("it is a {0} and no regular file; move it away")]
    Special(&'static str),
    /// It is a folder, for example of part files, where one input file is expected.
    #[error("it is a folder, whose files are not read; put them together into one file of this name")]
    Folder,
    /// It is a link or a file where this project keeps a folder of its own.
    #[error("it is a link or a file, and must be a folder of its own; remove it")]
    NoFolder,
}

fn size(bytes: Option<u64>, most: u64) -> String {
    bytes.map_or_else(|| format!("more than {most} bytes"), |bytes| format!("{bytes} bytes"))
}

impl From<NotADocument> for io::Error {
    fn from(error: NotADocument) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Refuses a document whose known size exceeds `most`.
pub(super) fn check_size(bytes: u64, most: u64) -> Result<(), NotADocument> {
    if bytes > most { Err(NotADocument::TooLarge { bytes: Some(bytes), most }) } else { Ok(()) }
}

/// Reads to the end. More than `most` bytes are an error.
pub(super) fn read_at_most(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(NotADocument::TooLarge { bytes: None, most }.into());
    }
    Ok(bytes)
}

/// Reads `length` bytes. Memory is only taken for bytes that arrive.
pub(super) fn read_exactly(reader: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        let problem = format!("it ends within the {length} bytes that were asked for");
        return Err(io::Error::new(ErrorKind::UnexpectedEof, problem));
    }
    Ok(bytes)
}

/// What was found; `None` if nothing is there.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Opens a regular file for reading; `None` if nothing is there. Anything else is an error at once.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let Some(metadata) = found(fs::metadata(path))? else { return Ok(None) };
    // Opening a device or socket can have side effects, or fail with a misleading error.
    check_regular(&metadata)?;
    // Non-blocking: it may have become a pipe since.
    let opened = File::options().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path);
    let Some(file) = found(opened)? else { return Ok(None) };
    check_regular(&file.metadata()?)?;
    Ok(Some(file))
}

/// Opens or creates an empty file beside documents, such as a lock. A link planted in its place is an error.
pub(super) fn open_beside(path: &Path) -> io::Result<File> {
    if let Ok(found) = fs::symlink_metadata(path) {
        check_regular(&found)?;
    }
    let mut options = File::options();
    options.create(true).write(true).truncate(false);
    let file = options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

#[allow(clippy::cast_possible_wrap, reason = "flags are bits, and the sign is none of them")]
fn flags(flags: OFlags) -> i32 {
    flags.bits() as i32
}

/// Refuses anything but a regular file.
pub(super) fn check_regular(found: &Metadata) -> Result<(), NotADocument> {
    let file_type = found.file_type();
    let what = if file_type.is_file() {
        return Ok(());
    } else if file_type.is_dir() {
        "folder"
    } else if file_type.is_symlink() {
        "link"
    } else if file_type.is_fifo() {
        "pipe"
    } else if file_type.is_socket() {
        "socket"
    } else {
        "device"
    };
    Err(NotADocument::Special(what))
}
