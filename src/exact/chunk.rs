//! Legs side by side, so that one leg takes one lane of a vector.
//!
//! Both axes look alike here: axis 0 is `u = h` and axis 1 is `v = -l`. On either axis a leg has a
//! gate (it holds up to there), a level `max(pred + u, 0)`, and the part `weight * (level - close)`,
//! where `close` on axis 1 is `-close`. A long leg is **entered** on axis 1 and **exits** on axis
//! 0; a short leg the other way round. Where only the entry's gate holds, its own part counts;
//! where both hold, the exit's part does, too.

// One index runs over several arrays of lanes: that is what becomes vectors.
#![allow(clippy::needless_range_loop)]

use pulp::{Simd, WithSimd};

use super::fixed::{Entered, Grid, Item, Statistics, Terms, floor_lane};
use super::ranks::Box2;
use crate::batch::{Batch, Simulation, Weights};
use crate::profit::{Bar, ExitRule, MAX_HIGH, Multipliers, Side, breakpoint};

/// Legs per chunk.
pub(super) const CHUNK: usize = 64;

/// A column of a chunk.
pub(super) type Column<T> = [T; CHUNK];

/// Simulations, one after another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Simulations<'a> {
    Members(&'a Batch, &'a [u32]),
    One(Option<Simulation<'a>>),
}

impl<'a> Simulations<'a> {
    #[inline(always)]
    fn next(&mut self) -> Option<Simulation<'a>> {
        match self {
            Self::Members(batch, members) => loop {
                let (&member, rest) = members.split_first()?;
                *members = rest;
                if let Some(simulation) = batch.simulation(member as usize) {
                    break Some(simulation);
                }
            },
            Self::One(simulation) => simulation.take(),
        }
    }
}

/// Bars with their positions, chunk by chunk; always-on bars once per side.
///
/// No closure is called per chunk: it would be compiled without the vector instructions of its
/// caller.
struct Bars<'a> {
    simulations: Simulations<'a>,
    simulation: Option<Simulation<'a>>,
    /// Bars taken of the first column of weights of the simulation, and then of its second.
    taken: usize,
    close: Column<f32>,
    high: Column<f32>,
    low: Column<f32>,
    high_pred: Column<f32>,
    low_pred: Column<f32>,
    /// 0 past the last bar.
    position: Column<f32>,
}

impl<'a> Bars<'a> {
    #[inline(always)]
    fn new(mut simulations: Simulations<'a>) -> Self {
        let zero = [0.0; CHUNK];
        Self {
            simulation: simulations.next(),
            simulations,
            taken: 0,
            close: zero,
            high: zero,
            low: zero,
            high_pred: zero,
            low_pred: zero,
            position: zero,
        }
    }

    #[inline(always)]
    fn bar(&self, i: usize) -> Bar {
        Bar {
            close: self.close[i],
            high: self.high[i],
            low: self.low[i],
            high_pred: self.high_pred[i],
            low_pred: self.low_pred[i],
        }
    }

    /// Takes the next bars; false if there are none.
    #[inline(always)]
    fn next(&mut self) -> bool {
        let mut filled = 0;
        while filled < CHUNK {
            let Some(simulation) = &self.simulation else {
                break;
            };
            let bars = simulation.bars();
            let (first, second) = match simulation.weights {
                Weights::EntryExit(position) => (position, None),
                Weights::AlwaysOn { buy, sell } => (buy, sell),
            };
            let (position, start) = match second {
                Some(second) if self.taken >= bars => (second, self.taken - bars),
                _ => (first, self.taken),
            };
            let end = bars.min(start + CHUNK - filled);
            let (from, into) = (start..end, filled..filled + end - start);
            self.close[into.clone()].copy_from_slice(&simulation.close[from.clone()]);
            self.high[into.clone()].copy_from_slice(&simulation.high[from.clone()]);
            self.low[into.clone()].copy_from_slice(&simulation.low[from.clone()]);
            self.high_pred[into.clone()].copy_from_slice(&simulation.high_pred[from.clone()]);
            self.low_pred[into.clone()].copy_from_slice(&simulation.low_pred[from.clone()]);
            self.position[into.clone()].copy_from_slice(&position[from]);
            filled = into.end;
            self.taken += end - start;
            if self.taken == bars * (1 + usize::from(second.is_some())) {
                (self.simulation, self.taken) = (self.simulations.next(), 0);
            }
        }
        self.position[filled..].fill(0.0);
        filled > 0
    }
}

