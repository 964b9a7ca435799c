//! Documents are read whole, so what can be one is bounded: a regular file, of at most so many bytes.
//!
//! A registry is shared. Whoever can write to a folder of it can put a sparse file of gigabytes, a pipe or a device in
//! the place of a manifest. Reading it would take all memory, or never end. Such a thing is an error by name, found
//! before any of it is read.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Bytes of the largest small document: a manifest, record, history entry, lease, checkpoint, report or pointer. The
/// largest that is ever written has a few thousand.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 20;

/// Bytes of the largest artifact that is read where `max_artifact_bytes` sets no other bound. An artifact is held in
/// memory as a whole, so one beyond this cannot be built.
pub const MAX_ARTIFACT_BYTES: u64 = 4 << 30;

/// Why what is there cannot be the document that is expected there. Reading again gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotADocument {
    /// It has more bytes than any such document.
    #[error(
        "it has {}, and such a document has at most {most}; move it away and restore the right one",
        size(*.bytes, *.most)
    )]
    TooLarge {
        /// Its size, where that is known without reading it.
        bytes: Option<u64>,
        /// What is allowed.
        most: u64,
    },
    /// It is a folder, pipe, device or the like.
    #[error("it is a {0} and no regular file; move it away")]
    Special(&'static str),
    /// It is a folder, such as one of part files, where others are to put a file.
    #[error("it is a folder, whose files are not read; put them together into one file of this name")]
    Folder,
    /// It is a link, or anything else but a folder, where this project keeps a folder of its own.
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

/// Refuses a document whose size is known and too large.
pub(super) fn check_size(bytes: u64, most: u64) -> Result<(), NotADocument> {
    if bytes > most { Err(NotADocument::TooLarge { bytes: Some(bytes), most }) } else { Ok(()) }
}

/// Reads to the end, or to the first byte beyond `most`, which is an error.
pub(super) fn read_at_most(reader: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(NotADocument::TooLarge { bytes: None, most }.into());
    }
    Ok(bytes)
}

/// Opens a regular file for reading. Anything else is an error at once; none when there is nothing.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // To open a device or a socket can do something, or fail in words about something else.
    check_regular(&found)?;
    // Not blocking: it may have become a pipe since.
    match File::options().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path) {
        Ok(file) => {
            check_regular(&file.metadata()?)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens, or creates, an empty file that is written next to documents, such as a lock. A link that somebody has planted
/// in its place is an error.
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

/// Refuses what is no regular file.
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
