//! The rank form: thresholds sorted on both axes, and every leg as events on their ranks.
//!
//! `x` holds the h for which the value can be greatest: the high gates inside the box and the
//! upper end of the box, ascending. `y` holds the low gates and the lower end. A cell `(j, k)` is
//! the pair `(x[j], y[k])`.
//!
//! Taking the exit at the close as the base case, a leg is a term of one axis (its entry) plus a
//! coupling (its take profit, for which both gates must hold). With the clamps this makes
//!
//! * tables over one axis: `x_slope`, `x_constant` (entries of short legs), `y_slope`,
//!   `y_constant` (entries of long legs, fees included), already summed over the ranks;
//! * **events** `(j_e, k_e; slope, constant)`, active in the quadrant `j <= j_e, k >= k_e`: two
//!   per leg at most, the take profit and its clamp (and a third for the upper clamp of H).
//!
//! So the sums of a cell are plain sums: its two table entries and the events of its quadrant.
//! The same form with the other corner of every cell (the candidates just past their gates) and
//! all signs turned holds the least profit of a box as its greatest value ([`Corner::Least`]).
//!
//! Every event stands twice, sorted by `j` and by `k`, so that a search can read the events of
//! any range of ranks as one slice.

use pulp::{Simd, WithSimd};

use super::fixed::{Entered, Grid, Item, Sums, Terms};
use super::radix;

/// What the quadrant `j <= j_e, k >= k_e` gains.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Event {
    /// Twice the rank on the other axis, plus 1 for a short leg (whose slope is on l).
    code: u32,
    /// Change of the slope, in units of weight.
    pub slope: f32,
    /// Change of the constant, in units.
    pub constant: i64,
}

impl Event {
    /// Rank on the axis by which the slice is not sorted.
    #[inline]
    pub(super) fn other(&self) -> u32 {
        self.code >> 1
    }

    /// Slope on h and slope on l; one of them is 0.
    #[inline]
    pub(super) fn slopes(&self) -> (f64, f64) {
        let slope = f64::from(self.slope);
        if self.code & 1 == 0 {
            (slope, 0.0)
        } else {
            (0.0, slope)
        }
    }

    #[inline]
    pub(super) fn add_to(&self, sums: &mut Sums) {
        let (a, b) = self.slopes();
        sums.a += a;
        sums.b += b;
        sums.c += self.constant;
    }
}

/// Events sorted by the rank on one axis: those of rank `r` are `offsets[r]..offsets[r + 1]`.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    offsets: Vec<u32>,
    events: Vec<Event>,
}

impl Sorted {
    /// Events of the ranks `range`.
    #[inline]
    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &[Event] {
        &self.events[self.offsets[range.start] as usize..self.offsets[range.end] as usize]
    }

    /// Turns counts into offsets. Each offset is that of the end of its rank while events are put
    /// in from the back, and that of the start once all are in.
    fn reserve(&mut self) {
        let mut total = 0;
        for offset in &mut self.offsets {
            total += *offset;
            *offset = total;
        }
        self.events.resize(total as usize, Event::default());
    }

    #[inline]
    fn put(&mut self, rank: usize, event: Event) {
        self.offsets[rank] -= 1;
        self.events[self.offsets[rank] as usize] = event;
    }
}

/// Ends of the search box: `high` for h, `low` for l, both `(least, greatest)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Box2 {
    pub high: (f32, f32),
    pub low: (f32, f32),
}

impl Box2 {
    /// Whether a long leg can be entered inside.
    #[inline]
    pub(super) fn reaches_long(&self, item: &Item) -> bool {
        item.low_gate <= self.low.1
    }

    /// Whether a short leg can be entered inside.
    #[inline]
    pub(super) fn reaches_short(&self, item: &Item) -> bool {
        item.high_gate >= self.high.0
    }
}

/// Which corner of the cells between gates the ranks stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Corner {
    /// Largest h, smallest l: the greatest value of a cell.
    Greatest,
    /// Smallest h, largest l: the least value of a cell. All coefficients change their sign, so
    /// that the greatest value of the rank form is the least profit.
    Least,
}

/// Ranks of one leg. A gate or clamp on h is given by the number of `x` for which it holds
/// (the first ones), on l by the first `y` for which it holds.
#[derive(Debug, Clone, Copy, Default)]
struct Rank {
    x_gate: u32,
    x_clamp: u32,
    y_gate: u32,
    y_clamp: u32,
}

