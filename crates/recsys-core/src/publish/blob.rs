//! Published blobs: finding one by its URI, and checking that it is what the URI says.

use crate::artifact::{Artifact, ArtifactKey, BuildInfo, DocumentError, Kind};
use crate::id::Scope;
use crate::storage::{MAX_ARTIFACT_BYTES, MAX_DOCUMENT_BYTES, Store, StoreError};

/// A blob that is there and has the version its URI states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// What it is of.
    pub key: ArtifactKey,
    /// How it came to be, its version included.
    pub build: BuildInfo,
    /// Rows of its outermost list.
    pub rows: usize,
    /// Its size.
    pub bytes: u64,
}

/// Why a URI does not lead to the blob it should.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is not in the object store of the configuration.
    #[error("{uri} is not in the object store {root}; is object_store_dir the one it was published to?")]
    Elsewhere {
        /// The URI.
        uri: String,
        /// The object store.
        root: String,
    },
    /// There is nothing at the URI.
    #[error("{0} does not exist")]
    Missing(String),
    /// The document is damaged, or of another kind.
    #[error("{uri} is damaged: {source}")]
    Damaged {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// The document is intact, and another one.
    #[error("{uri} holds {actual}")]
    Other {
        /// The URI.
        uri: String,
        /// What it holds.
        actual: String,
    },
}

/// The version that a URI or key states: the name of the file.
pub fn version_in(uri: &str) -> &str {
    let file = uri.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".json").unwrap_or(file)
}

/// The bytes at a URI, not looked at yet. An artifact borrows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobBytes {
    scope: Scope,
    kind: Kind,
    uri: String,
    bytes: Vec<u8>,
}

impl BlobBytes {
    /// Reads the blob of a kind that a manifest of `scope` names. `recorded` is the size that its record states: one that
    /// is much larger was put there by somebody else, and is not read. Another layout of the same document may differ.
    pub fn read(
        objects: &dyn Store,
        scope: &Scope,
        kind: Kind,
        uri: &str,
        recorded: Option<u64>,
    ) -> Result<Self, BlobError> {
        let key = key(objects, scope, kind, uri)?;
        let most = recorded.map_or(MAX_ARTIFACT_BYTES, |bytes| bytes.saturating_add(MAX_DOCUMENT_BYTES));
        let bytes = objects.read_at_most(&key, most)?.ok_or_else(|| BlobError::Missing(uri.to_owned()))?;
        Ok(Self { scope: scope.clone(), kind, uri: uri.to_owned(), bytes })
    }

    /// The artifact, if it is the one that the URI names; its version is recomputed.
    pub fn artifact(&self) -> Result<Artifact<'_>, BlobError> {
        let damaged = |source| BlobError::Damaged { uri: self.uri.clone(), source };
        let artifact = self.kind.parse(&self.bytes).map_err(damaged)?;
        if artifact.build.version != version_in(&self.uri) || artifact.key.scope != self.scope {
            let actual = format!("version {} of {}", artifact.build.version, artifact.key.scope);
            return Err(BlobError::Other { uri: self.uri.clone(), actual });
        }
        Ok(artifact)
    }

    /// What the blob is of, if it is the one that the URI names.
    pub fn check(&self) -> Result<Blob, BlobError> {
        let artifact = self.artifact()?;
        let rows = artifact.payload.len();
        Ok(Blob { key: artifact.key, build: artifact.build, rows, bytes: self.bytes.len() as u64 })
    }
}

/// The key of the blob at a URI.
fn key(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<String, BlobError> {
    let key = format!("{}/{kind}/{}.json", scope.prefix(), version_in(uri));
    if objects.uri(&key) != uri {
        return Err(BlobError::Elsewhere { uri: uri.to_owned(), root: objects.uri("") });
    }
    Ok(key)
}

/// Looks whether there is a blob at a URI, without reading it.
pub(super) fn is_there(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<(), BlobError> {
    match objects.look(&key(objects, scope, kind, uri)?)? {
        Some(_) => Ok(()),
        None => Err(BlobError::Missing(uri.to_owned())),
    }
}

/// Reads the blob of a kind that a manifest of `scope` names, and recomputes its version.
pub fn read_blob(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<Blob, BlobError> {
    BlobBytes::read(objects, scope, kind, uri, None)?.check()
}
