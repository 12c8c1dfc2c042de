//! Walk-forward: multipliers are tuned on the train window of every fold and scored on the test
//! window that they never saw.
//!
//! The work is cut into parts that know nothing of each other: a part is a run of (fold, group)
//! pairs, tuned as one batch. So memory is bounded, and a run can be stopped after any part and
//! resumed from the parts that were written down, with the same bits.
//!
//! Folds are cut on the **calendar**: the times of all series together. A series without a bar at
//! some time has fewer bars in that window; where it has too few to train on, or none to test, it
//! is no part of the fold. With series of the same times a fold's ranges are ranges of their bars.
//!
//! Only the bars of the train windows are in the batch that is tuned, and what a group is tuned to
//! does not depend on the rest of the batch; nothing else reaches the search.

mod folds;
mod outcome;

use std::collections::HashSet;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::batch::{Batch, MAX_BARS, Simulation, Weights, check_simulation};
use crate::direct::StopReason;
use crate::error::Error;
use crate::evaluate::{Device, Evaluate, EvaluateOptions, Evaluator, Threads};
use crate::exact::report::{GroupGrid, Part, Share};
use crate::exact::{ExactOptions, exact_profit};
use crate::groups::{Groups, Sharing};
use crate::metrics::check_periods;
use crate::optimize::{ExitChoice, Method, OptimizeOptions, optimize_groups};
use crate::profit::{ExitRule, Multipliers, entered_weight, profit};
use crate::series::Series;

pub use folds::{Fold, FoldOptions};
pub use outcome::{Stability, Summary, WalkForwardOutcome};

/// How to walk forward.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WalkForwardOptions {
    /// How the calendar is cut.
    pub folds: FoldOptions,
    /// How each fold is tuned. `sharing` says which **symbols** share a pair, in each fold:
    /// [`Sharing::PerSimulation`] is a pair per symbol and fold, [`Sharing::All`] one pair per fold,
    /// and labels or chunks are those of the series. `time_limit` must be `None`.
    pub optimize: OptimizeOptions,
    /// Fee, threads, instruction set and storage.
    pub evaluate: EvaluateOptions,
    /// Where to tune.
    pub device: Device,
    /// Bars per year, for what is annualised; 252 for daily bars of an exchange.
    pub periods_per_year: f64,
    /// Fewest train bars with which a symbol takes part in a fold, at least 1 and at most the train
    /// bars of the first fold.
    pub least_train: usize,
    /// Most train bars in one part; a fold's group is never divided, so a part may hold one that is
    /// larger. Memory is about 100 bytes per bar of a part.
    pub part_bars: usize,
}

impl WalkForwardOptions {
    /// A pair per symbol and fold, the exact optimum of each train window within ±0.03, daily bars
    /// of an exchange, on the CPU.
    pub fn new(folds: FoldOptions) -> Self {
        Self {
            folds,
            optimize: OptimizeOptions {
                sharing: Sharing::PerSimulation,
                method: Method::Exact(ExactOptions::default()),
                ..OptimizeOptions::default()
            },
            evaluate: EvaluateOptions::default(),
            device: Device::Cpu,
            periods_per_year: 252.0,
            least_train: 1,
            part_bars: 1 << 19,
        }
    }
}

/// Profit of a window, as [`exact_profit`](crate::exact_profit) gives it for the window alone;
/// summed over windows in a [`Summary`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WindowProfit {
    /// Number of bars.
    pub bars: usize,
    /// With the tuned multipliers and the exit rule that was kept.
    pub profit: f64,
    /// With multipliers (0, 0), under the exit rule that suits them better on the train window.
    pub baseline: f64,
}

impl WindowProfit {
    /// `profit - baseline`.
    pub fn gain(&self) -> f64 {
        self.profit - self.baseline
    }
}