/// Rank form of the legs that can be entered inside a box.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    /// Candidates on h and on l, ascending.
    pub x: Vec<f32>,
    pub y: Vec<f32>,
    /// The same times the scale of the grid: slope times this is in units.
    pub x_scaled: Vec<f64>,
    pub y_scaled: Vec<f64>,
    pub x_slope: Vec<f64>,
    pub x_constant: Vec<i64>,
    pub y_slope: Vec<f64>,
    pub y_constant: Vec<i64>,
    pub by_x: Sorted,
    pub by_y: Sorted,
    ranks: Vec<Rank>,
    x_weight: Vec<f64>,
    y_weight: Vec<f64>,
    keys: Vec<u64>,
    /// Scratch of the sort; then the ranks on l of the events until they are in order.
    spare: Vec<u64>,
}

/// A rank that no leg owns: the point where an upper clamp of H sets in.
const NOBODY: u64 = (1 << 31) - 1;

/// Most legs in rank form; indices take 31 bits of a sort key.
pub(super) const MAX_LEGS: usize = NOBODY as usize;

/// Below this many legs a clamp is looked up among the candidates; with more, it is sorted among
/// the gates. Measured.
pub(super) const CLAMPS_APART: usize = 8192;

/// Order-preserving map from f32 (not NaN, not -0.0) to u32.
#[inline]
pub(super) fn ordered(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    }
}

#[inline]
pub(super) fn unordered(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 0 {
        !key
    } else {
        key & 0x7fff_ffff
    })
}

/// The passes over the legs; one leg at a time, but wide instruction sets have the conversions.
struct Build<'a> {
    ranks: &'a mut Ranks,
    long: &'a [Item],
    short: &'a [Item],
    base: &'a Entered,
    grid: &'a Grid,
    bounds: &'a Box2,
    corner: Corner,
}

impl WithSimd for Build<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.ranks.build_here(
            self.long,
            self.short,
            self.base,
            self.grid,
            self.bounds,
            self.corner,
        );
    }
}

impl Ranks {
    /// Number of candidates on h and on l.
    pub(super) fn shape(&self) -> (usize, usize) {
        (self.x.len(), self.y.len())
    }

    /// Number of events.
    pub(super) fn events(&self) -> usize {
        self.by_x.events.len()
    }

