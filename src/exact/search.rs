//! Best-first branch and bound over blocks of ranks.
//!
//! # The bound
//!
//! For a cell `(x, y)` of a block with right column `r` and bottom row `0`,
//!
//! ```text
//! F(x, y) <= F(x, y0) + F(xr, y) - F(xr, y0) + positive parts of the events strictly inside
//! ```
//!
//! By where an event `(j_e, k_e)` lies:
//!
//! 1. right of the block and below it: active at all four corners, linear, contributes 0;
//! 2. right, and `k_e` inside: `(x - xr)` times a sum of slopes. A clamp shares the `k_e` of its
//!    gate and has a smaller `j_e`, so the sum is at least 0 and the product at most 0;
//! 3. below, and `j_e` inside: `-(y - y0)` times a sum of slopes, at most 0 likewise;
//! 4. inside: active at `(x, y)` only, so at most its positive part.
//!
//! For a rank form with its signs turned (the least profit), 2 and 3 have the other sign. There
//! the width of the block times the slope that its right column gains, and the height times that
//! of its bottom row, are added: of second order as well.
//!
//! Only events with both gates inside the block make the bound loose: with random gates their
//! number falls with the square of the block's side. The bottom rows and right columns are values,
//! so every expansion also finds good pairs, and no separate search for one is needed.
//!
//! # Expansion
//!
//! A block is cut into 8 x 8 by rank. One scan of its events by `j`, with 8 lanes for the 8
//! bottom rows, gives all bottom rows and what lies inside; one scan by `k`, with 8 lanes for
//! the 8 right columns, gives the right columns. A block in the heap takes 64 bytes and no list.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use pulp::{Simd, WithSimd};

use super::best::{Best, Change};
use super::fixed::{Grid, Sums};
use super::lanes::{Floats, Integers, LANES, LaneSums};
use super::lattice::{Block, ROUNDING, Sweep};
use super::ranks::{Box2, Ranks};

/// Parts per axis, and lanes.
const PARTS: usize = LANES;

/// Most cells of a block that is swept instead of cut. Measured: 512 and 2048 are no better.
const LEAF_CELLS: u64 = 1024;

/// Most cells that are swept without any search. Measured.
const LATTICE_CELLS: u64 = 4096;

/// Rounding of a bound: sums of a few values, each of a few operations.
const MARGIN: f64 = 64.0 * ROUNDING;

/// Integers below this are exact in f64, and so are sums of a few of them.
const EXACT: f64 = (1_u64 << 50) as f64;

type Lanes = [f64; PARTS];

/// A block with what it can attain.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// No cell has a greater value, in units.
    bound: f64,
    /// No cell is nearer to the forecast: a lower bound on `|h| + |l|`.
    change: f64,
    block: Block,
}

impl Node {
    /// Whether it may hold a better cell than `best`, or an equal one that is nearer.
    fn is_open(&self, best: &Best) -> bool {
        if self.bound < best.floor {
            return false;
        }
        // The bound of a flat block is an integer without rounding: equality means something.
        self.bound > best.value as f64
            || (self.bound.abs() >= EXACT || self.change <= Change::new(best.at).total())
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Node {}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Node {
    /// The greatest bound first; among equal ones the nearest, then the lowest ranks.
    fn cmp(&self, other: &Self) -> Ordering {
        self.bound
            .total_cmp(&other.bound)
            .then(other.change.total_cmp(&self.change))
            .then(other.block.k0.cmp(&self.block.k0))
            .then(other.block.j0.cmp(&self.block.j0))
    }
}

/// Work done and proof reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Searched {
    /// Events read, and cells swept divided by 8.
    pub work: u64,
    /// In units: `None` when the best is proved, else what no cell exceeds.
    pub open: Option<f64>,
}

impl Searched {
    /// What no cell exceeds, rounded up and never below what was found.
    pub(super) fn bound(&self, found: i64) -> i64 {
        match self.open {
            None => found,
            // The cast saturates: nothing is known yet where the bound is infinite.
            Some(bound) => found.max(bound.ceil() as i64),
        }
    }
}

/// Buffers of the search.
#[derive(Debug)]
pub(super) struct Search {
    /// [`LATTICE_CELLS`] and [`LEAF_CELLS`]; tests take less to make small problems hard.
    pub lattice_cells: u64,
    pub leaf_cells: u64,
    heap: BinaryHeap<Node>,
    children: Vec<Node>,
    sweep: Sweep,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            lattice_cells: LATTICE_CELLS,
            leaf_cells: LEAF_CELLS,
            heap: BinaryHeap::new(),
            children: Vec::new(),
            sweep: Sweep::default(),
        }
    }
}

