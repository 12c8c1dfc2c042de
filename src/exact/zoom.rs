//! The zoom: bounds over a grid of values, to put most of the box and of the legs aside.
//!
//! Both axes look alike here: `u = h` and `v = -l` (see `exact/chunk.rs`), so the value rises with
//! both where no gate lies, and a gate that is passed takes a part away.
//!
//! # The bound
//!
//! Lines at multiples of a power of two cut the box into blocks `(U_p, U_p+1] x (V_q, V_q+1]`. For
//! a pair of a block, with the upper corner `(U, V)`,
//!
//! ```text
//! F(u, v) <= F(u, V) + F(U, v) - F(U, V) + couplings with both gates inside the block
//! ```
//!
//! as in `exact/search.rs`. `F(U, V)` is known at all corners, from sums over a table with a cell
//! per block. What lies along an edge, `F(u, V) - F(U, V)`, is bounded on a few **reference
//! lines** only, and much more finely: every column of blocks is cut into [`FINE`] again, and
//! `rise` is the greatest of
//!
//! ```text
//! jumps of the gates in [u, U) - (slope of the legs that move all through the column) * (U - u)
//! ```
//!
//! over these cuts. A leg's jump depends on the reference line, so a leg adds one vector, with a
//! lane per reference line. From its reference line a block is reached by the same inequality
//! once more: `F(u, V) - F(U, V)` exceeds the rise on a line above by no more than the couplings
//! with both gates in the column and between the two.
//!
//! So one pass puts every leg into a few cells, and the slack of a bound is of second order but
//! for the cuts, of which there are 16 times as many as columns.
//!
//! # Regions
//!
//! The blocks whose bound reaches the best corner are cut into boxes where whole columns or rows
//! of blocks are out. These **regions** hold every pair of greatest value; most legs do not
//! change inside one and become a constant. What is left is zoomed again while that pays.

// One index runs over several arrays of lanes: that is what becomes vectors.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::chunk::{CHUNK, Chunk, Column, Reader, Source, restrict};
use super::fixed::{Entered, Grid, Item};
use super::lattice::ROUNDING;
use super::ranks::Box2;
use crate::profit::{MAX_HIGH, Side};

/// Most rounds.
const ROUNDS: usize = 8;

/// A round that keeps more than this share of the legs and of the box is the last.
const WORTH: f64 = 0.8;

/// Cuts per column of blocks, a power of two.
const FINE: usize = 1 << FINE_BITS;
const FINE_BITS: i32 = 4;

/// Added to an f32 up to 2^22, rounds it to an integer.
const ROUND: f32 = 1.5 * (1 << 23) as f32;

/// Reference lines per axis.
const LANES: usize = 16;

/// Most regions; where there are more, their common box takes their place.
const REGIONS: usize = 8;

/// Jumps are summed in u32, in this many units of the value. A sum that is too large stays at the
/// greatest u32 and counts as infinite: that takes a share of all legs in one cut, 1 in 8 at
/// 2,000,000 legs. Coarser units would round up by more than the slack of the bounds.
fn jump_unit(legs: usize) -> f64 {
    // The magnitudes of all legs are at most 2^61 units, and a jump is some part of one.
    let bits = legs.max(1).ilog2().saturating_sub(13).min(10);
    (1_u64 << (31 - bits)) as f64
}

/// Rounding of the constants of one leg, in units.
const LEG_SLACK: f64 = 4.0;

/// About how many parts per axis for so many legs. Measured.
fn parts_for(legs: usize) -> f64 {
    ((legs as f64).sqrt() * 0.6).clamp(8.0, 250.0)
}

/// One axis, cut into parts by lines.
#[derive(Debug, Default)]
struct Axis {
    least: f32,
    greatest: f32,
    parts: usize,
    /// `parts + 1` lines, ascending; the ends of the box are the first and the last.
    lines: Vec<f32>,
    /// Cuts per unit, a power of two, and the number of the first cut.
    scale: f32,
    first: i32,
    /// Lines from one reference line to the next.
    step: usize,
    /// The reference lines: `step * (lane + 1)`, at most the last line.
    reference: [f32; LANES],
    /// By place (see [`Axis::place`]): number of reference lines for which a gate holds.
    references: Vec<u8>,
}

