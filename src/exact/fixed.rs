//! The value in fixed point: one number per group and pair, whatever the order of its legs.
//!
//! # The grids
//!
//! A group has two units, both powers of two, from statistics that do not depend on any order
//! and not on the box ([`Statistics`]): the number of legs, the heaviest weight, and an integer
//! sum of magnitudes.
//!
//! * Weights are rounded once to multiples of `weight_unit = 2^-52 * pow2(legs * heaviest)`,
//!   where `pow2` is the next power of two. Sums of weights stay below 2^53 units, so f64 adds them exactly.
//!   A weight is an f32: it is exact already unless it is more than `2^28 / legs` times lighter
//!   than the heaviest.
//! * Constants (weight times a level or a close) are rounded once to multiples of
//!   `unit = 2^-61 * pow2(sum of magnitudes)`, and added as i64.
//!
//! Every sum is exact, so it has the same bits in any order, on any number of threads, and when
//! the sums of shards are added.
//!
//! # The value
//!
//! With `A`, `B` the weights of legs whose level moves with h and with l, and `C` the constants,
//!
//! ```text
//! value = floor(A * h / unit) + floor(-B * l / unit) + C        an i64, in units
//! ```
//!
//! Between gates the true profit rises with h and falls with l. This value does so too, to the
//! last bit: the constants that a clamp brings in are rounded towards the side that keeps it
//! monotone (see [`Terms`]), and shifting by an integer commutes with `floor`. So the pairs of
//! gates that the search looks at dominate **every** f32 pair, in bits and not up to rounding.
//!
//! # The error
//!
//! At most 3 roundings of a constant per leg, each below one unit, 2 for the fee and 2 for the
//! products: at most `3 * legs + 4` units of `2^-60` of the sum of magnitudes. For 2,000,000 legs this is
//! 5e-12 of the sum of magnitudes if every rounding goes the same way; as they do not, about
//! 1e-14.

use pulp::Simd;

use crate::batch::{Batch, Weights};
#[cfg(test)]
use crate::profit::ExitRule;
use crate::profit::{Bar, Leg, MAX_HIGH, Multipliers, Side, gates};

/// Fraction bits of the magnitudes in [`Statistics`].
const MAGNITUDE_BITS: i32 = 36;

/// Bits that the sum of magnitudes takes in units of the constants.
pub(super) const VALUE_BITS: i32 = 61;

/// What the grids of a group are made from. Merging is associative and commutative.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Statistics {
    /// Number of legs.
    pub legs: u64,
    /// Greatest weight.
    pub heaviest: f32,
    /// Sum of bounds on the constants of a leg, each rounded up to `2^-36`, in that unit.
    pub magnitude: u128,
}

impl Statistics {
    #[inline]
    pub(super) fn add(&mut self, bar: &Bar, weight: f32, fee: f64) {
        self.legs += 1;
        self.heaviest = self.heaviest.max(weight);
        self.magnitude += u128::from(Self::magnitude(bar, weight, fee) as u64 + 1);
    }

    /// Bound on the constants of a leg, to be rounded up.
    #[inline(always)]
    pub(super) fn magnitude(bar: &Bar, weight: f32, fee: f64) -> f64 {
        let reach = |x: f32| f64::from(x.abs());
        // A part has a constant and, besides, its level's slope or the constant of its clamp.
        let magnitude = 2.0 * (reach(bar.high_pred) + reach(bar.low_pred) + reach(bar.close))
            + f64::from(bar.high.clamp(0.0, MAX_HIGH))
            + reach(bar.low).min(1.0)
            + fee;
        f64::from(weight) * magnitude * f64::from(1_u32 << 31) * 32.0
    }

    /// Adds the statistics of another shard of the same group.
    pub(super) fn merge(&mut self, other: &Self) {
        self.legs += other.legs;
        self.heaviest = self.heaviest.max(other.heaviest);
        self.magnitude += other.magnitude;
    }
}

