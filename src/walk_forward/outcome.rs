//! Parts put together, and what they come to.

use std::time::Instant;

use rayon::prelude::*;

use super::{
    BarReturn, Fold, StageTimes, WalkForward, WalkForwardPart, WalkForwardRow, WindowProfit,
};
use crate::error::Error;
use crate::metrics::Metrics;

/// What became of a walk-forward run.
#[derive(Debug, Clone, PartialEq)]
pub struct WalkForwardOutcome {
    /// Names of the symbols, in the order of the series.
    pub symbols: Vec<String>,
    /// Times of all series, ascending, none twice: `[bars]`, in seconds since 1970.
    pub calendar: Vec<i64>,
    /// The folds, as ranges of `calendar`.
    pub folds: Vec<Fold>,
    /// By symbol, then fold.
    pub rows: Vec<WalkForwardRow>,
    /// Of the test windows of all rows, one after another: see [`returns_of`](Self::returns_of).
    pub returns: Vec<BarReturn>,
    /// Index into `calendar` of each of `returns`.
    pub return_times: Vec<u32>,
    /// The whole portfolio per bar of `calendar` that some symbol tested: the mean over the symbols
    /// with a test bar at that time (equal weights, rebalanced every bar).
    pub portfolio: Vec<BarReturn>,
    /// Index into `calendar` of each of `portfolio`.
    pub portfolio_times: Vec<u32>,
    /// Over all rows; its metrics are those of `portfolio`.
    pub run: Summary,
    /// Over the rows of each symbol; the metrics are those of its own returns.
    pub per_symbol: Vec<Summary>,
    /// Over the rows of each fold; the metrics are those of `portfolio` within its test window.
    pub per_fold: Vec<Summary>,
    /// Parts that were not run, ascending; what they hold is missing above.
    pub missing_parts: Vec<usize>,
    /// Time spent in all parts, and in putting them together.
    pub times: StageTimes,
    /// Returns of row `i` are `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
}

/// Some rows of a run together: all, those of a symbol, or those of a fold.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Summary {
    /// Number of rows: pairs of symbol and fold.
    pub rows: usize,
    /// Sum over the train windows, which may overlap.
    pub in_sample: WindowProfit,
    /// Sum over the test windows.
    pub out_of_sample: WindowProfit,
    /// Share of the rows whose profit out of sample is above that of the baseline; `None` without
    /// a row.
    pub gain_share: Option<f64>,
    /// Of a symbol, over its folds; of the run, the mean over symbols. `None` of a fold, or with
    /// fewer than two folds.
    pub stability: Option<Stability>,
    /// Out of sample, with the tuned multipliers. The trials of the deflated Sharpe ratio are the
    /// candidates of the row that has most.
    pub metrics: Metrics,
    /// Out of sample, with multipliers (0, 0): one trial.
    pub baseline_metrics: Metrics,
}

impl Summary {
    /// What is lost between train and test windows: `1 - (profit per bar out of sample) / (profit
    /// per bar in sample)`; 0 when nothing is, above 1 when a profit turns into a loss. This is 1
    /// minus Pardo's walk-forward efficiency (2008, chapter 11).
    ///
    /// `None` without a profit in sample or without bars.
    pub fn degradation(&self) -> Option<f64> {
        let per_bar =
            |window: &WindowProfit| (window.bars > 0).then(|| window.profit / window.bars as f64);
        let (trained, tested) = (per_bar(&self.in_sample)?, per_bar(&self.out_of_sample)?);
        let degradation = 1.0 - tested / trained;
        (trained > 0.0 && degradation.is_finite()).then_some(degradation)
    }
}

/// How much tuned multipliers move from fold to fold, in return units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stability {
    /// Standard deviation (of n - 1) of `high` over folds.
    pub high_deviation: f64,
    /// Standard deviation (of n - 1) of `low` over folds.
    pub low_deviation: f64,
    /// Mean magnitude of the change of `high` from a fold to the next one of the symbol.
    pub high_change: f64,
    /// Mean magnitude of the change of `low` from a fold to the next one of the symbol.
    pub low_change: f64,
}

impl Stability {
    fn of(rows: &[WalkForwardRow]) -> Option<Self> {
        let (high_deviation, high_change) =
            spread(rows.iter().map(|row| f64::from(row.multipliers.high)))?;
        let (low_deviation, low_change) =
            spread(rows.iter().map(|row| f64::from(row.multipliers.low)))?;
        Some(Self {
            high_deviation,
            low_deviation,
            high_change,
            low_change,
        })
    }

    fn mean(all: &[Self]) -> Option<Self> {
        let mean = |of: fn(&Self) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        (!all.is_empty()).then(|| Self {
            high_deviation: mean(|of| of.high_deviation),
            low_deviation: mean(|of| of.low_deviation),
            high_change: mean(|of| of.high_change),
            low_change: mean(|of| of.low_change),
        })
    }
}

