//! Published blobs: finding one by its URI, and checking that it is what the URI says.

use std::fmt;

use crate::artifact::{Artifact, ArtifactKey, BuildInfo, DocumentError, Kind};
use crate::domain::id::Scope;
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
    #[error("{of}: {uri} does not exist; {}", remedy(.of))]
    Missing {
        /// The URI.
        uri: String,
        /// What should be there.
        of: Box<Of>,
    },
    /// The document is damaged, or of another kind.
    #[error("{of}: {uri} is damaged: {source}; move it away, and {}", remedy(.of))]
    Damaged {
        /// The URI.
        uri: String,
        /// What should be there.
        of: Box<Of>,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// The document is intact, and another one.
    #[error("{of}: {uri} holds {actual}; move it away, and {}", remedy(.of))]
    Other {
        /// The URI.
        uri: String,
        /// What should be there.
        of: Box<Of>,
        /// What it holds.
        actual: String,
    },
}

/// What a blob should be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Of {
    /// Whose it is.
    pub scope: Scope,
    /// Which kind.
    pub kind: Kind,
}

impl fmt::Display for Of {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.kind, self.scope)
    }
}

/// What to do about a blob that is not what it should be.
fn remedy(Of { scope, kind }: &Of) -> String {
    let Scope { tenant, surface } = scope;
    format!(
        "run its day again, or go to another one with `recsys-pipelines rollback --tenant {tenant} --surface {surface} \
         --kind {kind}`"
    )
}

/// The version that a URI or key states: the name of the file.
pub fn version_in(uri: &str) -> &str {
    let file = uri.rsplit('/').next().unwrap_or_default();
    file.strip_suffix(".json").unwrap_or(file)
}

/// The bytes at a URI, not looked at yet. An artifact borrows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobBytes {
    of: Of,
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
        let bytes = objects.read_at_most(&key, most)?.ok_or_else(|| missing(scope, kind, uri))?;
        Ok(Self { of: Of { scope: scope.clone(), kind }, uri: uri.to_owned(), bytes })
    }

    /// The artifact, if it is the one that the URI names; its version is recomputed.
    pub fn artifact(&self) -> Result<Artifact<'_>, BlobError> {
        let of = || Box::new(self.of.clone());
        let damaged = |source| BlobError::Damaged { uri: self.uri.clone(), of: of(), source };
        let artifact = self.of.kind.parse(&self.bytes).map_err(damaged)?;
        if artifact.build.version != version_in(&self.uri) || artifact.key.scope != self.of.scope {
            let actual = format!("version {} of {}", artifact.build.version, artifact.key.scope);
            return Err(BlobError::Other { uri: self.uri.clone(), of: of(), actual });
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

fn missing(scope: &Scope, kind: Kind, uri: &str) -> BlobError {
    let of = Box::new(Of { scope: scope.clone(), kind });
    BlobError::Missing { uri: uri.to_owned(), of }
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
        None => Err(missing(scope, kind, uri)),
    }
}

/// Reads the blob of a kind that a manifest of `scope` names, and recomputes its version.
pub fn read_blob(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<Blob, BlobError> {
    BlobBytes::read(objects, scope, kind, uri, None)?.check()
}
