//! The exact optimum of every group as a method of the drivers.

use rayon::prelude::*;

use crate::batch::Batch;
use crate::direct::{Bounds, StopReason};
use crate::error::Error;
use crate::evaluate::{Evaluate, Threads};
use crate::exact::{ExactOptions, ExactSolver};
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
pub(super) struct ExactTask<'a> {
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
    pub(super) fn new<E: Evaluate + ?Sized>(
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

    fn solve(&self, solver: &mut ExactSolver, search: usize) -> Result<Found, Error> {
        let (rule, group) = (search / self.groups.len(), search % self.groups.len());
        let exact = solver.solve(
            self.batch,
            self.groups.members(group),
            self.fee,
            self.rules[rule],
            self.bounds.high,
            self.bounds.low,
            &self.options,
        )?;
        Ok(Found {
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
        })
    }
}

/// Solves every exit rule and group, in parallel; in rounds when somebody watches.
pub(super) fn exact_search(
    task: &ExactTask<'_>,
    threads: &Threads,
    clock: Clock,
    watched: bool,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    let groups = task.groups.len();
    let searches = groups * task.rules.len();
    let round = if watched {
        GROUPS_PER_ROUND * threads.count()
    } else {
        searches
    };
    let mut found: Vec<Found> = Vec::with_capacity(searches);
    let mut rounds = 0;
    while found.len() < searches {
        let range = found.len()..(found.len() + round).min(searches);
        let solved: Vec<Found> = threads.run(|| {
            range
                .into_par_iter()
                .map_init(ExactSolver::new, |solver, search| {
                    task.solve(solver, search)
                })
                .collect::<Result<_, Error>>()
        })?;
        found.extend(solved);
        rounds += 1;
        let best = |search: usize| {
            let found = found.get(search)?;
            Some((found.point.clone()?, found.value))
        };
        // Searches run rule by rule: a group has ended when its last rule has.
        let ended = (found.len() + groups).saturating_sub(searches);
        let running = groups - ended;
        if let Some(reason) = report.round(rounds, 0, running, clock, &best) {
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