/// A symbol in a fold.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WalkForwardRow {
    /// Index of the fold.
    pub fold: usize,
    /// Index of the series.
    pub symbol: usize,
    /// Index of the group of symbols that share the pair.
    pub group: usize,
    /// Tuned on the group's train windows; the baseline if nothing beat it.
    pub multipliers: Multipliers,
    /// The exit rule that was kept.
    pub exit_rule: ExitRule,
    /// The exit rule of the baseline: the better one on the group's train windows.
    pub baseline_rule: ExitRule,
    /// On the train window.
    pub in_sample: WindowProfit,
    /// On the test window.
    pub out_of_sample: WindowProfit,
    /// Candidates that the pair was chosen from: those that the search scored; of the exact method
    /// the pairs of gates, (legs + 1)² per exit rule for the legs of the group.
    pub candidates: u64,
    /// Why the search ended.
    pub stop: StopReason,
    /// Share of the attainable improvement that was found on the train windows, where the optimum
    /// is known: [`GroupOutcome::quality`](crate::GroupOutcome::quality).
    pub quality: Option<f64>,
}

/// What became of a part: plain data, to be kept until all are there.
///
/// The same options and series give the same part, bit for bit, but for `times`.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WalkForwardPart {
    /// Index of the part.
    pub part: usize,
    /// By fold, then group, then symbol.
    pub rows: Vec<WalkForwardRow>,
    /// Of the test windows of all rows, one after another.
    pub returns: Vec<BarReturn>,
    /// How long it took.
    pub times: StageTimes,
}

/// One test bar of one symbol.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BarReturn {
    /// Profit of the bar as [`profit`](fn@crate::profit) gives it, as a fraction of the capital.
    pub tuned: f64,
    /// The same with multipliers (0, 0) under the baseline's exit rule.
    pub baseline: f64,
    /// Weight of the legs that entered, with the tuned multipliers.
    pub traded: f64,
    /// Weight of the legs that entered, with multipliers (0, 0).
    pub baseline_traded: f64,
}

/// Time spent per stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StageTimes {
    /// Cutting windows and making batches and evaluators.
    pub batching: Duration,
    /// Searching.
    pub tuning: Duration,
    /// Profits and returns of train and test windows.
    pub scoring: Duration,
    /// Putting parts together, and all metrics.
    pub metrics: Duration,
}

impl StageTimes {
    fn add(&mut self, other: &Self) {
        self.batching += other.batching;
        self.tuning += other.tuning;
        self.scoring += other.scoring;
        self.metrics += other.metrics;
    }

    /// All stages together.
    pub fn total(&self) -> Duration {
        self.batching + self.tuning + self.scoring + self.metrics
    }
}

/// How far a run is, after a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WalkForwardProgress {
    /// Parts done, of all.
    pub parts: (usize, usize),
    /// Train windows of symbols that were tuned and scored, of all.
    pub simulations: (usize, usize),
    /// Time since the first part began.
    pub elapsed: Duration,
}

/// A group of symbols in a fold.
#[derive(Debug, Clone, Copy)]
struct Task {
    fold: u32,
    group: u32,
    /// Number of its symbols that take part, at least 1.
    simulations: u32,
}

/// A checked walk-forward run, cut into parts: [`run_part`](Self::run_part) for each of
/// [`parts`](Self::parts), in any order, on any machine, then [`finish`](Self::finish).
#[derive(Debug)]
pub struct WalkForward<'a> {
    series: &'a [Series],
    options: WalkForwardOptions,
    threads: Threads,
    /// Times of all series, ascending, none twice.
    calendar: Vec<i64>,
    folds: Vec<Fold>,
    groups: Groups,
    tasks: Vec<Task>,
    /// Part `i` is `tasks[parts[i]..parts[i + 1]]`.
    parts: Vec<usize>,
}

/// Bars of a series in a fold.
struct Window {
    train: Vec<Range<usize>>,
    test: Range<usize>,
}

impl Window {
    fn train_bars(&self) -> usize {
        self.train.iter().map(Range::len).sum()
    }
}

