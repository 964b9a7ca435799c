//! Artifacts: what is built, what it is called, and its version.
//!
//! A builder is a pure function from a table to the rows of a [`Payload`]: no clock, no file, no random source. The
//! version is the hash of the finished document, so equal content has equal versions wherever and whenever
//! it was built. Nothing here is published, and nothing says where an artifact is stored.

pub mod compare;
pub mod content_sim;
pub mod cooc;
pub mod implicit;
pub mod outline;
pub mod popularity;
pub mod session_seq;
pub mod user_lists;

mod content;
mod counter;
mod document;
mod encode;
mod item_count;
mod key;
mod kind;
mod payload;
mod plain;
mod ranking;
mod sink;

pub use content::{BuildError, Built, Defect, Inputs, Source};
pub use document::{BuildInfo, DocumentError, Draft, Encoded};
pub use item_count::ItemCount;
pub use key::ArtifactKey;
pub use kind::{Kind, UnknownKind};
pub use payload::{Artifact, Payload, version};
