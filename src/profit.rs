//! The profit of a position under a pair of multipliers. **This file is the specification.**
//!
//! Per bar, with position `p`, fee `f` per entered leg and multipliers `(h, l)`:
//!
//! ```text
//! H = clamp(high_pred + h, 0, 10)      L = clamp(low_pred + l, -1, 0)
//! long  = clamp(p, 0, 10)              short = clamp(p, -10, 0)
//! long entry  if L > low               exit at H if H <= high, else at close
//! short entry if H < high              exit at L if L >= low,  else at close
//! long  profit = long  * (exit - L) - long    * f
//! short profit = short * (exit - H) - |short| * f
//! AtClose: the exit is always the close.
//! ```
//!
//! When a bar touches both levels, the favourable order is assumed: the entry first, then the
//! exit. Daily bars cannot tell, so profits of [`ExitRule::Intraday`] are optimistic there.
//!
//! Three forms, slow to fast, each tested against the one before:
//!
//! 1. [`profit_f64`]: everything in f64, for comparison with published values.
//! 2. [`profit`]: gates decided on f32 sums, values in f64. The reference, and the form in which
//!    every reported profit is computed.
//! 3. [`Leg`]: gates as exact f32 breakpoints on the multipliers, values in f32. What the
//!    evaluators run; [`canonical_profit`] is its scalar statement, order of summation included.
//!
//! **Why gates are f32 everywhere.** `high_pred + h <= high` may hold for the f32 sum and fail for
//! the f64 sum. Then two backends would disagree by a whole trade, not by an ulp.

/// Fee per entered leg of an equity position, as a fraction of the position.
pub const EQUITY_FEE: f64 = 0.000_027_8;

/// Fee per entered leg of a crypto position, as a fraction of the position.
pub const CRYPTO_FEE: f64 = 0.008;

/// Highest predicted high that counts (a move of +1000 %); levels above are clamped to it.
pub(crate) const MAX_HIGH: f32 = 10.0;

/// Number of partial sums of the canonical order, the width of a warp.
pub(crate) const LANES: usize = 32;

/// When a position is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ExitRule {
    /// Take profit at the predicted level when the bar touches it, else at the close.
    #[default]
    Intraday,
    /// Always at the close.
    AtClose,
}

impl std::fmt::Display for ExitRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Intraday => "intraday",
            Self::AtClose => "at close",
        })
    }
}

/// The pair **added** to `high_pred` and `low_pred`, in return units (0.01 = one percent point).
///
/// The field calls them multipliers; they are additive, and usually within ±0.03.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Multipliers {
    /// Added to the predicted high.
    pub high: f32,
    /// Added to the predicted low.
    pub low: f32,
}

impl Multipliers {
    /// The forecasts as they are.
    pub const BASELINE: Self = Self {
        high: 0.0,
        low: 0.0,
    };

    /// A pair of multipliers.
    pub const fn new(high: f32, low: f32) -> Self {
        Self { high, low }
    }
}

/// One trading period. All values are fractional moves against the bar's reference price
/// (0.01 = +1 %).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bar {
    /// Where the bar closed.
    pub close: f32,
    /// The highest level it touched.
    pub high: f32,
    /// The lowest level it touched.
    pub low: f32,
    /// The forecast of `high`.
    pub high_pred: f32,
    /// The forecast of `low`.
    pub low_pred: f32,
}

impl Bar {
    /// Whether a long leg's high gate (the exit) and low gate (the entry) hold, on f32 sums.
    #[inline]
    pub(crate) fn long_gates(&self, at: Multipliers) -> (bool, bool) {
        (
            high_level(self, at.high) <= self.high,
            low_level(self, at.low) > self.low,
        )
    }

    /// Whether a short leg's high gate (the entry) and low gate (the exit) hold, on f32 sums.
    #[inline]
    pub(crate) fn short_gates(&self, at: Multipliers) -> (bool, bool) {
        (
            high_level(self, at.high) < self.high,
            low_level(self, at.low) >= self.low,
        )
    }
}

/// Which of the four comparisons of a bar hold.
struct Gates {
    long_entry: bool,
    long_exit: bool,
    short_entry: bool,
    short_exit: bool,
}

