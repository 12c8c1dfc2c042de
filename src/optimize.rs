//! The drivers: many searches over one evaluator.
//!
//! In lockstep every round asks all searches that still run for their next points, scores all of
//! them with one call of the evaluator per exit rule, and tells each search its share. The searches
//! know nothing of each other, so a group's result does not depend on which others run beside it,
//! nor on whether they keep step: where nobody watches the rounds and the evaluator can score
//! single groups, each search runs from its first round to its last on one thread; an evaluator
//! that runs whole searches gets all of them at once.

mod choose;
mod exact;
mod grid;
mod lockstep;
mod minimize;
mod observe;
mod polish;
mod ranks;
mod scores;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::batch::MAX_MOVE;
use crate::direct::{Bounds, Direct, DirectOptions, StopReason};
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::evolution::{Evolution, EvolutionOptions};
use crate::exact::ExactOptions;
use crate::groups::{Groups, Sharing};
use crate::profit::{ExitRule, Multipliers};
use crate::reduce::Reduce;

use choose::{Chosen, choose};
use exact::{ExactBox, exact_search, upper_bounds};
use grid::{Grid, grid_search};
use lockstep::{ask_tell_search, direct_search};
use observe::{Clock, Report};
use polish::{MAX_POLISH, polish};
use scores::Scores;

pub use lockstep::Points;
pub use minimize::{Minimum, minimize, minimize_groups};
pub use observe::{BestSoFar, Observer, Progress};
pub use ranks::optimize_ranks;

/// How candidates are chosen.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Method {
    /// DIRECT, one search per group.
    Direct(DirectOptions),
    /// Differential evolution, one search per group. Every search starts from the seed alone.
    Evolution(EvolutionOptions),
    /// Every pair of a grid of equally spaced values, both ends of each axis included; a single
    /// value is the middle of its axis. Of equal pairs the first wins, `high` varying slowest.
    Grid {
        /// Values of `high`.
        high: usize,
        /// Values of `low`.
        low: usize,
    },
    /// The exact optimum of the box, with proof: see [`exact()`](crate::exact()). The box is that
    /// of the bounds rounded to f32, which holds every pair that the other methods can score.
    ///
    /// Evaluators that find optima themselves ([`Evaluate::exact_optima`]: GPUs, small groups) are
    /// asked first, unless the options limit work or memory. The result is the same, but for the
    /// work, which is then that of a sweep over all pairs of gates.
    Exact(ExactOptions),
}

/// Which exit rule a group ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// DIRECT and differential evolution only: snap the best pair to gates at the end. The
    /// `polish` gates nearest to it per axis are combined and scored, which comes on top of the
    /// budget; 0 (the default): none, at most 64. Measured on the example's prices with DIRECT, one
    /// search per window: 500 evaluations reach a quality of 0.951, with a polish of 4 (24 more)
    /// 0.978; 1000 evaluations reach 0.967.
    pub polish: usize,
    /// Compute the exact optimum of each group, too, so that [`GroupOutcome::quality`] is known.
    /// Off by default.
    pub quality: bool,
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
            polish: 0,
            quality: false,
            time_limit: None,
        }
    }
}

impl OptimizeOptions {
    /// Refuses a sharing that does not fit so many simulations, and a box or a polish out of range.
    pub(crate) fn check(&self, simulations: usize) -> Result<(), Error> {
        Groups::new(&self.sharing, simulations)?;
        self.check_bounds()?;
        Ok(())
    }

    /// The box, if it and the polish are in range.
    fn check_bounds(&self) -> Result<Bounds, Error> {
        let bounds = multiplier_bounds(self)?;
        if self.polish > MAX_POLISH {
            return Err(Error::option("polish", self.polish, "at most 64"));
        }
        Ok(bounds)
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
    /// Mean profit of its simulations with the above: [`exact_profit`](crate::exact_profit), to
    /// the bit.
    pub profit: f64,
    /// Mean profit of its simulations with multipliers (0, 0), under the better of the exit rules
    /// that were tried. Never above `profit`.
    pub baseline: f64,
    /// Candidates scored; none by the exact method.
    pub evaluations: u64,
    /// Iterations of the search; of both when two exit rules were tried.
    pub iterations: u64,
    /// Why the search of the kept exit rule ended.
    pub stop: StopReason,
    /// The best under the exit rule that was not kept, when both were tried.
    pub other_rule: Option<RuleOutcome>,
    /// What the profit of no pair in the bounds exceeds, under any rule that was tried:
    /// [`Method::Exact`], and every method with [`OptimizeOptions::quality`]. Equal to the exact
    /// optimum when that is proved.
    pub upper_bound: Option<f64>,
    /// Work of the exact method, in the unit of [`Exact::work`](crate::Exact::work). It depends on
    /// who found the optimum: see [`Evaluate::exact_optima`].
    pub work: u64,
}

impl GroupOutcome {
    /// `(profit - baseline) / (exact optimum - baseline)`: the share of the attainable improvement
    /// that was found. 1 where nothing is attainable; `None` when the optimum is not known.
    pub fn quality(&self) -> Option<f64> {
        let attainable = self.upper_bound? - self.baseline;
        Some(if attainable > 0.0 {
            (self.profit - self.baseline) / attainable
        } else {
            1.0
        })
    }
}

/// The best of a group under one exit rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RuleOutcome {
    /// The rule.
    pub exit_rule: ExitRule,
    /// The pair.
    pub multipliers: Multipliers,
    /// Mean profit of the group's simulations.
    pub profit: f64,
}

