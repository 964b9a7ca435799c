//! Artifacts that have passed every check, and those of them whose blobs are in place.

use bytes::Bytes;

use crate::artifact::{ArtifactKey, Defect, Descriptor, DocumentError};
use crate::domain::class::Class;
use crate::domain::limit::{LimitExceeded, Limits};

/// A document that has passed every check that needs no other artifact: schema, key, version, order, limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What the document says of itself.
    pub descriptor: Descriptor,
    /// The document.
    pub bytes: Bytes,
}

/// A checked artifact whose blob is in place, read back and intact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored(Descriptor);

impl Stored {
    pub(super) fn new(checked: &Checked) -> Self {
        Self(checked.descriptor.clone())
    }

    /// What the blob says of itself; it may be an earlier build of the same content.
    pub fn descriptor(&self) -> &Descriptor {
        &self.0
    }
}

/// Why a document may not be published, or is not the one that its URI names.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Not an artifact of its kind, or its content does not have the stated version.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its version is not the one in its file name.
    #[error("it has version {actual}, not {expected} as its name says")]
    Name {
        /// The version in its name.
        expected: String,
        /// The version of its content.
        actual: String,
    },
    /// It is an artifact of another kind, scope, segment or window.
    #[error("it is of {actual}, not {expected}")]
    Key {
        /// The expected key.
        expected: String,
        /// The key in the document.
        actual: String,
    },
    /// Its content breaks a rule of its kind.
    #[error("{0}")]
    Content(String),
    /// It exceeds the limits.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

impl Unfit {
    /// What can be done about it.
    pub fn class(&self) -> Class {
        match self {
            Self::Limit(_) => Class::Limit,
            Self::Document(_) | Self::Name { .. } | Self::Key { .. } | Self::Content(_) => Class::Refused,
        }
    }
}

fn describe(key: &ArtifactKey) -> String {
    format!("{} {} {} {}", key.kind, key.scope, key.segment_folder(), key.window)
}

impl Checked {
    /// Checks a document that should be the artifact of `key` with a version.
    pub fn new(key: &ArtifactKey, version: &str, bytes: Bytes, limits: &Limits) -> Result<Self, Unfit> {
        limits.check_artifact_bytes(bytes.len())?;
        let artifact = key.kind.parse(&bytes)?;
        if artifact.build.version != version {
            let actual = artifact.build.version;
            return Err(Unfit::Name { expected: version.to_owned(), actual });
        }
        if artifact.key != *key {
            return Err(Unfit::Key { expected: describe(key), actual: describe(&artifact.key) });
        }
        artifact.payload.check(limits).map_err(|defect| match defect {
            Defect::Content(reason) => Unfit::Content(reason),
            Defect::Limit(exceeded) => exceeded.into(),
        })?;
        Ok(Self { descriptor: artifact.descriptor(bytes.len()), bytes })
    }
}