impl<'a> WalkForward<'a> {
    /// Checks everything and cuts the work into parts. A close outside `[low, high]` is accepted.
    ///
    /// # Errors
    /// No series; one without a bar, of the same symbol as another, or that
    /// [`Series::check`] or a [`Batch`] refuses (its simulation is then the index of the series);
    /// options out of range; folds that do not fit the calendar, or a calendar of more than
    /// [`MAX_BARS`] bars; no symbol with enough bars in any fold.
    ///
    /// What depends on device and method is refused by the first part: a fee, bounds or a search
    /// option out of range.
    pub fn new(series: &'a [Series], options: &WalkForwardOptions) -> Result<Self, Error> {
        let groups = Groups::new(&options.optimize.sharing, series.len())?;
        check_periods(options.periods_per_year)?;
        if options.optimize.time_limit.is_some() {
            let expected = "None: a clock makes results differ; cancel between parts instead";
            return Err(Error::option("time_limit", "a duration", expected));
        }
        if options.part_bars == 0 {
            return Err(Error::option("part_bars", 0, "at least 1"));
        }
        let threads = match options.evaluate.threads {
            Some(count) => Threads::new(count)?,
            None => Threads::default(),
        };
        threads.run(|| check_series(series))?;
        let calendar = calendar(series);
        if calendar.len() > MAX_BARS {
            return Err(Error::BatchTooLarge {
                bars: calendar.len(),
                limit: MAX_BARS,
            });
        }
        let folds = options.folds.folds(calendar.len())?;
        let least = options.least_train;
        if least == 0 || least > options.folds.train {
            let expected = "at least 1 and at most the train bars of the first fold";
            return Err(Error::option("least_train", least, expected));
        }
        let mut plan = Self {
            series,
            options: options.clone(),
            threads,
            calendar,
            folds,
            groups,
            tasks: Vec::new(),
            parts: vec![0],
        };
        plan.cut();
        if plan.tasks.is_empty() {
            let expected = "met by some symbol in some fold, with a bar to test: \
                            series that overlap in time, or fewer bars";
            return Err(Error::option("least_train", least, expected));
        }
        Ok(plan)
    }

    /// Number of parts, at least 1.
    pub fn parts(&self) -> usize {
        self.parts.len() - 1
    }

    /// Number of train windows of symbols in all parts together.
    pub fn simulations(&self) -> usize {
        self.simulations_of(0..self.parts())
    }