/// 2^exponent, for exponents within the range of normal f64.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent.clamp(-1022, 1023) + 1023) as u64) << 52)
}

/// Least `e` with `x <= 2^e`, for positive normal `x`.
fn exponent_above(x: f64) -> i32 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    exponent + i32::from(bits & ((1 << 52) - 1) != 0)
}

#[inline]
pub(super) fn floor(x: f64) -> i64 {
    // PERF: not `f64::floor`, which is a call where the instruction set is the least.
    let truncated = x as i64;
    truncated.saturating_sub(i64::from(truncated as f64 > x))
}

/// [`floor`] as a lane of a vector, for numbers below 2^62: a cast to i64 checks its range, one
/// number at a time.
#[inline(always)]
pub(super) fn floor_lane(x: f64) -> i64 {
    /// Added to a number below 2^51, rounds it to an integer, which is then in the last bits.
    const ROUND: f64 = 1.5 * (1_u64 << 52) as f64;
    const HALF: f64 = (1_u64 << 32) as f64;
    let upper = x * (1.0 / HALF) + ROUND;
    let lower = x - (upper - ROUND) * HALF;
    let nearest = lower + ROUND;
    let bits = |shifted: f64| shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i64;
    (bits(upper) << 32) + bits(nearest) - i64::from(nearest - ROUND > lower)
}

#[inline]
fn ceil(x: f64) -> i64 {
    -floor(-x)
}

#[inline]
fn nearest(x: f64) -> i64 {
    floor(x + 0.5)
}

/// The two grids of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    /// `weight_unit` is 2 to this.
    weight_exponent: i32,
    /// `unit` is 2 to this.
    exponent: i32,
    /// 1 / `weight_unit`.
    per_weight: f64,
    /// `weight_unit / unit`.
    pub scale: f64,
    /// The fee per unit of weight, in units.
    fee: f64,
    /// `unit`, in return units.
    pub unit: f64,
    /// Whether sums come with their signs turned.
    negated: bool,
}

impl Grid {
    pub(super) fn new(statistics: &Statistics, fee: f64) -> Self {
        // An empty group has any grid.
        let heaviest = f64::from(statistics.heaviest).max(f64::from(f32::from_bits(1)));
        let weights = heaviest * statistics.legs.max(1) as f64;
        let weight_exponent = exponent_above(weights) - 52;
        let magnitude = statistics.magnitude.max(1);
        let bits = (128 - (magnitude - 1).leading_zeros()) as i32;
        let exponent = bits - MAGNITUDE_BITS - VALUE_BITS;
        let scale = power_of_two(weight_exponent - exponent);
        Self {
            weight_exponent,
            exponent,
            per_weight: power_of_two(-weight_exponent),
            scale,
            fee: fee * scale,
            unit: power_of_two(exponent),
            negated: false,
        }
    }

    /// The same grid for sums whose signs are turned: values are then turned too, exactly.
    pub(super) fn negated(self) -> Self {
        Self {
            negated: true,
            ..self
        }
    }

    /// A weight in units. Representable in f32, as it has no more bits than the weight had.
    #[inline]
    pub(super) fn weight(&self, weight: f32) -> f32 {
        nearest(f64::from(weight) * self.per_weight) as f32
    }

    /// A weight in units, as a lane of a vector: without a conversion to an integer.
    #[inline(always)]
    pub(super) fn weight_lane(&self, weight: f32) -> f64 {
        (f64::from(weight) * self.per_weight + 0.5).floor()
    }

    /// What the fee takes from entered legs of this total weight (in units of weight).
    #[inline]
    pub(super) fn fee(&self, entered: f64) -> i64 {
        nearest(self.fee * entered)
    }

    /// The fee per unit of weight, in units and not rounded.
    #[inline]
    pub(super) fn fee_rate(&self) -> f64 {
        self.fee
    }

    /// What the kernel of a GPU needs of it.
    #[cfg(feature = "cuda")]
    pub(super) fn units(&self) -> Units {
        Units {
            shift: self.weight_exponent - self.exponent,
            per_weight: self.per_weight,
            scale: self.scale,
            fee: self.fee,
        }
    }

