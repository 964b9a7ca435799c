//! Events as rows and columns of integers.

/// One event. Ids index the strings in [`Names`](super::Names). Optional fields hold `id + 1`, or 0 if absent; an absent
/// `rank` is -1.
///
/// The fields are in canonical sort order, and ids compare like their strings, so the derived order is the canonical
/// order of exposures.
///
/// In an outcome, `segment` is the type, and `rank` encodes the value for [`value_of`](crate::input::event::value_of).
/// Outcomes are sorted by [`EventRow::in_order`].
///
/// Packed, without four bytes of padding: there is a row per event, and most work on rows is bound by memory bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, packed(4))]
pub(super) struct EventRow {
    /// Nanoseconds since the beginning of the day.
    pub(super) time: i64,
    pub(super) session: u32,
    pub(super) request: u32,
    pub(super) rank: i64,
    pub(super) item: u32,
    pub(super) user: u32,
    pub(super) segment: u32,
}

/// The columns that builders read, for some rows of a day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventColumns<'a> {
    pub(crate) session: &'a [u32],
    pub(crate) item: &'a [u32],
    /// `id + 1`, or 0 if unknown.
    pub(crate) user: &'a [u32],
    /// `id + 1`, or 0 if there is none; the type of an outcome.
    pub(crate) segment: &'a [u32],
}

/// An event, for what needs more of it than the columns. Ids are those of the day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event<'a> {
    /// Nanoseconds since the beginning of the day.
    pub(crate) time: i64,
    pub(crate) session: u32,
    pub(crate) item: u32,
    /// `id + 1`, or 0 if unknown.
    pub(crate) user: u32,
    /// `id + 1`, or 0 if there is none; the type of an outcome.
    pub(crate) segment: u32,
    pub(crate) request: Option<&'a str>,
}
