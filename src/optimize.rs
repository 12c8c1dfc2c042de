//! The drivers: many searches over one evaluator.
//!
//! In lockstep every round asks all searches that still run for their next points, scores all of
//! them with one call of the evaluator per exit rule, and tells each search its share. The searches
//! know nothing of each other, so a group's result does not depend on which others run beside it,
//! nor on whether they keep step: where nobody watches the rounds and the evaluator can score
//! single groups, each search runs from its first round to its last on one thread.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::batch::MAX_MOVE;
use crate::direct::{Bounds, Direct, DirectOptions, StopReason};
use crate::error::Error;
use crate::evaluate::{Evaluate, EvaluateGroup, Threads};
use crate::groups::{Candidates, Groups, Sharing};
use crate::profit::{ExitRule, Multipliers};

/// How candidates are chosen.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// DIRECT, one search per group.
    Direct(DirectOptions),
    /// Every pair of a grid of equally spaced values, both ends of each axis included; a single
    /// value is the middle of its axis. Of equal pairs the first wins, `high` varying slowest.
    Grid {
        /// Values of `high`.
        high: usize,
        /// Values of `low`.
        low: usize,
    },
}

/// Which exit rule a group ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitChoice {
    /// This one.
    Fixed(ExitRule),
    /// Both are searched, the one with the higher profit is kept (`Intraday` when equal).
    Both,
}

impl ExitChoice {
    fn rules(self) -> &'static [ExitRule] {
        match self {
            Self::Fixed(ExitRule::Intraday) => &[ExitRule::Intraday],
            Self::Fixed(ExitRule::AtClose) => &[ExitRule::AtClose],
            Self::Both => &[ExitRule::Intraday, ExitRule::AtClose],
        }
    }
}

/// How to tune a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizeOptions {
    /// Who shares multipliers with whom. One pair for all by default.
    pub sharing: Sharing,
    /// How candidates are chosen. DIRECT with the production budget by default.
    pub method: Method,
    /// The exit rule, or both. `Intraday` by default.
    pub exit_rule: ExitChoice,
    /// Ends of the interval of `high`, return units; ±0.03 by default.
    pub high_bounds: (f64, f64),
    /// Ends of the interval of `low`, return units; ±0.03 by default.
    pub low_bounds: (f64, f64),
    /// Wall clock after which no further round starts. None by default, since a result that
    /// depends on the clock is not reproducible.
    pub time_limit: Option<Duration>,
}

impl Default for OptimizeOptions {
    fn default() -> Self {
        Self {
            sharing: Sharing::All,
            method: Method::Direct(DirectOptions::production()),
            exit_rule: ExitChoice::Fixed(ExitRule::Intraday),
            high_bounds: (-0.03, 0.03),
            low_bounds: (-0.03, 0.03),
            time_limit: None,
        }
    }
}

/// What became of one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupOutcome {
    /// Label of a named group.
    pub name: Option<String>,
    /// Number of its simulations.
    pub simulations: usize,
    /// The pair that was kept, the baseline if nothing beat it.
    pub multipliers: Multipliers,
    /// The exit rule that was kept.
    pub exit_rule: ExitRule,
    /// Mean profit of its simulations with the above: f64, gates in f32.
    pub profit: f64,
    /// Mean profit of its simulations with multipliers (0, 0), under the better of the exit rules
    /// that were tried. Never above `profit`.
    pub baseline: f64,
    /// Candidates scored.
    pub evaluations: u64,
    /// Iterations of the search; of both when two exit rules were tried.
    pub iterations: u64,
    /// Why the search of the kept exit rule ended.
    pub stop: StopReason,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// One entry per group.
    pub groups: Vec<GroupOutcome>,
    /// Profit of each simulation with its group's multipliers and exit rule, `[S]`.
    pub profits: Vec<f64>,
    /// Which simulations make up which group.
    pub membership: Groups,
    /// Rounds: calls of the evaluator per exit rule.
    pub rounds: u64,
    /// Candidates scored, over all groups and exit rules.
    pub evaluations: u64,
    /// Bars times candidates scored.
    pub bar_candidates: u64,
    /// Time from the call to the return.
    pub wall_time: Duration,
}

