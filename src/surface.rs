//! The profit of a group over a grid of pairs.
//!
//! A leg's profit separates into what depends on h and what depends on l. With the close as the
//! exit to start from:
//!
//! ```text
//! long:   w [L > low] (close - L - f)   +  w [L > low] * [H <= high] (H - close)
//! short:  w [H < high] (H - close - f)  +  w [H < high] * [L >= low] (close - L)
//! ```
//!
//! So a group's profit is `sum over legs of P(l) Q(h)`, a matrix product, and `R(l) + S(h)`; with
//! [`ExitRule::AtClose`] there is no product. A leg then costs one addition per value of each axis
//! to prepare, and one multiplication and addition per pair, without a branch.

use rayon::prelude::*;

use crate::batch::{Batch, MAX_MOVE, Simulation};
use crate::error::Error;
use crate::evaluate::Threads;
use crate::exact::check_group;
use crate::profit::{Bar, ExitRule, Multipliers, levels_f64};

/// Legs whose factors are held at once.
const BLOCK: usize = 256;

/// Most values per axis.
const MAX_VALUES: usize = 4096;

/// Mean profit of a group over a grid of pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Surface {
    /// Values of h, `[highs]`.
    pub highs: Vec<f32>,
    /// Values of l, `[lows]`.
    pub lows: Vec<f32>,
    /// Mean profit of the group's simulations, `(highs, lows)`, row-major.
    pub profits: Vec<f64>,
}

impl Surface {
    /// The profit at `(highs[i], lows[j])`, if there is such a pair.
    pub fn profit(&self, i: usize, j: usize) -> Option<f64> {
        let row = self.profits.chunks_exact(self.lows.len()).nth(i)?;
        row.get(j).copied()
    }

    /// The pair of the grid with the greatest profit, the first of equal ones, and its profit.
    pub fn best(&self) -> (Multipliers, f64) {
        let mut best = 0;
        for (at, profit) in self.profits.iter().enumerate() {
            if *profit > self.profits[best] {
                best = at;
            }
        }
        let (i, j) = (best / self.lows.len(), best % self.lows.len());
        let pair = Multipliers::new(self.highs[i], self.lows[j]);
        (pair, self.profits[best])
    }
}