    /// The folds, as ranges of [`calendar`](Self::calendar).
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }

    /// The times of all series, ascending, none twice: `[bars]`.
    pub fn calendar(&self) -> &[i64] {
        &self.calendar
    }

    /// The series.
    pub fn series(&self) -> &'a [Series] {
        self.series
    }

    /// The options that it was made with.
    pub fn options(&self) -> &WalkForwardOptions {
        &self.options
    }

    /// Which series share a pair of multipliers.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The train windows of a group in a fold, one simulation per symbol that takes part, in the
    /// order of the symbols: what its pair is tuned on, to look at closer.
    ///
    /// # Errors
    /// No such fold or group; [`Error::EmptyBatch`] when no symbol of the group takes part.
    pub fn train_batch(&self, fold: usize, group: usize) -> Result<Batch, Error> {
        for (name, index, count) in [
            ("fold", fold, self.folds.len()),
            ("group", group, self.groups.len()),
        ] {
            if index >= count {
                return Err(Error::option(name, index, "an index of this run"));
            }
        }
        self.batch(&self.members(fold, group).collect::<Vec<_>>())
    }

    /// Tunes and scores part `part`, which depends on no other.
    ///
    /// # Errors
    /// No such part; or whatever [`Evaluator::new`] and [`optimize()`](crate::optimize()) report.
    pub fn run_part(&self, part: usize) -> Result<WalkForwardPart, Error> {
        let tasks = self.tasks_of(part)?;
        let start = Instant::now();
        let mut windows: Vec<(usize, Window)> = Vec::new();
        let mut sizes = Vec::with_capacity(tasks.len());
        for task in tasks {
            let before = windows.len();
            windows.extend(self.members(task.fold as usize, task.group as usize));
            sizes.push(windows.len() - before);
        }
        let batch = self.batch(&windows)?;
        let groups = Groups::consecutive(&sizes)?;
        let mut evaluator = Evaluator::new(&batch, self.options.device, &self.options.evaluate)?;
        let batched = Instant::now();

        let outcome = optimize_groups(&mut evaluator, groups, &self.options.optimize, ())?;
        let tuned = Instant::now();

        let fee = evaluator.fee();
        let threads = evaluator.threads();
        let of_group = |group: usize| self.baseline(&batch, outcome.membership.members(group), fee);
        let of_groups: Result<Vec<(ExitRule, u64)>, Error> = threads.run(|| {
            let groups = (0..sizes.len()).into_par_iter();
            groups.map(of_group).collect()
        });
        let of_groups = of_groups?;
        let group_of = sizes.iter().enumerate();
        let group_of: Vec<usize> = group_of
            .flat_map(|(group, &size)| std::iter::repeat_n(group, size))
            .collect();
        let row_of = |(&group, (symbol, window)): (&usize, &(usize, Window))| {
            let (tuned, task) = (&outcome.groups[group], &tasks[group]);
            let (baseline_rule, pairs_of_gates) = of_groups[group];
            let pairs = [
                (tuned.multipliers, tuned.exit_rule),
                (Multipliers::BASELINE, baseline_rule),
            ];
            let series = &self.series[*symbol];
            let in_sample = if tuned.simulations == 1 {
                // What the search reports is the same value.
                WindowProfit {
                    bars: window.train_bars(),
                    profit: tuned.profit,
                    baseline: tuned.baseline,
                }
            } else {
                let train = window.train.iter().map(|part| view(series, part));
                window_profit(&train.collect::<Vec<_>>(), fee, pairs)
            };
            WalkForwardRow {
                fold: task.fold as usize,
                symbol: *symbol,
                group: task.group as usize,
                multipliers: tuned.multipliers,
                exit_rule: tuned.exit_rule,
                baseline_rule,
                in_sample,
                out_of_sample: window_profit(&[view(series, &window.test)], fee, pairs),
                candidates: match self.options.optimize.method {
                    Method::Exact(_) => pairs_of_gates,
                    _ => tuned.evaluations.max(1),
                },
                stop: tuned.stop,
                quality: tuned.quality(),
            }
        };
        let rows: Vec<WalkForwardRow> = threads.run(|| {
            let windows = group_of.par_iter().zip(&windows).with_min_len(64);
            windows.map(row_of).collect()
        });
        let returns = threads.run(|| {
            let rows = rows.par_iter().zip(&windows).with_min_len(64);
            let returns = rows.map(|(row, (_, window))| self.returns(row, &window.test, fee));
            returns.collect::<Vec<_>>().concat()
        });
        Ok(WalkForwardPart {
            part,
            rows,
            returns,
            times: StageTimes {
                batching: batched - start,
                tuning: tuned - batched,
                scoring: tuned.elapsed(),
                metrics: Duration::ZERO,
            },
        })
    }

    /// Lists the tasks and cuts them into parts of about `part_bars` train bars.
    fn cut(&mut self) {
        let mut bars = 0;
        for fold in 0..self.folds.len() {
            for group in 0..self.groups.len() {
                let (mut simulations, mut more) = (0, 0);
                for (_, window) in self.members(fold, group) {
                    simulations += 1;
                    more += window.train_bars();
                }
                if simulations == 0 {
                    continue;
                }
                if bars > 0 && bars + more > self.options.part_bars {
                    self.parts.push(self.tasks.len());
                    bars = 0;
                }
                bars += more;
                self.tasks.push(Task {
                    fold: fold as u32,
                    group: group as u32,
                    simulations,
                });
            }
        }
        self.parts.push(self.tasks.len());
    }

    fn tasks_of(&self, part: usize) -> Result<&[Task], Error> {
        if part >= self.parts() {
            return Err(Error::option("part", part, "below the number of parts"));
        }
        Ok(&self.tasks[self.parts[part]..self.parts[part + 1]])
    }

    /// The simulations of some parts.
    fn simulations_of(&self, parts: Range<usize>) -> usize {
        let tasks = &self.tasks[self.parts[parts.start]..self.parts[parts.end]];
        tasks.iter().map(|task| task.simulations as usize).sum()
    }

    /// The symbols of a group that take part in a fold, with their bars.
    fn members(&self, fold: usize, group: usize) -> impl Iterator<Item = (usize, Window)> {
        let symbols = self.groups.members(group).iter();
        symbols.filter_map(move |&symbol| {
            let symbol = symbol as usize;
            let window = self.window(symbol, &self.folds[fold]);
            let takes_part =
                window.train_bars() >= self.options.least_train && !window.test.is_empty();
            takes_part.then_some((symbol, window))
        })
    }

    fn window(&self, symbol: usize, fold: &Fold) -> Window {
        let times = &self.series[symbol].times;
        // Times of a series are some of the calendar's: as many are all of them.
        let complete = times.len() == self.calendar.len();
        let before = |at: usize| match self.calendar.get(at) {
            _ if complete => at,
            Some(time) => times.partition_point(|bar| bar < time),
            None => times.len(),
        };
        let bars = |range: Range<usize>| before(range.start)..before(range.end);
        let mut train: Vec<_> = fold.train_parts().into_iter().map(bars).collect();
        train.retain(|part| !part.is_empty());
        Window {
            train,
            test: bars(fold.test.clone()),
        }
    }

    /// The train windows as a batch.
    fn batch(&self, windows: &[(usize, Window)]) -> Result<Batch, Error> {
        let bars = windows.iter().map(|(_, window)| window.train_bars()).sum();
        if bars > MAX_BARS {
            return Err(Error::BatchTooLarge {
                bars,
                limit: MAX_BARS,
            });
        }
        let mut builder = Batch::builder();
        for (symbol, window) in windows {
            let series = &self.series[*symbol];
            let parts = window.train.iter().map(|part| view(series, part));
            builder.push_checked(parts, bars);
        }
        builder.build()
    }

    /// Of a group's train windows: the exit rule of the baseline, and the number of pairs of gates
    /// under all rules.
    fn baseline(&self, batch: &Batch, members: &[u32], fee: f64) -> Result<(ExitRule, u64), Error> {
        let profit = |rule| exact_profit(batch, members, fee, rule, Multipliers::BASELINE);
        let (rule, rules) = match self.options.optimize.exit_rule {
            ExitChoice::Fixed(rule) => (rule, 1),
            ExitChoice::Both if profit(ExitRule::AtClose)? > profit(ExitRule::Intraday)? => {
                (ExitRule::AtClose, 2)
            }
            ExitChoice::Both => (ExitRule::Intraday, 2),
        };
        let count =
            |weights: &[f32]| weights.iter().filter(|&&weight| weight != 0.0).count() as u64;
        let simulations = members.iter().filter_map(|&s| batch.simulation(s as usize));
        let legs = |simulation: Simulation<'_>| match simulation.weights {
            Weights::EntryExit(positions) => count(positions),
            Weights::AlwaysOn { buy, sell } => count(buy) + sell.map_or(0, count),
        };
        let legs: u64 = simulations.map(legs).sum();
        let pairs = (legs + 1).saturating_mul(legs + 1);
        Ok((rule, pairs.saturating_mul(rules)))
    }

    /// What each test bar of a row returned.
    fn returns(&self, row: &WalkForwardRow, test: &Range<usize>, fee: f64) -> Vec<BarReturn> {
        let simulation = view(&self.series[row.symbol], test);
        let mut returns = vec![BarReturn::default(); test.len()];
        let baseline = Multipliers::BASELINE;
        // With two weights per bar, all bars come twice.
        for (at, (bar, position)) in simulation.positions().enumerate() {
            let of_bar = &mut returns[at % test.len()];
            of_bar.tuned += profit(&bar, position, row.multipliers, fee, row.exit_rule);
            of_bar.baseline += profit(&bar, position, baseline, fee, row.baseline_rule);
            of_bar.traded += entered_weight(&bar, position, row.multipliers);
            of_bar.baseline_traded += entered_weight(&bar, position, baseline);
        }
        returns
    }
}

