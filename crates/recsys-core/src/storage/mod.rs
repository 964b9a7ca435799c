//! Where documents live: a root below which every key is a `/`-separated path of checked names.
//!
//! The rest of the crate sees only [`Store`]. A write becomes visible in one step or not at all, and that step can
//! depend on a [`Condition`]. A missing document is `None`; a failed look is an error. Stores do not interpret what
//! documents hold.

#[cfg(feature = "http")]
mod bucket;
mod bucket_error;
#[cfg(feature = "http")]
mod connector;
mod document;
mod hard_links;
mod large_file;
pub mod layout;
mod local;
mod pass_on;
mod probe;
mod root;
mod s3;
mod secret;
mod timeouts;
mod unconditional;
#[cfg(feature = "http")]
mod waiter;
mod watched_file;

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Read, Write};

use jiff::Timestamp;

use crate::domain::class::Class;
use crate::threads::interrupt::{self, Interrupted};
use crate::threads::parallel::NotStarted;

use hard_links::NoHardLinks;

pub use bucket_error::{BucketError, BucketProblem};
pub use document::{MAX_ARTIFACT_BYTES, MAX_DOCUMENT_BYTES, NotADocument};
pub use local::LocalStore;
pub use probe::probe;
pub use root::{RootError, Roots};
pub use s3::S3Settings;
pub use secret::{HIDDEN, Secret};
pub use timeouts::StoreTimeouts;
pub use unconditional::{Unconditional, create_if_missing};

/// A failed store operation: action, target and cause.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {target}")]
pub struct StoreError {
    /// The verb: `read`, `write`, `create folder` …
    pub action: &'static str,
    /// The file or object, as the user would name it.
    pub target: String,
    /// The error of the underlying system.
    #[source]
    pub source: io::Error,
}

impl From<Interrupted> for StoreError {
    fn from(interrupted: Interrupted) -> Self {
        Self { action: "go on with", target: "the data".to_owned(), source: interrupted.into() }
    }
}

impl From<NotStarted> for StoreError {
    fn from(NotStarted(source): NotStarted) -> Self {
        Self { action: "start", target: NotStarted::WHAT.to_owned(), source }
    }
}

impl StoreError {
    /// Whether the service refused and will refuse again until a setting or policy changes.
    pub fn is_refusal(&self) -> bool {
        class_of(&self.source) == Some(Class::Usage)
    }

    /// Whether the service does not support the request; nothing was done.
    pub fn is_unsupported(&self) -> bool {
        cause(&self.source)
            .is_some_and(|fault: &BucketError| matches!(fault.problem, BucketProblem::Unsupported(_)))
    }

    /// Whether a request without an answer may still take effect.
    pub fn may_still_happen(&self) -> bool {
        let is_open = |fault: &BucketError| !fault.problem.is_refusal() && !fault.problem.is_undone();
        interrupt::is_cause(&self.source) || cause(&self.source).is_some_and(is_open)
    }

    /// Whether the store answers but holds something that cannot be such a document: an operator must restore it.
    pub fn is_defect(&self) -> bool {
        class_of(&self.source) == Some(Class::Refused)
    }
}

/// The class of a failed read or write, as far as a store knows it: `None` may heal, or is for others to tell.
pub fn class_of(error: &io::Error) -> Option<Class> {
    let is_refusal = |fault: &BucketError| fault.problem.is_refusal();
    if cause::<NoHardLinks>(error).is_some() || cause(error).is_some_and(is_refusal) {
        return Some(Class::Usage);
    }
    cause::<NotADocument>(error).map(|_| Class::Refused)
}

/// The cause of type `E`, directly in `error` or below a [`StoreError`].
pub(crate) fn cause<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| cause(&inner.downcast_ref::<StoreError>()?.source))
}

/// Identifies one state of a document; equal tags mean that its content has not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The entity tag; for a local document, the hash of its content.
    pub etag: String,
    /// The version or generation, for services that compare it.
    pub version: Option<String>,
}

/// A document found by a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentMeta {
    /// The key below the root.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the last write, by the store's clock.
    pub modified: Timestamp,
}

/// What must hold at the moment a write becomes visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No condition; an existing document is replaced.
    Always,
    /// No document exists yet.
    Absent,
    /// The document is still in the state that was read (`None`: it did not exist).
    Still(Option<Tag>),
}

/// How a store treats the conditions of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// A write whose condition does not hold is refused.
    Honoured,
    /// A write whose condition does not hold is accepted all the same.
    Ignored,
    /// A write is refused even if its condition holds.
    Broken,
}

/// Outcome of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The new bytes are in place.
    Written,
    /// The same bytes were there already; nothing was touched. Only for [`Condition::Always`].
    Unchanged,
    /// The condition did not hold; nothing was touched.
    Refused,
}

/// The outcome of writing a day's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaced {
    /// The new bytes are in place.
    Written,
    /// The file held the same bytes already and was not touched.
    Unchanged,
    /// The day has no events any more; its file was removed.
    Removed,
    /// The day has no events and had no file.
    Empty,
    /// A gate refused the new bytes. They are kept apart; the file is unchanged.
    Refused,
}