    /// A multiplier, ready for exact products.
    #[inline]
    pub(super) fn factor(&self, multiplier: f32) -> Factor {
        let bits = multiplier.to_bits();
        let exponent = ((bits >> 23) & 0xff) as i32;
        let fraction = i64::from(bits & 0x7f_ffff);
        let (mantissa, exponent) = if exponent == 0 {
            (fraction, -149)
        } else {
            (fraction | 0x80_0000, exponent - 150)
        };
        Factor {
            mantissa: if multiplier < 0.0 {
                -mantissa
            } else {
                mantissa
            },
            shift: exponent + self.weight_exponent - self.exponent,
        }
    }

    /// The value of sums, in units.
    #[inline]
    pub(super) fn value(&self, sums: &Sums, high: Factor, low: Factor) -> i64 {
        if self.negated {
            return sums.c - high.floor_product(-sums.a) - low.floor_product(sums.b);
        }
        high.floor_product(sums.a) + low.floor_product(-sums.b) + sums.c
    }

    /// Profit of a value over `simulations`, their mean.
    #[inline]
    pub(super) fn profit(&self, value: i64, simulations: usize) -> f64 {
        // + 0.0: a loss that rounds to nothing has no sign.
        value as f64 * self.unit / simulations.max(1) as f64 + 0.0
    }
}

/// A grid as the kernel of a GPU takes it.
#[cfg(feature = "cuda")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    /// `weight_unit / unit` is 2 to this.
    pub shift: i32,
    /// 1 / `weight_unit`.
    pub per_weight: f64,
    /// `weight_unit / unit`.
    pub scale: f64,
    /// The fee per unit of weight, in units.
    pub fee: f64,
}

/// A multiplier as `mantissa * 2^shift` units per unit of weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factor {
    mantissa: i64,
    shift: i32,
}

impl Factor {
    /// `floor(weight * multiplier)` in units, exactly; `weight` is an integer below 2^53.
    #[inline]
    fn floor_product(self, weight: f64) -> i64 {
        let product = i128::from(weight as i64) * i128::from(self.mantissa);
        if self.shift >= 0 {
            // Legs that move with h have |h| within their forecast and their level: the
            // statistics bound the product, so nothing is lost.
            (product << self.shift.min(62)) as i64
        } else {
            (product >> (-self.shift).min(127)) as i64
        }
    }
}

/// Sums of coefficients: `F = A * h - B * l + C`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    /// Weights of legs whose high level moves, in units of weight.
    pub a: f64,
    /// Weights of legs whose low level moves, in units of weight.
    pub b: f64,
    /// Constants, in units.
    pub c: i64,
}

/// A leg as the search keeps it: 24 bytes; long and short legs are kept apart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Item {
    /// Greatest h for which the high gate holds; ±inf: always, never.
    pub high_gate: f32,
    /// Least l for which the low gate holds; ±inf: never, always.
    pub low_gate: f32,
    pub high_pred: f32,
    pub low_pred: f32,
    pub close: f32,
    /// Fraction of the capital, at most 10.
    pub weight: f32,
}

impl Item {
    pub(super) fn new(bar: &Bar, position: f32) -> Option<(Side, Self)> {
        let leg = Leg::new(bar, position, 0.0)?;
        let item = Self {
            high_gate: leg.high_gate,
            // No -0.0: keys of equal gates are equal.
            low_gate: leg.low_gate + 0.0,
            high_pred: bar.high_pred,
            low_pred: bar.low_pred,
            close: bar.close,
            weight: leg.weight,
        };
        Some((leg.side, item))
    }

    /// Whether some h of the box lifts the high level above its upper clamp.
    #[inline]
    pub(super) fn capped(&self, greatest: f32) -> bool {
        self.high_capped(self.high_gate.min(greatest))
    }