/// The formula, once the levels and the gates are known. Both f64 forms end here.
fn formula(
    bar: &Bar,
    position: f32,
    (high_level, low_level): (f64, f64),
    gates: &Gates,
    fee: f64,
    exit_rule: ExitRule,
) -> f64 {
    let close = f64::from(bar.close);
    let intraday = exit_rule == ExitRule::Intraday;
    let long = f64::from(position).clamp(0.0, 10.0);
    let short = f64::from(position).clamp(-10.0, 0.0);
    // Selections, not branches: which bars trade is random, and a wrong guess costs more than all
    // of this arithmetic.
    let exit = |at_level: bool, level: f64| if intraday & at_level { level } else { close };
    let if_entered = |entered: bool, profit: f64| if entered { profit } else { 0.0 };
    let of_long = long * (exit(gates.long_exit, high_level) - low_level) - long * fee;
    let of_short = short * (exit(gates.short_exit, low_level) - high_level) - short.abs() * fee;
    if_entered((long > 0.0) & gates.long_entry, of_long)
        + if_entered((short < 0.0) & gates.short_entry, of_short)
}

/// Profit of one position over one bar: gates on f32 sums, values in f64. The reference.
///
/// `fee` is a fraction per entered leg. Positions beyond ±10 count as ±10; 0 trades nothing.
///
/// ```
/// use trisect::{profit, Bar, ExitRule, Multipliers};
///
/// let bar = Bar { close: 0.01, high: 0.03, low: -0.02, high_pred: 0.02, low_pred: -0.01 };
/// // Buy at -1 %, sell at +2 %: the bar touched both.
/// let gain = profit(&bar, 1.0, Multipliers::BASELINE, 0.0, ExitRule::Intraday);
/// assert!((gain - 0.03).abs() < 1e-8);
/// ```
pub fn profit(
    bar: &Bar,
    position: f32,
    multipliers: Multipliers,
    fee: f64,
    exit_rule: ExitRule,
) -> f64 {
    let (long_exit, long_entry) = bar.long_gates(multipliers);
    let (short_entry, short_exit) = bar.short_gates(multipliers);
    let gates = Gates {
        long_entry,
        long_exit,
        short_entry,
        short_exit,
    };
    let levels = levels_f64(bar, f64::from(multipliers.high), f64::from(multipliers.low));
    formula(bar, position, levels, &gates, fee, exit_rule)
}

/// Weight of the leg that a position enters with, at most 10; 0 when it does not.
pub(crate) fn entered_weight(bar: &Bar, position: f32, multipliers: Multipliers) -> f64 {
    let entered = if position > 0.0 {
        bar.long_gates(multipliers).1
    } else {
        position < 0.0 && bar.short_gates(multipliers).0
    };
    if entered {
        f64::from(position.abs().min(10.0))
    } else {
        0.0
    }
}

/// Profit of one position over one bar with everything in f64, gates too.
///
/// For comparison with values published by f64 programs. It disagrees with [`profit`] on bars
/// where the f32 rounding of a level decides a gate.
pub fn profit_f64(
    bar: &Bar,
    position: f32,
    (high, low): (f64, f64),
    fee: f64,
    exit_rule: ExitRule,
) -> f64 {
    let levels = levels_f64(bar, high, low);
    let gates = Gates {
        long_entry: levels.1 > f64::from(bar.low),
        long_exit: levels.0 <= f64::from(bar.high),
        short_entry: levels.0 < f64::from(bar.high),
        short_exit: levels.1 >= f64::from(bar.low),
    };
    formula(bar, position, levels, &gates, fee, exit_rule)
}

/// The predicted high and low level in f64, clamped.
pub(crate) fn levels_f64(bar: &Bar, high: f64, low: f64) -> (f64, f64) {
    (
        (f64::from(bar.high_pred) + high).clamp(0.0, f64::from(MAX_HIGH)),
        (f64::from(bar.low_pred) + low).clamp(-1.0, 0.0),
    )
}

/// The predicted high level in f32, as the gates see it.
fn high_level(bar: &Bar, high: f32) -> f32 {
    (bar.high_pred + high).clamp(0.0, MAX_HIGH)
}

