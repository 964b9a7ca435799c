//! Artifacts: kinds, content, documents and versions.
//!
//! A builder is a pure function from a table to the rows of a [`Payload`]: no clock, no file, no random source. The
//! version is a hash of the document without its build info, so equal content has equal versions, wherever and
//! whenever it was built. Publishing and storage locations are handled elsewhere; the first lines of `publish` show the
//! types that an artifact passes through from a [`Draft`] to the manifest.

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
mod fit;
mod kind;
mod kinds;
mod payload;
mod ranking;
mod row;

pub use content::{BuildCounts, BuiltFrom, Inputs, ModelInputs};
pub use document::{ArtifactKey, BuildInfo, Descriptor, DocumentError, Draft, Encoded};
pub use fit::Fitting;
pub use item_list::ItemCount;
pub use kind::{Kind, UnknownKind};
pub use payload::{Artifact, Payload, version};
pub use row::Defect;