/// Statistics of some simulations.
pub(super) fn statistics(arch: pulp::Arch, simulations: Simulations<'_>, fee: f64) -> Statistics {
    arch.dispatch(Survey { simulations, fee })
}

struct Survey<'a> {
    simulations: Simulations<'a>,
    fee: f64,
}

impl WithSimd for Survey<'_> {
    type Output = Statistics;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Statistics {
        let Self { simulations, fee } = self;
        let mut statistics = Statistics::default();
        let mut bars = Bars::new(simulations);
        while bars.next() {
            let mut heaviest = statistics.heaviest;
            let (mut legs, mut low, mut high) = (0, 0, 0);
            for i in 0..CHUNK {
                let weight = bars.position[i].abs().min(10.0);
                let bar = bars.bar(i);
                let magnitude = floor_lane(Statistics::magnitude(&bar, weight, fee)) as u64 + 1;
                let magnitude = if weight > 0.0 { magnitude } else { 0 };
                // In halves: 64 of them cannot overflow.
                low += magnitude & 0xffff_ffff;
                high += magnitude >> 32;
                legs += u64::from(weight > 0.0);
                heaviest = if weight > heaviest { weight } else { heaviest };
            }
            statistics.heaviest = heaviest;
            statistics.legs += legs;
            statistics.magnitude += (u128::from(high) << 32) + u128::from(low);
        }
        statistics
    }
}

/// Sums of some simulations at a pair, on the grid of their group.
///
/// Gates are decided by the comparisons of the specification: the exact breakpoints would take
/// longer than everything else.
pub(super) fn entered(
    arch: pulp::Arch,
    simulations: Simulations<'_>,
    grid: &Grid,
    at: Multipliers,
    exit_rule: ExitRule,
) -> Entered {
    arch.dispatch(Enter {
        simulations,
        grid,
        at,
        exit_rule,
    })
}

struct Enter<'a> {
    simulations: Simulations<'a>,
    grid: &'a Grid,
    at: Multipliers,
    exit_rule: ExitRule,
}

impl WithSimd for Enter<'_> {
    type Output = Entered;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Entered {
        let Self {
            simulations,
            grid,
            at,
            exit_rule,
        } = self;
        let intraday = exit_rule == ExitRule::Intraday;
        let mut entered = Entered::default();
        let mut bars = Bars::new(simulations);
        while bars.next() {
            let mut constant = [0_i64; CHUNK];
            let (mut slope, mut weights) = ([[0.0; CHUNK]; 2], [[0.0; CHUNK]; 2]);
            let mut capped = [false; CHUNK];
            for i in 0..CHUNK {
                let (bar, position) = (bars.bar(i), bars.position[i]);
                let (long, short) = (position > 0.0, position < 0.0);
                let (long_high, long_low) = bar.long_gates(at);
                let (short_high, short_low) = bar.short_gates(at);
                let entered = [long & long_low, short & short_high];
                // Whether the parts `H - close` and `close - L` count.
                let high = entered[1] | entered[0] & intraday & long_high;
                let low = entered[0] | entered[1] & intraday & short_low;

                // As in `Terms`.
                let weight = grid.weight_lane(position.abs().min(10.0));
                let scaled = weight * grid.scale;
                let (close, high_pred, low_pred) = (
                    f64::from(bar.close),
                    f64::from(bar.high_pred),
                    f64::from(bar.low_pred),
                );
                let high_level = high_pred + f64::from(at.high);
                let low_level = low_pred + f64::from(at.low);
                let high_clamped = high_level <= 0.0;
                let low_clamped = low_level >= 0.0;
                capped[i] = high & (high_level >= f64::from(MAX_HIGH));
                let high_part = floor_lane(scaled * (high_pred - close) + 0.5);
                let low_part = floor_lane(scaled * (close - low_pred) + 0.5);
                let high_clamp = floor_lane(-scaled * high_pred);
                let low_clamp = floor_lane(scaled * low_pred);
                let high_part = high_part + if high_clamped { high_clamp } else { 0 };
                let low_part = low_part + if low_clamped { low_clamp } else { 0 };
                constant[i] = if high { high_part } else { 0 } + if low { low_part } else { 0 };
                let weight_if = |holds| if holds { weight } else { 0.0 };
                slope[0][i] = weight_if(high & !high_clamped);
                slope[1][i] = weight_if(low & !low_clamped);
                weights[0][i] = weight_if(entered[0]);
                weights[1][i] = weight_if(entered[1]);
            }
            entered.sums.c += constant.iter().sum::<i64>();
            entered.sums.a += sum(&slope[0]);
            entered.sums.b += sum(&slope[1]);
            entered.weight[0] += sum(&weights[0]);
            entered.weight[1] += sum(&weights[1]);
            if capped.contains(&true) {
                cap(&bars, &capped, grid, &mut entered);
            }
        }
        entered
    }
}

