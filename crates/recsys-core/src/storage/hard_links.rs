//! Checks that a file system can create a document without replacing another one.

use std::fs;
use std::io::{self, ErrorKind};

use tempfile::NamedTempFile;

/// The file system cannot create a file without replacing another one.
#[derive(Debug, thiserror::Error)]
#[error(
    "this file system can neither rename a file without replacing another one nor link it (hard links); put the folder on a \
     local disk, or into a bucket by its URL"
)]
pub(super) struct NoHardLinks;

impl From<NoHardLinks> for io::Error {
    fn from(error: NoHardLinks) -> Self {
        Self::new(ErrorKind::Unsupported, error)
    }
}

/// Whether the file system can give a file a second name.
pub(super) fn has_links(file: &NamedTempFile) -> bool {
    let mut other = file.path().as_os_str().to_owned();
    other.push(".link");
    let linked = fs::hard_link(file.path(), &other);
    let _ = fs::remove_file(&other);
    linked.is_ok()
}
