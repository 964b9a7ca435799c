//! Domain types: tenant, surface, segment, day, window, stream, share, limit, weight, filter.
//!
//! A value that exists is valid: text is checked where it is parsed. Nothing here does I/O or knows how data is stored.

pub mod class;
pub(crate) mod fading;
pub mod filters;
pub mod id;
pub mod limit;
pub mod models;
pub mod share;
pub mod stream;
pub mod weights;
pub mod window;