impl Search {
    /// Finds the best cell, unless that takes more than `work_cap`.
    pub(super) fn run(
        &mut self,
        arch: pulp::Arch,
        ranks: &Ranks,
        grid: &Grid,
        bounds: &Box2,
        work_cap: u64,
        best: &mut Best,
    ) -> Searched {
        let whole = Block::whole(ranks);
        let mut work = ranks.events() as u64;
        if whole.cells() <= self.lattice_cells {
            self.sweep.run(arch, ranks, grid, bounds, &whole, best);
            work += whole.cells() / 8;
            return Searched { work, open: None };
        }
        self.heap.clear();
        self.heap.push(Node {
            bound: f64::INFINITY,
            change: 0.0,
            block: whole,
        });
        let mut open = None;
        while let Some(node) = self.heap.pop() {
            if node.bound < best.floor {
                break;
            }
            if !node.is_open(best) {
                continue;
            }
            if work > work_cap {
                open = Some(node.bound);
                // The corners of what is open are the best pairs that are at hand.
                self.heap.push(node);
                for node in &self.heap {
                    let cell = (node.block.j1 as usize - 1, node.block.k0 as usize);
                    let sums = ranks.with_tables(&node.block.base, cell.0, cell.1);
                    best.offer_cell(ranks, grid, bounds, &sums, cell);
                }
                break;
            }
            let block = node.block;
            if block.cells() <= self.leaf_cells {
                self.sweep.run(arch, ranks, grid, bounds, &block, best);
                work += block.cells() / 8;
                continue;
            }
            work += ranks.by_x.slice(block.columns()).len() as u64;
            work += ranks.by_y.slice(block.rows()).len() as u64;
            self.children.clear();
            best.floor = arch.dispatch(Expand {
                ranks,
                bounds,
                block: &block,
                floor: best.floor,
                children: &mut self.children,
            });
            let children = self.children.iter().filter(|child| child.is_open(best));
            self.heap.extend(children);
        }
        Searched { work, open }
    }

    /// Heap memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        (self.heap.capacity() + self.children.capacity()) * size_of::<Node>()
    }
}

/// Cuts a block into parts; returns the lower bound on the greatest value.
struct Expand<'a> {
    ranks: &'a Ranks,
    bounds: &'a Box2,
    block: &'a Block,
    floor: f64,
    children: &'a mut Vec<Node>,
}

/// What is known of the 8 parts in one column of parts, by their bottom rows.
#[derive(Clone, Copy)]
struct Bottom {
    /// Sums of the events at the right end of each bottom row.
    base: [Sums; PARTS],
    /// Greatest value of each bottom row.
    greatest: Lanes,
    /// Positive parts of the events strictly inside.
    inside: Lanes,
    /// 0 when no level moves along the row; at least [`EXACT`] when one does or when a constant
    /// is not exact in f64.
    motion: Lanes,
    /// Events that were counted inside, for the rounding of their sum.
    count: f64,
    /// Slope on l that the bottom row gains from its right to its left end.
    gained: Lanes,
}

/// [`EXACT`] and more where `slope` is not 0 or `constant` is too large.
#[inline(always)]
fn motion<S: Simd>(simd: S, slope: Floats<S>, constant: Floats<S>) -> Floats<S> {
    (slope * Floats::splat(simd, EXACT))
        .abs()
        .max(constant.abs())
}