    #[inline]
    pub(super) fn high_capped(&self, h: f32) -> bool {
        f64::from(self.high_pred) + f64::from(h) >= f64::from(MAX_HIGH)
    }
}

/// The constants of a leg, in units.
///
/// A leg is made of two parts, each active under its gates: `H - close` (`high`) and
/// `close - L` (`low`). A level that moves has slope `weight`; a clamp takes the slope away and
/// adds `high_clamp`, `high_cap` or `low_clamp`. These are rounded so that the value cannot fall
/// where h rises past a clamp, nor where l falls past one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// In units of weight.
    pub weight: f32,
    /// `weight * (high_pred - close)`.
    pub high: i64,
    /// `-weight * high_pred`, rounded down.
    pub high_clamp: i64,
    /// `weight * (close - low_pred)`.
    pub low: i64,
    /// `weight * low_pred`, rounded down.
    pub low_clamp: i64,
}

impl Terms {
    #[inline]
    pub(super) fn new(item: &Item, grid: &Grid) -> Self {
        let weight = grid.weight(item.weight);
        let scaled = f64::from(weight) * grid.scale;
        let (close, high_pred, low_pred) = (
            f64::from(item.close),
            f64::from(item.high_pred),
            f64::from(item.low_pred),
        );
        // Products of two f32 are exact in f64, so the directed roundings are true ones.
        Self {
            weight,
            high: nearest(scaled * (high_pred - close)),
            high_clamp: floor(-scaled * high_pred),
            low: nearest(scaled * (close - low_pred)),
            low_clamp: floor(scaled * low_pred),
        }
    }

    /// `weight * (10 - high_pred)`, rounded up.
    #[inline]
    pub(super) fn high_cap(&self, item: &Item, grid: &Grid) -> i64 {
        let scaled = f64::from(self.weight) * grid.scale;
        ceil(scaled * f64::from(MAX_HIGH)) + ceil(-scaled * f64::from(item.high_pred))
    }

    /// Adds the part `H - close` at `h`.
    #[cfg(test)]
    fn add_high(&self, item: &Item, grid: &Grid, h: f32, sums: &mut Sums) {
        sums.c += self.high;
        if f64::from(item.high_pred) + f64::from(h) <= 0.0 {
            sums.c += self.high_clamp;
        } else if item.high_capped(h) {
            sums.c += self.high_cap(item, grid);
        } else {
            sums.a += f64::from(self.weight);
        }
    }

    /// Adds the part `close - L` at `l`. Its lower clamp is never met: a gate holds only above
    /// a low that is above -1.
    #[cfg(test)]
    fn add_low(&self, item: &Item, l: f32, sums: &mut Sums) {
        sums.c += self.low;
        if f64::from(item.low_pred) + f64::from(l) >= 0.0 {
            sums.c += self.low_clamp;
        } else {
            sums.b += f64::from(self.weight);
        }
    }
}

/// Sums of a set of legs at one pair, the weights that paid a fee apart.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entered {
    pub sums: Sums,
    /// Weight of entered long legs and of entered short legs, in units of weight.
    pub weight: [f64; 2],
}

impl Entered {
    /// Adds a leg: what [`chunk::entered`](super::chunk::entered) does for many.
    #[cfg(test)]
    pub(super) fn add(
        &mut self,
        side: Side,
        item: &Item,
        grid: &Grid,
        at: Multipliers,
        exit_rule: ExitRule,
    ) {
        let high_holds = at.high <= item.high_gate;
        let low_holds = at.low >= item.low_gate;
        let intraday = exit_rule == ExitRule::Intraday;
        match side {
            Side::Long if low_holds => {
                let terms = Terms::new(item, grid);
                self.weight[0] += f64::from(terms.weight);
                terms.add_low(item, at.low, &mut self.sums);
                if intraday && high_holds {
                    terms.add_high(item, grid, at.high, &mut self.sums);
                }
            }
            Side::Short if high_holds => {
                let terms = Terms::new(item, grid);
                self.weight[1] += f64::from(terms.weight);
                terms.add_high(item, grid, at.high, &mut self.sums);
                if intraday && low_holds {
                    terms.add_low(item, at.low, &mut self.sums);
                }
            }
            _ => {}
        }
    }

