//! The last step of a search that does not know gates: snapping its best pair to them.
//!
//! Between gates the profit rises with h and falls with l, so the best pair of a cell is a corner
//! of gates. A search ends somewhere in a cell; the gates around it are a few candidates more.

use std::cell::RefCell;

use crate::batch::Batch;
use crate::direct::Bounds;
use crate::error::Error;
use crate::evaluate::{Evaluate, Threads};
use crate::groups::Candidates;
use crate::profit::{ExitRule, Leg, Multipliers, Side};
use crate::reduce::{self, Reader, Reduce, Writer};

use super::scores::Scores;
use super::{Found, Search, as_pair, as_point};

/// Most gates per axis that a polish combines.
pub(super) const MAX_POLISH: usize = 64;

/// Scores the pairs of the `count` gates nearest to each search's best per axis, and keeps what
/// is better.
///
/// `ranks`: those that have the rest of the simulations of the groups, if there are any.
pub(super) fn polish<E: Evaluate + ?Sized>(
    scores: &mut Scores<'_, E>,
    bounds: &Bounds,
    count: usize,
    threads: &Threads,
    search: &mut Search,
    ranks: Option<&RefCell<&mut dyn Reduce>>,
) -> Result<(), Error> {
    let groups = scores.groups;
    let fee = scores.evaluator.fee() as f32;
    for (rule, &exit_rule) in scores.rules.iter().enumerate() {
        let found = &mut search.found[rule * groups.len()..(rule + 1) * groups.len()];
        let batch = scores.evaluator.batch();
        let gates = |group: usize| -> Option<Gates> {
            Some(Gates::nearest(
                batch,
                groups.members(group),
                fee,
                exit_rule,
                bounds,
                as_pair(found[group].point.as_ref()?),
                count,
            ))
        };
        let mut gates: Vec<Option<Gates>> = threads.map(groups.len(), gates);
        if let Some(ranks) = ranks {
            merge(&mut gates, bounds, count, &mut **ranks.borrow_mut())?;
        }
        let pairs = |group: usize| gates[group].as_ref().map_or_else(Vec::new, Gates::pairs);
        let lists: Vec<Vec<Multipliers>> = threads.map(groups.len(), pairs);
        let candidates = Candidates::per_group(&lists)?;
        let mut means = vec![0.0; candidates.total(groups.len())];
        scores
            .evaluator
            .means(groups, &candidates, exit_rule, &mut means)?;
        for (group, found) in found.iter_mut().enumerate() {
            let range = candidates.range(group);
            scores.bar_candidates += scores.bars[group] * range.len() as u64;
            keep_best(found, &lists[group], &means[range]);
        }
    }
    Ok(())
}

/// Replaces the nearest gates of this rank's simulations by those of all ranks'.
fn merge(
    gates: &mut [Option<Gates>],
    bounds: &Bounds,
    count: usize,
    ranks: &mut dyn Reduce,
) -> Result<(), Error> {
    let mut message = Writer::default();
    for axis in gates
        .iter()
        .flatten()
        .flat_map(|gates| [&gates.high, &gates.low])
    {
        message.u64(axis.len() as u64);
        message.f32s(axis);
    }
    let messages = reduce::gather(ranks, Ok(message.into_bytes()))?;
    let mut messages: Vec<Reader<'_>> = messages.iter().map(|m| Reader::new(m)).collect();
    for gates in gates.iter_mut().flatten() {
        let Gates { at, high, low } = gates;
        for ((axis, at), ends) in [(high, at.high), (low, at.low)]
            .into_iter()
            .zip(bounds.intervals())
        {
            axis.clear();
            for message in &mut messages {
                let values = message.count(size_of::<f32>())?;
                axis.extend(message.f32s(values)?);
            }
            *axis = nearest(std::mem::take(axis), at, count, ends);
        }
    }
    Ok(())
}

fn keep_best(found: &mut Found, pairs: &[Multipliers], means: &[f64]) {
    found.evaluations += pairs.len() as u64;
    for (&pair, &mean) in pairs.iter().zip(means) {
        if mean.is_finite() && -mean < found.value {
            found.value = -mean;
            found.point = Some(as_point(pair));
        }
    }
}

/// Gates of a group near a pair.
struct Gates {
    at: Multipliers,
    high: Vec<f32>,
    low: Vec<f32>,
}

impl Gates {
    fn nearest(
        batch: &Batch,
        members: &[u32],
        fee: f32,
        exit_rule: ExitRule,
        bounds: &Bounds,
        at: Multipliers,
        count: usize,
    ) -> Self {
        let (mut high, mut low) = (Vec::new(), Vec::new());
        for simulation in members.iter().filter_map(|&s| batch.simulation(s as usize)) {
            for (bar, position) in simulation.positions() {
                let Some(leg) = Leg::new(&bar, position, fee) else {
                    continue;
                };
                // At the close only the entry is a gate.
                let intraday = exit_rule == ExitRule::Intraday;
                if intraday || leg.side == Side::Short {
                    high.push(leg.high_gate);
                }
                if intraday || leg.side == Side::Long {
                    low.push(leg.low_gate);
                }
            }
        }
        let mut axes = bounds.intervals();
        let mut ends = || axes.next().unwrap_or_default();
        Self {
            high: nearest(high, at.high, count, ends()),
            low: nearest(low, at.low, count, ends()),
            at,
        }
    }

    /// Every gate or the present value on one axis with every such on the other, but for the
    /// present pair itself.
    fn pairs(&self) -> Vec<Multipliers> {
        let axis = |gates: &[f32], at: f32| -> Vec<f32> {
            let others = gates.iter().copied().filter(|&gate| gate != at);
            [at].into_iter().chain(others).collect()
        };
        let low = axis(&self.low, self.at.low);
        let high = axis(&self.high, self.at.high).into_iter();
        high.flat_map(|high| low.iter().map(move |&low| Multipliers::new(high, low)))
            .filter(|&pair| pair != self.at)
            .collect()
    }
}

/// The `count` values nearest to `at` between the ends, each once; of equally near the smaller.
fn nearest(mut values: Vec<f32>, at: f32, count: usize, (low, high): (f64, f64)) -> Vec<f32> {
    let (low, high) = (low as f32, high as f32);
    values.retain(|&value| value >= low && value <= high);
    values.sort_unstable_by(f32::total_cmp);
    values.dedup();
    let distance = |value: &f32| (f64::from(*value) - f64::from(at)).abs();
    values.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
    values.truncate(count);
    values
}
