//! A grid of candidates, scored in blocks.

use crate::direct::{Bounds, StopReason};
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::groups::Candidates;
use crate::profit::Multipliers;

use super::observe::{Clock, Report};
use super::scores::Scores;
use super::{Found, Path, Search, as_point};

/// The values of a grid, per axis.
pub(super) struct Grid {
    high: Vec<f32>,
    low: Vec<f32>,
}

impl Grid {
    pub(super) fn new(bounds: &Bounds, high: usize, low: usize) -> Result<Self, Error> {
        /// Far beyond use: a grid of 65,536 values per axis has 4 billion pairs.
        const MOST: usize = 65_536;
        for (name, count) in [("Method::Grid high", high), ("Method::Grid low", low)] {
            if count == 0 || count > MOST {
                return Err(Error::option(name, count, "between 1 and 65536"));
            }
        }
        let mut axes = bounds
            .intervals()
            .zip([high, low])
            .map(|((low, high), count)| {
                let value = |index: usize| {
                    if count == 1 {
                        (0.5 * (low + high)) as f32
                    } else {
                        let share = index as f64 / (count - 1) as f64;
                        (low * (1.0 - share) + high * share) as f32
                    }
                };
                (0..count).map(value).collect()
            });
        Ok(Self {
            high: axes.next().unwrap_or_default(),
            low: axes.next().unwrap_or_default(),
        })
    }

    fn len(&self) -> usize {
        self.high.len() * self.low.len()
    }

    fn pair(&self, index: usize) -> Multipliers {
        Multipliers {
            high: self.high[index / self.low.len()],
            low: self.low[index % self.low.len()],
        }
    }
}

/// Means held at once by a grid search, over all groups: 32 MiB.
const GRID_MEANS: usize = 1 << 22;

/// Scores the grid for the groups of `scores`. The blocks, and so the number of iterations, are
/// those of a search for all `groups_of_batch` groups at once.
pub(super) fn grid_search<E: Evaluate + ?Sized>(
    grid: &Grid,
    scores: &mut Scores<'_, E>,
    groups_of_batch: usize,
    clock: Clock,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    let groups = scores.groups.len();
    let block = (GRID_MEANS / groups_of_batch).clamp(1, grid.len());
    let mut best: Vec<Option<(usize, f64)>> = vec![None; groups * scores.rules.len()];
    let mut done = vec![0; scores.rules.len()];
    let mut means = Vec::new();
    let (mut rounds, mut evaluations) = (0, 0);
    let mut stop = None;
    'search: for first in (0..grid.len()).step_by(block) {
        let last = (first + block).min(grid.len());
        let candidates = Candidates::shared((first..last).map(|i| grid.pair(i)).collect())?;
        for (rule, &exit_rule) in scores.rules.iter().enumerate() {
            means.clear();
            means.resize((last - first) * groups, 0.0);
            scores
                .evaluator
                .means(scores.groups, &candidates, exit_rule, &mut means)?;
            let bests = &mut best[rule * groups..(rule + 1) * groups];
            for (best, means) in bests.iter_mut().zip(means.chunks_exact(last - first)) {
                for (index, &mean) in (first..last).zip(means) {
                    if mean.is_finite() && best.is_none_or(|(_, value)| -mean < value) {
                        *best = Some((index, -mean));
                    }
                }
            }
            done[rule] = last;
            rounds += 1;
            evaluations += means.len() as u64;
            let all_bars: u64 = scores.bars.iter().sum();
            scores.bar_candidates += all_bars * (last - first) as u64;

            let over = last == grid.len() && rule + 1 == scores.rules.len();
            let running = if over { 0 } else { groups };
            let best_point = |search: usize| {
                let (index, value) = best[search]?;
                Some((as_point(grid.pair(index)), value))
            };
            stop = report.round(rounds, evaluations, running, clock, &best_point)?;
            if stop.is_some() && !over {
                break 'search;
            }
            stop = None;
        }
    }
    let found = best.into_iter().enumerate().map(|(search, best)| Found {
        point: best.map(|(index, _)| as_point(grid.pair(index))),
        value: best.map_or(f64::INFINITY, |(_, value)| value),
        evaluations: done[search / groups] as u64,
        iterations: rounds,
        stop: stop.unwrap_or(StopReason::Complete),
        upper_bound: None,
        work: 0,
    });
    Ok(Search {
        found: found.collect(),
        rounds,
        path: Path::Lockstep,
    })
}
