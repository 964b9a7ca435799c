//! The rows of all pairs, each in the order of ids, for what looks pairs up again and again.
//!
//! In memory where they fit into a share of the budget, else in the temporary file, with a block for each row.

use rayon::prelude::*;

use super::unit_pairs::UnitPairs;
use crate::columnar::pair::{high, low, pair};
use crate::columnar::spill::{BlockWriter, Blocks, Budget};
use crate::storage::StoreError;
use crate::threads::interrupt;

/// The rows of all items.
#[derive(Debug)]
pub(crate) struct PairStore {
    /// Where each row begins, and the last ends.
    starts: Vec<usize>,
    rows: Rows,
    /// What 1 is in the sums.
    scale: f64,
}

#[derive(Debug)]
enum Rows {
    Memory(Entries),
    /// A block for each row.
    File(Blocks),
}

/// Pairs of item and sum, side by side.
#[derive(Debug, Default)]
struct Entries {
    others: Vec<u32>,
    /// The lower half of each sum.
    low: Vec<u32>,
    /// The upper half; empty where sums are counts of units, which have none.
    high: Vec<u32>,
}

/// A row, in the order of ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairRow<'a> {
    pub(crate) others: &'a [u32],
    low: &'a [u32],
    high: &'a [u32],
    scale: f64,
}

impl PairRow<'_> {
    /// The sum at an index.
    #[allow(clippy::cast_precision_loss, reason = "rounded to nearest where a sum is above 2^53")]
    pub(crate) fn sum(&self, at: usize) -> f64 {
        let high = self.high.get(at).copied().unwrap_or_default();
        pair(high, self.low[at]) as f64 / self.scale
    }
}

/// Rows that are counted before the next are.
const ROWS_AT_A_TIME: usize = 1 << 10;

impl PairStore {
    /// Counts all rows.
    pub(crate) fn new(pairs: &UnitPairs<'_>, items: usize, budget: &Budget) -> Result<Self, StoreError> {
        let scale = pairs.scale();
        #[allow(clippy::float_cmp, reason = "a power of two")]
        let is_narrow = scale == 1.0;
        let share = budget.session_pairs();
        let (mut starts, mut entries) = (vec![0], Entries::default());
        let mut file: Option<BlockWriter> = None;
        let mut bytes = Vec::new();
        for first in (0..items).step_by(ROWS_AT_A_TIME) {
            interrupt::check()?;
            let rows: Vec<Vec<(u32, u64)>> = (first..items.min(first + ROWS_AT_A_TIME))
                .into_par_iter()
                .with_max_len(16)
                .map_init(
                    || pairs.row_counter(),
                    |counter, item| {
                        let cells = pairs.row(u32::try_from(item).unwrap_or(u32::MAX), counter);
                        let mut row: Vec<_> = cells.iter().map(|cell| (cell.other, cell.out)).collect();
                        row.sort_unstable();
                        row
                    },
                )
                .collect();
            for row in rows {
                starts.push(starts[starts.len() - 1] + row.len());
                if let Some(file) = &mut file {
                    entries.clear();
                    entries.extend(&row, is_narrow);
                    write(file, entries.slices([0, row.len()]), &mut bytes)?;
                    continue;
                }
                entries.extend(&row, is_narrow);
                if entries.bytes() > share {
                    let file = file.insert(BlockWriter::new(budget));
                    for bounds in starts.array_windows() {
                        write(file, entries.slices(*bounds), &mut bytes)?;
                    }
                    entries = Entries::default();
                }
            }
        }
        let rows = file.map_or_else(|| Rows::Memory(entries), |file| Rows::File(file.finish()));
        Ok(Self { starts, rows, scale })
    }

    /// The row of an item; what is read of it goes to `buffer`.
    pub(crate) fn row<'r>(&'r self, item: u32, buffer: &'r mut RowBuffer) -> Result<PairRow<'r>, StoreError> {
        let item = item as usize;
        let bounds = [self.starts[item], self.starts[item + 1]];
        let (others, low, high) = match &self.rows {
            Rows::Memory(entries) => entries.slices(bounds),
            Rows::File(blocks) => {
                blocks.read(item, &mut buffer.bytes)?;
                buffer.words.clear();
                let (words, _) = buffer.bytes.as_chunks();
                buffer.words.extend(words.iter().map(|word| u32::from_le_bytes(*word)));
                let length = bounds[1] - bounds[0];
                if buffer.words.len() < 2 * length {
                    return Err(blocks.damaged(item));
                }
                let (others, sums) = buffer.words.split_at(length);
                let (low, high) = sums.split_at(length);
                (others, low, high)
            }
        };
        Ok(PairRow { others, low, high, scale: self.scale })
    }
}

/// Writes a row as a block.
fn write(
    file: &mut BlockWriter,
    (others, low, high): (&[u32], &[u32], &[u32]),
    bytes: &mut Vec<u8>,
) -> Result<(), StoreError> {
    bytes.clear();
    bytes.extend([others, low, high].into_iter().flatten().flat_map(|word| word.to_le_bytes()));
    file.write(bytes)
}

/// Where a row is read to.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    bytes: Vec<u8>,
    words: Vec<u32>,
}

impl Entries {
    fn clear(&mut self) {
        self.others.clear();
        self.low.clear();
        self.high.clear();
    }

    fn extend(&mut self, row: &[(u32, u64)], is_narrow: bool) {
        self.others.extend(row.iter().map(|(other, _)| other));
        self.low.extend(row.iter().map(|(_, sum)| low(*sum)));
        if !is_narrow {
            self.high.extend(row.iter().map(|(_, sum)| high(*sum)));
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&self.others[..]) + size_of_val(&self.low[..]) + size_of_val(&self.high[..])
    }

    fn slices(&self, [start, end]: [usize; 2]) -> (&[u32], &[u32], &[u32]) {
        let high = self.high.get(start..end).unwrap_or_default();
        (&self.others[start..end], &self.low[start..end], high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::fixed_point::FULL;
    use crate::counts::unit_pairs::Measure;
    use crate::counts::units::{Shape, Units};

    #[test]
    fn a_row_is_the_same_in_memory_and_in_the_file() {
        let units = Units::of(&[&[0, 1, 2], &[2, 1], &[4, 0]], 6, Shape::Sets);
        for measure in [|| Measure::Together, || Measure::BySize(vec![0, 0, 3 * FULL, FULL / 2])] {
            let pairs = UnitPairs::new(&units, measure());
            let folder = tempfile::tempdir().unwrap();
            let stores = [0, 1 << 30].map(|bytes| {
                let budget = Budget::new(bytes, folder.path());
                PairStore::new(&pairs, 6, &budget).unwrap()
            });
            assert!(matches!(stores[0].rows, Rows::File(_)) && matches!(stores[1].rows, Rows::Memory(_)));
            for item in 0..6 {
                let mut buffers = [RowBuffer::default(), RowBuffer::default()];
                let mut rows = stores.iter().zip(&mut buffers).map(|(store, buffer)| {
                    let row = store.row(item, buffer).unwrap();
                    (0..row.others.len()).map(|at| (row.others[at], row.sum(at))).collect::<Vec<_>>()
                });
                let row = rows.next().unwrap();
                assert_eq!(Some(&row), rows.next().as_ref());
                if item == 2 && pairs.scale() < 2.0 {
                    assert_eq!(row, [(0, 1.0), (1, 2.0), (2, 2.0)]);
                }
                if item == 2 && pairs.scale() > 1.0 {
                    assert_eq!(row, [(0, 0.5), (1, 3.5), (2, 3.5)]);
                }
            }
        }
    }
}
