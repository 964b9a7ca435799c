//! The seed of hashes: a different one for each process, from the operating system.
//!
//! With a seed that is known, anybody who may write ids can choose many of the same hash, and a table of such ids takes
//! time with the square of their number. Ids are renumbered in the byte order of their strings, so the seed shows
//! in no result.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// The standard library takes its keys from the operating system; the library of the hash has none but addresses and
/// the time.
static SEEDS: LazyLock<(u64, SharedSeed)> = LazyLock::new(|| {
    let random = RandomState::new();
    (random.hash_one(0), SharedSeed::from_u64(random.hash_one(1)))
});

/// The hash of this process.
#[derive(Debug, Clone)]
pub(crate) struct StringHasher(SeedableRandomState);

impl Default for StringHasher {
    fn default() -> Self {
        let (own, shared) = &*SEEDS;
        Self(SeedableRandomState::with_seed(*own, shared))
    }
}

impl StringHasher {
    #[allow(clippy::cast_possible_truncation, reason = "every bit of it is as good as any other")]
    pub(super) fn of(&self, value: &str) -> u32 {
        self.0.hash_one(value) as u32
    }

    /// The hash of bytes that are not kept: two that differ have the same one with a chance of 1 to 2⁶⁴.
    pub(crate) fn of_bytes(&self, bytes: &[u8]) -> u64 {
        self.0.hash_one(bytes)
    }
}

#[cfg(test)]
mod tests {
    use foldhash::fast::FixedState;

    use super::*;

    /// Ids that were chosen to collide under the library's own seed do not collide here.
    #[test]
    fn crafted_ids_do_not_collide() {
        #[allow(clippy::cast_possible_truncation, reason = "as the table takes it")]
        let fixed = |id: &str| FixedState::default().hash_one(id) as u32;
        let mut ids: Vec<(u32, String)> =
            (0..400_000).map(|number| format!("i{number}")).map(|id| (fixed(&id), id)).collect();
        ids.sort_unstable();
        let crafted: Vec<_> = ids.array_windows().filter(|[a, b]| a.0 == b.0).collect();
        assert!(crafted.len() > 4, "{} pairs", crafted.len());
        let hash = StringHasher::default();
        let collisions = crafted.iter().filter(|[a, b]| hash.of(&a.1) == hash.of(&b.1)).count();
        assert_eq!(collisions, 0, "of {} pairs", crafted.len());
    }

    #[test]
    fn all_tables_of_a_process_agree() {
        assert_eq!(StringHasher::default().of("a"), StringHasher::default().of("a"));
        assert_ne!(StringHasher::default().of("a"), StringHasher::default().of("b"));
    }
}
