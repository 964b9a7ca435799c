//! The content of a kind: what it is built from, and what every kind can do with it.

use serde::Deserialize;

use super::encode::Encode;
use super::outline::{Outline, RowsOf};
use super::plain::Plain;
use super::sink::Sink;
use crate::columnar::spill::Budget;
use crate::domain::limit::{LimitExceeded, Limits};
use crate::input::catalog::Catalog;
use crate::storage::StoreError;
use crate::table::events::EventTable;

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

/// Why a builder made nothing.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The events hold more than the limits allow.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// A temporary file cannot be written or read.
    #[error(transparent)]
    Temporary(#[from] StoreError),
}

/// What a builder made.
#[derive(Debug)]
pub struct Built<T> {
    /// The content: a [`Payload`], or a [`Draft`] of the document.
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

/// The content of one kind: how it is built, checked, compared and named.
pub(crate) trait KindPayload<'a>: Deserialize<'a> {
    /// What its outermost list is of.
    type Row: Encode + Plain<'a>;

    /// The field that holds the content.
    const FIELD: &'static str;
    /// What it is built from.
    const SOURCE: Source;
    /// Whom its rows are of.
    const ROWS: RowsOf = RowsOf::Items;
    /// Whether it counts weighted events, outcomes among them, rather than exposures alone.
    const WEIGHS: bool = false;

    /// The content with these rows.
    fn of(rows: Vec<Self::Row>) -> Self;

    /// Hands the rows of the content to `sink`, in order; returns how many sessions were left out because they hold more
    /// than `max_items_per_session` items.
    fn build(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<Self::Row>,
    ) -> Result<u64, BuildError>;

    /// Checks order, scores and limits.
    fn check(&self, limits: &Limits) -> Result<(), Defect>;

    /// The outermost list.
    fn rows(&self) -> &[Self::Row];

    /// What a comparison with another artifact of the kind sees of it.
    fn outline(&self) -> Outline<'_>;
}
