//! The drivers: many searches over one evaluator.
//!
//! In lockstep every round asks all searches that still run for their next points, scores all of
//! them with one call of the evaluator per exit rule, and tells each search its share. The searches
//! know nothing of each other, so a group's result does not depend on which others run beside it,
//! nor on whether they keep step: where nobody watches the rounds and the evaluator can score
//! single groups, each search runs from its first round to its last on one thread.

mod choose;
mod grid;
mod lockstep;
mod minimize;
mod observe;
mod scores;

use std::time::{Duration, Instant};

use crate::batch::MAX_MOVE;
use crate::direct::{Bounds, Direct, DirectOptions, StopReason};
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::groups::{Groups, Sharing};
use crate::profit::{ExitRule, Multipliers};

use choose::choose;
use grid::{Grid, grid_search};
use lockstep::direct_search;
use observe::{Clock, Report};
use scores::Scores;

pub use lockstep::Points;
pub use minimize::{Minimum, minimize, minimize_groups};
pub use observe::{BestSoFar, Observer, Progress};

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
