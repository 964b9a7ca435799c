//! One file per kind: its input, its counts and scores, and the shape of its content.

pub(super) mod content_sim;
pub(super) mod cooc;
pub(super) mod implicit;
pub(super) mod popularity;
pub(super) mod session_seq;
