//! What operators and monitoring see of a run: metrics, notifications, progress, reports of steps and their log lines,
//! the note of a failure.
//!
//! Nothing here changes what a run does or how it ends.

pub(crate) mod failure_note;
pub mod metrics;
pub(crate) mod notify;
mod post;
pub(crate) mod progress;
pub(crate) mod step;
