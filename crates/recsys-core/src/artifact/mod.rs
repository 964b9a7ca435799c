//! Artifacts: kinds, content, documents and versions.
//!
//! A builder is a pure function from a table to the rows of a [`Payload`]: no clock, no file, no random source. The
//! version is a hash of the document without its build info, so equal content has equal versions, wherever and
//! whenever it was built. Publishing and storage locations are handled elsewhere.
//!
//! On its way to the manifest an artifact has one type after the other:
//!
//! | type | what holds |
//! |---|---|
//! | [`Draft`] | its rows are encoded and its version is known; its source may not be hashed yet |
//! | [`Encoded`] | its document is complete, in memory |
//! | [`Staged`](crate::staging::Staged) | a job has left its document in a file, and nothing of that is checked |
//! | [`Checked`](crate::publish::Checked) | its document has passed every check that needs no other artifact |
//! | [`Stored`](crate::publish::Stored) | its blob is in place and intact, and its document need not be in memory |
//! | [`PublishOutcome`](crate::publish::PublishOutcome) | whether the manifest names it, and why not |
//!
//! A [`Descriptor`] is what all of them from [`Encoded`] on know of it without its content.

pub mod compare;
pub mod item_list;
pub mod neighbors;
pub mod outline;
pub mod tagged_items;
pub mod user_lists;

mod content;
mod document;
mod document_reader;
mod encode;
mod key;
mod kind;
mod kinds;
mod payload;
mod ranking;
mod row;

pub use content::{Inputs, Source};
pub use document::{BuildInfo, Descriptor, DocumentError, Draft, Encoded};
pub use item_list::ItemCount;
pub use key::ArtifactKey;
pub use kind::{Kind, UnknownKind};
pub use payload::{Artifact, Payload, version};
pub use row::Defect;
