//! Where documents live: a root below which every key is a `/`-separated path of checked names.
//!
//! The rest of the crate sees only [`Store`]. A write is prepared aside and becomes visible in one step, or
//! not at all; the step can be tied to a [`Condition`]. "Not there" and "could not look" are different
//! answers everywhere: the first is `None`, the second an error. Nothing here knows what a document holds.

#[cfg(feature = "http")]
mod answers;
#[cfg(feature = "http")]
mod bucket;
#[cfg(feature = "http")]
mod connector;
mod document;
mod fault;
mod hard_links;
mod large_file;
mod local;
mod patience;
mod probe;
mod replaced;
mod root;
mod s3;
mod secret;
mod unconditional;
mod watched_file;

use std::error::Error;
use std::fmt::Debug;
use std::io::{self, Read, Write};

use jiff::Timestamp;

use crate::threads::interrupt::{self, Interrupted};
use crate::threads::parallel::NotStarted;

use hard_links::NoHardLinks;

pub use document::{MAX_ARTIFACT_BYTES, MAX_DOCUMENT_BYTES, NotADocument};
pub use fault::{BucketFault, Problem};
pub use local::LocalStore;
pub use patience::Patience;
pub use probe::probe;
pub use replaced::Replaced;
pub use root::{RootError, Roots};
pub use s3::S3Settings;
pub use secret::{HIDDEN, Secret};
pub use unconditional::{Unconditional, create_after_look};

/// A store operation that failed: what was tried, on what, and what the system said.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {target}")]
pub struct StoreError {
    /// The verb: `read`, `write`, `create folder` …
    pub action: &'static str,
    /// The file or object, as the user would name it.
    pub target: String,
    /// The answer of the system underneath.
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
    /// Whether the service refused and will refuse again: somebody must change a setting or a policy.
    pub fn is_refusal(&self) -> bool {
        is_refusal(&self.source)
    }

    /// Whether the service does not know such a request, so that nothing was done.
    pub fn is_unsupported(&self) -> bool {
        fault(&self.source).is_some_and(|fault| matches!(fault.problem, Problem::Unsupported(_)))
    }

    /// Whether the operation may still be done by a request that is on its way: its answer did not come.
    pub fn may_still_happen(&self) -> bool {
        let is_open = |fault: &BucketFault| !fault.problem.is_refusal() && !fault.problem.is_undone();
        interrupt::is_cause(&self.source) || fault(&self.source).is_some_and(is_open)
    }

    /// Whether the store answers, and what it holds cannot be such a document: somebody must restore it.
    pub fn is_defect(&self) -> bool {
        is_defect(&self.source)
    }
}

/// Whether an error of reading is about something that cannot be a document, as [`StoreError::is_defect`].
pub fn is_defect(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<NotADocument>)
}

/// Whether an error of reading or writing is the refusal of a service, as [`StoreError::is_refusal`].
pub fn is_refusal(error: &io::Error) -> bool {
    fault(error).is_some_and(|fault| fault.problem.is_refusal())
        || error.get_ref().is_some_and(<dyn Error + Send + Sync>::is::<NoHardLinks>)
}

/// What a service of buckets said, if that is the error.
fn fault(error: &io::Error) -> Option<&BucketFault> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

/// Names one state of one document; equal tags mean that nobody wrote in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The entity tag, or the hash of a local document.
    pub etag: String,
    /// The version or generation, where a service compares that.
    pub version: Option<String>,
}

/// A document that a listing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, by the clock of the store.
    pub modified: Timestamp,
}

/// What must hold at the moment a write becomes visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing; an old document is replaced.
    Always,
    /// There is no document yet.
    Absent,
    /// The document is still in the state that was read (`None`: there was none).
    Still(Option<Tag>),
}

/// What a store makes of the conditions of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// A write whose condition does not hold is refused.
    Honoured,
    /// A write whose condition does not hold is accepted.
    Ignored,
    /// A write whose condition holds is refused.
    Broken,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// The new bytes are in place.
    Written,
    /// The same bytes were there already; nothing was touched. Only [`Condition::Always`] answers so.
    Unchanged,
    /// The condition did not hold; nothing was touched.
    Refused,
}