/// The predicted low level in f32, as the gates see it.
fn low_level(bar: &Bar, low: f32) -> f32 {
    (bar.low_pred + low).clamp(-1.0, 0.0)
}

/// Long or short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// Buys at the low level, takes profit at the high level.
    Long,
    /// Sells at the high level, takes profit at the low level.
    Short,
}

/// One side of one bar with a weight above 0, ready for fast evaluation.
///
/// The comparisons of levels with what happened become comparisons of the multipliers with two
/// **exact** breakpoints, so that clamps and sums leave the gates. With
/// `hg = (h <= high_gate)`, `lg = (l >= low_gate)` and, all in f32,
///
/// ```text
/// b = min(max(h + high_offset, -fee), 10 - fee)      H - fee
/// a = max(-l - low_pred, 0)                          -L
/// long :  if lg   weight * ((if hg { b } else { close_term }) + a)
/// short:  if hg   weight * (b + (if lg { a } else { close_term }))
/// AtClose: the inner choice is always close_term.
/// ```
///
/// `min(.., 10 - fee)` only matters where `high >= 10`, and `a` needs no upper clamp because a
/// gated `L` lies above `low > -1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leg {
    /// Long or short.
    pub side: Side,
    /// Greatest f32 `h` for which the high gate holds; -inf: never, +inf: always.
    pub high_gate: f32,
    /// Least f32 `l` for which the low gate holds; +inf: never, -inf: always.
    pub low_gate: f32,
    /// `high_pred - fee`.
    pub high_offset: f32,
    /// The forecast of the low.
    pub low_pred: f32,
    /// Long: `close - fee`. Short: `-close`.
    pub close_term: f32,
    /// `|position|`, at most 10.
    pub weight: f32,
}

impl Leg {
    /// The leg of a position over a bar; `None` for position 0 (or NaN).
    ///
    /// `fee` is a fraction per entered leg, already rounded to f32.
    #[inline(always)]
    pub fn new(bar: &Bar, position: f32, fee: f32) -> Option<Self> {
        let (side, close_term) = if position > 0.0 {
            (Side::Long, bar.close - fee)
        } else if position < 0.0 {
            (Side::Short, -bar.close)
        } else {
            return None;
        };
        // Long: enters on L > low, takes profit on H <= high. Short: H < high, L >= low.
        let short = side == Side::Short;
        Some(Self {
            side,
            high_gate: high_breakpoint(bar.high_pred, bar.high, short),
            low_gate: low_breakpoint(bar.low_pred, bar.low, !short),
            high_offset: bar.high_pred - fee,
            low_pred: bar.low_pred,
            close_term,
            weight: position.abs().min(10.0),
        })
    }

    /// Bound on the magnitude of this leg's profit under any multipliers.
    pub(crate) fn bound(bar: &Bar, position: f32, fee: f32) -> f64 {
        // Entry and exit both lie within what the bar touched, or at the close, or at 0.
        let reach = f64::from(bar.high).abs()
            + f64::from(bar.low).abs()
            + f64::from(bar.close).abs()
            + f64::from(fee);
        f64::from(position.abs().min(10.0)) * reach
    }

    /// This leg's term of the sum: `(weight if entered else 0, value per unit of weight)`.
    fn term(&self, multipliers: Multipliers, fee: f32, exit_rule: ExitRule) -> (f32, f32) {
        let Multipliers { high: h, low: l } = multipliers;
        let high_holds = h <= self.high_gate;
        let low_holds = l >= self.low_gate;
        let b = (h + self.high_offset).max(-fee).min(MAX_HIGH - fee);
        let a = (-l - self.low_pred).max(0.0);
        let intraday = exit_rule == ExitRule::Intraday;
        let (entered, value) = match self.side {
            Side::Long => {
                let exit = if intraday && high_holds {
                    b
                } else {
                    self.close_term
                };
                (low_holds, exit + a)
            }
            Side::Short => {
                let exit = if intraday && low_holds {
                    a
                } else {
                    self.close_term
                };
                (high_holds, b + exit)
            }
        };
        (if entered { self.weight } else { 0.0 }, value)
    }
}

