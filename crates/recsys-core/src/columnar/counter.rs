//! Counting ids of which there are few: in an array, with one slot for each.

/// Counts ids below a bound.
pub(crate) struct Counter {
    /// All zero between counts.
    counts: Vec<u32>,
    /// The ids that were met, of which the first `distinct` count, and a place to write to when all were.
    seen: Vec<u32>,
    distinct: usize,
}

impl Counter {
    /// A counter of ids below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        Self { counts: vec![0; bound], seen: vec![0; bound + 1], distinct: 0 }
    }

    /// Counts each of `ids`.
    pub(crate) fn add(&mut self, ids: &[u32]) {
        for id in ids {
            let count = &mut self.counts[*id as usize];
            // Always written, and kept if it is new: which ids are new is hard to guess for a processor.
            self.seen[self.distinct] = *id;
            self.distinct += usize::from(*count == 0);
            *count += 1;
        }
    }

    /// The bound of the ids.
    pub(crate) fn bound(&self) -> usize {
        self.counts.len()
    }

    /// Takes the ids that were counted and their counts, in no particular order; the next count begins anew.
    pub(crate) fn take<C: From<u32>>(&mut self) -> Vec<(u32, C)> {
        let mut counted = Vec::with_capacity(self.distinct);
        self.take_each(|id, count| counted.push((id, count.into())));
        counted
    }

    /// Like [`take`](Self::take), one after the other.
    pub(crate) fn take_each(&mut self, mut take: impl FnMut(u32, u32)) {
        let seen = &self.seen[..std::mem::take(&mut self.distinct)];
        for id in seen {
            take(*id, std::mem::take(&mut self.counts[*id as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_begins_anew() {
        let mut counter = Counter::new(4);
        assert_eq!(counter.take::<u32>(), []);
        for _ in 0..2 {
            counter.add(&[3, 1, 3]);
            counter.add(&[0, 2, 2, 3]);
            let mut counts: Vec<(u32, u32)> = counter.take();
            counts.sort_unstable();
            assert_eq!(counts, [(0, 1), (1, 1), (2, 2), (3, 3)]);
        }
    }
}
