//! For tests only: the golden cases, generators, stores that fail on command, and the real binaries.

pub mod golden;