impl Axis {
    /// Cuts an axis into about `parts`; false where it has no extent for that.
    fn set(&mut self, (least, greatest): (f32, f32), parts: f64) -> bool {
        let length = f64::from(greatest) - f64::from(least);
        // Numbers of cuts stay within 2^22.
        let reach = f64::from(least.abs().max(greatest.abs()));
        let most = 22 - FINE_BITS - reach.max(f64::MIN_POSITIVE).log2().ceil() as i32;
        let exponent = ((parts / length).log2().floor() as i32).min(most);
        if !(length > 0.0 && exponent.abs() < 90) {
            return false;
        }
        let per_unit = 2.0_f64.powi(exponent);
        let first = (f64::from(least) * per_unit).floor();
        let last = (f64::from(greatest) * per_unit).ceil();
        self.parts = (last - first) as usize;
        if self.parts < 2 {
            return false;
        }
        (self.least, self.greatest) = (least, greatest);
        self.scale = (per_unit * FINE as f64) as f32;
        self.first = first as i32 * FINE as i32;
        self.lines.clear();
        self.lines.push(least);
        let inner = (1..self.parts).map(|i| ((first + i as f64) / per_unit) as f32);
        self.lines.extend(inner);
        self.lines.push(greatest);
        self.step = self.parts.div_ceil(LANES);
        let line = |lane: usize| (self.step * (lane + 1)).min(self.parts);
        for lane in 0..LANES {
            self.reference[lane] = self.lines[line(lane)];
        }
        self.references.clear();
        // Place p + 1: lines up to p are not above the gate.
        let reached = |place: usize| (0..LANES).filter(|&lane| line(lane) < place).count() as u8;
        self.references.extend((0..self.places()).map(reached));
        true
    }

    /// Number of places.
    fn places(&self) -> usize {
        self.parts + 2
    }

    /// Number of lines `<= value`, its **place**, and the cut that the value lies in (`[start,
    /// end)`; the one past the last if outside the box).
    #[inline(always)]
    fn place(&self, value: f32) -> (u32, u32) {
        let within = if value > self.least {
            value
        } else {
            self.least
        };
        let within = if within < self.greatest {
            within
        } else {
            self.greatest
        };
        let scaled = within * self.scale;
        // Rounded to the nearest integer, which is then in the last bits.
        let shifted = scaled + ROUND;
        let nearest = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
        let cut = nearest - i32::from(shifted - ROUND > scaled) - self.first;
        let (below, above) = (value < self.least, value >= self.greatest);
        let place = (cut >> FINE_BITS) + 1;
        let place = if above { self.parts as i32 + 1 } else { place };
        let place = if below { 0 } else { place };
        let outside = (self.parts * FINE) as i32;
        (
            place as u32,
            if below | above { outside } else { cut } as u32,
        )
    }

    /// Upper end of a cut.
    fn cut_end(&self, cut: usize) -> f64 {
        (self.first as f64 + cut as f64 + 1.0) / f64::from(self.scale)
    }

    /// Which reference line serves part `part`: the first that is not below it.
    fn lane(&self, part: usize) -> usize {
        part / self.step
    }

    /// Index of the reference line of a lane.
    fn line_of(&self, lane: usize) -> usize {
        (self.step * (lane + 1)).min(self.parts)
    }

    fn bytes(&self) -> usize {
        self.lines.capacity() * 4 + self.references.capacity()
    }
}

/// What is summed over one axis.
#[derive(Debug, Default)]
struct Tables {
    /// By place: slope, constant and weight of the entries whose gate lies there; and the weights
    /// whose clamp does.
    entries: Vec<[f64; 4]>,
    /// By place of the clamp: weights of couplings, by the number of reference lines on the other
    /// axis for which their entry holds.
    clamps: Vec<[f64; LANES + 1]>,
    /// By cut: what passing its gates may bring, per reference line of the other axis.
    jumps: Vec<[u32; LANES]>,
    /// By part: the most by which the value along a reference line of the other axis exceeds that
    /// at the upper end of the part.
    rises: Vec<[f64; LANES]>,
}

