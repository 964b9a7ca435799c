//! Published blobs: finds one by its URI and checks that it is what the URI says.

use std::fmt;

use crate::artifact::{Artifact, Descriptor, DocumentError, Kind};
use crate::domain::class::Class;
use crate::domain::id::Scope;
use crate::storage::layout::{self, version_in};
use crate::storage::{MAX_ARTIFACT_BYTES, MAX_DOCUMENT_BYTES, Store, StoreError};

/// Why a URI does not lead to the blob it should.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The URI is not in the configured object store.
    #[error("{uri} is not in the object store {root}; is object_store_dir the one it was published to?")]
    Elsewhere {
        /// URI of the blob.
        uri: String,
        /// URI of the object store.
        root: String,
    },
    /// There is nothing at the URI.
    #[error("{0} does not exist; {remedy}", remedy = .0.remedy())]
    Missing(Box<NamedBlob>),
    /// The document is damaged, or of another kind.
    #[error("{0} is damaged: {1}; move it away, and {remedy}", remedy = .0.remedy())]
    Damaged(Box<NamedBlob>, DocumentError),
    /// The document is intact, but of another version or scope.
    #[error("{0} holds {1}; move it away, and {remedy}", remedy = .0.remedy())]
    Other(Box<NamedBlob>, String),
}

impl BlobError {
    /// What can be done about it.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Store(_) => None,
            Self::Elsewhere { .. } => Some(Class::Usage),
            Self::Missing(..) | Self::Damaged(..) | Self::Other(..) => Some(Class::Refused),
        }
    }
}

/// The blob of a kind that a manifest of a tenant and surface names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedBlob {
    scope: Scope,
    kind: Kind,
    uri: String,
}

impl fmt::Display for NamedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.kind, self.scope, self.uri)
    }
}

impl NamedBlob {
    fn new(scope: &Scope, kind: Kind, uri: &str) -> Self {
        Self { scope: scope.clone(), kind, uri: uri.to_owned() }
    }

    /// What an operator can do about a missing or wrong blob.
    fn remedy(&self) -> String {
        let Self { scope: Scope { tenant, surface }, kind, .. } = self;
        format!(
            "run its day again, or go to another one with `recsys-pipelines rollback --tenant {tenant} --surface {surface} \
             --kind {kind}`"
        )
    }
}

/// The unchecked bytes of a blob. An artifact borrows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobBytes {
    of: NamedBlob,
    bytes: Vec<u8>,
}

impl BlobBytes {
    /// Reads the blob of a kind that a manifest of `scope` names. `recorded` is the size in its record: a much larger
    /// blob is not of this project and is not read. A somewhat larger one may be the same document in another
    /// layout.
    pub fn read(
        objects: &dyn Store,
        scope: &Scope,
        kind: Kind,
        uri: &str,
        recorded: Option<u64>,
    ) -> Result<Self, BlobError> {
        let key = key(objects, scope, kind, uri)?;
        let most = recorded.map_or(MAX_ARTIFACT_BYTES, |bytes| bytes.saturating_add(MAX_DOCUMENT_BYTES));
        let of = NamedBlob::new(scope, kind, uri);
        match objects.read_at_most(&key, most)? {
            Some(bytes) => Ok(Self { of, bytes }),
            None => Err(BlobError::Missing(Box::new(of))),
        }
    }

    /// The artifact, if it is the one that the URI names. Recomputes its version.
    pub fn artifact(&self) -> Result<Artifact<'_>, BlobError> {
        let of = || Box::new(self.of.clone());
        let damaged = |problem| BlobError::Damaged(of(), problem);
        let artifact = self.of.kind.parse(&self.bytes).map_err(damaged)?;
        if artifact.build.version != version_in(&self.of.uri) || artifact.key.scope != self.of.scope {
            let actual = format!("version {} of {}", artifact.build.version, artifact.key.scope);
            return Err(BlobError::Other(of(), actual));
        }
        Ok(artifact)
    }

    /// What the blob says of itself, if it is the one that the URI names.
    pub fn check(&self) -> Result<Descriptor, BlobError> {
        Ok(self.artifact()?.descriptor(self.bytes.len()))
    }
}

/// The key of the blob at a URI.
fn key(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<String, BlobError> {
    let key = layout::blob(scope, kind, version_in(uri));
    if objects.uri(&key) != uri {
        return Err(BlobError::Elsewhere { uri: uri.to_owned(), root: objects.uri("") });
    }
    Ok(key)
}

/// Checks that there is a blob at a URI, without reading it.
pub(super) fn is_there(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<(), BlobError> {
    match objects.stat(&key(objects, scope, kind, uri)?)? {
        Some(_) => Ok(()),
        None => Err(BlobError::Missing(Box::new(NamedBlob::new(scope, kind, uri)))),
    }
}

/// Reads the blob of a kind that a manifest of `scope` names, and recomputes its version.
pub fn read_blob(objects: &dyn Store, scope: &Scope, kind: Kind, uri: &str) -> Result<Descriptor, BlobError> {
    BlobBytes::read(objects, scope, kind, uri, None)?.check()
}