/// The mean profit of a group under every pair of a grid.
///
/// * `members`: the simulations of the group, indices into `batch`.
/// * `fee`: fraction per entered leg, within `[0, 1)`.
/// * `highs`, `lows`: values of h and l, 1 to 4096 each, in any order.
///
/// Gates are decided on f32 sums and values are f64, as [`profit`](fn@crate::profit) has them, but
/// summed in another order: a value differs from the reported one
/// ([`exact_profit`](crate::exact_profit)) by rounding, about 1e-16 of the sum of the legs'
/// magnitudes. The same bits for any number of threads. For how flat an optimum is see
/// [`flat_region`](crate::flat_region).
///
/// Time: `legs * (highs + lows)` gates and `legs * highs * lows` multiplications.
///
/// # Errors
/// No member or one that the batch does not have; a fee outside `[0, 1)`; no value on an axis, too
/// many, or one that is not finite or beyond ±1e6.
///
/// ```
/// use trisect::{Batch, ExitRule, Fields, Threads, Weights, surface};
///
/// let batch = Batch::from_slices(&[2], Fields {
///     close: &[0.01, -0.01][..],
///     high: &[0.03, 0.01],
///     low: &[-0.02, -0.03],
///     high_pred: &[0.02, 0.02],
///     low_pred: &[-0.01, -0.02],
///     weights: Weights::EntryExit(&[1.0, 1.0]),
/// })?;
/// let values = [-0.01, 0.0, 0.01];
/// let rule = ExitRule::Intraday;
/// let surface = surface(&batch, &[0], 0.0, rule, &values, &values, &Threads::default())?;
/// assert!((surface.profit(1, 1).unwrap() - 0.04).abs() < 1e-7);
/// assert!(surface.best().1 >= 0.04);
/// # Ok::<(), trisect::Error>(())
/// ```
pub fn surface(
    batch: &Batch,
    members: &[u32],
    fee: f64,
    exit_rule: ExitRule,
    highs: &[f32],
    lows: &[f32],
    threads: &Threads,
) -> Result<Surface, Error> {
    check_group(batch, members, fee)?;
    check_axis("highs", highs)?;
    check_axis("lows", lows)?;
    let legs: Vec<(Bar, f32)> = members
        .iter()
        .filter_map(|&member| batch.simulation(member as usize))
        .flat_map(legs_of)
        .collect();
    let mut profits = vec![0.0; highs.len() * lows.len()];
    // What depends on one axis, `R` and `S`.
    let mut of_high = vec![0.0; highs.len()];
    let mut of_low = vec![0.0; lows.len()];
    let mut high_factors = vec![0.0; BLOCK * highs.len()];
    let mut low_factors = vec![0.0; BLOCK * lows.len()];
    for legs in legs.chunks(BLOCK) {
        let factors = high_factors.chunks_exact_mut(highs.len());
        for (&(bar, position), factors) in legs.iter().zip(factors) {
            let sides = highs.iter().zip(&mut of_high).zip(factors);
            for ((&high, sum), factor) in sides {
                let (alone, product) = high_side(&bar, position, high, fee);
                *sum += alone;
                *factor = product;
            }
        }
        let factors = low_factors.chunks_exact_mut(lows.len());
        for (&(bar, position), factors) in legs.iter().zip(factors) {
            let sides = lows.iter().zip(&mut of_low).zip(factors);
            for ((&low, sum), factor) in sides {
                let (alone, product) = low_side(&bar, position, low, fee);
                *sum += alone;
                *factor = product;
            }
        }
        if exit_rule == ExitRule::AtClose {
            continue;
        }
        // Each row on one thread, legs in order: the same sums for any number of threads.
        let add = |(i, row): (usize, &mut [f64])| {
            let high_factors = high_factors[i..].iter().step_by(highs.len());
            let low_factors = low_factors.chunks_exact(lows.len());
            let factors = high_factors.zip(low_factors).take(legs.len());
            for (&of_high, of_lows) in factors.filter(|(of_high, _)| **of_high != 0.0) {
                for (sum, &of_low) in row.iter_mut().zip(of_lows) {
                    *sum += of_high * of_low;
                }
            }
        };
        threads.run(|| {
            let rows = profits.par_chunks_exact_mut(lows.len()).enumerate();
            rows.for_each(add);
        });
    }
    let simulations = members.len() as f64;
    for (row, of_high) in profits.chunks_exact_mut(lows.len()).zip(&of_high) {
        for (profit, of_low) in row.iter_mut().zip(&of_low) {
            *profit = (*profit + of_high + of_low) / simulations;
        }
    }
    Ok(Surface {
        highs: highs.to_vec(),
        lows: lows.to_vec(),
        profits,
    })
}

/// What a leg adds at a value of h whatever l is, and its factor of the product.
fn high_side(bar: &Bar, position: f32, high: f32, fee: f64) -> (f64, f64) {
    let at = Multipliers::new(high, 0.0);
    let level = levels_f64(bar, f64::from(high), 0.0).0;
    let weight = f64::from(position.abs().min(10.0));
    let above_close = level - f64::from(bar.close);
    if position > 0.0 {
        let exits = bar.long_gates(at).0;
        (0.0, if exits { above_close } else { 0.0 })
    } else if bar.short_gates(at).0 {
        (weight * (above_close - fee), weight)
    } else {
        (0.0, 0.0)
    }
}

/// What a leg adds at a value of l whatever h is, and its factor of the product.
fn low_side(bar: &Bar, position: f32, low: f32, fee: f64) -> (f64, f64) {
    let at = Multipliers::new(0.0, low);
    let level = levels_f64(bar, 0.0, f64::from(low)).1;
    let weight = f64::from(position.abs().min(10.0));
    let below_close = f64::from(bar.close) - level;
    if position < 0.0 {
        let exits = bar.short_gates(at).1;
        (0.0, if exits { below_close } else { 0.0 })
    } else if bar.long_gates(at).1 {
        (weight * (below_close - fee), weight)
    } else {
        (0.0, 0.0)
    }
}

fn legs_of(simulation: Simulation<'_>) -> Vec<(Bar, f32)> {
    let positions = simulation.positions();
    positions.filter(|(_, position)| *position != 0.0).collect()
}

fn check_axis(name: &'static str, values: &[f32]) -> Result<(), Error> {
    if values.is_empty() || values.len() > MAX_VALUES {
        let value = format!("{} values", values.len());
        return Err(Error::option(name, value, "1 to 4096 values"));
    }
    match values
        .iter()
        .find(|value| !(f64::from(value.abs()) <= MAX_MOVE))
    {
        None => Ok(()),
        Some(value) => Err(Error::option(name, value, "finite and within ±1e6")),
    }
}