impl Tables {
    fn clear(&mut self, axis: &Axis) {
        self.entries.clear();
        self.entries.resize(axis.places(), [0.0; 4]);
        self.clamps.clear();
        self.clamps.resize(axis.places(), [0.0; LANES + 1]);
        self.jumps.clear();
        self.jumps.resize(axis.parts * FINE + 1, [0; LANES]);
        self.rises.clear();
        self.rises.resize(axis.parts, [0.0; LANES]);
    }

    fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<[f64; 4]>()
            + self.clamps.capacity() * size_of::<[f64; LANES + 1]>()
            + self.jumps.capacity() * size_of::<[u32; LANES]>()
            + self.rises.capacity() * size_of::<[f64; LANES]>()
    }
}

/// Slopes on u and v, constant, and positive part of the couplings whose gates lie in this block.
/// The last becomes the bound of the block.
type Cell = [f64; 4];
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const INSIDE: usize = 3;

/// A part of the box that may hold the greatest value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Region {
    pub bounds: Box2,
    /// No pair in it has a greater value, in units.
    pub bound: f64,
}

/// Buffers of the zoom.
#[derive(Debug, Default)]
pub(super) struct Zoom {
    axes: [Axis; 2],
    tables: [Tables; 2],
    /// By place on u, then by place on v.
    cells: Vec<Cell>,
    /// Couplings between a part and its reference line, per part of v.
    between: Vec<f64>,
    /// See [`jump_unit`].
    jump_unit: f64,
}

/// A chunk as the tables take it.
struct Prepared {
    /// Weight, in units of weight, if the leg is long, and if it is short.
    long: Column<f64>,
    short: Column<f64>,
    entry: Role,
    exit: Role,
    /// Cells of the two gates, and with the exit's clamp in place of its gate.
    cell: Column<u32>,
    clamp_cell: Column<u32>,
    /// Positive part of the coupling at its gate.
    coupling: Column<f64>,
    /// The jump at the entry's gate: `own + (weight * max(pred + x, 0) + constant)`, the latter
    /// where the exit's gate holds at x; in units of jumps.
    jump_own: Column<f32>,
    jump_weight: Column<f32>,
    jump_constant: Column<f32>,
    exit_pred: Column<f32>,
    exit_gate: Column<f32>,
    /// The jump at the exit's gate, where the entry's holds.
    jump_exit: Column<u32>,
    entry_gate: Column<f32>,
}

/// One part of the legs.
struct Role {
    /// Constant of the level, and of its clamp.
    level: Column<f64>,
    clamp: Column<f64>,
    place: Column<u32>,
    clamp_place: Column<u32>,
    cut: Column<u32>,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            level: [0.0; CHUNK],
            clamp: [0.0; CHUNK],
            place: [0; CHUNK],
            clamp_place: [0; CHUNK],
            cut: [0; CHUNK],
        }
    }
}

impl Default for Prepared {
    fn default() -> Self {
        let (wide, narrow, index) = ([0.0; CHUNK], [0.0; CHUNK], [0; CHUNK]);
        Self {
            long: wide,
            short: wide,
            entry: Role::default(),
            exit: Role::default(),
            cell: index,
            clamp_cell: index,
            coupling: wide,
            jump_own: narrow,
            jump_weight: narrow,
            jump_constant: narrow,
            exit_pred: narrow,
            exit_gate: narrow,
            jump_exit: index,
            entry_gate: narrow,
        }
    }
}

/// One of a pair.
#[inline(always)]
fn pick<T: Copy>(pair: [T; 2], first: bool) -> T {
    if first { pair[0] } else { pair[1] }
}