impl Outcome {
    /// Mean profit over all simulations.
    pub fn mean_profit(&self) -> f64 {
        self.profits.iter().sum::<f64>() / self.profits.len() as f64
    }
}

/// How far the searches are, after a round.
pub struct Progress<'a> {
    /// Rounds done.
    pub rounds: u64,
    /// Points scored, over all groups.
    pub evaluations: u64,
    /// Number of groups.
    pub groups: usize,
    /// Groups with a search that still runs.
    pub running: usize,
    best: &'a dyn Fn(usize) -> Option<BestSoFar>,
}

impl Progress<'_> {
    /// The best of group `g` so far; `None` when there is no such group or nothing feasible yet.
    pub fn best(&self, g: usize) -> Option<BestSoFar> {
        (self.best)(g)
    }
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("rounds", &self.rounds)
            .field("evaluations", &self.evaluations)
            .field("groups", &self.groups)
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

/// The best point of a group at some moment of its search.
#[derive(Debug, Clone, PartialEq)]
pub struct BestSoFar {
    /// The point, `[dim]`; for a batch `[high, low]`.
    pub point: Vec<f64>,
    /// Its value as the search sees it: for a batch the mean profit (higher is better), for a
    /// caller's objective its value (lower is better).
    pub value: f64,
    /// The exit rule it belongs to; `None` for a caller's objective.
    pub exit_rule: Option<ExitRule>,
}

/// Watches the rounds and can end them.
///
/// Implemented for closures, and for `()`, which watches nothing.
pub trait Observer {
    /// Whether this observer wants to see the rounds. If not, searches need not keep step, and
    /// the driver may run each from its first round to its last; the outcome is the same.
    fn watches(&self) -> bool {
        true
    }

    /// Called after every round. `Break` cancels: what was found so far is returned, with
    /// [`StopReason::Cancelled`].
    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()>;
}

impl Observer for () {
    fn watches(&self) -> bool {
        false
    }

    fn round(&mut self, _: &Progress<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(&Progress<'_>) -> ControlFlow<()>> Observer for F {
    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        self(progress)
    }
}

/// Tunes the multipliers of every group of the evaluator's batch.
///
/// The baseline (0, 0) always competes, even outside the bounds: no group ends worse than it
/// began. The same batch and options give the same outcome on every backend and for every number
/// of threads, `wall_time` aside. What is found is the best of this batch, in sample: it is not a
/// forecast.
///
/// # Errors
/// Options out of range, a sharing that does not fit the batch, or whatever the evaluator
/// reports. All options are checked before the first evaluation.
pub fn optimize<E: Evaluate + ?Sized>(
    evaluator: &mut E,
    options: &OptimizeOptions,
    mut observer: impl Observer,
) -> Result<Outcome, Error> {
    let clock = Clock {
        start: Instant::now(),
        limit: options.time_limit,
    };
    let groups = Groups::new(&options.sharing, evaluator.batch().len())?;
    let bounds = multiplier_bounds(options)?;
    let rules = options.exit_rule.rules();
    let threads = evaluator.threads();
    let mut report = Report {
        observer: &mut observer,
        groups: groups.len(),
        rules: Some(rules),
    };
    let mut scores = Scores::new(evaluator, &groups, rules);
    let watched = report.observer.watches() || options.time_limit.is_some();
    let search = match &options.method {
        Method::Direct(direct) => {
            let template = Direct::new(bounds, *direct)?;
            direct_search(template, &mut scores, &threads, clock, watched, &mut report)?
        }
        Method::Grid { high, low } => {
            let grid = Grid::new(&bounds, *high, *low)?;
            grid_search(&grid, &mut scores, clock, &mut report)?
        }
    };
    let bar_candidates = scores.bar_candidates;
    let choice = choose(evaluator, &groups, rules, &search.found);
    let outcomes = choice.groups.into_iter().enumerate();
    let outcomes = outcomes.map(|(group, chosen)| {
        let of_rule = |rule: usize| &search.found[rule * groups.len() + group];
        let of_rules = || (0..rules.len()).map(of_rule);
        GroupOutcome {
            name: groups.name(group).map(str::to_owned),
            simulations: groups.members(group).len(),
            multipliers: chosen.multipliers,
            exit_rule: rules[chosen.rule],
            profit: chosen.profit,
            baseline: chosen.baseline,
            evaluations: of_rules().map(|found| found.evaluations).sum(),
            iterations: of_rules().map(|found| found.iterations).sum(),
            stop: of_rule(chosen.rule).stop,
        }
    });
    Ok(Outcome {
        groups: outcomes.collect(),
        profits: choice.profits,
        rounds: search.rounds,
        evaluations: search.found.iter().map(|found| found.evaluations).sum(),
        bar_candidates,
        wall_time: clock.start.elapsed(),
        membership: groups,
    })
}

/// The lowest value of a caller's own function, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The point exactly as it was evaluated, `[dim]`; `None` when no value was finite.
    pub point: Option<Vec<f64>>,
    /// Its value; infinite when no value was finite.
    pub value: f64,
    /// Points evaluated.
    pub evaluations: u64,
    /// Iterations.
    pub iterations: u64,
    /// Why the search ended.
    pub stop: StopReason,
}

