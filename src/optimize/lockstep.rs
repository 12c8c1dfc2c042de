//! DIRECT and differential evolution for many groups: all searches in lockstep, or each from its
//! first round to its last, here or where the evaluator runs them.

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use crate::direct::{Best, Direct, StopReason};
use crate::error::Error;
use crate::evaluate::{Evaluate, EvaluateGroup, SearchTask, Searched, Threads};
use crate::evolution::Evolution;
use crate::groups::Groups;
use crate::profit::{ExitRule, Multipliers};

use super::observe::{Clock, Report};
use super::scores::Scores;
use super::{Found, Path, Search, as_pair};

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

/// What the drivers need of a search. The methods are those of the same name of the searches.
pub(super) trait AskTell: Clone + Send + Sync {
    fn restart(&mut self);
    fn ask(&self) -> &[f64];
    fn tell(&mut self, values: &[f64]) -> Result<(), Error>;
    fn stop(&self) -> Option<StopReason>;
    fn stop_now(&mut self, reason: StopReason);
    fn best(&self) -> Option<Best<'_>>;
    fn evaluations(&self) -> usize;
    fn iterations(&self) -> usize;
    fn dim(&self) -> usize;
}

macro_rules! ask_tell {
    ($search:ty) => {
        impl AskTell for $search {
            fn restart(&mut self) {
                self.restart();
            }

            fn ask(&self) -> &[f64] {
                self.ask()
            }

            fn tell(&mut self, values: &[f64]) -> Result<(), Error> {
                self.tell(values)
            }

            fn stop(&self) -> Option<StopReason> {
                self.stop()
            }

            fn stop_now(&mut self, reason: StopReason) {
                self.stop_now(reason);
            }

            fn best(&self) -> Option<Best<'_>> {
                self.best()
            }

            fn evaluations(&self) -> usize {
                self.evaluations()
            }

            fn iterations(&self) -> usize {
                self.iterations()
            }

            fn dim(&self) -> usize {
                self.dim()
            }
        }
    };
}

ask_tell!(Direct);
ask_tell!(Evolution);

impl Found {
    fn of(search: &impl AskTell) -> Self {
        let best = search.best();
        Self {
            point: best.as_ref().map(|best| best.x.to_vec()),
            value: best.map_or(f64::INFINITY, |best| best.value),
            evaluations: search.evaluations() as u64,
            iterations: search.iterations() as u64,
            stop: search.stop().unwrap_or(StopReason::Cancelled),
            upper_bound: None,
            work: 0,
        }
    }
}

impl From<Searched> for Found {
    fn from(searched: Searched) -> Self {
        Self {
            point: searched.point.map(Vec::from),
            value: searched.value,
            evaluations: searched.evaluations,
            iterations: searched.iterations,
            stop: searched.stop,
            upper_bound: None,
            work: 0,
        }
    }
}

/// Searches handed to a thread at once.
const SEARCHES_PER_TASK: usize = 16;

/// Runs DIRECT for every exit rule and group: where nobody watches, left to an evaluator that runs
/// whole searches; otherwise as [`ask_tell_search`]. The results are the same.
pub(super) fn direct_search<E: Evaluate + ?Sized>(
    template: Direct,
    scores: &mut Scores<'_, E>,
    threads: &Threads,
    clock: Clock,
    watched: bool,
    report: &mut Report<'_>,
) -> Result<Search, Error> {
    if let Some(searches) = scores.evaluator.searches()
        && !watched
    {
        let (bounds, options) = (template.bounds(), template.options());
        let mut task = SearchTask::new(scores.groups, scores.rules, bounds, options)?;
        task.cancel = report.observer.cancel();
        if let Some(searched) = searches.search(&task)? {
            return one_launch(searched, scores);
        }
    }
    ask_tell_search(template, scores, threads, clock, watched, report)
}

/// Runs a search for every exit rule and group: in lockstep, or one search after the other where
/// nobody watches and that keeps all threads busy. The results are the same.
pub(super) fn ask_tell_search<E: Evaluate + ?Sized, S: AskTell>(
    template: S,
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
        let search = one_by_one(
            &template,
            scorer,
            groups,
            rules,
            threads,
            report.observer.cancel(),
        )?;
        for (index, found) in search.found.iter().enumerate() {
            scores.bar_candidates += scores.bars[index % groups.len()] * found.evaluations;
        }
        return Ok(search);
    }
    let searches = vec![template; groups.len() * rules.len()];
    let evaluate = |points: &Points<'_>, values: &mut [f64]| scores.score(points, values);
    lockstep(searches, threads, clock, report, evaluate)
}