impl Prepared {
    /// Whether no leg is capped.
    #[inline(always)]
    fn load(&mut self, chunk: &Chunk, axes: &[Axis; 2], grid: &Grid, per_jump: f64) -> bool {
        let mut capped = false;
        let stride = axes[1].places() as u32;
        for i in 0..CHUNK {
            let short = chunk.short[i];
            let weight = grid.weight_lane(chunk.weight[i]);
            let scaled = weight * grid.scale;
            let (mut level, mut clamp, mut at_gate) = ([0.0; 2], [0.0; 2], [0.0; 2]);
            let (mut place, mut clamp_place, mut cut) = ([0; 2], [0; 2], [0; 2]);
            for axis in 0..2 {
                let (gate, pred) = (chunk.gate[axis][i], chunk.pred[axis][i]);
                let close = f64::from(if axis == 0 {
                    chunk.close[i]
                } else {
                    -chunk.close[i]
                });
                let pred_wide = f64::from(pred);
                level[axis] = scaled * (pred_wide - close);
                clamp[axis] = -scaled * pred_wide;
                (place[axis], cut[axis]) = axes[axis].place(gate);
                let (clamp, _) = axes[axis].place(-pred);
                clamp_place[axis] = if clamp < place[axis] {
                    clamp
                } else {
                    place[axis]
                };
                // The most the level can be where the gate holds.
                let greatest = axes[axis].greatest;
                let last = f64::from(if gate < greatest { gate } else { greatest });
                let last = pred_wide + last;
                capped |= (axis == 0) & (last >= f64::from(MAX_HIGH)) & (weight > 0.0);
                at_gate[axis] = scaled * (if last > 0.0 { last } else { 0.0 } - close);
            }
            self.long[i] = if short { 0.0 } else { weight };
            self.short[i] = if short { weight } else { 0.0 };
            for (role, first) in [(&mut self.entry, short), (&mut self.exit, !short)] {
                role.level[i] = pick(level, first);
                role.clamp[i] = pick(clamp, first);
                role.place[i] = pick(place, first);
                role.clamp_place[i] = pick(clamp_place, first);
                role.cut[i] = pick(cut, first);
            }
            self.cell[i] = place[0] * stride + place[1];
            let exits = [[place[0], clamp_place[1]], [clamp_place[0], place[1]]];
            let [p, q] = pick(exits, short);
            self.clamp_cell[i] = p * stride + q;

            let own = pick(at_gate, short) - grid.fee_rate() * weight;
            let coupling = pick(at_gate, !short) + LEG_SLACK;
            let coupling = if coupling > 0.0 { coupling } else { 0.0 };
            self.coupling[i] = coupling;
            let close = f64::from(if short {
                -chunk.close[i]
            } else {
                chunk.close[i]
            });
            self.jump_own[i] = (own * per_jump) as f32;
            self.jump_weight[i] = (scaled * per_jump) as f32;
            self.jump_constant[i] = (-scaled * close * per_jump) as f32;
            self.exit_pred[i] = pick([chunk.pred[0][i], chunk.pred[1][i]], !short);
            self.exit_gate[i] = pick([chunk.gate[0][i], chunk.gate[1][i]], !short);
            self.entry_gate[i] = pick([chunk.gate[0][i], chunk.gate[1][i]], short);
            self.jump_exit[i] = jump_above(coupling * per_jump);
        }
        !capped
    }
}

/// Rounding of a jump: each of a few operations in f32 is off by 2^-24 of its result.
const JUMP_ROUNDING: f32 = 1.0 / (1_u32 << 21) as f32;

/// An integer above a jump, which is at least 0; the greatest u32 if there is none.
#[inline(always)]
fn jump_above(jump: f64) -> u32 {
    /// Added to a number below 2^32, rounds it to an integer in the lower half.
    const ROUND: f64 = (1_u64 << 52) as f64;
    const MOST: f64 = (u32::MAX - 1) as f64;
    let jump = if jump < MOST { jump } else { MOST };
    ((jump + ROUND).to_bits() as u32).wrapping_add(1)
}

/// Adds a jump, up to the greatest u32.
#[inline(always)]
fn add_jump(sum: &mut u32, jump: u32) {
    let more = sum.wrapping_add(jump);
    *sum = if more < jump { u32::MAX } else { more };
}