/// Greatest f32 `h` with `clamp(pred + h, 0, 10) <= high` (`<` if `strict`), sums rounded to f32.
#[inline(always)]
fn high_breakpoint(pred: f32, high: f32, strict: bool) -> f32 {
    match breakpoint(pred, high, MAX_HIGH, strict) {
        (x, true) => x,
        (_, false) => bisect_addend(pred, limit(high, strict)),
    }
}

/// Least f32 `l` with `clamp(pred + l, -1, 0) >= low` (`>` if `strict`), sums rounded to f32.
#[inline(always)]
fn low_breakpoint(pred: f32, low: f32, strict: bool) -> f32 {
    // Rounding is symmetric: pred + l >= a is -pred + (-l) <= -a.
    -match breakpoint(-pred, -low, 1.0, strict) {
        (x, true) => x,
        (_, false) => bisect_addend(-pred, limit(-low, strict)),
    }
}

/// The gates of `N` legs at once, `(high_gate, low_gate)` as [`Leg`] has them; weights of 0 get
/// any.
#[inline(always)]
pub(crate) fn gates<const N: usize>(
    high_pred: &[f32; N],
    high: &[f32; N],
    low_pred: &[f32; N],
    low: &[f32; N],
    positions: &[f32; N],
) -> ([f32; N], [f32; N]) {
    let (mut high_gates, mut low_gates) = ([0.0; N], [0.0; N]);
    let mut all_sure = true;
    for i in 0..N {
        let short = positions[i] < 0.0;
        let (high_gate, high_sure) = breakpoint(high_pred[i], high[i], MAX_HIGH, short);
        let (low_gate, low_sure) = breakpoint(-low_pred[i], -low[i], 1.0, !short);
        high_gates[i] = high_gate;
        low_gates[i] = -low_gate;
        all_sure &= high_sure & low_sure;
    }
    if !all_sure {
        for i in 0..N {
            let short = positions[i] < 0.0;
            high_gates[i] = high_breakpoint(high_pred[i], high[i], short);
            low_gates[i] = low_breakpoint(low_pred[i], low[i], !short);
        }
    }
    (high_gates, low_gates)
}

/// Greatest f32 that is at most `reach`, or below it; `reach` is above 0 where `strict`.
#[inline(always)]
fn limit(reach: f32, strict: bool) -> f32 {
    f32::from_bits(reach.to_bits().wrapping_sub(u32::from(strict)))
}

/// Greatest f32 `x` with `clamp(pred + x, 0, top) <= reach` (`<` if `strict`), sums rounded to f32,
/// and whether that is sure; where it is not, [`Leg::new`] has the answer.
///
/// The high gate with top 10 and, all signs turned, the low gate with top 1; one lane of a vector.
#[inline(always)]
pub(crate) fn breakpoint(pred: f32, reach: f32, top: f32, strict: bool) -> (f32, bool) {
    let never = if strict {
        !(reach > 0.0)
    } else {
        !(reach >= 0.0)
    };
    let always = if strict { reach > top } else { reach >= top };
    // At least 0, so the neighbours are the next integers; + 0.0 turns -0.0 into 0.0.
    let most = limit(if never { 1.0 } else { reach + 0.0 }, strict);
    let (addend, sure) = nearby_addend(pred, most, f32::from_bits(most.to_bits() + 1));
    let addend = if always { f32::INFINITY } else { addend };
    let addend = if never { f32::NEG_INFINITY } else { addend };
    (addend, sure | always | never)
}

/// Greatest finite f32 `x` with `pred + x <= limit`, the sum rounded to f32, and whether it has
/// been found. `above` is the next float after `limit`.
///
/// The rounded sum is at most `limit` while the real sum is at most halfway to the next float,
/// which places `x` to within an ulp or two; the neighbours decide. [`bisect_addend`] is the way
/// out for magnitudes where the halfway point is not representable.
///
/// Without branches: which neighbour it is, is as good as random.
#[inline(always)]
fn nearby_addend(pred: f32, limit: f32, above: f32) -> (f32, bool) {
    let halfway = (f64::from(limit) + f64::from(above)) * 0.5;
    let x = (halfway - f64::from(pred)) as f32;
    let key = ordered(x);
    let at = |step: i32| unordered(key.wrapping_add(step));
    let holds = |x: f32| pred + x <= limit;
    let mut greatest = at(-1);
    greatest = if holds(x) { x } else { greatest };
    greatest = if holds(at(1)) { at(1) } else { greatest };
    // + 0.0 turns -0.0 into 0.0: equal multipliers have equal bits.
    (greatest + 0.0, holds(at(-1)) & !holds(at(2)))
}