#[inline(always)]
fn max(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

impl WithSimd for Expand<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let Self {
            ranks,
            bounds,
            block,
            mut floor,
            children,
        } = self;
        let cuts = Cuts::new(block);
        let rows = BottomRows::new(simd, ranks, &cuts);
        let mut lanes = LaneSums::load(simd, &bottom_right_sums(ranks, block, &cuts));
        let mut bottoms = [None; PARTS];
        for p in (0..cuts.columns).rev() {
            let bottom = rows.part(simd, ranks, block, (cuts.j[p], cuts.j[p + 1]), &mut lanes);
            for q in 0..cuts.rows {
                floor = max(floor, bottom.greatest[q] - MARGIN);
            }
            bottoms[p] = Some(bottom);
        }

        // Right columns: lanes over the columns of parts.
        let mut sums = [Sums::default(); PARTS];
        let mut last = [f64::INFINITY; PARTS];
        let (mut x, mut x_slope, mut x_constant) = ([0.0; PARTS], [0.0; PARTS], [0_i64; PARTS]);
        for (p, bottom) in bottoms.iter().enumerate() {
            if let Some(bottom) = bottom {
                let j = cuts.j[p + 1] - 1;
                sums[p] = bottom.base[0];
                last[p] = j as f64;
                x[p] = ranks.x_scaled[j];
                x_slope[p] = ranks.x_slope[j];
                x_constant[p] = ranks.x_constant[j];
            }
        }
        let mut sums = LaneSums::load(simd, &sums);
        let last = Floats::load(simd, &last);
        let x_lanes = Floats::load(simd, &x);
        let x_slope = Floats::load(simd, &x_slope);
        let x_constant = Integers::load(simd, &x_constant);
        let k0 = block.k0 as usize;
        for q in 0..cuts.rows {
            let mut greatest = Floats::splat(simd, f64::NEG_INFINITY);
            let mut moves = Floats::splat(simd, 0.0);
            let mut corner = moves;
            let mut first_slope = moves;
            for k in cuts.k[q]..cuts.k[q + 1] {
                if k > k0 {
                    for event in ranks.by_y.slice(k..k + 1) {
                        let other = Floats::splat(simd, f64::from(event.other()));
                        sums.add(simd, event, last.at_most(other));
                    }
                }
                let b = sums.b + Floats::splat(simd, ranks.y_slope[k]);
                let c = sums.c + x_constant + Integers::splat(simd, ranks.y_constant[k]);
                let c = c.to_floats();
                let y = Floats::splat(simd, ranks.y_scaled[k]);
                let value = ((sums.a + x_slope) * x_lanes - b * y) + c;
                greatest = value.max(greatest);
                moves = motion(simd, b, c).max(moves);
                if k == cuts.k[q] {
                    corner = value;
                    first_slope = sums.a;
                }
            }
            let gain = (greatest - corner).store();
            let column = (first_slope - sums.a).store();
            let (greatest, moves) = (greatest.store(), moves.store());
            let height = ranks.y_scaled[cuts.k[q + 1] - 1] - ranks.y_scaled[cuts.k[q]];
            for (p, bottom) in bottoms.iter().enumerate() {
                let Some(bottom) = bottom else { continue };
                floor = max(floor, greatest[p] - MARGIN);
                let inside = bottom.inside[q];
                let width = x[p] - ranks.x_scaled[cuts.j[p]];
                let column = column[p] * width;
                let row = -bottom.gained[q] * height;
                let still = bottom.motion[q] < EXACT && moves[p] < EXACT;
                let flat = still && inside == 0.0 && column <= 0.0 && row <= 0.0;
                let mut bound = bottom.greatest[q] + gain[p];
                if !flat {
                    bound += inside * (1.0 + bottom.count * f64::EPSILON)
                        + max(column, 0.0)
                        + max(row, 0.0)
                        + MARGIN;
                }
                if bound < floor {
                    continue;
                }
                let part = Block {
                    j0: cuts.j[p] as u32,
                    j1: cuts.j[p + 1] as u32,
                    k0: cuts.k[q] as u32,
                    k1: cuts.k[q + 1] as u32,
                    base: bottom.base[q],
                };
                children.push(Node {
                    bound,
                    change: least_change(ranks, bounds, &part),
                    block: part,
                });
            }
        }
        floor
    }
}

/// Where a block is cut.
struct Cuts {
    j: [usize; PARTS + 1],
    k: [usize; PARTS + 1],
    /// Number of parts on h and on l.
    columns: usize,
    rows: usize,
}

impl Cuts {
    #[inline(always)]
    fn new(block: &Block) -> Self {
        let cut = |start: u32, end: u32| {
            let (start, length) = (start as usize, (end - start) as usize);
            let parts = length.min(PARTS);
            let mut cuts = [end as usize; PARTS + 1];
            for (part, cut) in cuts.iter_mut().enumerate().take(parts) {
                *cut = start + length * part / parts;
            }
            (cuts, parts)
        };
        let (j, columns) = cut(block.j0, block.j1);
        let (k, rows) = cut(block.k0, block.k1);
        Self {
            j,
            k,
            columns,
            rows,
        }
    }
}

/// Sums of the events at the block's last column, for the bottom row of each row of parts.
#[inline(always)]
fn bottom_right_sums(ranks: &Ranks, block: &Block, cuts: &Cuts) -> [Sums; PARTS] {
    let mut lanes = [Sums::default(); PARTS];
    let mut sums = block.base;
    for (q, lane) in lanes.iter_mut().enumerate().take(cuts.rows) {
        if q > 0 {
            for event in ranks.by_y.slice(cuts.k[q - 1] + 1..cuts.k[q] + 1) {
                if event.other() + 1 >= block.j1 {
                    event.add_to(&mut sums);
                }
            }
        }
        *lane = sums;
    }
    lanes
}

