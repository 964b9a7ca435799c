//! Staging: the folders in which jobs hand artifacts on.
//!
//! The folder of a window holds an artifact for each version that was built, and `current.version`, which names the one
//! to publish. The artifact is written before the pointer: a crash leaves the old pointer, or the new pointer with its
//! artifact.

use bytes::Bytes;

use crate::artifact::{ArtifactKey, Descriptor, DocumentError, Encoded};
use crate::domain::class::Class;
use crate::domain::limit::{LimitExceeded, Limits};
use crate::encoding::hash::is_sha256;
use crate::encoding::json;
use crate::storage::{Condition, MAX_ARTIFACT_BYTES, Store, StoreError, layout};

/// Why a staged artifact could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `current.version` does not hold a version.
    #[error("{0} does not hold a version; build the artifact again")]
    Pointer(String),
    /// `current.version` names a missing artifact.
    #[error("{pointer} names {artifact}, which does not exist; build the artifact again")]
    Dangling {
        /// Name of the pointer file in messages.
        pointer: String,
        /// Name of the missing file in messages.
        artifact: String,
    },
    /// The artifact exceeds the limits.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl StagingError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Pointer(_) | Self::Dangling { .. } => Some(Class::Refused),
            Self::Limit(_) => Some(Class::Limit),
        }
    }
}

/// A document that is handed on as the artifact of a key with a version, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Kind, scope, segment and window.
    pub key: ArtifactKey,
    /// Name of its file in messages.
    pub name: String,
    /// The version in its file name.
    pub version: String,
    /// The document.
    pub bytes: Bytes,
}

/// The staged artifacts below a root.
#[derive(Debug, Clone, Copy)]
pub struct Staging<'a> {
    store: &'a dyn Store,
}

fn folder(key: &ArtifactKey) -> String {
    layout::staging(&key.scope, key.segment_folder(), key.kind, key.window)
}

impl<'a> Staging<'a> {
    /// The artifacts below `store`.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store }
    }

    /// Stages an artifact and makes it the current one of its window. Returns the name of its file in messages.
    ///
    /// An intact artifact of the same version and source stays as it is.
    pub fn put(&self, artifact: &Encoded) -> Result<String, StagingError> {
        let (Descriptor { key, build, .. }, bytes) = (&artifact.descriptor, &artifact.bytes);
        let version = &build.version;
        let folder = folder(key);
        let file = layout::staged(&folder, version);
        if !self.holds_build(&file, key, bytes)? {
            self.store.put(&file, bytes, Condition::Always)?;
        }
        let pointer = layout::staged_version(&folder);
        self.store.put(&pointer, format!("{version}\n").as_bytes(), Condition::Always)?;
        Ok(self.store.name(&file))
    }

    /// Whether a file is an intact build of the same content from the same source.
    fn holds_build(&self, file: &str, key: &ArtifactKey, bytes: &[u8]) -> Result<bool, StoreError> {
        // In another layout it may be larger than `bytes`; if it is more than four times as large, it is replaced
        // unread.
        let most = 4 * bytes.len() as u64;
        if self.store.stat(file)?.is_none_or(|old| old.bytes > most) {
            return Ok(false);
        }
        Ok(self.store.read_at_most(file, most)?.is_some_and(|old| same_build(key, &old, bytes)))
    }

    /// The current artifact of a window, if one is staged. One that exceeds the limits is not read.
    pub fn current(&self, key: &ArtifactKey, limits: &Limits) -> Result<Option<Staged>, StagingError> {
        let folder = folder(key);
        let pointer = layout::staged_version(&folder);
        let Some(text) = self.store.read(&pointer)? else { return Ok(None) };
        let version = String::from_utf8_lossy(&text).trim().to_owned();
        if !is_sha256(&version) {
            return Err(StagingError::Pointer(self.store.name(&pointer)));
        }
        let file = layout::staged(&folder, &version);
        let name = self.store.name(&file);
        let dangling =
            || StagingError::Dangling { pointer: self.store.name(&pointer), artifact: name.clone() };
        let bytes = self.store.stat(&file)?.ok_or_else(dangling)?.bytes;
        limits
            .check_artifact_bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
            .map_err(|exceeded| exceeded.in_place(&name))?;
        let bytes = self.store.read_at_most(&file, MAX_ARTIFACT_BYTES)?.ok_or_else(dangling)?;
        Ok(Some(Staged { key: key.clone(), name, version, bytes: bytes.into() }))
    }

    /// Name of the folder of a window in messages.
    pub fn name(&self, key: &ArtifactKey) -> String {
        self.store.name(&folder(key))
    }
}

/// Whether two documents are intact builds of the same content from the same source.
fn same_build(key: &ArtifactKey, old: &[u8], new: &[u8]) -> bool {
    let source = |bytes| -> Result<_, DocumentError> {
        let build = key.kind.parse(bytes)?.build;
        Ok((build.version, build.source_hash))
    };
    // Usually only the build times differ, which can be seen without parsing.
    split_at_time(old).is_some_and(|old| Some(old) == split_at_time(new))
        || matches!((source(old), source(new)), (Ok(old), Ok(new)) if old == new)
}

/// The parts of a document before and after its build time.
fn split_at_time(document: &[u8]) -> Option<(&[u8], &[u8])> {
    const BUILT_AT: &[u8] = br#","build":{"built_at":""#;
    // This cannot match inside a string: its quotes would be escaped there.
    let start = memchr::memmem::rfind(document, BUILT_AT)? + BUILT_AT.len();
    let end = start + memchr::memchr(b'"', &document[start..])?;
    let time = std::str::from_utf8(&document[start..end]).ok()?;
    json::is_plain(time).then(|| (&document[..start], &document[end..]))
}
