//! The exact optimum of every group as a method of the drivers.

use std::ops::Range;

use rayon::prelude::*;

use crate::batch::Batch;
use crate::direct::{Bounds, StopReason};
use crate::error::Error;
use crate::evaluate::{Evaluate, OptimaTask, Threads};
use crate::exact::{Exact, ExactOptions, ExactSolver};
use crate::groups::Groups;
use crate::profit::ExitRule;

use super::observe::{Clock, Report};
use super::scores::Scores;
use super::{Found, Path, Search, as_point};

/// Ends of the box as f32, `(low, high)` per axis.
///
/// Rounding to nearest is monotone, so a point between the f64 ends rounds to a pair between
/// these.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExactBox {
    high: (f32, f32),
    low: (f32, f32),
}

impl ExactBox {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let mut axes = bounds
            .intervals()
            .map(|(low, high)| (low as f32, high as f32));
        Self {
            high: axes.next().unwrap_or_default(),
            low: axes.next().unwrap_or_default(),
        }
    }
}

/// What to solve for every exit rule and group.
struct ExactTask<'a> {
    batch: &'a Batch,
    fee: f64,
    groups: &'a Groups,
    rules: &'static [ExitRule],
    bounds: ExactBox,
    options: ExactOptions,
}

/// Groups solved per thread between two looks at the observer and the clock.
const GROUPS_PER_ROUND: usize = 64;

impl<'a> ExactTask<'a> {
    fn new<E: Evaluate + ?Sized>(
        scores: &'a Scores<'a, E>,
        bounds: ExactBox,
        options: ExactOptions,
    ) -> Self {
        Self {
            batch: scores.evaluator.batch(),
            fee: scores.evaluator.fee(),
            groups: scores.groups,
            rules: scores.rules,
            bounds,
            options,
        }
    }

    fn solve(&self, solver: &mut ExactSolver, search: usize) -> Result<Exact, Error> {
        let (rule, group) = (search / self.groups.len(), search % self.groups.len());
        solver.solve(
            self.batch,
            self.groups.members(group),
            self.fee,
            self.rules[rule],
            self.bounds.high,
            self.bounds.low,
            &self.options,
        )
    }
}

fn found_of(exact: Exact) -> Found {
    Found {
        point: Some(as_point(exact.multipliers)),
        value: -exact.profit,
        evaluations: 0,
        iterations: 0,
        stop: if exact.is_proved() {
            StopReason::Complete
        } else {
            StopReason::WorkCap
        },
        upper_bound: Some(exact.upper_bound),
        work: exact.work,
    }
}

/// What the evaluator finds itself of the searches `range`, rule by rule; `None`: the rest.
///
/// It is asked only where a proof is certain and takes no memory of this machine's: the options
/// have no say in its result then.
fn offered<E: Evaluate + ?Sized>(
    scores: &mut Scores<'_, E>,
    bounds: ExactBox,
    options: ExactOptions,
    range: &Range<usize>,
) -> Result<Vec<Option<Exact>>, Error> {
    let mut optima = vec![None; range.len()];
    if options.work_cap.is_some() || options.max_bytes.is_some() {
        return Ok(optima);
    }
    let groups = scores.groups.len();
    let mut at = range.start;
    while at < range.end {
        let (rule, group) = (at / groups, at % groups);
        let count = (groups - group).min(range.end - at);
        let task = OptimaTask {
            groups: scores.groups,
            range: group..group + count,
            exit_rule: scores.rules[rule],
            high_bounds: bounds.high,
            low_bounds: bounds.low,
        };
        let Some(found) = scores.evaluator.exact_optima(&task) else {
            break;
        };
        let places = optima.iter_mut().skip(at - range.start);
        for (place, exact) in places.take(count).zip(found?) {
            *place = exact;
        }
        at += count;
    }
    Ok(optima)
}

/// Solves every exit rule and group, in parallel; in rounds when somebody watches.
///
/// What the evaluator finds itself is left to it.
pub(super) fn exact_search<E: Evaluate + ?Sized>(
    scores: &mut Scores<'_, E>,
    bounds: ExactBox,
    options: ExactOptions,
    threads: &Threads,
    clock: Clock,
    watched: bool,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    let groups = scores.groups.len();
    let searches = groups * scores.rules.len();
    let round = if watched {
        GROUPS_PER_ROUND * threads.count()
    } else {
        searches
    };
    let mut found: Vec<Found> = Vec::with_capacity(searches);
    let mut rounds = 0;
    while found.len() < searches {
        let range = found.len()..(found.len() + round).min(searches);
        let offered = offered(scores, bounds, options, &range)?;
        let task = ExactTask::new(scores, bounds, options);
        let solved: Vec<Result<Found, Error>> = threads.run(|| {
            let searches = range.into_par_iter().zip(offered);
            searches
                .map_init(ExactSolver::new, |solver, (search, offered)| {
                    let exact = offered.map_or_else(|| task.solve(solver, search), Ok);
                    exact.map(found_of)
                })
                .collect()
        });
        // Of several errors the first search's, whichever thread met one first.
        for solved in solved {
            found.push(solved?);
        }
        rounds += 1;
        let best = |search: usize| {
            let found = found.get(search)?;
            Some((found.point.clone()?, found.value))
        };
        // Searches run rule by rule: a group has ended when its last rule has.
        let ended = (found.len() + groups).saturating_sub(searches);
        let running = groups - ended;
        if let Some(reason) = report.round(rounds, 0, running, clock, &best)? {
            found.resize_with(searches, || Found {
                point: None,
                value: f64::INFINITY,
                evaluations: 0,
                iterations: 0,
                stop: reason,
                upper_bound: None,
                work: 0,
            });
        }
    }
    let path = match watched {
        true => Path::Lockstep,
        false => Path::OneByOne,
    };
    Ok(Search {
        found,
        rounds,
        path,
    })
}

/// The greatest upper bound of each group over the exit rules; `None` when one is missing.
pub(super) fn upper_bounds(search: &Search, groups: usize) -> Vec<Option<f64>> {
    let of_group = |group: usize| {
        let of_rules = search.found.iter().skip(group).step_by(groups);
        of_rules
            .map(|found| found.upper_bound)
            .reduce(|a, b| Some(a?.max(b?)))
            .flatten()
    };
    (0..groups).map(of_group).collect()
}
