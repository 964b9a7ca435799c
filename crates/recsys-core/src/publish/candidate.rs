//! An artifact that passed every check and may be published.

use bytes::Bytes;

use crate::artifact::{ArtifactKey, BuildInfo, Defect, DocumentError};
use crate::domain::limit::{LimitExceeded, Limits};

/// An artifact to publish, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it is of.
    pub key: ArtifactKey,
    /// The document.
    pub bytes: Bytes,
    /// How it came to be, its version included.
    pub build: BuildInfo,
    /// Rows of its outermost list.
    pub rows: usize,
}

/// What an artifact will be if it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it is of.
    pub key: ArtifactKey,
    /// The version of its content.
    pub version: String,
    /// Rows of its outermost list.
    pub rows: usize,
    /// Bytes of the document.
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
    /// What was to be published.
    pub planned: Planned,
    /// How it came to be.
    pub build: BuildInfo,
}

/// Why a document may not be published, or is not what a URI says it is.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Not an artifact of its kind, or its content does not have the version it states.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Another version than the name of its file says.
    #[error("it has version {actual}, not {expected} as its name says")]
    Name {
        /// The version in its name.
        expected: String,
        /// The version of its content.
        actual: String,
    },
    /// An artifact of something else.
    #[error("it is of {actual}, not {expected}")]
    Key {
        /// What was asked for.
        expected: String,
        /// What it says it is of.
        actual: String,
    },
    /// Content that breaks a rule of its kind.
    #[error("{0}")]
    Content(String),
    /// More than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
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
