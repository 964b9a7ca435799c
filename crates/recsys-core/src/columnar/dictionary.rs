//! Dictionary encoding of strings.
//!
//! While events are read, an [`Interner`] gives each distinct string the next free id. Afterwards [`union`] merges
//! any number of interned lists into one [`Dictionary`] whose id order is the byte order of the strings: from then
//! on, comparing ids means comparing strings.

mod seed;

use std::cmp::Ordering;
use std::ops::{Deref, Range};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rayon::prelude::*;

use crate::encoding::json;
pub(crate) use seed::StringHasher;

/// A list of strings, concatenated in one allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    ends: Vec<usize>,
}

impl Strings {
    pub(crate) fn push(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Memory use in bytes, without spare capacity.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.ends.len() * size_of::<usize>()
    }

    /// Memory use of one more string in bytes.
    pub(crate) fn bytes_of(value: &str) -> usize {
        value.len() + size_of::<usize>()
    }

    /// Whether no string needs an escape in compact JSON.
    pub(crate) fn are_plain(&self) -> bool {
        json::is_plain(&self.text)
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no strings.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string with the id `id`.
    ///
    /// # Panics
    /// When there is no such string.
    pub fn get(&self, id: u32) -> &str {
        &self.text[self.range(id)]
    }

    /// The concatenation of all strings.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The position of the string `id` in the concatenated text.
    ///
    /// # Panics
    /// When there is no such string.
    pub(crate) fn range(&self, id: u32) -> Range<usize> {
        let id = id as usize;
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        start..self.ends[id]
    }

    /// Whether `value` is the string `id`. Compares bytes, without checking character boundaries.
    fn is(&self, id: u32, value: &str) -> bool {
        self.text.as_bytes()[self.range(id)] == *value.as_bytes()
    }

    /// All strings encoded as compact JSON, including quotes.
    pub(crate) fn quoted(&self) -> Self {
        let mut quoted = Self { text: String::with_capacity(self.text.len()), ends: self.ends.clone() };
        let mut json = Vec::new();
        for (text, end) in self.iter().zip(&mut quoted.ends) {
            json.clear();
            json::write(&text, &mut json).expect("writing to memory");
            quoted.text.push_str(std::str::from_utf8(&json).expect("JSON is UTF-8"));
            *end = quoted.text.len();
        }
        quoted
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

/// Numbers strings in order of first occurrence.
#[derive(Debug, Default)]
pub struct Interner {
    strings: Strings,
    table: HashTable<Slot>,
    hasher: StringHasher,
}

/// A table entry. It keeps the hash, so that growing the table does not touch the cache-cold strings.
#[derive(Debug)]
struct Slot {
    hash: u32,
    id: u32,
}

impl Slot {
    /// Spreads a hash to 64 bits, because the table uses the highest and the lowest ones.
    fn spread(hash: u32) -> u64 {
        u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Interner {
    /// The id of `value`, a new one if the string is new.
    ///
    /// # Panics
    /// At the 4,294,967,296th distinct string; memory for a day's events runs out long before.
    pub fn intern(&mut self, value: &str) -> u32 {
        self.intern_hashed(self.hasher.of(value), value)
    }

    fn intern_hashed(&mut self, hash: u32, value: &str) -> u32 {
        let Self { strings, table, .. } = self;
        let entry = table.entry(
            Slot::spread(hash),
            |slot| slot.hash == hash && strings.is(slot.id, value),
            |slot| Slot::spread(slot.hash),
        );
        match entry {
            Entry::Occupied(entry) => entry.get().id,
            Entry::Vacant(entry) => {
                let id = number(strings.len());
                entry.insert(Slot { hash, id });
                strings.push(value);
                id
            }
        }
    }

    /// Approximate memory use in bytes.
    pub(crate) fn bytes(&self) -> usize {
        // Per string a slot and a control byte, doubled for free slots.
        self.strings.bytes() + self.strings.len() * 2 * (size_of::<Slot>() + 1)
    }

    /// The strings in order of their ids.
    pub fn into_strings(self) -> Strings {
        self.strings
    }
}

/// An [`Interner`] that looks up strings in batches.
///
/// A lookup is a chain of memory accesses that mostly miss the cache. Within one lookup they depend on each other, but
/// lookups of different strings do not, so the processor can overlap the misses of a batch.
#[derive(Debug, Default)]
pub(crate) struct BatchInterner {
    interner: Interner,
    waiting: Strings,
    /// For each waiting string its hash, and the id of a known string with that hash.
    lookups: Vec<(u32, Option<u32>)>,
    places: Vec<Range<usize>>,
    ids: Vec<u32>,
}

impl BatchInterner {
    /// Queues `value` for the next batch; returns its position in the queue.
    ///
    /// Neighbouring events share most strings, so a repeat of the last one is not queued again.
    pub(crate) fn push(&mut self, value: &str) -> u32 {
        let waiting = &mut self.waiting;
        if waiting.is_empty() || !waiting.is(number(waiting.len() - 1), value) {
            waiting.push(value);
        }
        number(waiting.len() - 1)
    }

    /// Looks up the queued strings; returns their ids by position, and empties the queue.
    pub(crate) fn flush(&mut self) -> &[u32] {
        let Self { interner, waiting, lookups, places, ids } = self;
        lookups.clear();
        lookups.extend(waiting.iter().map(|value| {
            let hash = interner.hasher.of(value);
            let slot = interner.table.find(Slot::spread(hash), |slot| slot.hash == hash);
            (hash, slot.map(|slot| slot.id))
        }));
        places.clear();
        places.extend(lookups.iter().map(|(_, id)| id.map_or(0..0, |id| interner.strings.range(id))));
        ids.clear();
        ids.extend(waiting.iter().zip(lookups).zip(places).map(|((value, (hash, id)), place)| match id {
            Some(id) if interner.strings.text.as_bytes()[place.clone()] == *value.as_bytes() => *id,
            _ => interner.intern_hashed(*hash, value),
        }));
        waiting.clear();
        ids
    }

    /// Approximate memory use in bytes, with spare capacity.
    pub(crate) fn bytes(&self) -> usize {
        let Self { interner, waiting, lookups, places, ids } = self;
        interner.bytes()
            + waiting.text.capacity()
            + waiting.ends.capacity() * size_of::<usize>()
            + lookups.capacity() * size_of::<(u32, Option<u32>)>()
            + places.capacity() * size_of::<Range<usize>>()
            + ids.capacity() * size_of::<u32>()
    }

    /// All strings that were flushed, in order of their ids.
    pub(crate) fn into_strings(self) -> Strings {
        self.interner.into_strings()
    }
}

/// Distinct strings in byte order; the id of a string is its rank.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dictionary(Strings);

/// The strings, in byte order.
impl Deref for Dictionary {
    type Target = Strings;

    fn deref(&self) -> &Strings {
        &self.0
    }
}

impl Dictionary {
    /// The id of `value`, if present.
    pub fn find(&self, value: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(number(middle)).cmp(value) {
                Ordering::Equal => return Some(number(middle)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The strings in byte order.
    pub(crate) fn into_strings(self) -> Strings {
        self.0
    }

    /// Appends a string, which must sort after all others.
    pub(crate) fn push_last(&mut self, value: &str) {
        self.0.push(value);
    }

    /// The strings, in byte order.
    pub fn strings(&self) -> &Strings {
        self
    }

    /// The strings with these ids, which must be ascending.
    #[must_use]
    pub fn select(&self, ids: &[u32]) -> Self {
        let mut selected = Strings::default();
        for id in ids {
            selected.push(self.get(*id));
        }
        Self(selected)
    }
}

pub(crate) fn number(len: usize) -> u32 {
    u32::try_from(len).expect("more than four billion distinct strings")
}

/// Merges the strings of all parts into one dictionary; also returns, for each part, the new ids of its strings.
pub fn union(parts: &[&Strings]) -> (Dictionary, Vec<Vec<u32>>) {
    let mut all: Vec<Placed> = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for (part, strings) in parts.iter().enumerate() {
        let place = |(id, text)| Placed { start: start(text), part: number(part), id: number(id) };
        all.extend(strings.iter().enumerate().map(place));
    }
    let text = |placed: &Placed| parts[placed.part as usize].get(placed.id);
    all.par_sort_unstable_by(|a, b| a.start.cmp(&b.start).then_with(|| text(a).cmp(text(b))));
    let mut dictionary = Dictionary::default();
    let mut renumbered: Vec<Vec<u32>> = parts.iter().map(|part| vec![0; part.len()]).collect();
    let mut previous: Option<&Placed> = None;
    for placed in &all {
        if !previous.is_some_and(|previous| previous.start == placed.start && text(previous) == text(placed))
        {
            dictionary.0.push(text(placed));
        }
        previous = Some(placed);
        renumbered[placed.part as usize][placed.id as usize] = number(dictionary.len() - 1);
    }
    (dictionary, renumbered)
}

/// A string of a part. Its first bytes are kept here, as they decide most comparisons.
struct Placed {
    start: u128,
    part: u32,
    id: u32,
}

/// The first 16 bytes as a number with the same order; shorter strings are padded with zeros.
fn start(text: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = text.len().min(16);
    bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use recsys_testkit::seed::cases;

    fn interned(values: &[&str]) -> (Strings, Vec<u32>) {
        let mut interner = Interner::default();
        let ids = values.iter().map(|value| interner.intern(value)).collect();
        (interner.into_strings(), ids)
    }

    #[test]
    fn equal_strings_share_a_number() {
        let (strings, ids) = interned(&["b", "", "b", "a", "", "a", "ab"]);
        assert_eq!(ids, [0, 1, 0, 2, 1, 2, 3]);
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["b", "", "a", "ab"]);
    }

    proptest! {
        #![proptest_config(cases(256))]

        #[test]
        fn strings_that_wait_get_the_numbers_that_they_would_get_at_once(
            values in proptest::collection::vec("[ab]{0,4}|[a-z]{0,40}", 0..200),
            at_a_time in 1..40usize,
        ) {
            let (mut one, mut many) = (Interner::default(), BatchInterner::default());
            for values in values.chunks(at_a_time) {
                let expected: Vec<u32> = values.iter().map(|value| one.intern(value)).collect();
                let places: Vec<u32> = values.iter().map(|value| many.push(value)).collect();
                let ids = many.flush();
                prop_assert_eq!(places.iter().map(|place| ids[*place as usize]).collect::<Vec<_>>(), expected);
            }
            prop_assert_eq!(many.into_strings(), one.into_strings());
        }
    }

    #[test]
    fn a_string_that_waits_is_not_taken_for_one_with_the_same_hash() {
        let mut interner = BatchInterner::default();
        interner.push("a");
        interner.flush();
        let hash = interner.interner.hasher.of("b");
        // The table finds "a" in the place where it looks for "b".
        interner
            .interner
            .table
            .insert_unique(Slot::spread(hash), Slot { hash, id: 0 }, |slot| Slot::spread(slot.hash));
        interner.push("b");
        assert_eq!(interner.flush(), [1]);
        interner.push("b");
        assert_eq!(interner.flush(), [1]);
    }

    #[test]
    fn a_union_is_in_byte_order_whatever_the_parts() {
        let (left, _) = interned(&["é", "b", "Z"]);
        let (right, _) = interned(&["a", "b", ""]);
        let (dictionary, renumbered) = union(&[&left, &right]);
        assert_eq!(dictionary.strings().iter().collect::<Vec<_>>(), ["", "Z", "a", "b", "é"]);
        assert_eq!(renumbered, [vec![4, 3, 1], vec![2, 3, 0]]);
        assert_eq!(union(&[]).0.len(), 0);
    }

    #[test]
    fn a_selection_keeps_the_order() {
        let (strings, _) = interned(&["c", "a", "b"]);
        let (dictionary, _) = union(&[&strings]);
        let selected = dictionary.select(&[0, 2]);
        assert_eq!(selected.strings().iter().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(dictionary.find("b"), Some(1));
        assert_eq!((selected.find("b"), selected.find(""), selected.find("d")), (None, None, None));
    }
}
