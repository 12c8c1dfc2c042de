//! The value of a group at any pair, as every method reports it: cut into simulations, which
//! may be added in any order and by any thread.

use crate::batch::Simulation;
use crate::profit::{ExitRule, Multipliers};

use super::chunk::{self, Simulations};
use super::fixed::{Entered, Grid, Statistics, Sums};

/// What a simulation contributes to its group's grid.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part(Statistics);

impl Part {
    pub(crate) fn of(simulation: &Simulation<'_>, fee: f64) -> Self {
        let simulations = Simulations::One(Some(*simulation));
        Self(chunk::statistics(pulp::Arch::new(), simulations, fee))
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
        let simulations = Simulations::One(Some(*simulation));
        let arch = pulp::Arch::new();
        Share(chunk::entered(arch, simulations, &self.0, at, exit_rule))
    }

    /// Mean profit of shares over `simulations` simulations.
    pub(crate) fn profit(&self, share: &Share, at: Multipliers, simulations: usize) -> f64 {
        self.0.profit(share.0.value(&self.0, at), simulations)
    }
}