/// Order-preserving map from f32 to i32; -0.0 comes just before 0.0.
#[inline(always)]
fn ordered(x: f32) -> i32 {
    let bits = x.to_bits() as i32;
    bits ^ ((bits >> 31) & 0x7fff_ffff)
}

#[inline(always)]
fn unordered(key: i32) -> f32 {
    f32::from_bits((key ^ ((key >> 31) & 0x7fff_ffff)) as u32)
}

/// As [`nearby_addend`], by bisection over all floats; -inf if none.
#[cold]
#[inline(never)]
fn bisect_addend(pred: f32, limit: f32) -> f32 {
    if !(pred + f32::MIN <= limit) {
        return f32::NEG_INFINITY;
    }
    if pred + f32::MAX <= limit {
        return f32::INFINITY;
    }
    let (mut holds, mut fails) = (ordered(f32::MIN), ordered(f32::MAX));
    while fails.abs_diff(holds) > 1 {
        let middle = holds.midpoint(fails);
        if pred + unordered(middle) <= limit {
            holds = middle;
        } else {
            fails = middle;
        }
    }
    unordered(holds) + 0.0
}

/// A simulation's profit in the canonical f32 order, one leg at a time.
///
/// Lane = leg index mod 32 within the long legs, then within the short legs; 32 partial sums,
/// each a chain of fused multiply-adds; then the tree 16, 8, 4, 2, 1; a zero is +0. Every
/// evaluator gives these bits.
///
/// `fee` is the f32 fee the legs were made with.
pub fn canonical_profit(
    legs: &[Leg],
    multipliers: Multipliers,
    fee: f32,
    exit_rule: ExitRule,
) -> f32 {
    let mut partial = [0.0_f32; LANES];
    for side in [Side::Long, Side::Short] {
        let of_side = legs.iter().filter(|leg| leg.side == side);
        for (index, leg) in of_side.enumerate() {
            let (weight, value) = leg.term(multipliers, fee, exit_rule);
            let lane = &mut partial[index % LANES];
            *lane = weight.mul_add(value, *lane);
        }
    }
    reduce(&mut partial)
}

