//! A block of ranks, cell by cell: rows from low to high l, all columns of a row at once.
//!
//! `p[i]` holds `A * x + C` and `b[i]` holds `B` of column `i` for the events that end inside the
//! block; events that reach past its right edge are three scalars. The value of a row is then
//! `max_i(p[i] + a * x[i] - b[i] * y)` plus a constant: two multiplications, two additions and a
//! maximum per cell, which the compiler turns into vectors. It is rounded, so it serves as a
//! filter: rows within a margin of the best are gone through again, exactly.

use pulp::{Simd, WithSimd};

use super::best::Best;
use super::fixed::{Grid, Sums};
use super::lanes::{Floats, Integers, LANES, LaneSums};
use super::ranks::{Box2, Event, Ranks};

/// Most columns of a block that is swept: its three columns of f64 stay in the first cache.
pub(super) const WIDTH: usize = 512;

/// Ranks `j0..j1` by `k0..k1`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub j0: u32,
    pub j1: u32,
    pub k0: u32,
    pub k1: u32,
    /// Sums of the events of cell `(j1 - 1, k0)`, without the tables.
    pub base: Sums,
}

impl Block {
    /// Number of cells.
    pub(super) fn cells(&self) -> u64 {
        u64::from(self.j1 - self.j0) * u64::from(self.k1 - self.k0)
    }

    /// Its ranks on h.
    pub(super) fn columns(&self) -> std::ops::Range<usize> {
        self.j0 as usize..self.j1 as usize
    }

    /// Its ranks on l.
    pub(super) fn rows(&self) -> std::ops::Range<usize> {
        self.k0 as usize..self.k1 as usize
    }

    /// The whole rank form.
    pub(super) fn whole(ranks: &Ranks) -> Self {
        let (columns, rows) = ranks.shape();
        Self {
            j0: 0,
            j1: columns as u32,
            k0: 0,
            k1: rows as u32,
            base: ranks.events_at(columns - 1, 0),
        }
    }
}

/// Most that one rounded operation is off, in units: values stay below 2^61.
pub(super) const ROUNDING: f64 = 512.0;

/// A column of the sweep. Aligned, so that no vector straddles two lines of the cache.
#[derive(Debug)]
#[repr(align(64))]
struct Column([f64; WIDTH]);

/// Rounding of the value of a cell whose sums are exact: a few operations.
const MARGIN: f64 = 16.0 * ROUNDING;

/// What a sweep writes to.
#[derive(Debug)]
pub(super) struct Sweep {
    x: Box<Column>,
    p: Box<Column>,
    b: Box<Column>,
    /// Rows that may hold the best cell, with their rounded maximum.
    rows: Vec<(f64, u32)>,
    tile: Vec<Cells>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self {
            x: Box::new(Column([0.0; WIDTH])),
            p: Box::new(Column([0.0; WIDTH])),
            b: Box::new(Column([0.0; WIDTH])),
            rows: Vec::new(),
            tile: Vec::new(),
        }
    }
}

/// The inputs of the vectorised part.
struct Rows<'a> {
    sweep: &'a mut Sweep,
    ranks: &'a Ranks,
    block: &'a Block,
    margin: f64,
    floor: f64,
}

impl WithSimd for Rows<'_> {
    type Output = f64;

    /// Fills `rows`; returns the lower bound on the greatest value.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self {
            sweep,
            ranks,
            block,
            margin,
            mut floor,
        } = self;
        let (j0, j1) = (block.j0 as usize, block.j1 as usize);
        let (k0, k1) = (block.k0 as usize, block.k1 as usize);
        let width = j1 - j0;
        let padded = width.next_multiple_of(LANES);
        let (x, p, b) = (
            &mut sweep.x.0[..padded],
            &mut sweep.p.0[..padded],
            &mut sweep.b.0[..padded],
        );
        x[..width].copy_from_slice(&ranks.x_scaled[j0..j1]);
        let mut sums = block.base;
        for j in (j0..j1).rev() {
            if j + 1 < j1 {
                for event in ranks.by_x.slice(j..j + 1) {
                    if event.other() as usize <= k0 {
                        event.add_to(&mut sums);
                    }
                }
            }
            let i = j - j0;
            p[i] = (sums.a + ranks.x_slope[j]) * x[i] + (sums.c + ranks.x_constant[j]) as f64;
            b[i] = sums.b;
        }
        x[width..].fill(0.0);
        p[width..].fill(f64::NEG_INFINITY);
        b[width..].fill(0.0);
        let mut row = Row {
            simd,
            x: pulp::as_arrays(x).0,
            p: pulp::as_arrays_mut(p).0,
            b: pulp::as_arrays_mut(b).0,
        };
        // Events that are active in all columns.
        let mut past = Sums::default();
        for k in k0..k1 {
            if k > k0 {
                for event in ranks.by_y.slice(k..k + 1) {
                    let j = event.other() as usize;
                    if j + 1 >= j1 {
                        event.add_to(&mut past);
                    } else if j >= j0 {
                        row.add(event, j - j0 + 1);
                    }
                }
            }
            let y = ranks.y_scaled[k];
            let constant = (past.c + ranks.y_constant[k]) as f64;
            let greatest = row.greatest(past.a, y) + (constant - (past.b + ranks.y_slope[k]) * y);
            if greatest + margin >= floor {
                sweep.rows.push((greatest, k as u32));
                floor = floor.max(greatest - margin);
            }
        }
        floor
    }
}

