//! What is kept: every result and its baseline, recomputed in f64.

use rayon::prelude::*;

use crate::evaluate::Evaluate;
use crate::groups::Groups;
use crate::profit::{ExitRule, Multipliers};

use super::{Found, as_pair};

/// The kept result of every group, and the profits that come of it.
pub(super) struct Choice {
    pub(super) groups: Vec<Chosen>,
    /// Per simulation.
    pub(super) profits: Vec<f64>,
}

pub(super) struct Chosen {
    pub(super) multipliers: Multipliers,
    /// Index among the exit rules that were tried.
    pub(super) rule: usize,
    pub(super) profit: f64,
    pub(super) baseline: f64,
}

/// Recomputes every result and its baseline in f64 and keeps the best of each group.
///
/// Of equal profits the first wins: the baseline before what was found, `Intraday` before
/// `AtClose`.
pub(super) fn choose<E: Evaluate + ?Sized>(
    evaluator: &E,
    groups: &Groups,
    rules: &[ExitRule],
    found: &[Found],
) -> Choice {
    let (batch, fee, threads) = (evaluator.batch(), evaluator.fee(), evaluator.threads());
    // The competitors of a group: the baseline under each rule, then each rule's result.
    let competitors = |group: usize| -> [Option<(usize, Multipliers)>; 4] {
        let mut all = [None; 4];
        for rule in 0..rules.len() {
            all[rule] = Some((rule, Multipliers::BASELINE));
            if let Some(point) = &found[rule * groups.len() + group].point {
                all[rules.len() + rule] = Some((rule, as_pair(point)));
            }
        }
        all
    };
    let mut group_of = vec![0; groups.simulations()];
    for group in 0..groups.len() {
        for &simulation in groups.members(group) {
            group_of[simulation as usize] = group;
        }
    }
    let profits_of = |(simulation, &group): (usize, &usize)| -> [f64; 4] {
        competitors(group).map(
            |competitor| match (competitor, batch.simulation(simulation)) {
                (Some((rule, pair)), Some(simulation)) => simulation.profit(pair, fee, rules[rule]),
                _ => f64::NEG_INFINITY,
            },
        )
    };
    let table: Vec<[f64; 4]> =
        threads.run(|| group_of.par_iter().enumerate().map(profits_of).collect());

    let mut profits = vec![0.0; groups.simulations()];
    let choose_group = |group: usize| {
        let members = groups.members(group);
        let mean = |which: usize| -> f64 {
            let of_members = members.iter().map(|&s| table[s as usize][which]);
            of_members.sum::<f64>() / members.len() as f64
        };
        let mut best = (0, mean(0));
        let mut baseline = best.1;
        for which in 1..2 * rules.len() {
            let profit = mean(which);
            if which < rules.len() {
                baseline = baseline.max(profit);
            }
            if profit > best.1 {
                best = (which, profit);
            }
        }
        for &simulation in members {
            profits[simulation as usize] = table[simulation as usize][best.0];
        }
        let (rule, multipliers) = competitors(group)[best.0].unwrap_or_default();
        Chosen {
            multipliers,
            rule,
            profit: best.1,
            baseline,
        }
    };
    let chosen = (0..groups.len()).map(choose_group).collect();
    Choice {
        groups: chosen,
        profits,
    }
}