/// Turns what was added for a level that moves into what is due where it has reached its upper clamp.
#[cold]
fn cap(bars: &Bars<'_>, capped: &Column<bool>, grid: &Grid, entered: &mut Entered) {
    for i in (0..CHUNK).filter(|&i| capped[i]) {
        let bar = bars.bar(i);
        let item = Item {
            high_pred: bar.high_pred,
            low_pred: bar.low_pred,
            close: bar.close,
            weight: bars.position[i].abs().min(10.0),
            ..Item::default()
        };
        let terms = Terms::new(&item, grid);
        entered.sums.c += terms.high_cap(&item, grid);
        entered.sums.a -= f64::from(terms.weight);
    }
}

/// Legs of either side.
pub(super) struct Chunk {
    /// 0 where there is no leg.
    pub weight: Column<f32>,
    /// Whether it is a short leg; a long one else.
    pub short: Column<bool>,
    /// On both axes: where the gate ends (±inf: always, never), and the forecast of the level.
    pub gate: [Column<f32>; 2],
    pub pred: [Column<f32>; 2],
    pub close: Column<f32>,
}

impl Default for Chunk {
    fn default() -> Self {
        let zero = [0.0; CHUNK];
        Self {
            weight: zero,
            short: [false; CHUNK],
            gate: [zero; 2],
            pred: [zero; 2],
            close: zero,
        }
    }
}

/// Where legs come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// Simulations of a batch, under an exit rule.
    Batch(&'a Batch, &'a [u32], ExitRule),
    /// Long and short legs.
    Items(&'a [Item], &'a [Item]),
}

/// Goes through the legs of a source.
pub(super) struct Reader<'a> {
    bars: Option<(Bars<'a>, ExitRule)>,
    items: [&'a [Item]; 2],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(super) fn new(source: &Source<'a>) -> Self {
        match *source {
            Source::Batch(batch, members, exit_rule) => Self {
                bars: Some((Bars::new(Simulations::Members(batch, members)), exit_rule)),
                items: [&[]; 2],
            },
            Source::Items(long, short) => Self {
                bars: None,
                items: [long, short],
            },
        }
    }

    /// Takes the next legs; false if there are none.
    #[inline(always)]
    pub(super) fn next(&mut self, chunk: &mut Chunk) -> bool {
        if let Some((bars, exit_rule)) = &mut self.bars {
            let some = bars.next();
            if some {
                chunk.load_bars(bars, *exit_rule);
            }
            return some;
        }
        let is_short = self.items[0].is_empty();
        let items = &mut self.items[usize::from(is_short)];
        let (next, rest) = items.split_at(items.len().min(CHUNK));
        *items = rest;
        chunk.load_items(next, is_short);
        !next.is_empty()
    }
}

impl Chunk {
    #[inline(always)]
    fn load_bars(&mut self, bars: &Bars<'_>, exit_rule: ExitRule) {
        let mut unsure = false;
        let mut sure = [true; CHUNK];
        for i in 0..CHUNK {
            let short = bars.position[i] < 0.0;
            self.weight[i] = bars.position[i].abs().min(10.0);
            self.short[i] = short;
            self.close[i] = bars.close[i];
            self.pred[0][i] = bars.high_pred[i];
            self.pred[1][i] = -bars.low_pred[i];
            let (high, high_sure) = breakpoint(bars.high_pred[i], bars.high[i], MAX_HIGH, short);
            let (low, low_sure) = breakpoint(-bars.low_pred[i], -bars.low[i], 1.0, !short);
            self.gate[0][i] = high;
            self.gate[1][i] = low;
            sure[i] = high_sure & low_sure;
            unsure |= !sure[i];
        }
        if unsure {
            self.bisect(bars, &sure);
        }
        if exit_rule == ExitRule::AtClose {
            // No exit at a level.
            for i in 0..CHUNK {
                let (high, low) = (self.gate[0][i], self.gate[1][i]);
                self.gate[0][i] = if self.short[i] {
                    high
                } else {
                    f32::NEG_INFINITY
                };
                self.gate[1][i] = if self.short[i] {
                    f32::NEG_INFINITY
                } else {
                    low
                };
            }
        }
    }