/// The 8 bottom rows, in lanes. Lanes beyond the rows of parts hold nothing.
struct BottomRows<S: Simd> {
    /// Rank of the row, and of the row above its part.
    first: Floats<S>,
    end: Floats<S>,
    /// Its l, and the greatest l of its part.
    y: Floats<S>,
    y_top: Floats<S>,
    slope: Floats<S>,
    constant: Integers<S>,
}

impl<S: Simd> BottomRows<S> {
    #[inline(always)]
    fn new(simd: S, ranks: &Ranks, cuts: &Cuts) -> Self {
        let (mut first, mut end) = ([-1.0; PARTS], [-1.0; PARTS]);
        let (mut y, mut y_top) = ([0.0; PARTS], [0.0; PARTS]);
        let (mut slope, mut constant) = ([0.0; PARTS], [0_i64; PARTS]);
        for q in 0..cuts.rows {
            let k = cuts.k[q];
            first[q] = k as f64;
            end[q] = cuts.k[q + 1] as f64;
            y[q] = ranks.y_scaled[k];
            y_top[q] = ranks.y_scaled[cuts.k[q + 1] - 1];
            slope[q] = ranks.y_slope[k];
            constant[q] = ranks.y_constant[k];
        }
        Self {
            first: Floats::load(simd, &first),
            end: Floats::load(simd, &end),
            y: Floats::load(simd, &y),
            y_top: Floats::load(simd, &y_top),
            slope: Floats::load(simd, &slope),
            constant: Integers::load(simd, &constant),
        }
    }

    /// One column of parts, the ranks `left..right`, from its right end to its left: `sums` are
    /// the events of the bottom rows at the column before, and are brought on.
    #[inline(always)]
    fn part(
        &self,
        simd: S,
        ranks: &Ranks,
        block: &Block,
        (left, right): (usize, usize),
        sums: &mut LaneSums<S>,
    ) -> Bottom {
        let x_left = ranks.x_scaled[left];
        let zero = Floats::splat(simd, 0.0);
        let mut greatest = Floats::splat(simd, f64::NEG_INFINITY);
        let mut moves = zero;
        let mut inside = zero;
        let mut lanes = *sums;
        let mut base = lanes;
        let mut count = 0;
        for j in (left..right).rev() {
            let is_last = j + 1 == right;
            let x = ranks.x_scaled[j];
            if j + 1 != block.j1 as usize {
                let events = ranks.by_x.slice(j..j + 1);
                for event in events {
                    let other = Floats::splat(simd, f64::from(event.other()));
                    lanes.add(simd, event, other.at_most(self.first));
                    if !is_last && event.other() > block.k0 && event.other() < block.k1 {
                        // The greatest it can be inside; a little more where that is rounded.
                        let (a, b) = event.slopes();
                        let at = if a > 0.0 { x } else { x_left };
                        let slack = if event.slope == 0.0 { 0.0 } else { ROUNDING };
                        let constant = a * at + event.constant as f64 + slack;
                        let y = if b > 0.0 { self.y } else { self.y_top };
                        let value = Floats::splat(simd, constant) - Floats::splat(simd, b) * y;
                        inside += value
                            .max(zero)
                            .only(self.first.below(other))
                            .only(other.below(self.end));
                    }
                }
                count += events.len();
            }
            if is_last {
                base = lanes;
            }
            let a = lanes.a + Floats::splat(simd, ranks.x_slope[j]);
            let c = lanes.c + Integers::splat(simd, ranks.x_constant[j]) + self.constant;
            let c = c.to_floats();
            let x = Floats::splat(simd, x);
            let value = (a * x - (lanes.b + self.slope) * self.y) + c;
            greatest = value.max(greatest);
            moves = motion(simd, a, c).max(moves);
        }
        *sums = lanes;
        Bottom {
            base: base.store(),
            greatest: greatest.store(),
            inside: inside.store(),
            motion: moves.store(),
            count: count as f64,
            gained: (lanes.b - base.b).store(),
        }
    }
}

/// A lower bound on `|h| + |l|` of what the cells of a block may return.
#[inline(always)]
fn least_change(ranks: &Ranks, bounds: &Box2, block: &Block) -> f64 {
    let distance = |least: f32, greatest: f32| {
        if least <= 0.0 && greatest >= 0.0 {
            0.0
        } else {
            f64::from(least.abs().min(greatest.abs()))
        }
    };
    let left = match block.j0 {
        0 => bounds.high.0,
        j0 => ranks.x[j0 as usize - 1],
    };
    let top = match ranks.y.get(block.k1 as usize) {
        Some(&y) => y,
        None => bounds.low.1,
    };
    distance(left, ranks.x[block.j1 as usize - 1]) + distance(ranks.y[block.k0 as usize], top)
}
