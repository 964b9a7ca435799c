//! The Cholesky factor of a symmetric positive definite matrix A: U with `UᵀU = A`, and the two triangular solves.
//!
//! # The same bits on every machine
//!
//! Each number of the factor is `a − u₀·v₀ − u₁·v₁ − …`, subtracted one product after the other in ascending order, then
//! multiplied by the reciprocal of its pivot. Only `+ − · / √` of f64 are used, which IEEE 754 rounds correctly everywhere; the
//! compiler neither reorders them nor fuses a product with a subtraction unless it is told to. What is done at once, on as many
//! lanes as the CPU has, are numbers that do not depend on each other: four rows × four columns. So neither the width of the
//! vectors (`-C target-cpu=native`), nor the tiles, nor the padding shows in a result: it has the bits of the textbook's loops,
//! which a test compares.
//!
//! # Layout
//!
//! The columns stand in panels of four: panel `J` holds the rows `0..4(J+1)` of its four columns, row by row. A tile of the
//! factor comes from two panels that are read in one go, four numbers at a time. The last panel is filled up with columns of the
//! identity.

/// Columns of a panel.
const WIDTH: usize = 4;
/// A row of a panel.
type Lanes = [f64; WIDTH];
/// Four rows of a panel.
type Tile = [Lanes; WIDTH];

/// A pivot below this part of its diagonal element is what rounding has left of zero: 2^-40.
const ROUNDING: f64 = 1.0 / 1_099_511_627_776.0;

/// An upper triangular factor, in buffers that are used again.
#[derive(Default)]
pub(super) struct Factor {
    panels: Vec<Lanes>,
    /// One divided by each diagonal element; 0 for a column that depends on those before it.
    reciprocals: Vec<f64>,
}

impl Factor {
    /// Factors the matrix whose upper triangle is in the rows of `gram`, each `size` long.
    ///
    /// A column that depends on those before it (its pivot is not above rounding) gets a row of zeros, and so its unknown is 0.
    pub(super) fn factor(&mut self, gram: &[f64], size: usize) {
        let panels = size.div_ceil(WIDTH);
        self.panels.resize(start(panels), [0.0; WIDTH]);
        self.reciprocals.resize(panels * WIDTH, 0.0);
        for right in 0..panels {
            let (done, rest) = self.panels.split_at_mut(start(right));
            let panel = &mut rest[..(right + 1) * WIDTH];
            for left in 0..right {
                let above = left * WIDTH;
                let (known, unknown) = panel.split_at_mut(above);
                let (factors, diagonal) = done[start(left)..start(left + 1)].split_at(above);
                let mut tile = load(gram, size, left, right);
                subtract_products(&mut tile, factors, known);
                let reciprocals = &self.reciprocals[above..above + WIDTH];
                unknown[..WIDTH].copy_from_slice(&forward_tile(tile, diagonal, reciprocals));
            }
            let (known, unknown) = panel.split_at_mut(right * WIDTH);
            let mut tile = load(gram, size, right, right);
            let diagonal = [tile[0][0], tile[1][1], tile[2][2], tile[3][3]];
            subtract_products(&mut tile, known, known);
            let reciprocals = &mut self.reciprocals[right * WIDTH..];
            unknown.copy_from_slice(&factor_tile(tile, diagonal, reciprocals));
        }
    }

    /// Solves Uᵀx = y in place. The first `zeros` elements of y are known to be 0.
    pub(super) fn forward(&self, values: &mut [f64], zeros: usize) {
        let first = zeros / WIDTH;
        let (rows, _) = values.as_chunks_mut::<WIDTH>();
        for (panel, reciprocals) in self.reciprocals.chunks_exact(WIDTH).enumerate().skip(first) {
            let (known, unknown) = rows.split_at_mut(panel);
            let (factors, diagonal) = self.panel(panel);
            let mut row = unknown[0];
            for (factors, value) in factors[first * WIDTH..].iter().zip(known[first..].as_flattened()) {
                for (x, factor) in row.iter_mut().zip(factors) {
                    *x -= factor * value;
                }
            }
            for k in 0..WIDTH {
                for above in 0..k {
                    row[k] -= diagonal[above][k] * row[above];
                }
                row[k] *= reciprocals[k];
            }
            unknown[0] = row;
        }
    }

