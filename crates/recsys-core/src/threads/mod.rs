//! Threads, and the places where work waits or stops.
//!
//! Cooperative cancellation is one flag for the process, polled between blocks of work. Maps over threads give results in the
//! order of their items, whatever the number of threads. Nothing here knows what the work is about: no file, day or event.

pub mod interrupt;
pub(crate) mod ordered;
pub mod parallel;
pub mod silence;