    /// Adds the sums of another shard of the same group.
    pub(super) fn merge(&mut self, other: &Self) {
        self.sums.a += other.sums.a;
        self.sums.b += other.sums.b;
        self.sums.c += other.sums.c;
        self.weight[0] += other.weight[0];
        self.weight[1] += other.weight[1];
    }

    pub(super) fn value(&self, grid: &Grid, at: Multipliers) -> i64 {
        let mut sums = self.sums;
        // Once per side and not per leg: a fee rounded N times the same way would add up.
        sums.c -= grid.fee(self.weight[0]) + grid.fee(self.weight[1]);
        grid.value(&sums, grid.factor(at.high), grid.factor(at.low))
    }
}

/// Bars whose gates are found at once.
const CHUNK: usize = 16;

/// Calls `f` with every bar, its position and, where that is not 0, the gates of the leg.
#[inline(always)]
pub(super) fn for_each_leg<S: Simd>(
    simd: S,
    batch: &Batch,
    members: &[u32],
    mut f: impl FnMut(&Bar, f32, Item),
) {
    let simulations = members.iter().filter_map(|&s| batch.simulation(s as usize));
    for simulation in simulations {
        let (first, second) = match simulation.weights {
            Weights::EntryExit(position) => (position, None),
            Weights::AlwaysOn { buy, sell } => (buy, sell),
        };
        for weights in [first, second.unwrap_or_default()] {
            for start in (0..weights.len()).step_by(CHUNK) {
                let close = chunk(simd, simulation.close, start);
                let high = chunk(simd, simulation.high, start);
                let low = chunk(simd, simulation.low, start);
                let high_pred = chunk(simd, simulation.high_pred, start);
                let low_pred = chunk(simd, simulation.low_pred, start);
                let positions = chunk(simd, weights, start);
                let (high_gates, low_gates) = gates(&high_pred, &high, &low_pred, &low, &positions);
                for i in 0..(weights.len() - start).min(CHUNK) {
                    let bar = Bar {
                        close: close[i],
                        high: high[i],
                        low: low[i],
                        high_pred: high_pred[i],
                        low_pred: low_pred[i],
                    };
                    let item = Item {
                        high_gate: high_gates[i],
                        // No -0.0: keys of equal gates are equal.
                        low_gate: low_gates[i] + 0.0,
                        high_pred: high_pred[i],
                        low_pred: low_pred[i],
                        close: close[i],
                        weight: positions[i].abs().min(10.0),
                    };
                    f(&bar, positions[i], item);
                }
            }
        }
    }
}

/// The values from `start` on, then zeros.
#[inline(always)]
fn chunk<S: Simd>(simd: S, column: &[f32], start: usize) -> [f32; CHUNK] {
    let mut chunk = [0.0; CHUNK];
    let mut rest = &column[start..];
    for vector in S::as_mut_simd_f32s(&mut chunk).0 {
        *vector = simd.partial_load_f32s(rest);
        rest = &rest[rest.len().min(S::F32_LANES)..];
    }
    chunk
}

/// Number of long and of short legs of some simulations.
pub(super) fn count_sides(batch: &Batch, members: &[u32]) -> [usize; 2] {
    let mut sides = [0, 0];
    for &s in members {
        let Some(simulation) = batch.simulation(s as usize) else {
            continue;
        };
        let (first, second) = match simulation.weights {
            Weights::EntryExit(position) => (position, None),
            Weights::AlwaysOn { buy, sell } => (buy, sell),
        };
        for column in [Some(first), second].into_iter().flatten() {
            sides[0] += column.iter().filter(|&&weight| weight > 0.0).count();
            sides[1] += column.iter().filter(|&&weight| weight < 0.0).count();
        }
    }
    sides
}