/// A document that nobody can see yet. Dropping it abandons it.
pub trait Pending: Send {
    /// Ends the writing, and reads back what was written where that can be done before the document has its name; else
    /// the answer is no. Other bytes than `bytes` are an error, after which the document can only be abandoned.
    fn has_arrived(&mut self, bytes: &[u8]) -> Result<bool, StoreError> {
        let _ = bytes;
        Ok(false)
    }

    /// Makes the document visible, durably, if `condition` holds.
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError>;
}

/// A document that is being written.
pub trait PendingWrite: Write + Pending {}

impl<T: Write + Pending> PendingWrite for T {}

/// A root that holds documents.
pub trait Store: Debug + Send + Sync {
    /// The address of a document for machines: `file:///…`.
    fn uri(&self, key: &str) -> String;

    /// The address of a document for people.
    fn name(&self, key: &str) -> String;

    /// Whether the root itself is there, and holds anything: an empty folder is what an absent mount leaves.
    fn root_exists(&self) -> Result<bool, StoreError>;

    /// Opens a document for reading from its start.
    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError>;

    /// Opens what others have made, of which a pipe is as good as a file.
    fn open_input(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.open(key)
    }

    /// Reads a small document, as [`Self::read`], together with the tag of the state it was read in.
    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError>;

    /// Begins a document.
    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError>;

    /// Removes a document; `false` when there was none.
    fn remove(&self, key: &str) -> Result<bool, StoreError>;

    /// Size and age of a document, without reading it.
    fn look(&self, key: &str) -> Result<Option<Listed>, StoreError>;

    /// All documents below `folder`, in the byte order of their keys.
    fn list(&self, folder: &str) -> Result<Vec<Listed>, StoreError>;

    /// The documents of [`list`](Self::list) whose keys come after `after`.
    fn list_after(&self, folder: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.list(folder)?;
        listed.retain(|listed| listed.key.as_str() > after);
        Ok(listed)
    }

    /// The names of the folders in `folder`, in byte order, without a look at what is further down.
    fn folders(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        let name = |listed: Listed| {
            let below = listed.key.strip_prefix(folder)?.trim_start_matches('/');
            Some(below.split_once('/')?.0.to_owned())
        };
        let mut names: Vec<String> = self.list(folder)?.into_iter().filter_map(name).collect();
        names.dedup();
        Ok(names)
    }

    /// What becomes of a write with a [`Condition`].
    fn conditions(&self) -> Result<Conditions, StoreError>;

    /// Reads a small document: one with more than [`MAX_DOCUMENT_BYTES`] is an error.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_at_most(key, MAX_DOCUMENT_BYTES)
    }

    /// Reads a whole document of at most `most` bytes. A larger one is an error, before it is in memory.
    fn read_at_most(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(reader) = self.open(key)? else { return Ok(None) };
        match document::read_at_most(reader, most) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(source) => Err(StoreError { action: "read", target: self.name(key), source }),
        }
    }

    /// Whether a document holds exactly `bytes`, without a second copy of them in memory.
    fn holds(&self, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(reader) = self.open(key)? else { return Ok(false) };
        same_content(bytes, reader).map_err(|source| StoreError {
            action: "read",
            target: self.name(key),
            source,
        })
    }

    /// Does what can be done of writing a whole document before anybody sees it.
    fn prepare<'a>(&'a self, key: &str, bytes: &'a [u8]) -> Result<Box<dyn Pending + 'a>, StoreError> {
        let mut pending = self.begin(key)?;
        pending.write_all(bytes).map_err(|source| StoreError {
            action: "write",
            target: self.name(key),
            source,
        })?;
        Ok(pending)
    }

    /// Writes a whole document.
    fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<Commit, StoreError> {
        self.prepare(key, bytes)?.commit(condition)
    }
}

/// Whether two readers yield the same bytes, of which only a little is in memory at a time.
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