/// Adds the jumps at an entry's gate, per reference line of the exit's axis.
#[inline(always)]
fn add_entry_jumps(jumps: &mut [u32; LANES], legs: &Prepared, i: usize, reference: &[f32; LANES]) {
    let (own, weight, constant) = (legs.jump_own[i], legs.jump_weight[i], legs.jump_constant[i]);
    let (pred, gate) = (legs.exit_pred[i], legs.exit_gate[i]);
    let fixed = own.abs() + constant.abs();
    for lane in 0..LANES {
        let level = pred + reference[lane];
        let moving = weight * if level > 0.0 { level } else { 0.0 };
        let on = reference[lane] <= gate;
        let moving = if on { moving } else { 0.0 };
        let jump = own + (moving + if on { constant } else { 0.0 });
        let jump = if jump > 0.0 { jump } else { 0.0 };
        let jump = jump_above(f64::from(jump + (moving + fixed) * JUMP_ROUNDING));
        add_jump(&mut jumps[lane], jump);
    }
}

/// Adds the jump at an exit's gate, on the reference lines where the entry holds.
#[inline(always)]
fn add_exit_jump(jumps: &mut [u32; LANES], legs: &Prepared, i: usize, reference: &[f32; LANES]) {
    let (jump, gate) = (legs.jump_exit[i], legs.entry_gate[i]);
    for lane in 0..LANES {
        let jump = if reference[lane] <= gate { jump } else { 0 };
        add_jump(&mut jumps[lane], jump);
    }
}

#[inline(always)]
fn add<const N: usize>(into: &mut [f64; N], what: [f64; N]) {
    for i in 0..N {
        into[i] += what[i];
    }
}

/// A pass over the legs, and the bounds from it.
struct Pass<'a> {
    zoom: &'a mut Zoom,
    source: &'a Source<'a>,
    legs: usize,
    grid: &'a Grid,
    base: &'a Entered,
    floor: &'a mut f64,
}

impl WithSimd for Pass<'_> {
    /// False if a leg is capped; there is no bound then.
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        let Self {
            zoom,
            source,
            legs,
            grid,
            base,
            floor,
        } = self;
        let uncapped = zoom.fill(source, grid);
        if uncapped {
            zoom.sum(grid, base);
            for axis in 0..2 {
                zoom.rise(axis, grid);
            }
            zoom.bound(grid, legs, floor);
        }
        uncapped
    }
}

