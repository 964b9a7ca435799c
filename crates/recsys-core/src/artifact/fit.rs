//! Which cut makes a document fit that is too large.

use super::encode::Encode;
use super::payload::Payload;
use crate::domain::limit::Cut;

/// A cut, and the most that it may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitting {
    cut: Cut,
    /// The greatest value of the setting with which the document fits.
    pub most: usize,
}

impl Fitting {
    /// The cut of the lists of `payload`, whose document has `bytes` bytes, with which it has at most `most_bytes`. None if even
    /// lists of a single item are too much, or if the kind has no lists that are cut.
    pub fn new(payload: &Payload<'_>, bytes: usize, most_bytes: usize) -> Option<Self> {
        let mut by_rank = ByRank::default();
        let cut = match payload {
            Payload::Popularity(items) => {
                by_rank.add(items);
                Cut::ItemsPerArtifact
            }
            Payload::Cooc(rows) => {
                for row in rows {
                    by_rank.add(&row.items);
                }
                Cut::NeighborsPerItem
            }
            Payload::Implicit(users) | Payload::SessionSeq(users) => {
                for row in users {
                    by_rank.add(&row.items);
                }
                Cut::ItemsPerUser
            }
            Payload::ContentSim(_) => return None,
        };
        let mut left = bytes;
        let mut most = by_rank.bytes.len();
        while left > most_bytes && most > 0 {
            most -= 1;
            left -= by_rank.bytes[most];
        }
        (most > 0).then_some(Self { cut, most })
    }

    /// The name of the cut and of its setting under `limits`.
    pub fn setting(&self) -> &'static str {
        self.cut.as_str()
    }
}

/// The bytes that the items of each rank take in all lists, with the comma before them.
#[derive(Default)]
struct ByRank {
    bytes: Vec<usize>,
    text: Vec<u8>,
}

impl ByRank {
    fn add(&mut self, list: &[impl Encode]) {
        if self.bytes.len() < list.len() {
            self.bytes.resize(list.len(), 0);
        }
        for (rank, item) in list.iter().enumerate() {
            self.text.clear();
            item.push(&mut self.text);
            self.bytes[rank] += self.text.len() + usize::from(rank > 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::user_lists::{ItemScore, UserItems};
    use super::*;

    #[test]
    fn the_cut_is_the_greatest_that_fits() {
        let list = |length: usize| {
            let item = |rank: usize| ItemScore { item_id: Cow::Owned(format!("i{rank}")), score: 0.5 };
            UserItems { user_id: Cow::Borrowed("u"), items: (0..length).map(item).collect() }
        };
        let size = |most: usize| {
            let mut text = Vec::new();
            vec![list(5.min(most)), list(0), list(3.min(most))].push(&mut text);
            text.len()
        };
        let payload = Payload::Implicit(vec![list(5), list(0), list(3)]);
        for most in 1..=5 {
            let fitting = Fitting::new(&payload, size(5), size(most)).unwrap();
            assert_eq!((fitting.setting(), fitting.most), ("max_items_per_user", most));
            let fitting = Fitting::new(&payload, size(5), size(most) - 1);
            assert_eq!(fitting.map_or(0, |fitting| fitting.most), most - 1);
        }
    }
}
