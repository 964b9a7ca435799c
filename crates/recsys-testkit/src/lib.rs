//! Test support: golden cases, generators, stores and servers that fail on command, and the real binaries.

#![allow(clippy::missing_panics_doc, clippy::unwrap_used, reason = "in a test, a panic is the answer")]

pub mod backend;
pub mod console;
pub mod days;
pub mod faulty;
pub mod folder;
pub mod generate;
pub mod golden;
pub mod inbox;
pub mod interleave;
pub mod pack;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod reader;
pub mod remote;
pub mod s3;
pub mod sandbox;
pub mod scope;
pub mod seed;
pub mod shop;
pub mod syscall;
pub mod tree;
pub mod workload;
