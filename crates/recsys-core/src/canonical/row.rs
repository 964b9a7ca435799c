//! A row, and the columns of rows.

/// One event. Ids point into [`Names`]; in an optional field 0 (for `rank`: -1) is absent and `id + 1`
/// stands for `id`.
///
/// The fields stand in the order that canonical data is sorted by, and ids compare as their strings do, so
/// the derived order is the canonical order of exposures.
///
/// In an outcome the segment is the type, and `rank` is what [`value_of`](crate::input::event::value_of) reads. Its
/// order is that of [`Row::in_order`].
///
/// Without the four bytes that would align the next row: there are as many rows as events, and most of what is done
/// with them takes as long as memory does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C, packed(4))]
pub(super) struct Row {
    /// Nanoseconds since the day began.
    pub(super) time: i64,
    pub(super) session: u32,
    pub(super) request: u32,
    pub(super) rank: i64,
    pub(super) item: u32,
    pub(super) user: u32,
    pub(super) segment: u32,
}

/// The columns that builders read, of some of a day's rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) session: &'a [u32],
    pub(crate) item: &'a [u32],
    /// 0 when unknown, `id + 1` for the user `id`.
    pub(crate) user: &'a [u32],
    /// 0 when there is none, `id + 1` for the segment `id`; of an outcome, the type.
    pub(crate) segment: &'a [u32],
}
