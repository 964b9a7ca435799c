//! Where documents live: a root below which every key is a `/`-separated path of checked names.
//!
//! The rest of the crate sees only [`Store`]. A write is prepared aside and becomes visible in one step, or
//! not at all; the step can be tied to a [`Condition`]. "Not there" and "could not look" are different
//! answers everywhere: the first is `None`, the second an error.

mod local;

use std::fmt::Debug;
use std::io::{self, Read, Write};

pub use local::LocalStore;

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

/// Names one state of one document; equal tags mean that nobody wrote in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(pub String);

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

/// A document that is being written and that nobody can see yet. Dropping it abandons it.
pub trait PendingWrite: Write + Send {
    /// Makes the document visible, durably, if `condition` holds.
    fn commit(self: Box<Self>, condition: Condition) -> Result<Commit, StoreError>;
}

/// A root that holds documents.
pub trait Store: Debug + Send + Sync {
    /// The address of a document for machines: `file:///…`.
    fn uri(&self, key: &str) -> String;

    /// The address of a document for people.
    fn name(&self, key: &str) -> String;

    /// Whether the root itself is there.
    fn root_exists(&self) -> Result<bool, StoreError>;

    /// Opens a document for reading from its start.
    fn open(&self, key: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError>;

    /// Reads a document together with the tag of the state it was read in.
    fn read_tagged(&self, key: &str) -> Result<Option<(Vec<u8>, Tag)>, StoreError>;

    /// Begins a document.
    fn begin(&self, key: &str) -> Result<Box<dyn PendingWrite + '_>, StoreError>;

    /// Removes a document; `false` when there was none.
    fn remove(&self, key: &str) -> Result<bool, StoreError>;

    /// The keys of all documents below `folder`, in byte order.
    fn list(&self, folder: &str) -> Result<Vec<String>, StoreError>;

    /// Reads a whole document.
    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut reader) = self.open(key)? else { return Ok(None) };
        let mut bytes = Vec::new();
        match reader.read_to_end(&mut bytes) {
            Ok(_) => Ok(Some(bytes)),
            Err(source) => Err(StoreError { action: "read", target: self.name(key), source }),
        }
    }

    /// Whether a document holds exactly `bytes`, without a second copy of them in memory.
    fn holds(&self, key: &str, mut bytes: &[u8]) -> Result<bool, StoreError> {
        let Some(mut reader) = self.open(key)? else { return Ok(false) };
        let mut chunk = vec![0; 1 << 16];
        loop {
            let read = match reader.read(&mut chunk) {
                Ok(read) => read,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(StoreError { action: "read", target: self.name(key), source }),
            };
            match bytes.strip_prefix(&chunk[..read]) {
                Some(_) if read == 0 => return Ok(bytes.is_empty()),
                Some(rest) => bytes = rest,
                None => return Ok(false),
            }
        }
    }

    /// Writes a whole document.
    fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<Commit, StoreError> {
        let mut pending = self.begin(key)?;
        pending.write_all(bytes).map_err(|source| StoreError {
            action: "write",
            target: self.name(key),
            source,
        })?;
        pending.commit(condition)
    }
}