/// The columns of a row, eight at a time.
struct Row<'a, S: Simd> {
    simd: S,
    x: &'a [[f64; LANES]],
    p: &'a mut [[f64; LANES]],
    b: &'a mut [[f64; LANES]],
}

impl<S: Simd> Row<'_, S> {
    /// Adds an event to the first `columns` columns.
    #[inline(always)]
    fn add(&mut self, event: &Event, columns: usize) {
        // Without a branch on the side: it is as good as random.
        let (slope, b_slope) = event.slopes();
        let slope = Floats::splat(self.simd, slope);
        let b_slope = Floats::splat(self.simd, b_slope);
        let constant = Floats::splat(self.simd, event.constant as f64);
        let step = Floats::splat(self.simd, LANES as f64);
        let mut left = Floats::splat(self.simd, columns as f64);
        let lane = Floats::load(self.simd, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        let chunks = self.x.iter().zip(&mut *self.p).zip(&mut *self.b);
        for ((x, p), b) in chunks.take(columns.div_ceil(LANES)) {
            let active = lane.below(left);
            let x = Floats::load(self.simd, x);
            *p = (Floats::load(self.simd, p) + (slope * x + constant).only(active)).store();
            *b = (Floats::load(self.simd, b) + b_slope.only(active)).store();
            left = left - step;
        }
    }

    /// `max_i(p[i] + a * x[i] - b[i] * y)`.
    #[inline(always)]
    fn greatest(&self, a: f64, y: f64) -> f64 {
        let a = Floats::splat(self.simd, a);
        let y = Floats::splat(self.simd, y);
        let mut greatest = Floats::splat(self.simd, f64::NEG_INFINITY);
        for ((x, p), b) in self.x.iter().zip(&*self.p).zip(&*self.b) {
            let x = Floats::load(self.simd, x);
            let p = Floats::load(self.simd, p);
            let b = Floats::load(self.simd, b);
            greatest = ((p + a * x) - b * y).max(greatest);
        }
        greatest.greatest()
    }
}

/// Most rows of a narrow block whose cells are kept until the greatest value is known.
const TILE: usize = 64;

/// The cells of a row of a narrow block: their sums, tables included, and their rounded values.
#[derive(Debug)]
struct Cells {
    value: [f64; LANES],
    a: [f64; LANES],
    b: [f64; LANES],
    c: [i64; LANES],
}

/// A block of at most [`LANES`] columns: the sums of a row fit into registers, exactly, so that no
/// row is gone through again.
struct Narrow<'a> {
    ranks: &'a Ranks,
    grid: &'a Grid,
    bounds: &'a Box2,
    block: &'a Block,
    tile: &'a mut Vec<Cells>,
    best: &'a mut Best,
}

impl WithSimd for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            ranks,
            grid,
            bounds,
            block,
            tile,
            best,
        } = self;
        let (j0, j1) = (block.j0 as usize, block.j1 as usize);
        let (k0, k1) = (block.k0 as usize, block.k1 as usize);
        let mut sums = [block.base; LANES];
        // Lanes past the last column repeat it.
        let (mut last, mut x) = ([(j1 - 1) as f64; LANES], [ranks.x_scaled[j1 - 1]; LANES]);
        let mut x_slope = [ranks.x_slope[j1 - 1]; LANES];
        let mut x_constant = [ranks.x_constant[j1 - 1]; LANES];
        let mut column = block.base;
        for j in (j0..j1 - 1).rev() {
            for event in ranks.by_x.slice(j..j + 1) {
                if event.other() as usize <= k0 {
                    event.add_to(&mut column);
                }
            }
            let lane = j - j0;
            sums[lane] = column;
            last[lane] = j as f64;
            x[lane] = ranks.x_scaled[j];
            x_slope[lane] = ranks.x_slope[j];
            x_constant[lane] = ranks.x_constant[j];
        }
        let mut sums = LaneSums::load(simd, &sums);
        let last = Floats::load(simd, &last);
        let x = Floats::load(simd, &x);
        let x_slope = Floats::load(simd, &x_slope);
        let x_constant = Integers::load(simd, &x_constant);
        let mut start = k0;
        while start < k1 {
            let end = k1.min(start + TILE);
            tile.clear();
            let mut greatest = Floats::splat(simd, f64::NEG_INFINITY);
            for k in start..end {
                if k > k0 {
                    for event in ranks.by_y.slice(k..k + 1) {
                        let other = Floats::splat(simd, f64::from(event.other()));
                        sums.add(simd, event, last.at_most(other));
                    }
                }
                let a = sums.a + x_slope;
                let b = sums.b + Floats::splat(simd, ranks.y_slope[k]);
                let c = sums.c + x_constant + Integers::splat(simd, ranks.y_constant[k]);
                let y = Floats::splat(simd, ranks.y_scaled[k]);
                let value = (a * x - b * y) + c.to_floats();
                greatest = greatest.max(value);
                tile.push(Cells {
                    value: value.store(),
                    a: a.store(),
                    b: b.store(),
                    c: c.store(),
                });
            }
            best.floor = best.floor.max(greatest.greatest() - MARGIN);
            for (k, cells) in (start..end).zip(&*tile) {
                for (lane, j) in block.columns().enumerate() {
                    if cells.value[lane] + MARGIN >= best.floor {
                        let sums = Sums {
                            a: cells.a[lane],
                            b: cells.b[lane],
                            c: cells.c[lane],
                        };
                        best.offer_cell(ranks, grid, bounds, &sums, (j, k));
                    }
                }
            }
            start = end;
        }
    }
}

