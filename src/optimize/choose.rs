//! What is kept: every result and its baseline, recomputed as exact sums.

use rayon::prelude::*;

use crate::batch::Batch;
use crate::error::Error;
use crate::evaluate::Evaluate;
use crate::exact::report::{GroupGrid, Part, Share};
use crate::groups::Groups;
use crate::profit::{ExitRule, Multipliers};
use crate::reduce::{self, Reader, Reduce, Writer};

use super::{Found, as_pair};

/// What is kept of one group.
pub(super) struct Chosen {
    pub(super) multipliers: Multipliers,
    /// Index among the exit rules that were tried.
    pub(super) rule: usize,
    pub(super) profit: f64,
    pub(super) baseline: f64,
    /// The best of each exit rule, in their order: its own result or its baseline.
    pub(super) of_rules: Vec<(Multipliers, f64)>,
    /// Profits of the members, in their order.
    pub(super) profits: Vec<f64>,
}

/// Simulations handed to a thread at once.
const SIMULATIONS_PER_TASK: usize = 16;

/// Keeps the best of each group.
///
/// Of equal profits the first wins: the baseline before what was found, `Intraday` before
/// `AtClose`.
pub(super) fn choose<E: Evaluate + ?Sized>(
    evaluator: &E,
    groups: &Groups,
    rules: &[ExitRule],
    found: &[Found],
) -> Vec<Chosen> {
    let (batch, fee, threads) = (evaluator.batch(), evaluator.fee(), evaluator.threads());
    let choose = |group: usize| {
        let members = groups.members(group);
        let competitors = Competitors::new(groups.len(), group, rules, found);
        let grid = GroupGrid::new(&part_of(batch, fee, members), fee);
        let shares = competitors.shares(batch, members, &grid);
        let whole = Competitors::sum(&shares);
        competitors.chosen(&grid, &whole, members.len(), &shares)
    };
    threads.run(|| (0..groups.len()).into_par_iter().map(choose).collect())
}

/// Keeps the best of each group when its simulations are on several ranks.
///
/// `groups` has the members that are here, `simulations` the number of all of each group. Every
/// rank keeps the same; the profits are those of the members here.
pub(super) fn choose_over_ranks<E: Evaluate + ?Sized>(
    evaluator: &E,
    groups: &Groups,
    simulations: &[usize],
    rules: &[ExitRule],
    found: &[Found],
    ranks: &mut dyn Reduce,
) -> Result<Vec<Chosen>, Error> {
    let (batch, fee, threads) = (evaluator.batch(), evaluator.fee(), evaluator.threads());
    let all = 0..groups.len();
    let part = |group| part_of(batch, fee, groups.members(group));
    let mut parts: Vec<Part> = threads.run(|| all.clone().into_par_iter().map(part).collect());
    let mut message = Writer::default();
    for part in std::mem::take(&mut parts) {
        for word in part.to_words() {
            message.u64(word);
        }
    }
    let messages = reduce::gather(ranks, Ok(message.into_bytes()))?;
    parts.resize_with(groups.len(), Part::default);
    for message in &messages {
        let mut message = Reader::new(message);
        for part in &mut parts {
            let words = [
                message.u64()?,
                message.u64()?,
                message.u64()?,
                message.u64()?,
            ];
            *part = std::mem::take(part).join(Part::from_words(words));
        }
    }

    let of_group = |(group, part): (usize, &Part)| {
        let competitors = Competitors::new(groups.len(), group, rules, found);
        let grid = GroupGrid::new(part, fee);
        let shares = competitors.shares(batch, groups.members(group), &grid);
        (competitors, grid, shares)
    };
    let entries: Vec<_> = threads.run(|| parts.par_iter().enumerate().map(of_group).collect());
    let sums = entries
        .iter()
        .flat_map(|(_, _, shares)| Competitors::sum(shares));
    let mut integers: Vec<i64> = sums.flat_map(Share::to_integers).collect();
    reduce::sum(ranks, Ok(()), &mut integers)?;
    let mut wholes = integers.as_chunks::<5>().0.iter();
    let chosen = entries.iter().zip(simulations);
    let chosen = chosen.map(|((competitors, grid, shares), &simulations)| {
        let mut whole = [Share::default(); 4];
        for (share, integers) in whole.iter_mut().zip(&mut wholes) {
            *share = Share::from_integers(*integers);
        }
        competitors.chosen(grid, &whole, simulations, shares)
    });
    Ok(chosen.collect())
}