    /// Solves Ux = y in place.
    pub(super) fn backward(&self, values: &mut [f64]) {
        let (rows, _) = values.as_chunks_mut::<WIDTH>();
        for (panel, reciprocals) in self.reciprocals.chunks_exact(WIDTH).enumerate().rev() {
            let (above, below) = rows.split_at_mut(panel);
            let (factors, diagonal) = self.panel(panel);
            let row = &mut below[0];
            for k in (0..WIDTH).rev() {
                for right in (k + 1..WIDTH).rev() {
                    row[k] -= diagonal[k][right] * row[right];
                }
                row[k] *= reciprocals[k];
            }
            for (value, factors) in above.as_flattened_mut().iter_mut().zip(factors) {
                for (x, factor) in row.iter().zip(factors).rev() {
                    *value -= factor * x;
                }
            }
        }
    }

    /// How long vectors of the system are: `size`, filled up to whole panels with zeros.
    pub(super) const fn padded(size: usize) -> usize {
        size.next_multiple_of(WIDTH)
    }

    /// The rows of a panel above its diagonal tile, and that tile.
    fn panel(&self, panel: usize) -> (&[Lanes], &[Lanes]) {
        self.panels[start(panel)..start(panel + 1)].split_at(panel * WIDTH)
    }
}

/// Where the rows of a panel begin: after all rows of those before it.
const fn start(panel: usize) -> usize {
    panel * (panel + 1) / 2 * WIDTH
}

/// Subtracts from each element (i, j) the products of column i of `left` with column j of `right`: where the time goes.
fn subtract_products(tile: &mut Tile, left: &[Lanes], right: &[Lanes]) {
    let mut sums = *tile;
    for (left, right) in left.iter().zip(right) {
        for (row, factor) in sums.iter_mut().zip(left) {
            for (sum, value) in row.iter_mut().zip(right) {
                *sum -= factor * value;
            }
        }
    }
    *tile = sums;
}

/// A tile of the matrix; of the identity, where the matrix has ended.
fn load(gram: &[f64], size: usize, row: usize, column: usize) -> Tile {
    let mut tile = [[0.0; WIDTH]; WIDTH];
    let columns = WIDTH.min(size - column * WIDTH);
    for (k, lanes) in tile.iter_mut().enumerate() {
        let row = row * WIDTH + k;
        if row < size {
            let at = row * size + column * WIDTH;
            lanes[..columns].copy_from_slice(&gram[at..at + columns]);
        } else {
            lanes[k] = 1.0;
        }
    }
    tile
}

/// The rows of a tile right of the diagonal tile.
fn forward_tile(mut tile: Tile, diagonal: &[Lanes], reciprocals: &[f64]) -> Tile {
    for k in 0..WIDTH {
        for above in 0..k {
            let known = tile[above];
            for (value, known) in tile[k].iter_mut().zip(known) {
                *value -= diagonal[above][k] * known;
            }
        }
        for value in &mut tile[k] {
            *value *= reciprocals[k];
        }
    }
    tile
}

/// The factor of a diagonal tile, with zeros below the diagonal.
fn factor_tile(mut tile: Tile, diagonal: Lanes, reciprocals: &mut [f64]) -> Tile {
    for k in 0..WIDTH {
        for above in 0..k {
            for column in k..WIDTH {
                tile[k][column] -= tile[above][k] * tile[above][column];
            }
        }
        let pivot = tile[k][k];
        reciprocals[k] = if pivot > ROUNDING * diagonal[k] { 1.0 / pivot.sqrt() } else { 0.0 };
        for (column, value) in tile[k].iter_mut().enumerate() {
            *value = if column < k { 0.0 } else { *value * reciprocals[k] };
        }
    }
    tile
}