/// Standard deviation and mean magnitude of change; `None` for fewer than two values.
fn spread(values: impl ExactSizeIterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let count = values.len();
    if count < 2 {
        return None;
    }
    let mean = values.clone().sum::<f64>() / count as f64;
    let squares: f64 = values.clone().map(|value| (value - mean).powi(2)).sum();
    let pairs = values.clone().zip(values.skip(1));
    let changes: f64 = pairs.map(|(last, next)| (next - last).abs()).sum();
    let degrees = (count - 1) as f64;
    Some(((squares / degrees).sqrt(), changes / degrees))
}

impl WalkForwardOutcome {
    /// Returns of `rows[row]`, one per test bar; empty when there is no such row.
    pub fn returns_of(&self, row: usize) -> &[BarReturn] {
        match (
            self.offsets.get(row),
            self.offsets.get(row.saturating_add(1)),
        ) {
            (Some(&start), Some(&end)) => &self.returns[start..end],
            _ => &[],
        }
    }

    /// Whether all parts were run.
    pub fn is_complete(&self) -> bool {
        self.missing_parts.is_empty()
    }
}

impl WalkForward<'_> {
    /// Puts parts together, in any order; some may be missing.
    ///
    /// # Errors
    /// A part that this run does not have, the same one twice, or one whose rows are not those of
    /// this run, because it comes from other series or options; a return that is not finite.
    pub fn finish(&self, mut parts: Vec<WalkForwardPart>) -> Result<WalkForwardOutcome, Error> {
        let start = Instant::now();
        parts.sort_by_key(|part| part.part);
        self.check_parts(&parts)?;
        let mut times = StageTimes::default();
        for part in &parts {
            times.add(&part.times);
        }
        let is_missing = |part: &usize| {
            let found = parts.binary_search_by_key(part, |part| part.part);
            found.is_err()
        };
        let missing_parts = (0..self.parts()).filter(is_missing).collect();

        let joined = Joined::new(parts);
        let return_times = self.return_times(&joined.rows);
        let (portfolio, portfolio_times) = self.portfolio(&joined.returns, &return_times);
        let periods_per_year = self.options.periods_per_year;
        let of_symbol = |symbol: usize| {
            let (rows, returns) = joined.of_symbol(symbol);
            let mut tally = Tally::default();
            rows.iter().for_each(|row| tally.add(row));
            tally.summary(returns, Stability::of(rows), periods_per_year)
        };
        let per_symbol: Vec<Result<Summary, Error>> = self.threads.run(|| {
            let symbols = (0..self.series.len()).into_par_iter();
            symbols.map(of_symbol).collect()
        });
        let per_symbol: Vec<Summary> = per_symbol.into_iter().collect::<Result<_, _>>()?;

        let mut of_folds = vec![Tally::default(); self.folds.len()];
        let mut of_run = Tally::default();
        for row in &joined.rows {
            of_folds[row.fold].add(row);
            of_run.add(row);
        }
        let of_fold = |(fold, tally): (&Fold, &Tally)| {
            let before = |at: usize| portfolio_times.partition_point(|&time| (time as usize) < at);
            let returns = &portfolio[before(fold.test.start)..before(fold.test.end)];
            tally.summary(returns, None, periods_per_year)
        };
        let per_fold: Result<Vec<Summary>, Error> =
            self.folds.iter().zip(&of_folds).map(of_fold).collect();
        let stabilities = per_symbol.iter().filter_map(|summary| summary.stability);
        let stability = Stability::mean(&stabilities.collect::<Vec<_>>());
        let run = of_run.summary(&portfolio, stability, periods_per_year)?;
        times.metrics += start.elapsed();
        let symbols = self.series.iter().map(|series| series.symbol.clone());
        Ok(WalkForwardOutcome {
            symbols: symbols.collect(),
            calendar: self.calendar.clone(),
            folds: self.folds.clone(),
            rows: joined.rows,
            returns: joined.returns,
            return_times,
            portfolio,
            portfolio_times,
            run,
            per_symbol,
            per_fold: per_fold?,
            missing_parts,
            times,
            offsets: joined.offsets,
        })
    }

    /// Refuses parts, sorted, that this run has not made.
    fn check_parts(&self, parts: &[WalkForwardPart]) -> Result<(), Error> {
        if let Some(pair) = parts.windows(2).find(|pair| pair[0].part == pair[1].part) {
            return Err(Error::option("parts", pair[0].part, "given once each"));
        }
        for part in parts {
            let mut rows = part.rows.iter();
            let mut bars = 0;
            for task in self.tasks_of(part.part)? {
                for (symbol, window) in self.members(task.fold as usize, task.group as usize) {
                    bars += window.test.len();
                    let is_same = |row: &WalkForwardRow| {
                        row.fold == task.fold as usize
                            && row.group == task.group as usize
                            && row.symbol == symbol
                            && row.in_sample.bars == window.train_bars()
                            && row.out_of_sample.bars == window.test.len()
                    };
                    if !rows.next().is_some_and(is_same) {
                        return Err(other_run(part.part));
                    }
                }
            }
            if rows.next().is_some() || part.returns.len() != bars {
                return Err(other_run(part.part));
            }
        }
        Ok(())
    }

    /// Index into the calendar of every test bar of the rows.
    fn return_times(&self, rows: &[WalkForwardRow]) -> Vec<u32> {
        let mut indices = Vec::new();
        for row in rows {
            let fold = &self.folds[row.fold];
            let test = self.window(row.symbol, fold).test;
            if test.len() == fold.test.len() {
                indices.extend(fold.test.clone().map(|at| at as u32));
                continue;
            }
            let mut next = fold.test.start;
            for time in &self.series[row.symbol].times[test] {
                let ahead = self.calendar[next..].iter().position(|at| at == time);
                next += ahead.unwrap_or_default();
                indices.push(next as u32);
            }
        }
        indices
    }

    /// Means over the symbols with a test bar, and where in the calendar they are.
    fn portfolio(&self, returns: &[BarReturn], times: &[u32]) -> (Vec<BarReturn>, Vec<u32>) {
        let mut sums = vec![(BarReturn::default(), 0_u32); self.calendar.len()];
        for (bar, &time) in returns.iter().zip(times) {
            let (sum, count) = &mut sums[time as usize];
            sum.tuned += bar.tuned;
            sum.baseline += bar.baseline;
            sum.traded += bar.traded;
            sum.baseline_traded += bar.baseline_traded;
            *count += 1;
        }
        let tested = sums
            .into_iter()
            .zip(0..)
            .filter(|((_, count), _)| *count > 0);
        let mean = |((sum, count), time): ((BarReturn, u32), u32)| {
            let share = |sum: f64| sum / f64::from(count);
            let mean = BarReturn {
                tuned: share(sum.tuned),
                baseline: share(sum.baseline),
                traded: share(sum.traded),
                baseline_traded: share(sum.baseline_traded),
            };
            (mean, time)
        };
        tested.map(mean).unzip()
    }
}