/// Minimises a caller's own batched function of any dimension with DIRECT.
///
/// `objective` gets `(points, dim)`, points `(n, dim)` row-major, and returns `n` values. Values
/// that are not finite mark infeasible points.
///
/// ```
/// use trisect::{Bounds, DirectOptions, minimize};
///
/// let bounds = Bounds::new(&[(-1.0, 2.0), (-1.0, 2.0)])?;
/// let paraboloid = |points: &[f64], dim: usize| {
///     let square = |x: &[f64]| x.iter().map(|x| (x - 0.5) * (x - 0.5)).sum();
///     points.chunks(dim).map(square).collect()
/// };
/// let minimum = minimize(bounds, &DirectOptions::production(), paraboloid, ())?;
/// assert!(minimum.value < 1e-9);
/// # Ok::<(), trisect::Error>(())
/// ```
///
/// # Errors
/// Options out of range; [`Error::ValueCount`] when `objective` returns another number of values.
pub fn minimize(
    bounds: Bounds,
    options: &DirectOptions,
    mut objective: impl FnMut(&[f64], usize) -> Vec<f64>,
    observer: impl Observer,
) -> Result<Minimum, Error> {
    let evaluate = |points: &Points<'_>| Ok(objective(points.all(), points.dim()));
    let minima = minimize_groups(1, bounds, options, evaluate, observer)?;
    minima
        .into_iter()
        .next()
        .ok_or_else(|| Error::option("groups", 0, "at least 1"))
}

/// Minimises `groups` functions of the same box at once, all searches in lockstep.
///
/// Each round `objective` gets the points of all searches and returns their values in the same
/// order.
///
/// # Errors
/// Options out of range; [`Error::ValueCount`] when `objective` returns another number of values;
/// whatever `objective` returns.
pub fn minimize_groups(
    groups: usize,
    bounds: Bounds,
    options: &DirectOptions,
    mut objective: impl FnMut(&Points<'_>) -> Result<Vec<f64>, Error>,
    mut observer: impl Observer,
) -> Result<Vec<Minimum>, Error> {
    let template = Direct::new(bounds, *options)?;
    if groups == 0 {
        return Err(Error::option("groups", groups, "at least 1"));
    }
    let clock = Clock {
        start: Instant::now(),
        limit: None,
    };
    let mut report = Report {
        observer: &mut observer,
        groups,
        rules: None,
    };
    let evaluate = |points: &Points<'_>, values: &mut [f64]| {
        let got = objective(points)?;
        if got.len() != values.len() {
            return Err(Error::ValueCount {
                expected: values.len(),
                got: got.len(),
            });
        }
        values.copy_from_slice(&got);
        Ok(())
    };
    let searches = vec![template; groups];
    let search = lockstep(searches, &Threads::default(), clock, &mut report, evaluate)?;
    let minima = search.found.into_iter().map(|found| Minimum {
        point: found.point,
        value: found.value,
        evaluations: found.evaluations,
        iterations: found.iterations,
        stop: found.stop,
    });
    Ok(minima.collect())
}