/// The tree of the canonical order.
#[inline(always)]
pub(crate) fn reduce(partial: &mut [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            partial[lane] += partial[lane + width];
        }
        width /= 2;
    }
    partial[0] + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_form_breakpoints_equal_bisection() {
        let values = [
            0.0,
            -0.0,
            1e-40,
            1e-9,
            0.01,
            0.013_7,
            0.03,
            -0.02,
            0.5,
            -0.999_9,
            9.99,
            1e6,
            -1e6,
            f32::MIN_POSITIVE,
        ];
        let (mut cases, mut certain) = (0, 0);
        for pred in values {
            for limit in values {
                for step in -3..=3 {
                    let limit = unordered(ordered(limit) + step);
                    let (fast, sure) = nearby_addend(pred, limit, limit.next_up());
                    let slow = bisect_addend(pred, limit);
                    if sure {
                        assert_eq!(fast.to_bits(), slow.to_bits(), "{pred} + x <= {limit}");
                    }
                    certain += usize::from(sure);
                    cases += 1;
                }
            }
        }
        assert_eq!(cases, values.len() * values.len() * 7);
        assert!(2 * certain > cases, "{certain} of {cases}");
    }

    #[test]
    fn gates_of_many_legs_are_those_of_each() {
        let values: [f32; 9] = [0.0, 1e-40, 0.01, 0.013_7, 0.5, 9.99, 10.0, 10.5, 1e6];
        let mut cases = 0;
        let mut bars = Vec::new();
        for pred in values.iter().flat_map(|&x| [x, -x]) {
            for level in values.iter().flat_map(|&x| [x, -x]) {
                for position in [1.0, -1.0] {
                    let (high_pred, low_pred) = (pred, -pred);
                    let (high, low) = (level, (-level).max(-0.999));
                    let bar = Bar {
                        close: 0.0,
                        high,
                        low,
                        high_pred,
                        low_pred,
                    };
                    bars.push((bar, position));
                }
            }
        }
        // One way or another through every pair of neighbours: a leg that needs the bisection
        // must not disturb the others.
        for chunk in bars.windows(4) {
            let field = |of: fn(&Bar) -> f32| {
                let mut column = [0.0; 4];
                for (value, (bar, _)) in column.iter_mut().zip(chunk) {
                    *value = of(bar);
                }
                column
            };
            let mut positions = [0.0; 4];
            for (value, (_, position)) in positions.iter_mut().zip(chunk) {
                *value = *position;
            }
            let (high_gates, low_gates) = gates(
                &field(|bar| bar.high_pred),
                &field(|bar| bar.high),
                &field(|bar| bar.low_pred),
                &field(|bar| bar.low),
                &positions,
            );
            for (i, (bar, position)) in chunk.iter().enumerate() {
                let leg = Leg::new(bar, *position, 0.0).expect("a position");
                let short = *position < 0.0;
                assert_eq!(high_gates[i].to_bits(), leg.high_gate.to_bits(), "{bar:?}");
                assert_eq!(low_gates[i].to_bits(), leg.low_gate.to_bits(), "{bar:?}");
                // The gate holds there, and no further.
                if leg.high_gate.is_finite() {
                    let holds = |h: f32| {
                        let level = high_level(bar, h);
                        if short {
                            level < bar.high
                        } else {
                            level <= bar.high
                        }
                    };
                    assert!(
                        holds(leg.high_gate) && !holds(leg.high_gate.next_up()),
                        "{bar:?}"
                    );
                }
                if leg.low_gate.is_finite() {
                    let holds = |l: f32| {
                        let level = low_level(bar, l);
                        if short {
                            level >= bar.low
                        } else {
                            level > bar.low
                        }
                    };
                    assert!(
                        holds(leg.low_gate) && !holds(leg.low_gate.next_down()),
                        "{bar:?}"
                    );
                }
                cases += 1;
            }
        }
        assert_eq!(cases, 4 * (bars.len() - 3));
    }

    #[test]
    fn breakpoints_of_a_lane_are_those_of_a_leg_wherever_they_are_sure() {
        let levels = [
            -1.5, -1.0, -0.02, -1e-40, -0.0, 0.0, 1e-40, 0.013_7, 9.99, 10.0, 11.0,
        ];
        let preds = [
            0.0, -0.0, 1e-40, 1e-9, 0.01, -0.02, -0.999_9, 9.99, 1e6, -1e6, 1e30,
        ];
        let (mut cases, mut unsure) = (0, 0);
        for pred in preds {
            for level in levels {
                for step in -1..=1 {
                    let level = unordered(ordered(level) + step);
                    for strict in [false, true] {
                        let high = high_breakpoint(pred, level, strict);
                        let low = low_breakpoint(pred, level, strict) + 0.0;
                        let (fast_high, high_sure) = breakpoint(pred, level, MAX_HIGH, strict);
                        let (fast_low, low_sure) = breakpoint(-pred, -level, 1.0, strict);
                        for (fast, slow, sure) in [
                            (fast_high, high, high_sure),
                            (-fast_low + 0.0, low, low_sure),
                        ] {
                            let same = fast.to_bits() == slow.to_bits();
                            assert!(same || !sure, "{pred}, {level}: {fast}, not {slow}");
                            cases += 1;
                            unsure += u32::from(!sure);
                        }
                    }
                }
            }
        }
        assert!(unsure * 10 < cases, "{unsure} of {cases} are not sure");
    }

    #[test]
    fn the_order_map_is_monotone_and_invertible() {
        let mut last = i32::MIN;
        for x in [f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX] {
            assert!(ordered(x) > last);
            assert_eq!(unordered(ordered(x)).to_bits(), x.to_bits());
            last = ordered(x);
        }
    }
}
