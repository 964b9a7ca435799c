//! The traits of artifact content: its shape, and how a kind builds it.

use serde::Deserialize;

use super::document_reader::Plain;
use super::encode::Encode;
use super::outline::{Outline, RowsOf};
use crate::columnar::spill::Budget;
use crate::counts::CountError;
use crate::domain::limit::{LimitExceeded, Limits};
use crate::input::catalog::Catalog;
use crate::table::events::EventTable;
use crate::threads::ordered::Sink;

/// The input that a kind is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The canonical events of the window.
    Events,
    /// The catalogue.
    Catalog,
}

/// The inputs of a builder. A kind reads only the events or only the catalogue, as its [`Source`] says.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The events of the window and segment.
    pub events: &'a EventTable,
    /// The items of the surface.
    pub catalog: &'a Catalog,
    /// The memory budget, and where to spill.
    pub budget: &'a Budget,
}

/// The result of a build.
#[derive(Debug)]
pub struct Built<T> {
    /// The content: a [`Payload`](super::Payload), or a [`Draft`](super::Draft) of the document.
    pub content: T,
    /// Number of sessions skipped because they have more than `max_items_per_session` items.
    pub skipped_sessions: u64,
}

/// A defect in the content of an artifact.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// The content breaks a rule of its kind.
    #[error("{0}")]
    Content(String),
    /// The content exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
}

/// The shape of content: a list of rows in one field, with its checks and comparison.
pub(crate) trait Content<'a>: Deserialize<'a> {
    /// An entry of the outermost list.
    type Row: Encode + Plain<'a>;

    /// The field that holds the rows.
    const FIELD: &'static str;
    /// Whether rows belong to items or users.
    const ROWS: RowsOf;

    /// The content that consists of `rows`.
    fn of(rows: Vec<Self::Row>) -> Self;

    /// The outermost list.
    fn rows(&self) -> &[Self::Row];

    /// Checks order, scores and limits.
    fn check(&self, limits: &Limits) -> Result<(), Defect>;

    /// The ranked lists of items, each with the item or user it belongs to; empty if nothing is ranked.
    fn lists(&self) -> Vec<(&str, Vec<&str>)>;

    /// The items and rows that comparisons use.
    fn outline(&self) -> Outline<'_>;
}

/// A kind: its input, its counts and scores, and the shape of its content.
pub(crate) trait Build {
    type Content<'a>: Content<'a>;

    /// The input it is built from.
    const SOURCE: Source;
    /// Whether it counts weighted events, including outcomes, instead of exposures only.
    const WEIGHS: bool = false;

    /// Passes the rows of the content to `sink` in order; returns the number of sessions skipped because they have
    /// more than `max_items_per_session` items.
    fn build<'a>(
        inputs: &Inputs<'a>,
        limits: &Limits,
        sink: &mut impl Sink<<Self::Content<'a> as Content<'a>>::Row>,
    ) -> Result<u64, CountError>;
}
