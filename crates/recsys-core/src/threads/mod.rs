//! Threads, waiting and cancellation.
//!
//! Cooperative cancellation is one flag for the process, polled between blocks of work. Maps over threads give
//! results in the order of their items, whatever the number of threads. This module does not know about files, days
//! or events.

pub mod interrupt;
pub(crate) mod ordered;
pub mod parallel;
pub mod silence;
