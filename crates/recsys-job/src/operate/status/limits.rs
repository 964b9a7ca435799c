//! Age limits of `status`.

use jiff::SignedDuration;

/// Maximum ages of an artifact.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Since it was built.
    pub(super) age: Option<SignedDuration>,
    /// Since the end of its window.
    pub(super) window_age: Option<SignedDuration>,
}

impl Limits {
    pub(super) fn any(self) -> bool {
        self.age.is_some() || self.window_age.is_some()
    }
}
