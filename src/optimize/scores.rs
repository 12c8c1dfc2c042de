//! The evaluator as an objective to be minimised.

use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::groups::{Candidates, Groups};
use crate::profit::ExitRule;

use super::as_pair;
use super::lockstep::Points;

/// The evaluator as an objective to be minimised.
pub(super) struct Scores<'a, E: ?Sized> {
    pub(super) evaluator: &'a mut E,
    pub(super) groups: &'a Groups,
    pub(super) rules: &'static [ExitRule],
    /// Bars of each group.
    pub(super) bars: Vec<u64>,
    pub(super) bar_candidates: u64,
    candidates: Candidates,
}

impl<'a, E: Evaluate + ?Sized> Scores<'a, E> {
    pub(super) fn new(
        evaluator: &'a mut E,
        groups: &'a Groups,
        rules: &'static [ExitRule],
    ) -> Self {
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
    pub(super) fn keeps_busy(&self, threads: usize) -> bool {
        let largest = self.bars.iter().max().copied().unwrap_or(0);
        let all: u64 = self.bars.iter().sum();
        threads == 1 || largest * 4 * threads as u64 <= all
    }

    /// Negated mean profits of the points of searches `rule * groups + group`.
    pub(super) fn score(&mut self, points: &Points<'_>, values: &mut [f64]) -> Result<(), Error> {
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