/// Walks forward from the first part to the last.
///
/// The observer is called after every part; `Break` ends the run, and the outcome is that of the
/// parts so far, with the others in [`WalkForwardOutcome::missing_parts`]. To write parts down and
/// resume, run them one by one: see [`WalkForward`].
///
/// # Errors
/// As [`WalkForward::new`] and [`WalkForward::run_part`].
///
/// ```
/// use std::ops::ControlFlow;
/// use trisect::{FoldOptions, Series, WalkForwardOptions, Weights, walk_forward};
///
/// let wave = |shift: f32| (0..120).map(|t| shift + 0.01 * (t as f32).sin()).collect::<Vec<f32>>();
/// let series = Series {
///     symbol: "WAVE".to_owned(),
///     times: (0..120).map(|day| day * 86_400).collect(),
///     close: wave(0.0),
///     high: wave(0.02),
///     low: wave(-0.02),
///     high_pred: vec![0.015; 120],
///     low_pred: vec![-0.015; 120],
///     weights: Weights::EntryExit(vec![1.0; 120]),
/// };
/// let folds = FoldOptions { train: 60, test: 20, step: 20, purge: 0, embargo: 0, anchored: false };
/// let options = WalkForwardOptions::new(folds);
/// let outcome = walk_forward(&[series], &options, |progress| {
///     println!("{} of {} parts", progress.parts.0, progress.parts.1);
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!((outcome.folds.len(), outcome.portfolio.len()), (3, 60));
/// assert!(outcome.run.in_sample.gain() > 0.0);
/// assert!(outcome.run.degradation().is_some());
/// # Ok::<(), trisect::Error>(())
/// ```
pub fn walk_forward(
    series: &[Series],
    options: &WalkForwardOptions,
    mut observer: impl FnMut(&WalkForwardProgress) -> ControlFlow<()>,
) -> Result<WalkForwardOutcome, Error> {
    let run = WalkForward::new(series, options)?;
    let start = Instant::now();
    let mut parts = Vec::with_capacity(run.parts());
    for part in 0..run.parts() {
        parts.push(run.run_part(part)?);
        let progress = WalkForwardProgress {
            parts: (part + 1, run.parts()),
            simulations: (run.simulations_of(0..part + 1), run.simulations()),
            elapsed: start.elapsed(),
        };
        if observer(&progress).is_break() {
            break;
        }
    }
    run.finish(parts)
}