impl Zoom {
    /// Heap memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Cell>()
            + self.between.capacity() * 8
            + self.axes.iter().map(Axis::bytes).sum::<usize>()
            + self.tables.iter().map(Tables::bytes).sum::<usize>()
    }

    /// Most bytes that it takes for so many legs.
    pub(super) fn bytes_needed(legs: usize) -> usize {
        let parts = parts_for(legs) as usize + 3;
        let per_part = size_of::<[f64; 4]>()
            + size_of::<[f64; LANES + 1]>()
            + FINE * size_of::<[u32; LANES]>()
            + size_of::<[f64; LANES]>();
        parts * parts * size_of::<Cell>() + 2 * parts * (per_part + 16)
    }

    /// The regions of a box that hold every pair of greatest value, the most promising first.
    /// Raises `floor`, a lower bound on the greatest value. `base`: the legs that do not change
    /// in the box and are not in `source`.
    ///
    /// `None` where there is nothing to gain: a box without extent, or capped legs.
    #[allow(clippy::too_many_arguments, reason = "one problem, in its parts")]
    pub(super) fn regions(
        &mut self,
        arch: pulp::Arch,
        source: &Source<'_>,
        legs: usize,
        grid: &Grid,
        bounds: &Box2,
        base: &Entered,
        floor: &mut f64,
    ) -> Option<Vec<Region>> {
        let parts = parts_for(legs);
        let ends = [bounds.high, (-bounds.low.1 + 0.0, -bounds.low.0 + 0.0)];
        if !(0..2).all(|axis| self.axes[axis].set(ends[axis], parts)) {
            return None;
        }
        for (tables, axis) in self.tables.iter_mut().zip(&self.axes) {
            tables.clear(axis);
        }
        self.jump_unit = jump_unit(legs);
        self.cells.clear();
        let cells = self.axes[0].places() * self.axes[1].places();
        self.cells.resize(cells, [0.0; 4]);
        let pass = Pass {
            zoom: self,
            source,
            legs,
            grid,
            base,
            floor,
        };
        if !arch.dispatch(pass) {
            return None;
        }
        Some(self.open(*floor))
    }

    /// Puts every leg into its cells; false if one is capped.
    #[inline(always)]
    fn fill(&mut self, source: &Source<'_>, grid: &Grid) -> bool {
        let mut legs = Prepared::default();
        let mut uncapped = true;
        let Self {
            axes,
            tables,
            cells,
            jump_unit,
            ..
        } = self;
        let per_jump = 1.0 / *jump_unit;
        let mut reader = Reader::new(source);
        let mut chunk = Chunk::default();
        while reader.next(&mut chunk) {
            uncapped &= legs.load(&chunk, axes, grid, per_jump);
            for i in 0..CHUNK {
                let (a, b) = (legs.long[i], legs.short[i]);
                let weight = a + b;
                let (entry, exit) = (&legs.entry, &legs.exit);
                let cell = &mut cells[legs.cell[i] as usize];
                add(cell, [a, b, exit.level[i], legs.coupling[i]]);
                let cell = &mut cells[legs.clamp_cell[i] as usize];
                add(cell, [-a, -b, exit.clamp[i], 0.0]);

                // A long leg is entered on axis 1.
                let axis = usize::from(!chunk.short[i]);
                let (into, place) = (&mut tables[axis], entry.place[i] as usize);
                let sums = &mut into.entries[place];
                add(sums, [weight, entry.level[i], weight, 0.0]);
                let sums = &mut into.entries[entry.clamp_place[i] as usize];
                add(sums, [-weight, entry.clamp[i], 0.0, weight]);
                let jumps = &mut into.jumps[entry.cut[i] as usize];
                add_entry_jumps(jumps, &legs, i, &axes[1 - axis].reference);

                let into = &mut tables[1 - axis];
                let reached = usize::from(axes[axis].references[place]);
                into.clamps[exit.clamp_place[i] as usize][reached] += weight;
                let jumps = &mut into.jumps[exit.cut[i] as usize];
                add_exit_jump(jumps, &legs, i, &axes[axis].reference);
            }
        }
        uncapped
    }

    /// Sums over places: what a gate at a higher place holds.
    #[inline(always)]
    fn sum(&mut self, grid: &Grid, base: &Entered) {
        let stride = self.axes[1].places();
        let mut rows = self.cells.chunks_exact_mut(stride).skip(1).rev();
        let mut above: Option<&mut [Cell]> = None;
        for row in &mut rows {
            let mut sum = [0.0; 3];
            for q in (1..stride).rev() {
                let cell = &mut row[q];
                for part in [A, B, C] {
                    sum[part] += cell[part];
                    cell[part] = sum[part];
                }
                if let Some(above) = &above {
                    for part in [A, B, C] {
                        cell[part] += above[q][part];
                    }
                }
            }
            above = Some(row);
        }
        let sums = &base.sums;
        let starts = [
            [sums.a, sums.c as f64, base.weight[1]],
            [sums.b, 0.0, base.weight[0]],
        ];
        for (tables, mut sum) in self.tables.iter_mut().zip(starts) {
            for entry in tables.entries.iter_mut().skip(1).rev() {
                for part in 0..3 {
                    sum[part] += entry[part];
                }
                entry[0] = sum[0];
                entry[1] = sum[1] - grid.fee_rate() * sum[2];
            }
        }
    }

    /// The rises along one axis.
    #[inline(always)]
    fn rise(&mut self, axis: usize, grid: &Grid) {
        let (own, other) = (&self.axes[axis], &self.axes[1 - axis]);
        let strides = [self.axes[1].places(), 1];
        let Tables {
            entries,
            clamps,
            jumps,
            rises,
        } = &mut self.tables[axis];
        for (part, rises) in rises.iter_mut().enumerate() {
            // Slope of what moves all through the part: not clamped anywhere in it.
            let mut slope = [0.0; LANES];
            let mut clamped = 0.0;
            for lane in (0..LANES).rev() {
                clamped += clamps[part + 1][lane + 1];
                // Place of a line: one more than its index.
                let corner =
                    (part + 2) * strides[axis] + (other.line_of(lane) + 1) * strides[1 - axis];
                let moving = self.cells[corner][axis] + entries[part + 2][0];
                let least = moving - clamped - entries[part + 1][3];
                slope[lane] = if least > 0.0 { least * grid.scale } else { 0.0 };
            }
            let end = f64::from(own.lines[part + 1]);
            let mut jumped = [0.0; LANES];
            let mut rise = [0.0; LANES];
            for cut in (part * FINE..(part + 1) * FINE).rev() {
                let way = (end - own.cut_end(cut)).max(0.0);
                for lane in 0..LANES {
                    let jump = jumps[cut][lane];
                    let finite = f64::from(jump) * self.jump_unit;
                    jumped[lane] += if jump == u32::MAX {
                        f64::INFINITY
                    } else {
                        finite
                    };
                    let value = jumped[lane] - slope[lane] * way;
                    rise[lane] = if value > rise[lane] {
                        value
                    } else {
                        rise[lane]
                    };
                }
            }
            *rises = rise;
        }
    }

    /// Bounds every block, and raises the floor to the best corner.
    #[inline(always)]
    fn bound(&mut self, grid: &Grid, legs: usize, floor: &mut f64) {
        let stride = self.axes[1].places();
        let (columns, rows) = (self.axes[0].parts, self.axes[1].parts);
        // Every leg is rounded a few times, and so is every sum it enters.
        let margin = (256.0 + 16.0 * legs as f64) * ROUNDING;
        let growth = 1.0 + legs as f64 * f64::EPSILON;
        self.between.clear();
        self.between.resize(rows, 0.0);
        for p in (0..columns).rev() {
            let lane_u = self.axes[0].lane(p);
            if self.axes[0].line_of(lane_u) == p + 1 {
                self.between.fill(0.0);
            }
            let u = f64::from(self.axes[0].lines[p + 1]) * grid.scale;
            let entry_u = self.tables[0].entries[p + 2];
            let rises_u = &self.tables[0].rises[p];
            let (lower, upper) = self.cells.split_at_mut((p + 2) * stride);
            let blocks = &mut lower[(p + 1) * stride..];
            let mut beyond = 0.0;
            for q in (0..rows).rev() {
                let lane_v = self.axes[1].lane(q);
                if self.axes[1].line_of(lane_v) == q + 1 {
                    beyond = 0.0;
                }
                let v = f64::from(self.axes[1].lines[q + 1]) * grid.scale;
                let entry_v = self.tables[1].entries[q + 2];
                let corner = upper[q + 2];
                let value = (corner[A] + entry_u[0]) * u
                    + (corner[B] + entry_v[0]) * v
                    + (corner[C] + entry_u[1] + entry_v[1]);
                let inside = blocks[q + 1][INSIDE];
                beyond += inside;
                let couplings = (beyond + self.between[q]) * growth;
                self.between[q] += inside;
                let rise = rises_u[lane_v] + self.tables[1].rises[q][lane_u];
                blocks[q + 1][INSIDE] = value + (rise + couplings) + margin;
                *floor = if value - margin > *floor {
                    value - margin
                } else {
                    *floor
                };
            }
        }
    }

    /// The bound of the block that a pair lies in.
    #[cfg(test)]
    pub(super) fn bound_at(&self, at: crate::profit::Multipliers) -> f64 {
        let part = |axis: &Axis, value: f32| {
            let above = axis.lines.partition_point(|&line| line < value);
            above.saturating_sub(1)
        };
        let (p, q) = (part(&self.axes[0], at.high), part(&self.axes[1], -at.low));
        self.cells[(p + 1) * self.axes[1].places() + q + 1][INSIDE]
    }

    /// The blocks that reach the floor, in boxes.
    fn open(&self, floor: f64) -> Vec<Region> {
        let stride = self.axes[1].places();
        let bound = |p: usize, q: usize| self.cells[(p + 1) * stride + q + 1][INSIDE];
        let is_open = |p: usize, q: usize| bound(p, q) >= floor;
        let (columns, rows) = (0..self.axes[0].parts, 0..self.axes[1].parts);
        let mut done = Vec::new();
        let mut todo = vec![(columns, rows)];
        // Cut where whole columns of blocks are out, then rows, until neither is the case.
        while let Some((columns, rows)) = todo.pop() {
            let mut pieces = Vec::new();
            for columns in runs(columns.clone(), |p| rows.clone().any(|q| is_open(p, q))) {
                let open = |q| columns.clone().any(|p| is_open(p, q));
                let rows = runs(rows.clone(), open).into_iter();
                pieces.extend(rows.map(|rows| (columns.clone(), rows)));
            }
            if pieces == [(columns, rows)] {
                done.append(&mut pieces);
            } else {
                todo.append(&mut pieces);
            }
        }
        let [u, v] = &self.axes;
        let region = |(columns, rows): (std::ops::Range<usize>, std::ops::Range<usize>)| {
            let bounds = Box2 {
                high: (u.lines[columns.start], u.lines[columns.end]),
                low: (-v.lines[rows.end] + 0.0, -v.lines[rows.start] + 0.0),
            };
            let blocks = columns.flat_map(|p| rows.clone().map(move |q| (p, q)));
            let greatest = blocks.map(|(p, q)| bound(p, q)).fold(floor, f64::max);
            Region {
                bounds,
                bound: greatest,
            }
        };
        let mut regions: Vec<Region> = done.into_iter().map(region).collect();
        regions.sort_by(|a, b| b.bound.total_cmp(&a.bound));
        if let Some(bounds) = hull(&regions).filter(|_| regions.len() > REGIONS) {
            regions[0].bounds = bounds;
            regions.truncate(1);
        }
        regions
    }

    /// Zooms in on a box until that does not pay: shrinks `bounds` to a box that holds every pair
    /// of greatest value, drops legs that cannot be entered there, and moves those that do not
    /// change there into `base`. False if there is no such pair: all are below `floor`.
    #[allow(clippy::too_many_arguments, reason = "one problem, in its parts")]
    pub(super) fn run(
        &mut self,
        arch: pulp::Arch,
        (long, short): (&mut Vec<Item>, &mut Vec<Item>),
        grid: &Grid,
        bounds: &mut Box2,
        base: &mut Entered,
        floor: &mut f64,
        least_legs: usize,
    ) -> bool {
        for _ in 0..ROUNDS {
            let legs = long.len() + short.len();
            if legs < least_legs {
                break;
            }
            let source = Source::Items(long, short);
            let regions = self.regions(arch, &source, legs, grid, bounds, base, floor);
            let Some(regions) = regions else { break };
            let Some(inner) = hull(&regions) else {
                return false;
            };
            let shrunk = area(&inner) / area(bounds);
            *bounds = inner;
            for (legs, side) in [(&mut *long, Side::Long), (&mut *short, Side::Short)] {
                restrict(arch, legs, side, grid, bounds, base);
            }
            let kept = (long.len() + short.len()) as f64 / legs as f64;
            if kept > WORTH && shrunk > WORTH {
                break;
            }
        }
        true
    }
}

fn area(bounds: &Box2) -> f64 {
    let length = |(least, greatest): (f32, f32)| f64::from(greatest) - f64::from(least);
    length(bounds.high) * length(bounds.low)
}

/// The least box that holds all regions.
pub(super) fn hull(regions: &[Region]) -> Option<Box2> {
    let join = |a: (f32, f32), b: (f32, f32)| (a.0.min(b.0), a.1.max(b.1));
    let boxes = regions.iter().map(|region| region.bounds);
    boxes.reduce(|a, b| Box2 {
        high: join(a.high, b.high),
        low: join(a.low, b.low),
    })
}

/// The runs of consecutive indices for which `holds`.
fn runs(
    range: std::ops::Range<usize>,
    holds: impl Fn(usize) -> bool,
) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for index in range.filter(|&index| holds(index)) {
        match runs.last_mut() {
            Some(run) if run.end == index => run.end += 1,
            _ => runs.push(index..index + 1),
        }
    }
    runs
}
