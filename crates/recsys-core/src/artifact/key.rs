//! What an artifact is of.

use super::kind::Kind;
use crate::domain::id::{NO_SEGMENT, Scope, Segment};
use crate::domain::window::Window;

/// What an artifact is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactKey {
    /// What it holds.
    pub kind: Kind,
    /// Whose it is.
    pub scope: Scope,
    /// The slice of the surface it was built for.
    pub segment: Option<Segment>,
    /// The days it was built from.
    pub window: Window,
}

impl ArtifactKey {
    /// The folder name of the segment.
    pub fn segment_folder(&self) -> &str {
        self.segment.as_ref().map_or(NO_SEGMENT, Segment::as_str)
    }
}
