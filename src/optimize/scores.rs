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
    /// Of each exit rule.
    candidates: Vec<Candidates>,
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
        let bars = bars.collect();
        Self::with_bars(evaluator, groups, rules, bars)
    }

    /// The same, where the bars of the groups are not all here.
    pub(super) fn with_bars(
        evaluator: &'a mut E,
        groups: &'a Groups,
        rules: &'static [ExitRule],
        bars: Vec<u64>,
    ) -> Self {
        Self {
            bars,
            evaluator,
            groups,
            rules,
            bar_candidates: 0,
            candidates: vec![Candidates::no_lists(); rules.len()],
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
        for (rule, candidates) in self.candidates.iter_mut().enumerate() {
            candidates.clear_lists();
            for group in 0..self.groups.len() {
                let list = points.of_group(rule * self.groups.len() + group);
                for point in list.chunks_exact(2) {
                    candidates.push(as_pair(point));
                }
                candidates.end_list();
                self.bar_candidates += self.bars[group] * (list.len() / 2) as u64;
            }
        }
        let rules = self.rules.iter().copied();
        let by_rule: Vec<_> = rules.zip(&self.candidates).collect();
        self.evaluator
            .means_by_rule(self.groups, &by_rule, values)?;
        values.iter_mut().for_each(|value| *value = -*value);
        Ok(())
    }
}
