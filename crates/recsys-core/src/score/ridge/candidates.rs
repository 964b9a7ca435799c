//! How similar an item is to a target, when the candidates of a regression are chosen.

/// Between the share of an item's events (1) and the mere count (0): rare items neither fill the candidates nor are lost. 0.7 won
/// against 0.5 (cosine) on parts of the training data of `MovieLens` 100K and 1M.
const POWER: f64 = 0.7;

/// The similarity of an item to a target: c / n^0.7, where c counts both and n the item.
///
/// The target's own count is the same for all its candidates, and so does not matter.
pub(crate) struct Similarity {
    /// n^0.7 of each item.
    powers: Vec<f64>,
}

impl Similarity {
    /// From how much each item occurs.
    pub(crate) fn new(totals: impl IntoIterator<Item = f64>) -> Self {
        Self { powers: totals.into_iter().map(|total| libm::pow(total, POWER)).collect() }
    }

    /// How similar an item is to a target with which it occurs `together`. An item that never occurs is not similar to any.
    pub(crate) fn score(&self, together: f64, item: u32) -> f64 {
        let power = self.powers[item as usize];
        if power > 0.0 { together / power } else { 0.0 }
    }
}
