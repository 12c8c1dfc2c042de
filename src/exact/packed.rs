//! Groups as the kernel of a GPU takes them: their legs in two arrays, and their grid.

use pulp::{Simd, WithSimd};

use super::fixed::{Grid, Statistics, Units, count_sides, for_each_leg};
use super::{Exact, check_box};
use crate::batch::Batch;
use crate::error::Error;
use crate::profit::{ExitRule, Multipliers};

/// Most candidates per axis of a group that is left to a GPU.
///
/// With so many the branch and bound ends with a proof before it has done the work of the default
/// cap, however flat the profit is: two cuts into 8 x 8 lead to leaves of 32 x 32 cells, so that all
/// it can do is to read each event 19 times and to sweep every cell, about 640,000 units. Whoever
/// else proves the optimum therefore has the same result.
pub(crate) const MOST_CANDIDATES: usize = 2048;

/// What a device must know of a group beside its legs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed {
    grid: Grid,
    /// The greatest forecast of a high among the legs whose high gate holds everywhere. Only such
    /// a leg can lift its level to the upper clamp; -inf: there is none.
    endless: f32,
}

impl Packed {
    /// Whether some level reaches its upper clamp for an h up to `greatest`.
    pub(crate) fn is_capped(&self, greatest: f32) -> bool {
        f64::from(self.endless) + f64::from(greatest) >= f64::from(crate::profit::MAX_HIGH)
    }

    pub(crate) fn units(&self) -> Units {
        self.grid.units()
    }

    /// The result of a group of so many simulations, from its value in units.
    pub(crate) fn exact(
        &self,
        value: i64,
        multipliers: Multipliers,
        simulations: usize,
        work: u64,
    ) -> Exact {
        let profit = self.grid.profit(value, simulations);
        Exact {
            multipliers,
            profit,
            upper_bound: profit,
            work,
        }
    }
}

/// Number of long and of short legs of a group.
pub(crate) fn sides(batch: &Batch, members: &[u32]) -> [usize; 2] {
    count_sides(batch, members)
}

/// The ends of a box on h and on l without -0, if it is one.
pub(crate) fn ends(high: (f32, f32), low: (f32, f32)) -> Result<[(f32, f32); 2], Error> {
    let bounds = check_box(high, low)?;
    Ok([bounds.high, bounds.low])
}

/// Work of a sweep over all candidates, in the unit of [`Exact::work`].
pub(crate) fn work(columns: u32, rows: u32, exit_rule: ExitRule) -> u64 {
    match exit_rule {
        ExitRule::Intraday => (u64::from(columns) * u64::from(rows)).div_ceil(8),
        ExitRule::AtClose => u64::from(columns) + u64::from(rows),
    }
}

/// Writes the legs of a group, the `longs` long ones first:
/// `(high_gate, low_gate, high_pred, low_pred)` and `(close, weight)`.
pub(crate) fn pack(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    longs: usize,
    gates: &mut [[f32; 4]],
    terms: &mut [[f32; 2]],
) -> Packed {
    pulp::Arch::new().dispatch(Pack {
        batch,
        members,
        fee,
        longs,
        gates,
        terms,
    })
}

/// The pass over the bars of a group. Not a closure: that would not be taken into the function that
/// has the wide instructions.
struct Pack<'a> {
    batch: &'a Batch,
    members: &'a [u32],
    fee: f64,
    longs: usize,
    gates: &'a mut [[f32; 4]],
    terms: &'a mut [[f32; 2]],
}

impl WithSimd for Pack<'_> {
    type Output = Packed;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Packed {
        let mut statistics = Statistics::default();
        let mut endless = f32::NEG_INFINITY;
        let mut next = [0, self.longs];
        for_each_leg(simd, self.batch, self.members, |bar, position, item| {
            if position == 0.0 {
                return;
            }
            statistics.add(bar, item.weight, self.fee);
            if item.high_gate == f32::INFINITY {
                endless = endless.max(item.high_pred);
            }
            let next = &mut next[usize::from(position < 0.0)];
            self.gates[*next] = [item.high_gate, item.low_gate, item.high_pred, item.low_pred];
            self.terms[*next] = [item.close, item.weight];
            *next += 1;
        });
        Packed {
            grid: Grid::new(&statistics, self.fee),
            endless,
        }
    }
}