/// The points of one round, search by search.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    points: &'a [f64],
    dim: usize,
    /// Points of search `i` are `offsets[i]..offsets[i + 1]`.
    offsets: &'a [usize],
}

impl<'a> Points<'a> {
    /// All points, `(n, dim)` row-major.
    pub fn all(&self) -> &'a [f64] {
        self.points
    }

    /// Coordinates per point.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of searches.
    pub fn groups(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Points of search `g`, `(n, dim)` row-major; empty once it has ended.
    pub fn of_group(&self, g: usize) -> &'a [f64] {
        match (self.offsets.get(g), self.offsets.get(g.saturating_add(1))) {
            (Some(&start), Some(&end)) => &self.points[start * self.dim..end * self.dim],
            _ => &[],
        }
    }
}

/// When the searches began and how long they may take.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    limit: Option<Duration>,
}

impl Clock {
    fn expired(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.start.elapsed() >= limit)
    }
}

/// Tells the observer, and knows how searches map to groups: search `rule * groups + group`.
struct Report<'a> {
    observer: &'a mut dyn Observer,
    groups: usize,
    rules: Option<&'static [ExitRule]>,
}

impl Report<'_> {
    /// After a round: the reason to end all searches, if there is one.
    ///
    /// `best` gives a search's best point and its value to be minimised.
    fn round(
        &mut self,
        rounds: u64,
        evaluations: u64,
        running: usize,
        clock: Clock,
        best: &dyn Fn(usize) -> Option<(Vec<f64>, f64)>,
    ) -> Option<StopReason> {
        let (groups, rules) = (self.groups, self.rules);
        let best_of_group = |group: usize| -> Option<BestSoFar> {
            if group >= groups {
                return None;
            }
            let Some(rules) = rules else {
                let (point, value) = best(group)?;
                return Some(BestSoFar {
                    point,
                    value,
                    exit_rule: None,
                });
            };
            let of_rule = |(rule, &exit_rule): (usize, &ExitRule)| {
                let (point, value) = best(rule * groups + group)?;
                Some(BestSoFar {
                    point,
                    value: -value,
                    exit_rule: Some(exit_rule),
                })
            };
            let of_rules = rules.iter().enumerate().filter_map(of_rule);
            // The first of equals, as at the end.
            of_rules.reduce(|a, b| if b.value > a.value { b } else { a })
        };
        let progress = Progress {
            rounds,
            evaluations,
            groups,
            running,
            best: &best_of_group,
        };
        if self.observer.round(&progress).is_break() {
            Some(StopReason::Cancelled)
        } else if clock.expired() {
            Some(StopReason::TimeLimit)
        } else {
            None
        }
    }
}

/// What the searches came to.
struct Search {
    /// One per exit rule and group, rules outermost.
    found: Vec<Found>,
    rounds: u64,
}

struct Found {
    /// `[dim]`; `None` when nothing feasible was seen.
    point: Option<Vec<f64>>,
    /// To be minimised.
    value: f64,
    evaluations: u64,
    iterations: u64,
    stop: StopReason,
}

