//! The value of a group at any pair, as every method reports it: cut into simulations, which
//! may be added in any order and by any thread.

use crate::batch::Simulation;
use crate::profit::{Bar, ExitRule, Multipliers, Side};

use super::fixed::{Entered, Grid, Item, Statistics, Sums};

/// What a simulation contributes to its group's grid.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part(Statistics);

impl Part {
    pub(crate) fn of(simulation: &Simulation<'_>, fee: f64) -> Self {
        let mut statistics = Statistics::default();
        for (bar, position) in simulation.positions() {
            if position != 0.0 {
                statistics.add(&bar, position.abs().min(10.0), fee);
            }
        }
        Self(statistics)
    }

    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.merge(&other.0);
        self
    }

    /// As numbers, for another process.
    pub(crate) fn to_words(self) -> [u64; 4] {
        let Statistics {
            legs,
            heaviest,
            magnitude,
        } = self.0;
        let heaviest = u64::from(heaviest.to_bits());
        [legs, heaviest, magnitude as u64, (magnitude >> 64) as u64]
    }

    pub(crate) fn from_words([legs, heaviest, low, high]: [u64; 4]) -> Self {
        Self(Statistics {
            legs,
            heaviest: f32::from_bits(heaviest as u32),
            magnitude: u128::from(high) << 64 | u128::from(low),
        })
    }
}

/// What a simulation contributes to its group's value at a pair.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share(Entered);

impl Share {
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.merge(&other.0);
        self
    }

    /// As integers, whose sums over shards are those of the whole: all are in units, and weights
    /// are below 2^53.
    pub(crate) fn to_integers(self) -> [i64; 5] {
        let Entered { sums, weight } = self.0;
        [
            sums.a as i64,
            sums.b as i64,
            sums.c,
            weight[0] as i64,
            weight[1] as i64,
        ]
    }

    pub(crate) fn from_integers([a, b, c, long, short]: [i64; 5]) -> Self {
        Self(Entered {
            sums: Sums {
                a: a as f64,
                b: b as f64,
                c,
            },
            weight: [long as f64, short as f64],
        })
    }
}

/// The grid of a group.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GroupGrid(Grid);

impl GroupGrid {
    pub(crate) fn new(parts: &Part, fee: f64) -> Self {
        Self(Grid::new(&parts.0, fee))
    }

    /// The share of one simulation in the group's value at a pair.
    pub(crate) fn share(
        &self,
        simulation: &Simulation<'_>,
        at: Multipliers,
        exit_rule: ExitRule,
    ) -> Share {
        let mut entered = Entered::default();
        for (bar, position) in simulation.positions() {
            if position != 0.0 {
                let (side, item) = gated(&bar, position, at);
                entered.add(side, &item, &self.0, at, exit_rule);
            }
        }
        Share(entered)
    }

    /// Mean profit of shares over `simulations` simulations.
    pub(crate) fn profit(&self, share: &Share, at: Multipliers, simulations: usize) -> f64 {
        self.0.profit(share.0.value(&self.0, at), simulations)
    }
}

/// A leg whose gates are only decided at `at`, by the comparisons of the specification: the exact
/// breakpoints would take longer than everything else.
#[inline]
fn gated(bar: &Bar, position: f32, at: Multipliers) -> (Side, Item) {
    let (side, (high_holds, low_holds)) = if position > 0.0 {
        (Side::Long, bar.long_gates(at))
    } else {
        (Side::Short, bar.short_gates(at))
    };
    let always = f32::INFINITY;
    let item = Item {
        high_gate: if high_holds { always } else { -always },
        low_gate: if low_holds { -always } else { always },
        high_pred: bar.high_pred,
        low_pred: bar.low_pred,
        close: bar.close,
        weight: position.abs().min(10.0),
    };
    (side, item)
}
