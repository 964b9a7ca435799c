//! An artifact that has passed every check and may be published.

use bytes::Bytes;

use crate::artifact::{ArtifactKey, BuildInfo, Defect, DocumentError};
use crate::domain::class::Class;
use crate::domain::limit::{LimitExceeded, Limits};

/// A checked artifact, ready to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Kind, scope, segment and window.
    pub key: ArtifactKey,
    /// The document.
    pub bytes: Bytes,
    /// Version, build time and source hash.
    pub build: BuildInfo,
    /// Rows of its outermost list.
    pub rows: usize,
}

/// An artifact to publish, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Kind, scope, segment and window.
    pub key: ArtifactKey,
    /// The version of its content.
    pub version: String,
    /// Rows of its outermost list.
    pub rows: usize,
    /// Size of the document in bytes.
    pub bytes: u64,
}

impl From<&Candidate> for Planned {
    fn from(candidate: &Candidate) -> Self {
        let Candidate { key, bytes, build, rows } = candidate;
        Self { key: key.clone(), version: build.version.clone(), rows: *rows, bytes: bytes.len() as u64 }
    }
}

/// A candidate whose blob is in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The artifact that is to be published.
    pub planned: Planned,
    /// Version, build time and source hash of the stored document, which may be an earlier build.
    pub build: BuildInfo,
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

impl Candidate {
    /// Checks a document: schema, key, version, order, limits.
    pub fn check(key: &ArtifactKey, version: &str, bytes: Bytes, limits: &Limits) -> Result<Self, Unfit> {
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
        let rows = artifact.payload.len();
        let build = artifact.build;
        Ok(Self { key: key.clone(), bytes, build, rows })
    }
}