impl Found {
    fn of(search: &Direct) -> Self {
        let best = search.best();
        Self {
            point: best.as_ref().map(|best| best.x.to_vec()),
            value: best.map_or(f64::INFINITY, |best| best.value),
            evaluations: search.evaluations() as u64,
            iterations: search.iterations() as u64,
            stop: search.stop().unwrap_or(StopReason::Cancelled),
        }
    }
}

/// Searches handed to a thread at once.
const SEARCHES_PER_TASK: usize = 16;

/// Runs DIRECT for every exit rule and group: in lockstep, or one search after the other where
/// nobody watches and that keeps all threads busy. The results are the same.
fn direct_search<E: Evaluate + ?Sized>(
    template: Direct,
    scores: &mut Scores<'_, E>,
    threads: &Threads,
    clock: Clock,
    watched: bool,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    let (groups, rules) = (scores.groups, scores.rules);
    if let Some(scorer) = scores.evaluator.per_group()
        && !watched
        && scores.keeps_busy(threads.count())
    {
        let search = one_by_one(&template, scorer, groups, rules, threads)?;
        for (index, found) in search.found.iter().enumerate() {
            scores.bar_candidates += scores.bars[index % groups.len()] * found.evaluations;
        }
        return Ok(search);
    }
    let searches = vec![template; groups.len() * rules.len()];
    let evaluate = |points: &Points<'_>, values: &mut [f64]| scores.score(points, values);
    lockstep(searches, threads, clock, report, evaluate)
}

/// Runs each search from its first round to its last on one thread, where its state stays in the
/// cache: half the time of lockstep for a thousand searches, and memory for one search per thread.
fn one_by_one(
    template: &Direct,
    scorer: &dyn EvaluateGroup,
    groups: &Groups,
    rules: &'static [ExitRule],
    threads: &Threads,
) -> Result<Search, Error> {
    let start = || (template.clone(), Vec::new(), Vec::new());
    let run = |(direct, pairs, values): &mut (Direct, Vec<Multipliers>, Vec<f64>),
               search: usize|
     -> Result<(Found, u64), Error> {
        let (exit_rule, group) = (rules[search / groups.len()], search % groups.len());
        let mut rounds = 0;
        direct.restart();
        while direct.stop().is_none() {
            pairs.clear();
            pairs.extend(direct.ask().chunks_exact(2).map(as_pair));
            values.resize(pairs.len(), 0.0);
            scorer.group_means(groups, group, pairs, exit_rule, values)?;
            values.iter_mut().for_each(|value| *value = -*value);
            direct.tell(values)?;
            rounds += 1;
        }
        Ok((Found::of(direct), rounds))
    };
    let searches = 0..groups.len() * rules.len();
    let results: Vec<(Found, u64)> = threads.run(|| {
        let searches = searches.into_par_iter().with_min_len(SEARCHES_PER_TASK);
        searches.map_init(start, run).collect::<Result<_, Error>>()
    })?;
    Ok(Search {
        rounds: results.iter().map(|(_, rounds)| *rounds).max().unwrap_or(0),
        found: results.into_iter().map(|(found, _)| found).collect(),
    })
}

