//! The best cell so far, and what decides between equal ones.

use super::fixed::{Grid, Sums};
use super::ranks::{Box2, Ranks};
use crate::profit::Multipliers;

/// How far a pair is from the forecast; smaller is preferred among equal values.
///
/// First `|h| + |l|` (in f64), then `|h|`, then `|l|`, then the positive h, then the positive l.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Change {
    total: f64,
    high: f32,
    low: f32,
    high_negative: bool,
    low_negative: bool,
}

impl Change {
    /// `|h| + |l|`.
    pub(super) fn total(&self) -> f64 {
        self.total
    }

    pub(super) fn new(at: Multipliers) -> Self {
        Self {
            total: f64::from(at.high.abs()) + f64::from(at.low.abs()),
            high: at.high.abs(),
            low: at.low.abs(),
            high_negative: at.high < 0.0,
            low_negative: at.low < 0.0,
        }
    }
}

/// The best value found, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Best {
    /// In units; `i64::MIN` before the first.
    pub value: i64,
    pub at: Multipliers,
    /// A lower bound on the greatest value, in units: what lies below cannot be best.
    pub floor: f64,
}

impl Best {
    pub(super) fn none() -> Self {
        Self {
            value: i64::MIN,
            at: Multipliers::BASELINE,
            floor: f64::NEG_INFINITY,
        }
    }

    /// Takes a pair that is better, or equal and a smaller change.
    pub(super) fn offer(&mut self, value: i64, at: Multipliers) {
        if value < self.value {
            return;
        }
        if value > self.value || Change::new(at) < Change::new(self.at) {
            self.value = value;
            self.at = at;
            // Rounded down, so that an equal value is never below.
            self.floor = self.floor.max((value as f64).next_down());
        }
    }

    /// Offers cell `(j, k)` whose sums are known, tables included.
    #[inline]
    pub(super) fn offer_cell(
        &mut self,
        ranks: &Ranks,
        grid: &Grid,
        bounds: &Box2,
        sums: &Sums,
        (j, k): (usize, usize),
    ) {
        let (x, y) = (ranks.x[j], ranks.y[k]);
        let value = grid.value(sums, grid.factor(x), grid.factor(y));
        if value < self.value {
            return;
        }
        let at = nearest_in_cell(ranks, bounds, (j, k), sums.a == 0.0, sums.b == 0.0);
        self.offer(value, at);
    }
}

/// The pair of a cell that is nearest (0, 0) and has the value of its corner, the greatest of the
/// cell: where no level moves with h, every h of the cell has this value, and so for l.
pub(super) fn nearest_in_cell(
    ranks: &Ranks,
    bounds: &Box2,
    (j, k): (usize, usize),
    flat_in_high: bool,
    flat_in_low: bool,
) -> Multipliers {
    let (x, y) = (ranks.x[j], ranks.y[k]);
    let high = if flat_in_high && x > 0.0 {
        let least = match j {
            0 => bounds.high.0,
            _ => ranks.x[j - 1].next_up(),
        };
        least.max(0.0)
    } else {
        x
    };
    let low = if flat_in_low && y < 0.0 {
        let greatest = match ranks.y.get(k + 1) {
            None => bounds.low.1,
            Some(next) => next.next_down(),
        };
        greatest.min(0.0)
    } else {
        y
    };
    // No -0.0: equal multipliers have equal bits.
    Multipliers::new(high + 0.0, low + 0.0)
}
