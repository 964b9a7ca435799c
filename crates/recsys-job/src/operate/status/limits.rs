//! How old what is current may be.

use jiff::SignedDuration;

/// How old something may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Since it was built.
    pub(super) age: Option<SignedDuration>,
    /// Since its window ended.
    pub(super) window_age: Option<SignedDuration>,
}

impl Limits {
    pub(super) fn any(self) -> bool {
        self.age.is_some() || self.window_age.is_some()
    }
}
