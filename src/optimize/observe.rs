//! Watching the rounds of a search, and ending it.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::direct::StopReason;
use crate::error::Error;
use crate::profit::ExitRule;

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
    best: &'a (dyn Fn(usize) -> Option<BestSoFar> + Sync),
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
/// Implemented for closures, for `()`, which watches nothing, and for `&AtomicBool`, which watches
/// nothing either and cancels once it is true.
pub trait Observer {
    /// Whether this observer wants to see the rounds. If not, searches need not keep step, and
    /// the driver may run each from its first round to its last; the outcome is the same.
    fn watches(&self) -> bool {
        true
    }

    /// Called after every round. `Break` cancels: what was found so far is returned, with
    /// [`StopReason::Cancelled`].
    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()>;

    /// A flag that cancels as `Break` does once it is true, for searches that are not watched and
    /// need not keep step. It is looked at between the rounds of a search on a CPU, and between
    /// launches on a GPU (about 20 ms each): groups whose searches had ended by then keep their
    /// results, the others have what was found so far. Evaluators of others may look at it less
    /// often, or not at all.
    fn cancel(&self) -> Option<&AtomicBool> {
        None
    }
}

impl Observer for &AtomicBool {
    fn watches(&self) -> bool {
        false
    }

    fn round(&mut self, _: &Progress<'_>) -> ControlFlow<()> {
        match self.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn cancel(&self) -> Option<&AtomicBool> {
        Some(self)
    }
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

/// An observer of some of the groups that is told of them by their numbers among all.
pub(super) struct OfSome<'a> {
    pub(super) observer: &'a mut dyn Observer,
    /// Number of all groups.
    pub(super) groups: usize,
    /// Numbers of those that are searched, ascending.
    pub(super) searched: &'a [usize],
}

impl Observer for OfSome<'_> {
    fn watches(&self) -> bool {
        self.observer.watches()
    }

    fn round(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        let best = |group: usize| {
            let index = self.searched.binary_search(&group).ok()?;
            progress.best(index)
        };
        self.observer.round(&Progress {
            rounds: progress.rounds,
            evaluations: progress.evaluations,
            groups: self.groups,
            running: progress.running,
            best: &best,
        })
    }

    fn cancel(&self) -> Option<&AtomicBool> {
        self.observer.cancel()
    }
}

/// When the searches began and how long they may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) start: Instant,
    pub(super) limit: Option<Duration>,
}

impl Clock {
    fn expired(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.start.elapsed() >= limit)
    }
}

/// Tells the observer, and knows how searches map to groups: search `rule * groups + group`.
pub(super) struct Report<'a> {
    pub(super) observer: &'a mut dyn Observer,
    pub(super) groups: usize,
    pub(super) rules: Option<&'static [ExitRule]>,
    /// What all ranks make of this rank's reason, where the searches are shared with them.
    pub(super) agree: Option<&'a Agree<'a>>,
}

pub(super) type Agree<'a> = dyn Fn(Option<StopReason>) -> Result<Option<StopReason>, Error> + 'a;

impl Report<'_> {
    /// After a round: the reason to end all searches, if there is one.
    ///
    /// `best` gives a search's best point and its value to be minimised.
    pub(super) fn round(
        &mut self,
        rounds: u64,
        evaluations: u64,
        running: usize,
        clock: Clock,
        best: &(dyn Fn(usize) -> Option<(Vec<f64>, f64)> + Sync),
    ) -> Result<Option<StopReason>, Error> {
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
        let reason = if self.observer.round(&progress).is_break() {
            Some(StopReason::Cancelled)
        } else if clock.expired() {
            Some(StopReason::TimeLimit)
        } else {
            None
        };
        match self.agree {
            Some(agree) => agree(reason),
            None => Ok(reason),
        }
    }
}
