//! The record: the audit entry of a published version.

use serde::{Deserialize, Serialize};

use super::format::V1;
use crate::artifact::{ArtifactKey, BuildInfo, Descriptor, Kind};
use crate::domain::id::{Scope, Segment, Surface, Tenant};
use crate::domain::window::Window;
use crate::encoding::json;

/// What was published, where it is, and what it was built from. Written once, never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct Record {
    /// The version of this format: 1.
    pub v: V1,
    /// Kind of the artifact.
    pub kind: Kind,
    /// The tenant.
    pub tenant: Tenant,
    /// The surface, such as `home`.
    pub surface: Surface,
    /// The segment of the surface; `None` for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// The days it was built from.
    pub window: Window,
    /// Version of the artifact: the hash of its content.
    pub version: String,
    /// URI of the blob.
    pub uri: String,
    /// Size of the blob in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes it was built from.
    pub source_hash: String,
    /// When it was built, as in the artifact.
    pub built_at: String,
}

json::object!(Record and Serialize);

impl Record {
    /// The record of an artifact whose blob is at `uri`.
    pub(super) fn new(artifact: Descriptor, uri: String) -> Self {
        let Descriptor { key, build, bytes, .. } = artifact;
        let ArtifactKey { kind, scope: Scope { tenant, surface }, segment, window } = key;
        let BuildInfo { built_at, version, source_hash } = build;
        Self { v: V1, kind, tenant, surface, segment, window, version, uri, bytes, source_hash, built_at }
    }

    /// Kind, scope, segment and window of the artifact.
    pub fn artifact_key(&self) -> ArtifactKey {
        ArtifactKey {
            kind: self.kind,
            scope: Scope { tenant: self.tenant.clone(), surface: self.surface.clone() },
            segment: self.segment.clone(),
            window: self.window,
        }
    }
}