/// How the searches of a batch were run. The outcome does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Path {
    /// Each from its first round to its last on one thread.
    OneByOne,
    /// Round by round, all at once.
    Lockstep,
    /// Left to the evaluator, [`Evaluate::searches`]: on a GPU, one launch for all of them, or a
    /// few of bounded time (about 20 ms each), with nothing to wait for between the rounds. A group
    /// that keeps a part of the device busy has it; one search over a large batch has all of it.
    OneLaunch,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// One entry per group.
    pub groups: Vec<GroupOutcome>,
    /// Profit of each simulation with its group's multipliers and exit rule, `[S]`, in the fixed
    /// point of its group.
    pub profits: Vec<f64>,
    /// Which simulations make up which group.
    pub membership: Groups,
    /// Rounds of the search that took most of them; in lockstep, calls of the evaluator per exit
    /// rule.
    pub rounds: u64,
    /// Candidates scored, over all groups and exit rules.
    pub evaluations: u64,
    /// Bars times candidates scored.
    pub bar_candidates: u64,
    /// How the searches were run.
    pub path: Path,
    /// Time from the call to the return.
    pub wall_time: Duration,
}

impl Outcome {
    /// Mean profit over all simulations.
    pub fn mean_profit(&self) -> f64 {
        self.profits.iter().sum::<f64>() / self.profits.len() as f64
    }
}

/// Tunes the multipliers of every group of the evaluator's batch.
///
/// The baseline (0, 0) always competes, even outside the bounds: no group ends worse than it
/// began. The same batch and options give the same outcome on every backend and for every number
/// of threads, `path`, `wall_time` and the exact method's `work` aside. What is found is the best of
/// this batch, in sample: it is not a forecast.
///
/// # Errors
/// Options out of range, a sharing that does not fit the batch, or whatever the evaluator
/// reports. All options are checked before the first evaluation.
pub fn optimize<E: Evaluate + ?Sized>(
    evaluator: &mut E,
    options: &OptimizeOptions,
    observer: impl Observer,
) -> Result<Outcome, Error> {
    let groups = Groups::new(&options.sharing, evaluator.batch().len())?;
    optimize_groups(evaluator, groups, options, observer)
}

/// As [`optimize`], with these groups of the evaluator's batch in place of `options.sharing`.
pub(crate) fn optimize_groups<E: Evaluate + ?Sized>(
    evaluator: &mut E,
    groups: Groups,
    options: &OptimizeOptions,
    mut observer: impl Observer,
) -> Result<Outcome, Error> {
    let clock = Clock {
        start: Instant::now(),
        limit: options.time_limit,
    };
    let task = Task::new(options, groups.len(), clock)?;
    let rules = task.rules;
    let mut report = Report {
        observer: &mut observer,
        groups: groups.len(),
        rules: Some(rules),
        agree: None,
    };
    let mut scores = Scores::new(evaluator, &groups, rules);
    let watched = report.observer.watches() || options.time_limit.is_some();
    let (search, upper_bounds) = task.search_here(&mut scores, watched, &mut report)?;
    let bar_candidates = scores.bar_candidates;
    let mut profits = vec![0.0; groups.simulations()];
    let chosen = choose(evaluator, &groups, rules, &search.found);
    let outcomes = chosen.iter().enumerate().map(|(group, chosen)| {
        let members = groups.members(group);
        for (&simulation, profit) in members.iter().zip(&chosen.profits) {
            profits[simulation as usize] = *profit;
        }
        let name = groups.name(group).map(str::to_owned);
        let upper_bound = upper_bounds[group];
        task.outcome(&search, group, chosen, name, members.len(), upper_bound)
    });
    Ok(Outcome {
        groups: outcomes.collect(),
        rounds: search.rounds,
        evaluations: search.found.iter().map(|found| found.evaluations).sum(),
        bar_candidates,
        path: search.path,
        wall_time: clock.start.elapsed(),
        profits,
        membership: groups,
    })
}

/// Options, checked, and what follows from them.
struct Task<'a> {
    options: &'a OptimizeOptions,
    rules: &'static [ExitRule],
    bounds: Bounds,
    exact_box: ExactBox,
    /// Groups of the whole batch.
    groups: usize,
    clock: Clock,
}

