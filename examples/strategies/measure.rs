//! Runs strategies side by side on one batch.

use std::time::Duration;

use trisect::{Batch, Error, Outcome, Strategy, StrategyOptions};

/// What the batch gives at least and at most, per simulation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attainable {
    /// Mean profit of the forecasts as they are.
    pub baseline: f64,
    /// Mean profit of the exact optimum of each simulation for itself.
    pub exact: f64,
}

impl Attainable {
    pub fn of(batch: &Batch, options: &StrategyOptions) -> Result<Self, Error> {
        let exact = Strategy::ExactThreads.run(batch, options)?.outcome;
        Ok(Self {
            baseline: mean_baseline(&exact),
            exact: exact.mean_profit(),
        })
    }

    /// Share of the attainable improvement over the whole batch: (sum of profits - sum of
    /// baselines) / (sum of exact optima - sum of baselines). 1 where nothing is attainable.
    pub fn quality(&self, profit: f64) -> f64 {
        let attainable = self.exact - self.baseline;
        if attainable > 0.0 {
            (profit - self.baseline) / attainable
        } else {
            1.0
        }
    }
}

/// Mean baseline per simulation.
fn mean_baseline(outcome: &Outcome) -> f64 {
    let groups = outcome.groups.iter();
    let sum: f64 = groups
        .map(|group| group.baseline * group.simulations as f64)
        .sum();
    sum / outcome.profits.len() as f64
}

/// The middle of some numbers, and the ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub greatest: f64,
}

impl Spread {
    /// Of at least one number.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
        Self {
            median: match odd {
                true => values[half],
                false => (values[half - 1] + values[half]) / 2.0,
            },
            least: values[0],
            greatest: values[values.len() - 1],
        }
    }
}

/// A strategy that could be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Milliseconds per simulation, all in but the start.
    pub per_simulation_ms: Spread,
    /// Milliseconds from nothing to the work: threads, processes, copies.
    pub start_ms: Spread,
    /// How many times as fast as the baseline strategy, by the medians.
    pub speedup: f64,
    /// Mean per simulation.
    pub profit: f64,
    pub quality: f64,
    /// Candidates scored, over all groups.
    pub evaluations: u64,
    pub host_bytes: usize,
    pub device_bytes: usize,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub strategy: Strategy,
    /// `None`: no device.
    pub measured: Option<Measured>,
    pub note: String,
}

/// Measures every strategy: one round that is not timed, then `repeats` rounds through all of them,
/// so that whatever else the machine does meets them alike.
///
/// # Errors
/// What a strategy reports, except that there is no GPU.
pub fn measure(
    batch: &Batch,
    strategies: &[Strategy],
    repeats: usize,
    options: &StrategyOptions,
    attainable: &Attainable,
) -> Result<Vec<Row>, Error> {
    let mut times = vec![(Vec::new(), Vec::new()); strategies.len()];
    let mut rows = Vec::with_capacity(strategies.len());
    for &strategy in strategies {
        rows.push(match strategy.run(batch, options) {
            Ok(done) => Row {
                strategy,
                note: match strategy.needs_gpu() {
                    true => done.device.clone(),
                    false => note(batch, strategy, options, &done.outcome)?,
                },
                measured: Some(Measured {
                    per_simulation_ms: Spread::of(vec![0.0]),
                    start_ms: Spread::of(vec![0.0]),
                    speedup: 1.0,
                    profit: done.outcome.mean_profit(),
                    quality: attainable.quality(done.outcome.mean_profit()),
                    evaluations: done.outcome.evaluations,
                    host_bytes: done.host_bytes,
                    device_bytes: done.device_bytes,
                }),
            },
            Err(Error::Unavailable { why, .. }) if strategy.needs_gpu() => Row {
                strategy,
                measured: None,
                note: format!("no device: {why}"),
            },
            Err(error) => return Err(error),
        });
    }
    for _ in 0..repeats {
        for (row, (work, start)) in rows.iter().zip(&mut times) {
            if row.measured.is_some() {
                let done = row.strategy.run(batch, options)?;
                work.push(ms(done.outcome.wall_time) / batch.len() as f64);
                start.push(ms(done.start_time));
            }
        }
    }
    let mut baseline = f64::NAN;
    for (row, (work, start)) in rows.iter_mut().zip(times) {
        let Some(measured) = &mut row.measured else {
            continue;
        };
        measured.per_simulation_ms = Spread::of(work);
        measured.start_ms = Spread::of(start);
        // The baseline is the first of all strategies.
        if row.strategy == Strategy::Baseline {
            baseline = measured.per_simulation_ms.median;
        }
        measured.speedup = baseline / measured.per_simulation_ms.median;
    }
    Ok(rows)
}

/// What is to be said beside a row: with shared multipliers, how near that is to the best that can
/// be shared.
fn note(
    batch: &Batch,
    strategy: Strategy,
    options: &StrategyOptions,
    outcome: &Outcome,
) -> Result<String, Error> {
    if outcome.groups.len() == batch.len() {
        return Ok(String::new());
    }
    let shared = StrategyOptions {
        sharing: Some(strategy.sharing()),
        ..options.clone()
    };
    let attainable = Attainable::of(batch, &shared)?;
    let share = attainable.quality(outcome.mean_profit());
    Ok(format!("{share:.3} of what sharing can attain"))
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