fn part_of(batch: &Batch, fee: f64, members: &[u32]) -> Part {
    let parts = members
        .par_iter()
        .with_min_len(SIMULATIONS_PER_TASK)
        .filter_map(|&s| batch.simulation(s as usize))
        .map(|simulation| Part::of(&simulation, fee));
    parts.reduce(Part::default, Part::join)
}

/// What competes for a group: pairs, each under an exit rule, at most 4.
struct Competitors<'a> {
    rules: &'a [ExitRule],
    /// Index of the rule, and the pair.
    pairs: Vec<(usize, Multipliers)>,
}

impl<'a> Competitors<'a> {
    /// The baseline under each rule, then each rule's result.
    fn new(groups: usize, group: usize, rules: &'a [ExitRule], found: &[Found]) -> Self {
        let baselines = (0..rules.len()).map(|rule| (rule, Multipliers::BASELINE));
        let results = (0..rules.len()).filter_map(|rule| {
            let point = found[rule * groups + group].point.as_ref()?;
            Some((rule, as_pair(point)))
        });
        Self {
            rules,
            pairs: baselines.chain(results).collect(),
        }
    }

    /// Of each simulation, its share in each competitor's value.
    fn shares(&self, batch: &Batch, members: &[u32], grid: &GroupGrid) -> Vec<[Share; 4]> {
        let shares_of = |simulation| -> [Share; 4] {
            let mut shares = [Share::default(); 4];
            for (share, &(rule, pair)) in shares.iter_mut().zip(&self.pairs) {
                *share = grid.share(&simulation, pair, self.rules[rule]);
            }
            shares
        };
        members
            .par_iter()
            .with_min_len(SIMULATIONS_PER_TASK)
            .filter_map(|&s| batch.simulation(s as usize))
            .map(shares_of)
            .collect()
    }

    fn sum(shares: &[[Share; 4]]) -> [Share; 4] {
        let mut sum = [Share::default(); 4];
        for shares in shares {
            for (sum, &share) in sum.iter_mut().zip(shares) {
                *sum = sum.join(share);
            }
        }
        sum
    }

    /// The best. `whole`: the shares of all `simulations` together; `shares`: those of the members
    /// whose profits are wanted.
    fn chosen(
        &self,
        grid: &GroupGrid,
        whole: &[Share; 4],
        simulations: usize,
        shares: &[[Share; 4]],
    ) -> Chosen {
        let competitors = &self.pairs;
        let profits = competitors.iter().zip(whole);
        let profits: Vec<f64> = profits
            .map(|(&(_, pair), share)| grid.profit(share, pair, simulations))
            .collect();
        let first_best = |which: &mut dyn Iterator<Item = usize>| {
            which.reduce(|best, next| {
                if profits[next] > profits[best] {
                    next
                } else {
                    best
                }
            })
        };
        let best = first_best(&mut (0..competitors.len())).unwrap_or(0);
        let of_rule = |rule: usize| {
            let mut of_rule = (0..competitors.len()).filter(|&which| competitors[which].0 == rule);
            let best = first_best(&mut of_rule).unwrap_or(rule);
            (competitors[best].1, profits[best])
        };
        let (rule, multipliers) = competitors[best];
        let of_member = |shares: &[Share; 4]| grid.profit(&shares[best], multipliers, 1);
        Chosen {
            multipliers,
            rule,
            profit: profits[best],
            baseline: profits[..self.rules.len()]
                .iter()
                .copied()
                .fold(f64::NEG_INFINITY, f64::max),
            of_rules: (0..self.rules.len()).map(of_rule).collect(),
            profits: shares.iter().map(of_member).collect(),
        }
    }
}