impl<'a> Task<'a> {
    fn new(options: &'a OptimizeOptions, groups: usize, clock: Clock) -> Result<Self, Error> {
        let bounds = options.check_bounds()?;
        Ok(Self {
            options,
            rules: options.exit_rule.rules(),
            exact_box: ExactBox::new(&bounds),
            bounds,
            groups,
            clock,
        })
    }

    /// Runs the searches of groups whose simulations are all here; with what is known of what
    /// their profits cannot exceed.
    fn search_here<E: Evaluate + ?Sized>(
        &self,
        scores: &mut Scores<'_, E>,
        watched: bool,
        report: &mut Report<'_>,
    ) -> Result<(Search, Vec<Option<f64>>), Error> {
        let groups = scores.groups.len();
        if let Method::Exact(options) = self.options.method {
            let search = self.exact(scores, options, watched, report)?;
            let upper_bounds = upper_bounds(&search, groups);
            return Ok((search, upper_bounds));
        }
        let search = self.search(scores, watched, report, None)?;
        let upper_bounds = match self.options.quality {
            false => vec![None; groups],
            true => {
                let mut unwatched = Report {
                    observer: &mut (),
                    groups,
                    rules: report.rules,
                    agree: None,
                };
                let options = ExactOptions::default();
                upper_bounds(&self.exact(scores, options, false, &mut unwatched)?, groups)
            }
        };
        Ok((search, upper_bounds))
    }

    /// Runs the searches of any method but the exact one. `ranks`: those that have the rest of the
    /// simulations, if there are any.
    fn search<E: Evaluate + ?Sized>(
        &self,
        scores: &mut Scores<'_, E>,
        watched: bool,
        report: &mut Report<'_>,
        ranks: Option<&RefCell<&mut dyn Reduce>>,
    ) -> Result<Search, Error> {
        let (bounds, clock) = (&self.bounds, self.clock);
        let threads = scores.evaluator.threads();
        let mut search = match &self.options.method {
            Method::Direct(direct) => {
                let template = Direct::new(bounds.clone(), *direct)?;
                direct_search(template, scores, &threads, clock, watched, report)?
            }
            Method::Evolution(evolution) => {
                let template = Evolution::new(bounds.clone(), *evolution)?;
                ask_tell_search(template, scores, &threads, clock, watched, report)?
            }
            Method::Exact(options) => return self.exact(scores, *options, watched, report),
            Method::Grid { high, low } => {
                let grid = Grid::new(bounds, *high, *low)?;
                return grid_search(&grid, scores, self.groups, clock, report);
            }
        };
        let count = self.options.polish;
        if count > 0 {
            polish(scores, bounds, count, &threads, &mut search, ranks)?;
        }
        Ok(search)
    }

    fn exact<E: Evaluate + ?Sized>(
        &self,
        scores: &mut Scores<'_, E>,
        options: ExactOptions,
        watched: bool,
        report: &mut Report<'_>,
    ) -> Result<Search, Error> {
        let threads = scores.evaluator.threads();
        let (exact_box, clock) = (self.exact_box, self.clock);
        // Between rounds is where a flag is looked at.
        let watched = watched || report.observer.cancel().is_some();
        exact_search(scores, exact_box, options, &threads, clock, watched, report)
    }

    /// The outcome of the group `group` of the search.
    fn outcome(
        &self,
        search: &Search,
        group: usize,
        chosen: &Chosen,
        name: Option<String>,
        simulations: usize,
        upper_bound: Option<f64>,
    ) -> GroupOutcome {
        let rules = self.rules;
        let groups = search.found.len() / rules.len();
        let of_rule = |rule: usize| &search.found[rule * groups + group];
        let of_rules = || (0..rules.len()).map(of_rule);
        let other = (0..rules.len()).find(|&rule| rule != chosen.rule);
        GroupOutcome {
            name,
            simulations,
            multipliers: chosen.multipliers,
            exit_rule: rules[chosen.rule],
            profit: chosen.profit,
            baseline: chosen.baseline,
            evaluations: of_rules().map(|found| found.evaluations).sum(),
            iterations: of_rules().map(|found| found.iterations).sum(),
            stop: of_rule(chosen.rule).stop,
            other_rule: other.map(|rule| RuleOutcome {
                exit_rule: rules[rule],
                multipliers: chosen.of_rules[rule].0,
                profit: chosen.of_rules[rule].1,
            }),
            // The baseline may lie outside the bounds.
            upper_bound: upper_bound.map(|bound| bound.max(chosen.profit)),
            work: of_rules().map(|found| found.work).sum(),
        }
    }
}

/// What the searches came to.
struct Search {
    /// One per exit rule and group, rules outermost.
    found: Vec<Found>,
    rounds: u64,
    path: Path,
}

struct Found {
    /// `[dim]`; `None` when nothing feasible was seen.
    point: Option<Vec<f64>>,
    /// To be minimised.
    value: f64,
    evaluations: u64,
    iterations: u64,
    stop: StopReason,
    /// What no value of the search's box is below, negated: the exact method only.
    upper_bound: Option<f64>,
    /// Work of the exact method.
    work: u64,
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
