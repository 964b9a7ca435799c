//! The identity of an artifact.

use super::kind::Kind;
use crate::domain::id::{NO_SEGMENT, Scope, Segment};
use crate::domain::window::Window;

/// What an artifact was built for: kind, tenant and surface, segment and window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKey {
    /// The kind of content.
    pub kind: Kind,
    /// The tenant and surface.
    pub scope: Scope,
    /// The segment of the surface; `None` for all events.
    pub segment: Option<Segment>,
    /// The days that it was built from.
    pub window: Window,
}

impl ArtifactKey {
    /// The folder name of the segment, which is [`NO_SEGMENT`] without one.
    pub fn segment_folder(&self) -> &str {
        self.segment.as_ref().map_or(NO_SEGMENT, Segment::as_str)
    }
}