impl From<Commit> for Replaced {
    fn from(commit: Commit) -> Self {
        match commit {
            Commit::Unchanged => Self::Unchanged,
            Commit::Written | Commit::Refused => Self::Written,
        }
    }
}

/// A document that is not visible yet. Dropping it discards it.
pub trait Pending: Send {
    /// Finishes writing and, if the store can read the document back before it is visible, compares it with `bytes`.
    /// Returns `false` if it was not compared. A mismatch is an error, after which the document can only be dropped.
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        let _ = bytes;
        Ok(false)
    }

    /// Makes the document visible, durably, if `condition` holds.
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError>;
}

/// A document being written.
pub trait PendingWrite: Write + Pending {}

impl<T: Write + Pending> PendingWrite for T {}

/// A root that holds documents.
pub trait Store: Debug + Send + Sync {
    /// The URI of a document, such as `file:///…`.
    fn uri(&self, key: &str) -> String;

    /// The address of a document in messages.
    fn name(&self, key: &str) -> String;

    /// Whether the root exists and is not empty: a missing mount leaves an empty folder.
    fn root_exists(&self) -> Result<bool, StoreError>;

    /// Opens a document for reading from its start.
    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError>;

    /// Opens input made by others, which may also be a pipe.
    fn open_input(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.open(key)
    }

    /// Reads a small document, as [`Self::read`], with the tag of the state it was read in.
    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError>;

    /// Starts writing a document.
    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError>;

    /// Removes a document; `false` when there was none.
    fn remove(&self, key: &str) -> Result<bool, StoreError>;

    /// Size and age of a document, without reading it.
    fn stat(&self, key: &str) -> Result<Option<DocumentMeta>, StoreError>;

    /// All documents below `folder`, in the byte order of their keys.
    fn list(&self, folder: &str) -> Result<Vec<DocumentMeta>, StoreError>;

    /// The documents of [`list`](Self::list) whose keys come after `after`.
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<DocumentMeta>, StoreError> {
        let mut listed = self.list(folder)?;
        listed.retain(|listed| listed.key.as_str() > after);
        Ok(listed)
    }

    /// Names of the folders directly in `folder`, in byte order. Stores override it to avoid listing what lies deeper.
    fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let name = |listed: DocumentMeta| {
            let below = listed.key.strip_prefix(folder)?.trim_start_matches('/');
            Some(below.split_once('/')?.0.to_owned())
        };
        let mut names: Vec<String> = self.list(folder)?.into_iter().filter_map(name).collect();
        names.dedup();
        Ok(names)
    }

    /// How the store treats a write with a [`Condition`].
    fn conditions(&self) -> Result<Conditions, StoreError>;

    /// Reads a small document; more than [`MAX_DOCUMENT_BYTES`] is an error.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_at_most(key, MAX_DOCUMENT_BYTES)
    }

    /// Reads a whole document of at most `most` bytes. A larger one is an error and is never held in memory.
    fn read_at_most(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(reader) = self.open(key)? else { return Ok(None) };
        let failed = |source| StoreError { action: "read", target: self.name(key), source };
        document::read_at_most(reader, most).map(Some).map_err(failed)
    }

    /// Reads `length` bytes from `offset` on; [`stat`](Self::stat) gives the size of the document. A range that reaches
    /// beyond the end is an error. Stores override it to avoid reading what comes before.
    fn get_range(&self, key: &str, offset: u64, length: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut reader) = self.open(key)? else { return Ok(None) };
        io::copy(&mut reader.by_ref().take(offset), &mut io::sink())
            .and_then(|_| document::read_exactly(reader, length))
            .map(Some)
            .map_err(|source| StoreError { action: "read", target: self.name(key), source })
    }

    /// Whether a document holds exactly `bytes`; compared without a second copy in memory.
    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(reader) = self.open(key)? else { return Ok(false) };
        let failed = |source| StoreError { action: "read", target: self.name(key), source };
        same_content(bytes, reader).map_err(failed)
    }

    /// Prepares the write of a whole document, as far as possible before it becomes visible.
    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        let mut pending = self.begin(key)?;
        let failed = |source| StoreError { action: "write", target: self.name(key), source };
        pending.write_all(bytes).map_err(failed)?;
        Ok(pending)
    }

    /// Writes a whole document.
    fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<Commit, StoreError> {
        self.prepare(key, bytes)?.commit(condition)
    }
}

/// Whether two readers yield the same bytes; holds one chunk of each in memory.
fn same_content(mut left: impl Read, mut right: impl Read) -> io::Result<bool> {
    const CHUNK: u64 = 1 << 16;
    let (mut one, mut other) = (Vec::new(), Vec::new());
    loop {
        one.clear();
        other.clear();
        left.by_ref().take(CHUNK).read_to_end(&mut one)?;
        right.by_ref().take(CHUNK).read_to_end(&mut other)?;
        if one != other {
            return Ok(false);
        }
        if one.is_empty() {
            return Ok(true);
        }
    }
}