/// Takes over what the evaluator has found.
fn one_launch<E: Evaluate + ?Sized>(
    searched: Vec<Searched>,
    scores: &mut Scores<'_, E>,
) -> Result<Search, Error> {
    let groups = scores.groups.len();
    let expected = groups * scores.rules.len();
    if searched.len() != expected {
        return Err(Error::Length {
            what: "the searches of the evaluator",
            expected,
            got: searched.len(),
            remedy: "return one per exit rule and group",
        });
    }
    for (index, one) in searched.iter().enumerate() {
        scores.bar_candidates += scores.bars[index % groups] * one.evaluations;
    }
    Ok(Search {
        rounds: searched.iter().map(|one| one.rounds).max().unwrap_or(0),
        found: searched.into_iter().map(Found::from).collect(),
        path: Path::OneLaunch,
    })
}

/// Runs each search from its first round to its last on one thread, where its state stays in the
/// cache: half the time of lockstep for a thousand searches, and memory for one search per thread.
fn one_by_one<S: AskTell>(
    template: &S,
    scorer: &dyn EvaluateGroup,
    groups: &Groups,
    rules: &'static [ExitRule],
    threads: &Threads,
    cancel: Option<&AtomicBool>,
) -> Result<Search, Error> {
    let start = || (template.clone(), Vec::new(), Vec::new());
    let run = |(state, pairs, values): &mut (S, Vec<Multipliers>, Vec<f64>),
               search: usize|
     -> Result<(Found, u64), Error> {
        let (exit_rule, group) = (rules[search / groups.len()], search % groups.len());
        let mut rounds = 0;
        state.restart();
        while state.stop().is_none() {
            if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
                state.stop_now(StopReason::Cancelled);
                break;
            }
            pairs.clear();
            pairs.extend(state.ask().chunks_exact(2).map(as_pair));
            values.resize(pairs.len(), 0.0);
            scorer.group_means(groups, group, pairs, exit_rule, values)?;
            values.iter_mut().for_each(|value| *value = -*value);
            state.tell(values)?;
            rounds += 1;
        }
        Ok((Found::of(state), rounds))
    };
    let searches = 0..groups.len() * rules.len();
    let results: Vec<(Found, u64)> = if searches.len() == 1 {
        vec![run(&mut start(), 0)?]
    } else {
        // A thread keeps its search over a run of them, but few searches are for all threads.
        let task = searches.len() / (4 * threads.count());
        let task = task.clamp(1, SEARCHES_PER_TASK);
        threads.run(|| {
            let searches = searches.into_par_iter().with_min_len(task);
            searches.map_init(start, run).collect::<Result<_, Error>>()
        })?
    };
    Ok(Search {
        rounds: results.iter().map(|(_, rounds)| *rounds).max().unwrap_or(0),
        found: results.into_iter().map(|(found, _)| found).collect(),
        path: Path::OneByOne,
    })
}

/// Runs searches of one dimension until the last one stops. `evaluate` fills in one value per
/// point.
pub(super) fn lockstep<S: AskTell>(
    mut searches: Vec<S>,
    threads: &Threads,
    clock: Clock,
    report: &mut Report<'_>,
    mut evaluate: impl FnMut(&Points<'_>, &mut [f64]) -> Result<(), Error>,
) -> Result<Search, Error> {
    let dim = searches.first().map_or(1, S::dim);
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
        let tell = |(search, range): (&mut S, &[usize])| search.tell(&values[range[0]..range[1]]);
        if searches.len() <= SEARCHES_PER_TASK {
            searches
                .iter_mut()
                .zip(offsets.windows(2))
                .try_for_each(tell)?;
        } else {
            threads.run(|| {
                let told = searches.par_iter_mut().zip(offsets.par_windows(2));
                told.with_min_len(SEARCHES_PER_TASK).try_for_each(tell)
            })?;
        }

        let runs = |search: &S| search.stop().is_none();
        let running = (0..groups)
            .filter(|&group| searches.iter().skip(group).step_by(groups).any(runs))
            .count();
        let best = |search: usize| {
            let best = searches[search].best()?;
            Some((best.x.to_vec(), best.value))
        };
        if let Some(reason) = report.round(rounds, evaluations, running, clock, &best)? {
            for search in &mut searches {
                search.stop_now(reason);
            }
        }
    }
    let found = searches.iter().map(Found::of);
    Ok(Search {
        found: found.collect(),
        rounds,
        path: Path::Lockstep,
    })
}
