//! What the scorers of pairs are computed from.

/// What was counted of an item, another one and both. 1.0 is a unit (a session, a user or a request) that has not faded.
///
/// With `0 <= both <= min(of, other)` and `of + other - both <= all` every scorer is finite and not below zero. Weights in
/// fixed point are divided by their scale before they come here: `shrink` is in units, too.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairCounts {
    /// Units with both items: c.
    pub(crate) both: f64,
    /// Units with the item whose row it is: nᵢ.
    pub(crate) of: f64,
    /// Units with the other item: nⱼ.
    pub(crate) other: f64,
    /// All units, those without either item among them: N.
    pub(crate) all: f64,
}

/// `above / below`; zero for items that never met, so that an item without any unit is no division by zero.
pub(super) fn fraction(above: f64, below: f64) -> f64 {
    if above > 0.0 { above / below } else { 0.0 }
}
