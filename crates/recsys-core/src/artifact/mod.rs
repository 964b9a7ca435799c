//! Artifacts: what is built, what it is called, and its version.
//!
//! A builder is a pure function from a table to the rows of a [`Payload`]: no clock, no file, no random source. The
//! version is the hash of the finished document, so equal content has equal versions wherever and whenever
//! it was built.

pub mod compare;
pub mod content_sim;
pub mod cooc;
pub mod implicit;
pub mod popularity;
pub mod session_seq;
pub mod user_lists;

mod counter;
mod document;
mod kinds;
pub(crate) mod pair;
mod plain;
mod ranking;
mod sink;

use std::borrow::Cow;

use serde::Deserialize;

pub use document::{Artifact, BuildInfo, DocumentError, Draft, Encoded, version};
pub use kinds::{Kind, Payload, UnknownKind};

use self::compare::{Outline, RowsOf};
use self::plain::{Cursor, Plain};
use self::sink::Sink;
use crate::catalog::Catalog;
use crate::dictionary::Dictionary;
use crate::events::EventTable;
use crate::id::{NO_SEGMENT, Scope, Segment};
use crate::json;
use crate::limit::{LimitExceeded, Limits};
use crate::spill::Budget;
use crate::storage::StoreError;
use crate::window::Window;

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

/// What a document lists.
pub(crate) trait Encode: Send + Sync {
    /// Appends it as compact JSON. Written by hand, because documents are long lists of short objects whose
    /// field names never need an escape.
    fn push(&self, out: &mut Vec<u8>);
}

impl<R: Encode> Encode for &R {
    fn push(&self, out: &mut Vec<u8>) {
        R::push(self, out);
    }
}

/// An item and how often it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct ItemCount<'a> {
    /// The item.
    #[serde(borrow)]
    pub item_id: Cow<'a, str>,
    /// How often.
    pub count: u64,
}

json::object!(ItemCount<'a>);

impl Encode for ItemCount<'_> {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"item_id\":");
        json::push_text(out, &self.item_id);
        out.extend_from_slice(b",\"count\":");
        json::push(out, &self.count);
        out.push(b'}');
    }
}

impl<'a> Plain<'a> for ItemCount<'a> {
    fn read(text: &mut Cursor<'a>) -> Option<Self> {
        text.take(b"{\"item_id\":")?;
        let item_id = Cow::read(text)?;
        text.take(b",\"count\":")?;
        let count = text.integer()?.into();
        text.take(b"}")?;
        Some(Self { item_id, count })
    }
}

impl ItemCount<'_> {
    #[allow(clippy::cast_precision_loss, reason = "compared for order only; no count reaches 2^53")]
    fn scored(&self) -> (&str, f64) {
        (&self.item_id, self.count as f64)
    }
}

fn item_count(items: &Dictionary, item: u32, count: u64) -> ItemCount<'_> {
    ItemCount { item_id: Cow::Borrowed(items.get(item)), count }
}