    /// The gates that are not sure, one by one.
    #[cold]
    fn bisect(&mut self, bars: &Bars<'_>, sure: &Column<bool>) {
        for i in (0..CHUNK).filter(|&i| !sure[i]) {
            let bar = bars.bar(i);
            if let Some((_, item)) = Item::new(&bar, bars.position[i]) {
                self.gate[0][i] = item.high_gate;
                self.gate[1][i] = -item.low_gate;
            }
        }
    }

    #[inline(always)]
    fn load_items(&mut self, items: &[Item], are_short: bool) {
        self.short.fill(are_short);
        for (i, item) in items.iter().enumerate() {
            self.weight[i] = item.weight;
            self.close[i] = item.close;
            self.gate[0][i] = item.high_gate;
            self.gate[1][i] = -item.low_gate;
            self.pred[0][i] = item.high_pred;
            self.pred[1][i] = -item.low_pred;
        }
        self.weight[items.len()..].fill(0.0);
    }

    /// Leg `i`, as it is kept.
    #[inline(always)]
    fn item(&self, i: usize) -> Item {
        Item {
            high_gate: self.gate[0][i],
            // No -0.0: keys of equal gates are equal.
            low_gate: -self.gate[1][i] + 0.0,
            high_pred: self.pred[0][i],
            low_pred: -self.pred[1][i],
            close: self.close[i],
            weight: self.weight[i],
        }
    }

    /// Tells the legs that change inside `bounds`, and adds those that do not to `base`.
    #[inline(always)]
    fn restrict(&self, grid: &Grid, bounds: &Box2, base: &mut Entered) -> Column<bool> {
        let ends = [bounds.high, (-bounds.low.1, -bounds.low.0)];
        let mut changes = [false; CHUNK];
        let mut constant = [0_i64; CHUNK];
        let (mut slope, mut entered) = ([[0.0; CHUNK]; 2], [[0.0; CHUNK]; 2]);
        for i in 0..CHUNK {
            let short = self.short[i];
            let (mut never, mut fixed, mut holds) = ([false; 2], [false; 2], [false; 2]);
            let (mut level, mut is_clamped) = ([0_i64; 2], [false; 2]);
            let weight = grid.weight_lane(self.weight[i]);
            let scaled = weight * grid.scale;
            for axis in 0..2 {
                let (least, greatest) = ends[axis];
                let (gate, pred) = (self.gate[axis][i], self.pred[axis][i]);
                never[axis] = gate < least;
                holds[axis] = gate >= greatest;
                let moves = (-pred >= least) & (-pred < greatest);
                fixed[axis] = holds[axis] & !moves;
                let close = if axis == 0 {
                    self.close[i]
                } else {
                    -self.close[i]
                };
                // As in `Terms`: clamped at the upper end is clamped in all of the box.
                is_clamped[axis] = f64::from(pred) + f64::from(greatest) <= 0.0;
                let clamp = floor_lane(-scaled * f64::from(pred));
                level[axis] = floor_lane(scaled * (f64::from(pred) - f64::from(close)) + 0.5)
                    + if is_clamped[axis] { clamp } else { 0 };
            }
            let capped = f64::from(self.pred[0][i])
                + f64::from(if self.gate[0][i] < ends[0].1 {
                    self.gate[0][i]
                } else {
                    ends[0].1
                })
                >= f64::from(MAX_HIGH);
            let pick = |pair: [bool; 2], first: bool| if first { pair[0] } else { pair[1] };
            let is_leg = self.weight[i] > 0.0;
            let entry_never = pick(never, short) | !is_leg;
            let exit_fixed = pick(never, !short) | pick(fixed, !short);
            let is_constant = pick(fixed, short) & exit_fixed & !capped;
            changes[i] = !(entry_never | is_constant);
            let counts = is_constant & !entry_never;
            for axis in 0..2 {
                // The entry's own axis counts in any case, the exit's where its gate holds.
                let is_entry = short == (axis == 0);
                let counts = counts & (is_entry | holds[axis]);
                let on = if counts { 1.0 } else { 0.0 };
                constant[i] += if counts { level[axis] } else { 0 };
                slope[axis][i] = if is_clamped[axis] { 0.0 } else { weight * on };
                entered[axis][i] = if is_entry { weight * on } else { 0.0 };
            }
        }
        base.sums.c += constant.iter().sum::<i64>();
        base.sums.a += sum(&slope[0]);
        base.sums.b += sum(&slope[1]);
        // Long legs are entered on axis 1.
        base.weight[0] += sum(&entered[1]);
        base.weight[1] += sum(&entered[0]);
        changes
    }
}