fn other_run(part: usize) -> Error {
    let expected = "made by this run: its rows are those of other series or options";
    Error::option("parts", part, expected)
}

/// Rows by symbol, then fold, with their returns.
struct Joined {
    rows: Vec<WalkForwardRow>,
    returns: Vec<BarReturn>,
    /// Returns of row `i` are `offsets[i]..offsets[i + 1]`.
    offsets: Vec<usize>,
}

impl Joined {
    fn new(parts: Vec<WalkForwardPart>) -> Self {
        let mut places = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            let mut start = 0;
            for (at, row) in part.rows.iter().enumerate() {
                let end = start + row.out_of_sample.bars;
                places.push((row.symbol, row.fold, index, at, start..end));
                start = end;
            }
        }
        // A symbol has a fold once.
        places.sort_unstable_by_key(|&(symbol, fold, ..)| (symbol, fold));
        let mut joined = Self {
            rows: Vec::with_capacity(places.len()),
            returns: Vec::with_capacity(parts.iter().map(|part| part.returns.len()).sum()),
            offsets: vec![0],
        };
        for (_, _, part, at, range) in places {
            joined.rows.push(parts[part].rows[at].clone());
            joined
                .returns
                .extend_from_slice(&parts[part].returns[range]);
            joined.offsets.push(joined.returns.len());
        }
        joined
    }

    fn of_symbol(&self, symbol: usize) -> (&[WalkForwardRow], &[BarReturn]) {
        let start = self.rows.partition_point(|row| row.symbol < symbol);
        let end = self.rows.partition_point(|row| row.symbol <= symbol);
        let returns = self.offsets[start]..self.offsets[end];
        (&self.rows[start..end], &self.returns[returns])
    }
}

/// Sums over rows.
#[derive(Debug, Clone, Default)]
struct Tally {
    rows: usize,
    in_sample: WindowProfit,
    out_of_sample: WindowProfit,
    gains: usize,
    trials: u64,
}

impl Tally {
    fn add(&mut self, row: &WalkForwardRow) {
        let windows = [
            (&mut self.in_sample, &row.in_sample),
            (&mut self.out_of_sample, &row.out_of_sample),
        ];
        for (sum, window) in windows {
            sum.bars += window.bars;
            sum.profit += window.profit;
            sum.baseline += window.baseline;
        }
        self.rows += 1;
        self.gains += usize::from(row.out_of_sample.profit > row.out_of_sample.baseline);
        self.trials = self.trials.max(row.candidates);
    }

    fn summary(
        &self,
        returns: &[BarReturn],
        stability: Option<Stability>,
        periods_per_year: f64,
    ) -> Result<Summary, Error> {
        let column = |of: fn(&BarReturn) -> f64| returns.iter().map(of).collect::<Vec<f64>>();
        let tuned = (column(|bar| bar.tuned), column(|bar| bar.traded));
        let baseline = (
            column(|bar| bar.baseline),
            column(|bar| bar.baseline_traded),
        );
        let trials = self.trials.max(1);
        Ok(Summary {
            rows: self.rows,
            in_sample: self.in_sample,
            out_of_sample: self.out_of_sample,
            gain_share: (self.rows > 0).then(|| self.gains as f64 / self.rows as f64),
            stability,
            metrics: Metrics::new(&tuned.0, &tuned.1, periods_per_year, trials)?,
            baseline_metrics: Metrics::new(&baseline.0, &baseline.1, periods_per_year, 1)?,
        })
    }
}