    /// Heap memory held, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let axis = |floats: &Vec<f32>, scaled: &Vec<f64>, sums: &Vec<f64>| {
            floats.capacity() * 4 + scaled.capacity() * 8 + sums.capacity() * 24
        };
        let sorted = |sorted: &Sorted| {
            sorted.offsets.capacity() * 4 + sorted.events.capacity() * size_of::<Event>()
        };
        axis(&self.x, &self.x_scaled, &self.x_slope)
            + axis(&self.y, &self.y_scaled, &self.y_slope)
            + sorted(&self.by_x)
            + sorted(&self.by_y)
            + self.ranks.capacity() * size_of::<Rank>()
            + (self.keys.capacity() + self.spare.capacity()) * 8
    }

    /// Most bytes that [`build`](Self::build) takes for `legs` legs.
    pub(super) fn bytes_needed(legs: usize) -> usize {
        // Two events per leg, each twice; ranks; sort keys and their copy; six tables per axis.
        let per_leg = 4 * size_of::<Event>() + size_of::<Rank>() + 2 * 2 * 8 + 2 * 44;
        legs.saturating_mul(per_leg)
    }

    /// Ranks the legs that can be entered inside `bounds`; all of `long` and `short` must be.
    /// `base`: the sums of legs that do not change inside.
    #[allow(clippy::too_many_arguments, reason = "one problem, in its parts")]
    pub(super) fn build(
        &mut self,
        arch: pulp::Arch,
        long: &[Item],
        short: &[Item],
        base: &Entered,
        grid: &Grid,
        bounds: &Box2,
        corner: Corner,
    ) {
        arch.dispatch(Build {
            ranks: self,
            long,
            short,
            base,
            grid,
            bounds,
            corner,
        });
    }

    #[allow(clippy::too_many_arguments, reason = "one problem, in its parts")]
    #[inline(always)]
    fn build_here(
        &mut self,
        long: &[Item],
        short: &[Item],
        base: &Entered,
        grid: &Grid,
        bounds: &Box2,
        corner: Corner,
    ) {
        self.ranks.clear();
        self.ranks.resize(long.len() + short.len(), Rank::default());
        self.rank_x(long, short, bounds, corner);
        self.rank_y(long, short, bounds, corner);
        let scale = grid.scale;
        let scaled = |values: &[f32], into: &mut Vec<f64>| {
            into.clear();
            into.extend(values.iter().map(|&value| f64::from(value) * scale));
        };
        scaled(&self.x, &mut self.x_scaled);
        scaled(&self.y, &mut self.y_scaled);
        self.place(long, short, grid);
        self.sum_tables(base, grid);
        self.order();
        if corner == Corner::Least {
            self.negate();
        }
    }

    #[inline(always)]
    fn negate(&mut self) {
        for sums in [&mut self.x_slope, &mut self.y_slope] {
            sums.iter_mut().for_each(|sum| *sum = -*sum);
        }
        for sums in [&mut self.x_constant, &mut self.y_constant] {
            sums.iter_mut().for_each(|sum| *sum = -*sum);
        }
        for event in self.by_x.events.iter_mut().chain(&mut self.by_y.events) {
            event.slope = -event.slope;
            event.constant = -event.constant;
        }
    }

    #[inline(always)]
    fn rank_x(&mut self, long: &[Item], short: &[Item], bounds: &Box2, corner: Corner) {
        let (least, greatest) = bounds.high;
        let at_gates = corner == Corner::Greatest;
        // A gate sorts before a clamp of the same h, so that the clamp counts it; where a
        // candidate lies just past its gate, it does not.
        let clamp_bit = u64::from(at_gates) << 31;
        let gate_bit = clamp_bit ^ 1 << 31;
        let apart = self.ranks.len() < CLAMPS_APART;
        self.keys.clear();
        for (index, item) in long.iter().chain(short).enumerate() {
            if item.high_gate >= least && item.high_gate < greatest {
                let key = u64::from(ordered(item.high_gate)) << 32;
                self.keys.push(key | gate_bit | index as u64);
            }
            let clamp = -item.high_pred + 0.0;
            if !apart && clamp >= least && clamp < greatest && item.high_gate >= least {
                self.keys
                    .push(u64::from(ordered(clamp)) << 32 | clamp_bit | index as u64);
            }
            if item.capped(greatest) {
                let last = last_uncapped(item);
                if last >= least && last < greatest {
                    self.keys
                        .push(u64::from(ordered(last)) << 32 | gate_bit | NOBODY);
                }
            }
        }
        radix::sort(&mut self.keys, &mut self.spare);
        self.x.clear();
        if !at_gates {
            self.x.push(least);
        }
        let mut last = None;
        for &entry in &self.keys {
            let key = (entry >> 32) as u32;
            let index = entry & NOBODY;
            if entry & 1 << 31 == clamp_bit {
                self.ranks[index as usize].x_clamp = self.x.len() as u32;
                continue;
            }
            if last != Some(key) {
                let gate = unordered(key);
                self.x.push(if at_gates { gate } else { gate.next_up() });
                last = Some(key);
            }
            if index != NOBODY {
                // The candidate of the gate counts where it is the gate itself.
                self.ranks[index as usize].x_gate = self.x.len() as u32 - u32::from(!at_gates);
            }
        }
        if at_gates {
            self.x.push(greatest);
        }
        let all = self.x.len() as u32;
        for (rank, item) in self.ranks.iter_mut().zip(long.iter().chain(short)) {
            if item.high_gate >= greatest {
                rank.x_gate = all;
            }
            if apart {
                rank.x_clamp = self.x.partition_point(|&x| x <= -item.high_pred) as u32;
            } else if -item.high_pred >= greatest {
                rank.x_clamp = all;
            }
            rank.x_clamp = rank.x_clamp.min(rank.x_gate);
        }
    }

    #[inline(always)]
    fn rank_y(&mut self, long: &[Item], short: &[Item], bounds: &Box2, corner: Corner) {
        let (least, greatest) = bounds.low;
        let at_gates = corner == Corner::Greatest;
        // A clamp sorts before a gate of the same l, so that the gate's rank is clamped too;
        // where a candidate lies just before its gate, it is not.
        let gate_bit = u64::from(at_gates) << 31;
        let clamp_bit = gate_bit ^ 1 << 31;
        let apart = self.ranks.len() < CLAMPS_APART;
        self.keys.clear();
        for (index, item) in long.iter().chain(short).enumerate() {
            if item.low_gate > least && item.low_gate <= greatest {
                let key = u64::from(ordered(item.low_gate)) << 32;
                self.keys.push(key | gate_bit | index as u64);
            }
            let clamp = -item.low_pred + 0.0;
            if !apart && clamp > least && clamp <= greatest && item.low_gate <= greatest {
                self.keys
                    .push(u64::from(ordered(clamp)) << 32 | clamp_bit | index as u64);
            }
        }
        radix::sort(&mut self.keys, &mut self.spare);
        for rank in &mut self.ranks {
            rank.y_gate = u32::MAX;
            rank.y_clamp = u32::MAX;
        }
        self.y.clear();
        if at_gates {
            self.y.push(least);
        }
        let mut last = None;
        for &entry in &self.keys {
            let key = (entry >> 32) as u32;
            let rank = &mut self.ranks[(entry & NOBODY) as usize];
            if entry & 1 << 31 == clamp_bit {
                rank.y_clamp = self.y.len() as u32;
                continue;
            }
            if last != Some(key) {
                let gate = unordered(key);
                self.y.push(if at_gates { gate } else { gate.next_down() });
                last = Some(key);
            }
            rank.y_gate = self.y.len() as u32 - u32::from(at_gates);
        }
        if !at_gates {
            self.y.push(greatest);
        }
        let none = self.y.len() as u32;
        for (rank, item) in self.ranks.iter_mut().zip(long.iter().chain(short)) {
            if item.low_gate <= least {
                rank.y_gate = 0;
            }
            if apart {
                rank.y_clamp = self.y.partition_point(|&y| y < -item.low_pred) as u32;
            } else if -item.low_pred <= least {
                rank.y_clamp = 0;
            }
            rank.y_gate = rank.y_gate.min(none);
            rank.y_clamp = rank.y_clamp.max(rank.y_gate).min(none);
        }
    }

    /// Entries into the tables; events as they come into `by_x.events`, with their ranks on l in
    /// `spare` and the counts in the offsets.
    #[inline(always)]
    fn place(&mut self, long: &[Item], short: &[Item], grid: &Grid) {
        let (columns, rows) = self.shape();
        let zeros = |values: &mut Vec<f64>, length| {
            values.clear();
            values.resize(length, 0.0);
        };
        zeros(&mut self.x_slope, columns);
        zeros(&mut self.x_weight, columns);
        zeros(&mut self.y_slope, rows);
        zeros(&mut self.y_weight, rows);
        self.x_constant.clear();
        self.x_constant.resize(columns, 0);
        self.y_constant.clear();
        self.y_constant.resize(rows, 0);
        self.by_x.offsets.clear();
        self.by_x.offsets.resize(columns + 1, 0);
        self.by_y.offsets.clear();
        self.by_y.offsets.resize(rows + 1, 0);
        self.by_x.events.clear();
        self.by_x.events.reserve(2 * self.ranks.len());
        self.spare.clear();
        let (long_ranks, short_ranks) = self.ranks.split_at(long.len());
        let greatest = self.x[columns - 1];
        for (item, rank) in long.iter().zip(long_ranks) {
            let terms = Terms::new(item, grid);
            let weight = f64::from(terms.weight);
            let gate = rank.y_gate as usize;
            self.y_slope[gate] += weight;
            self.y_weight[gate] += weight;
            self.y_constant[gate] += terms.low;
            if let Some(slope) = self.y_slope.get_mut(rank.y_clamp as usize) {
                *slope -= weight;
                self.y_constant[rank.y_clamp as usize] += terms.low_clamp;
            }
            let put = |j: usize, slope, constant| {
                self.by_x.offsets[j] += 1;
                self.by_y.offsets[gate] += 1;
                self.spare.push(u64::from(rank.y_gate));
                self.by_x.events.push(Event {
                    code: (j as u32) << 1,
                    slope,
                    constant,
                });
            };
            high_events(item, rank, &terms, grid, &self.x, greatest, put);
        }
        for (item, rank) in short.iter().zip(short_ranks) {
            let terms = Terms::new(item, grid);
            let gate = rank.x_gate as usize - 1;
            self.x_weight[gate] += f64::from(terms.weight);
            let enter = |j: usize, slope, constant| {
                self.x_slope[j] += f64::from(slope);
                self.x_constant[j] += constant;
            };
            high_events(item, rank, &terms, grid, &self.x, greatest, enter);
            low_events(rank, &terms, rows, |k, slope, constant| {
                self.by_x.offsets[gate] += 1;
                self.by_y.offsets[k] += 1;
                self.spare.push(k as u64);
                self.by_x.events.push(Event {
                    code: (gate as u32) << 1 | 1,
                    slope,
                    constant,
                });
            });
        }
    }

    /// Sums the tables over the ranks, the base and the fees included.
    #[inline(always)]
    fn sum_tables(&mut self, base: &Entered, grid: &Grid) {
        let (columns, rows) = self.shape();
        let mut sums = base.sums;
        let mut weight = base.weight[1];
        for j in (0..columns).rev() {
            sums.a += self.x_slope[j];
            sums.c += self.x_constant[j];
            weight += self.x_weight[j];
            self.x_slope[j] = sums.a;
            self.x_constant[j] = sums.c - grid.fee(weight);
        }
        let (mut slope, mut constant) = (base.sums.b, 0);
        let mut weight = base.weight[0];
        for k in 0..rows {
            slope += self.y_slope[k];
            constant += self.y_constant[k];
            weight += self.y_weight[k];
            self.y_slope[k] = slope;
            self.y_constant[k] = constant - grid.fee(weight);
        }
    }

    /// Puts the events in order, on both axes.
    #[inline(always)]
    fn order(&mut self) {
        let (_, rows) = self.shape();
        self.by_y.reserve();
        for (event, &k) in self.by_x.events.iter().zip(&self.spare) {
            self.by_y.put(k as usize, *event);
        }
        // The other order from this one, over what has been read.
        self.by_x.reserve();
        for k in 0..rows {
            for event in self.by_y.slice(k..k + 1) {
                let turned = Event {
                    code: (k as u32) << 1 | (event.code & 1),
                    ..*event
                };
                self.by_x.put(event.other() as usize, turned);
            }
        }
    }

    /// Sums of the events of cell `(j, k)`, by going through all of them; without the tables.
    pub(super) fn events_at(&self, j: usize, k: usize) -> Sums {
        let mut sums = Sums::default();
        for event in self.by_x.slice(j..self.x.len()) {
            if event.other() as usize <= k {
                event.add_to(&mut sums);
            }
        }
        sums
    }

    /// Sums of a cell from the sums of its events.
    #[inline]
    pub(super) fn with_tables(&self, events: &Sums, j: usize, k: usize) -> Sums {
        Sums {
            a: events.a + self.x_slope[j],
            b: events.b + self.y_slope[k],
            c: events.c + self.x_constant[j] + self.y_constant[k],
        }
    }
}