/// Runs searches of one dimension until the last one stops. `evaluate` fills in one value per
/// point.
fn lockstep(
    mut searches: Vec<Direct>,
    threads: &Threads,
    clock: Clock,
    report: &mut Report<'_>,
    mut evaluate: impl FnMut(&Points<'_>, &mut [f64]) -> Result<(), Error>,
) -> Result<Search, Error> {
    let dim = searches.first().map_or(1, Direct::dim);
    let groups = report.groups;
    let (mut points, mut offsets, mut values) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rounds, mut evaluations) = (0, 0);
    loop {
        points.clear();
        offsets.clear();
        offsets.push(0);
        for search in &searches {
            points.extend_from_slice(search.ask());
            offsets.push(points.len() / dim);
        }
        let count = points.len() / dim;
        if count == 0 {
            break;
        }
        let asked = Points {
            points: &points,
            dim,
            offsets: &offsets,
        };
        values.clear();
        values.resize(count, 0.0);
        evaluate(&asked, &mut values)?;
        rounds += 1;
        evaluations += count as u64;
        threads.run(|| {
            searches
                .par_iter_mut()
                .zip(offsets.par_windows(2))
                .with_min_len(SEARCHES_PER_TASK)
                .try_for_each(|(search, range)| search.tell(&values[range[0]..range[1]]))
        })?;

        let runs = |search: &Direct| search.stop().is_none();
        let running = (0..groups)
            .filter(|&group| searches.iter().skip(group).step_by(groups).any(runs))
            .count();
        let best = |search: usize| {
            let best = searches[search].best()?;
            Some((best.x.to_vec(), best.value))
        };
        if let Some(reason) = report.round(rounds, evaluations, running, clock, &best) {
            for search in &mut searches {
                search.stop_now(reason);
            }
        }
    }
    let found = searches.iter().map(Found::of);
    Ok(Search {
        found: found.collect(),
        rounds,
    })
}

/// The evaluator as an objective to be minimised.
struct Scores<'a, E: ?Sized> {
    evaluator: &'a mut E,
    groups: &'a Groups,
    rules: &'static [ExitRule],
    /// Bars of each group.
    bars: Vec<u64>,
    bar_candidates: u64,
    candidates: Candidates,
}

impl<'a, E: Evaluate + ?Sized> Scores<'a, E> {
    fn new(evaluator: &'a mut E, groups: &'a Groups, rules: &'static [ExitRule]) -> Self {
        let lengths: Vec<u64> = evaluator
            .batch()
            .simulations()
            .map(|simulation| simulation.bars() as u64)
            .collect();
        let members = (0..groups.len()).map(|group| groups.members(group));
        let bars = members.map(|members| members.iter().map(|&s| lengths[s as usize]).sum());
        Self {
            bars: bars.collect(),
            evaluator,
            groups,
            rules,
            bar_candidates: 0,
            candidates: Candidates::no_lists(),
        }
    }

    /// Whether `threads` threads have enough groups to share, none of them too large.
    fn keeps_busy(&self, threads: usize) -> bool {
        let largest = self.bars.iter().max().copied().unwrap_or(0);
        let all: u64 = self.bars.iter().sum();
        threads == 1 || largest * 4 * threads as u64 <= all
    }

    /// Negated mean profits of the points of searches `rule * groups + group`.
    fn score(&mut self, points: &Points<'_>, values: &mut [f64]) -> Result<(), Error> {
        let mut rest = values;
        for (rule, &exit_rule) in self.rules.iter().enumerate() {
            self.candidates.clear_lists();
            for group in 0..self.groups.len() {
                let list = points.of_group(rule * self.groups.len() + group);
                for point in list.chunks_exact(2) {
                    self.candidates.push(as_pair(point));
                }
                self.candidates.end_list();
                self.bar_candidates += self.bars[group] * (list.len() / 2) as u64;
            }
            let count = self.candidates.total(self.groups.len());
            let (means, tail) = rest.split_at_mut(count);
            if count > 0 {
                self.evaluator
                    .means(self.groups, &self.candidates, exit_rule, means)?;
                means.iter_mut().for_each(|mean| *mean = -*mean);
            }
            rest = tail;
        }
        Ok(())
    }
}

/// The values of a grid, per axis.
struct Grid {
    high: Vec<f32>,
    low: Vec<f32>,
}

impl Grid {
    fn new(bounds: &Bounds, high: usize, low: usize) -> Result<Self, Error> {
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

fn grid_search<E: Evaluate + ?Sized>(
    grid: &Grid,
    scores: &mut Scores<'_, E>,
    clock: Clock,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    let groups = scores.groups.len();
    let block = (GRID_MEANS / groups).clamp(1, grid.len());
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
            stop = report.round(rounds, evaluations, running, clock, &best_point);
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
    });
    Ok(Search {
        found: found.collect(),
        rounds,
    })
}

