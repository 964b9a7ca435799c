//! The days of a window, and how old their events are.

use crate::canonical::DayRows;
use crate::domain::id::Segment;
use crate::domain::window::{Day, Window};

/// The days of a window, as far as they have events.
#[derive(Debug, Clone, Copy)]
pub struct WindowDays<'a> {
    /// The window.
    pub window: Window,
    /// The exposures, by day.
    pub exposures: &'a [&'a DayRows],
    /// The outcomes, by day.
    pub outcomes: &'a [&'a DayRows],
    /// Takes exposures of this segment or of none; an outcome has no segment.
    pub segment: Option<&'a Segment>,
}

impl WindowDays<'_> {
    /// How many days before the last of the window a day is.
    pub(super) fn age(&self, day: &DayRows) -> u32 {
        u32::try_from((self.window.end().start_ns() - day.day.end_ns()) / Day::NS).unwrap_or_default()
    }
}
