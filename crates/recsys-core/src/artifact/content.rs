//! The content of an artifact: shapes of rows, and the kinds that are built in them.

use serde::Deserialize;

use super::encode::Encode;
use super::outline::{Outline, RowsOf};
use super::plain::Plain;
use crate::columnar::spill::Budget;
use crate::counts::CountError;
use crate::domain::limit::{LimitExceeded, Limits};
use crate::input::catalog::Catalog;
use crate::table::events::EventTable;
use crate::threads::ordered::Sink;

/// What a kind is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The canonical events of the window.
    Events,
    /// The catalogue.
    Catalog,
}

/// All that a builder may look at and work with. Of events and catalogue, a kind reads only what its
/// [`Source`] names.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The events of the window and segment.
    pub events: &'a EventTable,
    /// The items of the surface.
    pub catalog: &'a Catalog,
    /// The memory it may take, and where to put the rest.
    pub budget: &'a Budget,
}

/// What a builder made.
#[derive(Debug)]
pub struct Built<T> {
    /// The content: a [`Payload`](super::Payload), or a [`Draft`](super::Draft) of the document.
    pub content: T,
    /// Sessions left out because they hold more than `max_items_per_session` items.
    pub skipped_sessions: u64,
}

/// What is wrong with the content of an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// A rule of the kind is broken.
    #[error("{0}")]
    Content(String),
    /// It holds more than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// A shape of content: rows under one field, how they are checked and compared.
pub(crate) trait Content<'a>: Deserialize<'a> {
    /// What its outermost list is of.
    type Row: Encode + Plain<'a>;

    /// The field that holds the rows.
    const FIELD: &'static str;
    /// Whom the rows are of.
    const ROWS: RowsOf;

    /// The content with these rows.
    fn of(rows: Vec<Self::Row>) -> Self;

    /// The outermost list.
    fn rows(&self) -> &[Self::Row];

    /// Checks order, scores and limits.
    fn check(&self, limits: &Limits) -> Result<(), Defect>;

    /// Its ranked lists of items, each by the item or user that it is for; none where nothing is ranked.
    fn lists(&self) -> Vec<(&str, Vec<&str>)>;

    /// What a comparison with another artifact of the kind sees of it.
    fn outline(&self) -> Outline<'_>;
}

/// A kind: what is counted for it, how that is scored, and in which shape it is finished.
pub(crate) trait Build {
    type Content<'a>: Content<'a>;

    /// What it is built from.
    const SOURCE: Source;
    /// Whether it counts weighted events, outcomes among them, rather than exposures alone.
    const WEIGHS: bool = false;

    /// Hands the rows of the content to `sink`, in order; returns how many sessions were left out because they hold more
    /// than `max_items_per_session` items.
    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<<Self::Content<'a> as Content<'a>>::Row>,
    ) -> Result<u64, CountError>;
}