/// The pair that a point `[high, low]` stands for, rounded once.
fn as_pair(point: &[f64]) -> Multipliers {
    Multipliers::new(point[0] as f32, point[1] as f32)
}

fn as_point(pair: Multipliers) -> Vec<f64> {
    vec![f64::from(pair.high), f64::from(pair.low)]
}

fn multiplier_bounds(options: &OptimizeOptions) -> Result<Bounds, Error> {
    let intervals = [options.high_bounds, options.low_bounds];
    for (name, (low, high)) in ["high_bounds", "low_bounds"].into_iter().zip(intervals) {
        if low.abs() > MAX_MOVE || high.abs() > MAX_MOVE {
            let value = format!("({low}, {high})");
            return Err(Error::option(name, value, "within ±1e6, in return units"));
        }
    }
    Bounds::new(&intervals)
}

/// The kept result of every group, and the profits that come of it.
struct Choice {
    groups: Vec<Chosen>,
    /// Per simulation.
    profits: Vec<f64>,
}

struct Chosen {
    multipliers: Multipliers,
    /// Index among the exit rules that were tried.
    rule: usize,
    profit: f64,
    baseline: f64,
}

/// Recomputes every result and its baseline in f64 and keeps the best of each group.
///
/// Of equal profits the first wins: the baseline before what was found, `Intraday` before
/// `AtClose`.
fn choose<E: Evaluate + ?Sized>(
    evaluator: &E,
    groups: &Groups,
    rules: &[ExitRule],
    found: &[Found],
) -> Choice {
    let (batch, fee, threads) = (evaluator.batch(), evaluator.fee(), evaluator.threads());
    // The competitors of a group: the baseline under each rule, then each rule's result.
    let competitors = |group: usize| -> [Option<(usize, Multipliers)>; 4] {
        let mut all = [None; 4];
        for rule in 0..rules.len() {
            all[rule] = Some((rule, Multipliers::BASELINE));
            if let Some(point) = &found[rule * groups.len() + group].point {
                all[rules.len() + rule] = Some((rule, as_pair(point)));
            }
        }
        all
    };
    let mut group_of = vec![0; groups.simulations()];
    for group in 0..groups.len() {
        for &simulation in groups.members(group) {
            group_of[simulation as usize] = group;
        }
    }
    let profits_of = |(simulation, &group): (usize, &usize)| -> [f64; 4] {
        competitors(group).map(
            |competitor| match (competitor, batch.simulation(simulation)) {
                (Some((rule, pair)), Some(simulation)) => simulation.profit(pair, fee, rules[rule]),
                _ => f64::NEG_INFINITY,
            },
        )
    };
    let table: Vec<[f64; 4]> =
        threads.run(|| group_of.par_iter().enumerate().map(profits_of).collect());

    let mut profits = vec![0.0; groups.simulations()];
    let choose_group = |group: usize| {
        let members = groups.members(group);
        let mean = |which: usize| -> f64 {
            let of_members = members.iter().map(|&s| table[s as usize][which]);
            of_members.sum::<f64>() / members.len() as f64
        };
        let mut best = (0, mean(0));
        let mut baseline = best.1;
        for which in 1..2 * rules.len() {
            let profit = mean(which);
            if which < rules.len() {
                baseline = baseline.max(profit);
            }
            if profit > best.1 {
                best = (which, profit);
            }
        }
        for &simulation in members {
            profits[simulation as usize] = table[simulation as usize][best.0];
        }
        let (rule, multipliers) = competitors(group)[best.0].unwrap_or_default();
        Chosen {
            multipliers,
            rule,
            profit: best.1,
            baseline,
        }
    };
    let chosen = (0..groups.len()).map(choose_group).collect();
    Choice {
        groups: chosen,
        profits,
    }
}