/// Greatest f32 h that leaves the high level below its upper clamp.
fn last_uncapped(item: &Item) -> f32 {
    let mut h = (10.0 - f64::from(item.high_pred)) as f32;
    while item.high_capped(h) {
        h = h.next_down();
    }
    while !item.high_capped(h.next_up()) {
        h = h.next_up();
    }
    h + 0.0
}

/// The part `H - close` of a leg as `(j, slope, constant)`, active for ranks up to `j`.
#[inline(always)]
fn high_events(
    item: &Item,
    rank: &Rank,
    terms: &Terms,
    grid: &Grid,
    x: &[f32],
    greatest: f32,
    mut put: impl FnMut(usize, f32, i64),
) {
    let (gate, clamp) = (rank.x_gate as usize, rank.x_clamp as usize);
    if gate == 0 {
        return;
    }
    if clamp == gate {
        put(gate - 1, 0.0, terms.high + terms.high_clamp);
        return;
    }
    if item.capped(greatest) {
        let cap = terms.high_cap(item, grid);
        let below = x.partition_point(|&h| !item.high_capped(h)).min(gate);
        put(gate - 1, 0.0, terms.high + cap);
        if below > 0 {
            put(below - 1, terms.weight, -cap);
        }
    } else {
        put(gate - 1, terms.weight, terms.high);
    }
    if clamp > 0 {
        put(clamp - 1, -terms.weight, terms.high_clamp);
    }
}

/// The part `close - L` of a leg as `(k, slope, constant)`, active for ranks from `k`.
#[inline(always)]
fn low_events(rank: &Rank, terms: &Terms, rows: usize, mut put: impl FnMut(usize, f32, i64)) {
    let (gate, clamp) = (rank.y_gate as usize, rank.y_clamp as usize);
    if gate >= rows {
        return;
    }
    if clamp == gate {
        put(gate, 0.0, terms.low + terms.low_clamp);
        return;
    }
    put(gate, terms.weight, terms.low);
    if clamp < rows {
        put(clamp, -terms.weight, terms.low_clamp);
    }
}