/// The bars `range` of a series.
fn view<'a>(series: &'a Series, range: &Range<usize>) -> Simulation<'a> {
    let cut = |column: &'a Vec<f32>| &column[range.clone()];
    Simulation {
        close: cut(&series.close),
        high: cut(&series.high),
        low: cut(&series.low),
        high_pred: cut(&series.high_pred),
        low_pred: cut(&series.low_pred),
        weights: match &series.weights {
            Weights::EntryExit(positions) => Weights::EntryExit(cut(positions)),
            Weights::AlwaysOn { buy, sell } => Weights::AlwaysOn {
                buy: cut(buy),
                sell: sell.as_ref().map(cut),
            },
        },
    }
}

/// Profit of a window, given in parts, under the tuned pair and the baseline.
fn window_profit(
    parts: &[Simulation<'_>],
    fee: f64,
    pairs: [(Multipliers, ExitRule); 2],
) -> WindowProfit {
    let statistics = parts.iter().map(|part| Part::of(part, fee));
    let grid = GroupGrid::new(&statistics.fold(Part::default(), Part::join), fee);
    let [profit, baseline] = pairs.map(|(pair, rule)| {
        let shares = parts.iter().map(|part| grid.share(part, pair, rule));
        grid.profit(&shares.fold(Share::default(), Share::join), pair, 1)
    });
    WindowProfit {
        bars: parts.iter().map(Simulation::bars).sum(),
        profit,
        baseline,
    }
}

/// Refuses what cannot be in one batch, or told apart.
fn check_series(series: &[Series]) -> Result<(), Error> {
    let mut symbols = HashSet::new();
    for series in series {
        if !symbols.insert(&series.symbol) {
            let expected = "given once: rename or join series of the same symbol";
            return Err(Error::option("symbol", &series.symbol, expected));
        }
        series.check()?;
    }
    let kind = series.first().map(|first| first.weights.kind());
    let check = |(index, series): (usize, &Series)| {
        let simulation = view(series, &(0..series.len()));
        let (expected, got) = (kind.unwrap_or_default(), simulation.weights.kind());
        if expected != got {
            return Err(Error::MixedWeights {
                simulation: index,
                expected,
                got,
            });
        }
        check_simulation(index, &simulation)
    };
    // Of several errors the first series', whichever thread met one first.
    let checked: Vec<Result<(), Error>> = series.par_iter().enumerate().map(check).collect();
    checked.into_iter().collect()
}

/// The times of all series, ascending, none twice.
fn calendar(series: &[Series]) -> Vec<i64> {
    let longest = series.iter().max_by_key(|series| series.len());
    let longest = longest.map_or(&[][..], |series| &series.times);
    if series.iter().all(|series| series.times == longest) {
        return longest.to_vec();
    }
    let mut times: Vec<i64> = series
        .iter()
        .flat_map(|series| &series.times)
        .copied()
        .collect();
    // Stable, as it merges runs that are sorted already.
    times.sort();
    times.dedup();
    times
}