/// The sum of weights, which is exact in any order.
#[inline(always)]
fn sum(weights: &Column<f64>) -> f64 {
    let mut lanes = [0.0; 8];
    for weights in weights.chunks_exact(8) {
        for lane in 0..8 {
            lanes[lane] += weights[lane];
        }
    }
    lanes.iter().sum()
}

/// Adds the legs of `source` that change inside `bounds` to `long` and `short`, and those that do
/// not to `base`.
pub(super) struct Take<'a> {
    pub source: Source<'a>,
    pub grid: &'a Grid,
    pub bounds: &'a Box2,
    pub base: &'a mut Entered,
    pub long: &'a mut Vec<Item>,
    pub short: &'a mut Vec<Item>,
    /// False: only to count them.
    pub store: bool,
}

/// Long and short legs that change.
pub(super) struct Taken {
    pub counts: [usize; 2],
    /// Whether they were stored: they were to be, and the machine had the memory.
    pub stored: bool,
}

impl WithSimd for Take<'_> {
    type Output = Taken;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Taken {
        let mut taken = Taken {
            counts: [0; 2],
            stored: self.store,
        };
        let mut indices = [0_u8; CHUNK];
        let mut kept = [[Item::default(); CHUNK]; 2];
        let mut reader = Reader::new(&self.source);
        let mut chunk = Chunk::default();
        while reader.next(&mut chunk) {
            let changes = chunk.restrict(self.grid, self.bounds, self.base);
            let mut changing = 0;
            for i in 0..CHUNK {
                indices[changing] = i as u8;
                changing += usize::from(changes[i]);
            }
            // Without a branch on the side: it is as good as random.
            let mut counts = [0; 2];
            for &i in &indices[..changing] {
                let i = usize::from(i);
                let (item, is_short) = (chunk.item(i), chunk.short[i]);
                kept[0][counts[0]] = item;
                kept[1][counts[1]] = item;
                counts[0] += usize::from(!is_short);
                counts[1] += usize::from(is_short);
            }
            for (side, items) in [&mut *self.long, &mut *self.short].into_iter().enumerate() {
                taken.counts[side] += counts[side];
                let kept = &kept[side][..counts[side]];
                if taken.stored && items.capacity() - items.len() < kept.len() {
                    // By a quarter: doubling would hold twice what is needed.
                    let more = items.len() / 4 + 16 * CHUNK;
                    taken.stored = items.try_reserve_exact(more).is_ok();
                }
                if taken.stored {
                    items.extend_from_slice(kept);
                }
            }
        }
        taken
    }
}

/// Keeps the legs that change inside `bounds` and adds those that do not to `base`.
pub(super) fn restrict(
    arch: pulp::Arch,
    legs: &mut Vec<Item>,
    side: Side,
    grid: &Grid,
    bounds: &Box2,
    base: &mut Entered,
) {
    let are_short = side == Side::Short;
    let kept = arch.dispatch(Restrict {
        legs,
        are_short,
        grid,
        bounds,
        base,
    });
    legs.truncate(kept);
}

/// Moves what is kept to the front; returns how many that are.
struct Restrict<'a> {
    legs: &'a mut [Item],
    are_short: bool,
    grid: &'a Grid,
    bounds: &'a Box2,
    base: &'a mut Entered,
}

impl WithSimd for Restrict<'_> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let legs = self.legs;
        let mut chunk = Chunk::default();
        let (mut kept, mut start) = (0, 0);
        while start < legs.len() {
            let end = legs.len().min(start + CHUNK);
            chunk.load_items(&legs[start..end], self.are_short);
            let changes = chunk.restrict(self.grid, self.bounds, self.base);
            for i in start..end {
                legs[kept] = legs[i];
                kept += usize::from(changes[i - start]);
            }
            start = end;
        }
        kept
    }
}
