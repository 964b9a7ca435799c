//! What each kind is counted from, how it is scored, and in which shape it is finished: one file each.

pub(super) mod content_sim;
pub(super) mod cooc;
pub(super) mod implicit;
pub(super) mod popularity;
pub(super) mod session_seq;