impl Sweep {
    /// Offers every cell of a block to `best`.
    pub(super) fn run(
        &mut self,
        arch: pulp::Arch,
        ranks: &Ranks,
        grid: &Grid,
        bounds: &Box2,
        block: &Block,
        best: &mut Best,
    ) {
        let (j0, j1) = (block.j0 as usize, block.j1 as usize);
        let mut right = j1;
        let mut base = block.base;
        // Strips of WIDTH columns from the right, so that the base of each follows from the last.
        while right > j0 {
            let left = right.saturating_sub(WIDTH).max(j0);
            let strip = Block {
                j0: left as u32,
                j1: right as u32,
                base,
                ..*block
            };
            self.strip(arch, ranks, grid, bounds, &strip, best);
            if left > j0 {
                for event in ranks.by_x.slice(left - 1..right - 1) {
                    if event.other() <= block.k0 {
                        event.add_to(&mut base);
                    }
                }
            }
            right = left;
        }
    }

    fn strip(
        &mut self,
        arch: pulp::Arch,
        ranks: &Ranks,
        grid: &Grid,
        bounds: &Box2,
        block: &Block,
        best: &mut Best,
    ) {
        let (j0, j1) = (block.j0 as usize, block.j1 as usize);
        let (k0, k1) = (block.k0 as usize, block.k1 as usize);
        if j1 - j0 <= LANES {
            arch.dispatch(Narrow {
                ranks,
                grid,
                bounds,
                block,
                tile: &mut self.tile,
                best,
            });
            return;
        }
        // Two operations per event on a column, and a few more per row.
        let margin = (2 * ranks.by_y.slice(k0..k1).len() + 64) as f64 * ROUNDING;
        self.rows.clear();
        let floor = arch.dispatch(Rows {
            floor: best.floor,
            sweep: self,
            ranks,
            block,
            margin,
        });
        best.floor = best.floor.max(floor);
        // Sums of the right column, brought up to each row in turn.
        let mut right = block.base;
        let mut done = k0;
        for &(greatest, k) in &self.rows {
            let k = k as usize;
            if greatest + margin < best.floor {
                continue;
            }
            for event in ranks.by_y.slice(done + 1..k + 1) {
                if event.other() as usize + 1 >= j1 {
                    event.add_to(&mut right);
                }
            }
            done = k;
            row_exact(ranks, grid, bounds, (j0, j1, k), right, best);
        }
    }
}

/// Offers the cells of row `k`, columns `j0..j1`; `sums`: the events of `(j1 - 1, k)`.
pub(super) fn row_exact(
    ranks: &Ranks,
    grid: &Grid,
    bounds: &Box2,
    (j0, j1, k): (usize, usize, usize),
    mut sums: Sums,
    best: &mut Best,
) {
    for j in (j0..j1).rev() {
        if j + 1 < j1 {
            for event in ranks.by_x.slice(j..j + 1) {
                if event.other() as usize <= k {
                    event.add_to(&mut sums);
                }
            }
        }
        let cell = ranks.with_tables(&sums, j, k);
        let rounded = cell.a * ranks.x_scaled[j] - cell.b * ranks.y_scaled[k] + cell.c as f64;
        if rounded + MARGIN >= best.floor {
            best.offer_cell(ranks, grid, bounds, &cell, (j, k));
        }
    }
}

/// Every cell by going through all events, for tests: slow and obviously right.
#[cfg(test)]
pub(super) fn exhaustive(ranks: &Ranks, grid: &Grid, bounds: &Box2) -> Best {
    let (columns, rows) = ranks.shape();
    let mut best = Best::none();
    for k in 0..rows {
        for j in 0..columns {
            let cell = ranks.with_tables(&ranks.events_at(j, k), j, k);
            best.offer_cell(ranks, grid, bounds, &cell, (j, k));
        }
    }
    best
}
