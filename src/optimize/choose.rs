//! What is kept: every result and its baseline, recomputed as exact sums.

use rayon::prelude::*;

use crate::batch::Batch;
use crate::evaluate::Evaluate;
use crate::exact::report::{GroupGrid, Part, Share};
use crate::groups::Groups;
use crate::profit::{ExitRule, Multipliers};

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
        // The baseline under each rule, then each rule's result.
        let baselines = (0..rules.len()).map(|rule| (rule, Multipliers::BASELINE));
        let results = (0..rules.len()).filter_map(|rule| {
            let point = found[rule * groups.len() + group].point.as_ref()?;
            Some((rule, as_pair(point)))
        });
        let competitors: Vec<_> = baselines.chain(results).collect();
        choose_among(batch, fee, groups.members(group), rules, &competitors)
    };
    threads.run(|| (0..groups.len()).into_par_iter().map(choose).collect())
}

fn choose_among(
    batch: &Batch,
    fee: f64,
    members: &[u32],
    rules: &[ExitRule],
    competitors: &[(usize, Multipliers)],
) -> Chosen {
    let simulation = |&s: &u32| batch.simulation(s as usize);
    let tasks = || members.par_iter().with_min_len(SIMULATIONS_PER_TASK);
    let part = |simulation| Part::of(&simulation, fee);
    let parts = tasks().filter_map(simulation).map(part);
    let grid = GroupGrid::new(&parts.reduce(Part::default, Part::join), fee);

    let shares_of = |simulation| -> [Share; 4] {
        let mut shares = [Share::default(); 4];
        for (share, &(rule, pair)) in shares.iter_mut().zip(competitors) {
            *share = grid.share(&simulation, pair, rules[rule]);
        }
        shares
    };
    let shares: Vec<[Share; 4]> = tasks().filter_map(simulation).map(shares_of).collect();
    let profit = |which: usize| {
        let sum = shares.iter().map(|shares| shares[which]);
        let sum = sum.fold(Share::default(), Share::join);
        grid.profit(&sum, competitors[which].1, members.len())
    };
    let profits: Vec<f64> = (0..competitors.len()).map(profit).collect();

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
        baseline: profits[..rules.len()]
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max),
        of_rules: (0..rules.len()).map(of_rule).collect(),
        profits: shares.iter().map(of_member).collect(),
    }
}
