//! The evaluators that the drivers see: a rank's own groups, and those of all ranks together.

use std::cell::RefCell;

use crate::batch::Batch;
use crate::error::Error;
use crate::evaluate::fixed_point::mean;
use crate::evaluate::{Evaluate, EvaluateGroup, OptimaTask, Searches, Threads};
use crate::exact::Exact;
use crate::groups::{Candidates, Groups};
use crate::profit::{ExitRule, Multipliers};
use crate::reduce::{self, Reduce};

use super::Layout;

pub(super) fn no_shard() -> Error {
    Error::Unavailable {
        what: "a group that spans ranks",
        why: "the evaluator does not score parts of groups".to_owned(),
        remedy: "implement Evaluate::shard, or deal the simulations out so that no group spans ranks",
    }
}

/// Lists for the groups of a rank's batch: `of_group(g)` for its groups `g` in `range`, the others
/// have none.
fn lists<'c>(
    groups: usize,
    range: std::ops::Range<usize>,
    of_group: impl Fn(usize) -> &'c [Multipliers],
) -> Candidates {
    let mut lists = Candidates::no_lists();
    for group in 0..groups {
        if range.contains(&group) {
            of_group(group).iter().for_each(|&pair| lists.push(pair));
        }
        lists.end_list();
    }
    lists
}

/// The evaluator of a rank as one of its own groups alone.
pub(super) struct Own<'a, E: ?Sized> {
    pub(super) evaluator: &'a mut E,
    /// The groups of the batch, its own ones first.
    pub(super) here: &'a Groups,
    pub(super) own: usize,
}

impl<E: Evaluate + ?Sized> Own<'_, E> {
    /// Whether all groups of the batch are its own.
    fn is_whole(&self) -> bool {
        self.own == self.here.len()
    }
}

impl<E: Evaluate + ?Sized> Evaluate for Own<'_, E> {
    fn batch(&self) -> &Batch {
        self.evaluator.batch()
    }

    fn fee(&self) -> f64 {
        self.evaluator.fee()
    }

    fn threads(&self) -> Threads {
        self.evaluator.threads()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        if self.is_whole() {
            return self.evaluator.means(groups, candidates, exit_rule, means);
        }
        let of_group = |group| candidates.of_group(group);
        let lists = lists(self.here.len(), 0..self.own, of_group);
        self.evaluator.means(self.here, &lists, exit_rule, means)
    }

    fn per_group(&self) -> Option<&dyn EvaluateGroup> {
        self.evaluator.per_group()
    }

    fn searches(&mut self) -> Option<&mut dyn Searches> {
        match self.is_whole() {
            true => self.evaluator.searches(),
            false => None,
        }
    }

    fn exact_optima(&mut self, task: &OptimaTask<'_>) -> Option<Result<Vec<Option<Exact>>, Error>> {
        self.evaluator.exact_optima(&OptimaTask {
            groups: self.here,
            ..task.clone()
        })
    }
}

/// The evaluators of all ranks as one of the groups that span them.
pub(super) struct Spanning<'a, 'r, E: ?Sized> {
    pub(super) evaluator: &'a mut E,
    pub(super) ranks: &'a RefCell<&'r mut dyn Reduce>,
    pub(super) layout: &'a Layout,
    /// Simulations of each group on all ranks, and fraction bits of its sums.
    pub(super) sizes: &'a [usize],
    pub(super) fraction_bits: Vec<i32>,
}

impl<E: Evaluate + ?Sized> Spanning<'_, '_, E> {
    /// Adds up what the simulations of this rank contribute under one exit rule.
    fn sums_here(
        &mut self,
        candidates: &Candidates,
        exit_rule: ExitRule,
        sums: &mut [i64],
    ) -> Result<(), Error> {
        let Layout {
            own, shared, here, ..
        } = self.layout;
        let first = own.len();
        let of_group = |group: usize| candidates.of_group(shared[group - first]);
        let lists = lists(here.len(), first..here.len(), of_group);
        let total = lists.total(here.len());
        if total == 0 {
            return Ok(());
        }
        let own_bits = own.iter().map(|_| 0);
        let shared_bits = shared.iter().map(|&index| self.fraction_bits[index]);
        let bits: Vec<i32> = own_bits.chain(shared_bits).collect();
        let mut sums_here = vec![0; total];
        let shard = self.evaluator.shard().ok_or_else(no_shard)?;
        shard.sums(here, &lists, exit_rule, &bits, &mut sums_here)?;
        // All groups' sums follow one another, with one list for all as well.
        let mut from = sums_here.as_slice();
        let mut start = 0;
        let mut shared = shared.iter().peekable();
        for index in 0..self.sizes.len() {
            let count = candidates.range(index).len();
            if shared.next_if_eq(&&index).is_some() {
                let (values, rest) = from.split_at(count);
                sums[start..start + count].copy_from_slice(values);
                from = rest;
            }
            start += count;
        }
        Ok(())
    }
}

impl<E: Evaluate + ?Sized> Evaluate for Spanning<'_, '_, E> {
    fn batch(&self) -> &Batch {
        self.evaluator.batch()
    }

    fn fee(&self) -> f64 {
        self.evaluator.fee()
    }

    fn threads(&self) -> Threads {
        self.evaluator.threads()
    }

    fn means(
        &mut self,
        groups: &Groups,
        candidates: &Candidates,
        exit_rule: ExitRule,
        means: &mut [f64],
    ) -> Result<(), Error> {
        self.means_by_rule(groups, &[(exit_rule, candidates)], means)
    }

    fn means_by_rule(
        &mut self,
        groups: &Groups,
        candidates: &[(ExitRule, &Candidates)],
        means: &mut [f64],
    ) -> Result<(), Error> {
        let mut sums = vec![0; means.len()];
        let mut rest = sums.as_mut_slice();
        let part = candidates.iter().try_for_each(|&(exit_rule, candidates)| {
            let total = candidates.total(groups.len());
            let (sums, tail) = std::mem::take(&mut rest).split_at_mut(total);
            rest = tail;
            self.sums_here(candidates, exit_rule, sums)
        });
        reduce::sum(&mut **self.ranks.borrow_mut(), part, &mut sums)?;
        let mut values = means.iter_mut().zip(sums);
        for (_, candidates) in candidates {
            let groups = self.sizes.iter().zip(&self.fraction_bits).enumerate();
            for (index, (&size, &bits)) in groups {
                for (value, sum) in values.by_ref().take(candidates.range(index).len()) {
                    *value = mean(sum, bits, size);
                }
            }
        }
        Ok(())
    }
}

/// Simulations from all ranks. Only their exact optima are asked for.
pub(super) struct Gathered<'a> {
    pub(super) batch: &'a Batch,
    pub(super) fee: f64,
    pub(super) threads: Threads,
}

impl Evaluate for Gathered<'_> {
    fn batch(&self) -> &Batch {
        self.batch
    }

    fn fee(&self) -> f64 {
        self.fee
    }

    fn threads(&self) -> Threads {
        self.threads.clone()
    }

    fn means(
        &mut self,
        _: &Groups,
        _: &Candidates,
        _: ExitRule,
        _: &mut [f64],
    ) -> Result<(), Error> {
        Err(no_shard())
    }
}
